"""The replay buffer: whole transitions, sampled uniformly or by priority, as pure functions over explicit state.

flashbax does the work. Its flat buffers pair neighbouring items, across the ends of episodes too; a transition is
therefore stored whole, as one item.
"""

from typing import Any, NamedTuple, Protocol

import chex
import flashbax
import jax
import jax.numpy as jnp

from jaxal.config import AgentConfig


class Transition(NamedTuple):
    """One step of an episode, as the agent learns from it."""

    state_vector: jax.Array  # [.]
    features: jax.Array  # [N, F] of the chosen candidates
    reward: jax.Array  # []
    discount: jax.Array  # [] 0 on the last step of an episode, 1 elsewhere
    next_state_vector: jax.Array  # [.]
    next_features: jax.Array  # [K, F] of candidates of the next state
    next_mask: jax.Array  # [K] bool, False: not to be chosen


class InitReplay(Protocol):
    """How a buffer begins."""

    def __call__(self, transition: Transition, /) -> Any:
        """An empty buffer for transitions like this one."""
        ...


class Add(Protocol):
    """How it is filled."""

    def __call__(self, state: Any, transitions: Transition, /) -> Any:
        """Adds transitions with one leading axis; new ones get the highest priority so far."""
        ...


class Sample(Protocol):
    """How it is drawn from."""

    def __call__(self, state: Any, key: chex.PRNGKey, /) -> tuple[Transition, jax.Array]:
        """A minibatch of transitions, and their places. Consumes the key.

        An empty buffer must not be sampled from: it would give zeros, silently.
        """
        ...


class Reprioritise(Protocol):
    """How priorities change."""

    def __call__(self, state: Any, places: jax.Array, errors: jax.Array, /) -> Any:
        """The buffer with the priorities of `places` set by their TD errors; a uniform one stays as it is."""
        ...


class Replay(NamedTuple):
    """Pure functions; the state is flashbax's."""

    init: InitReplay
    add: Add
    sample: Sample
    reprioritise: Reprioritise


def make_replay(config: AgentConfig) -> Replay:
    """The buffer named in the config.

    Sampling probabilities of a prioritised buffer are proportional to |TD error|^`priority_exponent`, without
    importance weights, as in LAL-RL.
    """
    if config.replay == "uniform":
        buffer = flashbax.make_item_buffer(
            config.replay_capacity, config.minibatch, config.minibatch, add_sequences=True
        )

        def sample(state: Any, key: chex.PRNGKey) -> tuple[Transition, jax.Array]:
            return buffer.sample(state, key).experience, jnp.zeros((config.minibatch, 1), jnp.int32)

        return Replay(buffer.init, buffer.add, sample, lambda state, places, errors: state)

    # flashbax takes exponents up to 1, so the priorities handed over are already raised to ours.
    prioritised = flashbax.make_prioritised_item_buffer(
        config.replay_capacity,
        config.minibatch,
        config.minibatch,
        add_sequences=True,
        priority_exponent=1.0,
        device=jax.default_backend(),
    )

    def sample_prioritised(state: Any, key: chex.PRNGKey) -> tuple[Transition, jax.Array]:
        batch = prioritised.sample(state, key)
        return batch.experience, batch.indices

    def reprioritise(state: Any, places: jax.Array, errors: jax.Array) -> Any:
        return prioritised.set_priorities(state, places, jnp.abs(errors) ** config.priority_exponent + 1e-6)

    return Replay(prioritised.init, prioritised.add, sample_prioritised, reprioritise)


def memory_bytes(capacity: int, transition: Transition) -> int:
    """Bytes of a buffer of `capacity` transitions like this one (arrays or shape structs)."""
    return capacity * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(transition))
