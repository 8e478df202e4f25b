"""Strategies pick what their definitions say, in the right direction."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import softmax
from scipy.stats import entropy as scipy_entropy

from jaxal.build import resolved
from jaxal.config import Config, EnvironmentConfig, EvaluationConfig, InputsConfig, ProbeConfig, SettingError
from jaxal.mdp.observation import Candidates, Observation
from jaxal.policies import STRATEGIES, cem, expand, hand_written
from jaxal.policies.typiclust import Clustering
from jaxal.registry import UnknownNameError

POINTS, CLASSES = 50, 4


def observation(seed: int = 0, mask: np.ndarray | None = None, time: int = 0, actions=None) -> Observation:
    rng = np.random.default_rng(seed)
    column = lambda: jnp.asarray(rng.uniform(0.1, 2, POINTS), jnp.float32)
    logits = jnp.asarray(rng.normal(0, 2, (POINTS, CLASSES)), jnp.float32)
    c = Candidates(logits, column(), column(), column(), column(), column())
    open_ = jnp.ones(POINTS, bool) if mask is None else jnp.asarray(mask)
    features = jnp.asarray(rng.normal(0, 1, (POINTS, 3)), jnp.float32) if actions is None else actions
    return Observation(jnp.zeros(2), features, c, open_, jnp.int32(time))


def score(name: str, o: Observation, params=None, seed: int = 0) -> np.ndarray:
    return np.asarray(STRATEGIES[name].utility(params, o, jax.random.key(seed)))


# modAL 0.4.2.1, modAL/uncertainty.py, on class probabilities p: the measures, of which it takes the largest
# (uncertainty, entropy) or the smallest (margin).
def modal_uncertainty(p: np.ndarray) -> np.ndarray:
    return 1 - np.max(p, axis=1)


def modal_margin(p: np.ndarray) -> np.ndarray:
    part = np.partition(-p, 1, axis=1)
    return -part[:, 0] + part[:, 1]


def modal_entropy(p: np.ndarray) -> np.ndarray:
    return np.transpose(scipy_entropy(np.transpose(p)))


MODAL = {
    "least_confidence": modal_uncertainty,
    "margin": lambda p: -modal_margin(p),
    "entropy": modal_entropy,
}


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("name", MODAL)
def test_picks_what_modal_picks(name, n):
    different = set()
    for seed in range(10):
        o = observation(seed)
        p = np.asarray(jax.nn.softmax(o.candidates.logits))
        theirs = np.argsort(-MODAL[name](p))[:n]
        np.testing.assert_array_equal(np.argsort(-score(name, o))[:n], theirs)
        different.add(tuple(theirs))
    assert len(different) > 5


def test_the_three_uncertainties_are_not_one():
    o = observation(1)
    orders = {name: tuple(np.argsort(-score(name, o))) for name in MODAL}
    assert len(set(orders.values())) == 3


def test_average_confidence_is_the_mean_sigmoid_over_the_classes_there_are():
    o = observation()
    logits = np.asarray(o.candidates.logits, np.float64)
    np.testing.assert_allclose(score("average_confidence", o), (1 / (1 + np.exp(-logits))).mean(1), rtol=1e-5)
    wider = jnp.pad(o.candidates.logits, ((0, 0), (0, 2)), constant_values=-jnp.inf)
    padded = o._replace(candidates=o.candidates._replace(logits=wider))
    np.testing.assert_allclose(score("average_confidence", padded), score("average_confidence", o), rtol=1e-6)


def test_distance_strategies():
    o = observation()
    nearest, density = np.asarray(o.candidates.nearest_labelled), np.asarray(o.candidates.local_density)
    np.testing.assert_array_equal(score("k_center", o), nearest)
    np.testing.assert_allclose(score("typicality", o), nearest / density, rtol=1e-6)
    ordered = np.sort(softmax(np.asarray(o.candidates.logits)), 1)
    unsure = 1 - (ordered[:, -1] - ordered[:, -2])
    np.testing.assert_allclose(score("typical_uncertainty", o), nearest / density * unsure, rtol=1e-4)


def test_random_is_uniform_over_the_candidates():
    o = observation()
    first = jax.jit(jax.vmap(lambda key: jnp.argmax(STRATEGIES["random"].utility(None, o, key))))(
        jax.random.split(jax.random.key(0), 5000)
    )
    counts = np.bincount(first, minlength=POINTS)
    assert np.all(np.abs(counts - 100) < 5 * np.sqrt(100))


@pytest.mark.parametrize(
    "name",
    ["margin", "entropy", "least_confidence", "average_confidence", "k_center", "typicality", "typical_uncertainty"],
)
def test_these_strategies_use_no_randomness(name):
    o = observation()
    np.testing.assert_array_equal(score(name, o, seed=0), score(name, o, seed=1))


def test_linear_follows_its_weights():
    o = observation()
    weights = np.array([1.0, -2.0, 0.5], np.float32)
    found = cem.linear(jnp.asarray(weights), o, jax.random.key(0))
    np.testing.assert_allclose(found, np.asarray(o.features) @ weights, rtol=1e-5, atol=1e-5)


def test_the_balanced_oracle_draws_at_random_from_the_rarest_class():
    classes = np.arange(POINTS) % CLASSES
    classes[-5:] = -1  # padding
    mask = np.arange(POINTS) < POINTS - 5
    labelled = np.array([0, 1, 2, 4, 5, 8])  # 3 of class 0, 2 of class 1, 1 of class 2, none of class 3
    mask[labelled] = False
    o = observation(mask=mask)
    best = jax.jit(
        jax.vmap(
            lambda key: jnp.argmax(
                jnp.where(o.mask, hand_written.balanced_oracle(jnp.asarray(classes), o, key), -jnp.inf)
            )
        )
    )(jax.random.split(jax.random.key(0), 500))
    assert set(classes[np.asarray(best)]) == {3}
    assert set(np.asarray(best).tolist()) == set(np.flatnonzero((classes == 3) & mask).tolist())


def clustering(clusters, typical) -> Clustering:
    clusters = np.asarray(clusters)
    sizes = np.bincount(clusters[clusters >= 0])
    return Clustering(
        jnp.asarray(clusters[None], jnp.int32),
        jnp.asarray(np.asarray(typical)[None], jnp.float32),
        jnp.asarray(sizes[None], jnp.float32),
    )


def queue(clusters, typical, labelled, count: int) -> list[int]:
    """The first `count` points that TypiClust takes at once."""
    clusters = np.concatenate([clusters, np.full(POINTS - len(clusters), -1)])
    typical = np.concatenate([typical, np.full(POINTS - len(typical), 1e9)])  # padding must not tempt it
    mask = clusters >= 0
    mask[labelled] = False
    scores = score("typiclust", observation(mask=mask), clustering(clusters, typical))
    return np.argsort(-np.where(mask, scores, -np.inf), kind="stable")[:count].tolist()


def test_typiclust_takes_the_largest_clusters_without_a_label_first():
    clusters = np.repeat([0, 1, 2, 3], [8, 12, 10, 5])
    typical = np.random.default_rng(0).permutation(35) / 35
    best = [max(np.flatnonzero(clusters == c), key=lambda i: typical[i]) for c in range(4)]
    assert queue(clusters, typical, [], 3) == [best[1], best[2], best[0]]
    # One labelled in cluster 1: the others come first, by size.
    other = np.flatnonzero(clusters == 1)[0]
    assert queue(clusters, typical, [other], 3) == [best[2], best[0], best[1]]
    # The 5 of cluster 3 are too few: last even when everything else has a label.
    one_each = [int(np.flatnonzero(clusters == c)[0]) for c in (0, 1, 2)]
    assert queue(clusters, typical, one_each, 4) == [best[1], best[2], best[0], best[3]]


def test_typiclust_takes_a_second_point_only_when_every_cluster_has_given_one():
    clusters = np.repeat([0, 1], [8, 7])
    typical = np.concatenate([np.linspace(1, 2, 8), np.linspace(0.1, 0.2, 7)])
    assert queue(clusters, typical, [], 2) == [7, 14]
    third = queue(clusters, typical, [], 3)[2]
    assert clusters[third] == 0


def test_tcm_is_typiclust_for_three_steps_and_margin_after_them():
    rng = np.random.default_rng(0)
    plan = clustering(rng.integers(0, 4, POINTS), rng.uniform(size=POINTS))
    plan = jax.tree.map(lambda x: jnp.tile(x, (5, *[1] * (x.ndim - 1))), plan)
    for time in range(5):
        o = observation(time=time)
        expected = score("typiclust", o, plan) if time < 3 else score("margin", o)
        np.testing.assert_array_equal(score("tcm", o, plan), expected)


def test_a_classifier_without_quick_refits_allows_no_strategy_that_needs_them():
    every = {name for name, s in STRATEGIES.items() if not s.refits}
    for changes in ({"environment": EnvironmentConfig(classifier="finetune")}, {"probe": ProbeConfig(solver="gd")}):
        config = Config(**changes, inputs=InputsConfig(encoder="resnet18"))
        assert set(resolved(config).evaluation.strategies) == every
        asked = replace(config, evaluation=EvaluationConfig(strategies=("margin", "best_of_strategies")))
        with pytest.raises(SettingError, match="holds best_of_strategies, which can only be had with"):
            resolved(asked)
    assert set(resolved(Config()).evaluation.strategies) == set(STRATEGIES)


def test_names_and_kinds():
    kinds = {name: s.kind for name, s in STRATEGIES.items()}
    assert {n for n, k in kinds.items() if k == "learned"} == {"ddqn", "counterfactual", "pretrained"}
    refitting = {"greedy_oracle", "greedy_oracle_accuracy", "best_of_strategies"}
    cheating = {"balanced_oracle", *refitting}
    assert {n for n, k in kinds.items() if k == "control"} == {"linear_cem", "untrained_q", *cheating}
    assert {n for n, s in STRATEGIES.items() if s.cheats} == cheating
    assert {n for n, s in STRATEGIES.items() if s.refits} == refitting
    o = observation()
    q = jax.tree_util.Partial(lambda params, state, features: features @ params, jnp.array([0.0, 1.0, 0.0]))
    found = STRATEGIES["ddqn"].utility(q, o, jax.random.key(0))
    np.testing.assert_allclose(found, o.features[:, 1])  # a high Q is labelled first
    # By their definition, the picks of one step see each other, however the policy picks.
    for selection in ("sequential", "top_n"):
        config = Config(environment=EnvironmentConfig(batch_selection=selection))
        assert STRATEGIES["k_center"].picks_in_sequence(config) and STRATEGIES["typicality"].picks_in_sequence(config)
        assert not STRATEGIES["margin"].picks_in_sequence(config)
        assert STRATEGIES["ddqn"].picks_in_sequence(config) == (selection == "sequential")


def test_all_stands_for_every_strategy_and_unknown_names_are_refused():
    assert expand(["margin", "all", "margin"]) == ("margin", *(name for name in STRATEGIES if name != "margin"))
    with pytest.raises(
        UnknownNameError, match="unknown strategy 'luck'; there are ddqn, counterfactual, pretrained, linear_cem"
    ):
        expand(["luck"])


def test_softmax_probabilities_are_those_of_the_reference():
    o = observation()
    np.testing.assert_allclose(o.candidates.probabilities, softmax(np.asarray(o.candidates.logits)), rtol=1e-5)
