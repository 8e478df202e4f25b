"""Quality of a classifier on the hold-out rows, from logits [H, C] and labels [H] int32 (-1: padding, not counted).

Classes that no row has are left out of class averages.
"""

import jax
import jax.numpy as jnp

from jaxal.mdp.environment import accuracy


def _one_hot(labels: jax.Array, classes: int) -> jax.Array:
    return jax.nn.one_hot(labels, classes)  # zero rows for padding


def _class_mean(values: jax.Array, present: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(present, values, 0.0)) / jnp.maximum(jnp.sum(present), 1)


def balanced_accuracy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean recall over the classes."""
    truth = _one_hot(labels, logits.shape[-1])
    predicted = _one_hot(jnp.argmax(logits, -1), logits.shape[-1])
    rows = jnp.sum(truth, 0)
    return _class_mean(jnp.sum(truth * predicted, 0) / jnp.maximum(rows, 1), rows > 0)


def macro_f1(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean F1 over the classes that are present or predicted, as in scikit-learn."""
    truth = _one_hot(labels, logits.shape[-1])
    predicted = _one_hot(jnp.argmax(logits, -1), logits.shape[-1]) * (labels >= 0)[:, None]
    both = jnp.sum(truth, 0) + jnp.sum(predicted, 0)
    return _class_mean(2 * jnp.sum(truth * predicted, 0) / jnp.maximum(both, 1), both > 0)


def auroc(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Area under the ROC curve, one class against the rest, averaged over the classes; ties count half."""
    probabilities = jnp.where((labels >= 0)[:, None], jax.nn.softmax(logits), -1.0)
    truth = _one_hot(labels, logits.shape[-1])
    padding = jnp.sum(labels < 0)

    def one(scores, positive):
        ordered = jnp.sort(scores)
        below, upto = (jnp.searchsorted(ordered, scores, side) for side in ("left", "right"))
        ranks = (below + upto + 1) / 2 - padding
        n, m = jnp.sum(positive), jnp.sum(labels >= 0) - jnp.sum(positive)
        area = (jnp.sum(ranks * positive) - n * (n + 1) / 2) / jnp.maximum(n * m, 1)
        return area, (n > 0) & (m > 0)

    return _class_mean(*jax.vmap(one, (1, 1))(probabilities, truth))


METRICS = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "macro_f1": macro_f1,
    "auroc": auroc,
}
