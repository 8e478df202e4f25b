"""What to label next: the simulation's own picks, from any labels that there may be."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import CONVERGED, World, build, cut, load, player

import jaxal
from jaxal import pools
from jaxal import suggestion as suggesting
from jaxal.config import AgentConfig, Config, EnvironmentConfig, SplitConfig
from jaxal.data.splits import Rows
from jaxal.policies import STRATEGIES
from jaxal.policies.ddqn import agent_for
from jaxal.policies.policy import Policy
from jaxal.policies.strategy import Setting
from jaxal.presets import DEFAULT_FEATURES

POOL, SET_ASIDE = 200, np.arange(100, 120)
NAMES = ("margin", "k_center", "typicality", "typical_uncertainty", "typiclust")


def config_for(batch: int) -> Config:
    environment = EnvironmentConfig(
        batch=batch,
        budget=10 + 4 * batch,
        state_features=("top_probability", "progress"),
        action_features=DEFAULT_FEATURES,
    )
    agent = AgentConfig(hidden=(16, 8))
    return Config(environment=environment, probe=CONVERGED, agent=agent, split=SplitConfig(state=len(SET_ASIDE)))


@cache
def world(batch: int) -> World:
    """Digits, whose state rows are some of the pool's."""
    data = load("digits")
    rows = cut(data, POOL, 0, 100)
    return build(data, Rows(rows.pool, rows.pool[SET_ASIDE], rows.holdout), config_for(batch).environment, 4)


@cache
def prepared(batch: int) -> jaxal.PreparedPool:
    return jaxal.prepare_pool(latents(), config_for(batch))


def latents() -> np.ndarray:
    return world(1).dataset.inputs[world(1).rows.pool]


def truth() -> np.ndarray:
    return world(1).dataset.labels[world(1).rows.pool]


def some_labels(count: int) -> np.ndarray:
    """Labels of one row of each class, and of others."""
    labels = np.full(POOL, -1)
    rows = np.concatenate([np.unique(truth(), return_index=True)[1], np.arange(POOL)])[:count]
    labels[rows] = truth()[rows]
    return labels


@cache
def policy(batch: int) -> Policy:
    """A network whose every weight matters."""
    agent = agent_for(config_for(batch), 10)
    params = agent.init(jax.random.key(3)).params
    return Policy("ddqn", jax.tree.map(lambda x: x[None], params), config_for(batch), ("digits",))


@cache
def simulation(batch: int):
    """The compiled episode, and its strategies with their parameters."""
    names = (*NAMES, "ddqn")
    params = {name: None for name in NAMES}
    values = agent_for(config_for(batch), 10).values
    params["ddqn"] = jax.tree_util.Partial(values, jax.tree.map(lambda x: x[0], policy(batch).params))
    before = 10 + batch * np.arange(4)
    task = world(batch).task
    setting = Setting(
        config_for(batch), 0, 10, np.asarray(prepared(batch).bank.latents)[0, :POOL, :-1], truth(), before, None
    )
    params["typiclust"] = STRATEGIES["typiclust"].prepare(setting)
    compiled = jax.jit(player(world(batch), {name: STRATEGIES[name] for name in names}))
    return lambda name: compiled(names.index(name), params, task, world(batch).initial(), jax.random.key(0)).picks


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("name", [*NAMES, "ddqn"])
def test_picks_are_those_of_the_simulation(name, batch, monkeypatch):
    monkeypatch.setattr(suggesting, "_set_aside", lambda labels, count: jnp.asarray(SET_ASIDE))
    picks = np.asarray(simulation(batch)(name))
    labels, initial = np.full(POOL, -1), world(batch).initial_rows()
    labels[initial] = truth()[initial]
    for step in picks:
        found = jaxal.suggest(prepared(batch), labels, batch, strategy=policy(batch) if name == "ddqn" else name)
        np.testing.assert_array_equal(found.rows, step)
        labels[step] = truth()[step]


def test_pending_picks_count_as_labelled():
    labels = some_labels(20)
    for name in ("margin", "typical_uncertainty", "k_center"):
        five = jaxal.suggest(prepared(1), labels, 5, strategy=name)
        three = jaxal.suggest(prepared(1), labels, 3, strategy=name, pending=five.rows[:2])
        np.testing.assert_array_equal(three.rows, five.rows[2:])
        np.testing.assert_array_equal(three.probabilities, five.probabilities)
        known = jaxal.suggest(
            prepared(1), labels, 3, strategy=name, pending=[*five.rows[:2], *np.flatnonzero(labels >= 0)]
        )
        np.testing.assert_array_equal(known.rows, three.rows)


def test_a_permuted_pool_gives_the_permuted_rows():
    order = np.random.default_rng(0).permutation(POOL)
    labels = some_labels(15)
    there = jaxal.prepare_pool(latents()[order], config_for(1))
    for name in ("typical_uncertainty", "margin"):
        straight = jaxal.suggest(prepared(1), labels, 6, strategy=name)
        permuted = jaxal.suggest(there, labels[order], 6, strategy=name)
        np.testing.assert_array_equal(order[permuted.rows], straight.rows)
        np.testing.assert_allclose(permuted.probabilities, straight.probabilities[order], atol=1e-4)
    first = [jaxal.suggest(pool, np.full(POOL, -1), 6).rows for pool in (prepared(1), there)]
    np.testing.assert_array_equal(order[first[1]], first[0])


def test_unused_slots_change_nothing(monkeypatch):
    labels = some_labels(20)
    few = jaxal.suggest(prepared(1), labels, 6, pending=[150, 151])
    monkeypatch.setattr(suggesting, "LABELLED_SLOTS", 128)
    monkeypatch.setattr(suggesting, "PENDING_SLOTS", 32)
    many = jaxal.suggest(prepared(1), labels, 6, pending=[150, 151])
    np.testing.assert_array_equal(many.rows, few.rows)
    np.testing.assert_allclose(many.scores, few.scores, rtol=1e-4)
    np.testing.assert_allclose(many.probabilities, few.probabilities, atol=1e-5)


def test_probabilities_are_those_of_the_head():
    labels = some_labels(30)
    found = jaxal.suggest(prepared(1), labels, 2)
    np.testing.assert_allclose(found.head.probabilities(latents()), found.probabilities, atol=1e-5)
    np.testing.assert_array_equal(found.predicted, found.probabilities.argmax(1))
    assert (
        np.mean(found.predicted == truth()) > 0.6 and np.mean(found.predicted[labels >= 0] == labels[labels >= 0]) == 1
    )
    rest = np.delete(world(1).dataset.inputs, world(1).rows.pool, 0)
    assert (
        np.mean(found.head.probabilities(rest).argmax(1) == np.delete(world(1).dataset.labels, world(1).rows.pool))
        > 0.6
    )


def test_a_class_without_a_label_is_not_predicted():
    labels = np.where(np.isin(truth(), [2, 7]) & (np.arange(POOL) < 60), truth(), -1)
    for classes in (None, 10):
        found = jaxal.suggest(prepared(1), labels, 3, classes=classes)
        assert found.probabilities.shape == (POOL, classes or 8)
        assert set(found.predicted) == {2, 7}
        others = np.setdiff1d(np.arange(classes or 8), [2, 7])
        assert not found.probabilities[:, others].any() and np.all(found.head.bias[others] == -np.inf)
        assert np.isfinite(found.scores).all()


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_without_a_label_the_densest_comes_first_and_then_what_covers(classes):
    found = jaxal.suggest(prepared(1), np.full(POOL, -1), 12, classes=classes, strategy="margin")
    density = prepared(1).survey.geometry.local_density
    assert found.rows[0] == np.argmin(density) and found.reasons[0][2] == 1 - 1 / POOL
    assert len(set(truth()[found.rows])) >= 6
    np.testing.assert_allclose(found.probabilities, 1 / classes, atol=1e-6)
    labels = np.full(POOL, -1)
    labels[found.rows[0]] = 0  # one class is not enough to be unsure
    after = jaxal.suggest(prepared(1), labels, 11, classes=classes, strategy="margin")
    np.testing.assert_array_equal(after.rows, found.rows[1:])
    assert set(after.predicted) == {0}


def test_no_more_than_there_are_left():
    labels = truth().copy()
    labels[[5, 9, 60, 70]] = -1
    found = jaxal.suggest(prepared(1), labels, 50, pending=[9])
    assert sorted(found.rows) == [5, 60, 70] and found.scores.shape == (3,) and found.reasons.shape == (3, 3)
    assert not len(jaxal.suggest(prepared(1), truth(), 5).rows)


def test_the_classifier_alone():
    labels = some_labels(30)
    found = jaxal.suggest(prepared(1), labels, 0)
    assert found.rows.shape == (0,) and found.reasons.shape == (0, 3)
    np.testing.assert_array_equal(found.probabilities, jaxal.suggest(prepared(1), labels, 2).probabilities)


def test_the_key_decides_what_is_random():
    draw = lambda seed: jaxal.suggest(prepared(1), some_labels(12), 8, strategy="random", key=jax.random.key(seed)).rows
    np.testing.assert_array_equal(draw(1), draw(1))
    assert set(draw(1)) != set(draw(2))


def test_a_survey_saves_time_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(pools, "_geometry", None)  # what takes long
    again = jaxal.prepare_pool(latents(), config_for(1), prepared(1).survey)
    for a, b in zip(jax.tree.leaves(again.bank), jax.tree.leaves(prepared(1).bank), strict=True):
        np.testing.assert_array_equal(a, b)


def test_missing_values_become_medians():
    holes = latents().copy()
    holes[3, 20] = np.nan
    found = jaxal.suggest(jaxal.prepare_pool(holes, config_for(1)), some_labels(20), 3)
    assert np.isfinite(found.probabilities).all()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"labels": np.zeros(3, int)}, r"labels have shape \(3,\); one for each of the pool's 200 rows is expected"),
        ({"labels": np.zeros(POOL)}, "labels are of type float64; whole numbers are expected"),
        ({"labels": np.full(POOL, 4), "classes": 3}, "labels are 4 to 4; they must be -1 to 2, with 3 classes"),
        ({"labels": np.full(POOL, -2)}, "labels are -2 to -2"),
        ({"classes": 0}, "classes is 0; it must be 1 or more"),
        ({"pending": [200]}, "pending rows are 200 to 200; they are 0 to 199"),
        ({"n": -1}, "n is -1; it must be 0 or more"),
        ({"strategy": "balanced_oracle"}, "strategy 'balanced_oracle' sees labels that are not there"),
        ({"strategy": "ddqn"}, "strategy 'ddqn' has to be trained; give a policy"),
        ({"strategy": "martin"}, "unknown strategy 'martin'"),
    ],
)
def test_mistakes_are_told_in_a_line(changes, line):
    given = {"labels": np.full(POOL, -1), "n": 3} | changes
    with pytest.raises(ValueError, match=line):
        jaxal.suggest(prepared(1), given.pop("labels"), given.pop("n"), **given)


def test_a_pool_and_a_policy_that_do_not_fit():
    with pytest.raises(ValueError, match="prepared with other settings than the policy's"):
        jaxal.suggest(jaxal.prepare_pool(latents()), some_labels(12), 3, strategy=policy(1))
    with pytest.raises(ValueError, match="with linear_probe alone"):
        jaxal.prepare_pool(latents(), jaxal.configure(classifier="finetune"))
    with pytest.raises(ValueError, match=r"latents have shape \(7,\)"):
        jaxal.prepare_pool(np.zeros(7))
    config = jaxal.configure(config=config_for(1), state_features=("all_probabilities",))
    agent = agent_for(config, 10)
    narrow = Policy("ddqn", jax.tree.map(lambda x: x[None], agent.init(jax.random.key(0)).params), config, ("digits",))
    with pytest.raises(ValueError, match="was not trained for 12"):
        jaxal.suggest(jaxal.prepare_pool(latents(), config), some_labels(12), 3, strategy=narrow, classes=12)


def test_of_a_large_pool_strategies_that_compare_see_random_rows(monkeypatch):
    """All labels among them; the classifier is that of the whole pool, and so are predictions and reasons."""
    labels, pool = some_labels(30), jaxal.prepare_pool(latents())
    asked = dict(classes=10, pending=[150, 151])
    whole = jaxal.suggest(pool, labels, 5, strategy="chord_herding", **asked)
    monkeypatch.setattr(suggesting, "WHOLE_POOL", 100)
    seen = []
    part_of = suggesting.part_of
    monkeypatch.setattr(suggesting, "part_of", lambda pool, rows: seen.append(rows) or part_of(pool, rows))
    some = jaxal.suggest(pool, labels, 5, strategy="chord_herding", **asked)
    (rows,) = seen
    assert len(rows) == 100 and {*np.flatnonzero(labels >= 0), 150, 151} < set(rows)
    assert set(some.rows) < set(rows) and len(set(some.rows)) == 5
    assert np.all(labels[some.rows] < 0) and not {150, 151} & set(some.rows)
    np.testing.assert_array_equal(some.probabilities, whole.probabilities)
    jaxal.suggest(pool, labels, 5, strategy="margin", **asked)
    assert len(seen) == 1  # it looks at candidates one by one
    jaxal.suggest(pool, labels, 90, strategy="chord_herding", **asked)
    assert len(seen[1]) == POOL  # twice, four times, ... as many where more are wanted
