"""The bordered refit equals a refit from scratch: scikit-learn's, and the probe's own."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from worlds import CONVERGED, World, build, cut, load

from jaxal.classifiers.bordered import refit_with_each
from jaxal.classifiers.classifier import Labelled
from jaxal.config import EnvironmentConfig
from jaxal.mdp.environment import State, holdout_logits

BATCH, L2 = 3, CONVERGED.l2
DATA = ("digits", "wine", "breast_cancer")
REFIT = jax.jit(partial(refit_with_each, l2=L2), static_argnames="iterations")


@cache
def world(data: str, batch: int = BATCH, gram: bool = True) -> World:
    """Padded rows and classes, and more slots than labels."""
    dataset, options = load(data), {} if gram else {"gram_limit": 0}
    rows = cut(dataset, 90, 10, 70)
    classes = len(dataset.classes) + 2
    settings = EnvironmentConfig(batch=batch)
    return build(dataset, rows, settings, 5, shape=(100, 10, 80), classes=classes, **options)


@cache
def after(steps: int, data: str, batch: int = BATCH, gram: bool = True) -> State:
    w = world(data, batch, gram)
    state = w.environment.reset(w.task, w.initial(), jax.random.key(0))
    for _ in range(steps):
        picks = jnp.flatnonzero(state.unlabelled)[: w.settings.batch].astype(jnp.int32)
        state, _ = w.environment.step(w.task, state, picks, jax.random.key(0))
    return state


def chosen(state: State, pending: list[int]) -> Labelled:
    """The labelled points, and `pending` behind them."""
    mask = np.arange(BATCH) < len(pending)
    rows = np.pad(np.asarray(pending, np.int32), (0, BATCH - len(pending)))
    both = zip(state.labelled, (jnp.asarray(rows), jnp.asarray(mask)), strict=True)
    return Labelled(*(jnp.concatenate(parts) for parts in both))


@pytest.mark.parametrize("gram", [True, False])
@pytest.mark.parametrize("pending", [0, 1, 3])
@pytest.mark.parametrize("data", DATA)
def test_equals_scikit_learn(data, pending, gram):
    """With labels that are supposed, right or wrong, and picks whose labels are supposed too."""
    w = world(data, gram=gram)
    state = after(2, data, gram=gram)
    problem = reference.make_problem(w.dataset.inputs, w.dataset.labels, w.rows, "euclidean")
    free = np.flatnonzero(state.unlabelled)
    picked, candidates = free[5 : 5 + pending].tolist(), free[20:26].astype(np.int32)
    rng = np.random.default_rng(0)
    supposed = rng.integers(0, problem.classes, 6)
    labelled = chosen(state, picked)
    labels = np.array(labelled.labels(w.task))
    labels[-BATCH:] = rng.integers(0, problem.classes, BATCH)
    found = REFIT(
        w.task,
        state.fitted.model,
        labelled,
        jnp.asarray(labels),
        jnp.asarray(candidates),
        jnp.asarray(supposed),
        iterations=400,
    )
    assert found.shape == (6, 80, problem.classes + 2)
    assert np.all(np.isneginf(found[..., problem.classes :]))
    mask = np.asarray(labelled.mask)
    before, known = np.asarray(labelled.rows)[mask].tolist(), labels[mask].tolist()
    moved = 0.0
    for i in range(6):
        points, given = [*before, int(candidates[i])], np.array([*known, supposed[i]])
        weights = reference.logistic(L2)(reference.with_one(problem.pool[points]), given, problem.classes)
        truth = reference.softmax(reference.with_one(problem.holdout) @ weights)
        ours = reference.softmax(np.asarray(found[i, :70, : problem.classes], np.float64))
        np.testing.assert_allclose(ours, truth, atol=5e-4)
        present = np.asarray(holdout_logits(w.task, state.fitted), np.float64)[:70, : problem.classes]
        moved = max(moved, np.abs(truth - reference.softmax(present)).max())
    assert moved > 0.05


@pytest.mark.parametrize("data", DATA)
def test_equals_the_probe_after_the_label(data):
    w = world(data, batch=1)
    state = after(3, data, batch=1)
    candidates = jnp.flatnonzero(state.unlabelled)[10:14].astype(jnp.int32)
    labels = state.labelled.labels(w.task)
    truth = w.task.pool_labels[candidates]
    found = REFIT(w.task, state.fitted.model, state.labelled, labels, candidates, truth, iterations=400)
    for i in range(4):
        following, _ = w.environment.step(w.task, state, candidates[i : i + 1], jax.random.key(0))
        expected = holdout_logits(w.task, following.fitted)
        real = np.asarray(w.task.class_mask)
        np.testing.assert_allclose(found[i][:, real], expected[:, real], atol=2e-3)


@pytest.mark.parametrize("data", DATA)
def test_ten_iterations_come_near(data):
    """A tenth of what the label changes is left at the most, on average over rows and candidates."""
    w = world(data, batch=1)
    state = after(4, data, batch=1)
    candidates = jnp.flatnonzero(state.unlabelled)[:32].astype(jnp.int32)
    arguments = (w.task, state.fitted.model, state.labelled, state.labelled.labels(w.task), candidates)
    truth = w.task.pool_labels[candidates]
    few, many = (REFIT(*arguments, truth, iterations=iterations) for iterations in (10, 400))
    p, q, before = (jax.nn.softmax(x)[..., :70, :] for x in (few, many, holdout_logits(w.task, state.fitted)))
    assert jnp.mean(jnp.abs(p - q)) < 0.1 * jnp.mean(jnp.abs(before - q))
