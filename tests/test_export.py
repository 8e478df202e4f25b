"""The programs that a run consists of lower for GPU and TPU from a machine that has neither."""

from dataclasses import replace
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export
from worlds import World, build, cut, load

from jaxal.classifiers.finetune import finetune, trainable_encoder
from jaxal.classifiers.linear_probe import linear_probe
from jaxal.config import (
    AgentConfig,
    Config,
    CounterfactualConfig,
    EnvironmentConfig,
    InputsConfig,
    ProbeConfig,
    TrainConfig,
)
from jaxal.data.dataset import Images
from jaxal.data.splits import Rows
from jaxal.evaluate import Contender, make_evaluation
from jaxal.mdp.environment import make_environment
from jaxal.policies import STRATEGIES, clustering, counterfactual, iteration, pretrained
from jaxal.policies.ddqn import make_agent
from jaxal.policies.gain_training import make_play
from jaxal.policies.iteration import Setup
from jaxal.policies.replay import make_replay
from jaxal.presets import default
from jaxal.tasks.banks import OVER_SEEDS, Sources
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import SEEDS, for_each, make_task

EUCLIDEAN = DISTANCES["euclidean"]
PLATFORMS = ["cpu", "cuda", "tpu"]
pytestmark = pytest.mark.usefixtures("vmapped_keys")


@cache
def world(solver: str) -> World:
    dataset = load("wine")
    classifier = ProbeConfig(solver=solver, iterations=5, epochs=5)  # pyright: ignore[reportArgumentType]
    settings = EnvironmentConfig(budget=12, batch=2)
    return build(dataset, cut(dataset, 60, 10, 50), settings, 3, classifier)


def shapes(tree):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), jnp.asarray(x).dtype), tree)


def check(exported: export.Exported) -> None:
    assert exported.platforms == tuple(PLATFORMS)
    assert "callback" not in exported.mlir_module()
    assert "lapack" not in exported.mlir_module()  # see `tasks.inverse`
    products = [line for line in exported.mlir_module().splitlines() if "stablehlo.dot_general" in line]
    single = [line for line in products if "f32>" in line and "bf16>" not in line]
    assert single
    assert [line for line in single if "[HIGHEST, HIGHEST]" not in line] == []  # see `tasks.products`


@pytest.mark.parametrize("replay", ["uniform", "prioritised"])
@pytest.mark.parametrize("solver", ["newton", "gd", "adam"])
def test_the_training_iteration(solver, replay):
    w = world(solver)
    config = Config(
        probe=ProbeConfig(solver=solver, iterations=5, epochs=5),
        environment=w.settings,
        agent=AgentConfig(hidden=(8,), minibatch=4, replay_capacity=32, replay=replay),
        train=TrainConfig(warm_start_episodes=2, episodes=2, updates=2, candidates=8, target_candidates=4),
    )
    environment = make_environment(w.settings, linear_probe(config.probe, EUCLIDEAN), 3, 3)
    agent = make_agent(config.agent, 10, w.settings.action_features, 2)
    setup = Setup(config.train, environment, agent, make_replay(config.agent), 1, True)
    sources = shapes(Sources(w.bank, w.bank, jnp.zeros(1, jnp.int32)))
    key = shapes(jax.random.key(0))
    state = jax.eval_shape(partial(iteration.init, setup), sources, key)
    # Two seeds side by side, as they are trained.
    double = lambda tree: jax.tree.map(lambda x: jax.ShapeDtypeStruct((2, *x.shape), x.dtype), tree)
    iterate = jax.jit(jax.vmap(partial(iteration.iterate, setup), (0, 0, None, 0, 0)), donate_argnums=0)
    epsilon, active = jax.ShapeDtypeStruct((), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.bool_)
    arguments = (double(state), double(sources), epsilon, active, double(key))
    check(export.export(iterate, platforms=PLATFORMS)(*arguments))


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3])
def test_the_counterfactual_iteration(batch):
    w = world("newton")
    settings = CounterfactualConfig(batch=batch, records=2, episodes=2, updates=2, minibatch=4, capacity=32)
    play = make_play(replace(default(), counterfactual=settings), 3)
    sources, key = shapes((Sources(w.bank, w.bank, jnp.zeros(1, jnp.int32)), jax.random.key(0)))
    state = jax.eval_shape(partial(counterfactual.init, play, None), sources, key)
    iterate = jax.jit(partial(counterfactual.iterate, play), donate_argnums=0)
    share = jax.ShapeDtypeStruct((), jnp.float32)
    check(export.export(iterate, platforms=PLATFORMS)(state, sources, share, key))


@pytest.mark.parametrize("solver", ["newton", "gd", "adam"])
def test_an_evaluation_episode(solver):
    w = world(solver)
    chosen = {name: Contender(STRATEGIES[name], name == "k_center", None) for name in ("margin", "k_center", "random")}
    evaluate = jax.jit(make_evaluation(w.environment, chosen, 2))
    arguments = shapes((jnp.int32(0), dict.fromkeys(chosen), w.bank, jax.random.key(0)))
    check(export.export(evaluate, platforms=PLATFORMS)(*arguments))


def test_an_evaluation_episode_of_every_strategy_that_looks_at_the_pool():
    w = world("newton")
    l2 = jax.ShapeDtypeStruct((), jnp.float32)
    takes_l2 = ("bait", "bald", "uherding_t", "greedy_oracle", "greedy_oracle_accuracy", "best_of_strategies")
    params = {
        **dict.fromkeys(("badge", "max_herding", "uherding", "reach_herding", "local_herding", "chord_herding")),
        **dict.fromkeys(takes_l2, l2),
        "pretrained": shapes(pretrained.named().judge),
        "prob_cover": jax.ShapeDtypeStruct((60, 8), jnp.uint8),
        "cluster_margin": clustering.Clusters(
            jax.ShapeDtypeStruct((60,), jnp.int32), jax.ShapeDtypeStruct((), jnp.int32)
        ),
    }
    chosen = {name: Contender(STRATEGIES[name], True, None) for name in params}
    evaluate = jax.jit(make_evaluation(w.environment, chosen, 2))
    which, bank, key = shapes((jnp.int32(0), w.bank, jax.random.key(0)))
    check(export.export(evaluate, platforms=PLATFORMS)(which, params, bank, key))


@pytest.mark.slow
def test_training_and_evaluation_with_a_resnet50_in_training():
    """Pool 4,000 at 224 px, as a GPU would have it: two seeds in sequence, their images shared."""
    config = Config(
        inputs=InputsConfig(encoder="resnet50", dtype="bfloat16"),
        environment=EnvironmentConfig(classifier="finetune", budget=60),
        agent=AgentConfig(minibatch=4, replay_capacity=1000),
        train=TrainConfig(episodes=2, updates=2, candidates=8, target_candidates=4),
    )
    labels, sizes = np.arange(4530, dtype=np.int32) % 8, (4000, 30, 500)
    rows = Rows(*np.split(np.arange(4530), np.cumsum(sizes)[:2]))
    encoder = trainable_encoder(config, "gpu")
    classifier = finetune(config.finetune, encoder, EUCLIDEAN)._replace(episodes_at_once=2)
    small = make_task(np.ones((4530, 2), np.float32), labels, rows, distance=EUCLIDEAN, needs=classifier.needs)
    pixels = jax.ShapeDtypeStruct((4530, 224, 224, 3), jnp.uint8)
    images = Images(pixels, jax.eval_shape(encoder.init, jax.random.key(0)))  # pyright: ignore[reportArgumentType]
    environment = make_environment(config.environment, classifier, 8, 52)
    agent = make_agent(config.agent, 30, config.environment.action_features, 1)
    setup = Setup(config.train, environment, agent, make_replay(config.agent), 1, True)
    double = lambda tree: jax.tree.map(lambda x: jax.ShapeDtypeStruct((2, *x.shape), x.dtype), tree)
    bank = double(shapes(small))._replace(images=images)
    sources = Sources(bank, bank, jax.ShapeDtypeStruct((2, 1), jnp.int32))
    key = double(shapes(jax.random.key(0)))
    state = jax.eval_shape(for_each(partial(iteration.init, setup), (OVER_SEEDS, 0), 1), sources, key)
    iterate = jax.jit(for_each(partial(iteration.iterate, setup), (0, OVER_SEEDS, None, 0, 0), 1), donate_argnums=0)
    epsilon, active = jax.ShapeDtypeStruct((), jnp.float32), jax.ShapeDtypeStruct((2,), jnp.bool_)
    check(export.export(iterate, platforms=PLATFORMS)(state, sources, epsilon, active, key))
    evaluate = make_evaluation(environment, {"margin": Contender(STRATEGIES["margin"], False, None)}, 2)
    compare = jax.jit(for_each(evaluate, (None, 0, SEEDS, 0), 1))
    tests = jax.tree.map(lambda x: jax.ShapeDtypeStruct((2, 1, *x.shape[2:]), x.dtype), bank)._replace(images=images)
    check(
        export.export(compare, platforms=PLATFORMS)(jax.ShapeDtypeStruct((), jnp.int32), {"margin": None}, tests, key)
    )
