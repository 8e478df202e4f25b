"""A slow, independent reference for whole episodes: float64, scikit-learn, scipy and loops over points.

It shares no code with the package, only its definitions: the latents are standardised by the pool's statistics and
divided by the root of their size, the classifier sees a constant 1 beside them, distances are in units of the mean
distance between two pool points.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import logsumexp
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression

SCIPY_NAMES: dict[str, Any] = {
    "euclidean": "euclidean",
    "squared_euclidean": "sqeuclidean",
    "cosine": "cosine",
    "manhattan": "cityblock",
}
TIE = 1e-5  # scores closer than this are a tie that rounding decides


@dataclass
class Problem:
    """What an episode is played on, standardised, float64."""

    pool: np.ndarray
    state: np.ndarray
    holdout: np.ndarray
    pool_labels: np.ndarray
    holdout_labels: np.ndarray
    classes: int
    metric: str
    distances: np.ndarray = field(init=False)
    scale: float = field(init=False)
    density: np.ndarray = field(init=False)

    def __post_init__(self):
        n = len(self.pool)
        self.distances = cdist(self.pool, self.pool, SCIPY_NAMES[self.metric])
        np.fill_diagonal(self.distances, 0.0)
        self.scale = self.distances.sum() / (n * (n - 1))
        self.density = np.zeros(n)
        for i in range(n):
            others = sorted(self.distances[i, j] for j in range(n) if j != i)
            self.density[i] = np.mean(others[:10]) / self.scale


def make_problem(latents: np.ndarray, labels: np.ndarray, rows, metric: str) -> Problem:
    """The problem of `rows` (pool, state, holdout) of `latents` [n, D] with `labels` [n]."""
    parts = [np.asarray(latents, np.float64)[r] for r in rows]
    mean, deviation = parts[0].mean(0), parts[0].std(0)
    moving = deviation > 1e-9
    pool, state, holdout = ((x - mean)[:, moving] / deviation[moving] / np.sqrt(moving.sum()) for x in parts)
    return Problem(pool, state, holdout, labels[rows[0]], labels[rows[2]], int(labels.max()) + 1, metric)


def with_one(z: np.ndarray) -> np.ndarray:
    """`z` with the constant 1 as its last column."""
    return np.hstack([z, np.ones((len(z), 1))])


def softmax(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits - logsumexp(logits, axis=1, keepdims=True))


Fit = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(latents with the constant 1 [m, D], labels [m], classes) -> weights [D, C]"""


def logistic(l2: float) -> Fit:
    """scikit-learn's multinomial logistic regression; the constant's weight is regularised like the others."""

    def fit(z, y, classes):
        # With two classes scikit-learn has one weight vector w where we have w / 2 and -w / 2, half the norm.
        strength = (2 if classes == 2 else 1) / l2
        model = LogisticRegression(C=strength, fit_intercept=False, tol=1e-8, max_iter=20_000).fit(z, y)
        assert list(model.classes_) == list(range(classes))
        return np.vstack([-model.coef_ / 2, model.coef_ / 2]).T if classes == 2 else model.coef_.T

    return fit


def descent(rate: float, epochs: int) -> Fit:
    """Gradient descent on the [D, C] weights from zero: full batch, mean cross-entropy, fixed rate."""

    def fit(z, y, classes):
        weights = np.zeros((z.shape[1], classes))
        for _ in range(epochs):
            weights -= rate * cross_entropy_gradient(weights, z, y)
        return weights

    return fit


def cross_entropy_gradient(weights: np.ndarray, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Gradient [D, C] of the mean cross-entropy."""
    error = softmax(z @ weights)
    error[np.arange(len(y)), y] -= 1
    return z.T @ error / len(y)


@dataclass
class View:
    """What a strategy may look at, for the whole pool."""

    problem: Problem
    logits: np.ndarray  # [P, C]
    state_logits: np.ndarray  # [S, C]
    supposed: list[int]  # labelled points, and those already picked in this step where picks see each other
    open: list[int]  # points that may be picked
    counts: np.ndarray  # [C] labels of each class, those of pending points included
    step: int
    steps: int
    labelled: list[int]  # at the start of this step

    def mean_distance_labelled(self, i: int) -> float:
        return float(np.mean([self.problem.distances[i, j] for j in self.supposed])) / self.problem.scale

    def mean_distance_unlabelled(self, i: int) -> float:
        rest = np.ones(len(self.logits), bool)
        rest[self.supposed] = False
        return float(self.problem.distances[i, rest].mean()) / self.problem.scale

    def nearest_labelled(self, i: int) -> float:
        return min(self.problem.distances[i, j] for j in self.supposed) / self.problem.scale


Score = Callable[[View], np.ndarray]
"""view -> [P]; only the entries of `view.open` count"""


def least_confidence(v: View) -> np.ndarray:
    return 1 - softmax(v.logits).max(1)


def margin(v: View) -> np.ndarray:
    ordered = np.sort(softmax(v.logits), 1)
    return ordered[:, -2] - ordered[:, -1]


def entropy(v: View) -> np.ndarray:
    p = softmax(v.logits)
    return -(p * np.log(p)).sum(1)


def average_confidence(v: View) -> np.ndarray:
    return (1 / (1 + np.exp(-v.logits))).mean(1)


def k_center(v: View) -> np.ndarray:
    return np.array([v.nearest_labelled(i) for i in range(len(v.logits))])


def typicality(v: View) -> np.ndarray:
    return k_center(v) / v.problem.density


def typical_uncertainty(v: View) -> np.ndarray:
    return typicality(v) * (1 + margin(v))  # `margin` is the score, the smallest the best


def typiclust(batch: int) -> Score:
    """TypiClust's `select_samples`, as places in a queue: the first to be picked scores highest.

    Typicality is taken within the whole cluster, as in the paper; the authors' code leaves labelled points out of it.
    """
    seen: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def clustering(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        model: Any = KMeans
        cluster = model(count, n_init=1, random_state=0).fit_predict(points)
        typical = np.zeros(len(points))
        for c in range(count):
            typical[cluster == c] = density_of(points[cluster == c])
        return cluster, typical

    def score(v: View) -> np.ndarray:
        count = len(v.labelled) + batch
        if count not in seen:
            seen[count] = clustering(v.problem.pool, count)
        cluster, typical = seen[count][0].copy(), seen[count][1]
        sizes = np.bincount(cluster, minlength=count)
        labels = np.bincount(cluster[v.labelled], minlength=count)
        queue = sorted((c for c in range(count) if sizes[c] > 5), key=lambda c: (labels[c], -sizes[c]))
        cluster[v.labelled] = -1
        out = np.full(len(v.logits), -np.inf)
        for place in range(batch):
            members = np.flatnonzero(cluster == queue[place % len(queue)])
            best = members[int(np.argmax(typical[members]))]
            out[best] = -place
            cluster[best] = -1
        return out

    return score


def tcm(batch: int) -> Score:
    """TypiClust for three steps, then the margin."""
    first = typiclust(batch)
    return lambda v: first(v) if v.step < 3 else margin(v)


def density_of(points: np.ndarray) -> np.ndarray:
    """TypiClust's typicality of each point among `points`: inverse mean distance to its nearest neighbours."""
    neighbours = min(20, len(points) // 2)
    apart = cdist(points, points)
    if neighbours == 0:
        return np.ones(len(points))
    return np.array([1 / (np.mean(np.sort(row)[1 : neighbours + 1]) + 1e-5) for row in apart])


def raw_features(v: View, names: tuple[str, ...]) -> np.ndarray:
    """Action features [open, F], before they are standardised."""
    p = softmax(v.logits)
    shares = v.counts / v.counts.sum()
    of = {
        "score": lambda i: p[i].max(),
        "mean_distance_labelled": v.mean_distance_labelled,
        "mean_distance_unlabelled": v.mean_distance_unlabelled,
        "margin": lambda i: np.sort(p[i])[-1] - np.sort(p[i])[-2],
        "entropy": lambda i: -np.sum(p[i] * np.log(p[i])),
        "nearest_labelled": v.nearest_labelled,
        "local_density": lambda i: v.problem.density[i],
        "class_frequency": lambda i: shares[np.argmax(v.logits[i])],
    }
    return np.array([[of[name](i) for name in names] for i in v.open])


def standardised(actions: np.ndarray) -> np.ndarray:
    return np.clip((actions - actions.mean(0)) / np.maximum(actions.std(0), 1e-6), -6, 6)


def linear(weights: np.ndarray, names: tuple[str, ...], standardise: bool) -> Score:
    """A linear policy."""

    def score(v: View) -> np.ndarray:
        actions = raw_features(v, names)
        out = np.full(len(v.logits), -np.inf)
        out[v.open] = (standardised(actions) if standardise else actions) @ weights
        return out

    return score


def q_network(params, names: tuple[str, ...], standardise: bool) -> Score:
    """The Q-network with Flax parameters `params`, in NumPy; its first layer is not split here."""
    layers = params["params"]
    array = lambda layer, part: np.asarray(layers[layer][part], np.float64)

    def score(v: View) -> np.ndarray:
        actions = raw_features(v, names)
        actions = standardised(actions) if standardise else actions
        state = np.append(np.sort(softmax(v.state_logits).max(1)), v.step / v.steps)
        out = np.full(len(v.logits), -np.inf)
        out[v.open] = q_values(array, len(layers), state, actions)
        return out

    return score


def q_values(array: Callable[[str, str], np.ndarray], layers: int, state, actions) -> np.ndarray:
    """Q of each row of `actions` [K, F] in `state`; `array(layer, part)` gives the parameters."""
    both = np.hstack([np.tile(state, (len(actions), 1)), actions])
    x = both @ np.vstack([array("state", "kernel"), array("action", "kernel")]) + array("state", "bias")
    for i in range(layers - 3):
        x = np.maximum(x, 0) @ array(f"hidden_{i}", "kernel") + array(f"hidden_{i}", "bias")
    return (np.maximum(x, 0) @ array("q", "kernel") + array("q", "bias"))[:, 0]


@dataclass
class Outcome:
    """An episode of the reference."""

    picks: np.ndarray  # [T, N]
    accuracy: np.ndarray  # [T + 1]
    ties: int  # picks in which the reference followed the other side in a tie


def episode(
    problem: Problem,
    fit: Fit,
    score: Score,
    initial: list[int],
    follow: np.ndarray,
    sequential: bool = False,
) -> Outcome:
    """Plays an episode from the labelled points `initial`, beside another program's picks `follow` [T, N].

    The reference takes its own best point at every pick. Only where the other's pick scores less than `TIE` below it
    does it take that one, so that a tie which rounding decides does not part the two; such ties are counted.
    """
    steps, batch = follow.shape
    labelled, picks, ties = list(initial), np.zeros_like(follow), 0
    weights, correct = None, []
    for step in range(steps + 1):
        weights = fit(with_one(problem.pool[labelled]), problem.pool_labels[labelled], problem.classes)
        predicted = np.argmax(with_one(problem.holdout) @ weights, 1)
        correct.append(float(np.mean(predicted == problem.holdout_labels)))
        if step == steps:
            break
        view = View(
            problem=problem,
            logits=with_one(problem.pool) @ weights,
            state_logits=with_one(problem.state) @ weights,
            supposed=list(labelled),
            open=[i for i in range(len(problem.pool)) if i not in labelled],
            counts=np.bincount(problem.pool_labels[labelled], minlength=problem.classes).astype(float),
            step=step,
            steps=steps,
            labelled=list(labelled),
        )
        scores = score(view)
        for n in range(batch):
            best = max(view.open, key=lambda i: scores[i])
            other = int(follow[step, n])
            if other != best and other in view.open and scores[best] - scores[other] < TIE:
                best, ties = other, ties + 1
            picks[step, n] = best
            view.open.remove(best)
            if sequential and n + 1 < batch:
                view.supposed.append(best)
                view.counts[np.argmax(view.logits[best])] += 1
                scores = score(view)
        labelled += [int(i) for i in picks[step]]
    return Outcome(picks, np.array(correct), ties)
