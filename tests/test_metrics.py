"""Metrics equal scikit-learn's, with padding rows and with classes that no row has."""

import jax.numpy as jnp
import numpy as np
import pytest
from reference import softmax
from reference_strategies import soft_accuracy as soft
from sklearn import metrics as sk

from jaxal.mdp.metrics import METRICS, REWARDS

ROWS, CLASSES = 60, 4


def case(seed: int, present: int = CLASSES, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of `present` classes; every prediction somewhat right."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, present, ROWS)
    labels[:present] = np.arange(present)
    logits = rng.normal(0, 1, (ROWS, CLASSES)) + np.eye(CLASSES)[labels]
    return (np.round(logits) if ties else logits).astype(np.float32), labels.astype(np.int32)


def scikit(name: str, logits: np.ndarray, labels: np.ndarray) -> float:
    predicted = np.argmax(logits, 1)
    if name == "auroc":
        p = softmax(logits.astype(np.float64)).astype(np.float32)
        present = np.unique(labels)
        return float(np.mean([sk.roc_auc_score(labels == c, p[:, c]) for c in present]))
    if name == "macro_f1":
        return float(sk.f1_score(labels, predicted, average="macro"))
    return float(
        {"accuracy": sk.accuracy_score, "balanced_accuracy": sk.balanced_accuracy_score}[name](labels, predicted)
    )


def padded(logits: np.ndarray, labels: np.ndarray, rows: int = 17) -> tuple[jnp.ndarray, jnp.ndarray]:
    """Padding rows that would be right, or wrong, for some class."""
    fill = np.random.default_rng(9).normal(0, 9, (rows, CLASSES)).astype(np.float32)
    return jnp.asarray(np.vstack([logits, fill])), jnp.asarray(np.append(labels, np.full(rows, -1)).astype(np.int32))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", METRICS)
def test_equals_scikit_learn(name, seed):
    logits, labels = case(seed)
    truth = scikit(name, logits, labels)
    assert 0.3 < truth < 0.95
    assert float(METRICS[name](jnp.asarray(logits), jnp.asarray(labels))) == pytest.approx(truth, abs=1e-5)
    assert float(METRICS[name](*padded(logits, labels))) == pytest.approx(truth, abs=1e-5)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("name", METRICS)
def test_classes_without_rows_are_left_out(name):
    logits, labels = case(3, present=3)
    truth = scikit(name, logits, labels)
    assert float(METRICS[name](*padded(logits, labels))) == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize("name", METRICS)
def test_rows_of_one_class_have_no_average_over_classes(name):
    logits, labels = case(3)
    value = float(METRICS[name](*padded(logits, np.full_like(labels, 2))))
    share = np.mean(np.argmax(logits, 1) == 2)
    assert value == pytest.approx(share) if name == "accuracy" else np.isnan(value)


@pytest.mark.parametrize("name", METRICS)
def test_classes_that_the_task_lacks_change_nothing(name):
    logits, labels = case(4)
    wider = jnp.pad(jnp.asarray(logits), ((0, 0), (0, 2)), constant_values=-jnp.inf)
    narrow = METRICS[name](jnp.asarray(logits), jnp.asarray(labels))
    assert float(METRICS[name](wider, jnp.asarray(labels))) == pytest.approx(float(narrow), abs=1e-6)


@pytest.mark.parametrize("present", [2, 4])
def test_soft_accuracy_equals_its_formula_whatever_the_scale(present):
    logits, labels = case(6, present)
    logits = logits[:, :present]
    for factor in (1.0, 0.01, 300.0):
        scaled = jnp.asarray(factor * logits)
        wider = jnp.pad(scaled, ((0, 0), (0, 2)), constant_values=-jnp.inf)
        truth = soft(logits.astype(np.float64), labels)
        assert 0.4 < truth < 0.9
        assert float(REWARDS["soft_accuracy"](scaled, jnp.asarray(labels))) == pytest.approx(truth, abs=1e-5)
        assert float(REWARDS["soft_accuracy"](wider, jnp.asarray(labels))) == pytest.approx(truth, abs=1e-5)
    assert float(REWARDS["soft_accuracy"](*padded(*case(6)))) == pytest.approx(soft(*case(6)), abs=1e-5)


def test_soft_accuracy_of_a_classifier_that_knows_nothing_is_a_half():
    assert float(REWARDS["soft_accuracy"](jnp.zeros((5, 3)), jnp.zeros(5, jnp.int32))) == 0.5


def test_auroc_counts_ties_half():
    # Two classes: with more, equal logits need not give equal probabilities.
    logits, labels = case(5, present=2, ties=True)
    logits = logits[:, :2]
    truth = sk.roc_auc_score(labels, logits[:, 1] - logits[:, 0])
    difference = logits[:, 1] - logits[:, 0]
    assert len(np.unique(difference)) < 20
    assert float(METRICS["auroc"](jnp.asarray(logits), jnp.asarray(labels))) == pytest.approx(truth, abs=1e-5)


@pytest.mark.parametrize(("name", "worst"), [("accuracy", 0), ("balanced_accuracy", 0), ("macro_f1", 0), ("auroc", 0)])
def test_more_is_better(name, worst):
    labels = np.arange(ROWS, dtype=np.int32) % CLASSES
    right = jnp.asarray(5 * np.eye(CLASSES, dtype=np.float32)[labels])
    assert float(METRICS[name](right, jnp.asarray(labels))) == pytest.approx(1)
    assert float(METRICS[name](-right, jnp.asarray(labels))) == pytest.approx(worst)
