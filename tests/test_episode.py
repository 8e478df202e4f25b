"""Whole episodes: equal to the independent reference, and what must hold of any episode."""

from functools import cache, partial
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from worlds import CONVERGED, World, build, cut, load, player

from jaxal.classifiers.classifier import Labelled
from jaxal.config import AgentConfig, EnvironmentConfig, ProbeConfig
from jaxal.data.splits import Rows
from jaxal.mdp import episode
from jaxal.policies import STRATEGIES, hand_written, iteration, typiclust
from jaxal.policies.ddqn import make_agent

FEATURES = (
    "score",
    "mean_distance_labelled",
    "mean_distance_unlabelled",
    "margin",
    "entropy",
    "nearest_labelled",
    "class_frequency",
    "local_density",
)
BASE = EnvironmentConfig(state_features=("top_probability", "progress"), action_features=FEATURES)
PLAYED = (
    *("ddqn", "linear_cem", "untrained_q", "balanced_oracle", "random", "margin", "entropy", "least_confidence"),
    *("average_confidence", "k_center", "typicality", "typical_uncertainty", "typiclust", "tcm"),
)
"""Those that look at candidates one by one, and TypiClust; the others are in `test_pool_strategies`."""
LINEAR = np.linspace(-1, 1, len(FEATURES)).astype(np.float32)
STATE = 20
WORLDS = {
    # name: data set, pool, hold-out, steps, classifier, its reference, settings
    "one label": ("digits", 180, 300, 10, CONVERGED, reference.logistic(0.1), {"initial": 12}),
    "three in sequence": (
        *("digits", 180, 300, 6, CONVERGED, reference.logistic(0.1)),
        {"batch": 3, "distance": "cosine"},
    ),
    "top three, descent": (
        *("wine", 80, 78, 8, ProbeConfig(solver="gd", learning_rate=0.5), reference.descent(0.5, 200)),
        {"batch": 3, "batch_selection": "top_n", "distance": "squared_euclidean", "standardise": False},
    ),
    "two classes": ("breast_cancer", 200, 349, 10, CONVERGED, reference.logistic(0.1), {}),
}


def make_world(name: str, **task_options) -> World:
    data, pool, holdout, steps, classifier, _, changes = WORLDS[name]
    settings = EnvironmentConfig(**(vars(BASE) | changes))
    dataset = load(data)
    return build(dataset, cut(dataset, pool, STATE, holdout), settings, steps, classifier, **task_options)


class Stage:
    """A world, every strategy with its parameters, and the compiled episode."""

    def __init__(self, world: World):
        self.world = world
        agent = make_agent(AgentConfig(hidden=(32, 16)), STATE + 1, FEATURES, world.settings.batch)
        self.strategies = {name: STRATEGIES[name] for name in PLAYED}
        self.pool = self.problem().pool
        before = len(world.initial_rows()) + world.settings.batch * np.arange(world.environment.steps)
        plan = typiclust.clusterings(self.pool, before, world.settings.batch, world.task.shape[0], seed=0)
        networks = {name: agent.init(jax.random.key(i)).params for i, name in enumerate(("ddqn", "untrained_q"))}
        self.networks = networks
        self.params: dict[str, Any] = {
            **{name: jax.tree_util.Partial(agent.values, params) for name, params in networks.items()},
            "linear_cem": jnp.asarray(LINEAR),
            **dict.fromkeys(("typiclust", "tcm"), jax.tree.map(jnp.asarray, plan)),
            "balanced_oracle": world.task.pool_labels,
        }
        self.compiled = jax.jit(player(world, self.strategies))

    def problem(self) -> reference.Problem:
        world = self.world
        return reference.make_problem(world.dataset.inputs, world.dataset.labels, world.rows, world.settings.distance)

    def play(self, name: str, seed: int = 0, initial: Labelled | None = None):
        begin = self.world.initial() if initial is None else initial
        which = list(self.strategies).index(name)
        # `choose` hands the one key of a step to each of its picks, on purpose.
        return self.compiled(which, self.params, self.world.task, begin, jax.random.key(seed))


@cache
def stage(name: str) -> Stage:
    return Stage(make_world(name))


def reference_scores(s: Stage) -> dict[str, tuple[reference.Score, bool]]:
    """Each deterministic strategy of the reference, and whether its picks of one step see each other."""
    settings = s.world.settings
    learned = settings.batch_selection == "sequential"
    q = {
        name: (reference.q_network(s.networks[name], FEATURES, settings.standardise), learned)
        for name in ("ddqn", "untrained_q")
    }
    scores = {
        "margin": (reference.margin, False),
        "entropy": (reference.entropy, False),
        "least_confidence": (reference.least_confidence, False),
        "average_confidence": (reference.average_confidence, False),
        "k_center": (reference.k_center, True),
        "typicality": (reference.typicality, True),
        "typical_uncertainty": (reference.typical_uncertainty, True),
        "typiclust": (reference.typiclust(settings.batch), False),
        "tcm": (reference.tcm(settings.batch), False),
        "linear_cem": (reference.linear(LINEAR, FEATURES, settings.standardise), learned),
        **q,
    }
    if s.world.task.class_mask.sum() == 2:
        del scores["average_confidence"]  # sigmoids of two opposite logits: 1/2 for every point
    return scores


@pytest.mark.parametrize("name", WORLDS)
def test_episodes_equal_the_reference(name):
    s = stage(name)
    problem, ties = s.problem(), {}
    for strategy, (score, sequential) in reference_scores(s).items():
        ours = s.play(strategy)
        picks = np.asarray(ours.picks)
        fit, initial = WORLDS[name][5], s.world.initial_rows()
        theirs = reference.episode(problem, fit, score, initial, picks, sequential)
        np.testing.assert_array_equal(picks, theirs.picks, err_msg=f"{name}, {strategy}")
        np.testing.assert_allclose(ours.accuracy, theirs.accuracy, atol=0.003, err_msg=f"{name}, {strategy}")
        ties[strategy] = theirs.ties
    print(f"{name}: picks decided by a near-tie: {ties}")
    assert sum(ties.values()) <= 0.02 * len(ties) * picks.size, ties


@pytest.mark.parametrize("name", ["one label", "three in sequence", "top three, descent"])
def test_exactly_n_new_points_a_step(name):
    s = stage(name)
    world = s.world
    for strategy in s.strategies:
        played = s.play(strategy)
        assert played.picks.shape == (world.environment.steps, world.settings.batch)
        everything = [*world.initial_rows(), *np.ravel(played.picks).tolist()]
        assert len(set(everything)) == len(everything), strategy
        assert min(everything) >= 0 and max(everything) < len(world.rows.pool)
        unlabelled = np.asarray(played.steps.state.unlabelled)
        expected = len(world.rows.pool) - len(world.initial_rows())
        expected = expected - world.settings.batch * np.arange(1, len(unlabelled) + 1)
        np.testing.assert_array_equal(unlabelled.sum(1), expected)
        assert not unlabelled[-1, everything].any()


@pytest.mark.parametrize("name", ["one label", "three in sequence"])
def test_everything_stays_finite(name):
    s = stage(name)
    for strategy in s.strategies:
        chex.assert_tree_all_finite(s.play(strategy))


@pytest.mark.parametrize("strategy", ["random", "balanced_oracle", "margin", "ddqn"])
def test_same_key_same_episode(strategy):
    s = stage("one label")
    chex.assert_trees_all_equal(s.play(strategy, seed=3), s.play(strategy, seed=3))


@pytest.mark.parametrize("strategy", ["random", "balanced_oracle"])
def test_different_keys_differ(strategy):
    s = stage("one label")
    picks = [np.asarray(s.play(strategy, seed=seed).picks) for seed in range(3)]
    assert np.mean(picks[0] == picks[1]) < 0.2
    assert np.mean(picks[1] == picks[2]) < 0.2


# Strategies that carry nothing of the pool's shape, so that they run on any other pool as they are.
PORTABLE = ("ddqn", "linear_cem", "margin", "average_confidence", "k_center", "typicality", "typical_uncertainty")


def on_other(s: Stage, world: World, initial: list[int]):
    """Episodes of the portable strategies on another world with the same settings, from pool rows `initial`."""
    play = jax.jit(player(world, {name: s.strategies[name] for name in PORTABLE}))
    slots = len(world.initial().rows)
    mask = np.arange(slots) < len(initial)
    begin = Labelled(jnp.asarray(np.pad(initial, (0, slots - len(initial))), jnp.int32), jnp.asarray(mask))
    params = {name: s.params.get(name) for name in PORTABLE}
    for which, name in enumerate(PORTABLE):
        yield name, play(which, params, world.task, begin, jax.random.key(0))


@pytest.mark.parametrize("name", ["one label", "three in sequence"])
def test_padding_changes_nothing(name):
    s = stage(name)
    pool, state, holdout = s.world.task.shape
    padded = make_world(name, shape=(pool + 37, state, holdout + 11), classes=len(s.world.dataset.classes) + 3)
    for strategy, theirs in on_other(s, padded, s.world.initial_rows()):
        ours = s.play(strategy)
        np.testing.assert_array_equal(ours.picks, theirs.picks, err_msg=strategy)
        np.testing.assert_allclose(ours.accuracy, theirs.accuracy, atol=1e-6)
        np.testing.assert_allclose(ours.steps.before.state_vector, theirs.steps.before.state_vector, atol=2e-5)
        actions = theirs.steps.before.features
        np.testing.assert_allclose(ours.steps.before.features, actions[:, :pool], atol=2e-3)
        assert not np.asarray(actions[:, pool:]).any()


@pytest.mark.parametrize("name", ["one label", "three in sequence"])
def test_permuting_the_pool_permutes_the_picks(name):
    s = stage(name)
    world = s.world
    order = np.random.default_rng(0).permutation(len(world.rows.pool))  # new place -> old place
    place = np.argsort(order)
    moved = build(world.dataset, Rows(world.rows.pool[order], *world.rows[1:]), world.settings, world.environment.steps)
    initial = [int(place[i]) for i in world.initial_rows()]
    for strategy, theirs in on_other(s, moved, initial):
        np.testing.assert_array_equal(order[np.asarray(theirs.picks)], s.play(strategy).picks, err_msg=strategy)


@pytest.mark.usefixtures("vmapped_keys")
def test_with_two_classes_all_uncertainties_make_the_same_picks():
    """Starts of which two see the entropy pick other points when its own value in float32 ranks them."""
    dataset = load("breast_cancer")
    world = build(dataset, cut(dataset, 340, STATE, 200, seed=1), EnvironmentConfig(), 58, ProbeConfig())
    strategies = {name: STRATEGIES[name] for name in ("margin", "entropy", "least_confidence")}
    episode = lambda *arguments: player(world, strategies)(*arguments).picks
    play = jax.jit(jax.vmap(episode, (None, None, None, 0, 0)))
    keys = jax.random.split(jax.random.key(0), 64)[jnp.array([0, 1, 35, 54])]
    initial = jax.vmap(world.environment.initial_set, (None, 0))(world.task, keys)
    margin, *others = (np.asarray(play(which, {}, world.task, initial, keys)) for which in range(3))
    assert len(np.unique(margin, axis=0)) == len(keys)
    for picks in others:
        np.testing.assert_array_equal(picks, margin)


@pytest.mark.usefixtures("vmapped_keys")
def test_vmapped_episodes_equal_single_ones():
    s = stage("one label")
    initial = [s.world.initial(seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *x: jnp.stack(x), *initial)
    together = jax.jit(jax.vmap(player(s.world, s.strategies), (None, None, None, 0, 0)))
    for name in ("random", "ddqn"):
        which = list(s.strategies).index(name)
        keys = jax.random.split(jax.random.key(5), 3)
        many = together(which, s.params, s.world.task, stacked, keys)
        for i in range(3):
            single = s.compiled(which, s.params, s.world.task, initial[i], keys[i])
            np.testing.assert_array_equal(many.picks[i], single.picks)
            np.testing.assert_allclose(many.accuracy[i], single.accuracy, atol=1e-6)
            np.testing.assert_allclose(many.steps.after.features[i], single.steps.after.features, atol=2e-3)


def test_an_episode_is_traced_once():
    s = stage("top three, descent")
    once = jax.jit(chex.assert_max_traces(player(s.world, s.strategies), 1))
    with jax.debug_key_reuse(False):
        for seed in range(3):
            initial = s.world.initial(seed)
            once(seed, s.params, s.world.task, initial, jax.random.key(seed))


def test_rewards_add_up_to_the_gain():
    played = stage("one label").play("margin")
    np.testing.assert_allclose(jnp.sum(played.steps.reward), played.accuracy[-1] - played.accuracy[0], atol=1e-5)
    np.testing.assert_allclose(played.steps.reward, np.diff(played.accuracy), atol=1e-6)


def test_transitions_chain_and_only_the_last_is_terminal():
    s = stage("one label")
    steps = s.play("random").steps
    total = s.world.environment.steps
    t = jax.vmap(lambda step: iteration.as_transition(step, total, 7))(steps)
    np.testing.assert_array_equal(t.discount, [1.0] * (total - 1) + [0.0])
    np.testing.assert_array_equal(t.state_vector[1:], t.next_state_vector[:-1])
    assert t.next_features.shape == (total, 7, len(FEATURES)) and t.next_mask.shape == (total, 7)
    np.testing.assert_array_equal(t.next_features, steps.after.features[:, :7])
    chosen = np.take_along_axis(np.asarray(steps.before.features), np.asarray(steps.picks)[..., None], 1)
    np.testing.assert_array_equal(t.features, chosen)


def test_draw_candidates():
    unlabelled = jnp.arange(60) % 3 == 0  # 20 of them
    draw = jax.jit(episode.draw_candidates, static_argnums=2)
    few = [draw(jax.random.key(i), unlabelled, 5).tolist() for i in range(400)]
    assert all(len(set(rows)) == 5 for rows in few)
    seen = np.bincount(np.concatenate(few), minlength=60)
    assert not seen[~np.asarray(unlabelled)].any()
    # Each of 20 is drawn with probability 1 / 4: 100 times of 400, standard deviation 8.7.
    assert seen[np.asarray(unlabelled)].min() > 100 - 5 * 8.7 and seen.max() < 100 + 5 * 8.7
    first = np.bincount([rows[0] for rows in few], minlength=60)[np.asarray(unlabelled)]
    assert first.max() < 20 + 5 * 4.4, "the order is random too"
    everything = draw(jax.random.key(0), unlabelled, 30).tolist()
    assert sorted(everything[:20]) == np.flatnonzero(unlabelled).tolist() and everything[20:] == [-1] * 10
    assert everything[:20] != sorted(everything[:20])
    for count in (5, 30):
        drawn = [draw(jax.random.key(1), mask, count) for mask in (unlabelled, jnp.pad(unlabelled, 9))]
        np.testing.assert_array_equal(drawn[0], drawn[1] - jnp.where(drawn[1] < 0, 0, 9))


def test_decisions_among_few_candidates():
    s = stage("one label")
    world = s.world
    run = partial(
        episode.rollout,
        world.environment,
        hand_written.margin,
        sequential=jnp.asarray(False),
        record_first=lambda state: None,
        record=lambda step: (step.picks, step.before.mask, step.before.features, step.features),
        candidates=5,
    )
    picks, mask, offered, chosen = jax.jit(lambda t, i, k: run(t, i, k)[1])(
        world.task, world.initial(), jax.random.key(2)
    )
    assert mask.shape == (world.environment.steps, 5) and mask.all()
    assert len({*picks[:, 0].tolist(), *world.initial_rows()}) == len(picks) + len(world.initial_rows())
    margins = np.asarray(offered)[..., FEATURES.index("margin")]
    np.testing.assert_array_equal(margins.min(1), np.asarray(chosen)[:, 0, FEATURES.index("margin")])
    assert not np.array_equal(picks, s.play("margin").picks)


def test_epsilon_greedy_explores_with_probability_epsilon():
    s = stage("one label")
    seen = jax.tree.map(lambda x: x[0], s.play("margin").steps.before)
    greedy = hand_written.entropy
    chosen = lambda scores: jnp.argmax(jnp.where(seen.mask, scores, -jnp.inf))
    best = chosen(greedy(seen, None))

    @jax.jit
    def share(epsilon, key):
        score = iteration.epsilon_greedy(greedy, epsilon)
        return jnp.mean(jax.vmap(lambda k: chosen(score(seen, k)) == best)(jax.random.split(key, 4000)))

    for epsilon in (0.0, 0.3, 1.0):
        expected = 1 - epsilon + epsilon / jnp.sum(seen.mask)
        assert share(epsilon, jax.random.key(1)) == pytest.approx(expected, abs=5 * np.sqrt(0.25 / 4000) * epsilon)


def test_reusing_a_key_is_an_error():
    key = jax.random.key(0)
    jax.random.uniform(key)
    with pytest.raises(jax.errors.KeyReuseError):
        jax.random.uniform(key)
