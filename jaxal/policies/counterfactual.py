"""Counterfactual training: what each of many labels would bring at a visited state, and a network that learns it.

In training the labels are known. At every recorded state of an episode each of K candidates is labelled truly, the
probe refitted exactly (`bordered`), and scored on the reward rows. That gives K comparable targets a state, where
Q-learning has one noisy reward. States come from a mixture of the present policy and the rules, and are kept in replay.

Pure functions for one seed; `gain_training` maps them over seeds.
"""

from functools import partial
from typing import Any, NamedTuple

import chex
import flashbax
import jax
import jax.numpy as jnp

from jaxal.classifiers.bordered import refit_with_each
from jaxal.classifiers.classifier import Labelled
from jaxal.config import CounterfactualConfig
from jaxal.mdp.environment import Environment, State
from jaxal.mdp.metrics import REWARDS
from jaxal.mdp.observation import Observation
from jaxal.policies.gain_network import (
    Decision,
    Following,
    GainAgent,
    GainAgentState,
    Params,
    linear_params,
    linear_weights,
    param_shapes,
)
from jaxal.policies.linear_gains import Moments, moments, no_moments, ridge
from jaxal.policies.sight import PROPOSERS, Names, Sight, see
from jaxal.tasks.banks import Sources
from jaxal.tasks.task import Task, for_each, select

EPSILONS = (0.05, 0.15, 0.4)  # of random labels; an episode draws one
OWN_BEST = 7  # candidates that the policy itself proposes
SPREAD_WINDOW = 3  # recorded states to either side over which gains are brought to one scale
LARGEST_GAIN = 6.0  # in units of the usual spread


class Play(NamedTuple):
    """What stays the same throughout training."""

    config: CounterfactualConfig
    names: Names
    environment: Environment  # of `config.batch` labels a step, and `config.initial` at the start
    agent: GainAgent
    l2: float  # of the probe


class Survey(NamedTuple):
    """A state, seen and judged by the policy and by every proposer."""

    sight: Sight
    mask: jax.Array  # [P]
    proposals: jax.Array  # [proposers, P] utilities
    values: jax.Array  # [P] of the policy


class Behaviour(NamedTuple):
    """Who plays an episode."""

    player: jax.Array  # [] int32: a proposer's number, then random, then the policy
    epsilon: jax.Array  # [] share of random labels


class TrainState(NamedTuple):
    """Everything that training changes."""

    agent: GainAgentState
    start: Params  # that training began with
    moments: Moments  # of all decisions so far, for linear policies; of none for others
    buffer: Any  # of decisions: others draw from it, and in the end it tells how much is explained


def survey(play: Play, params: Params, observation: Observation, key: chex.PRNGKey) -> Survey:
    """Looks at a state. Consumes the key."""
    see_key, *keys = jax.random.split(key, len(PROPOSERS) + 1)
    sight = see(play.names, observation, see_key)
    proposals = [propose(observation, each) for propose, each in zip(PROPOSERS.values(), keys, strict=True)]
    return Survey(sight, observation.mask, jnp.stack(proposals), play.agent.values(params, sight))


def decide(seen: Survey, behaviour: Behaviour, key: chex.PRNGKey) -> jax.Array:
    """The pool row that is labelled: [] int32. Consumes the key."""
    coin_key, noise_key = jax.random.split(key)
    noise = jax.random.uniform(noise_key, seen.mask.shape)
    everyone = jnp.concatenate([seen.proposals, noise[None], seen.values[None]])
    explore = jax.random.uniform(coin_key) < behaviour.epsilon
    utility = jnp.where(explore, noise, everyone[behaviour.player])
    return jnp.argmax(jnp.where(seen.mask, utility, -jnp.inf)).astype(jnp.int32)


def propose(play: Play, seen: Survey, taken: jax.Array, key: chex.PRNGKey) -> jax.Array:
    """The candidates that are tried, the one taken first: [K] int32 pool rows, some twice. Consumes the key."""
    open_ = lambda utilities: jnp.where(seen.mask, utilities, -jnp.inf)
    firsts = jnp.argmax(jax.vmap(open_)(seen.proposals), -1)
    own = jax.lax.top_k(open_(seen.values), OWN_BEST)[1]
    count = play.config.candidates - 1 - len(firsts) - OWN_BEST
    others = jax.lax.top_k(open_(jax.random.uniform(key, seen.mask.shape)), count)[1]
    return jnp.concatenate([taken[None], firsts, own, others]).astype(jnp.int32)


def scores(play: Play, task: Task, state: State, candidates: jax.Array) -> jax.Array:
    """Score on the hold-out rows with the true label of each candidate [K] beside those there are: [K].

    Pending points count with their true labels, too: they will be known when the candidate is.
    """
    chosen = jax.tree.map(lambda *parts: jnp.concatenate(parts), state.labelled, state.pending)
    known, tried = task.pool_labels[chosen.rows], task.pool_labels[candidates]
    logits = refit_with_each(task, state.fitted.model, chosen, known, candidates, tried, play.l2)
    return jax.vmap(REWARDS[play.config.score], (0, None))(logits, task.holdout_labels)


def episode(play: Play, params: Params, task: Task, behaviour: Behaviour, key: chex.PRNGKey) -> Decision:
    """One episode: its decisions [records, ...], with gains in units of their usual spread. Consumes the key."""
    config, environment = play.config, play.environment
    everything = jnp.arange(len(task.pool_labels), dtype=jnp.int32)
    start_key, size_key, reset_key, run_key = jax.random.split(key, 4)

    def look(state: State, key: chex.PRNGKey) -> Survey:
        return survey(play, params, environment.observe(task, state, everything), key)

    def pick(key: chex.PRNGKey, number: Any, carry: Any) -> tuple[State, jax.Array]:
        """One more of a batch."""
        state, picks = carry
        look_key, decide_key = jax.random.split(jax.random.fold_in(key, number))
        row = decide(look(state, look_key), behaviour, decide_key)
        return environment.mark_pending(task, state, _only(row)), picks.at[number].set(row)

    def label_one(state: State, key: chex.PRNGKey) -> tuple[State, None]:
        look_key, decide_key, step_key = jax.random.split(key, 3)
        row = decide(look(state, look_key), behaviour, decide_key)
        return environment.step(task, state, row[None], step_key)[0], None

    def record(state: State, key: chex.PRNGKey) -> tuple[State, Decision]:
        keys = jax.random.split(key, 8)
        picks = jnp.zeros(config.batch, jnp.int32)
        if config.batch > 1:
            place = jax.random.randint(keys[0], (), 0, config.batch)
            state, picks = jax.lax.fori_loop(0, place, partial(pick, keys[1]), (state, picks))
        else:
            place = jnp.int32(0)
        seen = look(state, keys[2])
        taken = decide(seen, behaviour, keys[3])
        tried = propose(play, seen, taken, keys[4])
        found = scores(play, task, state, tried)
        brief = lambda part: part[tried].astype(jnp.float16)
        sight = Sight(brief(seen.sight.features), brief(seen.sight.standardised), seen.sight.summary)
        decision = Decision(sight, found, seen.mask[tried])
        if config.batch > 1:
            state, picks = environment.mark_pending(task, state, _only(taken)), picks.at[place].set(taken)
            state, picks = jax.lax.fori_loop(place + 1, config.batch, partial(pick, keys[5]), (state, picks))
            state = environment.step(task, state, picks, keys[6])[0]
        else:
            state = environment.step(task, state, taken[None], keys[6])[0]
            state, _ = jax.lax.scan(label_one, state, jax.random.split(keys[7], config.every - 1))
        return state, decision

    initial = environment.initial_set(task, start_key)
    most, least = jnp.sum(initial.mask), jnp.sum(task.class_mask)
    more = jax.random.randint(size_key, (2,), jnp.stack([least, 0]), jnp.stack([most + 1, 3]))
    size = jnp.where(more[1] > 0, least, more[0])  # one episode of three begins later
    initial = Labelled(initial.rows, initial.mask & (jnp.arange(len(initial.mask)) < size))
    state = environment.reset(task, initial, reset_key)
    _, decisions = jax.lax.scan(record, state, jax.random.split(run_key, config.records))
    decisions = decisions._replace(gains=in_spreads(decisions.gains, decisions.mask))
    return _with_following(decisions) if config.gamma > 0 else decisions


def _only(row: jax.Array) -> Labelled:
    return Labelled(row[None], jnp.ones(1, bool))


def in_spreads(found: jax.Array, mask: jax.Array) -> jax.Array:
    """Scores [T, K] of an episode's decisions, centred within each and divided by their usual spread around then."""
    weights = mask / jnp.maximum(jnp.sum(mask, -1, keepdims=True), 1)
    centred = jnp.where(mask, found - jnp.sum(weights * jnp.where(mask, found, 0.0), -1, keepdims=True), 0.0)
    variance = jnp.sum(weights * centred**2, -1)
    window = jnp.ones(min(2 * SPREAD_WINDOW + 1, len(variance)))
    usual = jnp.convolve(variance, window, "same") / jnp.convolve(jnp.ones_like(variance), window, "same")
    return jnp.clip(centred / jnp.sqrt(usual + 1e-12)[:, None], -LARGEST_GAIN, LARGEST_GAIN)


def _with_following(decisions: Decision) -> Decision:
    """With the decision after each; the last has none."""
    after = lambda x: jnp.roll(x, -1, 0)
    last = jnp.arange(len(decisions.mask)) == len(decisions.mask) - 1
    following = Following(jax.tree.map(after, decisions.sight), after(decisions.mask), jnp.where(last, 0.0, 1.0))
    return decisions._replace(following=following)


def behaviours(play: Play, count: int, own_share: jax.Array, key: chex.PRNGKey) -> Behaviour:
    """Who plays `count` episodes: [count]. Consumes the key."""
    who_key, own_key, epsilon_key = jax.random.split(key, 3)
    player = jax.random.randint(who_key, (count,), 0, len(PROPOSERS) + 1)
    own = jax.random.uniform(own_key, (count,)) < own_share
    epsilon = jax.random.choice(epsilon_key, jnp.asarray(EPSILONS), (count,))
    return Behaviour(jnp.where(own, len(PROPOSERS) + 1, player), epsilon)


def collect(
    play: Play, params: Params, bank: Task, tasks: jax.Array, own_share: jax.Array, key: chex.PRNGKey
) -> Decision:
    """Decisions [E * records, ...] of one episode on each of `tasks` [E]. Consumes the key."""
    who_key, play_key = jax.random.split(key)
    who = behaviours(play, len(tasks), own_share, who_key)
    one = lambda index, behaviour, key: episode(play, params, select(bank, index), behaviour, key)
    keys = jax.random.split(play_key, len(tasks))
    found = for_each(one, (0, 0, 0), play.environment.episodes_at_once)(tasks, who, keys)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), found)


def make_buffer(config: CounterfactualConfig) -> Any:
    """Whole decisions, drawn uniformly."""
    return flashbax.make_item_buffer(config.capacity, config.minibatch, config.minibatch, add_sequences=True)


def is_linear(config: CounterfactualConfig) -> bool:
    """Whether the policy is a linear function of gains alone, which needs no gradient."""
    return not config.hidden and config.gamma == 0


def learn(play: Play, state: TrainState, key: chex.PRNGKey) -> tuple[TrainState, jax.Array]:
    """From all decisions so far: the state, and the mean loss []. Consumes the key."""
    if not is_linear(play.config):
        return _by_gradients(play, state, key)
    weights, error = ridge(linear_weights(state.start), state.moments, play.config.penalty)
    params = linear_params(play.names, weights)
    return state._replace(agent=state.agent._replace(params=params, target_params=params)), error


def _by_gradients(play: Play, state: TrainState, key: chex.PRNGKey) -> tuple[TrainState, jax.Array]:
    """Updates on minibatches from the buffer."""
    buffer = make_buffer(play.config)

    def update(agent: GainAgentState, key: chex.PRNGKey) -> tuple[GainAgentState, jax.Array]:
        minibatch: Decision = buffer.sample(state.buffer, key).experience
        exact = jax.tree.map(lambda x: x.astype(jnp.float32) if x.dtype == jnp.float16 else x, minibatch)
        return play.agent.update(agent, exact)

    agent, losses = jax.lax.scan(update, state.agent, jax.random.split(key, play.config.updates))
    return state._replace(agent=agent), jnp.mean(losses)


def init(play: Play, start: Params | None, sources: Sources, key: chex.PRNGKey) -> TrainState:
    """An agent, untrained or as `start`, and a buffer with a first iteration's decisions of the rules.

    Consumes the key.
    """
    first_key, agent_key, play_key = jax.random.split(key, 3)
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), param_shapes(play.config, play.names))
    tasks = jax.random.randint(first_key, (play.config.episodes,), 0, len(sources.dataset))
    decisions = collect(play, blank, sources.bank, tasks, jnp.float32(0.0), play_key)
    agent = play.agent.init(agent_key, decisions.sight, decisions.mask)
    if start is None and is_linear(play.config):
        start = linear_params(play.names, jnp.zeros(play.names.size))
    if start is not None:
        agent = agent._replace(params=start, target_params=start)
    buffer = make_buffer(play.config)
    empty = buffer.init(jax.tree.map(lambda x: x[0], decisions))
    state = TrainState(agent, jax.tree.map(jnp.copy, agent.params), no_moments(play.names.size), empty)
    return add(play, state, decisions)


def add(play: Play, state: TrainState, decisions: Decision) -> TrainState:
    """With more decisions."""
    linear = is_linear(play.config)
    more = jax.tree.map(jnp.add, state.moments, moments(decisions)) if linear else state.moments
    return state._replace(moments=more, buffer=make_buffer(play.config).add(state.buffer, decisions))


def iterate(
    play: Play, state: TrainState, sources: Sources, own_share: jax.Array, key: chex.PRNGKey
) -> tuple[TrainState, jax.Array]:
    """Episodes on random tasks, then learning: the state, and the mean loss []. Consumes the key."""
    task_key, play_key, learn_key = jax.random.split(key, 3)
    tasks = jax.random.randint(task_key, (play.config.episodes,), 0, len(sources.dataset))
    decisions = collect(play, state.agent.params, sources.bank, tasks, own_share, play_key)
    return learn(play, add(play, state, decisions), learn_key)
