"""Features of candidates in view of the pool, and the summary of a state, against NumPy in float64."""

from functools import cache
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from worlds import CONVERGED, World, build, cut, load

from jaxal.classifiers.classifier import Labelled
from jaxal.config import EnvironmentConfig
from jaxal.mdp.look import FAR, L2, Look
from jaxal.mdp.observation import Observation
from jaxal.mdp.pool_features import POOL_FEATURES, features_of
from jaxal.mdp.summaries import SUMMARIES, summary_of

POOL, STATE, BATCH, PENDING = 90, 5, 3, 2
FEATURES, SUMMARY = tuple(POOL_FEATURES), tuple(SUMMARIES)


class Scene(NamedTuple):
    """The middle of an episode, two points of a batch already picked."""

    world: World
    observation: Observation
    chosen: list[int]
    labels: np.ndarray  # of the chosen, those of pending points predicted
    logits: np.ndarray  # [P, C]


@cache
def scene(name: str = "digits", shape: tuple[int, int, int] | None = None, classes: int | None = None) -> Scene:
    settings = EnvironmentConfig(batch=BATCH, initial=14)
    dataset = load(name)
    world = build(dataset, cut(dataset, POOL, STATE, 60), settings, 4, CONVERGED, shape=shape, classes=classes)
    environment, task = world.environment, world.task
    state = environment.reset(task, world.initial(), jax.random.key(0))
    free = np.flatnonzero(np.asarray(state.unlabelled))
    state, _ = environment.step(task, state, jnp.asarray(free[:BATCH], jnp.int32), jax.random.key(1))
    picked = Labelled(jnp.asarray(free[10 : 10 + PENDING], jnp.int32), jnp.ones(PENDING, bool))
    state = environment.mark_pending(task, state, picked)
    logits = np.asarray(state.fitted.logits[:POOL], np.float64)
    known = [*world.initial_rows(), *free[:BATCH].tolist()]
    pending = free[10 : 10 + PENDING].tolist()
    labels = np.concatenate([dataset.labels[world.rows.pool[known]], logits[pending].argmax(1)])
    everything = jnp.arange(task.shape[0], dtype=jnp.int32)
    observation = environment.observe(task, state, everything)
    return Scene(world, observation, known + pending, labels, logits[:, : len(dataset.classes)])


class Truth:
    """The same quantities by their definitions, in float64."""

    def __init__(self, s: Scene):
        dataset, rows = s.world.dataset, s.world.rows
        problem = reference.make_problem(dataset.inputs, dataset.labels, rows, "euclidean")
        self.z, self.d = problem.pool, problem.distances / problem.scale
        self.p = reference.softmax(s.logits)
        self.classes, self.chosen, self.y = s.logits.shape[1], s.chosen, s.labels
        self.order = np.sort(self.p, 1)[:, ::-1]
        self.u = 1 - (self.order[:, 0] - self.order[:, 1])
        self.first = self.p.argmax(1)
        self.open = np.setdiff1d(np.arange(POOL), s.chosen)
        self.density = problem.density
        self.neighbours = np.argsort(self.d, 1)[:, 1:11]
        self.references = np.asarray(s.world.task.references)
        self.spacing = np.median(self.density)
        self.widths = np.maximum(self.spacing * np.array([0.5, 1.0, 1.5]), [0, 0, 0.5])
        one = reference.with_one(self.z)
        gram = one @ one.T
        noisy = np.linalg.inv(gram[np.ix_(s.chosen, s.chosen)] + 2 * L2 * np.eye(len(s.chosen)))
        posterior = gram - gram[:, s.chosen] @ noisy @ gram[s.chosen]
        self.variance, self.covariance = np.diag(posterior), posterior[self.references]
        self.precision = noisy
        self.to_class = np.full((POOL, self.classes), FAR)
        for row, label in zip(s.chosen, s.labels, strict=True):
            self.to_class[:, label] = np.minimum(self.to_class[:, label], self.d[:, row])
        self.near = self.to_class.min(1)
        self.typ = self.near / np.maximum(self.density, 0.05)
        self.counts = np.bincount(s.labels, minlength=self.classes) / len(s.chosen)
        kernel = np.exp(-(self.d[:, s.chosen] ** 2) / (2 * self.widths[1] ** 2))
        votes = np.array([[kernel[i, s.labels == c].sum() for c in range(self.classes)] for i in range(POOL)]) + 1e-6
        self.votes = votes / votes.sum(1, keepdims=True)
        logits = s.logits[s.chosen]
        alpha = (np.eye(self.classes)[s.labels] - reference.softmax(logits)) / L2
        self.left_out = reference.softmax(logits - alpha * (1 / np.diag(noisy) - 2 * L2)[:, None])

    def coverage(self, width: int, weighted: bool) -> np.ndarray:
        k = np.exp(-(self.d**2) / (2 * self.widths[width] ** 2))
        covered = k[:, self.chosen].max(1)
        gains = [
            np.mean([(self.u[j] if weighted else 1.0) * max(k[j, i] - covered[j], 0) for j in self.references])
            for i in range(POOL)
        ]
        return np.log(np.maximum(gains, 1e-6))

    def reduction(self, weighted: bool) -> np.ndarray:
        weights = self.u[self.references] if weighted else np.ones(len(self.references))
        return (weights @ self.covariance**2) / len(self.references) / (self.variance + 2 * L2)

    def features(self) -> dict[str, np.ndarray]:
        log = lambda x: np.log(np.maximum(x, 1e-6))
        own = np.arange(POOL), self.first
        others = np.where(np.arange(self.classes) == self.first[:, None], np.inf, self.to_class).min(1)
        spread = 1 - (self.p**2).sum(1)
        in_pool = self.p[self.open].mean(0)
        of_labels, of_pool = self.counts[self.first] * self.classes, in_pool[self.first] * self.classes
        votes = np.sort(self.votes, 1)
        log_typ = np.log(np.maximum(self.typ, 1e-3))
        return {
            "first_probability": self.order[:, 0],
            "second_probability": self.order[:, 1],
            "third_probability": self.order[:, 2] if self.classes > 2 else np.zeros(POOL),
            "margin": 1 - self.u,
            "entropy": -(self.p * np.log(self.p)).sum(1) / np.log(self.classes),
            "nearest": self.near,
            "nearest_same": self.to_class[own],
            "nearest_other": others,
            "nearest_difference": others - self.to_class[own],
            "mean_to_chosen": self.d[:, self.chosen].mean(1),
            "mean_to_pool": self.d.mean(1),
            "density": self.density,
            "typicality": self.typ,
            "log_typicality": log_typ,
            "unsure_typicality": self.typ * self.u,
            "log_unsure_typicality": log_typ + log(self.u),
            "share_of_labels": of_labels,
            "share_of_pool": of_pool,
            "log_share_ratio": np.log((of_labels + 0.1) / (of_pool + 0.1)),
            "log_variance": log(self.variance),
            "log_reduction": log(self.reduction(False)),
            "log_unsure_reduction": log(self.reduction(True)),
            "log_spread_reduction": log(spread * self.reduction(False)),
            "log_spread_unsure_reduction": log(spread * self.reduction(True)),
            "log_gradient": 0.5 * log(spread) + 0.5 * log(self.variance),
            "unsure_deviation": self.u * np.sqrt(self.variance),
            "margin_in_deviations": (1 - self.u) / np.sqrt(self.variance),
            "neighbours_margin": (1 - self.u)[self.neighbours].mean(1),
            "neighbours_agreement": (self.first[self.neighbours] == self.first[:, None]).mean(1),
            "vote": self.votes[own],
            "vote_agreement": (self.votes.argmax(1) == self.first).astype(float),
            "vote_margin": votes[:, -1] - votes[:, -2],
            **{f"coverage_{w + 1}": self.coverage(w, False) for w in range(3)},
            **{f"unsure_coverage_{w + 1}": self.coverage(w, True) for w in range(3)},
        }

    def summary(self) -> dict[str, float]:
        k = np.exp(-(self.d[None] ** 2) / (2 * self.widths[:, None, None] ** 2))
        covered = k[:, self.references][:, :, self.chosen].max(2).mean(1)
        margin, p, m = (1 - self.u)[self.open], self.p[self.open], len(self.chosen)
        inner = self.z[self.references] @ self.z[self.references].T
        apart = ~np.eye(len(inner), dtype=bool)
        votes = self.votes.argmax(1) == self.first
        return {
            "log_labels": np.log(m),
            "log_labels_per_class": np.log(m / self.classes),
            "classes": self.classes / 10,
            "mean_first_probability": p.max(1).mean(),
            "mean_margin": margin.mean(),
            "mean_entropy": -(p * np.log(p)).sum(1).mean() / np.log(self.classes),
            "deviation_of_margin": margin.std(),
            "mean_typicality": self.typ[self.open].mean(),
            "largest_share": np.bincount(self.first[self.open]).max() / len(self.open),
            "imbalance": self.counts.max() * self.classes,
            "left_out_accuracy": np.mean(self.left_out.argmax(1) == self.y),
            "left_out_probability": self.left_out[np.arange(m), self.y].mean(),
            "left_out_confidence": self.left_out.max(1).mean(),
            "mean_variance": self.variance[self.open].mean(),
            "log_dimension": np.log(np.diag(inner).mean() ** 2 / (inner[apart] ** 2).mean()),
            "spacing": self.spacing,
            "mean_vote_agreement": votes[self.open].mean(),
            **{f"covered_{w + 1}": covered[w] for w in range(3)},
        }


@jax.jit
def looked(observation: Observation) -> tuple[jax.Array, jax.Array]:
    look = Look(observation)
    return features_of(FEATURES, look), summary_of(SUMMARY, look)


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_every_feature_is_what_it_says(name):
    s = scene(name)
    truth, found = Truth(s).features(), looked(s.observation)[0]
    assert truth.keys() == POOL_FEATURES.keys()
    open_ = np.asarray(s.observation.mask)
    for column, feature in enumerate(FEATURES):
        ours, theirs = np.asarray(found)[open_, column], truth[feature][open_]
        np.testing.assert_allclose(ours, theirs, rtol=3e-3, atol=3e-3, err_msg=feature)
        assert np.ptp(theirs) > 1e-3 or feature == "third_probability", f"{feature} is not put to the test"
    assert not np.asarray(found)[~open_].any()


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_every_summary_is_what_it_says(name):
    s = scene(name)
    truth, found = Truth(s).summary(), looked(s.observation)[1]
    assert truth.keys() == SUMMARIES.keys()
    for number, summary in enumerate(SUMMARY):
        np.testing.assert_allclose(found[number], truth[summary], rtol=3e-3, atol=3e-3, err_msg=summary)


def test_padding_changes_nothing():
    plain, padded = scene(), scene(shape=(POOL + 23, STATE, 71), classes=13)
    for ours, theirs in zip(looked(plain.observation), looked(padded.observation), strict=True):
        np.testing.assert_allclose(ours, theirs[: len(ours)], rtol=2e-3, atol=2e-3)


def test_some_candidates_are_seen_as_among_all():
    s = scene()
    world = s.world
    some = np.flatnonzero(np.asarray(s.observation.mask))[::3]
    pool = s.observation.whole_pool._replace(rows=jnp.asarray(some, jnp.int32))
    part = jax.tree.map(lambda x: x[some], (s.observation.candidates, s.observation.mask))
    fewer = s.observation._replace(candidates=part[0], mask=part[1], pool=pool)
    found, whole = looked(fewer)[0], looked(s.observation)[0]
    np.testing.assert_allclose(found, np.asarray(whole)[some], rtol=1e-3, atol=1e-3)
    assert world.task.shape[0] == POOL


def test_features_are_finite_while_little_is_known():
    """One label a class, and a class that is never predicted."""
    world = scene().world
    state = world.environment.reset(world.task, world.initial(3), jax.random.key(0))
    observation = world.environment.observe(world.task, state, jnp.arange(POOL, dtype=jnp.int32))
    chex.assert_tree_all_finite(looked(observation))
