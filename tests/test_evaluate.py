"""Evaluation: every strategy from the same initial sets, with the numbers that its episodes have."""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from worlds import build, cut, load

from jaxal import evaluate as evaluation
from jaxal.classifiers.linear_probe import linear_probe
from jaxal.config import AgentConfig, Config, EnvironmentConfig, ProbeConfig
from jaxal.evaluate import ComparisonHooks, Contender, evaluate_all
from jaxal.mdp.environment import Environment, holdout_logits
from jaxal.mdp.metrics import METRICS
from jaxal.policies import STRATEGIES
from jaxal.policies.ddqn import make_agent
from jaxal.policies.gain_network import judging, linear_params
from jaxal.policies.gain_training import NAMES
from jaxal.policies.strategy import Setting
from jaxal.report.summary import Curves
from jaxal.seeds import seed_key, seed_keys
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Task, make_task, select, standardise

STEPS, STATE, BATCH, STARTS, SEEDS = 4, 10, 2, 3, 2
SETTINGS = EnvironmentConfig(batch=BATCH, action_features=("score", "margin"))
pytestmark = pytest.mark.usefixtures("vmapped_keys")


class Stage(NamedTuple):
    environment: Environment
    contenders: dict[str, Contender]
    banks: list[Task]  # of each seed, [1, ...]
    curves: dict[str, Curves]

    def run(self, key: int = 0, seeds: slice = slice(None), **hooks) -> dict[str, Curves]:
        """A lane for each seed."""
        some = lambda tree: jax.tree.map(lambda x: x[seeds], tree)
        contenders = {name: c._replace(params=some(c.params)) for name, c in self.contenders.items()}
        keys = seed_keys(range(SEEDS), f"compare {key}")[seeds]
        banks = [jax.tree.map(lambda x: x[None], bank) for bank in self.banks[seeds]]
        return evaluate_all(
            *(self.environment, contenders, banks, keys),
            starts=STARTS,
            hooks=ComparisonHooks(**hooks),
        ).curves


@pytest.fixture(scope="module")
def stage() -> Stage:
    dataset = load("wine")
    worlds = [
        build(dataset, cut(dataset, 70, STATE, 60, seed), SETTINGS, STEPS, ProbeConfig(iterations=20))
        for seed in range(SEEDS)
    ]
    environment = worlds[0].environment
    agent = make_agent(AgentConfig(hidden=(8,)), STATE, SETTINGS.action_features, BATCH)
    stack = lambda trees: jax.tree.map(lambda *x: jnp.stack(x), *trees)
    config = Config(environment=SETTINGS)
    settings = [
        Setting(
            config=config,
            seed=seed,
            classes=3,
            latents=standardise(dataset.inputs[w.rows.pool])[0],
            labels=np.asarray(w.task.pool_labels),
            labels_before=3 + BATCH * np.arange(STEPS),
            learned=None,
        )
        for seed, w in enumerate(worlds)
    ]
    q = jax.tree_util.Partial(agent.values, stack([agent.init(jax.random.key(i)).params for i in range(SEEDS)]))
    gains = linear_params(NAMES, np.random.default_rng(0).normal(size=NAMES.size))
    params: dict[str, Any] = {
        "ddqn": q,
        "untrained_q": q,
        "linear_cem": jnp.array([[1.0, -1.0]] * SEEDS),
        "counterfactual": stack([judging(config.counterfactual, NAMES, gains)] * SEEDS),
    }
    for name, strategy in STRATEGIES.items():
        if name not in params and strategy.prepare is not None:
            params[name] = stack([strategy.prepare(setting) for setting in settings])
    contenders = {n: Contender(s, s.picks_in_sequence(config), params.get(n)) for n, s in STRATEGIES.items()}
    empty = Stage(environment, contenders, [w.bank for w in worlds], {})
    with jax.debug_key_reuse(False):
        return empty._replace(curves=empty.run())


def test_every_strategy_has_every_curve(stage):
    assert set(stage.curves) == set(STRATEGIES)
    for curves in stage.curves.values():
        assert curves.initial is not None
        assert curves.initial.shape == (SEEDS, STARTS, 3)
        assert set(curves.metrics) == set(METRICS)
        for values in curves.metrics.values():
            assert values.shape == (SEEDS, STARTS, STEPS + 1)
            assert np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1
        assert curves.picks.shape == (SEEDS, STARTS, STEPS, BATCH)


def test_all_strategies_start_from_the_same_sets(stage):
    for metric in METRICS:
        starts = np.array([c.metrics[metric][..., 0] for c in stage.curves.values()])
        assert np.all(starts == starts[:1])
    assert len(np.unique(stage.curves["margin"].metrics["auroc"][..., 0])) == SEEDS * STARTS


def test_no_point_is_labelled_twice(stage):
    for name, curves in stage.curves.items():
        for picks in curves.picks.reshape(-1, STEPS * BATCH):
            assert len(set(picks.tolist())) == STEPS * BATCH, name
            assert picks.min() >= 0 and picks.max() < 70


def test_strategies_differ_from_each_other(stage):
    picks = {name: c.picks for name, c in stage.curves.items()}
    names = list(picks)
    same = {(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if np.array_equal(picks[a], picks[b])}
    assert same == {("ddqn", "untrained_q")}  # they were given the same parameters


def test_curves_are_those_of_the_labels_bought(stage):
    """Labelling the reported picks by hand gives the reported curve."""
    env = stage.environment
    task = select(stage.banks[1], jnp.int32(0))
    curves, labels = stage.curves["entropy"], np.asarray(task.holdout_labels)
    truth = curves.metrics["accuracy"][1, 2]
    key = jax.random.split(seed_key(1, "compare 0"), STARTS)[2]
    initial = env.initial_set(task, jax.random.split(key)[0])
    np.testing.assert_array_equal(initial.rows, curves.initial[1, 2])
    state = env.reset(task, initial, jax.random.key(0))
    step, found = jax.jit(env.step), []
    for picks in [None, *curves.picks[1, 2]]:
        if picks is not None:
            state, _ = step(task, state, jnp.asarray(picks), jax.random.key(0))
        found.append(accuracy_score(labels, np.argmax(holdout_logits(task, state.fitted), 1)))
    np.testing.assert_allclose(found, truth, atol=1e-6)


def test_a_seed_alone_gives_what_it_gives_among_others(stage):
    alone = stage.run(seeds=slice(0, 1))
    for name, curves in alone.items():
        np.testing.assert_array_equal(curves.picks[0], stage.curves[name].picks[0], err_msg=name)
        for metric, values in curves.metrics.items():
            np.testing.assert_array_equal(values[0], stage.curves[name].metrics[metric][0])


def test_padding_changes_no_start_and_no_pick(stage):
    """Seed 1 among others of larger pools and more test rows; metrics agree to 1e-5, as sums of other lengths round."""
    dataset, euclidean = load("wine"), DISTANCES["euclidean"]
    needs = linear_probe(ProbeConfig(iterations=20), euclidean).needs
    rows = cut(dataset, 70, STATE, 60, 1)
    padded = make_task(
        dataset.inputs, dataset.labels, rows, distance=euclidean, needs=needs, shape=(83, STATE, 71), classes=3
    )
    names = ("random", "margin", "entropy", "k_center", "typicality", "ddqn", "linear_cem")
    contenders = {
        name: c._replace(params=jax.tree.map(lambda x: x[1:2], c.params))
        for name, c in stage.contenders.items()
        if name in names
    }
    bank, keys = jax.tree.map(lambda x: x[None], padded), seed_keys([1], "compare 0")
    found = evaluate_all(stage.environment, contenders, [bank], keys, starts=STARTS).curves
    for name, curves in found.items():
        np.testing.assert_array_equal(curves.initial[0], stage.curves[name].initial[1], err_msg=name)
        np.testing.assert_array_equal(curves.picks[0], stage.curves[name].picks[1], err_msg=name)
        for metric, values in curves.metrics.items():
            np.testing.assert_allclose(values[0], stage.curves[name].metrics[metric][1], atol=1e-5)


def test_same_key_same_curves_other_key_other_starts_and_one_trace(stage, monkeypatch):
    made, names = evaluation.make_evaluation, ("ddqn", "random", "badge", "typiclust", "greedy_oracle")
    monkeypatch.setattr(evaluation, "make_evaluation", lambda *a, **k: chex.assert_max_traces(made(*a, **k), 1))
    some = stage._replace(contenders={name: stage.contenders[name] for name in names})
    seen = []
    other = some.run(key=1, progress=lambda done, total, name: seen.append((done, total, name)))
    assert seen == [(i + 1, len(names), name) for i, name in enumerate(names)]
    for name, curves in other.items():
        assert not np.array_equal(curves.picks, stage.curves[name].picks)
    chex.clear_trace_counter()
    again = some.run(key=0)
    for name, curves in again.items():
        np.testing.assert_array_equal(curves.picks, stage.curves[name].picks)
        chex.assert_trees_all_equal(curves.metrics, stage.curves[name].metrics)


def test_the_oracle_balances_the_classes(stage):
    for seed in range(SEEDS):
        labels = np.asarray(stage.contenders["balanced_oracle"].params[seed])
        for picks in stage.curves["balanced_oracle"].picks[seed]:
            # One per class before, then two a step, each step by the counts before it.
            assert np.ptp(np.bincount(labels[picks.ravel()], minlength=3)) <= 2


def test_a_classifier_that_diverges_is_told(stage):
    dataset, probe = load("wine"), ProbeConfig(solver="gd", latents="raw", learning_rate=1e38)
    world = build(dataset, cut(dataset, 70, STATE, 60), SETTINGS, STEPS, probe)
    broken = Stage(world.environment, {"margin": stage.contenders["margin"]}, [world.bank], {})
    with pytest.raises(ValueError, match="margin: the classifier's logits are no longer finite; take a smaller"):
        broken.run(seeds=slice(0, 1))
