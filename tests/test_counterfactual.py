"""Counterfactual training: gains against refits from scratch, whole episodes, the network, and that it learns."""

from dataclasses import replace
from functools import cache, partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from sklearn.linear_model import Ridge
from worlds import cut, load

from jaxal.classifiers.classifier import Labelled
from jaxal.config import Config, CounterfactualConfig, ProbeConfig, SettingError
from jaxal.data.splits import Rows
from jaxal.policies import counterfactual
from jaxal.policies.counterfactual import Behaviour, Play, in_spreads
from jaxal.policies.gain_network import (
    Decision,
    explained,
    explained_by_phase,
    linear_params,
    linear_weights,
    make_gain_agent,
)
from jaxal.policies.gain_training import NAMES, make_play
from jaxal.policies.sight import PROPOSERS, Sight
from jaxal.presets import default
from jaxal.tasks.banks import Sources
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Needs, Task, make_task, select

SMALL = CounterfactualConfig(
    candidates=24,
    records=3,
    episodes=4,
    iterations=4,
    updates=10,
    minibatch=8,
    capacity=200,
    initial=14,
    hidden=(16, 16),
)
RANDOM = len(PROPOSERS)


@cache
def play(**changes: Any) -> Play:
    config = replace(default(), counterfactual=replace(SMALL, **changes), probe=ProbeConfig(iterations=60))
    return make_play(config, 3)


@cache
def task(padding: int = 0, rows: int = 60) -> Task:
    wine = load("wine")
    where = cut(wine, rows, 1, 80)
    shape = (rows + padding, 1, 80 + padding)
    bank = make_task(
        wine.inputs, wine.labels, where, distance=DISTANCES["euclidean"], needs=Needs(), shape=shape, classes=3
    )
    return select(bank, jnp.int32(0))


def rows() -> Rows:
    return cut(load("wine"), 60, 1, 80)


@cache
def parameters() -> Any:
    agent = make_gain_agent(SMALL, NAMES)
    sights = Sight(
        jax.random.normal(jax.random.key(1), (5, 4, NAMES.size)),
        jax.random.normal(jax.random.key(2), (5, 4, NAMES.size)),
        jax.random.normal(jax.random.key(3), (5, len(NAMES.summaries))),
    )
    return agent.init(jax.random.key(4), sights, jnp.ones((5, 4), bool)).params


@cache
def played(player: int = RANDOM, epsilon: float = 0.0, padding: int = 0, **changes: Any) -> Decision:
    behaviour = Behaviour(jnp.int32(player), jnp.float32(epsilon))
    run = jax.jit(partial(counterfactual.episode, play(**changes)))
    return run(parameters(), task(padding), behaviour, jax.random.key(5))


def soft_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    own = logits[np.arange(len(labels)), labels]
    others = logits.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    lead = own - others.max(1)
    return float(np.mean(1 / (1 + np.exp(-lead / (0.3 * np.abs(lead).mean())))))


@pytest.mark.parametrize("pending", [0, 3])
def test_scores_are_those_of_probes_fitted_from_scratch(pending):
    made, here = play(batch=1 if not pending else 5), task()
    environment = made.environment
    state = environment.reset(here, environment.initial_set(here, jax.random.key(0)), jax.random.key(1))
    free = np.flatnonzero(np.asarray(state.unlabelled))
    if pending:
        picks = Labelled(jnp.asarray(free[:pending], jnp.int32), jnp.ones(pending, bool))
        state = environment.mark_pending(here, state, picks)
    candidates = free[pending : pending + 6]
    found = counterfactual.scores(made, here, state, jnp.asarray(candidates, jnp.int32))

    wine, where = load("wine"), rows()
    problem = reference.make_problem(wine.inputs, wine.labels, where, "euclidean")
    fit = reference.logistic(made.l2)
    chosen = np.asarray(state.labelled.rows)[np.asarray(state.labelled.mask)].tolist() + free[:pending].tolist()
    wanted = []
    for row in candidates:
        known = [*chosen, int(row)]
        weights = fit(reference.with_one(problem.pool[known]), problem.pool_labels[known], 3)
        logits = reference.with_one(problem.holdout) @ weights
        wanted.append(soft_accuracy(logits, problem.holdout_labels))
    np.testing.assert_allclose(found, wanted, atol=2e-3)  # a few iterations of the solver
    centred = lambda scores: np.asarray(scores) - np.mean(scores)
    np.testing.assert_allclose(centred(found), centred(wanted), atol=0.1 * np.std(wanted))


def test_gains_are_centred_and_of_unit_spread():
    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.normal(5.0, 1.0, (12, 6)) * np.linspace(1, 0.01, 12)[:, None])
    mask = jnp.ones((12, 6), bool).at[3, 4].set(False)
    found = np.asarray(in_spreads(scores, mask))
    np.testing.assert_allclose(found.sum(1), 0, atol=1e-4)
    assert found[3, 4] == 0
    masked = np.ma.masked_array(np.asarray(scores), ~np.asarray(mask))
    variance = masked.var(1)
    usual = [variance[max(t - 3, 0) : t + 4].mean() for t in range(12)]
    np.testing.assert_allclose(found[5], (masked[5] - masked[5].mean()) / np.sqrt(usual[5]), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 4])
def test_an_episode_is_the_same_on_a_padded_task(batch):
    plain, padded = played(batch=batch, player=0), played(batch=batch, player=0, padding=7)
    taken = lambda decision: jax.tree.map(lambda x: np.asarray(x[:, 0], float), (decision.sight, decision.gains))
    assert bool(jnp.all(plain.mask)) and bool(jnp.all(padded.mask))
    # other candidates are drawn by numbers that depend on the shape; the one that is taken is not
    chex.assert_trees_all_close(taken(plain)[0][0], taken(padded)[0][0], atol=2e-2)


def test_who_plays_decides():
    by_margin, again = played(player=0), played(player=0)
    chex.assert_trees_all_equal(by_margin, again)
    at_random = played(player=RANDOM)
    assert not np.allclose(by_margin.sight.summary[1:], at_random.sight.summary[1:])
    explored = played(player=0, epsilon=1.0)
    assert not np.allclose(by_margin.sight.summary[1:], explored.sight.summary[1:])


def test_the_policy_takes_what_it_values_most():
    decision = played(player=RANDOM + 1)
    sight = jax.tree.map(lambda x: x.astype(jnp.float32), decision.sight)
    values = jax.vmap(play().agent.values, (None, 0))(parameters(), sight)
    assert np.all(np.asarray(values[:, 0]) >= np.asarray(values).max(1) - 0.02)  # kept in half precision


@pytest.mark.slow
def test_a_discount_adds_what_follows():
    decision = played(gamma=0.5)
    assert decision.following is not None
    np.testing.assert_array_equal(decision.following.discount, [1, 1, 0])
    np.testing.assert_array_equal(decision.following.sight.summary[0], decision.sight.summary[1])


@pytest.mark.usefixtures("vmapped_keys")
@pytest.mark.slow
def test_vmapped_episodes_are_those_played_alone():
    made, here = play(), task()
    bank = jax.tree.map(lambda x: x, _bank())
    decisions = jax.jit(partial(counterfactual.collect, made))(
        parameters(), bank, jnp.zeros(2, jnp.int32), jnp.float32(0.5), jax.random.key(6)
    )
    who_key, play_key = jax.random.split(jax.random.key(6))
    who = counterfactual.behaviours(made, 2, jnp.float32(0.5), who_key)
    second = jax.jit(partial(counterfactual.episode, made))(
        parameters(), here, jax.tree.map(lambda x: x[1], who), jax.random.split(play_key, 2)[1]
    )
    close = lambda a, b: np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), atol=2e-2)
    jax.tree.map(close, jax.tree.map(lambda x: x[SMALL.records :], decisions), second)


def _bank() -> Task:
    wine = load("wine")
    return make_task(
        wine.inputs, wine.labels, rows(), distance=DISTANCES["euclidean"], needs=Needs(), shape=(60, 1, 80), classes=3
    )


def test_the_network_learns_a_gain_it_can_see():
    agent = make_gain_agent(replace(SMALL, learning_rate=3e-3, iterations=30), NAMES)

    def batch(key: chex.PRNGKey) -> Decision:
        features = jax.random.normal(key, (32, 10, NAMES.size))
        gains = features[..., 3] - jnp.mean(features[..., 3], -1, keepdims=True)
        sight = Sight(features, features, jnp.zeros((32, len(NAMES.summaries))))
        return Decision(sight, gains, jnp.ones((32, 10), bool))

    first = batch(jax.random.key(0))
    state = agent.init(jax.random.key(1), first.sight, first.mask)

    def learn(state, key):
        return agent.update(state, batch(key))

    state, losses = jax.lax.scan(learn, state, jax.random.split(jax.random.key(2), 300))
    held_out = batch(jax.random.key(3))
    values = jax.vmap(agent.values, (None, 0))(state.params, held_out.sight)
    told = explained(np.asarray(values), np.asarray(held_out.gains), np.asarray(held_out.mask))
    assert losses[-1] < 0.1 * losses[0]
    assert told["r2"] > 0.9 and told["rank_correlation"] > 0.9 and told["top_share"] > 0.9


def test_what_is_explained_is_told_by_phase():
    rng = np.random.default_rng(0)
    gains, labels = rng.normal(size=(300, 12)), np.repeat([5, 20, 50], 100)
    noise = np.repeat([0.0, 1.0, 100.0], 100)[:, None] * rng.normal(size=gains.shape)
    told = explained_by_phase(gains + noise, gains, np.ones((300, 12), bool), labels)
    assert told["explains_early"]["r2"] == pytest.approx(1.0)
    assert told["explains_early"]["rank_correlation"] == told["explains_early"]["top_share"] == pytest.approx(1.0)
    assert told["explains_middle"]["r2"] == pytest.approx(0.5, abs=0.05)
    assert told["explains_late"]["r2"] < 0.01
    same = explained_by_phase(gains, gains, np.ones((300, 12), bool), np.full(300, 7.0))
    assert set(same) == {"explains", "explains_early"}  # all have equally many labels


@pytest.mark.usefixtures("vmapped_keys")
def test_a_linear_policy_is_the_ridge_regression_of_all_that_was_tried():
    made = play(hidden=(), penalty=0.3)
    sources = Sources(_bank(), _bank(), jnp.zeros(1, jnp.int32))
    start = linear_params(NAMES, jnp.linspace(-1, 1, NAMES.size))
    state = jax.jit(partial(counterfactual.init, made))(start, sources, jax.random.key(0))
    state, loss = counterfactual.learn(made, state, jax.random.key(1))
    count = int(state.buffer.current_index)
    assert count == SMALL.episodes * SMALL.records
    held = jax.tree.map(lambda x: np.asarray(x[0, :count], float), state.buffer.experience._replace(following=None))
    share = held.mask / held.mask.sum(-1, keepdims=True)
    x = held.sight.standardised - np.einsum("nk,nkf->nf", share, held.sight.standardised)[:, None]
    y = held.gains - (share * held.gains).sum(-1, keepdims=True)
    x, y = x[held.mask > 0], y[held.mask > 0]
    before = np.linspace(-1, 1, NAMES.size)
    model = Ridge(alpha=0.3 * len(y), fit_intercept=False).fit(x, y - x @ before)
    np.testing.assert_allclose(linear_weights(state.agent.params), before + model.coef_, atol=2e-3)
    np.testing.assert_allclose(loss, np.mean((y - x @ (before + model.coef_)) ** 2), rtol=1e-2)


def test_candidates_that_may_not_be_chosen_change_no_parameter():
    agent = make_gain_agent(SMALL, NAMES)
    sight = Sight(
        jax.random.normal(jax.random.key(0), (6, 5, NAMES.size)),
        jax.random.normal(jax.random.key(1), (6, 5, NAMES.size)),
        jnp.zeros((6, len(NAMES.summaries))),
    )
    gains = jax.random.normal(jax.random.key(2), (6, 5))
    mask = jnp.ones((6, 5), bool).at[:, 4].set(False)
    state = agent.init(jax.random.key(3), sight, mask)
    spoilt = Decision(sight._replace(features=sight.features.at[:, 4].set(99.0)), gains.at[:, 4].set(99.0), mask)
    chex.assert_trees_all_close(agent.update(state, Decision(sight, gains, mask)), agent.update(state, spoilt))


def test_other_solvers_are_refused():
    config: Config = replace(default(), probe=ProbeConfig(solver="adam"))
    with pytest.raises(SettingError, match="newton"):
        make_play(config, 3)
