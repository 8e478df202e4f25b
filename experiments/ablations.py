"""What each part of the pretrained policy is worth on data that it has not met.

    python experiments/ablations.py --data ../shared/data --kept FOLDER

A variant is trained and tested like the policy of `pretrain.py` and `leave_one_out.py`: three policies, each of which
leaves out some data sets; on each data set the one that has not met it nor its siblings labels 60 rows, one a step,
from the initial sets of that experiment. All variants learn from the same states, which the rules alone visit, so that
no state depends on a policy. Variants that score labels otherwise are shown the same states with other gains.

FOLDER keeps the gains (10 minutes of a core for each of three scores). A variant is a file in
experiments/results/ablations (3 minutes), and is not computed again; `--table` only writes the table.
"""

import argparse
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import leave_one_out
import numpy as np
from leave_one_out import PICTURES, TABLES, Cell, data_of, keep, publish, told
from pretraining.tasks import CLASSES, SYNTHETIC, fingerprint_of, without
from pretraining.training import (
    SYNTHETIC_SETS,
    Examples,
    Gains,
    centred,
    collect,
    fit,
    kept_gains,
    usable,
    usable_states,
)

import jaxal
from jaxal.config import CounterfactualConfig
from jaxal.policies import counterfactual, pretrained
from jaxal.policies.gain_network import Decision, Following, GainAgentState, Params, linear_params, make_gain_agent
from jaxal.policies.gain_training import NAMES, make_play
from jaxal.policies.sight import RULES, Sight
from jaxal.presets import default
from jaxal.report.statistics import rounded

RESULTS = Path(__file__).parent / "results" / "ablations"
TESTED = (*PICTURES, *TABLES)
LEFT_OUT = (("texture80", "splice", "vehicle"), ("brain", "cxr", "segment", "waveform5000", "vowel"), ("digits",))
SPLITS, STARTS, BUDGET = 4, 4, 60
TIMES = 2  # episodes on each data set, in units of `CounterfactualConfig.episodes`
PLAIN = "plain"  # the variant that the others are compared with

PROBABILITIES = (
    *("first_probability", "second_probability", "third_probability", "margin", "entropy"),
    *("share_of_labels", "share_of_pool", "log_share_ratio"),
)
COVERAGE = tuple(f"{kind}coverage_{width}" for kind in ("", "unsure_") for width in (1, 2, 3))
VARIANCE = (
    *("log_variance", "log_reduction", "log_unsure_reduction", "log_spread_reduction", "log_spread_unsure_reduction"),
    *("log_gradient", "unsure_deviation", "margin_in_deviations"),
)
GEOMETRY = (
    *("nearest", "nearest_same", "nearest_other", "nearest_difference", "mean_to_chosen", "mean_to_pool", "density"),
    *("typicality", "log_typicality", "unsure_typicality", "log_unsure_typicality"),
)
NEIGHBOURS = ("neighbours_margin", "neighbours_agreement", "vote", "vote_agreement", "vote_margin")


class Variant(NamedTuple):
    """What is different about it."""

    told: str
    score: str = "soft_accuracy"  # what a gain is a gain in
    sets: Callable[[Sequence[str]], Sequence[str]] = lambda names: [*names, *[SYNTHETIC] * SYNTHETIC_SETS]
    """real data sets that may be met -> those that are learned from"""
    learn: Callable[[Sequence[Gains]], Params] = fit
    hidden: tuple[int, ...] = ()


def only(*features: str) -> Callable[[Sequence[Gains]], Params]:
    """A policy that sees these features and rules alone: of all others the ridge makes nothing."""
    seen = np.isin([*NAMES.features, *NAMES.rules], features)

    def examples(gains: Gains) -> Examples:
        every = centred(gains)
        return every._replace(inputs=np.where(seen, every.inputs, 0.0))

    return partial(fit, examples=examples)


def all_but(*features: str) -> Callable[[Sequence[Gains]], Params]:
    """A policy that does not see these."""
    return only(*(name for name in (*NAMES.features, *NAMES.rules) if name not in features))


def the_one_taken(gains: Gains) -> Examples:
    """Of the label that was taken alone, as in Q-learning; with a baseline as good as can be, the state's mean gain."""
    every = centred(gains)
    return Examples(every.inputs[:, :1], every.gains[:, :1], every.mask[:, :1])


LINEAR = CounterfactualConfig(iterations=50)  # of `updates` each
NETWORK = replace(LINEAR, hidden=(64,))


def untrained(found: Sequence[Gains]) -> Params:
    """Random weights, as training begins with where it does not begin with the pretrained policy."""
    return _begin(CounterfactualConfig(), found).params


def by_gradients(found: Sequence[Gains], config: CounterfactualConfig) -> Params:
    """By AdamW on minibatches of all states; with a discount by double Q-learning."""
    agent, state = make_gain_agent(config, NAMES), _begin(config, found)
    every = jax.tree.map(lambda *x: jnp.concatenate(x), *(decisions_of(each, config) for each in found))

    def update(state: GainAgentState, key: jax.Array) -> tuple[GainAgentState, jax.Array]:
        rows = jax.random.randint(key, (config.minibatch,), 0, len(every.mask))
        minibatch = jax.tree.map(lambda x: x[rows].astype(jnp.float32) if x.dtype == jnp.float16 else x[rows], every)
        return agent.update(state, minibatch)

    keys = jax.random.split(jax.random.key(1), config.iterations * config.updates)
    return jax.jit(partial(jax.lax.scan, update))(state, keys)[0].target_params


def decisions_of(gains: Gains, config: CounterfactualConfig) -> Decision:
    """Those that can be used, as training has them; gains are kept in the order in which episodes met their states."""
    features, standardised, summary, found, mask = map(jnp.asarray, gains)
    some = jnp.asarray(usable_states(gains))
    decisions = Decision(Sight(features, standardised, summary), found, mask)
    if config.gamma > 0:
        last = jnp.arange(len(some)) % config.records == config.records - 1
        known = last | jnp.roll(some, -1)  # an episode's last state has none after it
        after = lambda x: jnp.where((last | ~known).reshape(-1, *[1] * (x.ndim - 1)), 0, jnp.roll(x, -1, 0))
        following = Following(jax.tree.map(after, decisions.sight), after(mask).astype(bool), jnp.where(last, 0.0, 1.0))
        decisions, some = decisions._replace(following=following), some & known
    return jax.tree.map(lambda x: x[some], decisions)


def _begin(config: CounterfactualConfig, found: Sequence[Gains]) -> GainAgentState:
    parts = _together(found)
    sights = Sight(*(jnp.asarray(x, jnp.float32) for x in (parts.features, parts.standardised, parts.summary)))
    return make_gain_agent(config, NAMES).init(jax.random.key(0), sights, jnp.asarray(parts.mask))


def _together(found: Sequence[Gains]) -> Gains:
    return Gains(*(np.concatenate(parts) for parts in zip(*map(usable, found), strict=True)))


VARIANTS = {
    PLAIN: Variant("32 candidates a state, soft accuracy, all features, all sets, linear"),
    "untrained": Variant("random weights", learn=untrained),
    "one of 32": Variant("the label taken alone, as in Q-learning", learn=partial(fit, examples=the_one_taken)),
    "accuracy": Variant("gains in accuracy", score="accuracy"),
    "probability": Variant("gains in the true class's probability", score="probability"),
    "gradients": Variant(
        "linear, by gradients and with features as they are, too", learn=partial(by_gradients, config=LINEAR)
    ),
    "discount": Variant(
        "the same with a discount of 0.9", learn=partial(by_gradients, config=replace(LINEAR, gamma=0.9))
    ),
    "network": Variant("a hidden layer of 64", learn=partial(by_gradients, config=NETWORK), hidden=NETWORK.hidden),
    "no rules": Variant("without the six rules", learn=all_but(*RULES)),
    "rules alone": Variant("the six rules alone", learn=only(*RULES)),
    "no coverage": Variant("without gains in coverage", learn=all_but(*COVERAGE)),
    "no variance": Variant("without the posterior's variance", learn=all_but(*VARIANCE)),
    "no geometry": Variant("without distances and typicality", learn=all_but(*GEOMETRY)),
    "no neighbours": Variant("without what neighbours are predicted", learn=all_but(*NEIGHBOURS)),
    "predictions alone": Variant("probabilities and shares of classes alone", learn=only(*PROBABILITIES)),
    "half the sets": Variant("every other real data set", sets=lambda names: [*names[::2], *[SYNTHETIC] * 3]),
    "a quarter of the sets": Variant("every fourth real data set", sets=lambda names: [*names[::4], SYNTHETIC]),
    "real sets alone": Variant("no synthetic data", sets=lambda names: names),
    "synthetic sets alone": Variant("synthetic data alone", sets=lambda names: [SYNTHETIC] * SYNTHETIC_SETS),
}


def main() -> None:
    """Computes what is missing, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real data")
    parser.add_argument("--kept", type=Path, help="folder for gains and policies")
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=[*VARIANTS], help="all by default")
    parser.add_argument("--table", action="store_true", help="compute nothing")
    given = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in [] if given.table else given.variants:
        if not path_of(name).exists():
            print(name, flush=True)
            policies = [trained(name, left_out, given.data, given.kept) for left_out in LEFT_OUT]
            keep(path_of(name), {each: compare(each, given.data, policies) for each in TESTED})
    publish(RESULTS.with_suffix(".md"), table([name for name in VARIANTS if path_of(name).exists()]))


def path_of(name: str) -> Path:
    """Where a variant's results are kept."""
    return RESULTS / f"{name.replace(' ', '_')}.json"


def trained(name: str, left_out: Sequence[str], data: Path, kept: Path) -> str:
    """The file of a variant's policy that has not met some data sets."""
    variant, names = VARIANTS[name], without(*left_out)
    gains = gains_of(variant, variant.sets(names), data, kept)
    card = {"data": {each: fingerprint_of(each, data) for each in names}}
    path = kept / f"{path_of(name).stem}-{left_out[0]}.npz"
    pretrained.save(path, variant.learn(gains), NAMES, variant.hidden, card)
    return str(path)


def gains_of(variant: Variant, names: Sequence[str], data: Path, kept: Path) -> list[Gains]:
    """Exact gains at states that the rules visit, on fresh tasks of data sets; the second of a name is another."""
    config = CounterfactualConfig(score=variant.score)
    play = make_play(replace(default(), counterfactual=config), CLASSES)
    run = jax.jit(partial(counterfactual.collect, play))
    params = linear_params(NAMES, np.zeros(NAMES.size))  # that plays no episode
    found: list[Gains] = []
    for place, name in enumerate(names):
        for time in range(TIMES):
            number = 1_009 * (TIMES * names[:place].count(name) + time) + zlib.crc32(name.encode()) % 1_000_003
            key = jax.random.fold_in(jax.random.key(0), number)
            make = partial(collect, run, play, params, name, 0.0, number, key, data)
            found.append(kept_gains(kept / f"{variant.score}-{name}-{number}.npz", make))
    return found


def compare(name: str, folder: Path, policies: Sequence[str]) -> list[list[float]]:
    """AULC [splits, starts] on a data set."""
    found = jaxal.compare(
        data_of(Cell(name, 1, BUDGET), folder),
        [leave_one_out.POLICY],
        progress=False,
        budget=BUDGET,
        batch=1,
        seeds=SPLITS,
        starts=STARTS,
        pretrained=leave_one_out.unmet(name, policies),
    )
    return rounded(found.aulc(leave_one_out.POLICY))


def table(names: Sequence[str]) -> list[str]:
    """Lines of Markdown."""
    kept: dict[str, Any] = {name: json.loads(path_of(name).read_text(encoding="utf-8")) for name in names}
    rules = {each: leave_one_out.read(Cell(each, 1, BUDGET)).aulc for each in TESTED}
    margin = np.concatenate([rules[each]["margin"][:SPLITS, :STARTS] for each in TESTED])
    together = {name: np.concatenate([kept[name][each] for each in TESTED]) for name in names}
    lines = [
        "# Ablations",
        "",
        f"Written by `experiments/ablations.py`; AULC of accuracy in points of 100, 1 label a step, {BUDGET} labels, "
        f"{SPLITS} splits x {STARTS} starts on each of {len(TESTED)} data sets that the policy has not met. Standard "
        "errors are of the splits' means.",
        "",
        f"| variant | what is different | mean | to {PLAIN} | to margin | {' | '.join(TESTED)} |",
        f"|---|---|---|---|---|{'---|' * len(TESTED)}",
    ]
    for name in names:
        ours = together[name]
        to_plain = "" if name == PLAIN else told(ours - together[PLAIN])
        cells = [name, VARIANTS[name].told, f"{100 * ours.mean():.2f}", to_plain, told(ours - margin)]
        cells += [f"{100 * np.mean(kept[name][each]):.1f}" for each in TESTED]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
