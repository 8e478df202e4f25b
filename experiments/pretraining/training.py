"""A linear policy from exact gains on fresh tasks of many data sets, by ridge regression.

Networks with hidden layers choose no better on data sets that they have not met; see BUILD_NOTES.md.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.config import CounterfactualConfig
from jaxal.files import write_npz
from jaxal.policies import counterfactual
from jaxal.policies.counterfactual import Play
from jaxal.policies.gain_network import Params, explained, linear_params, linear_weights
from jaxal.policies.gain_training import NAMES, make_play
from jaxal.policies.learner import Learned, Progress
from jaxal.presets import default
from pretraining.tasks import CLASSES, SYNTHETIC, fingerprint_of, fresh

ROUNDS = (0.0, 0.4)  # of episodes: the share that the policy of the rounds before plays

SYNTHETIC_SETS = 6  # as many times as a real data set are synthetic ones drawn
PENALTY = 0.2  # of the squared weights, for each candidate


class Gains(NamedTuple):
    """Decisions of one data set in one round."""

    features: np.ndarray  # [n, K, F] float16
    standardised: np.ndarray  # [n, K, F] float16
    summary: np.ndarray  # [n, S]
    gains: np.ndarray  # [n, K]
    mask: np.ndarray  # [n, K] bool


def train(
    names: Sequence[str], config: CounterfactualConfig, seed: int, data: Path, kept: Path, progress: Progress
) -> Learned:
    """A policy trained on the data sets `names` and synthetic ones, whose parameters have no seed axis.

    Args:
      names: of `tasks.SETS`.
      config: how episodes are played; 16 on each data set in each round.
      seed: decides everything.
      data: folder of real data.
      kept: folder in which the gains of each data set and round are kept, so that an interrupted training goes on.
      progress: told how far it is.
    """
    began = time.perf_counter()
    sets = [*names, *[SYNTHETIC] * SYNTHETIC_SETS]
    found: list[Gains] = []
    params = linear_params(NAMES, np.zeros(NAMES.size))
    play = make_play(replace(default(), counterfactual=config), CLASSES)
    run = jax.jit(partial(counterfactual.collect, play))
    for number, own_share in enumerate(ROUNDS):
        for place, name in enumerate(sets):
            key = jax.random.fold_in(jax.random.key(seed), number * len(sets) + place)
            make = partial(collect, run, play, params, name, own_share, seed * 100_003 + number * 1_009 + place, key)
            found.append(kept_gains(kept / f"{number}-{place}.npz", partial(make, data)))
            progress(len(found), len(ROUNDS) * len(sets), name)
        params = fit(found)
    report = {
        "data": {name: fingerprint_of(name, data) for name in names},
        "synthetic_sets": SYNTHETIC_SETS,
        "seed": seed,
        "states": sum(len(each.gains) for each in found),
        "penalty": PENALTY,
        "seconds": round(time.perf_counter() - began),
        "explains": {name: round(value, 4) for name, value in _explains(found, params).items()},
    }
    return Learned(params, report)


def collect(
    run: Callable[..., Any],
    play: Play,
    params: Params,
    name: str,
    own_share: float,
    task_seed: int,
    key: jax.Array,
    data: Path,
) -> Gains:
    """One episode on each of so many fresh tasks of a data set."""
    count = play.config.episodes
    sources = fresh([name], count, task_seed, data)
    decisions = run(params, sources.bank, jnp.arange(count), jnp.float32(own_share), key)
    return Gains(*map(np.asarray, (*decisions.sight, decisions.gains, decisions.mask)))


def kept_gains(path: Path, make: Callable[[], Gains]) -> Gains:
    """What a file holds, or else what is made, and kept there."""
    if not path.exists():
        write_npz(path, make()._asdict())
    with np.load(path) as file:
        return Gains(**file)


class Examples(NamedTuple):
    """What a regression learns from, of one data set in one round."""

    inputs: np.ndarray  # [n, K, F] float64
    gains: np.ndarray  # [n, K] float64
    mask: np.ndarray  # [n, K] bool; where it is False, the others are 0


def usable_states(gains: Gains) -> np.ndarray:
    """[n] which have candidates, and finite numbers: data with many copies have some that have not."""
    finite = np.isfinite(gains.standardised).all((1, 2)) & np.isfinite(gains.gains).all(-1)
    return np.asarray(gains.mask.any(-1) & finite)


def usable(gains: Gains) -> Gains:
    """The states that `usable_states` names."""
    some = usable_states(gains)
    return Gains(*(part[some] for part in gains))


def centred(gains: Gains) -> Examples:
    """Of all candidates of the usable states; features and gains are centred in each state."""
    some = usable(gains)
    x, y, mask = some.standardised, some.gains, some.mask
    share = mask / mask.sum(-1, keepdims=True)
    x, y = x.astype(np.float64), y.astype(np.float64)
    x = np.where(mask[..., None], x - np.einsum("nk,nkf->nf", share, x)[:, None], 0.0)
    return Examples(x, np.where(mask, y - (share * y).sum(-1, keepdims=True), 0.0), mask)


def fit(found: Sequence[Gains], examples: Callable[[Gains], Examples] = centred) -> Params:
    """Ridge regression of the gains on the standardised features; sets count alike.

    In float64, as the package's policy was made; `jaxal.policies.linear_gains` does the same within training.
    """
    gram, moment, rows = np.zeros((NAMES.size, NAMES.size)), np.zeros(NAMES.size), 0.0
    for each in found:
        x, y, mask = examples(each)
        weight = 1.0 / max(mask.sum(), 1)
        gram += weight * np.einsum("nkf,nkg->fg", x, x, optimize=True)
        moment += weight * np.einsum("nkf,nk->f", x, y, optimize=True)
        rows += 1.0
    return linear_params(NAMES, np.linalg.solve(gram + PENALTY * rows * np.eye(len(moment)), moment))


def _explains(found: Sequence[Gains], params: Params) -> dict[str, float]:
    """See `gain_network.explained`."""
    some = Gains(*(np.concatenate(parts) for parts in zip(*map(usable, found), strict=True)))
    values = some.standardised.astype(np.float32) @ np.asarray(linear_weights(params))
    return explained(values, some.gains, some.mask)
