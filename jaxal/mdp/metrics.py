"""Quality of a classifier on the hold-out rows, from logits [H, C] and labels [H] int32 (-1: padding, not counted).

Classes that no row has are left out of averages over classes, which are NaN where all rows are of one class.
"""

from typing import Protocol

import jax
import jax.numpy as jnp

from jaxal.registry import Registry


class Metric(Protocol):
    """A quality of predictions; more is better."""

    def __call__(self, logits: jax.Array, labels: jax.Array, /) -> jax.Array:
        """Logits [H, C], minus infinity for classes that there are not, and labels [H] int32 -> []."""
        ...


def _mean_over_rows(values: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean of `values` [H] over the rows that are not padding."""
    used = labels >= 0
    return jnp.sum(jnp.where(used, values, 0.0)) / jnp.maximum(jnp.sum(used), 1)


def accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Share of the rows whose largest logit [H, C] is their label's [H]; padding (label -1) does not count."""
    return _mean_over_rows((jnp.argmax(logits, -1) == labels).astype(jnp.float32), labels)


def true_class_probability(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean probability of the true class."""
    return _mean_over_rows(jnp.exp(_true_log_probability(logits, labels)), labels)


def negative_log_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean log-probability of the true class, each clipped from below at log(1e-6)."""
    return _mean_over_rows(jnp.maximum(_true_log_probability(logits, labels), jnp.log(1e-6)), labels)


def soft_accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """A smooth accuracy that confidence alone cannot raise: all logits times a number change nothing.

    It is the mean of sigmoid(d / (0.3 s)), where d is the true class's logit less the largest other one, and s is this
    classifier's own mean |d|.
    """
    true = jnp.arange(logits.shape[-1]) == labels[:, None]
    ahead = jnp.sum(jnp.where(true, logits, 0.0), -1) - jnp.max(jnp.where(true, -jnp.inf, logits), -1)
    scale = 0.3 * _mean_over_rows(jnp.abs(ahead), labels)
    return _mean_over_rows(jax.nn.sigmoid(ahead / jnp.maximum(scale, 1e-12)), labels)


def _true_log_probability(logits: jax.Array, labels: jax.Array) -> jax.Array:
    picked = jnp.take_along_axis(logits, jnp.maximum(labels, 0)[:, None], -1)[:, 0]
    return picked - jax.nn.logsumexp(logits, -1)


def _one_hot(labels: jax.Array, classes: int) -> jax.Array:
    return jax.nn.one_hot(labels, classes)  # zero rows for padding


def _class_mean(values: jax.Array, counted: jax.Array, truth: jax.Array) -> jax.Array:
    """Mean of `values` [C] over the classes that are `counted` [C] bool; NaN where the rows `truth` [H, C] have one."""
    several = jnp.sum(jnp.any(truth > 0, 0)) > 1
    mean = jnp.sum(jnp.where(counted, values, 0.0)) / jnp.maximum(jnp.sum(counted), 1)
    return jnp.where(several, mean, jnp.nan)


def balanced_accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean recall over the classes."""
    truth = _one_hot(labels, logits.shape[-1])
    predicted = _one_hot(jnp.argmax(logits, -1), logits.shape[-1])
    rows = jnp.sum(truth, 0)
    return _class_mean(jnp.sum(truth * predicted, 0) / jnp.maximum(rows, 1), rows > 0, truth)


def macro_f1(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean F1 over the classes that are present or predicted, as in scikit-learn."""
    truth = _one_hot(labels, logits.shape[-1])
    predicted = _one_hot(jnp.argmax(logits, -1), logits.shape[-1]) * (labels >= 0)[:, None]
    both = jnp.sum(truth, 0) + jnp.sum(predicted, 0)
    return _class_mean(2 * jnp.sum(truth * predicted, 0) / jnp.maximum(both, 1), both > 0, truth)


def auroc(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Area under the ROC curve, one class against the rest, averaged over the classes; ties count half."""
    probabilities = jnp.where((labels >= 0)[:, None], jax.nn.softmax(logits), -1.0)
    truth = _one_hot(labels, logits.shape[-1])
    padding = jnp.sum(labels < 0)

    def one(scores: jax.Array, positive: jax.Array) -> tuple[jax.Array, jax.Array]:
        ordered = jnp.sort(scores)
        below, upto = (jnp.searchsorted(ordered, scores, side) for side in ("left", "right"))
        ranks = (below + upto + 1) / 2 - padding
        n, m = jnp.sum(positive), jnp.sum(labels >= 0) - jnp.sum(positive)
        area = (jnp.sum(ranks * positive) - n * (n + 1) / 2) / jnp.maximum(n * m, 1)
        return area, (n > 0) & (m > 0)

    return _class_mean(*jax.vmap(one, (1, 1))(probabilities, truth), truth)


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "auroc": auroc,
}
"""What is reported."""

REWARDS: Registry[Metric] = Registry(
    "reward",
    {
        **METRICS,
        "probability": true_class_probability,
        "log_loss": negative_log_loss,
        "soft_accuracy": soft_accuracy,
    },
)
"""What a reward may be the gain in."""
