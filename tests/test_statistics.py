"""Statistics of learning curves: by hand, against SciPy, and by simulation; every sign has its own test."""

import numpy as np
import pytest
from scipy import stats

from jaxal.report.statistics import aulc, compare, holm, interval, labels_to_target, quarters, target_summary

SEEDS, STARTS = 6, 4


def episodes(seed=0, seeds=SEEDS, starts=STARTS, between=1.0, within=1.0):
    rng = np.random.default_rng(seed)
    return between * rng.normal(size=(seeds, 1)) + within * rng.normal(size=(seeds, starts))


def test_aulc_is_the_mean_height():
    curves = np.array([[[0.0, 0.5, 1.0], [0.2, 0.2, 0.8]]])
    np.testing.assert_allclose(aulc(curves), [[0.5, 0.4]])


def test_interval_of_one_start_a_seed_is_scipys_bootstrap():
    values = episodes(starts=1, seeds=12)
    reference = stats.bootstrap(
        (values[:, 0],), np.mean, confidence_level=0.9, method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    np.testing.assert_allclose(interval(values, 0.9, resamples=20_000), reference, atol=0.02)


def test_interval_resamples_seeds_then_starts():
    """Against the variance of the two-stage bootstrap in closed form."""
    values = episodes()
    by_seed = values.mean(1)
    variance = by_seed.var() / SEEDS + values.var(1).mean() / (SEEDS * STARTS)
    low, high = interval(values, 0.6827, resamples=20_000)
    assert (high - low) / 2 == pytest.approx(np.sqrt(variance), rel=0.03)


def test_interval_of_one_seed_resamples_its_starts():
    values = episodes(seeds=1, starts=30)
    low, high = interval(values, 0.6827, resamples=20_000)
    assert (high - low) / 2 == pytest.approx(values.std() / np.sqrt(30), rel=0.03)


def test_interval_of_curves_is_the_interval_of_every_point():
    curves = np.stack([episodes(i) for i in range(3)], -1)
    band = interval(curves, 0.68)
    assert band.shape == (2, 3)
    for i in range(3):
        np.testing.assert_allclose(band[:, i], interval(curves[..., i], 0.68))
    assert (band[0] < curves.mean((0, 1))).all() and (curves.mean((0, 1)) < band[1]).all()


def test_interval_is_reproducible_and_widens_with_its_level():
    values = episodes()
    np.testing.assert_array_equal(interval(values, 0.95), interval(values, 0.95))
    assert not np.array_equal(interval(values, 0.95, seed=1), interval(values, 0.95))
    low, high = interval(values, 0.95) - interval(values, 0.68)
    assert low < 0 < high


def test_interval_covers_the_truth_when_seeds_differ():
    """Seeds that differ as much as their starts; an interval that ignored the seeds would cover about 65%."""
    covered = []
    for trial in range(300):
        low, high = interval(episodes(trial, seeds=20, starts=8), 0.95, resamples=300)
        covered.append(low <= 0 <= high)
    assert 0.89 <= np.mean(covered) <= 0.98


def test_the_better_strategy_has_the_positive_difference():
    worse = episodes()
    better = worse + 0.5 + 0.1 * episodes(1)
    forward, backward = compare(better, worse), compare(worse, better)
    assert forward.effect_size and backward.effect_size
    assert forward.difference == pytest.approx((better - worse).mean())
    assert forward.difference > 0 and forward.ci95[0] > 0 and forward.effect_size > 0
    assert backward.difference < 0 and backward.ci95[1] < 0 and backward.effect_size < 0
    np.testing.assert_allclose(backward.ci95, [-forward.ci95[1], -forward.ci95[0]], atol=0.02)


def test_compare_is_scipys_paired_test_on_the_means_of_the_seeds():
    a, b = episodes(), episodes(1) + 0.3
    found = compare(a, b)
    assert found.p == pytest.approx(stats.ttest_rel(a.mean(1), b.mean(1)).pvalue, rel=1e-9)
    differences = (a - b).mean(1)
    assert found.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))
    np.testing.assert_array_equal(found.ci95, interval(a - b, 0.95))


def test_more_starts_of_the_same_are_no_more_evidence():
    a, b = episodes(), episodes(1)
    once, often = compare(a, b), compare(np.tile(a, (1, 25)), np.tile(b, (1, 25)))
    assert often.p == pytest.approx(once.p) and often.effect_size == pytest.approx(once.effect_size)
    assert once.p is not None
    flat = stats.ttest_rel(np.tile(a, (1, 25)).ravel(), np.tile(b, (1, 25)).ravel()).pvalue
    assert flat < 0.1 * once.p  # what treating episodes as independent would have claimed


def test_p_is_uniform_when_nothing_differs():
    p = [compare(episodes(i, starts=8), np.zeros((SEEDS, 8)), resamples=2).p for i in range(300)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_one_seed_is_no_test():
    found = compare(episodes(seeds=1) + 5, episodes(1, seeds=1))
    assert found.p is None and found.effect_size is None
    assert found.difference > 0 and found.ci95[0] < found.difference < found.ci95[1]


def test_strategies_that_pick_the_same_do_not_differ():
    assert compare(episodes(), episodes()) == (0.0, (0.0, 0.0), 1.0, None)


def test_holm_by_hand():
    """Sorted: .01 x 4 = .04, .02 x 3 = .06, .03 x 2 = .06, .04 x 1 -> .06 (never falling)."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


def test_holm_leaves_out_what_was_not_tested():
    assert holm([None, 0.02, None, 0.9]) == [None, 0.04, None, 0.9]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_labels_to_target_is_the_first_to_reach_it():
    curves = [[[0.1, 0.5, 0.4, 0.9], [0.1, 0.2, 0.3, 0.4]], [[0.6, 0.1, 0.1, 0.1], [0.0, 0.1, 0.5, 0.6]]]
    found = labels_to_target(curves, [8, 13, 18, 23], 0.5)
    np.testing.assert_array_equal(found, [[13, np.nan], [8, 18]])


@pytest.mark.parametrize(
    ("needed", "median", "reached"),
    [
        ([[10, 20], [30, np.nan]], 20, 0.75),
        ([[10, 20], [np.nan, np.nan]], 20, 0.5),
        ([[10, np.nan], [np.nan, np.nan]], None, 0.25),
        ([[np.nan], [np.nan]], None, 0.0),
        ([[30, 10, 20]], 20, 1.0),
    ],
)
def test_median_with_censoring(needed, median, reached):
    assert target_summary(needed) == (median, reached)


def test_median_is_kaplan_and_meiers():
    rng = np.random.default_rng(0)
    times = rng.integers(1, 30, size=25).astype(float)
    needed = np.where(times > 18, np.nan, times)
    data = stats.CensoredData.right_censored(np.nan_to_num(needed, nan=18.0), np.isnan(needed))
    survival = stats.ecdf(data).sf
    assert target_summary(needed).median == survival.quantiles[survival.probabilities <= 0.5][0]


def test_quarters_are_in_order_and_signed():
    better = np.zeros((2, 3, 8))
    better[..., :2], better[..., 6:] = 0.4, -0.2
    np.testing.assert_allclose(quarters(better, np.zeros_like(better)), [0.4, 0, 0, -0.2])
    np.testing.assert_allclose(quarters(np.zeros_like(better), better), [-0.4, 0, 0, 0.2])
    np.testing.assert_array_equal(quarters([[[1.0, 2.0]]], [[[0.0, 0.0]]]), [1, 2, np.nan, np.nan])


@pytest.mark.parametrize(
    "call",
    [
        lambda: aulc([]),
        lambda: interval([1.0, 2.0], 0.95),
        lambda: interval(episodes(), 95),
        lambda: compare(episodes(), episodes(starts=STARTS + 1)),
        lambda: compare(episodes()[0], episodes()[0]),
        lambda: labels_to_target([[[0.1, 0.2]]], [1, 2, 3], 0.5),
        lambda: quarters(np.zeros((2, 2, 8)), np.zeros((2, 2, 9))),
    ],
)
def test_shapes_that_do_not_fit_are_refused_in_one_line(call):
    with pytest.raises(ValueError) as error:
        call()
    assert "\n" not in str(error.value)
