"""One experiment on the host: cut the tasks, train the policies, compare them with the other strategies.

A seed is one split, one trained policy and its own keys; all seeds run in one program.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.build import classifier_for, environment_for, learners
from jaxal.config import Config
from jaxal.data.dataset import Embedded
from jaxal.data.splits import PARTS, Split
from jaxal.encoders.latents import Reader
from jaxal.evaluate import NO_HOOKS as NO_COMPARISON_HOOKS
from jaxal.evaluate import ComparisonHooks, Contender, evaluate_all
from jaxal.policies import LEARNERS, STRATEGIES, expand
from jaxal.policies.learner import NO_HOOKS, Hooks, Learned
from jaxal.policies.strategy import Setting, Strategy
from jaxal.prepare import Prepared
from jaxal.report import provenance
from jaxal.report.results import Results
from jaxal.report.summary import Curves, Shown, Summary, summarise
from jaxal.seals import fingerprint
from jaxal.seeds import seed_keys
from jaxal.tasks import memory
from jaxal.tasks.banks import (
    Shape,
    Sources,
    make_banks,
    make_sources,
    testing_recipes,
    testing_shape,
    training_shape,
)
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import lanes, standardise

Policies = Mapping[str, Any]
"""Parameters of learned strategies by their names, every leaf with a leading seed axis."""


def sources_for(config: Config, sources: Sequence[Embedded], splits: Sequence[Sequence[Split]]) -> list[Sources]:
    """What each lane of seeds is trained on; `splits` has for each seed the split of each data set."""
    classifier = classifier_for(config)
    return make_sources(config, classifier.needs, sources, splits, lanes(len(splits), classifier.episodes_at_once))


def check_memory(prepared: Prepared, target: Embedded | None, sources: Sequence[Embedded]) -> str:
    """That the task banks, the replay buffers and the episodes fit into memory, before any of them is made.

    Args:
      prepared: see `prepare`.
      target: the data set that strategies are compared on.
      sources: data sets that a policy is trained on.

    Returns:
      what they take, in words.

    Raises:
      ValueError: one line, when they do not.
    """
    config, stages = prepared.config, []
    train, seeds = config.train, config.evaluation.seeds
    if sources:
        shape = training_shape(config, [source.dataset for source in sources], prepared.source_splits)
        buffers = max((LEARNERS[name].memory(config, shape.classes) for name in learners(config)), default=0)
        episodes = max(train.episodes, train.warm_start_episodes, train.validation_episodes)
        tasks = seeds * len(sources) * train.tasks
        needed = _held(config, shape, tasks, sources, episodes) | {"replay buffers": seeds * buffers}
        lower = "train.tasks, train.task_pool, split.source_pool, agent.replay_capacity or seeds"
        stages.append(("training", needed, lower))
    if target is not None:
        shape = testing_shape(target.dataset, prepared.splits)
        needed = _held(config, shape, seeds, [target], config.evaluation.starts)
        stages.append(("the comparison", needed, "split.pool, split.test, starts or seeds"))
    free = memory.available()
    for stage, needed, lower in stages:
        if free is not None and sum(needed.values()) > memory.SPARE * free:
            raise ValueError(f"{stage} does not fit into memory: {memory.told(needed, free)}; lower {lower}")
    return ", ".join(f"{stage} takes {sum(needed.values()) / 1e6:,.0f} MB" for stage, needed, _ in stages)


def _held(config: Config, shape: Shape, tasks: int, sources: Sequence[Embedded], episodes: int) -> dict[str, int]:
    """Bytes of the tasks of all seeds, and at the least of the episodes that run side by side."""
    classifier, distance = classifier_for(config), DISTANCES[config.environment.distance]
    latent_size = max(source.latents.shape[1] for source in sources)
    at_once = classifier.episodes_at_once or episodes
    columns = max(config.environment.budget, shape.classes) * (shape.pool + shape.state + sum(shape.holdouts))
    return {
        "task banks": memory.bank_bytes(tasks, shape, latent_size, distance, classifier.needs),
        "episodes": 4 * at_once * columns,
    }


def train_policies(config: Config, sources: Sequence[Sources], hooks: Hooks = NO_HOOKS) -> dict[str, Learned]:
    """Trains what the config's strategies need, for every seed; `hooks` are those of the double DQN."""
    environment = environment_for(config, sources[0].bank)
    keys = {name: seed_keys(config.evaluation.numbers, f"learn {name}") for name in learners(config)}
    return {name: LEARNERS[name].learn(config, environment, sources, keys[name], hooks) for name in keys}


def policy_shapes(config: Config, seeds: int, classes: int) -> dict[str, Any]:
    """Shapes and dtypes of what `train_policies` learns on data of so many classes."""
    return {name: LEARNERS[name].shapes(config, classes, seeds) for name in learners(config)}


class Evaluation(NamedTuple):
    """Every strategy from the same initial sets."""

    curves: dict[str, Curves]
    shown: dict[str, Shown]
    labels: np.ndarray  # [T + 1] labels at each point of a curve
    compile_seconds: float


def compare_strategies(
    config: Config,
    target: Embedded,
    splits: Sequence[Split],
    policies: Policies,
    hooks: ComparisonHooks = NO_COMPARISON_HOOKS,
) -> Evaluation:
    """Runs every strategy of the config on the pool and test rows of each seed's split of `target`.

    Args:
      config: settings.
      target: the data set, with latents.
      splits: of each seed.
      policies: parameters of the learned strategies among them.
      hooks: progress, and what to do with curves.
    """
    classifier, distance = classifier_for(config), DISTANCES[config.environment.distance]
    classes, shape = len(target.dataset.classes), testing_shape(target.dataset, splits)
    apart = lanes(len(splits), classifier.episodes_at_once)
    recipes = testing_recipes(target.dataset, splits)
    banks = make_banks(recipes, [target], shape, distance, classifier.needs, apart)
    environment = environment_for(config, banks[0])
    labels = max(config.environment.initial, classes) + environment.batch * np.arange(environment.steps + 1)
    pool_labels = np.concatenate([bank.pool_labels[:, 0] for bank in banks])

    def prepared(name: str, strategy: Strategy) -> Any:
        if strategy.prepare is None:
            return None
        learned = [jax.tree.map(lambda x, i=i: x[i], policies.get(name)) for i in range(len(splits))]
        settings = [
            Setting(
                config=config,
                seed=seed,
                classes=classes,
                latents=standardise(target.latents[parts.pool])[0],
                labels=pool_labels[i],
                labels_before=labels[:-1],
                learned=learned[i],
            )
            for i, (seed, parts) in enumerate(zip(config.evaluation.numbers, splits, strict=True))
        ]
        return jax.tree.map(lambda *x: jnp.stack(x), *map(strategy.prepare, settings))

    strategies = {name: STRATEGIES[name] for name in expand(config.evaluation.strategies)}
    contenders = {
        name: Contender(strategy, strategy.picks_in_sequence(config), prepared(name, strategy))
        for name, strategy in strategies.items()
    }
    keys = seed_keys(config.evaluation.numbers, "compare")
    compared = evaluate_all(environment, contenders, banks, keys, starts=config.evaluation.starts, hooks=hooks)
    shown = {
        name: Shown(strategy.kind, strategy.called(config) or name.replace("_", " "), strategy.cheats, strategy.colour)
        for name, strategy in strategies.items()
    }
    return Evaluation(compared.curves, shown, labels, compared.compile_seconds)


def results_of(
    config: Config,
    evaluation: Evaluation,
    target: Embedded,
    splits: Sequence[Split],
    *,
    trained_on: Sequence[str] = (),
    labels_counted: Mapping[str, int] = MappingProxyType({}),
    training: Mapping[str, Any] = MappingProxyType({}),
    reader: Reader | None = None,
    command: str | None = None,
) -> Results:
    """A comparison with all that a report says of it.

    Args:
      config: settings.
      evaluation: the comparison.
      target: the data set that it was made on.
      splits: of each seed.
      trained_on: data sets that learned policies were trained on.
      labels_counted: labels that were needed beside those of an episode, by their use.
      training: the report of the training.
      reader: the encoder that made the latents, where they come from images.
      command: how to ask for it again.
    """
    dataset = target.dataset
    summary: Summary = {
        "config": dataclasses.asdict(config),
        "command": command,
        "dataset": {
            "name": dataset.name,
            "classes": list(dataset.classes),
            **{part: len(rows) for part, rows in zip(PARTS, splits[0], strict=True)},
            "train_on": list(trained_on),
            "encoder": encoder_facts(reader),
            "notices": list(dataset.notices),
        },
        "labels_counted": {"budget": config.environment.budget, **labels_counted},
        "training": dict(training),
        "comparison": {"compile_seconds": evaluation.compile_seconds},
        "environment": provenance.environment(),
        **summarise(config.evaluation, evaluation.curves, evaluation.shown, evaluation.labels),
    }
    origins = np.arange(len(dataset)) if target.origins is None else target.origins
    longest = max(len(parts.pool) for parts in splits)
    pools = [np.pad(origins[parts.pool], (0, longest - len(parts.pool)), constant_values=-1) for parts in splits]
    return Results(summary, evaluation.curves, np.stack(pools), getattr(dataset, "names", None))


def encoder_facts(reader: Reader | None) -> dict[str, str] | None:
    """Which encoder, and a checksum of its weights, which may have been damaged or exchanged; None for features."""
    if reader is None:
        return None
    leaves = jax.tree_util.tree_leaves_with_path(reader.variables)
    named = [part for path, leaf in leaves for part in (jax.tree_util.keystr(path), np.asarray(leaf))]
    return {"name": reader.encoder.name, "weights_blake2": fingerprint(*named)}


def data_fingerprint(data: Embedded) -> str:
    """What stands for a data set with its latents; another file, encoder or weights give another."""
    dataset = data.dataset
    parts = [dataset.labels, data.latents, *dataset.classes]
    parts += [part for part in (dataset.groups, dataset.official) if part is not None]
    if data.images is not None:
        parts += [data.images.pixels, *jax.tree.leaves(data.images.variables)]
    return fingerprint(*parts)


def labels_of_training(splits: Sequence[Split]) -> dict[str, int]:
    """Labels that the training of one seed's policy uses, of all data sets' `splits`, by their use."""
    used = ("source_pool", "reward", "validation")
    return {part: sum(len(getattr(parts, part)) for parts in splits) for part in used}
