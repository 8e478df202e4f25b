"""Linear policies of gains, against normal equations in float64 and scikit-learn's ridge regression."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from jaxal.policies.gain_network import Decision
from jaxal.policies.linear_gains import Moments, moments, no_moments, ridge
from jaxal.policies.sight import Sight

STATES, CANDIDATES, FEATURES = 40, 7, 5
TRUE = np.array([1.0, -0.5, 0.0, 0.25, 2.0], np.float32)


def decisions(seed: int = 0) -> Decision:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(STATES, CANDIDATES, FEATURES)).astype(np.float32)
    gains = features @ TRUE + rng.normal(size=(STATES, 1)).astype(np.float32)  # a state's own level says nothing
    gains += 0.3 * rng.normal(size=gains.shape).astype(np.float32)
    mask = rng.random((STATES, CANDIDATES)) < 0.8
    mask[0] = False
    return Decision(
        Sight(jnp.asarray(features), jnp.asarray(features), jnp.zeros(0)), jnp.asarray(gains), jnp.asarray(mask)
    )


def rows(given: Decision) -> tuple[np.ndarray, np.ndarray]:
    """Candidates, centred within their states by a loop."""
    x, y = [], []
    for features, gains, mask in zip(given.sight.standardised, given.gains, given.mask, strict=True):
        some = np.asarray(mask)
        if some.any():
            f, g = np.asarray(features, float)[some], np.asarray(gains, float)[some]
            x.append(f - f.mean(0))
            y.append(g - g.mean())
    return np.concatenate(x), np.concatenate(y)


@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_weights_are_those_of_ridge_regression(penalty):
    given = decisions()
    x, y = rows(given)
    weights, error = ridge(jnp.zeros(FEATURES), moments(given), penalty)
    wanted = Ridge(alpha=penalty * len(y), fit_intercept=False).fit(x, y)
    np.testing.assert_allclose(weights, wanted.coef_, atol=1e-4)
    np.testing.assert_allclose(error, np.mean((y - wanted.predict(x)) ** 2), rtol=1e-3)


def test_sums_of_parts_are_those_of_the_whole():
    a, b = decisions(1), decisions(2)
    both = jax.tree.map(lambda *x: jnp.concatenate(x), a, b)
    jax.tree.map(
        lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-5),
        jax.tree.map(jnp.add, moments(a), moments(b)),
        moments(both),
    )


def test_the_start_is_kept_where_nothing_is_known_and_forgotten_where_much_is():
    start = jnp.full(FEATURES, 3.0)
    np.testing.assert_allclose(ridge(start, no_moments(FEATURES), 0.1)[0], start)
    np.testing.assert_allclose(ridge(start, moments(decisions()), 1e6)[0], start, atol=1e-3)
    near, far = (ridge(jnp.full(FEATURES, s), moments(decisions()), 1e-4)[0] for s in (0.0, 3.0))
    np.testing.assert_allclose(near, far, atol=2e-3)
    assert np.abs(np.asarray(near) - TRUE).max() < 0.15


def test_what_may_not_be_chosen_or_is_not_finite_does_not_count():
    given = decisions()
    features = given.sight.standardised
    spoilt = jnp.where(given.mask[..., None], features, 99.0)
    other = given._replace(sight=given.sight._replace(standardised=spoilt))
    jax.tree.map(np.testing.assert_array_equal, moments(given), moments(other))
    broken = given._replace(sight=given.sight._replace(standardised=features.at[3, 2].set(jnp.nan)))
    without = given._replace(mask=given.mask.at[3].set(False))
    found: Moments = moments(broken)
    jax.tree.map(np.testing.assert_array_equal, found, moments(without))
    assert found.candidates < moments(given).candidates
