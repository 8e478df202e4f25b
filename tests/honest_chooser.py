"""A small chooser for tests: margin of scikit-learn's logistic regression, farthest first while nothing is labelled.

Pending rows count as labelled with their predicted class, as the contract wants it, and each pick is presumed before
the next. Nothing of it is compiled.
"""

from typing import Any, cast

import numpy as np
from sklearn.linear_model import LogisticRegression

from jaxal.labelling.choosing import Chooser
from jaxal.pools import Head, PreparedPool, Survey
from jaxal.suggestion import Suggestion
from jaxal.tasks.distances import Geometry

NOTHING = Survey(np.zeros(0), np.zeros(0), Geometry(*np.zeros((len(Geometry._fields), 0))))


def prepare(latents, *, survey) -> PreparedPool:
    """Latents as they are."""
    del survey
    return PreparedPool(cast(Any, np.asarray(latents, np.float64)), NOTHING, cast(Any, None))


def fit(latents, labels, classes) -> Head:
    """The classifier of the labelled rows; constant where they are of one class, or none."""
    rows = np.flatnonzero(labels >= 0)
    kernel, bias = np.zeros((latents.shape[1], classes), np.float32), np.full(classes, 0.0, np.float32)
    present = np.unique(labels[rows])
    if len(present) == 1:
        bias[present[0]] = 2.0
    if len(present) < 2:
        return Head(kernel, bias)
    mean, deviation = latents.mean(0), latents.std(0) + 1e-6
    model = LogisticRegression(C=1.0, max_iter=300).fit((latents[rows] - mean) / deviation, labels[rows])
    coefficients, intercepts = model.coef_, model.intercept_
    if len(present) == 2:
        coefficients, intercepts = (
            np.stack([-coefficients[0] / 2, coefficients[0] / 2]),
            intercepts[0] * np.array([-0.5, 0.5]),
        )
    bias[:] = -np.inf
    kernel[:, present] = (coefficients / deviation).T
    bias[present] = intercepts - coefficients @ (mean / deviation)
    return Head(kernel, bias)


def suggest(pool, labels, n, *, classes, pending, key):
    """See `jaxal.suggest`; the key is not used."""
    del key
    latents = cast(Any, pool.bank)
    head = fit(latents, labels, classes)
    probabilities = head.probabilities(latents).astype(np.float32)
    predicted = probabilities.argmax(-1).astype(np.int32)
    known = labels >= 0
    known[pending] = True
    ranked = np.sort(np.concatenate([probabilities, np.zeros((len(latents), 1))], 1), -1)
    unsure = 1 - (ranked[:, -1] - ranked[:, -2])
    far = np.full(len(latents), np.inf)
    distance = lambda row: np.linalg.norm(latents - latents[row], axis=-1)
    for row in np.flatnonzero(known):
        far = np.minimum(far, distance(row))
    central = -np.linalg.norm(latents - latents.mean(0), axis=-1)
    picks, scores, reasons = [], [], []
    for _ in range(min(n, int(np.sum(~known)))):
        if not known.any() and not picks:
            score = central
        else:
            score = unsure if np.any(labels >= 0) else far
        score = np.where(known, -np.inf, score)
        row = int(np.argmax(score))
        picks.append(row)
        scores.append(float(score[row]))
        scale = np.median(far[np.isfinite(far)]) if np.isfinite(far).any() else 1.0
        reasons.append([unsure[row], min(far[row] / (2 * scale + 1e-9), 1.0), 0.5 if picks[1:] else 1.0])
        known[row] = True
        far = np.minimum(far, distance(row))
    return Suggestion(
        np.array(picks, int),
        np.array(scores, float),
        predicted,
        probabilities,
        np.array(reasons, np.float32).reshape(-1, 3),
        head,
    )


HONEST = Chooser("margin of the tests", "logistic regression of the tests", suggest, prepare)


def honest(strategy: str) -> Chooser:
    """That chooser, whatever the strategy."""
    del strategy
    return HONEST
