"""Slow, independent references of the query strategies: float64, loops, SciPy and scikit-learn.

They share no code with the package, only definitions: those of the papers, in the notation of the docstrings in
`jaxal/policies`. Each takes a `Scene` and gives a score for every pool point, whatever its state.
"""

from dataclasses import dataclass

import numpy as np
import reference
from reference import Problem, softmax, with_one
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from sklearn.cluster import KMeans


@dataclass(frozen=True)
class Scene:
    """Where an episode stands."""

    problem: Problem
    logits: np.ndarray  # [P, C]
    known: list[int]  # labelled points, in the order of their labels
    pending: list[int]  # picked in this step
    l2: float

    @property
    def chosen(self) -> list[int]:
        return self.known + self.pending

    @property
    def size(self) -> int:
        return len(self.logits)

    @property
    def inputs(self) -> np.ndarray:
        """[P, D] with the constant 1."""
        return with_one(self.problem.pool)

    def apart(self, i: int, j: int) -> float:
        return self.problem.distances[i, j] / self.problem.scale

    def chord(self, i: int, j: int) -> float:
        a, b = self.problem.pool[i], self.problem.pool[j]
        return float(np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b)))


def unsure(logits: np.ndarray) -> np.ndarray:
    ordered = np.sort(softmax(logits), 1)
    return 1 - (ordered[:, -1] - ordered[:, -2])


def gain(scene: Scene, kernel, weights) -> np.ndarray:
    """mean_j w_j max(k_ij - m_j, 0)."""
    n = scene.size
    covered = [max((kernel(j, k) for k in scene.chosen), default=0.0) for j in range(n)]
    return np.array([sum(weights[j] * max(kernel(i, j) - covered[j], 0) for j in range(n)) / n for i in range(n)])


def gaussian(apart, width: float):
    return lambda i, j: np.exp(-((apart(i, j) / width) ** 2))


def max_herding(scene: Scene) -> np.ndarray:
    return gain(scene, gaussian(scene.chord, 1.0), np.ones(scene.size))


def uherding_width(scene: Scene) -> float:
    pairs = [scene.chord(i, j) for n, i in enumerate(scene.known) for j in scene.known[:n]]
    return min((c for c in pairs if c > 1e-6), default=1.0)


def uherding(scene: Scene, temperature: float = 1.0) -> np.ndarray:
    width = uherding_width(scene)
    weights = unsure(scene.logits / temperature)
    weights[scene.chosen] = 0
    return gain(scene, gaussian(scene.chord, width), weights if scene.known else np.ones(scene.size))


def uherding_of_itself(scene: Scene) -> np.ndarray:
    """What each point would cover of itself."""
    kernel = gaussian(scene.chord, uherding_width(scene))
    return unsure(scene.logits) * (1 - nearest_kernel(scene, kernel)) / scene.size


def nearest_kernel(scene: Scene, kernel) -> np.ndarray:
    return np.array([max(kernel(i, k) for k in scene.chosen) for i in range(scene.size)])


def nearest(scene: Scene, apart) -> np.ndarray:
    return np.array([min(apart(i, k) for k in scene.chosen) for i in range(scene.size)])


def reach_herding(scene: Scene) -> np.ndarray:
    width = nearest(scene, scene.apart).mean()
    return unsure(scene.logits) * gain(scene, gaussian(scene.apart, width), unsure(scene.logits))


def local_herding(scene: Scene) -> np.ndarray:
    s = scene.problem.density
    kernel = lambda i, j: np.exp(-(scene.apart(i, j) ** 2) / (s[i] * s[j]))
    return unsure(scene.logits) * gain(scene, kernel, unsure(scene.logits))


def typical_uncertainty(scene: Scene) -> np.ndarray:
    return unsure(scene.logits) * nearest(scene, scene.apart) / scene.problem.density


def typical_herding(scene: Scene) -> np.ndarray:
    return local_herding(scene) * typical_uncertainty(scene)


def chord_herding(scene: Scene) -> np.ndarray:
    width = 1.4 * nearest(scene, scene.chord).mean()
    return unsure(scene.logits) * gain(scene, gaussian(scene.chord, width), unsure(scene.logits))


def bait(scene: Scene) -> np.ndarray:
    """In the space of the weights; the drop of sum_j w_j G_jj is taken by adding the point, not by the formula."""
    x, w = scene.inputs, 1 - np.sum(softmax(scene.logits) ** 2, 1)
    information = scene.l2 * np.eye(x.shape[1]) + sum(w[k] * np.outer(x[k], x[k]) for k in scene.chosen)

    def variance(information: np.ndarray) -> float:
        return float(np.mean(w * np.sum(x * np.linalg.solve(information, x.T).T, 1)))

    before = variance(information)
    return np.array([before - variance(information + w[i] * np.outer(x[i], x[i])) for i in range(scene.size)])


def logit_covariances(scene: Scene) -> np.ndarray:
    """Laplace's posterior covariances of the logits at each point, [P, C, C], from the whole Hessian in the weights."""
    x, p = scene.inputs, softmax(scene.logits)
    size, classes = x.shape[1], p.shape[1]
    hessian = scene.l2 * np.eye(size * classes)
    for k in scene.chosen:
        hessian += np.kron(np.diag(p[k]) - np.outer(p[k], p[k]), np.outer(x[k], x[k]))
    inverse = np.linalg.inv(hessian).reshape(classes, size, classes, size)
    return np.einsum("nd,adbe,ne->nab", x, inverse, x)


def bald(scene: Scene, draws: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((draws, scene.logits.shape[1]))
    out = []
    for mean, covariance in zip(scene.logits, logit_covariances(scene), strict=True):
        values, vectors = np.linalg.eigh(covariance)
        p = softmax(mean + noise @ (vectors * np.sqrt(np.maximum(values, 0))).T)
        out.append(entropy(p.mean(0)) - entropy(p).mean())
    return np.array(out)


def entropy(p: np.ndarray) -> np.ndarray:
    return -np.sum(p * np.log(np.maximum(p, 1e-300)), -1)


def gradient_embeddings(scene: Scene) -> np.ndarray:
    """[P, C D]: the gradients that BADGE never builds here."""
    p = softmax(scene.logits)
    factors = np.eye(p.shape[1])[p.argmax(1)] - p
    return np.einsum("nc,nd->ncd", factors, scene.problem.pool).reshape(len(p), -1)


def badge_first(scene: Scene) -> np.ndarray:
    return np.sum(gradient_embeddings(scene) ** 2, 1)


def badge_later(scene: Scene) -> np.ndarray:
    """Squared distances to the nearest of this step's picks, which its draw is proportional to."""
    g = gradient_embeddings(scene)
    return np.min([np.sum((g - g[i]) ** 2, 1) for i in scene.pending], 0)


def ball_radius(points: np.ndarray, clusters: np.ndarray, pure: float = 0.95) -> float:
    """The largest of all distances at which open balls lie in one cluster, for a share of the points."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    best = 0.0
    foreign = clusters[:, None] != clusters
    for radius in np.unique(apart):
        if np.mean(~np.any((apart < radius) & foreign, 1)) >= pure:
            best = float(radius)
    return best


def prob_cover(scene: Scene, classes: int) -> np.ndarray:
    """Numbers of points that each ball would newly cover."""
    points = scene.problem.pool / np.linalg.norm(scene.problem.pool, axis=1, keepdims=True)
    radius = ball_radius(points, KMeans(classes, n_init=10, random_state=0).fit_predict(points))
    within = [
        {j for j in range(scene.size) if j == i or np.linalg.norm(points[i] - points[j]) < radius}
        for i in range(scene.size)
    ]
    covered = set().union(*(within[k] for k in scene.chosen))
    return np.array([float(len(each - covered)) for each in within])


def fit(x: np.ndarray, y: np.ndarray, classes: int, l2: float) -> np.ndarray:
    """Weights [D, C] of logistic regression with all classes, those without a label too."""

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        w = flat.reshape(-1, classes)
        z = x @ w
        value = np.sum(logsumexp(z, axis=1) - z[np.arange(len(y)), y]) + l2 / 2 * np.sum(w**2)
        error = softmax(z) - np.eye(classes)[y]
        return float(value), (x.T @ error + l2 * w).ravel()

    found = minimize(loss, np.zeros(x.shape[1] * classes), jac=True, method="L-BFGS-B", options={"maxiter": 5000})
    return found.x.reshape(-1, classes)


def calibration_error(logits: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    p = softmax(logits)
    confidence, right = p.max(1), p.argmax(1) == labels
    total = 0.0
    for low in np.arange(bins) / bins:
        inside = (confidence > low) & (confidence <= low + 1 / bins)
        total += abs(np.sum(right[inside]) - np.sum(confidence[inside]))
    return total / len(labels)


def calibration_errors(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """The temperatures, and the expected calibration error that each leaves on the last labels."""
    count = int(0.7 * len(scene.known) + 1e-9)
    first, last = scene.known[:count], scene.known[count:]
    labels = scene.problem.pool_labels
    weights = fit(scene.inputs[first], labels[first], scene.problem.classes, scene.l2)
    temperatures = np.arange(10, 200) / 10
    logits = scene.inputs[last] @ weights
    return temperatures, np.array([calibration_error(logits / t, labels[last]) for t in temperatures])


def soft_accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    ahead = np.array([z[y] - max(np.delete(z, y)) for z, y in zip(logits, labels, strict=True)])
    return float(np.mean(expit(ahead / (0.3 * np.mean(np.abs(ahead))))))


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(logits.argmax(1) == labels))


def with_label(scene: Scene, point: int) -> np.ndarray:
    """Logits of the hold-out rows once `point` is labelled as well, by scikit-learn."""
    rows = [*scene.chosen, point]
    weights = reference.logistic(scene.l2)(scene.inputs[rows], scene.problem.pool_labels[rows], scene.problem.classes)
    return with_one(scene.problem.holdout) @ weights
