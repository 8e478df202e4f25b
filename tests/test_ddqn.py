"""The double deep Q-network: targets by hand, gradients, and one update written out."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import q_values
from worlds import compiled

from jaxal.config import AgentConfig
from jaxal.policies.ddqn import make_agent, td_target
from jaxal.policies.replay import Transition

FEATURES = ("score", "margin", "entropy")
STATE, CANDIDATES, SIZE = 4, 6, 5


def target(reward, discount, select, evaluate, mask, batch) -> float:
    array = lambda x: jnp.asarray(x, jnp.float32)
    return float(td_target(array(reward), array(discount), array(select), array(evaluate), jnp.asarray(mask), batch))


SELECT = [0.1, 0.9, 0.5, 0.7, 0.3]
EVALUATE = [10.0, 20.0, 30.0, 40.0, 50.0]
OPEN = [True] * 5


@pytest.mark.parametrize(
    ("batch", "mask", "discount", "expected"),
    [
        (1, OPEN, 0.5, 2 + 0.5 * 20),  # the best by `select` is number 1
        (3, OPEN, 0.5, 2 + 0.5 * (20 + 40 + 30) / 3),  # numbers 1, 3, 2
        (1, [True, False, True, True, True], 0.5, 2 + 0.5 * 40),
        (3, [True, False, True, False, True], 0.5, 2 + 0.5 * (30 + 50 + 10) / 3),
        (3, [True, False, True, False, False], 0.5, 2 + 0.5 * (30 + 10) / 2),  # only two are left
        (3, [False] * 5, 0.5, 2),  # none is left
        (1, OPEN, 0.0, 2),  # after the last step
        (3, OPEN, 0.0, 2),
    ],
)
def test_targets_by_hand(batch, mask, discount, expected):
    assert target(2, discount, SELECT, EVALUATE, mask, batch) == pytest.approx(expected)


def test_masked_candidates_win_nothing_even_with_negative_values():
    assert target(0, 1, [-5, -1, -9], [7, 8, 9], [True, False, True], 1) == 7


def test_infinite_values_behind_the_mask_do_not_spread():
    assert target(0, 1, [1, np.nan, 0], [7, np.nan, 9], [True, False, True], 3) == 8


def batch_of(seed: int, n: int, size: int = SIZE) -> Transition:
    rng = np.random.default_rng(seed)
    normal = lambda *shape: jnp.asarray(rng.normal(0, 1, shape), jnp.float32)
    mask = rng.random((size, CANDIDATES)) < 0.7
    mask[:, :n] = True
    return Transition(
        state_vector=normal(size, STATE),
        features=normal(size, n, 3),
        reward=normal(size),
        discount=jnp.asarray(np.arange(size) != size - 1, jnp.float32),  # the last one ends its episode
        next_state_vector=normal(size, STATE),
        next_features=normal(size, CANDIDATES, 3),
        next_mask=jnp.asarray(mask),
    )


def agent_and_state(n: int, **changes) -> tuple[Any, Any]:
    """An agent whose target parameters differ from the online ones."""
    agent = compiled(make_agent(AgentConfig(**({"hidden": (8, 7), "gamma": 0.9} | changes)), STATE, FEATURES, n))
    state = agent.init(jax.random.key(0))
    return agent, state._replace(target_params=agent.init(jax.random.key(1)).params)


def numpy_q(params, state, actions) -> np.ndarray:
    layers = params["params"]
    return q_values(lambda a, b: np.asarray(layers[a][b], np.float64), len(layers), state, actions)


def expected_targets(state, t: Transition, reading: str, n: int, gamma: float = 0.9) -> np.ndarray:
    """y of each transition, by loops."""
    out = []
    for i in range(len(t.reward)):
        online = numpy_q(state.params, t.next_state_vector[i], t.next_features[i])
        target = numpy_q(state.target_params, t.next_state_vector[i], t.next_features[i])
        select, evaluate = (online, target) if reading == "double_q" else (target, online)
        open_ = [k for k in range(CANDIDATES) if t.next_mask[i, k]]
        best = sorted(open_, key=lambda k: -select[k])[:n]
        following = np.mean([evaluate[k] for k in best])
        last = t.discount[i] == 0
        out.append(float(t.reward[i]) + (0 if last else gamma * following))
    return np.array(out)


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("reading", ["double_q", "paper"])
def test_errors_equal_hand_made_ones(reading, n):
    agent, state = agent_and_state(n, target=reading)
    t = batch_of(2, n)
    _, errors = jax.jit(agent.update)(state, t)
    y = expected_targets(state, t, reading, n)
    q = np.array([numpy_q(state.params, t.state_vector[i], t.features[i]) for i in range(SIZE)])
    np.testing.assert_allclose(errors, (q - y[:, None]).mean(1), atol=1e-5)
    other = expected_targets(state, t, {"paper": "double_q", "double_q": "paper"}[reading], n)
    assert np.abs(other - y).max() > 0.05  # the two readings are told apart by this batch


@pytest.mark.parametrize("loss", ["squared", "huber"])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("reading", ["double_q", "paper"])
def test_no_gradient_flows_into_the_target(reading, n, loss):
    """An update equals Adam on the same loss with the targets as plain numbers."""
    agent, state = agent_and_state(n, target=reading, loss=loss, learning_rate=0.01)
    t = batch_of(3, n)
    y = jnp.asarray(expected_targets(state, t, reading, n), jnp.float32)

    def objective(params):
        error = jax.vmap(agent.values, (None, 0, 0))(params, t.state_vector, t.features) - y[:, None]
        small = jnp.abs(error) <= 1
        huber = jnp.where(small, error**2 / 2, jnp.abs(error) - 0.5)
        return jnp.mean(error**2 if loss == "squared" else huber)

    gradients = jax.grad(objective)(state.params)
    adam = optax.adam(0.01)
    steps, _ = adam.update(gradients, adam.init(state.params))
    after, _ = jax.jit(agent.update)(state, t)
    # Adam's first step is the sign of the gradient, so the moments are compared too.
    moments = jax.tree.leaves(optax.tree_utils.tree_get(after.optimiser, "mu"))
    for found, gradient in zip(moments, jax.tree.leaves(gradients), strict=True):
        np.testing.assert_allclose(found, 0.1 * gradient, rtol=1e-3, atol=1e-6)
    expected = optax.apply_updates(state.params, steps)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), after.params, expected)


def test_the_target_network_follows_slowly():
    agent, state = agent_and_state(1, target_rate=0.01)
    after, _ = agent.update(state, batch_of(4, 1))
    jax.tree.map(
        lambda new, old, online: np.testing.assert_allclose(new, 0.99 * old + 0.01 * online, rtol=1e-5, atol=1e-7),
        after.target_params,
        state.target_params,
        after.params,
    )


def test_gradients_are_clipped_by_their_global_norm():
    t = batch_of(5, 1)._replace(reward=jnp.full(SIZE, 1e4))
    norms = {}
    for clip in (0.0, 0.5):
        agent, state = agent_and_state(1, gradient_clip=clip)
        after, _ = agent.update(state, t)
        norms[clip] = float(optax.tree.norm(optax.tree_utils.tree_get(after.optimiser, "mu"))) / 0.1
    assert norms[0.5] == pytest.approx(0.5, rel=1e-3) and norms[0.0] > 100


def test_q_learning_finds_the_value_of_a_state_that_pays_one():
    """Reward 1 and a next state like the present one: Q = 1 / (1 - gamma) = 2 for gamma = 0.5."""
    agent, state = agent_and_state(1, gamma=0.5, learning_rate=1e-2, target_rate=0.1)
    zeros = batch_of(0, 1)
    t = jax.tree.map(jnp.zeros_like, zeros)._replace(
        reward=jnp.ones(SIZE), discount=jnp.ones(SIZE), next_mask=jnp.ones((SIZE, CANDIDATES), bool)
    )
    state, errors = jax.jit(lambda s: jax.lax.scan(lambda s, _: agent.update(s, t), s, None, length=2000))(state)
    assert float(agent.values(state.params, t.state_vector[0], t.features[0])[0]) == pytest.approx(2, abs=0.05)
    assert float(jnp.abs(errors[-1]).max()) < 0.05


def test_the_split_first_layer_is_one_dense_layer():
    agent, state = agent_and_state(1)
    t = batch_of(6, 1)
    found = agent.values(state.params, t.next_state_vector[0], t.next_features[0])
    np.testing.assert_allclose(found, numpy_q(state.params, t.next_state_vector[0], t.next_features[0]), atol=1e-5)


def test_an_untrained_network_with_a_residual_ranks_by_that_feature():
    agent = make_agent(AgentConfig(hidden=(8, 8), residual="margin", residual_weight=-2.0), STATE, FEATURES, 1)
    t = batch_of(7, 1)
    q = agent.values(agent.init(jax.random.key(0)).params, t.next_state_vector[0], t.next_features[0])
    np.testing.assert_allclose(q, -2 * t.next_features[0][:, FEATURES.index("margin")], atol=1e-6)


def test_agents_start_alike_from_one_key_and_differ_from_another():
    agent, _ = agent_and_state(1)
    one, again, other = (agent.init(jax.random.key(i)) for i in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, one.params, again.params)
    jax.tree.map(np.testing.assert_array_equal, one.params, one.target_params)
    kernel = lambda s: np.asarray(s.params["params"]["state"]["kernel"])
    assert not np.array_equal(kernel(one), kernel(other))


def test_an_update_of_many_agents_equals_updates_of_each():
    agent, _ = agent_and_state(3)
    states = [agent.init(jax.random.key(i)) for i in range(2)]
    batches = [batch_of(i, 3) for i in range(2)]
    stack = lambda *trees: jax.tree.map(lambda *x: jnp.stack(x), *trees)
    together = jax.jit(jax.vmap(agent.update))(stack(*states), stack(*batches))
    single = stack(*(agent.update(s, b) for s, b in zip(states, batches, strict=True)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), together, single)
