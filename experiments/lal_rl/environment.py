"""LAL-RL's environment: logistic regression on the data, distances between the data, one label a step."""

from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import pdist, squareform
from sklearn.linear_model import LogisticRegression


class Data(NamedTuple):
    """Standardised data, and the labels that an episode may come to see."""

    pool: np.ndarray  # [P, D]
    pool_labels: np.ndarray  # [P]
    state: np.ndarray  # [S, D] set aside for the state
    holdout: np.ndarray  # [H, D] gives the reward
    holdout_labels: np.ndarray  # [H]


class Observation(NamedTuple):
    """What the agent sees."""

    state: np.ndarray  # [S] probabilities of class 0 of the set-aside points, sorted
    actions: np.ndarray  # [U, 3] see `Episode.observe`
    rows: np.ndarray  # [U] pool rows that the actions label


class Episode:
    """One episode: distances computed anew, a classifier fitted from scratch after every label."""

    def __init__(self, data: Data, initial: np.ndarray, classifier: Any = None):
        """Labels the pool rows `initial` [I]; `classifier` is scikit-learn's, by default as LAL-RL has it."""
        self.data, self.labelled = data, list(initial)
        self.classifier = LogisticRegression() if classifier is None else classifier
        self.distances = squareform(pdist(data.pool, "cosine"))  # [P, P]
        self.quality = self._fit()

    def observe(self) -> Observation:
        """The state, and for each unlabelled point in the authors' order: the probability of class 0, the mean
        distance to the unlabelled points, and the mean distance to the labelled points."""
        open_ = np.ones(len(self.data.pool), bool)
        open_[self.labelled] = False
        rows = np.flatnonzero(open_)
        actions = np.stack(
            [
                self.classifier.predict_proba(self.data.pool[rows])[:, 0],
                self.distances[np.ix_(rows, rows)].mean(1),
                self.distances[np.ix_(rows, self.labelled)].mean(1),
            ],
            1,
        )
        return Observation(np.sort(self.classifier.predict_proba(self.data.state)[:, 0]), actions, rows)

    def step(self, row: int) -> float:
        """Labels a pool row and gives the reward, the gain in accuracy on the hold-out points."""
        self.labelled.append(row)
        before, self.quality = self.quality, self._fit()
        return self.quality - before

    def _fit(self) -> float:
        self.classifier.fit(self.data.pool[self.labelled], self.data.pool_labels[self.labelled])
        return float(self.classifier.score(self.data.holdout, self.data.holdout_labels))


def initial_set(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random pool row of each class: [C]."""
    return np.array([rng.choice(np.flatnonzero(labels == c)) for c in np.unique(labels)])
