"""Rows in whole groups (patients, slides) to the parts of a split, each part with exactly the rows that it asks for.

A group stands in one part alone. Where no whole groups add up to a part's number, the part gets groups with more rows
than it needs, and the rest of their rows is left out of the split.
"""

from collections.abc import Callable

import numpy as np

POOLS = ("source_pool", "pool")
DRAWS = 20  # random placements that are tried for each size of the parts
STEPS = 64  # to which the size of flexible parts is found
SHRUNK = 0.8  # where pools would be smaller than this share, the other flexible parts shrink with them


class NoRoom(Exception):
    """The groups are too few or too large for the parts."""


def draw_groups(
    rows: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    wanted: dict[str, int],
    flexible: frozenset[str],
    rng: np.random.Generator,
) -> dict[str, np.ndarray]:
    """Rows of each part, classes in proportion as far as the groups allow.

    Args:
      rows: [n] int, the rows that there are to draw from.
      labels, groups: [n] int, of these rows.
      wanted: rows of each part, 1 or more.
      flexible: parts that may get fewer rows where the groups leave no other way (the pools first, since they have
        what is left); every other part gets exactly as many as wanted.
      rng: draws.

    Returns:
      Rising row numbers of each part. No group is in two parts.

    Raises:
      NoRoom: when even one row for each flexible part is too many.
    """
    numbers, places = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(numbers), labels.max() + 1), int)
    np.add.at(counts, (places, labels), 1)
    homes = _share_out(counts, _homes(counts, wanted, flexible, rng), wanted, flexible)
    parts = {}
    for part, (name, size) in enumerate(wanted.items()):
        inside = np.flatnonzero(homes[places] == part)
        if len(inside) > size:
            inside = inside[_trimmed(labels[inside], counts.sum(0), size, rng)]
        parts[name] = np.sort(rows[inside])
    return parts


def largest_that_fits(groups: np.ndarray, wanted: dict[str, int], flexible: frozenset[str], part: str) -> int:
    """The most rows of `part`, up to those wanted, that leave a row for each flexible part; 0: there is no way.

    groups: [n] int, of the rows; other arguments as for `draw_groups`.
    """
    sizes = np.unique(groups, return_counts=True)[1]
    least = {name: 1 if name in flexible else size for name, size in wanted.items()}
    return _largest(lambda size: _fits(sizes, np.array([*(least | {part: size}).values()])), wanted[part])


def _largest(fits: Callable[[int], bool], high: int) -> int:
    """The largest of 1 to `high` that fits, if all that are smaller do; 0: none."""
    if fits(high):
        return high
    low, high = 0, high - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _homes(
    counts: np.ndarray, wanted: dict[str, int], flexible: frozenset[str], rng: np.random.Generator
) -> np.ndarray:
    """The number of the part that each group stands in, [G] int, -1: none, given rows by group and class [G, C]."""
    most, sizes = np.array([*wanted.values()]), counts.sum(1)
    loose, scale = _largest_scale(sizes, wanted, flexible)
    # At the largest scale few random orders of large groups lead anywhere; at a smaller one more do.
    scales = (scale, 0.9 * scale, 0.8 * scale) if scale < 1 else (scale,)
    best, absent = None, None
    for need in (_reduced(most, loose, scale) for scale in scales):
        for _ in range(DRAWS):
            homes = _place(counts, need, rng.permutation(len(counts)))
            if homes is None:
                continue
            lacking = _lacking(counts, homes, list(wanted))
            if absent is None or lacking < absent:
                best, absent = homes, lacking
            if not any(lacking):
                return homes
    if best is None:
        best = _place_by_size(sizes, _reduced(most, loose, scale), rng.permutation(len(sizes)))
    assert best is not None, "by size alone, there was a way before"
    return best


def _largest_scale(sizes: np.ndarray, wanted: dict[str, int], flexible: frozenset[str]) -> tuple[np.ndarray, float]:
    """Which parts shrink [parts] bool, and to what share of what is wanted, so that groups of `sizes` [G] suffice."""
    most = np.array([*wanted.values()])
    for names in (frozenset(), flexible.intersection(POOLS), flexible):
        loose = np.array([name in names for name in wanted])
        steps = _largest(lambda step, loose=loose: _fits(sizes, _reduced(most, loose, step / STEPS)), STEPS)
        if steps >= SHRUNK * STEPS:
            return loose, steps / STEPS
    if not _fits(sizes, _reduced(most, loose, 0)):
        raise NoRoom
    return loose, steps / STEPS


def _reduced(most: np.ndarray, loose: np.ndarray, scale: float) -> np.ndarray:
    return np.where(loose, np.maximum(most * scale, 1).astype(int), most)


def _fits(sizes: np.ndarray, need: np.ndarray) -> bool:
    return _place_by_size(sizes, need, np.arange(len(sizes))) is not None


def _place_by_size(sizes: np.ndarray, need: np.ndarray, order: np.ndarray) -> np.ndarray | None:
    """As `_place`, by size alone: the largest groups first, each to the part that lacks most.

    Whether that leads to an end does not depend on `order`, which groups of one size are taken in.
    """
    left, homes = need.copy(), np.full(len(sizes), -1)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        if not left.any():
            break
        homes[group] = left.argmax()
        left[homes[group]] = max(left[homes[group]] - sizes[group], 0)
    return None if left.any() else homes


def _place(counts: np.ndarray, need: np.ndarray, order: np.ndarray) -> np.ndarray | None:
    """Homes [G] of the groups, so that every part has the rows that it needs, or None.

    counts: [G, C] rows by group and class. need: [parts]. order: [G] in which groups go to the first part that they
    fit in whole, no class above its share. The gaps that are left go to the groups that fill them best, and these may
    be too large; groups that come early in the order have an advantage, so that seeds differ where all are large.
    """
    sizes = counts.sum(1)
    left, room = need.copy(), need[:, None] * counts.sum(0) / sizes.sum()
    homes, weights = np.full(len(counts), -1), np.empty(len(counts))
    weights[order] = np.linspace(1, 0.5, len(order))

    def put(group: int, part: int) -> None:
        homes[group] = part
        left[part] = max(left[part] - sizes[group], 0)
        room[part] -= counts[group]

    for group in order:
        if not left.any():
            return homes
        fits = (sizes[group] <= left) & (counts[group] <= np.ceil(room)).all(1)
        if fits.any():
            put(group, int(fits.argmax()))
    while left.any():
        part = int(left.argmax())
        group = _best(counts, np.flatnonzero(homes < 0), left[part], room[part], weights)
        if group is None:
            return None
        put(group, part)
    return homes


def _best(counts: np.ndarray, free: np.ndarray, left: int, room: np.ndarray, weights: np.ndarray) -> int | None:
    """Of the groups `free`, the one that fills a gap of `left` rows best: with rows of the classes that are lacking,
    and with few rows too many. weights: [G], of the rows that fill it."""
    if not len(free):
        return None
    sizes = counts[free].sum(1)
    useful = np.minimum(np.minimum(counts[free], np.maximum(np.ceil(room), 0)).sum(1), left) * weights[free]
    return int(free[np.lexsort((-sizes, np.maximum(sizes - left, 0), -useful))[0]])


def _lacking(counts: np.ndarray, homes: np.ndarray, names: list[str]) -> tuple[int, int]:
    """How many classes the pools lack, and the parts with labels in all."""
    present = np.array([counts[homes == part].any(0) for part in range(len(names))])
    absent = (counts.any(0) & ~present).sum(1)
    pools = sum(n for n, name in zip(absent, names, strict=True) if name in POOLS)
    return int(pools), int(sum(n for n, name in zip(absent, names, strict=True) if name != "state"))


def _share_out(counts: np.ndarray, homes: np.ndarray, wanted: dict[str, int], flexible: frozenset[str]) -> np.ndarray:
    """`homes`, with the groups that are left over given to the flexible parts that have fewer rows than wanted."""
    homes, most = homes.copy(), np.array([*wanted.values()])
    covered = np.array([counts[homes == part].sum(0) for part in range(len(most))])
    targets = most[:, None] * counts.sum(0) / counts.sum()
    loose = np.array([name in flexible for name in wanted])
    while True:
        short = np.where(loose, np.maximum(most - covered.sum(1), 0), 0)
        part = int((short / most).argmax())
        room = targets[part] - covered[part]
        group = _best(counts, np.flatnonzero(homes < 0), short[part], room, np.ones(len(counts)))
        if not short.any() or group is None:
            return homes
        homes[group] = part
        covered[part] += counts[group]


def _trimmed(labels: np.ndarray, totals: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Places of `size` of the rows [n], classes near to their share in `totals` [C], none left without a row."""
    there = np.bincount(labels, minlength=len(totals))
    ideal = totals * size / totals.sum()
    take = np.minimum(there, np.floor(ideal).astype(int))
    if size >= np.count_nonzero(there):
        take = np.maximum(take, there > 0)
    while take.sum() != size:
        add = take.sum() < size
        free = take < there if add else take > 1
        take[np.where(free, (ideal - take) * (1 if add else -1), -np.inf).argmax()] += 1 if add else -1
    return np.concatenate([rng.permutation(np.flatnonzero(labels == c))[:k] for c, k in enumerate(take)])
