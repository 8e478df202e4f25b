"""The replay buffer keeps whole transitions and samples them with the right probabilities."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import compiled

from jaxal.config import AgentConfig
from jaxal.policies.replay import Transition, make_replay, memory_bytes

KINDS = ("uniform", "prioritised")
BATCH = 8


def transitions(numbers) -> Transition:
    """Transitions whose every field carries its number."""
    n = jnp.asarray(numbers, jnp.float32)
    fill = lambda *shape: jnp.broadcast_to(n.reshape(-1, *(1 for _ in shape)), (len(n), *shape))
    return Transition(
        state_vector=fill(3),
        features=fill(2, 4),
        reward=n,
        discount=n % 2,
        next_state_vector=fill(3),
        next_features=fill(5, 4),
        next_mask=fill(5) % 2 == 0,
    )


def replay(kind: Any, capacity: int = 16):
    buffer = compiled(make_replay(AgentConfig(replay=kind, replay_capacity=capacity, minibatch=BATCH)))
    return buffer, buffer.init(jax.tree.map(lambda x: x[0], transitions([0])))


def sampled(buffer, state, draws: int, seed: int = 0) -> np.ndarray:
    """Numbers of sampled transitions [draws, BATCH]."""
    keys = jax.random.split(jax.random.key(seed), draws)
    return np.asarray(jax.jit(jax.vmap(lambda k: buffer.sample(state, k)[0].reward))(keys)).astype(int)


@pytest.mark.parametrize("kind", KINDS)
def test_transitions_stay_whole(kind):
    buffer, state = replay(kind)
    state = buffer.add(state, transitions(range(1, 13)))
    batch, places = buffer.sample(state, jax.random.key(0))
    assert batch.reward.shape == (BATCH,) and len(places) == BATCH
    expected = transitions(batch.reward)
    jax.tree.map(np.testing.assert_array_equal, batch, expected)
    assert batch.next_mask.dtype == bool


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_was_added_is_sampled(kind):
    buffer, state = replay(kind)
    state = buffer.add(state, transitions(range(1, 11)))
    assert set(sampled(buffer, state, 60).ravel()) == set(range(1, 11))  # the six empty places never


@pytest.mark.parametrize("kind", KINDS)
def test_the_oldest_make_room(kind):
    buffer, state = replay(kind)
    add = jax.jit(buffer.add)
    for start in range(0, 42, 7):
        state = add(state, transitions(range(start, start + 7)))
    assert set(sampled(buffer, state, 100).ravel()) == set(range(42 - 16, 42))


@pytest.mark.parametrize("kind", KINDS)
def test_same_key_same_batch(kind):
    buffer, state = replay(kind)
    state = buffer.add(state, transitions(range(12)))
    np.testing.assert_array_equal(sampled(buffer, state, 5, seed=1), sampled(buffer, state, 5, seed=1))
    assert not np.array_equal(sampled(buffer, state, 5, seed=1), sampled(buffer, state, 5, seed=2))


def close_to(counts: np.ndarray, probabilities: np.ndarray) -> bool:
    """Whether counts of independent draws are within 5 standard deviations of what the probabilities say."""
    total = counts.sum()
    deviation = np.sqrt(total * probabilities * (1 - probabilities)) + 1
    return bool(np.all(np.abs(counts - total * probabilities) < 5 * deviation))


def test_uniform_sampling_is_uniform():
    buffer, state = replay("uniform")
    state = buffer.add(state, transitions(range(12)))
    counts = np.bincount(sampled(buffer, state, 2000).ravel(), minlength=12)
    assert close_to(counts, np.full(12, 1 / 12))


def test_reprioritising_a_uniform_buffer_does_nothing():
    buffer, state = replay("uniform")
    state = buffer.add(state, transitions(range(12)))
    _, places = buffer.sample(state, jax.random.key(0))
    after = buffer.reprioritise(state, places, jnp.full(BATCH, 100.0))
    jax.tree.map(np.testing.assert_array_equal, after, state)


@pytest.mark.parametrize("exponent", [1.0, 3.0])
def test_prioritised_sampling_follows_the_errors(exponent):
    config = AgentConfig(replay="prioritised", replay_capacity=16, minibatch=BATCH, priority_exponent=exponent)
    buffer = compiled(make_replay(config))
    state = buffer.init(jax.tree.map(lambda x: x[0], transitions([0])))
    state = buffer.add(state, transitions(range(12)))
    errors = np.linspace(-1.5, 2.0, 12)  # the sign must not matter
    state = jax.jit(buffer.reprioritise)(state, jnp.arange(12), jnp.asarray(errors, jnp.float32))
    expected = np.abs(errors) ** exponent
    expected /= expected.sum()
    counts = np.bincount(sampled(buffer, state, 4000).ravel(), minlength=12)
    assert close_to(counts, expected)
    assert not close_to(counts, np.full(12, 1 / 12))


def test_reprioritising_what_was_sampled():
    buffer, state = replay("prioritised")
    state = buffer.add(state, transitions(range(12)))
    batch, places = buffer.sample(state, jax.random.key(0))
    # Transitions with an even number become 3 times the error, 27 times the probability, of odd ones.
    everything = np.arange(12)
    state = buffer.reprioritise(state, jnp.asarray(everything), jnp.ones(12))
    errors = jnp.where(batch.reward % 2 == 0, 3.0, 1.0)
    state = buffer.reprioritise(state, places, errors)
    raised = np.isin(everything, batch.reward) & (everything % 2 == 0)
    assert 0 < raised.sum() < 12
    expected = np.where(raised, 27.0, 1.0)
    assert close_to(np.bincount(sampled(buffer, state, 4000).ravel(), minlength=12), expected / expected.sum())


def test_new_transitions_get_the_highest_priority():
    buffer, state = replay("prioritised")
    state = buffer.add(state, transitions(range(8)))
    state = buffer.reprioritise(state, jnp.arange(8), jnp.array([2.0] + [1.0] * 7))
    state = buffer.add(state, transitions(range(8, 12)))
    expected = np.array([8.0] + [1.0] * 7 + [8.0] * 4)
    assert close_to(np.bincount(sampled(buffer, state, 4000).ravel(), minlength=12), expected / expected.sum())


@pytest.mark.parametrize("kind", KINDS)
def test_buffers_vmap_over_seeds(kind):
    buffer, empty = replay(kind)
    two = jax.tree.map(lambda x: jnp.stack([x, x]), empty)
    items = jax.tree.map(lambda a, b: jnp.stack([a, b]), transitions(range(8)), transitions(range(8, 16)))
    state = jax.vmap(buffer.add)(two, items)
    batch, _ = jax.vmap(buffer.sample)(state, jax.random.split(jax.random.key(0), 2))
    assert set(np.asarray(batch.reward[0]).astype(int)) <= set(range(8))
    assert set(np.asarray(batch.reward[1]).astype(int)) <= set(range(8, 16))


def test_memory_is_said_before_it_is_taken():
    one = jax.tree.map(lambda x: x[0], transitions([0]))
    floats = 3 + 2 * 4 + 1 + 1 + 3 + 5 * 4
    assert memory_bytes(1000, one) == 1000 * (4 * floats + 5)
    _, state = replay("uniform", capacity=64)
    stored = sum(x.nbytes for x in jax.tree.leaves(state.experience))
    assert stored == memory_bytes(64, one)
