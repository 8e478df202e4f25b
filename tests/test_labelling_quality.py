"""Accuracy and its interval, calibration, forecast, stability and the sentence, against references and simulations."""

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from jaxal.labelling import quality


def test_the_interval_is_wilsons_and_covers():
    found = quality.accuracy(np.array([True] * 8 + [False] * 2))
    z, n, p = 1.959964, 10, 0.8
    center, half = (
        (p + z * z / 2 / n) / (1 + z * z / n),
        z * math.sqrt(p * (1 - p) / n + (z / 2 / n) ** 2) / (1 + z * z / n),
    )
    assert (found.right, found.tests, found.value) == (8, 10, 0.8)
    assert (found.low, found.high) == pytest.approx((center - half, center + half), abs=1e-5)
    assert quality.accuracy(np.zeros(0, bool))[2:] == (0.0, 1.0)
    rng = np.random.default_rng(0)
    covered = [(f := quality.accuracy(rng.random(20) < 0.85)).low <= 0.85 <= f.high for _ in range(500)]
    assert np.mean(covered) > 0.92


def test_the_temperature_is_found_and_held_near_one():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5000, 3)) * 2
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    labels = np.array([rng.choice(3, p=p) for p in chances])
    assert quality.fit_temperature(3 * logits, labels) == pytest.approx(3, rel=0.08)  # three times too sure
    assert quality.fit_temperature(logits[:0], labels[:0]) == 1.0
    assert 0.5 < quality.fit_temperature(100 * np.eye(3)[labels[:2]], labels[:2]) < 1.5
    found = quality.calibration(3 * logits[:300], labels[:300])
    assert found is not None
    assert found.brier_calibrated < found.brier and found.confidence > found.accuracy
    assert quality.calibration(logits[:0], labels[:0]) is None


def simulated(counts, curve, tests, seed=0):
    """Right or wrong on test images that are each learned for good at some number of labels."""
    difficulty = np.random.default_rng(seed).random(tests)
    return np.array([difficulty < curve(n) for n in counts])


def test_a_forecast_sees_a_curve_that_still_rises_and_one_that_does_not():
    counts = list(range(10, 101, 10))
    rising = lambda n: 0.95 - 1.5 * n**-0.5
    found = quality.forecast(counts, simulated(counts, rising, 400))
    assert found is not None and found.labels == 200
    assert found.low <= rising(200) - rising(100) + 0.02 and found.high >= rising(200) - rising(100) - 0.02
    assert found.gain > 0.02
    flat = quality.forecast(counts, simulated(counts, lambda n: 0.9, 400))
    assert flat is not None and abs(flat.gain) < 0.005
    assert quality.forecast(counts[:3], simulated(counts[:3], rising, 400)) is None
    assert quality.forecast(counts, simulated(counts, rising, 5)) is None


def test_kappa_is_scikit_learns():
    rng = np.random.default_rng(0)
    a, b = rng.integers(3, size=(2, 200))
    assert quality.cohen(a, b) == pytest.approx(cohen_kappa_score(a, b))
    assert quality.cohen(a, a) == 1.0 == quality.cohen(a * 0, a * 0)


def test_stability_counts_what_the_last_labels_changed():
    a = np.zeros(100, int)
    a[:50] = 1
    b = a.copy()
    b[:10] = 0
    found = quality.stability([10, 20, 30], [a, b, b])
    assert found is not None
    assert (found.labels, found.changed, found.rounds) == (10, 0.0, 2)
    assert found.kappa == pytest.approx((quality.cohen(a, b) + 1) / 2)
    assert quality.stability([10], [a]) is None


def test_rounds_are_ten_labels_or_a_tenth_apart():
    of = lambda labels: [labels[place] for place in quality.rounds(labels)]
    assert of([]) == [] and of([3]) == [3] and of([3, 12]) == [12] and of([3, 13]) == [3, 13]
    assert of(list(range(1, 60))) == [29, 39, 49, 59]
    assert of(list(range(5, 1001, 5))) == [725, 810, 900, 1000]


def test_the_sentence():
    good, few = quality.Accuracy(45, 50, 0.79, 0.96), quality.Accuracy(4, 5, 0.4, 0.97)
    up, flat = quality.Forecast(200, 0.95, 0.03, 0.01, 0.05), quality.Forecast(200, 0.9, 0.002, -0.01, 0.01)
    loose, firm = quality.Stability(10, 0.06, 0.9, 3), quality.Stability(10, 0.001, 0.998, 3)
    assert quality.verdict(good, flat, firm, 100).startswith("Stop: the last 10 labels changed 0.1% of the predictions")
    assert quality.verdict(good, up, firm, 100).startswith("Go on")
    assert quality.verdict(good, flat, firm._replace(rounds=2), 100).startswith("Go on")
    assert quality.verdict(good, flat, loose, 100).startswith("Go on")
    assert quality.verdict(few, flat, firm, 100).startswith("Go on: 5 of the 10 test images")
    assert quality.verdict(good, None, None, 100).startswith("Go on: 90% of 50 test images are right")
    assert quality.verdict(few, None, None, 0).startswith("Stop: there is nothing left")
