"""Tasks: standardised latents, Gram matrices, padding and banks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from worlds import cut

from jaxal.data.splits import Rows
from jaxal.tasks import task as tasks
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import make_task


@pytest.fixture
def rows(wine) -> Rows:
    return cut(wine, 60, 10, 40)


def everything(dataset, rows: Rows) -> np.ndarray:
    p = reference.make_problem(dataset.inputs, dataset.labels, rows, "euclidean")
    return reference.with_one(np.vstack([p.pool, p.state, p.holdout]))


def test_standardised_by_the_pool(wine, rows):
    pool, other = tasks.standardise(wine.inputs[rows.pool], wine.inputs[rows.state])
    np.testing.assert_allclose(pool.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.mean(np.sum(pool**2, 1)), 1, rtol=1e-5)
    mean, deviation = wine.inputs[rows.pool].mean(0), wine.inputs[rows.pool].std(0)
    np.testing.assert_allclose(other, (wine.inputs[rows.state] - mean) / deviation / np.sqrt(13), rtol=1e-3, atol=1e-5)
    assert pool.dtype == other.dtype == np.float32


def test_constant_columns_become_zero_and_do_not_count():
    x = np.random.default_rng(0).normal(5, 2, (40, 6)).astype(np.float32)
    x[:, [1, 4]] = [3.3, 1e9]
    pool, other = tasks.standardise(x, x[:3] + 1)
    assert not pool[:, [1, 4]].any() and not other[:, [1, 4]].any()
    np.testing.assert_allclose(np.mean(np.sum(pool**2, 1)), 1, rtol=1e-5)


def test_large_offsets_do_not_cost_precision():
    x = np.random.default_rng(0).normal(0, 1, (40, 3))
    shifted, straight = tasks.standardise((x + 1e3).astype(np.float32)), tasks.standardise(x.astype(np.float32))
    np.testing.assert_allclose(shifted[0], straight[0], atol=1e-3)


def test_missing_values_become_the_median_of_the_pool():
    rng = np.random.default_rng(0)
    x, y = (rng.exponential(1, (n, 4)).astype(np.float32) for n in (31, 8))
    holes, others = x.copy(), y.copy()
    holes[3:9, 1], others[2, 1] = np.nan, np.nan
    median = np.nanmedian(holes[:, 1])
    x[3:9, 1], y[2, 1] = median, median
    for found, truth in zip(tasks.standardise(holes, others), tasks.standardise(x, y), strict=True):
        np.testing.assert_allclose(found, truth, atol=1e-5)


def test_gram_matrix(wine, rows):
    bank = make_task(wine.inputs, wine.labels, rows, distance=DISTANCES["euclidean"])
    z = everything(wine, rows)
    assert bank.gram is not None and bank.holdout_gram is not None
    np.testing.assert_allclose(np.hstack([bank.gram[0], bank.holdout_gram[0]]), z[:60] @ z.T, atol=1e-5)
    np.testing.assert_allclose(bank.norms[0], np.sum(z[:60, :-1] ** 2, 1), rtol=1e-4)
    np.testing.assert_array_equal(bank.pool_labels[0], wine.labels[rows.pool])
    np.testing.assert_array_equal(bank.holdout_labels[0], wine.labels[rows.holdout])
    assert tasks.select(bank, jnp.int32(0)).shape == (60, 10, 40)


@pytest.mark.parametrize("gram_limit", [0, 2**31])
@pytest.mark.parametrize("metric", ["euclidean", "squared_euclidean", "cosine"])
def test_columns_and_distances(wine, rows, metric, gram_limit):
    bank = make_task(wine.inputs, wine.labels, rows, distance=DISTANCES[metric], gram_limit=gram_limit)
    assert (bank.gram is None) == (gram_limit == 0)
    task, picks = tasks.select(bank, jnp.int32(0)), jnp.array([3, 59, 0])
    columns = tasks.columns(task, picks)
    z = everything(wine, rows)
    np.testing.assert_allclose(columns, z[np.asarray(picks)] @ z.T, atol=1e-5)
    problem = reference.make_problem(wine.inputs, wine.labels, rows, metric)
    truth = problem.distances[np.asarray(picks)]
    found = tasks.distance_columns(DISTANCES[metric], task, columns, picks)
    np.testing.assert_allclose(found, truth, atol=2e-3)
    apart = truth > 1e-6
    np.testing.assert_allclose(np.asarray(found)[apart], truth[apart], rtol=1e-4)
    np.testing.assert_allclose(task.geometry.scale, problem.scale, rtol=1e-5)


def test_padding_is_marked_and_leaves_the_rest_alone(wine, rows):
    own = make_task(wine.inputs, wine.labels, rows, distance=DISTANCES["euclidean"])
    padded = make_task(wine.inputs, wine.labels, rows, distance=DISTANCES["euclidean"], shape=(70, 10, 45), classes=5)
    task = tasks.select(padded, jnp.int32(0))
    assert task.shape == (70, 10, 45)
    np.testing.assert_array_equal(task.pool_mask, np.arange(70) < 60)
    np.testing.assert_array_equal(task.holdout_labels[40:], -1)
    np.testing.assert_array_equal(task.class_mask, [True] * 3 + [False] * 2)
    columns = lambda bank: tasks.columns(tasks.select(bank, jnp.int32(0)), jnp.arange(60))
    np.testing.assert_allclose(columns(padded)[:, np.r_[0:60, 70:80, 80:120]], columns(own), atol=1e-6)
    for name in ("total", "local_density"):
        ours, theirs = getattr(own.geometry, name)[0], getattr(padded.geometry, name)[0]
        np.testing.assert_allclose(theirs[:60], ours, rtol=1e-5)
        assert not np.asarray(theirs[60:]).any()
    np.testing.assert_allclose(padded.geometry.scale, own.geometry.scale, rtol=1e-5)


def test_a_bank_gives_back_its_tasks(wine, breast_cancer):
    parts = []
    for dataset, seed in ((wine, 0), (breast_cancer, 1), (wine, 2)):
        rows = cut(dataset, 50, 10, 40, seed)
        parts.append(
            make_task(dataset.inputs, dataset.labels, rows, distance=DISTANCES["cosine"], shape=(55, 10, 44), classes=3)
        )
    bank = tasks.stack(parts, (3,))
    np.testing.assert_array_equal(bank.number, [0, 1, 2])
    pick = jax.jit(lambda bank, i: (tasks.select(bank, i), tasks.columns(tasks.select(bank, i), jnp.array([4, 7]))))
    for i, part in enumerate(parts):
        task, columns = pick(bank, i)
        np.testing.assert_array_equal(columns, tasks.columns(tasks.select(part, jnp.int32(0)), jnp.array([4, 7])))
        np.testing.assert_array_equal(task.pool_labels, part.pool_labels[0])
        np.testing.assert_array_equal(task.geometry.total, part.geometry.total[0])
        assert bool(task.class_mask[2]) == (i != 1)


@pytest.mark.parametrize("needs", [tasks.GRAM_ALONE, tasks.Needs(latents=True)])
def test_tasks_that_differ_in_their_holdout_rows_share_the_rest(wine, needs):
    """Padding between two hold-out parts, and each part alone, give what each gives as a task of its own."""
    euclidean = DISTANCES["euclidean"]
    make = lambda rows, **more: make_task(wine.inputs, wine.labels, rows, distance=euclidean, needs=needs, **more)
    each = [cut(wine, 60, 10, 40, seed) for seed in range(2)]
    lengths = [(25, 15), (22, 18)]  # of the two parts, padded to (25, 18)
    joint = []
    for rows, (first, second) in zip(each, lengths, strict=True):
        a, b = rows.holdout[:first], rows.holdout[first : first + second]
        holdout = np.concatenate([np.pad(a, (0, 25 - first), constant_values=-1), b])
        joint.append(make(rows._replace(holdout=holdout), shape=(60, 10, 43)))
    bank = tasks.stack(joint, (2, 1))
    for part, chosen in ((0, slice(0, 25)), (1, slice(25, None))):
        found = tasks.scored_on(bank, chosen)
        assert found.gram is bank.gram and found.geometry is bank.geometry
        for seed, (rows, (first, second)) in enumerate(zip(each, lengths, strict=True)):
            own = rows.holdout[:first] if part == 0 else rows.holdout[first : first + second]
            alone = make(rows._replace(holdout=own), shape=(60, 10, (25, 18)[part]))
            mine = jax.tree.map(lambda x, seed=seed: x[seed], found)
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), mine, alone)


def test_state_rows_cannot_be_padded(wine, rows):
    with pytest.raises(AssertionError, match="state rows"):
        make_task(wine.inputs, wine.labels, rows, distance=DISTANCES["euclidean"], shape=(60, 12, 40))
