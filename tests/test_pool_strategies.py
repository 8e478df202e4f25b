"""Strategies that look at the whole pool: equal to slow references, and what must hold of them in any state."""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
import reference_strategies as slow
from reference_strategies import Scene
from scipy.stats import chisquare
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score
from worlds import CONVERGED, World, build, cut, load

from jaxal.classifiers.classifier import Labelled
from jaxal.config import Config, EnvironmentConfig
from jaxal.data.dataset import Dataset
from jaxal.data.splits import Rows
from jaxal.mdp.environment import State, holdout_logits
from jaxal.mdp.observation import Observation
from jaxal.policies import STRATEGIES, clustering, information, over_pool
from jaxal.policies.strategy import Setting
from jaxal.policies.temperature import temperature
from jaxal.tasks.distances import DISTANCES, Distance

BATCH, STATE, L2 = 3, 10, CONVERGED.l2
WORLDS: dict[str, tuple[str, int, int, str, dict[str, Any]]] = {
    # name: data set, pool, hold-out, distance, options of the task
    "ten classes": ("digits", 110, 120, "euclidean", {}),
    "two classes, latents": ("breast_cancer", 90, 120, "cosine", {"gram_limit": 0}),
    "a distance of one's own": ("wine", 70, 60, "manhattan", {}),
}
DISTANCES.register("manhattan", Distance(between=lambda x, y: jnp.sum(jnp.abs(x[:, None] - y[None]), -1)))

RULES = {
    "max_herding": slow.max_herding,
    "uherding": slow.uherding,
    "reach_herding": slow.reach_herding,
    "local_herding": slow.local_herding,
    "typical_herding": slow.typical_herding,
    "chord_herding": slow.chord_herding,
    "typical_uncertainty": slow.typical_uncertainty,
    "bait": slow.bait,
}
"""Those that the state alone decides, and their references."""
OTHERS = ("uherding_t", "badge", "bald", "power_margin", "prob_cover", "cluster_margin")
ORACLES = ("greedy_oracle", "greedy_oracle_accuracy", "best_of_strategies")
ALL = (*RULES, *OTHERS, *ORACLES)


class Stage(NamedTuple):
    """A world in the middle of an episode."""

    world: World
    params: dict[str, Any]
    states: list[State]  # with 0, 1 and 2 picks whose labels are not known yet

    @property
    def problem(self) -> reference.Problem:
        return problem_of(self.world)

    def seen(self, pending: int, rows=None) -> Observation:
        candidates = jnp.arange(len(self.states[0].unlabelled)) if rows is None else jnp.asarray(rows)
        return self.world.environment.observe(self.world.task, self.states[pending], candidates)

    def scene(self, pending: int) -> Scene:
        state, problem = self.states[pending], self.problem
        known, picked = (np.asarray(x.rows)[np.asarray(x.mask)].tolist() for x in (state.labelled, state.pending))
        logits = np.asarray(state.fitted.logits, np.float64)[: len(problem.pool), : problem.classes]
        return Scene(problem, logits, known, picked, L2)

    def free(self, pending: int) -> np.ndarray:
        """[P] bool."""
        return np.asarray(self.states[pending].unlabelled)

    def utilities(self, pending: int, seed: int = 0, rows=None) -> dict[str, np.ndarray]:
        found = utilities(self.params, self.seen(pending, rows), jax.random.key(seed))
        return {name: np.asarray(values) for name, values in found.items()}


@jax.jit
def utilities(params: dict[str, Any], seen: Observation, key: jax.Array) -> dict[str, jax.Array]:
    """Of every strategy, compiled together and once for each shape."""
    return {name: STRATEGIES[name].utility(params.get(name), seen, jax.random.clone(key)) for name in ALL}


def problem_of(world: World) -> reference.Problem:
    return reference.make_problem(world.dataset.inputs, world.dataset.labels, world.rows, world.settings.distance)


def make_world(name: str, order: np.ndarray | None = None, dataset: Dataset | None = None, **task_options) -> World:
    """The pool in its own order, or in another."""
    data, pool, holdout, distance, options = WORLDS[name]
    dataset = dataset or load(data)
    rows = cut(dataset, pool, STATE, holdout)
    rows = rows if order is None else Rows(rows.pool[order], *rows[1:])
    return build(dataset, rows, EnvironmentConfig(batch=BATCH, distance=distance), 6, **options, **task_options)


def stage_of(world: World, initial: list[int], picks: list[int]) -> Stage:
    """From pool rows `initial`, three steps of `picks`, and two more of them pending."""
    environment, slots = world.environment, len(world.initial().rows)
    mask = jnp.arange(slots) < len(initial)
    begin = Labelled(jnp.asarray(np.pad(initial, (0, slots - len(initial))), jnp.int32), mask)
    step, pick_one = jax.jit(environment.step), jax.jit(environment.mark_pending)
    state = jax.jit(environment.reset)(world.task, begin, jax.random.key(0))
    for start in range(0, 3 * BATCH, BATCH):
        rows = jnp.asarray(picks[start : start + BATCH], jnp.int32)
        state, _ = step(world.task, state, rows, jax.random.key(0))
    states = [state]
    for pick in picks[3 * BATCH : 3 * BATCH + 2]:
        picked = Labelled(jnp.array([pick], jnp.int32), jnp.ones(1, bool))
        states.append(pick_one(world.task, states[-1], picked))
    setting = Setting(
        config=Config(environment=world.settings),
        seed=0,
        classes=problem_of(world).classes,
        latents=problem_of(world).pool.astype(np.float32),
        labels=np.asarray(world.task.pool_labels),
        labels_before=np.zeros(0),
        learned=None,
    )
    prepares = {name: STRATEGIES[name].prepare for name in ALL}
    return Stage(world, {name: made(setting) for name, made in prepares.items() if made is not None}, states)


def course(world: World) -> tuple[list[int], list[int]]:
    """The points that an episode begins with, and all others in a random order."""
    initial = world.initial_rows()
    others = np.setdiff1d(np.arange(len(world.rows.pool)), initial)
    return initial, np.random.default_rng(0).permutation(others).tolist()


@cache
def stage(name: str) -> Stage:
    world = make_world(name)
    return stage_of(world, *course(world))


def fresh(strategy: str):
    """Its utility compiled anew, for tests that change a constant."""
    return jax.jit(lambda params, seen, key: STRATEGIES[strategy].utility(params, seen, key))


@pytest.mark.parametrize("pending", [0, 2])
@pytest.mark.parametrize("name", WORLDS)
def test_rules_equal_their_references(name, pending):
    s = stage(name)
    found, scene, free = s.utilities(pending), s.scene(pending), s.free(pending)
    assert free[: scene.size].sum() == scene.size - len(scene.chosen)
    for rule, expected in RULES.items():
        truth = expected(scene)[free]
        assert np.std(truth) > 0.01 * np.mean(truth) > 0, rule
        np.testing.assert_allclose(found[rule][free], truth, rtol=2e-3, atol=2e-4 * truth.max(), err_msg=rule)
        assert np.argmax(found[rule][free]) == np.argmax(truth), rule


@pytest.mark.parametrize("name", WORLDS)
def test_pending_picks_change_what_is_chosen_next(name):
    s = stage(name)
    before, after, free = s.utilities(0), s.utilities(2), s.free(2)
    for rule in (*RULES, "uherding_t", "prob_cover", "badge", "greedy_oracle"):
        assert STRATEGIES[rule].sequential, rule
        assert not np.allclose(before[rule][free], after[rule][free], rtol=1e-4, atol=0), rule


@pytest.mark.parametrize("name", WORLDS)
def test_uherding_is_calibrated_on_the_last_labels(name):
    s = stage(name)
    temperatures, errors = slow.calibration_errors(s.scene(0))
    assert np.ptp(errors) > 0.02
    found = calibrated(s, 2)
    assert errors[np.flatnonzero(np.isclose(temperatures, found))[0]] < errors.min() + 1e-3
    truth = slow.uherding(s.scene(2), found)
    np.testing.assert_allclose(s.utilities(2)["uherding_t"], truth, rtol=2e-3, atol=2e-4 * truth.max())


def calibrated(s: Stage, pending: int) -> float:
    return float(jax.jit(temperature)(s.seen(pending).whole_pool, jnp.float32(L2)))


def test_a_temperature_other_than_1_is_found():
    assert max(calibrated(stage(name), 2) for name in WORLDS) > 1


def test_herding_works_without_any_label():
    """The first pick is the densest point, and with nothing known every point is as uncertain."""
    s = stage("ten classes")
    seen = s.seen(0)
    view = seen.whole_pool
    nothing = view._replace(
        chosen=view.chosen._replace(mask=jnp.zeros_like(view.known)),
        known=jnp.zeros_like(view.known),
        unlabelled=jnp.ones_like(view.unlabelled),
    )
    empty = Scene(s.problem, s.scene(0).logits, [], [], L2)
    dense = [np.mean([np.exp(-(empty.chord(i, j) ** 2)) for j in range(empty.size)]) for i in range(empty.size)]
    for rule in ("max_herding", "uherding"):
        found = np.asarray(fresh(rule)(None, seen._replace(pool=nothing), jax.random.key(0)))
        np.testing.assert_allclose(found, RULES[rule](empty), rtol=1e-3)
        assert np.argmax(found) == np.argmax(dense)


def test_two_equal_labelled_points_leave_uherding_a_width():
    dataset = load("digits")
    rows = cut(dataset, WORLDS["ten classes"][1], STATE, WORLDS["ten classes"][2])
    world = make_world("ten classes")
    initial, picks = course(world)
    twins = dataset.inputs.copy()
    twins[rows.pool[picks[0]]] = twins[rows.pool[initial[0]]]
    s = stage_of(
        make_world("ten classes", dataset=Dataset("twins", twins, dataset.labels, dataset.classes)), initial, picks
    )
    truth = slow.uherding(s.scene(0))
    found = np.asarray(fresh("uherding")(None, s.seen(0), jax.random.key(0)))
    np.testing.assert_allclose(found, truth, rtol=2e-3, atol=2e-4 * truth.max())


@pytest.mark.parametrize("name", WORLDS)
def test_bald_is_the_mutual_information_under_the_laplace_posterior(name, monkeypatch):
    monkeypatch.setattr(information, "DRAWS", 10_000)
    s = stage(name)
    found = np.asarray(fresh("bald")(jnp.float32(L2), s.seen(0), jax.random.key(0)))
    truth = slow.bald(s.scene(0), draws=10_000)
    assert np.std(truth) > 0.1 * np.mean(truth)
    np.testing.assert_allclose(found, truth, rtol=0.05, atol=0.01 * truth.max())


def frequencies(strategy: str, s: Stage, pending: int, draws: int = 4000) -> np.ndarray:
    """How often each point is the highest."""
    seen = s.seen(pending)

    def highest(key: jax.Array) -> jax.Array:
        scores = STRATEGIES[strategy].utility(None, seen, key)
        return jnp.argmax(jnp.where(seen.mask, scores, -jnp.inf))

    picks = jax.jit(jax.vmap(highest))(jax.random.split(jax.random.key(0), draws))
    return np.bincount(picks, minlength=len(seen.mask))


def agreement(counts: np.ndarray, weights: np.ndarray) -> float:
    """p value of counts that are proportional to weights; points that are expected rarely are taken together."""
    expected = weights / weights.sum() * counts.sum()
    order = np.argsort(expected)
    groups = np.cumsum(expected[order]) // 20
    together = lambda values: np.bincount(groups.astype(int), values[order])
    pairs = [(c, e) for c, e in zip(together(counts), together(expected), strict=True) if e > 0]
    seen, wanted = np.array(pairs).T
    return float(chisquare(seen, wanted / wanted.sum() * seen.sum()).pvalue)


@pytest.mark.parametrize("name", WORLDS)
def test_badge_takes_the_longest_gradient_first(name):
    s = stage(name)
    free = s.free(0)
    np.testing.assert_allclose(s.utilities(0)["badge"][free], slow.badge_first(s.scene(0))[free], rtol=2e-3, atol=1e-6)


def test_badge_then_draws_by_squared_distances_to_its_picks_alone():
    """Neither the origin nor the labels of earlier steps are centres."""
    s = stage("ten classes")
    for pending in (1, 2):
        scene, free = s.scene(pending), s.free(pending)
        counts = frequencies("badge", s, pending)
        assert counts[~free].sum() == 0
        squared = slow.badge_later(scene)
        assert agreement(counts[free], squared[free]) > 1e-3
        with_origin = np.minimum(squared, slow.badge_first(scene))
        assert agreement(counts[free], with_origin[free]) < 1e-6
        with_labels = slow.badge_later(Scene(s.problem, scene.logits, [], scene.chosen, L2))
        assert agreement(counts[free], with_labels[free]) < 1e-6


def test_power_margin_draws_by_uncertainty():
    s = stage("ten classes")
    counts, free = frequencies("power_margin", s, 0), s.free(0)
    unsure = slow.unsure(s.scene(0).logits)
    assert agreement(counts[free], unsure[free]) > 1e-3
    assert agreement(counts[free], unsure[free] ** 2) < 1e-6


@pytest.mark.parametrize("name", WORLDS)
def test_prob_cover_counts_what_a_ball_newly_covers(name, monkeypatch):
    """In blocks of 32 points, of which the last is not full."""
    monkeypatch.setattr(clustering, "BLOCK", 32)
    s = stage(name)
    problem = s.problem
    graph = clustering.balls(problem.pool.astype(np.float32), problem.classes, len(s.free(0)), seed=0)
    np.testing.assert_array_equal(graph, s.params["prob_cover"])
    for pending in (0, 2):
        truth = slow.prob_cover(s.scene(pending), problem.classes)
        assert len(np.unique(truth)) > 2
        np.testing.assert_array_equal(np.floor(s.utilities(pending)["prob_cover"]), truth)


def test_prob_cover_breaks_ties_at_random_and_goes_on_when_all_is_covered():
    s = stage("ten classes")
    seen = s.seen(0)
    everything = jnp.full_like(s.params["prob_cover"], 255)
    choose = lambda key: jnp.argmax(
        jnp.where(seen.mask, STRATEGIES["prob_cover"].utility(everything, seen, key), -jnp.inf)
    )
    picks = jax.jit(jax.vmap(choose))(jax.random.split(jax.random.key(0), 2000))
    assert set(np.asarray(picks).tolist()) == set(np.flatnonzero(s.free(0)).tolist())


@pytest.mark.parametrize("name", WORLDS)
def test_cluster_margin_goes_round_its_clusters_from_the_smallest(name):
    s = stage(name)
    margins = np.where(s.free(0), 1 - slow.unsure(s.scene(0).logits), np.inf)
    considered = set(np.argsort(margins)[: 10 * BATCH].tolist())
    clusters = AgglomerativeClustering(len(margins) // 10, linkage="average").fit_predict(s.problem.pool)
    members = {c: {i for i in considered if clusters[i] == c} for c in set(clusters)}
    queues = set()
    for seed in range(5):
        everyone = np.argsort(-s.utilities(0, seed)["cluster_margin"], kind="stable").tolist()
        queue, rest = everyone[: 10 * BATCH], everyone[10 * BATCH : s.free(0).sum()]
        assert set(queue) == considered
        assert np.all(np.diff(margins[rest]) > -1e-5)
        left = [len(each) for each in members.values() if each]
        expected, turn = [], 0
        while turn < max(left):
            expected += sorted(size for size in left if size > turn)
            turn += 1
        assert [len(members[clusters[i]]) for i in queue] == expected
        for turn in range(max(left)):
            part = queue[sum(min(turn, size) for size in left) : sum(min(turn + 1, size) for size in left)]
            assert len({clusters[i] for i in part}) == len(part)
        queues.add(tuple(queue))
    assert len(queues) > 1


def test_average_linkage_of_a_large_pool_extends_that_of_a_part(monkeypatch):
    points = stage("ten classes").problem.pool.astype(np.float32)
    whole = AgglomerativeClustering(len(points) // 10, linkage="average").fit_predict(points)
    assert adjusted_rand_score(whole, clustering.average_linkage(points, seed=0)) == 1
    monkeypatch.setattr(clustering, "LARGEST_LINKAGE", 60)
    some = np.sort(np.random.default_rng(3).permutation(len(points))[:60])
    part = AgglomerativeClustering(6, linkage="average").fit_predict(points[some])
    means = np.array([points[some[part == c]].mean(0) for c in range(6)])
    nearest = [int(np.argmin(np.sum((means - x) ** 2, 1))) for x in points]
    assert adjusted_rand_score(nearest, clustering.average_linkage(points, seed=3)) == 1


@pytest.mark.parametrize("pending", [0, 2])
@pytest.mark.parametrize("name", ["ten classes", "two classes, latents"])
def test_oracles_judge_by_the_true_labels(name, pending):
    s = stage(name)
    scene, found, free = s.scene(pending), s.utilities(pending), s.free(pending)
    judged = {
        "greedy_oracle": (slow.soft_accuracy, 20),
        "greedy_oracle_accuracy": (slow.accuracy, 20),
        "best_of_strategies": (slow.soft_accuracy, 11),
    }
    for oracle, (quality, most) in judged.items():
        tried = np.flatnonzero(np.isfinite(found[oracle]))
        assert 1 < len(tried) <= most and free[tried].all(), oracle
        truth = [quality(slow.with_label(scene, int(i)), scene.problem.holdout_labels) for i in tried]
        assert np.ptp(truth) > 0.01, oracle
        exact = np.isclose(found[oracle][tried], truth, atol=0.001)
        assert exact.mean() >= 0.9, oracle  # a hold-out row between two classes may fall on either side
        np.testing.assert_allclose(found[oracle][tried], truth, atol=1.1 / len(scene.problem.holdout), err_msg=oracle)


def test_greedy_oracles_take_20_random_points():
    s = stage("ten classes")
    tried = [np.flatnonzero(np.isfinite(s.utilities(0, seed)["greedy_oracle"])) for seed in range(2)]
    assert len(tried[0]) == len(tried[1]) == 20
    assert 0 < len(np.intersect1d(*tried)) < 15


def test_a_greedy_oracle_that_can_gain_nothing_takes_the_smallest_margin():
    s = stage("ten classes")
    task = s.world.task
    perfect = task._replace(holdout_labels=jnp.argmax(holdout_logits(task, s.states[0].fitted), -1))
    seen = s.world.environment.observe(perfect, s.states[0], jnp.arange(len(s.free(0))))
    found = fresh("greedy_oracle_accuracy")(jnp.float32(L2), seen, jax.random.key(0))
    np.testing.assert_array_equal(found, STRATEGIES["margin"].utility(None, seen, jax.random.key(0)))


def test_the_best_of_strategies_are_picks_of_strategies():
    s = stage("ten classes")
    found, free = s.utilities(0), s.free(0)
    judged = np.flatnonzero(np.isfinite(found["best_of_strategies"]))
    for proposer in (
        "typical_uncertainty",
        "max_herding",
        "uherding",
        "local_herding",
        "chord_herding",
        "bait",
        "badge",
    ):
        assert np.argmax(np.where(free, found[proposer], -np.inf)) in judged, proposer


def close(found: dict[str, np.ndarray], truth: dict[str, np.ndarray], names, places=slice(None), rtol=1e-4) -> None:
    for name in names:
        scale = np.max(np.abs(truth[name][np.isfinite(truth[name])]))
        np.testing.assert_allclose(found[name][places], truth[name], rtol=rtol, atol=rtol * scale, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_padding_changes_nothing(name):
    s = stage(name)
    pool, state, holdout = s.world.task.shape
    classes = len(s.world.dataset.classes) + 2
    wide = stage_of(make_world(name, shape=(pool + 13, state, holdout + 7), classes=classes), *course(s.world))
    for pending in (0, 2):
        found, truth = wide.utilities(pending), s.utilities(pending)
        free = s.free(pending)
        only = {name: values[free] for name, values in truth.items()}
        close(found, only, (*RULES, "uherding_t"), np.flatnonzero(free), rtol=2e-3)
        np.testing.assert_array_equal(np.floor(found["prob_cover"][:pool]), np.floor(truth["prob_cover"]))
    np.testing.assert_allclose(wide.utilities(0)["badge"][:pool], s.utilities(0)["badge"], rtol=2e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_permuting_the_pool_permutes_the_utilities(name):
    s = stage(name)
    order = np.random.default_rng(1).permutation(len(s.world.rows.pool))  # new place -> old place
    place = np.argsort(order)
    graph = np.unpackbits(np.asarray(s.params["prob_cover"]), axis=1)[:, : len(order)]
    initial, picks = (place[rows].tolist() for rows in course(s.world))
    moved = stage_of(make_world(name, order), initial, picks)
    moved.params["prob_cover"] = jnp.packbits(jnp.asarray(graph[order][:, order]), axis=1)
    for pending in (0, 2):
        found, truth = moved.utilities(pending), s.utilities(pending)
        close(found, truth, (*RULES, "uherding_t"), place, rtol=2e-3)
        np.testing.assert_array_equal(np.floor(found["prob_cover"][place]), np.floor(truth["prob_cover"]))


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_a_candidate_is_worth_the_same_among_few_as_in_the_whole_pool(name):
    s = stage(name)
    rows = np.random.default_rng(2).permutation(np.flatnonzero(s.free(2)))[:12]
    found, truth = s.utilities(2, rows=rows), s.utilities(2)
    close(found, {name: values[rows] for name, values in truth.items()}, (*RULES, "uherding_t", "bald"), rtol=1e-3)
    np.testing.assert_array_equal(np.floor(found["prob_cover"]), np.floor(truth["prob_cover"][rows]))


@pytest.mark.slow
@pytest.mark.usefixtures("vmapped_keys")
def test_vmapped_utilities_equal_single_ones():
    s = stage("ten classes")
    states = jax.tree.map(lambda *x: jnp.stack(x), *s.states)
    rows = jnp.arange(len(s.free(0)))

    def one(state: State) -> dict[str, jax.Array]:
        seen = s.world.environment.observe(s.world.task, state, rows)
        return utilities(s.params, seen, jax.random.key(0))

    together = jax.jit(jax.vmap(one))(states)
    for pending in range(3):
        found = {name: np.asarray(values[pending]) for name, values in together.items()}
        close(found, s.utilities(pending), ALL, rtol=1e-3)


@pytest.mark.parametrize("name", ["ten classes", "a distance of one's own"])
def test_latents_that_a_classifier_moves_are_taken_as_they_are(name):
    """The task's own are gone; the fit has the same ones."""
    s = stage(name)
    latents = jnp.asarray(s.problem.pool, jnp.float32)
    task = s.world.task._replace(gram=None, latents=None, norms=jnp.full_like(s.world.task.norms, jnp.nan))
    state = s.states[2]._replace(fitted=s.states[2].fitted._replace(latents=latents))
    seen = s.world.environment.observe(task, state, jnp.arange(len(latents)))
    honest = [name for name in ALL if not STRATEGIES[name].refits]
    compute = jax.jit(lambda seen, key: {n: STRATEGIES[n].utility(s.params.get(n), seen, key) for n in honest})
    with jax.debug_key_reuse(False):
        found = {name: np.asarray(values) for name, values in compute(seen, jax.random.key(0)).items()}
    free = s.free(2)
    truth = {name: values[free] for name, values in s.utilities(2).items()}
    close(found, truth, honest, free, rtol=2e-3)


def test_blocks_of_candidates_change_nothing(monkeypatch):
    s = stage("ten classes")
    truth = s.utilities(2)
    monkeypatch.setattr(over_pool, "BLOCK", 32)
    for rule in ("local_herding", "bait", "bald", "prob_cover"):
        found = np.asarray(fresh(rule)(s.params.get(rule), s.seen(2), jax.random.key(0)))
        close({rule: found}, truth, [rule], rtol=1e-3)


@pytest.mark.parametrize("rule", ["uherding", "bait"])
def test_anchors_estimate_the_mean_over_the_pool(rule, monkeypatch):
    """Without bias, and exactly for what a point covers of itself."""
    s = stage("ten classes")
    truth, seen = s.utilities(0)[rule], s.seen(0)
    monkeypatch.setattr(over_pool, "WHOLE_POOL", 50)
    monkeypatch.setattr(over_pool, "ANCHORS", 30)
    utility = lambda key: STRATEGIES[rule].utility(s.params.get(rule), seen, key)
    drawn = np.asarray(jax.jit(jax.vmap(utility))(jax.random.split(jax.random.key(0), 1500)))
    error = drawn.std(0) / np.sqrt(len(drawn)) + 1e-4 * truth  # and of rounding
    free = s.free(0)
    assert np.median(error[free] / truth[free]) > 2e-4
    assert np.max(np.abs(drawn.mean(0) - truth)[free] / error[free]) < 5
    monkeypatch.setattr(over_pool, "ANCHORS", 1)
    single = np.asarray(jax.jit(jax.vmap(utility))(jax.random.split(jax.random.key(1), 300)))
    if rule == "uherding":  # where the only anchor is far away, what is left is the point itself
        scene = s.scene(0)
        own = slow.uherding_of_itself(scene)
        np.testing.assert_allclose(single.min(0)[free], own[free], rtol=2e-3, atol=1e-6)
