"""Statistics of learning curves: areas, intervals, paired tests, labels to a target. NumPy and SciPy.

Arrays are [seeds, starts, ...]. Episodes of one seed share their split and their trained policy, so the seed
is the unit of evidence: intervals resample seeds first, tests use one number a seed, and more starts add
no seeds.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


class Comparison(NamedTuple):
    """Strategy a against strategy b on the same episodes; positive favours a."""

    difference: float  # mean of a - b
    ci95: tuple[float, float]  # cluster bootstrap
    p: float | None  # two-sided paired t-test on the seeds' means; None with one seed
    effect_size: float | None  # Cohen's d_z of the seeds' means; None with one seed or no spread between seeds


class TargetSummary(NamedTuple):
    """Labels to a target over all episodes."""

    median: float | None  # None: fewer than half of the episodes reached it
    reached: float  # share of episodes, 0..1


def aulc(curves: ArrayLike) -> np.ndarray:
    """Area under learning curves [..., T + 1], divided by its length: [...], in the units of the curve.

    The mean over the points, the initial set's included, as the labels grow by the same number every step.
    """
    return np.mean(_array(curves, 1), axis=-1)


def interval(values: ArrayLike, level: float, *, resamples: int = 2000, seed: int = 0) -> np.ndarray:
    """Percentile interval of the mean over seeds and starts, by a cluster bootstrap.

    Each resample draws seeds with replacement, then starts with replacement within every drawn seed. With one
    seed only the starts are resampled: the interval then speaks for that split and that trained policy, not
    for others. With few seeds it is too narrow (in simulations with as much spread between seeds as within, a
    nominal 95% covers about 80% at 3 seeds and 91% at 8), so let `compare`'s p decide what is evidence.

    Args:
      values: [seeds, starts, ...]; numbers [seeds, starts] or whole curves [seeds, starts, T + 1].
      level: 0..1, such as 0.68 or 0.95.
      resamples: bootstrap resamples.
      seed: of the resampling; the same seed draws the same episodes for every array of one shape.

    Returns:
      [2, ...]: low and high, pointwise for curves.
    """
    values = _array(values, 2)
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must be between 0 and 1")
    seeds, starts = values.shape[:2]
    episodes = seeds * starts
    rng = np.random.default_rng(seed)
    drawn = rng.integers(seeds, size=(resamples, seeds, 1)) * starts
    drawn = drawn + rng.integers(starts, size=(resamples, seeds, starts))
    # Counts of every episode in every resample make the means of all resamples one matrix product.
    rows = np.arange(resamples)[:, None] * episodes
    counts = np.bincount((rows + drawn.reshape(resamples, episodes)).ravel(), minlength=resamples * episodes)
    means = counts.reshape(resamples, episodes) @ values.reshape(episodes, -1) / episodes
    low_high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low_high.reshape(2, *values.shape[2:])


def compare(a: ArrayLike, b: ArrayLike, *, resamples: int = 2000, seed: int = 0) -> Comparison:
    """Paired comparison of [seeds, starts] AULCs from the same episodes; positive: a is better."""
    a, b = _array(a, 2), _array(b, 2)
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"a is {a.shape} and b is {b.shape}; both must be [seeds, starts], episode by episode")
    differences = a - b
    low, high = interval(differences, 0.95, resamples=resamples, seed=seed)
    by_seed = differences.mean(1)
    p = effect_size = None
    if len(by_seed) > 1:
        spread = by_seed.std(ddof=1)
        if spread > 0:
            effect_size = float(by_seed.mean() / spread)
            t = effect_size * np.sqrt(len(by_seed))
            p = float(2 * stats.t.sf(abs(t), len(by_seed) - 1))
        elif not by_seed.any():
            p = 1.0  # two strategies that pick the same points, as margin and entropy do with two classes
    return Comparison(float(differences.mean()), (float(low), float(high)), p, effect_size)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p values, in the given order; None stays None, and does not count as a test."""
    tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, i) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[i] = largest
    return adjusted


def labels_to_target(curves: ArrayLike, labels: ArrayLike, target: float) -> np.ndarray:
    """Number of labels at which each curve [..., T + 1] first reaches `target`: [...], NaN if never.

    Args:
      curves: [..., T + 1].
      labels: [T + 1] number of labels at each point.
      target: in the units of the curves; reaching it exactly counts.
    """
    curves, labels = _array(curves, 1), _array(labels, 1)
    if labels.shape != curves.shape[-1:]:
        raise ValueError(f"labels are {labels.shape}; curves {curves.shape} need {curves.shape[-1:]}")
    reached = curves >= target
    return np.where(reached.any(-1), labels[reached.argmax(-1)], np.nan)


def target_summary(needed: ArrayLike) -> TargetSummary:
    """Median and share reached of `labels_to_target`'s numbers, every censored episode counting as infinite.

    The median is Kaplan and Meier's: the fewest labels by which half of the episodes have reached the target.
    """
    needed = _array(needed, 1).ravel()
    in_order = np.sort(np.where(np.isnan(needed), np.inf, needed))
    median = in_order[(len(in_order) + 1) // 2 - 1]
    return TargetSummary(float(median) if np.isfinite(median) else None, float(np.mean(~np.isnan(needed))))


def quarters(curves_a: ArrayLike, curves_b: ArrayLike) -> np.ndarray:
    """Mean of a - b in each quarter of the curves [..., T + 1], early to late: [4]; positive: a is better.

    When the points do not divide by four the earlier quarters have one more; with fewer than four points the
    late quarters are empty and NaN.
    """
    a, b = _array(curves_a, 1), _array(curves_b, 1)
    if a.shape != b.shape:
        raise ValueError(f"curves_a are {a.shape} and curves_b are {b.shape}; both must be the same episodes")
    differences = (a - b).reshape(-1, a.shape[-1]).mean(0)
    return np.array([part.mean() if len(part) else np.nan for part in np.array_split(differences, 4)])


def rounded(values: np.ndarray) -> list[Any]:
    """As nested lists, in the digits that float32 has; NaN becomes null."""
    short = np.round(np.asarray(values, np.float64), 6)
    return np.where(np.isnan(short), np.array(None), short).tolist()


def _array(values: ArrayLike, rank: int) -> np.ndarray:
    values = np.asarray(values, float)
    if values.ndim < rank or values.size == 0:
        raise ValueError(f"the array is {values.shape}; it needs at least {rank} axes and one value")
    return values
