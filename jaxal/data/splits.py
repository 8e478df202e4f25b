"""Disjoint splits of a data set: stratified by class, never through a group, reproducible from a seed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxal.config import Config, SplitConfig
from jaxal.data.dataset import DataError, Dataset
from jaxal.data.group_splits import POOLS, NoRoom, draw_groups, largest_that_fits
from jaxal.data.wording import few

PARTS = ("source_pool", "pool", "state", "reward", "validation", "test")
SOURCE_PARTS = ("source_pool", "state", "reward", "validation")  # of a data set that is only trained on
DRAWN = ("test", "reward", "validation", "state", "source_pool", "pool")  # in this order


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
    """Rows of each part that is drawn, in the order of drawing, when `n` rows are to be cut.

    By default a fifth of the rows is for testing (1,000 at the most; none where there is an official test split),
    3 in 20 each for reward and validation (500 at the most), and the rest is halved between the two pools (2,000
    each at the most).
    """
    held = min(500, n * 3 // 20)
    auto = {"reward": held, "validation": held, "test": min(1000, n // 5)}
    one_pool = train_only or config.protocol == "paper"
    unused = {"test": official_test or train_only, "pool": one_pool}
    out = {name: getattr(config, name) or auto.get(name, 0) for name in DRAWN if not unused.get(name)}
    automatic = [name for name in POOLS if out.get(name) == 0]
    left = max(n - sum(out.values()), 0)
    out.update({name: min(2000, left // len(automatic)) for name in automatic})
    return out


def split(dataset: Dataset, config: SplitConfig, seed: int, train_only: bool = False) -> Split:
    """Cuts a data set. One that is only trained on needs no test rows, and one pool.

    Where the data set has an official test split, that is the test part (all of it, unless `config.test` asks for
    fewer), and the other parts come from the rest. Parts have exactly the rows that the config asks for; with groups,
    the automatic ones may have fewer (see `group_splits.draw_groups`).

    Raises:
      DataError: when the data set has too few rows or groups for the parts asked for, or a pool lacks a class.
    """
    rng = np.random.default_rng([seed, 0x5111])
    official = np.zeros(len(dataset), bool) if dataset.official is None else dataset.official == "test"
    free = np.flatnonzero(~official)
    wanted = sizes(len(free), config, bool(official.any()), train_only)
    parts: dict[str, np.ndarray] = {}
    if official.any():
        rows = np.flatnonzero(official)
        parts |= _draw(rows, dataset, {"test": config.test or len(rows)}, config, rng)
    parts |= _draw(free, dataset, wanted, config, rng)
    parts.setdefault("test", free[:0])
    parts.setdefault("pool", parts["source_pool"])
    for name in POOLS:
        _check_classes(dataset, name, parts[name], free)
    return Split(*(parts[name] for name in PARTS))


def _check_classes(dataset: Dataset, name: str, pool: np.ndarray, free: np.ndarray) -> None:
    """That a pool has every class; `free` are the rows that it could have been drawn from."""
    lacking = np.setdiff1d(np.arange(len(dataset.classes)), dataset.labels[pool])
    if not len(lacking):
        return
    inside = [free[dataset.labels[free] == c] for c in lacking]
    stands = [f"{dataset.classes[c]} ({len(rows):,} rows)" for c, rows in zip(lacking, inside, strict=True)]
    why = ""
    if dataset.groups is not None:
        held = [f"{len(np.unique(dataset.groups[rows])):,}" for rows in inside]
        why = f"; they stand in {few(held)} groups, and a group in one part alone"
    outside = " outside of the test split" if len(free) < len(dataset) else ""
    raise DataError(
        f"{dataset.name}: the {name} of {len(pool):,} rows has no row of {few(stands)}{outside}{why}; "
        "give more rows of such classes or leave them out"
    )


def _draw(
    free: np.ndarray, dataset: Dataset, wanted: dict[str, int], config: SplitConfig, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Rows of each part out of `free`, in the order of `wanted`: stratified, and in whole groups."""
    left = len(free)
    for name, size in wanted.items():
        if size > left:
            raise DataError(
                f"{dataset.name}: {size} rows asked for {name}, but only {left} of {len(dataset)} are left; "
                "ask for smaller parts (--split.*) or give more data"
            )
        left -= size
    if dataset.groups is not None:
        return _draw_groups(free, dataset, wanted, config, rng)
    parts = {}
    for name, size in wanted.items():
        drawn = _stratified(free, dataset.labels[free], size, rng) if size else free[:0]
        parts[name], free = np.sort(drawn), np.setdiff1d(free, drawn)
    return parts


def _stratified(free: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` rows, each class in proportion (largest remainders)."""
    classes, sizes_ = np.unique(labels, return_counts=True)
    shares = sizes_ * count / len(free)
    take = np.floor(shares).astype(int)
    take[np.argsort(take - shares, kind="stable")[: count - take.sum()]] += 1
    picks = [rng.permutation(free[labels == c])[:k] for c, k in zip(classes, take, strict=True)]
    return np.concatenate(picks)


def _draw_groups(
    free: np.ndarray, dataset: Dataset, wanted: dict[str, int], config: SplitConfig, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    assert dataset.groups is not None
    groups, labels = dataset.groups[free], dataset.labels[free]
    flexible = frozenset(name for name in wanted if not getattr(config, name))
    wanted = {name: max(size, 1) for name, size in wanted.items()}
    try:
        return draw_groups(free, labels, groups, wanted, flexible, rng)
    except NoRoom:
        raise DataError(f"{dataset.name}: {_no_room(groups, wanted, flexible)}") from None


def _no_room(groups: np.ndarray, wanted: dict[str, int], flexible: frozenset[str]) -> str:
    """Why whole groups do not fill the parts, and what would do."""
    sizes_ = np.unique(groups, return_counts=True)[1]
    held = f"{len(sizes_):,} groups of {sizes_.min():,} to {sizes_.max():,} rows"
    if len(sizes_) < len(wanted):
        paper = ", or --split.protocol paper, with one pool" if {*POOLS} <= wanted.keys() else ""
        return (
            f"{held} cannot fill {len(wanted)} parts ({', '.join(wanted)}), since a group stands in one part alone; "
            f"give at least {len(wanted)} groups{paper}"
        )
    asked = [name for name in wanted if name not in flexible]
    ways = {name: largest_that_fits(groups, wanted, flexible, name) for name in asked}
    advice = [f"--split.{name} {size}" for name, size in ways.items() if size]
    return (
        f"{held} cannot fill {', '.join(f'{name} ({wanted[name]:,} rows)' for name in asked)} and leave one for each "
        f"other part, since a group stands in one part alone; {' or '.join(advice) or 'smaller parts'} would do"
    )


def split_all(config: Config, dataset: Dataset, *, train_only: bool = False) -> list[Split]:
    """The split of each seed."""
    first = config.evaluation.first_seed
    return [split(dataset, config.split, first + i, train_only) for i in range(config.evaluation.seeds)]


def check_parts(dataset: Dataset, splits: Sequence[Split], needed: Sequence[str]) -> None:
    """That no part that is needed is empty in any split.

    Raises:
      DataError: one line.
    """
    for name in needed:
        if not all(len(getattr(parts, name)) for parts in splits):
            raise DataError(f"{dataset.name}: {len(dataset)} rows leave none for {name}; give more, or --split.{name}")
