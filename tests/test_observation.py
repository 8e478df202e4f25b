"""What the agent sees, against NumPy, number by number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import softmax

from jaxal.mdp import observation
from jaxal.mdp.observation import ACTION_FEATURES, STATE_FEATURES, Candidates, StateView

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 2, (9, 4)).astype(np.float32)
MASK = np.array([True] * 6 + [False, True, False])


def candidates(logits: np.ndarray = LOGITS) -> Candidates:
    each = [jnp.asarray(np.random.default_rng(i).uniform(0.1, 2, len(logits)), jnp.float32) for i in range(5)]
    return Candidates(jnp.asarray(logits), *each)


def test_uncertainties_equal_their_formulas():
    c, p = candidates(), softmax(LOGITS)
    ordered = np.sort(p, 1)
    np.testing.assert_allclose(observation.score(c), ordered[:, -1], rtol=1e-5)
    np.testing.assert_allclose(observation.margin(c), ordered[:, -1] - ordered[:, -2], rtol=1e-4)
    np.testing.assert_allclose(observation.entropy(c), -(p * np.log(p)).sum(1), rtol=1e-5)
    np.testing.assert_allclose(ACTION_FEATURES["class_0_probability"](c), p[:, 0], rtol=1e-5)
    np.testing.assert_allclose(
        ACTION_FEATURES["typicality"](c), np.asarray(c.nearest_labelled) / np.asarray(c.local_density), rtol=1e-6
    )


@pytest.mark.parametrize("name", ACTION_FEATURES)
def test_a_class_that_the_task_lacks_changes_nothing(name):
    wider = np.hstack([LOGITS, np.full((9, 2), -np.inf, np.float32)])
    found = ACTION_FEATURES[name](candidates(wider))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, ACTION_FEATURES[name](candidates()), rtol=1e-6)


def test_certain_predictions_are_finite():
    sure = np.array([[200.0, 0.0, -np.inf], [0.0, 0.0, -np.inf]], np.float32)
    c = candidates(sure)
    np.testing.assert_allclose(observation.entropy(c), [0.0, np.log(2)], atol=1e-6)
    np.testing.assert_allclose(observation.margin(c), [1.0, 0.0], atol=1e-6)
    for feature in ACTION_FEATURES.values():
        assert np.isfinite(feature(c)).all()


def test_action_features_stand_in_the_order_of_their_names():
    names = ("entropy", "mean_distance_unlabelled", "score", "mean_distance_labelled")
    found = np.asarray(observation.action_features(names, candidates(), jnp.asarray(MASK), False))
    for column, name in enumerate(names):
        np.testing.assert_allclose(found[MASK, column], np.asarray(ACTION_FEATURES[name](candidates()))[MASK])
    assert not found[~MASK].any()


def test_standardised_over_the_candidates_that_may_be_chosen():
    values = RNG.normal(3, 5, (9, 3)).astype(np.float32)
    values[~MASK] = 1e6  # must not leak in
    found = np.asarray(observation.standardise(jnp.asarray(values), jnp.asarray(MASK)))
    open_ = values[MASK]
    np.testing.assert_allclose(found[MASK], (open_ - open_.mean(0)) / open_.std(0), rtol=1e-4, atol=1e-5)
    assert not found[~MASK].any()


def test_standardised_outliers_are_clipped():
    values = np.zeros((200, 1), np.float32)
    values[7] = -1.0
    found = observation.standardise(jnp.asarray(values), jnp.ones(200, bool))
    assert float(found[7, 0]) == -observation.CLIP


def test_a_constant_feature_standardises_to_zero():
    found = observation.standardise(jnp.full((5, 2), 0.1), jnp.ones(5, bool))
    np.testing.assert_allclose(found, 0.0, atol=1e-2)


@given(st.lists(st.booleans(), min_size=9, max_size=9))
@settings(max_examples=20, deadline=None)
def test_any_mask_gives_finite_features(mask):
    found = observation.action_features(("score", "margin"), candidates(), jnp.asarray(mask), True)
    assert np.isfinite(found).all()
    assert not np.asarray(found)[~np.array(mask)].any()


def test_state_vectors():
    view = StateView(jnp.asarray(LOGITS), jnp.asarray(0.25))
    p = softmax(LOGITS)
    np.testing.assert_allclose(STATE_FEATURES["top_probability"](view), np.sort(p.max(1)), rtol=1e-5)
    np.testing.assert_allclose(
        STATE_FEATURES["all_probabilities"](view), np.concatenate([np.sort(p[:, c]) for c in range(4)]), rtol=1e-5
    )
    np.testing.assert_allclose(STATE_FEATURES["class_0_probability"](view), np.sort(p[:, 0]), rtol=1e-5)
    both = observation.state_vector(("progress", "top_probability"), view)
    np.testing.assert_allclose(both, np.append(0.25, np.sort(p.max(1))), rtol=1e-5)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_size_of_the_state_is_known_beforehand(classes):
    view = StateView(jnp.zeros((7, classes)), jnp.zeros(()))
    for names in (("top_probability", "progress"), ("all_probabilities",), tuple(STATE_FEATURES)):
        expected = len(observation.state_vector(names, view))
        assert observation.state_size(names, 7, classes) == expected
    assert observation.state_size(("top_probability", "progress"), 7, classes) == 8


def test_the_state_does_not_depend_on_the_order_of_its_rows():
    shuffled = StateView(jnp.asarray(LOGITS[::-1]), jnp.asarray(0.0))
    straight = StateView(jnp.asarray(LOGITS), jnp.asarray(0.0))
    for name in ("top_probability", "all_probabilities", "class_0_probability"):
        np.testing.assert_array_equal(STATE_FEATURES[name](shuffled), STATE_FEATURES[name](straight))


def test_features_vmap():
    stacked = jax.tree.map(lambda x: jnp.stack([x, x[::-1]]), candidates())
    masks = jnp.stack([jnp.asarray(MASK), jnp.asarray(MASK)[::-1]])
    make = lambda c, m: observation.action_features(("score", "entropy"), c, m, True)
    both = jax.vmap(make)(stacked, masks)
    np.testing.assert_allclose(both[0], both[1][::-1], atol=1e-5)
