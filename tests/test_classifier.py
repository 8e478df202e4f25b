"""The linear probe in Gram space equals scikit-learn and descent on the weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from worlds import cut

from jaxal.classifiers.classifier import Fitted, Labelled
from jaxal.classifiers.linear_probe import linear_probe
from jaxal.config import ProbeConfig
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Needs, Task, make_task, select

SLOTS, BATCH = 36, 12  # three fits
DATA = ("digits", "wine", "breast_cancer")
EUCLIDEAN = DISTANCES["euclidean"]


@pytest.fixture
def dataset(request):
    return request.getfixturevalue(request.param)


def tasks(dataset, **options) -> tuple[Task, reference.Problem, np.ndarray]:
    """A task, the reference's view of it, and pool rows in the order in which they are labelled."""
    rows = cut(dataset, 100, 20, 50, seed=2)
    bank = make_task(dataset.inputs, dataset.labels, rows, distance=EUCLIDEAN, needs=Needs(latents=True), **options)
    order = np.concatenate([np.arange(BATCH), 20 + np.random.default_rng(0).permutation(80)])
    problem = reference.make_problem(dataset.inputs, dataset.labels, rows, "euclidean")
    return select(bank, jnp.int32(0)), problem, order[:SLOTS].astype(np.int32)


def fits(config: ProbeConfig, task: Task, order: np.ndarray, unused: tuple[int, ...] = ()):
    """Fits one after another, as an episode does: (points labelled, logits [R, C], the whole)."""
    probe = linear_probe(config, EUCLIDEAN)
    fit = jax.jit(probe.fit, static_argnums=4)
    fitted: Fitted = probe.init(task, SLOTS)
    for start in range(0, SLOTS, BATCH):
        mask = (np.arange(SLOTS) < start + BATCH) & ~np.isin(np.arange(SLOTS), unused)
        labelled = Labelled(jnp.asarray(np.where(mask, order, 0)), jnp.asarray(mask))
        fitted = fit(task, fitted, labelled, jnp.int32(start), BATCH, jax.random.key(0))
        yield order[mask], np.asarray(fitted.logits), fitted


def expected_logits(fit: reference.Fit, problem: reference.Problem, points: np.ndarray) -> np.ndarray:
    z = reference.with_one(np.vstack([problem.pool, problem.state, problem.holdout]))
    return z @ fit(z[points], problem.pool_labels[points], problem.classes)


def largest_difference(config: ProbeConfig, dataset, fit: reference.Fit) -> float:
    """Of the probabilities of all rows, over all fits of an episode."""
    task, problem, order = tasks(dataset)
    return max(
        np.abs(reference.softmax(logits) - reference.softmax(expected_logits(fit, problem, points))).max()
        for points, logits, _ in fits(config, task, order)
    )


@pytest.mark.parametrize("l2", [0.1, 1.0])
@pytest.mark.parametrize("dataset", DATA, indirect=True)
def test_newton_equals_scikit_learn(dataset, l2):
    config = ProbeConfig(solver="newton", l2=l2, iterations=60)
    assert largest_difference(config, dataset, reference.logistic(l2)) < 1e-3


@pytest.mark.parametrize("dataset", DATA, indirect=True)
def test_newton_converges_to_scikit_learn(dataset):
    config = ProbeConfig(solver="newton", l2=0.1, iterations=400)
    assert largest_difference(config, dataset, reference.logistic(0.1)) < 5e-5


@pytest.mark.parametrize("dataset", DATA, indirect=True)
def test_newton_as_configured_equals_scikit_learn(dataset):
    config = ProbeConfig()
    assert config.solver == "newton"
    assert largest_difference(config, dataset, reference.logistic(config.l2)) < 1e-3


@pytest.mark.parametrize("rate", [1e-4, 0.5])
@pytest.mark.parametrize("dataset", ["digits", "breast_cancer"], indirect=True)
def test_gd_equals_descent_on_the_weights(dataset, rate):
    config = ProbeConfig(solver="gd", learning_rate=rate, epochs=200)
    task, problem, order = tasks(dataset)
    for points, logits, _ in fits(config, task, order):
        truth = expected_logits(reference.descent(rate, 200), problem, points)
        np.testing.assert_allclose(logits, truth, rtol=1e-3, atol=1e-4 * np.abs(truth).max())


def test_gd_may_go_on_from_the_last_fit(wine):
    task, problem, order = tasks(wine)
    z = reference.with_one(np.vstack([problem.pool, problem.state, problem.holdout]))
    weights = np.zeros((z.shape[1], 3))
    config = ProbeConfig(solver="gd", learning_rate=0.5, epochs=20, restart=False)
    for points, logits, _ in fits(config, task, order):
        for _ in range(20):
            weights -= 0.5 * reference.cross_entropy_gradient(weights, z[points], problem.pool_labels[points])
        np.testing.assert_allclose(logits, z @ weights, rtol=1e-3, atol=1e-4)


def adam(rate: float, epochs: int) -> reference.Fit:
    """Kingma and Ba 2015, algorithm 1."""

    def fit(z, y, classes):
        weights = np.zeros((z.shape[1], classes))
        first, second = np.zeros_like(weights), np.zeros_like(weights)
        for t in range(1, epochs + 1):
            gradient = reference.cross_entropy_gradient(weights, z, y)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            weights -= rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        return weights

    return fit


def test_adam_equals_adam(wine):
    config = ProbeConfig(solver="adam", learning_rate=0.05, epochs=60)
    assert largest_difference(config, wine, adam(0.05, 60)) < 5e-4


SOLVERS = {
    "newton": (ProbeConfig(solver="newton", l2=0.1, iterations=200), reference.logistic(0.1)),
    "gd": (ProbeConfig(solver="gd", learning_rate=0.5, epochs=30), reference.descent(0.5, 30)),
    "adam": (ProbeConfig(solver="adam", learning_rate=0.05, epochs=30), adam(0.05, 30)),
}


@pytest.mark.parametrize("solver", SOLVERS)
def test_padding_and_empty_slots_change_nothing(solver, wine):
    """Padded pool rows, hold-out rows and classes, and label slots that stay empty."""
    config, fit = SOLVERS[solver]
    task, problem, order = tasks(wine, shape=(109, 20, 57), classes=5)
    for points, logits, _ in fits(config, task, order, unused=(3, 9, 10, 11, 20)):
        assert np.isneginf(logits[:, 3:]).all()
        logits = np.delete(logits[:, :3], [*range(100, 109), *range(179, 186)], 0)
        truth = expected_logits(fit, problem, points)
        np.testing.assert_allclose(reference.softmax(logits), reference.softmax(truth), atol=5e-4)


@pytest.mark.parametrize("solver", ["newton", "gd"])
def test_no_gram_matrix_gives_the_same(solver, wine):
    task, _, order = tasks(wine)
    without, _, _ = tasks(wine, gram_limit=0)
    assert task.gram is not None and without.gram is None
    both = zip(fits(SOLVERS[solver][0], task, order), fits(SOLVERS[solver][0], without, order), strict=True)
    for (_, ours, _), (_, theirs, _) in both:
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)


def test_before_any_label_all_classes_are_equally_likely(wine):
    task, _, _ = tasks(wine, classes=5)
    logits = linear_probe(ProbeConfig(), EUCLIDEAN).init(task, SLOTS).logits
    np.testing.assert_allclose(jax.nn.softmax(logits)[:, :3], 1 / 3, rtol=1e-6)
    assert not np.asarray(jax.nn.softmax(logits)[:, 3:]).any()


def test_a_pending_point_touches_the_geometry_alone(wine):
    task, problem, order = tasks(wine)
    probe = linear_probe(ProbeConfig(), EUCLIDEAN)
    points, _, fitted = next(fits(ProbeConfig(), task, order))
    after = probe.mark_pending(task, fitted, Labelled(jnp.array([77]), jnp.ones(1, bool)))
    np.testing.assert_array_equal(after.logits, fitted.logits)
    assert float(after.geometry.labelled_size) == BATCH + 1
    total = problem.distances[:, [*points, 77]].sum(1) / problem.scale
    rest = np.setdiff1d(np.arange(100), [*points, 77])
    np.testing.assert_allclose(np.asarray(after.geometry.labelled_total)[rest], total[rest], rtol=1e-4)
