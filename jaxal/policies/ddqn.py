"""The double deep Q-network for sets of actions (paper, section 3.2), as a bundle of pure functions.

Q(s, a) scores one candidate; the N highest are labelled together (eq. 3). All N chosen share one target,

  y = r + gamma * mean over the N best next candidates of Q_evaluate(s', a'),  the best according to Q_select,

which is eq. 4 with the mean over the set written out.
"""

from functools import cache, partial
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from jaxal.config import AgentConfig, Config
from jaxal.mdp.observation import state_size
from jaxal.policies.replay import Transition
from jaxal.tasks.products import FULL


class QNetwork(nn.Module):
    """Q-values of candidates.

    The first layer is split in two, so that its state half is computed once and not once per candidate.
    """

    hidden: tuple[int, ...]
    residual: tuple[int, float] | None = None  # (column of the features, weight) that is added to the output

    @nn.compact
    def __call__(self, state_vector: jax.Array, features: jax.Array) -> jax.Array:
        """State vector [.], features of the candidates [K, F] -> [K]."""
        first, *rest = self.hidden
        dense = partial(nn.Dense, precision=FULL)
        x = dense(first, name="state")(state_vector)
        x = x + dense(first, use_bias=False, name="action")(features)
        for i, width in enumerate(rest):
            x = dense(width, name=f"hidden_{i}")(nn.relu(x))
        begin = nn.linear.default_kernel_init if self.residual is None else nn.initializers.zeros
        q = dense(1, kernel_init=begin, name="q")(nn.relu(x))[..., 0]
        if self.residual is None:
            return q
        column, weight = self.residual
        return q + weight * features[..., column]


class AgentState(NamedTuple):
    """Everything that an update changes."""

    params: Any
    target_params: Any
    optimiser: optax.OptState


class InitAgent(Protocol):
    """How an agent begins."""

    def __call__(self, key: chex.PRNGKey) -> AgentState:
        """Random parameters. Consumes the key."""
        ...


class Values(Protocol):
    """What an agent thinks of candidates."""

    def __call__(self, params: Any, state_vector: jax.Array, features: jax.Array) -> jax.Array:
        """State vector [.], features of the candidates [K, F] -> Q-values [K]."""
        ...


class Update(Protocol):
    """How an agent learns."""

    def __call__(self, agent: AgentState, minibatch: Transition) -> tuple[AgentState, jax.Array]:
        """One update: the agent, and TD errors [minibatch] (of each transition's chosen set, the mean)."""
        ...


class Agent(NamedTuple):
    """Pure functions; `make_agent` captures the settings."""

    init: InitAgent
    values: Values
    update: Update


def td_target(
    reward: jax.Array,
    discount: jax.Array,
    select: jax.Array,
    evaluate: jax.Array,
    mask: jax.Array,
    batch: int,
) -> jax.Array:
    """y = reward + discount * (mean of `evaluate` over the `batch` candidates with the highest `select`).

    Args:
      reward: [] reward of the step.
      discount: [] gamma, or 0 after the last step.
      select: [K] values that choose the next actions.
      evaluate: [K] values that score them.
      mask: [K] bool, candidates that may be chosen; where there are fewer than `batch`, the mean is over those.
      batch: N.
    """
    chex.assert_rank([reward, discount, select, evaluate, mask], [0, 0, 1, 1, 1])
    best = jax.lax.top_k(jnp.where(mask, select, -jnp.inf), batch)[1]
    valid = mask[best]
    mean = jnp.sum(jnp.where(valid, evaluate[best], 0.0)) / jnp.maximum(jnp.sum(valid), 1)
    return reward + discount * mean


@cache
def make_agent(config: AgentConfig, state_size: int, feature_names: tuple[str, ...], batch: int) -> Agent:
    """The agent. Equal arguments give one and the same, so that what is compiled for it serves again.

    Args:
      config: network, discount, optimiser.
      state_size: length of the state vector.
      feature_names: of the action features, in order.
      batch: N, labels a step.
    """
    name = config.residual
    residual = (feature_names.index(name), config.residual_weight) if name else None
    network = QNetwork(config.hidden, residual)
    optimiser = optax.chain(
        optax.clip_by_global_norm(config.gradient_clip) if config.gradient_clip else optax.identity(),
        optax.adam(config.learning_rate),
    )
    penalty = {"huber": optax.huber_loss, "squared": lambda error: error**2}[config.loss]

    def values(params: Any, state_vector: jax.Array, features: jax.Array) -> jax.Array:
        return jnp.asarray(network.apply(params, state_vector, features))

    def init(key: chex.PRNGKey) -> AgentState:
        params = network.init(key, jnp.zeros(state_size), jnp.zeros((1, len(feature_names))))
        return AgentState(params, jax.tree.map(jnp.copy, params), optimiser.init(params))

    def td_error(params: Any, target_params: Any, t: Transition) -> jax.Array:
        """[N] errors of the chosen actions."""
        online = jax.lax.stop_gradient(values(params, t.next_state_vector, t.next_features))
        target = values(target_params, t.next_state_vector, t.next_features)
        select, evaluate = (online, target) if config.target == "double_q" else (target, online)
        y = td_target(t.reward, config.gamma * t.discount, select, evaluate, t.next_mask, batch)
        return values(params, t.state_vector, t.features) - jax.lax.stop_gradient(y)

    def loss(params: Any, target_params: Any, minibatch: Transition) -> tuple[jax.Array, jax.Array]:
        errors = jax.vmap(td_error, (None, None, 0))(params, target_params, minibatch)
        return jnp.mean(penalty(errors)), jnp.mean(errors, -1)

    def update(agent: AgentState, minibatch: Transition) -> tuple[AgentState, jax.Array]:
        gradients, errors = jax.grad(loss, has_aux=True)(agent.params, agent.target_params, minibatch)
        steps, moments = optimiser.update(gradients, agent.optimiser, agent.params)
        params = optax.apply_updates(agent.params, steps)
        target_params = optax.incremental_update(params, agent.target_params, config.target_rate)
        return AgentState(params, target_params, moments), errors

    return Agent(init, values, update)


def agent_for(config: Config, classes: int) -> Agent:
    """The agent that the config names, for data of so many classes; only some state features depend on the number."""
    settings = config.environment
    size = state_size(settings.state_features, config.split.state, classes)
    return make_agent(config.agent, size, settings.action_features, settings.batch)
