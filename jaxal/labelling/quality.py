"""How good the classifier is, from images drawn by lot, and whether more labels are worth it."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

ENOUGH_TESTS = 10  # below, no sentence is built on the accuracy
RESAMPLES = 200  # of the test images, for the interval of a forecast
STABLE = 0.99  # kappa between the predictions of successive classifiers: Bloodgood and Vijay-Shanker 2009
STABLE_ROUNDS = 3  # over which it is averaged, as they do
WORTH = 0.01  # accuracy that as many labels again must promise to be worth their while


class Accuracy(NamedTuple):
    """Share of right predictions on test images."""

    right: int
    tests: int
    low: float  # 95% interval, Wilson's
    high: float

    @property
    def value(self) -> float:
        """The share; NaN without tests."""
        return self.right / self.tests if self.tests else math.nan


class Calibration(NamedTuple):
    """Whether probabilities mean what they say."""

    confidence: float  # mean probability of the predicted class
    accuracy: float
    brier: float  # mean squared error of all classes' probabilities: 0 is best
    temperature: float  # that logits are divided by
    brier_calibrated: float  # with a temperature for each test image that was found without it


class Point(NamedTuple):
    """A point of the learning curve."""

    labels: int
    accuracy: float


class Forecast(NamedTuple):
    """What more labels are expected to bring."""

    labels: int
    accuracy: float
    gain: float  # over the present
    low: float  # 95% interval of the gain
    high: float


class Stability(NamedTuple):
    """How much the last labels changed."""

    labels: int  # of the last round
    changed: float  # share of all images that are predicted otherwise since then
    kappa: float  # agreement beyond chance of successive predictions, the mean over the rounds
    rounds: int  # up to `STABLE_ROUNDS`


def accuracy(right: np.ndarray) -> Accuracy:
    """right: [t] bool, of test images drawn uniformly. Without any the interval is 0 to 1."""
    tests, hits = len(right), int(np.sum(right))
    if not tests:
        return Accuracy(0, 0, 0.0, 1.0)
    from scipy import stats  # here, as it takes long to import and few commands need it

    interval = stats.binomtest(hits, tests).proportion_ci(0.95, method="wilson")
    return Accuracy(hits, tests, float(interval.low), float(interval.high))


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that is likeliest for test images, with a prior log T ~ N(0, 1/2) that holds it near 1.

    Args:
      logits: [t, C] float; images of a class that the classifier does not know (-inf) have no say.
      labels: [t] int; with none at all the temperature is 1.
    """
    known = np.isfinite(logits[np.arange(len(labels)), labels])
    logits, labels = logits[known], labels[known]

    def loss(log_temperature: float) -> float:
        z = logits / math.exp(log_temperature)
        likelihood = z[np.arange(len(labels)), labels] - _log_sum(z)
        return -float(np.sum(likelihood)) + (log_temperature / 0.5) ** 2 / 2

    if not len(labels):
        return 1.0
    from scipy import optimize

    found: Any = optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded")
    return math.exp(found.x)


def calibration(logits: np.ndarray, labels: np.ndarray) -> Calibration | None:
    """Of test images: logits [t, C], labels [t]. None without any."""
    if not len(labels):
        return None
    others = [np.arange(len(labels)) != i for i in range(len(labels))]
    own = np.array([fit_temperature(logits[rest], labels[rest]) for rest in others])
    plain, calm = np.exp(_log_softmax(logits)), np.exp(_log_softmax(logits / own[:, None]))
    truth = np.eye(logits.shape[1])[labels]
    brier = lambda p: float(np.mean(np.sum((p - truth) ** 2, -1)))
    right = float(np.mean(np.argmax(logits, -1) == labels))
    return Calibration(float(np.mean(plain.max(-1))), right, brier(plain), fit_temperature(logits, labels), brier(calm))


def curve(labels: Sequence[int], right: np.ndarray) -> list[Point]:
    """labels: [k] rising, of successive classifiers; right: [k, t] bool, of the test images that are known by now."""
    return [Point(*point) for point in zip(labels, right.mean(1).tolist(), strict=True)] if right.shape[1] else []


def forecast(labels: Sequence[int], right: np.ndarray) -> Forecast | None:
    """What as many labels again are expected to bring, by an inverse power law a - b n^-c through the curve.

    The interval resamples the test images. None with fewer than four points of the curve, or `ENOUGH_TESTS` tests.
    Arguments as for `curve`.
    """
    counts = np.array(labels, float)
    if len(counts) < 4 or right.shape[1] < ENOUGH_TESTS:
        return None
    right = right.astype(float)
    rng = np.random.default_rng(0)
    drawn = rng.integers(right.shape[1], size=(RESAMPLES, right.shape[1]))
    low, high = np.quantile([_gain(counts, right[:, tests].mean(1)) for tests in drawn], [0.025, 0.975])
    accuracies = right.mean(1)
    gain = _gain(counts, accuracies)
    return Forecast(int(2 * counts[-1]), float(accuracies[-1]) + gain, gain, float(low), float(high))


def _gain(counts: np.ndarray, accuracies: np.ndarray) -> float:
    """Gain from counts[-1] labels to twice as many, on the curve a - b n^-c that fits best; b >= 0, so it never falls.

    c is searched on a grid; a and b are then a weighted line, later points counting more.
    """
    best = (math.inf, 0.0)
    weight = np.sqrt(counts / counts.sum())
    for c in np.linspace(0.1, 1.5, 15):
        x = counts**-c
        design = np.stack([np.ones_like(x), -x], 1) * weight[:, None]
        (a, b), *_ = np.linalg.lstsq(design, accuracies * weight, rcond=None)
        if b < 0:
            a, b = np.average(accuracies, weights=weight**2), 0.0
        if a > 1:  # no classifier is more than always right
            a, b = 1.0, max(float(np.sum(weight**2 * x * (1 - accuracies)) / np.sum((weight * x) ** 2)), 0.0)
        error = float(np.sum((weight * (a - b * x - accuracies)) ** 2))
        if error < best[0]:
            best = (error, float(b * (1 - 2**-c) * counts[-1] ** -c))
    return min(best[1], 1 - float(accuracies[-1]))


def rounds(labels: Sequence[int]) -> list[int]:
    """Places in `labels` [k], rising, of the classifiers whose predictions are compared; the last of them is the last.

    Each has 10 labels, and a tenth, more than the one before: a single label changes little whatever is left to learn.
    """
    places = [len(labels) - 1] if labels else []
    for place in range(len(labels) - 2, -1, -1):
        now = labels[places[0]]
        if len(places) <= STABLE_ROUNDS and labels[place] <= now - max(10, now / 10):
            places.insert(0, place)
    return places


def stability(labels: Sequence[int], predictions: Sequence[np.ndarray]) -> Stability | None:
    """Of the classifiers that `rounds` has chosen; None with only one.

    labels: [r]; predictions: [r], what each of them says of all images, [m] int.
    """
    if len(labels) < 2:
        return None
    kappas = [cohen(a, b) for a, b in itertools.pairwise(predictions)]
    changed = float(np.mean(predictions[-1] != predictions[-2]))
    return Stability(labels[-1] - labels[-2], changed, float(np.mean(kappas)), len(kappas))


def cohen(a: np.ndarray, b: np.ndarray) -> float:
    """Agreement of two predictions [m] beyond chance; 1 where they are all the same."""
    classes = int(max(a.max(), b.max())) + 1
    observed = float(np.mean(a == b))
    shares = [np.bincount(x, minlength=classes) / len(x) for x in (a, b)]
    chance = float(shares[0] @ shares[1])
    return 1.0 if observed == 1 else (observed - chance) / (1 - chance)


def verdict(found: Accuracy, ahead: Forecast | None, steady: Stability | None, left: int) -> str:
    """Go on, or stop, and why: a sentence."""
    if left == 0:
        return "Stop: there is nothing left to label."
    known = (
        f"{found.value:.0%} of {found.tests} test images are right (95% interval {found.low:.0%} to {found.high:.0%})"
    )
    if found.tests < ENOUGH_TESTS:
        return (
            f"Go on: {found.tests} of the {ENOUGH_TESTS} test images that a first judgement needs are answered; they "
            "come among the questions by themselves."
        )
    if steady is None or ahead is None:
        return f"Go on: {known}; the curve is too short for a forecast."
    changed = f"the last {steady.labels} labels changed {steady.changed:.1%} of the predictions"
    more = (
        f"{ahead.labels // 2} more labels are expected to bring {100 * ahead.gain:+.1f} points "
        f"({100 * ahead.low:+.1f} to {100 * ahead.high:+.1f})"
    )
    if steady.rounds >= STABLE_ROUNDS and steady.kappa >= STABLE and ahead.gain < WORTH:
        return f"Stop: {changed}, and {more}; {known}."
    return f"Go on: {changed}, and {more}; {known}."


def _log_sum(z: np.ndarray) -> np.ndarray:
    top = z.max(-1)
    return top + np.log(np.sum(np.exp(z - top[:, None]), -1))


def _log_softmax(z: np.ndarray) -> np.ndarray:
    return z - _log_sum(z)[:, None]
