"""Disjoint splits of a data set: stratified by class, never through a group, reproducible from a seed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxal.config import Config, SplitConfig
from jaxal.data.dataset import DataError, Dataset

PARTS = ("source_pool", "pool", "state", "reward", "validation", "test")
SOURCE_PARTS = ("source_pool", "state", "reward", "validation")  # of a data set that is only trained on


class Rows(NamedTuple):
    """A task on the host, before it is padded: row numbers into a data set's latents."""

    pool: np.ndarray
    state: np.ndarray
    holdout: np.ndarray


class Split(NamedTuple):
    """Row numbers of each part; no row is in two."""

    source_pool: np.ndarray  # what the policy is trained to label
    pool: np.ndarray  # what the strategies are compared on
    state: np.ndarray
    reward: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def training(self) -> Rows:
        """The task that the policy is trained on."""
        return Rows(self.source_pool, self.state, self.reward)

    def validating(self) -> Rows:
        """The task that chooses between parameters."""
        return Rows(self.source_pool, self.state, self.validation)

    def testing(self) -> Rows:
        """The task that is reported."""
        return Rows(self.pool, self.state, self.test)


def sizes(n: int, config: SplitConfig, official_test: bool = False, train_only: bool = False) -> dict[str, int]:
    """Rows of each part when `n` rows are to be cut.

    By default a fifth of the rows is for testing (1,000 at the most; none where there is an official test split),
    3 in 20 each for reward and validation (500 at the most), and the rest is halved between the two pools (2,000
    each at the most).
    """
    held = min(500, n * 3 // 20)
    auto = {"reward": held, "validation": held, "test": min(1000, n // 5)}
    out = {name: getattr(config, name) or auto.get(name, 0) for name in PARTS}
    if official_test or train_only:
        out["test"] = 0
    pools = ("source_pool",) if train_only or config.protocol == "paper" else ("source_pool", "pool")
    if len(pools) == 1:
        out["pool"] = 0
    automatic = [name for name in pools if not out[name]]
    left = max(n - sum(out.values()), 0)
    out.update({name: min(2000, left // len(automatic)) for name in automatic})
    return out


def split(dataset: Dataset, config: SplitConfig, seed: int, train_only: bool = False) -> Split:
    """Cuts a data set. One that is only trained on needs no test rows, and one pool.

    Where the data set has an official test split, that is the test part (all of it, unless `config.test` asks for
    fewer), and the other parts come from the rest.

    Raises:
      DataError: when the data set has too few rows for the parts asked for, or a pool lacks a class.
    """
    rng = np.random.default_rng([seed, 0x5111])
    official = np.zeros(len(dataset), bool) if dataset.official is None else dataset.official == "test"
    free = np.flatnonzero(~official)
    wanted = sizes(len(free), config, bool(official.any()), train_only)
    parts: dict[str, np.ndarray] = {}
    if official.any():
        rows = np.flatnonzero(official)
        parts["test"], _ = _draw(rows, dataset, config.test or len(rows), rng, "test")
    for name in ("test", "reward", "validation", "state", "source_pool", "pool"):
        if name not in parts:
            parts[name], free = _draw(free, dataset, wanted[name], rng, name)
    if train_only or config.protocol == "paper":
        parts["pool"] = parts["source_pool"]
    for name in ("source_pool", "pool"):
        missing = len(dataset.classes) - len(np.unique(dataset.labels[parts[name]]))
        if missing:
            raise DataError(
                f"{dataset.name}: {missing} of the {len(dataset.classes)} classes have no row in the {name} of "
                f"{len(parts[name])} rows; give more rows or leave out rare classes"
            )
    return Split(*(parts[name] for name in PARTS))


def _draw(
    free: np.ndarray, dataset: Dataset, count: int, rng: np.random.Generator, part: str
) -> tuple[np.ndarray, np.ndarray]:
    """`count` rows of `free`, stratified and in whole groups: (drawn, left).

    Whole groups are taken in random order, each where its class is most short of its share, so with groups the count
    is met within one group's size and classes within a few rows.
    """
    if count > len(free):
        raise DataError(
            f"{dataset.name}: {count} rows asked for {part}, but only {len(free)} of {len(dataset)} are left; "
            "ask for smaller parts (--split.*) or give more data"
        )
    if count == 0:
        return free[:0], free
    if dataset.groups is None:
        drawn = _stratified(free, dataset.labels[free], count, rng)
    else:
        drawn = _stratified_groups(free, dataset.labels[free], dataset.groups[free], count, rng)
    return np.sort(drawn), np.setdiff1d(free, drawn)


def _stratified(free: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` rows, each class in proportion (largest remainders)."""
    classes, sizes_ = np.unique(labels, return_counts=True)
    shares = sizes_ * count / len(free)
    take = np.floor(shares).astype(int)
    take[np.argsort(take - shares, kind="stable")[: count - take.sum()]] += 1
    picks = [rng.permutation(free[labels == c])[:k] for c, k in zip(classes, take, strict=True)]
    return np.concatenate(picks)


def _stratified_groups(
    free: np.ndarray, labels: np.ndarray, groups: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """About `count` rows in whole groups, never more."""
    classes = np.unique(labels)
    room = np.array([np.sum(labels == c) for c in classes]) * count / len(free)
    taken, left = [], count
    for group in rng.permutation(np.unique(groups)):
        rows = groups == group
        counts = np.array([np.sum(labels[rows] == c) for c in classes])
        if rows.sum() <= left and np.all(counts <= np.ceil(room)):
            taken.append(free[rows])
            room = room - counts
            left -= int(rows.sum())
        if left == 0:
            break
    return np.concatenate(taken) if taken else free[:0]


def split_all(config: Config, dataset: Dataset, *, train_only: bool = False) -> list[Split]:
    """The split of each seed."""
    first = config.evaluation.first_seed
    return [split(dataset, config.split, first + i, train_only) for i in range(config.evaluation.seeds)]


def check_parts(dataset: Dataset, parts: Split, needed: Sequence[str]) -> None:
    """That no part of a split that is needed is empty.

    Raises:
      DataError: one line.
    """
    for name in needed:
        if not len(getattr(parts, name)):
            raise DataError(f"{dataset.name}: {len(dataset)} rows leave none for {name}; give more, or --split.{name}")
