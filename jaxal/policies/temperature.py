"""The temperature that calibrates a classifier on the last of its labels (Bae, Oliveira and Sutherland 2025)."""

import chex
import jax
import jax.numpy as jnp

from jaxal.classifiers.linear_probe import Begin, climb
from jaxal.mdp.pool import PoolView
from jaxal.tasks.inverse import positive_inverse
from jaxal.tasks.products import product
from jaxal.tasks.task import masked_logits

TEMPERATURES = tuple(t / 10 for t in range(10, 200))  # 1.0 to 19.9
FITTED_TENTHS = 7  # of the labels, the first ones; the others calibrate
BINS = 15  # of confidence, all of one width
ITERATIONS = 100  # of a fit from zero


def temperature(view: PoolView, l2: jax.Array) -> jax.Array:
    """The temperature in `TEMPERATURES` whose expected calibration error is the smallest: [].

    A linear probe with `l2` [] is fitted to the first 70% of the labels, and calibrated on the rest. Points picked in
    this step have no say. Of equal ones the smallest temperature is taken, so that it is 1 where nothing calibrates.
    """
    rows, place = view.chosen.rows, jnp.cumsum(view.known)  # from 1
    fitted = view.known & (10 * place <= FITTED_TENTHS * place[-1])
    others = view.known & ~fitted
    with jax.default_matmul_precision("highest"):
        kernel = jnp.where(fitted, view.products(rows, rows) + 1.0, 0.0)  # [B, B], of all with those that are fitted
        among = jnp.where(fitted[:, None], kernel, 0.0)
        targets = jax.nn.one_hot(jnp.where(fitted, view.labels, -1), view.logits.shape[-1])
        inverse = positive_inverse(among / 2 + l2 * jnp.eye(len(rows)))
        zero = jnp.zeros_like(targets)
        multiply = lambda ascent: inverse @ ascent
        alpha = climb(view.task, multiply, Begin(zero, zero), targets, fitted, l2, ITERATIONS)
        logits = masked_logits(view.task, kernel @ alpha)
    errors = jax.vmap(lambda t: calibration_error(logits / t, view.labels, others))(jnp.array(TEMPERATURES))
    return jnp.array(TEMPERATURES)[jnp.argmin(errors)]


def calibration_error(logits: jax.Array, labels: jax.Array, used: jax.Array) -> jax.Array:
    """Expected calibration error of `logits` [n, C] on the `labels` [n] that are `used` [n] (Guo et al. 2017): []."""
    chex.assert_rank([logits, labels, used], [2, 1, 1])
    confidence = jnp.max(jax.nn.softmax(logits), -1)
    right = (jnp.argmax(logits, -1) == labels).astype(jnp.float32)
    members = jax.nn.one_hot(jnp.ceil(confidence * BINS).astype(jnp.int32) - 1, BINS, axis=0) * used
    return jnp.sum(jnp.abs(product(members, right - confidence))) / jnp.maximum(jnp.sum(used), 1)
