"""The replay buffer: whole transitions, sampled uniformly or by priority, as pure functions over explicit state.

flashbax does the work. Its flat buffers pair neighbouring items, across the ends of episodes too; a transition is
therefore stored whole, as one item.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import flashbax
import jax
import jax.numpy as jnp

from jaxal.config import AgentConfig


class Transition(NamedTuple):
    """One step of an episode, as the agent learns from it."""

    state: jax.Array  # [.] state vector
    actions: jax.Array  # [N, F] features of the chosen candidates
    reward: jax.Array  # []
    discount: jax.Array  # [] 0 on the last step of an episode, 1 elsewhere
    next_state: jax.Array  # [.]
    next_actions: jax.Array  # [K, F] features of candidates of the next state
    next_mask: jax.Array  # [K] bool, False: not to be chosen


class Replay(NamedTuple):
    """Pure functions; the state is flashbax's."""

    init: Callable[[Transition], Any]
    """(one transition, for its shapes) -> empty buffer"""
    add: Callable[[Any, Transition], Any]
    """(buffer, transitions with one leading axis) -> buffer; new ones get the highest priority so far"""
    sample: Callable[[Any, chex.PRNGKey], tuple[Transition, jax.Array]]
    """(buffer, key) -> batch of transitions and their places. An empty buffer must not be sampled from: it would
    give zeros, silently"""
    reprioritise: Callable[[Any, jax.Array, jax.Array], Any]
    """(buffer, places, TD errors) -> buffer; does nothing in a uniform one"""


def make_replay(config: AgentConfig) -> Replay:
    """The buffer named in the config.

    Sampling probabilities of a prioritised buffer are proportional to |TD error|^`priority_exponent`, without
    importance weights, as in LAL-RL.
    """
    if config.replay == "uniform":
        buffer = flashbax.make_item_buffer(
            config.replay_capacity, config.batch_size, config.batch_size, add_sequences=True
        )

        def sample(state, key):
            return buffer.sample(state, key).experience, jnp.zeros((config.batch_size, 1), jnp.int32)

        return Replay(buffer.init, buffer.add, sample, lambda state, places, errors: state)

    # flashbax takes exponents up to 1, so the priorities handed over are already raised to ours.
    prioritised = flashbax.make_prioritised_item_buffer(
        config.replay_capacity,
        config.batch_size,
        config.batch_size,
        add_sequences=True,
        priority_exponent=1.0,
        device=jax.default_backend(),
    )

    def sample_prioritised(state, key):
        batch = prioritised.sample(state, key)
        return batch.experience, batch.indices

    def reprioritise(state, places, errors):
        return prioritised.set_priorities(state, places, jnp.abs(errors) ** config.priority_exponent + 1e-6)

    return Replay(prioritised.init, prioritised.add, sample_prioritised, reprioritise)


def memory_bytes(capacity: int, transition: Transition) -> int:
    """Bytes of a buffer of `capacity` transitions like this one (arrays or shape structs)."""
    return capacity * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(transition))
