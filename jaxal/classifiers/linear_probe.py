"""A linear head on frozen latents."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxal.classifiers.classifier import Classifier, Fitted, Labelled
from jaxal.config import ProbeConfig
from jaxal.tasks import distances
from jaxal.tasks.task import Task, columns, distance_columns, masked_logits, own_latents


class ProbeModel(NamedTuple):
    """State of the linear probe. Unused slots hold zeros (and 1/l2 on the diagonal of `inverse`)."""

    alpha: jax.Array  # [B, C] dual coefficients
    columns: jax.Array  # [B, R] inner products of the labelled points with all rows
    inverse: jax.Array  # [B, B] inverse of K / 2 + l2 I, K the labelled points' Gram matrix
    weights: jax.Array  # [D, C], for the solver that works on them; [0, C] otherwise
    moments: optax.OptState  # of the weights


def linear_probe(config: ProbeConfig, metric: str) -> Classifier:
    """A linear head on frozen latents.

    Args:
      config: the solver and its settings. `newton` minimises sum of cross-entropies + l2 / 2 |W|^2 (the constant's
        weight included) by a fixed bound on the Hessian (Boehning 1992) with Nesterov momentum and gradient restarts;
        `gd` takes `epochs` full-batch steps on the mean cross-entropy, exactly as on the [D, C] weights; `adam` takes
        them with Adam, on the weights.
      metric: distance between latents.
    """
    solve = {"newton": _newton, "gd": _gradient_descent, "adam": _adam}[config.solver]

    def init(task: Task, slots: int) -> Fitted:
        rows, classes = sum(task.shape), task.class_mask.shape[-1]
        width = own_latents(task).shape[-1] if config.solver == "adam" else 0
        weights = jnp.zeros((width, classes))
        model = ProbeModel(
            alpha=jnp.zeros((slots, classes)),
            columns=jnp.zeros((slots, rows)),
            inverse=jnp.eye(slots) / config.l2,
            weights=weights,
            moments=optax.adam(config.learning_rate).init(weights),
        )
        return Fitted(masked_logits(task, jnp.zeros((rows, classes))), task.geometry, model)

    def fit(task, fitted, labelled, start, size, key) -> Fitted:
        del key
        picks, new = (jax.lax.dynamic_slice_in_dim(x, start, size) for x in labelled)
        added = jnp.where(new[:, None], columns(task, picks), 0.0)
        everything = jax.lax.dynamic_update_slice_in_dim(fitted.model.columns, added, start, 0)
        model = fitted.model._replace(columns=everything)
        kernel = jnp.where(labelled.mask[None, :], everything[:, labelled.rows], 0.0)
        with jax.default_matmul_precision("highest"):
            if config.solver == "newton":
                model = model._replace(inverse=_border(model.inverse, kernel, start, size, config.l2))
            model, logits = solve(config, task, model, kernel, labelled)
        geometry = distances.extend(fitted.geometry, distance_columns(metric, task, added, picks), new)
        return Fitted(masked_logits(task, logits), geometry, model)

    def presume(task, fitted, row) -> Fitted:
        pick = row[None]
        column = distance_columns(metric, task, columns(task, pick), pick)
        return fitted._replace(geometry=distances.extend(fitted.geometry, column, jnp.ones(1, bool)))

    return Classifier(init, fit, presume)


def _all_logits(columns: jax.Array, alpha: jax.Array) -> jax.Array:
    """columns [B, R], alpha [B, C] -> [R, C]; in the layout that is twice as fast on a CPU, which XLA would undo."""
    return jax.lax.optimization_barrier(alpha.T @ columns).T


def _targets(task: Task, labelled: Labelled, classes: int) -> jax.Array:
    """[B, C] one-hot labels, zero where a slot is unused."""
    return jax.nn.one_hot(jnp.where(labelled.mask, labelled.labels(task), -1), classes)


def _border(inverse: jax.Array, kernel: jax.Array, start: jax.Array, size: int, l2: float) -> jax.Array:
    """The inverse of K / 2 + l2 I once slots start..start+size of K [B, B] are filled, by bordering.

    `inverse` [B, B] is the one before, in which those slots are decoupled (1 / l2 on the diagonal).
    """
    slots = len(inverse)
    selection = jnp.eye(slots)[:, :size] if size == slots else jax.nn.one_hot(start + jnp.arange(size), slots).T
    rows = jax.lax.dynamic_slice_in_dim(kernel, start, size) / 2  # [N, B]
    old = inverse - selection @ selection.T / l2
    coupling = old @ rows.T  # [B, N]; the new slots' rows of `old` are zero
    own = jax.lax.dynamic_slice_in_dim(rows, start, size, 1) + l2 * jnp.eye(size)
    schur = own - rows @ coupling
    edge = coupling - selection
    return old + edge @ (edge.T / schur if size == 1 else jnp.linalg.solve(schur, edge.T))


def _newton(config, task, model, kernel, labelled):
    """Boehning's step is alpha' = alpha - (K / 2 + l2 I)^-1 (p - y + l2 alpha).

    With f = K alpha and g = f - 2 (p - y) it becomes alpha' = (K / 2 + l2 I)^-1 g / 2 and f' = g - 2 l2 alpha': one
    product an iteration, and momentum may be taken on f alone.
    """
    targets = _targets(task, labelled, model.alpha.shape[-1])
    used = labelled.mask[:, None]

    def step(carry, _):
        point, last, alpha, momentum = carry
        error = jnp.where(used, jax.nn.softmax(masked_logits(task, point), axis=-1), 0.0) - targets
        ascent = point - 2 * error
        new_alpha = model.inverse @ ascent / 2
        new = ascent - 2 * config.l2 * new_alpha
        overshot = jnp.sum((point - new) * (new_alpha - alpha)) > 0
        momentum = jnp.where(overshot, 1.0, momentum)
        following = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        return (new + (momentum - 1) / following * (new - last), new, new_alpha, following), None

    begin = kernel.T @ model.alpha
    carry = (begin, begin, model.alpha, jnp.ones(()))
    (_, _, alpha, _), _ = jax.lax.scan(step, carry, None, length=config.iterations)
    return model._replace(alpha=alpha), _all_logits(model.columns, alpha)


def _gradient_descent(config, task, model, kernel, labelled):
    """Full-batch descent on the mean cross-entropy: alpha' = alpha - lr (p - y) / m."""
    targets = _targets(task, labelled, model.alpha.shape[-1])
    rate = config.learning_rate / jnp.maximum(jnp.sum(labelled.mask), 1)
    used = labelled.mask[:, None]

    def epoch(alpha, _):
        probabilities = jax.nn.softmax(masked_logits(task, kernel.T @ alpha), axis=-1)
        return alpha - rate * jnp.where(used, probabilities - targets, 0.0), None

    begin = jnp.zeros_like(model.alpha) if config.restart else model.alpha
    alpha, _ = jax.lax.scan(epoch, begin, None, length=config.epochs)
    return model._replace(alpha=alpha), _all_logits(model.columns, alpha)


def _adam(config, task, model, kernel, labelled):
    """Full-batch Adam on the [D, C] weights; where a fit goes on from the last, so do its moments."""
    del kernel
    latents = own_latents(task)
    inputs = latents[labelled.rows]
    targets = _targets(task, labelled, model.alpha.shape[-1])
    count = jnp.maximum(jnp.sum(labelled.mask), 1)
    adam = optax.adam(config.learning_rate)

    def loss(weights):
        logits = jnp.where(task.class_mask, inputs @ weights, -1e9)
        return jnp.sum(optax.softmax_cross_entropy(logits, targets) * labelled.mask) / count

    def epoch(carry, _):
        weights, moments = carry
        updates, moments = adam.update(jax.grad(loss)(weights), moments)
        return (weights + updates, moments), None

    begin = (model.weights, model.moments)
    begin = jax.tree.map(jnp.zeros_like, begin) if config.restart else begin
    (weights, moments), _ = jax.lax.scan(epoch, begin, None, length=config.epochs)
    return model._replace(weights=weights, moments=moments), latents @ weights
