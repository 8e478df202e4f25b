"""Distances equal scipy's, and the running sums equal sums made afresh."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import SCIPY_NAMES
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from jaxal.registry import UnknownNameError
from jaxal.tasks import distances
from jaxal.tasks.distances import DISTANCES, Distance

POOL = 57
USED = np.arange(POOL) < 50  # the last 7 rows are padding


@pytest.fixture
def points(digits) -> np.ndarray:
    x = digits.inputs[:POOL] / 16.0 - 0.3
    return np.where(USED[:, None], x, 0.0).astype(np.float32)


def scipy_distances(metric: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return cdist(x.astype(np.float64), y.astype(np.float64), SCIPY_NAMES[metric])


def apart(metric: str, x: np.ndarray) -> np.ndarray:
    """Distances [50, 50] between the points that are not padding."""
    d = scipy_distances(metric, x[USED], x[USED])
    np.fill_diagonal(d, 0.0)
    return d


@pytest.mark.parametrize("metric", DISTANCES)
def test_pairwise_equals_cdist(metric, points):
    x, y = points[:30], points[20:50]  # ten points are in both
    found = np.asarray(distances.pairwise(DISTANCES[metric], jnp.asarray(x), jnp.asarray(y)))
    truth = scipy_distances(metric, x, y)
    same = truth < 1e-9
    np.testing.assert_allclose(found[~same], truth[~same], rtol=2e-5, atol=2e-6)
    # At distance zero rounding leaves about the square root of float32's precision.
    assert found[same].min() >= 0 and found[same].max() < 5e-3 and same.sum() >= 10


@pytest.mark.parametrize("metric", DISTANCES)
def test_nearly_equal_points_do_not_go_below_zero(metric):
    rng = np.random.default_rng(0)
    x = (100 + rng.normal(0, 1e-4, (40, 8))).astype(np.float32)
    found = np.asarray(distances.pairwise(DISTANCES[metric], jnp.asarray(x), jnp.asarray(x)))
    assert np.isfinite(found).all() and found.min() >= 0


@pytest.mark.parametrize("metric", DISTANCES)
def test_zero_vectors_have_finite_distances(metric):
    x = jnp.zeros((3, 4)).at[0, 0].set(1.0)
    assert np.isfinite(distances.pairwise(DISTANCES[metric], x, x)).all()


@pytest.mark.parametrize("block", [7, 57, 512])
@pytest.mark.parametrize("metric", DISTANCES)
def test_totals_sum_over_the_rows_in_use(metric, block, points):
    found = distances.totals(DISTANCES[metric], jnp.asarray(points), jnp.asarray(USED), block)
    np.testing.assert_allclose(np.asarray(found)[USED], apart(metric, points).sum(1), rtol=1e-4)


@pytest.mark.parametrize("block", [7, 512])
@pytest.mark.parametrize("metric", DISTANCES)
def test_local_density_is_the_mean_of_the_ten_nearest(metric, block, points):
    found, rows = distances.local_density(DISTANCES[metric], jnp.asarray(points), jnp.asarray(USED), block)
    d = apart(metric, points)
    truth = [np.mean(sorted(np.delete(d[i], i))[:10]) for i in range(len(d))]
    np.testing.assert_allclose(np.asarray(found)[USED], truth, rtol=1e-4)
    place = np.cumsum(USED) - 1  # of a row among those in use
    for i, nearest in enumerate(place[np.asarray(rows)[USED]]):
        assert len(set(nearest) - {i}) == 10
        np.testing.assert_allclose(np.mean(d[i, nearest]), truth[i], rtol=1e-4)


def test_local_density_of_a_pool_smaller_than_the_neighbourhood():
    x = jnp.array([[0.0], [1.0], [3.0], [9.0]])
    found, _ = distances.local_density(DISTANCES["euclidean"], x, jnp.array([True, True, True, False]))
    np.testing.assert_allclose(found[:3], [2.0, 1.5, 2.5], rtol=1e-6)


@pytest.mark.parametrize("metric", DISTANCES)
def test_random_anchors_stand_for_a_large_pool(metric, digits, monkeypatch):
    x, used = jnp.asarray(digits.inputs / 16.0), jnp.asarray(np.arange(len(digits.inputs)) < 1700)
    whole = distances.geometry(DISTANCES[metric], x, used)
    monkeypatch.setattr(distances, "ANCHORS", 600)
    found = distances.geometry(DISTANCES[metric], x, used)
    np.testing.assert_allclose(found.scale, whole.scale, rtol=0.01)
    for name, alike in {"total": 0.99, "local_density": 0.85}.items():
        assert spearmanr(getattr(whole, name)[:1700], getattr(found, name)[:1700]).statistic > alike
        assert not np.asarray(getattr(found, name)[1700:]).any()


def test_anchors_are_rows_in_use(points, monkeypatch):
    metric = DISTANCES["euclidean"]
    x, few = jnp.asarray(points), jnp.asarray(np.arange(POOL) % 3 == 0)
    whole = distances.geometry(metric, x, few)
    monkeypatch.setattr(distances, "ANCHORS", int(few.sum()))  # as many as there are, and so all of them
    found = distances.geometry(metric, x, few)
    np.testing.assert_array_equal(np.sort(found.neighbours[few]), np.sort(whole.neighbours[few]))
    chex.assert_trees_all_close(found._replace(neighbours=whole.neighbours), whole, rtol=1e-4)


@pytest.mark.parametrize("metric", DISTANCES)
def test_running_sums_after_fifty_steps(metric, digits):
    rng = np.random.default_rng(1)
    x = (digits.inputs[:200] / 16.0 - 0.3).astype(np.float32)
    used = np.arange(200) < 180
    d = scipy_distances(metric, x, x)
    np.fill_diagonal(d, 0.0)
    state = distances.geometry(DISTANCES[metric], jnp.asarray(x), jnp.asarray(used))
    np.testing.assert_allclose(state.scale, d[:180, :180].sum() / (180 * 179), rtol=1e-5)
    extend = jax.jit(distances.extend)
    picks, labelled = rng.permutation(180)[:150].reshape(50, 3), []
    for step, three in enumerate(picks):
        new = np.array([True, step % 2 == 0, True])  # every other step has a padded entry
        columns = distances.pairwise(DISTANCES[metric], jnp.asarray(x[three]), jnp.asarray(x))
        state = extend(state, columns, jnp.asarray(new))
        labelled += list(three[new])
    rest = np.setdiff1d(np.arange(180), labelled)
    scale = float(state.scale)
    assert int(state.labelled_size) == len(labelled) == 125
    mean_labelled, mean_unlabelled = d[:, labelled].mean(1) / scale, d[:, rest].mean(1) / scale
    np.testing.assert_allclose(distances.mean_labelled(state)[rest], mean_labelled[rest], rtol=1e-4)
    np.testing.assert_allclose(distances.mean_unlabelled(state)[rest], mean_unlabelled[rest], rtol=1e-3)
    nearest = d[:, labelled].min(1) / scale
    np.testing.assert_allclose(state.nearest_labelled[rest], nearest[rest], rtol=1e-4, atol=1e-5)


def test_nothing_labelled_yet(points):
    state = distances.geometry(DISTANCES["euclidean"], jnp.asarray(points), jnp.asarray(USED))
    assert float(state.labelled_size) == 0 and int(state.pool_size) == 50
    assert not np.asarray(distances.mean_labelled(state)).any()
    assert np.isinf(state.nearest_labelled).all()
    np.testing.assert_allclose(
        np.asarray(distances.mean_unlabelled(state))[USED] * float(state.scale),
        apart("euclidean", points).mean(1),
        rtol=1e-4,
    )


def test_products_are_made_in_full_precision():
    lowered = jax.jit(distances.inner).lower(jnp.ones((2, 3)), jnp.ones((4, 3))).as_text()
    assert "precision = [HIGHEST, HIGHEST]" in lowered


def test_an_unknown_distance_is_refused_and_told_what_there_is():
    with pytest.raises(UnknownNameError, match="unknown distance 'manhatten'; there are euclidean, squared_euclidean"):
        DISTANCES["manhatten"]


@pytest.mark.parametrize("wrong", [jnp.ones(4), jnp.ones((3, 4, 1)), jnp.ones((3, 5))])
def test_arrays_of_another_rank_or_size_are_refused(wrong):
    with pytest.raises(AssertionError):
        distances.pairwise(DISTANCES["euclidean"], jnp.ones((3, 4)), wrong)


def test_a_distance_that_is_no_function_of_inner_products(points):
    manhattan = Distance(between=lambda x, y: jnp.sum(jnp.abs(x[:, None] - y[None]), -1))
    x = points[USED]
    d = cdist(x, x, "cityblock")
    np.testing.assert_allclose(distances.pairwise(manhattan, jnp.asarray(x), jnp.asarray(x)), d, rtol=1e-5, atol=1e-5)
    geometry = distances.geometry(manhattan, jnp.asarray(x), jnp.ones(len(x), bool))
    np.testing.assert_allclose(geometry.total, d.sum(1) / d.sum() * 50 * 49, rtol=1e-4)
