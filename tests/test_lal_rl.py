"""LAL-RL by configuration equals LAL-RL as its authors compute it, on small problems."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import reference
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from worlds import build, cut

from experiments.lal_rl import agent as authors
from experiments.lal_rl.environment import Data, Episode, initial_set
from experiments.lal_rl.train import train
from jaxal.policies import STRATEGIES
from jaxal.policies.ddqn import make_agent
from jaxal.policies.replay import Transition, make_replay
from jaxal.presets import lal_rl, paper

PRESET = lal_rl()


def problem(dataset, l2: float):
    """A world of the preset, the same for the authors' algorithm, and a classifier with the constant regularised."""
    rows = cut(dataset, 40, 10, 60)
    world = build(dataset, rows, PRESET.environment, 8, replace(PRESET.probe, l2=l2, iterations=2000))
    seen = reference.make_problem(dataset.inputs, dataset.labels, rows, "cosine")
    data = Data(seen.pool, seen.pool_labels, seen.state, seen.holdout, seen.holdout_labels)
    logistic = LogisticRegression(C=2 / l2, fit_intercept=False, tol=1e-8, max_iter=20_000)
    return world, data, seen.scale, make_pipeline(FunctionTransformer(reference.with_one), logistic)


def test_an_episode_sees_what_the_authors_algorithm_sees(breast_cancer):
    world, data, scale, classifier = problem(breast_cancer, 0.1)
    initial = world.initial()
    episode = Episode(data, np.asarray(initial.rows)[np.asarray(initial.mask)], classifier)
    state = world.environment.reset(world.task, initial, jax.random.key(0))
    step, observe = jax.jit(world.environment.step), jax.jit(world.environment.observe)
    rng = np.random.default_rng(0)
    for _ in range(8):
        theirs, ours = episode.observe(), observe(world.task, state, jnp.arange(40, dtype=jnp.int32))
        np.testing.assert_array_equal(np.flatnonzero(ours.mask), theirs.rows)
        np.testing.assert_allclose(ours.state_vector, theirs.state, atol=1e-3)
        actions = np.asarray(ours.features)[theirs.rows]
        np.testing.assert_allclose(actions[:, 0], theirs.actions[:, 0], atol=1e-3)
        np.testing.assert_allclose(actions[:, 1:] * scale, theirs.actions[:, 1:], rtol=1e-4, atol=1e-5)
        pick = int(rng.choice(theirs.rows))
        state, reward = step(world.task, state, jnp.array([pick], jnp.int32), jax.random.key(0))
        np.testing.assert_allclose(reward, episode.step(pick), atol=1e-6)


def test_an_update_is_the_authors_update():
    ours = make_agent(PRESET.agent, 6, PRESET.environment.action_features, 1)
    start = ours.init(jax.random.key(0))
    flax = start.params["params"]
    first = (np.vstack([flax["state"]["kernel"], flax["action"]["kernel"]]), np.asarray(flax["state"]["bias"]))
    rest = [
        tuple(np.asarray(flax[name][part]) for part in ("kernel", "bias")) for name in ("hidden_0", "hidden_1", "q")
    ]
    theirs = authors.Agent([first, *rest])
    rng = np.random.default_rng(1)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
    batch = [
        authors.Transition(draw(6), draw(3), float(draw(1)[0]), draw(6), draw(5, 3), last=i % 8 == 7) for i in range(32)
    ]
    minibatch = Transition(
        state_vector=jnp.stack([t.state for t in batch]),
        features=jnp.stack([t.action[None] for t in batch]),
        reward=jnp.array([t.reward for t in batch]),
        discount=jnp.array([0.0 if t.last else 1.0 for t in batch]),
        next_state_vector=jnp.stack([t.next_state for t in batch]),
        next_features=jnp.stack([t.next_actions for t in batch]),
        next_mask=jnp.ones((32, 5), bool),
    )
    update = jax.jit(ours.update)
    for _ in range(3):
        start, errors = update(start, minibatch)
        np.testing.assert_allclose(errors, theirs.update(batch), atol=1e-4)
    for params, layers in ((start.params, theirs.layers), (start.target_params, theirs.target)):
        kernel = params["params"]["hidden_1"]["kernel"]
        np.testing.assert_allclose(kernel, layers[2][0], atol=1e-5)


def test_replay_draws_with_the_authors_probabilities():
    replay = make_replay(replace(PRESET.agent, replay_capacity=32, minibatch=4))
    theirs = authors.Replay()
    blank = Transition(*[jnp.zeros(1)] * 6, jnp.ones(1, bool))
    state = replay.add(replay.init(blank), jax.tree.map(lambda x: jnp.tile(x, (4, 1)), blank))
    for _ in range(4):
        theirs.add(authors.Transition(np.zeros(1), np.zeros(1), 0.0, np.zeros(1), np.zeros((1, 1)), False))
    np.testing.assert_allclose(theirs.probabilities(), 1 / 4)
    errors = np.array([0.1, 1.5, -2.0, 1.0], np.float32)
    state = replay.reprioritise(state, jnp.arange(4), jnp.asarray(errors))
    theirs.reprioritise(np.arange(4), errors)
    places = jax.jit(jax.vmap(lambda key: replay.sample(state, key)[1]))(jax.random.split(jax.random.key(0), 2000))
    drawn = np.bincount(np.asarray(places).ravel(), minlength=4) / places.size
    np.testing.assert_allclose(drawn, theirs.probabilities(), atol=0.02)
    np.testing.assert_allclose(theirs.probabilities()[2] / theirs.probabilities()[3], 8, rtol=1e-4)


def test_the_authors_loop_trains(breast_cancer):
    _, data, _, _ = problem(breast_cancer, 0.1)
    found = train(data, 6, warm_start=2, episodes=3, updates=2, seed=0)
    assert len(found.returns) == 5 and found.agent.updates == 6
    assert np.isfinite(found.agent.layers[0][0]).all()
    assert set(initial_set(data.pool_labels, np.random.default_rng(0))) <= set(range(40))


def test_the_preset_differs_from_the_papers_in_classifier_and_actions_alone():
    same = paper()
    assert replace(PRESET.agent, label=same.agent.label) == same.agent
    assert (PRESET.train, PRESET.split, PRESET.evaluation) == (same.train, same.split, same.evaluation)
    assert STRATEGIES["ddqn"].called(PRESET) == "LAL-RL"
