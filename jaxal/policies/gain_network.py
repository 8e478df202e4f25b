"""A network that predicts which label would help most: the agent of counterfactual training.

It learns from states in which every one of K candidates was tried: all-action Q-learning. With a discount of 0 it is
a regression on gains; beyond, the double-Q value of the state that the taken action led to is added to that action.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from jaxal.config import CounterfactualConfig
from jaxal.mdp.observation import Observation
from jaxal.policies.sight import Names, Sight, see
from jaxal.tasks.products import FULL

CLIP = 5.0  # deviations beyond which an input says no more
TARGET_RATE = 0.01  # share of the online parameters that moves into the target parameters after each update


class Decision(NamedTuple):
    """A state in which each of K candidates was tried."""

    sight: Sight  # of the candidates: features [K, F], standardised [K, F], summary [S]
    gains: jax.Array  # [K] what each label brought, centred, and in units of such a state's usual spread
    mask: jax.Array  # [K] bool, False for one that may not be chosen
    following: "Following | None" = None  # where a discount asks for it


class Following(NamedTuple):
    """The recorded state after a decision, in which the first candidate was taken."""

    sight: Sight  # of its candidates
    mask: jax.Array  # [K] bool
    discount: jax.Array  # [] 0 where the episode had ended, else 1


class GainNetwork(nn.Module):
    """Values of candidates, without hidden layers a linear function of them.

    The first layer is split in two, so that its half for the state is computed once.
    """

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, inputs: jax.Array, summary: jax.Array) -> jax.Array:
        """Inputs [K, 2 F], summary [S] -> [K]."""
        dense = partial(nn.Dense, precision=FULL)
        value = dense(1, kernel_init=nn.initializers.normal(0.01), name="value")
        if not self.hidden:  # of the state it would be a constant
            return value(inputs)[..., 0]
        first, *rest = self.hidden
        x = dense(first, name="candidate")(inputs) + dense(first, use_bias=False, name="state")(summary)
        for i, width in enumerate(rest):
            x = dense(width, name=f"hidden_{i}")(nn.relu(x))
        return value(nn.relu(x))[..., 0]


class Scaler(NamedTuple):
    """How inputs are brought to mean 0 and deviation 1."""

    mean: jax.Array
    deviation: jax.Array

    def __call__(self, values: jax.Array) -> jax.Array:
        """Scaled, and clipped at +-`CLIP`."""
        return jnp.clip((values - self.mean) / self.deviation, -CLIP, CLIP)


class Params(NamedTuple):
    """What a policy is."""

    network: Any
    features: Scaler  # [F]
    summary: Scaler  # [S]


class GainAgentState(NamedTuple):
    """Everything that an update changes."""

    params: Params
    target_params: Params
    optimiser: optax.OptState


class GainAgent(NamedTuple):
    """Pure functions; `make_gain_agent` captures the settings."""

    init: Callable[[chex.PRNGKey, Sight, jax.Array], GainAgentState]
    """(key, sights [n, K, ...] of first states, their masks [n, K]): random parameters, and scalers for such inputs"""
    values: Callable[[Params, Sight], jax.Array]
    """(params, sight of K candidates) -> [K]"""
    update: Callable[[GainAgentState, Decision], tuple[GainAgentState, jax.Array]]
    """(agent, minibatch) -> agent, loss []"""


@cache
def make_gain_agent(config: CounterfactualConfig, names: Names) -> GainAgent:
    """The agent. Equal arguments give one and the same, so that what is compiled for it serves again."""
    network = GainNetwork(config.hidden)
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.iterations * config.updates, 0.02)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=config.weight_decay))

    def values(params: Params, sight: Sight) -> jax.Array:
        inputs = jnp.concatenate([sight.standardised, params.features(sight.features)], -1)
        return jnp.asarray(network.apply(params.network, inputs, params.summary(sight.summary)))

    def init(key: chex.PRNGKey, sights: Sight, masks: jax.Array) -> GainAgentState:
        size, states = names.size, len(names.summaries)
        fresh = network.init(key, jnp.zeros((1, 2 * size)), jnp.zeros(states))
        candidates = _scaler(sights.features.reshape(-1, size), masks.reshape(-1))
        summary = _scaler(sights.summary.reshape(-1, states), jnp.ones(sights.summary.size // states, bool))
        params = Params(fresh, candidates, summary)
        return GainAgentState(params, jax.tree.map(jnp.copy, params), optimiser.init(fresh))

    def target(params: Params, target_params: Params, decision: Decision) -> jax.Array:
        """[K] what the values are to be, but for a constant."""
        if decision.following is None:
            return decision.gains
        sight, mask, discount = decision.following
        best = jnp.argmax(jnp.where(mask, values(params, sight), -jnp.inf))
        later = jax.lax.stop_gradient(values(target_params, sight)[best])
        return decision.gains.at[0].add(config.gamma * discount * jnp.where(jnp.any(mask), later, 0.0))

    def loss(network_params: Any, params: Params, target_params: Params, minibatch: Decision) -> jax.Array:
        def one(decision: Decision) -> jax.Array:
            wanted = target(params, target_params, decision)
            errors = values(params._replace(network=network_params), decision.sight) - wanted
            weights = decision.mask / jnp.maximum(jnp.sum(decision.mask), 1)
            centred = errors - jnp.sum(weights * errors) if config.gamma == 0 else errors
            return jnp.sum(weights * optax.huber_loss(centred))

        return jnp.mean(jax.vmap(one)(minibatch))

    def update(agent: GainAgentState, minibatch: Decision) -> tuple[GainAgentState, jax.Array]:
        value, gradients = jax.value_and_grad(loss)(agent.params.network, agent.params, agent.target_params, minibatch)
        updates, state = optimiser.update(gradients, agent.optimiser, agent.params.network)
        params = agent.params._replace(network=optax.apply_updates(agent.params.network, updates))
        target_params: Any = optax.incremental_update(params, agent.target_params, TARGET_RATE)
        return GainAgentState(params, target_params, state), value

    return GainAgent(init, values, update)


def _scaler(values: jax.Array, mask: jax.Array) -> Scaler:
    """Of rows [n, F] where `mask` [n] holds."""
    weights = mask[:, None] / jnp.maximum(jnp.sum(mask), 1)
    mean = jnp.sum(weights * values, 0)
    return Scaler(mean, jnp.sqrt(jnp.sum(weights * (values - mean) ** 2, 0)) + 1e-3)


def param_shapes(config: CounterfactualConfig, names: Names) -> Params:
    """Shapes and dtypes of a policy's parameters."""
    features = jnp.zeros((1, 1, names.size))
    sight = Sight(features, features, jnp.zeros((1, len(names.summaries))))
    agent = make_gain_agent(config, names)
    return jax.eval_shape(lambda key: agent.init(key, sight, jnp.ones((1, 1), bool)).params, jax.random.key(0))


def linear_params(names: Names, weights: jax.typing.ArrayLike) -> Params:
    """A policy without hidden layers, from weights [F] of the standardised features."""
    kernel = jnp.concatenate([jnp.asarray(weights, jnp.float32), jnp.zeros(names.size)])[:, None]
    network = {"params": {"value": {"kernel": kernel, "bias": jnp.zeros(1)}}}
    as_it_is = lambda size: Scaler(jnp.zeros(size), jnp.ones(size))
    return Params(network, as_it_is(names.size), as_it_is(len(names.summaries)))


def linear_weights(params: Params) -> jax.Array:
    """The weights [F] of the standardised features in a policy without hidden layers."""
    kernel = params.network["params"]["value"]["kernel"]
    return kernel[: len(kernel) // 2, 0]


def explained(values: np.ndarray, gains: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """How much of the gains [n, K] values explain: the share of variance, rank correlation, share of the best gain.

    Values and gains are compared within states; the scale of the values is fitted.
    """
    some = mask.any(-1)
    values, gains, mask = values[some], gains[some], mask[some]
    weights = mask / mask.sum(-1, keepdims=True)
    centre = lambda x: np.where(mask, x - (weights * x).sum(-1, keepdims=True), 0.0)
    a, g = centre(values), centre(gains)
    r2 = (a * g).sum() ** 2 / max((a**2).sum() * (g**2).sum(), 1e-12)
    best = np.take_along_axis(g, np.where(mask, values, -np.inf).argmax(-1)[:, None], -1)[:, 0]
    top = np.where(mask, g, -np.inf).max(-1)
    ranks = lambda x: np.where(mask, x, np.inf).argsort(-1).argsort(-1).astype(float)
    ra, rg = centre(ranks(values)), centre(ranks(gains))
    correlation = (ra * rg).sum(-1) / np.sqrt(np.maximum((ra**2).sum(-1) * (rg**2).sum(-1), 1e-12))
    return {
        "r2": float(r2),
        "rank_correlation": float(correlation.mean()),
        "top_share": float(best.mean() / top.mean()),
    }


def explained_by_phase(
    values: np.ndarray, gains: np.ndarray, mask: np.ndarray, labels: np.ndarray
) -> dict[str, dict[str, float]]:
    """`explained` of all states, and of the thirds with the fewest and the most labels [n] and the one between."""
    bounds = np.quantile(labels, [1 / 3, 2 / 3])
    phase = np.searchsorted(bounds, labels)  # 0, 1, 2
    found = {"explains": explained(values, gains, mask)}
    for number, name in enumerate(("early", "middle", "late")):
        some = (phase == number) & mask.any(-1)
        if some.any():
            found[f"explains_{name}"] = explained(values[some], gains[some], mask[some])
    return found


@dataclass(frozen=True)
class Judge:
    """Looks at a state with a policy's own features, and judges the candidates. Equal ones compile once."""

    names: Names
    agent: GainAgent

    def __call__(self, params: Params, observation: Observation, key: chex.PRNGKey) -> jax.Array:
        """What each label is expected to bring: [K], in no unit. Consumes the key."""
        return self.agent.values(params, see(self.names, observation, key))


def judged(params: Any, observation: Observation, key: chex.PRNGKey) -> jax.Array:
    """What a label is expected to bring; `params` is a `Judge` with its parameters, a `jax.tree_util.Partial`."""
    return params(observation, key)


def judging(config: CounterfactualConfig, names: Names, params: Params) -> Any:
    """Parameters for `judged`."""
    return jax.tree_util.Partial(Judge(names, make_gain_agent(config, names)), params)
