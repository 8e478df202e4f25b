"""Training: what goes into the buffer, what comes out, and that a run can be repeated."""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import cut, load

from jaxal.classifiers.linear_probe import linear_probe
from jaxal.config import AgentConfig, Config, EnvironmentConfig, ProbeConfig, TrainConfig
from jaxal.mdp.environment import make_environment
from jaxal.policies import iteration
from jaxal.policies import train as training
from jaxal.policies.ddqn import make_agent
from jaxal.policies.iteration import Setup
from jaxal.policies.learner import Hooks
from jaxal.policies.replay import make_replay
from jaxal.policies.train import stabilised, train
from jaxal.seeds import seed_keys
from jaxal.tasks.banks import Sources
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import make_task, stack

STEPS, STATE = 5, 10
CONFIG = Config(
    probe=ProbeConfig(iterations=10),
    environment=EnvironmentConfig(budget=20, reward="probability"),
    agent=AgentConfig(hidden=(8,), minibatch=8, replay_capacity=64, learning_rate=1e-2),
    train=TrainConfig(
        warm_start_episodes=6,
        episodes=4,
        iterations=4,
        updates=3,
        candidates=12,
        target_candidates=8,
        patience=0,
        validation_episodes=3,
        validation_every=2,
        scale_reward=True,
        time_baseline=True,
    ),
)
COMPILE = training._compile
pytestmark = pytest.mark.usefixtures("vmapped_keys", "compiled_once")


class Stage(NamedTuple):
    setup: Setup
    sources: Sources  # of one seed


def make_stage(config: Config = CONFIG) -> Stage:
    """Two tasks of wine and one of breast cancer, padded to common shapes."""
    banks: dict[str, list] = {"reward": [], "validation": []}
    euclidean = DISTANCES["euclidean"]
    probe = linear_probe(config.probe, euclidean)
    names = ("wine", "wine", "breast_cancer")
    for i, name in enumerate(names):
        dataset = load(name)
        rows = cut(dataset, 40 + 5 * i, STATE, 60, seed=i)
        for part, holdout in (("reward", rows.holdout[:30]), ("validation", rows.holdout[30:])):
            task = make_task(
                *(dataset.inputs, dataset.labels, rows._replace(holdout=holdout)),
                distance=euclidean,
                needs=probe.needs,
                shape=(50, STATE, 30),
                classes=3,
            )
            banks[part].append(task)
    bank, validation = (stack(banks[part], (3,)) for part in banks)
    environment = make_environment(config.environment, probe, 3, STEPS)
    agent = make_agent(config.agent, STATE, config.environment.action_features, config.environment.batch)
    sequential = config.environment.batch_selection == "sequential"
    setup = Setup(config.train, environment, agent, make_replay(config.agent), 2, sequential)
    return Stage(setup, Sources(bank, validation, jnp.array([0, 0, 1], jnp.int32)))


@pytest.fixture(scope="module")
def plain() -> Stage:
    return make_stage()


@pytest.fixture(scope="module")
def compiled_once():
    """Runs of one setup share their programs."""
    made: dict[tuple[int, int], Any] = {}

    def compile_(setup, sources, keys):
        own = id(setup), len(keys)
        if own not in made:
            made[own] = setup, COMPILE(setup, sources, keys)  # a setup that is kept keeps its number
        return made[own][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_compile", compile_)
        yield


def seeds(sources: Sources, count: int) -> list[Sources]:
    """A lane for each."""
    return [jax.tree.map(lambda x: x[None], sources)] * count


def run(stage: Stage, count: int, key: int = 0, **hooks) -> training.Trained:
    return train(stage.setup, seeds(stage.sources, count), seed_keys(range(count), f"learn {key}"), Hooks(**hooks))


def once(stage: Stage, function, *arguments):
    """One of the functions of training, for one seed."""
    return jax.jit(partial(function, stage.setup))(*arguments)


@pytest.fixture(scope="module")
def warm(plain) -> iteration.TrainState:
    with jax.debug_key_reuse(False):
        return once(plain, iteration.init, plain.sources, jax.random.key(0))


@pytest.fixture(scope="module")
def two(plain) -> training.Trained:
    with jax.debug_key_reuse(False):
        return run(plain, 2)


def stored(buffer: Any, count: int):
    """The first `count` transitions of a buffer."""
    return jax.tree.map(lambda x: np.asarray(x)[0, :count], buffer.experience)


def test_the_warm_start_fills_the_buffer_with_whole_episodes(warm):
    t = stored(warm.buffer, 6 * STEPS)
    assert int(warm.buffer.current_index) == 6 * STEPS
    np.testing.assert_array_equal(t.discount.reshape(6, STEPS), [[1.0] * (STEPS - 1) + [0.0]] * 6)
    inside = t.discount.reshape(6, STEPS)[:, :-1].astype(bool)
    states, following = t.state_vector.reshape(6, STEPS, -1), t.next_state_vector.reshape(6, STEPS, -1)
    np.testing.assert_array_equal(states[:, 1:][inside], following[:, :-1][inside])
    assert t.next_features.shape[1] == 8 and t.next_mask.all()
    chex.assert_tree_all_finite(t)


def test_rewards_are_scaled_data_set_by_data_set(plain, warm):
    raw_config = replace(CONFIG, train=replace(CONFIG.train, scale_reward=False, time_baseline=False))
    raw = once(make_stage(raw_config), iteration.init, plain.sources, jax.random.key(0))
    rewards = stored(raw.buffer, 6 * STEPS).reward.reshape(6, STEPS).astype(np.float64)
    scaled = stored(warm.buffer, 6 * STEPS).reward.reshape(6, STEPS)
    which = np.array([0, 0, 1, 0, 0, 1])  # tasks in turn
    for dataset in (0, 1):
        mine = rewards[which == dataset]
        mean = mine.mean(0)
        baseline = [mean[max(0, i - 2) : i + 3].mean() for i in range(STEPS)]
        left = mine - baseline
        np.testing.assert_allclose(scaled[which == dataset], left / left.std(), rtol=1e-3, atol=1e-4)
    assert not np.array(raw.scaling.baseline).any() and np.all(np.array(raw.scaling.deviation) == 1)


def test_an_iteration_plays_and_then_updates(plain, warm):
    after, report = once(plain, iteration.iterate, warm, plain.sources, 0.5, True, jax.random.key(1))
    assert int(after.buffer.current_index) == (6 + 4) * STEPS
    counts = [x for x in jax.tree.leaves(after.agent.optimiser) if x.dtype == jnp.int32]
    assert [int(x) for x in counts] == [3]
    assert float(report["loss"]) > 0 and np.isfinite(report["return"])
    changed = jax.tree.map(
        lambda a, b: bool(np.any(np.asarray(a) != np.asarray(b))), after.agent.params, warm.agent.params
    )
    assert all(jax.tree.leaves(changed))
    chex.assert_trees_all_equal(after.scaling, warm.scaling)
    chex.assert_tree_all_finite(after.agent)


def test_the_best_parameters_are_kept(plain, warm):
    validate = jax.jit(partial(iteration.validate, plain.setup))
    first, value = validate(warm, plain.sources, True)
    assert 0.3 < float(value) < 1 and float(first.best_value) == float(value)
    # What is validated and kept is the slowly moving copy of the network.
    chex.assert_trees_all_equal(first.best_params, warm.agent.target_params)
    other = jax.tree.map(lambda x: x + 0.3, warm.agent.target_params)
    moved = first._replace(agent=first.agent._replace(target_params=other))
    better, _ = validate(moved._replace(best_value=jnp.float32(0)), plain.sources, True)
    chex.assert_trees_all_equal(better.best_params, other)
    worse, _ = validate(moved._replace(best_value=jnp.float32(2)), plain.sources, True)
    chex.assert_trees_all_equal(worse.best_params, warm.agent.target_params)
    assert float(worse.best_value) == 2


def test_validation_looks_at_validation_rows_alone(plain, warm):
    """Other labels on the reward rows change nothing; other labels on the validation rows do."""
    validate = jax.jit(partial(iteration.validate, plain.setup))

    def spoil(bank):
        labels = bank.holdout_labels
        return bank._replace(holdout_labels=jnp.where(labels >= 0, 0, labels))

    value = float(validate(warm, plain.sources, True)[1])
    assert float(validate(warm, plain.sources._replace(bank=spoil(plain.sources.bank)), True)[1]) == value
    spoilt = plain.sources._replace(validation=spoil(plain.sources.validation))
    assert float(validate(warm, spoilt, True)[1]) != value


def test_same_key_same_run_and_seeds_differ(plain, two):
    again = run(plain, 2)
    chex.assert_trees_all_equal(two.params, again.params)
    np.testing.assert_array_equal(two.history.returns, again.history.returns)
    other = run(plain, 2, key=1)
    for different in (other.history.returns[:, 0], two.history.returns[:, 1]):
        assert not np.any(two.history.returns[:, 0] == different)
    kernel = two.params["params"]["action"]["kernel"]
    assert not np.allclose(kernel[0], kernel[1])


def test_two_seeds_equal_one_and_one(plain, two):
    """To the last bit, on a CPU."""
    for seed in range(2):
        keys = seed_keys([seed], "learn 0")
        alone = train(plain.setup, seeds(plain.sources, 1), keys)
        np.testing.assert_array_equal(alone.history.returns[:, 0], two.history.returns[:, seed])
        np.testing.assert_array_equal(alone.history.validation[:, 0], two.history.validation[:, seed])
        mine = jax.tree.map(lambda x, seed=seed: x[seed], two.params)
        chex.assert_trees_all_equal(jax.tree.map(lambda x: x[0], alone.params), mine)


def test_the_history_is_complete(two):
    history = two.history
    assert int(history.iteration) == 4 and np.isfinite(history.returns).all()
    measured = np.isfinite(history.validation).all(1)
    np.testing.assert_array_equal(measured, [True, False, True, False, True])
    assert history.returns.shape == (4, 2)
    chex.assert_tree_all_finite(two.params)


def test_training_is_traced_once(plain, monkeypatch):
    monkeypatch.setattr(training, "_compile", COMPILE)
    for name in ("init", "iterate", "validate"):
        counted: Any = chex.assert_max_traces(getattr(iteration, name), 2)  # for its shapes, and to be compiled
        monkeypatch.setattr(iteration, name, counted)
    seen = []
    run(plain, 2, progress=lambda done, total, note: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_training_goes_on_from_a_snapshot(plain, two):
    snapshots = []
    run(plain, 2, save=lambda done, snapshot: snapshots.append(jax.device_get(snapshot)))
    assert [int(s.history.iteration) for s in snapshots] == [1, 2, 3, 4]
    for snapshot in snapshots[:2]:  # the first is not a validation's
        resumed = run(plain, 2, resume=lambda like, s=snapshot: jax.tree.map(jnp.asarray, s))
        chex.assert_trees_all_equal(resumed.params, two.params)
        jax.tree.map(np.testing.assert_array_equal, resumed.history, two.history)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"environment": replace(CONFIG.environment, batch=3), "agent": replace(CONFIG.agent, replay="prioritised")},
        {
            "environment": replace(CONFIG.environment, batch=2, batch_selection="top_n", standardise=False),
            "agent": replace(CONFIG.agent, target="paper", loss="huber", gradient_clip=1.0),
        },
    ],
    ids=["three in sequence, prioritised", "top two, paper's target"],
)
def test_other_settings_train_too(changes):
    out = run(make_stage(replace(CONFIG, **changes)), 1)
    chex.assert_tree_all_finite(out.params)
    assert np.isfinite(out.history.returns).all()


def test_stabilised():
    rising, flat = np.arange(20.0)[:, None], np.ones((20, 1))
    assert not stabilised(rising, 5, 0.0)
    assert stabilised(flat, 5, 0.0)
    assert not stabilised(flat[:9], 5, 0.0)  # too few yet
    assert not stabilised(flat, 0, 0.0)  # switched off
    assert stabilised(np.hstack([rising, flat]), 5, 0.0).tolist() == [False, True]
    assert stabilised(rising, 5, 5.0) and not stabilised(rising, 5, 4.9)
    assert stabilised(-rising, 5, 0.0)


def test_early_stopping_ends_the_run(plain):
    patient = plain.setup._replace(config=replace(CONFIG.train, patience=1, tolerance=1e9))
    out = run(plain._replace(setup=patient), 2)
    assert np.isfinite(out.history.returns[:, 0]).tolist() == [True, True, False, False]
    assert np.isfinite(out.history.validation[:, 0]).tolist() == [True, False, True, False, False]


def test_each_seed_stops_by_itself(plain, monkeypatch):
    """Seed 0 stops after the first iteration, seed 1 after the third; what each learns is what it learns alone."""
    last = {1: 0, 3: 1}  # iterations done -> the seed that stops

    def by_plan(returns, patience, tolerance):
        stops = np.zeros(returns.shape[1], bool)
        seed = last.get(len(returns))
        if seed is not None and seed < len(stops):
            stops[seed] = True
        return stops

    monkeypatch.setattr(training, "stabilised", by_plan)
    snapshots = []
    both = run(plain, 2, save=lambda done, snapshot: snapshots.append(jax.device_get(snapshot)))
    assert np.isfinite(both.history.returns).sum(0).tolist() == [1, 3]
    validated = np.isfinite(both.history.validation).astype(int).tolist()
    assert validated == [[1, 1], [1, 0], [0, 1], [0, 1], [0, 0]]
    assert [s.history.active.tolist() for s in snapshots] == [[False, True], [False, True], [False, False]]
    chex.assert_trees_all_equal(snapshots[0].states[0], snapshots[2].states[0])
    alone = run(plain, 1)
    np.testing.assert_array_equal(alone.history.returns[:, 0], both.history.returns[:, 0])
    first = lambda tree: jax.tree.map(lambda x: x[0], tree)
    chex.assert_trees_all_equal(first(alone.params), first(both.params))
    resumed = run(plain, 2, resume=lambda like: jax.tree.map(jnp.asarray, snapshots[1]))
    chex.assert_trees_all_equal(resumed.params, both.params)


def test_the_time_baseline_of_a_short_episode():
    np.testing.assert_allclose(iteration.smooth(jnp.array([0.0, 3.0, 6.0])), [1.5, 3.0, 4.5])
    np.testing.assert_allclose(iteration.smooth(jnp.arange(7.0)), [1.0, 1.5, 2.0, 3.0, 4.0, 4.5, 5.0])


def test_a_classifier_that_diverges_is_told():
    broken = make_stage(replace(CONFIG, probe=ProbeConfig(solver="gd", latents="raw", learning_rate=1e38)))
    with pytest.raises(ValueError, match="the loss is not finite after iteration 1; take a smaller learning rate"):
        run(broken, 1)
