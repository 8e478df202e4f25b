"""The Markov decision process, step by step."""

import collections

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference_strategies import soft_accuracy
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, roc_auc_score
from worlds import World, build, cut

from jaxal.classifiers.classifier import Labelled
from jaxal.config import EnvironmentConfig
from jaxal.mdp.environment import holdout_logits
from jaxal.mdp.metrics import REWARDS

NAMES = ("score", "mean_distance_labelled", "mean_distance_unlabelled", "nearest_labelled", "class_frequency")


def small(dataset, steps: int = 6, pool: int = 60, shape=None, classes=None, **changes) -> World:
    settings = EnvironmentConfig(**({"action_features": NAMES, "standardise": False} | changes))
    rows = cut(dataset, pool, 10, 40)
    return build(dataset, rows, settings, steps, shape=shape, classes=classes)


def picked(row: int) -> Labelled:
    return Labelled(jnp.array([row], jnp.int32), jnp.ones(1, bool))


@pytest.mark.parametrize("initial", [0, 2, 7])
def test_an_initial_set_has_one_of_each_class(wine, initial):
    world = small(wine, initial=initial)
    for seed in range(20):
        rows = world.initial_rows(seed)
        assert len(rows) == len(set(rows)) == max(3, initial)
        assert set(wine.labels[world.rows.pool[rows]]) == {0, 1, 2}


def test_initial_sets_are_uniform_within_a_class(wine):
    world = small(wine)
    draw = jax.jit(jax.vmap(world.environment.initial_set, (None, 0)))
    rows = np.asarray(draw(world.task, jax.random.split(jax.random.key(0), 3000)).rows)
    labels = wine.labels[world.rows.pool]
    counts = np.bincount(rows.ravel(), minlength=60)
    for c in range(3):
        share = 1 / np.sum(labels == c)
        deviation = np.sqrt(3000 * share * (1 - share))
        assert np.all(np.abs(counts[labels == c] - 3000 * share) < 5 * deviation)


@pytest.mark.parametrize("initial", [0, 9])
def test_an_initial_set_is_never_padding(wine, initial):
    world = small(wine, initial=initial, shape=(200, 10, 40), classes=6)
    for seed in range(20):
        rows, mask = (np.asarray(x) for x in world.initial(seed))
        assert mask.sum() == max(3, initial) and np.all(rows[mask] < 60) and not rows[~mask].any()
        assert set(wine.labels[world.rows.pool[rows[mask]]]) == {0, 1, 2}
        # Slots fill from the left.
        assert np.all(mask == (np.arange(len(mask)) < mask.sum()))


def test_reset_reveals_the_initial_labels_and_nothing_else(wine):
    world = small(wine, initial=5)
    initial = world.initial_rows(3)
    state = world.environment.reset(world.task, world.initial(3), jax.random.key(0))
    np.testing.assert_array_equal(np.flatnonzero(~np.asarray(state.unlabelled)), sorted(initial))
    np.testing.assert_array_equal(state.class_counts, np.bincount(wine.labels[world.rows.pool[initial]], minlength=3))
    assert int(state.labelled.mask.sum()) == 5 and int(state.time) == 0
    assert len(state.labelled.rows) == 5 + world.environment.steps


@pytest.mark.parametrize("reward", REWARDS)
def test_the_reward_is_the_gain_on_the_holdout_rows(wine, reward):
    world = small(wine, batch=2, reward=reward)
    step = jax.jit(world.environment.step)
    state = world.environment.reset(world.task, world.initial(), jax.random.key(0))
    labels = wine.labels[world.rows.holdout]
    free = np.flatnonzero(np.asarray(state.unlabelled))

    def quality(state) -> float:
        logits = np.asarray(holdout_logits(world.task, state.fitted), np.float64)
        p = reference.softmax(logits)
        if reward == "accuracy":
            return accuracy_score(labels, p.argmax(1))
        if reward == "probability":
            return float(np.mean(p[np.arange(40), labels]))
        if reward == "log_loss":
            return -log_loss(labels, p)
        if reward == "auroc":
            return float(roc_auc_score(labels, p, multi_class="ovr"))
        if reward == "soft_accuracy":
            return soft_accuracy(logits, labels)
        if reward == "macro_f1":
            return float(f1_score(labels, p.argmax(1), average="macro"))
        return float(balanced_accuracy_score(labels, p.argmax(1)))

    before = quality(state)
    rewards = []
    for picks in free[:8].reshape(4, 2):
        state, gain = step(world.task, state, jnp.asarray(picks, jnp.int32), jax.random.key(0))
        after = quality(state)
        assert float(gain) == pytest.approx(after - before, abs=2e-5)
        assert float(state.value) == pytest.approx(after, abs=2e-5)
        rewards.append(float(gain))
        before = after
    assert np.any(np.abs(rewards) > 1e-3)


def test_log_loss_is_clipped():
    logits = jnp.array([[0.0, 100.0], [0.0, 0.0]])
    found = REWARDS["log_loss"](logits, jnp.array([0, -1]))
    assert float(found) == pytest.approx(np.log(1e-6), rel=1e-5)


@pytest.mark.parametrize("reward", REWARDS)
def test_padded_holdout_rows_do_not_count(reward):
    logits = jnp.asarray(np.random.default_rng(0).normal(0, 1, (9, 3)), jnp.float32)
    labels = jnp.array([0, 1, 2, 0, 1, 2, -1, -1, -1])
    quality = REWARDS[reward]
    assert float(quality(logits, labels)) == pytest.approx(float(quality(logits[:6], labels[:6])), abs=1e-6)


def test_a_step_labels_its_picks(wine):
    world = small(wine, batch=3)
    step = jax.jit(world.environment.step)
    state = world.environment.reset(world.task, world.initial(), jax.random.key(0))
    order = list(world.initial_rows())
    free = np.flatnonzero(np.asarray(state.unlabelled))
    for t, picks in enumerate(free[:18].reshape(6, 3), start=1):
        state, _ = step(world.task, state, jnp.asarray(picks, jnp.int32), jax.random.key(0))
        order += picks.tolist()
        assert state.labelled.rows[state.labelled.mask].tolist() == order
        assert int(state.time) == t
        np.testing.assert_array_equal(np.flatnonzero(~np.asarray(state.unlabelled)), sorted(order))
        counts = np.bincount(wine.labels[world.rows.pool[order]], minlength=3)
        np.testing.assert_array_equal(state.class_counts, counts)
    assert state.labelled.mask.all()


def test_observations_are_the_raw_quantities(wine):
    world = small(wine, batch=2)
    problem = reference.make_problem(wine.inputs, wine.labels, world.rows, "euclidean")
    state = world.environment.reset(world.task, world.initial(), jax.random.key(0))
    labelled = world.initial_rows()
    free = np.flatnonzero(np.asarray(state.unlabelled))
    for picks in free[:8].reshape(4, 2):
        state, _ = world.environment.step(world.task, state, jnp.asarray(picks, jnp.int32), jax.random.key(0))
        labelled += picks.tolist()
    weights = reference.logistic(0.1)(reference.with_one(problem.pool[labelled]), problem.pool_labels[labelled], 3)
    candidates = np.array([*free[-10:], labelled[0], free[0]], np.int32)
    view = reference.View(
        problem=problem,
        logits=reference.with_one(problem.pool) @ weights,
        state_logits=reference.with_one(problem.state) @ weights,
        supposed=labelled,
        open=list(free[-10:]),
        counts=np.bincount(problem.pool_labels[labelled], minlength=3).astype(float),
        step=4,
        steps=6,
        labelled=labelled,
    )
    seen = world.environment.observe(world.task, state, jnp.asarray(candidates))
    np.testing.assert_allclose(seen.features[:10], reference.raw_features(view, NAMES), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(seen.mask, [True] * 10 + [False] * 2)
    assert not np.asarray(seen.features[10:]).any()
    top = np.sort(reference.softmax(view.state_logits).max(1))
    np.testing.assert_allclose(seen.state_vector, top, atol=1e-4)
    assert int(seen.time) == 4


def test_a_pending_pick_has_its_predicted_class_and_no_label(wine):
    world = small(wine, batch=2)
    state = world.environment.reset(world.task, world.initial(), jax.random.key(0))
    wrong = np.argmax(np.asarray(state.fitted.logits[:60]), 1) != wine.labels[world.rows.pool]
    pick = int(np.flatnonzero(wrong & np.asarray(state.unlabelled))[0])
    after = world.environment.mark_pending(world.task, state, picked(pick))
    predicted = int(np.argmax(state.fitted.logits[pick]))
    np.testing.assert_array_equal(after.class_counts - state.class_counts, np.eye(3)[predicted])
    assert not after.unlabelled[pick] and int(after.unlabelled.sum()) == int(state.unlabelled.sum()) - 1
    np.testing.assert_array_equal(after.fitted.logits, state.fitted.logits)
    np.testing.assert_array_equal(after.labelled.mask, state.labelled.mask)
    hidden = world.task._replace(pool_labels=world.task.pool_labels.at[pick].set((predicted + 1) % 3))
    chex.assert_trees_all_equal(world.environment.mark_pending(hidden, state, picked(pick)), after)


def test_pending_picks_one_after_another_and_at_once(wine):
    world = small(wine, batch=3)
    state = world.environment.reset(world.task, world.initial(), jax.random.key(0))
    free = np.flatnonzero(np.asarray(state.unlabelled))[:3]
    after = state
    for pick in free:
        after = world.environment.mark_pending(world.task, after, picked(pick))
    slots = Labelled(jnp.asarray([free[0], 0, free[1], free[2]]), jnp.array([True, False, True, True]))
    chex.assert_trees_all_close(world.environment.mark_pending(world.task, state, slots), after, rtol=1e-6)


def test_labels_that_are_not_bought_change_nothing(wine):
    """No label of an unlabelled pool point, and no label of a state row, reaches the agent or the classifier."""
    world = small(wine)
    state = world.environment.reset(world.task, world.initial(), jax.random.key(0))
    free = np.flatnonzero(np.asarray(state.unlabelled))
    labels = np.asarray(world.task.pool_labels).copy()
    labels[free[1:]] = (labels[free[1:]] + 1) % 3
    blind = world.task._replace(pool_labels=jnp.asarray(labels))
    for task in (world.task, blind):
        first = world.environment.reset(task, world.initial(), jax.random.key(0))
        after, _ = world.environment.step(task, first, jnp.asarray(free[:1], jnp.int32), jax.random.key(0))
        seen = world.environment.observe(task, after, jnp.arange(60))._replace(pool=None)  # it holds the task
        if task is world.task:
            expected = after, seen
    chex.assert_trees_all_equal((after, seen), expected)


def test_each_function_is_traced_once_while_labels_grow(wine):
    world = small(wine, batch=2)
    environment = world.environment
    traces = collections.Counter()

    def counted(name):
        def run(*given):
            traces[name] += 1
            return getattr(environment, name)(*given)

        return jax.jit(run)

    reset, step, observe, mark_pending = map(counted, ("reset", "step", "observe", "mark_pending"))
    for seed in range(2):
        state = reset(world.task, world.initial(seed), jax.random.key(0))
        free = np.flatnonzero(np.asarray(state.unlabelled))
        for picks in free[:12].reshape(6, 2):
            mark_pending(world.task, state, picked(picks[0]))
            state, _ = step(world.task, state, jnp.asarray(picks, jnp.int32), jax.random.key(0))
            observe(world.task, state, jnp.arange(60))
    assert traces == {"reset": 1, "step": 1, "observe": 1, "mark_pending": 1}
