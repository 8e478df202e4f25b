"""The linear probe refitted with one more label, for many candidates at once: exact, and without a new factorisation.

The inverse that `newton` holds is bordered by one row for each candidate, and the iteration goes on from the fitted
coefficients, so that a handful of steps is enough.
"""

import jax
import jax.numpy as jnp

from jaxal.classifiers.classifier import Labelled
from jaxal.classifiers.linear_probe import Begin, NewtonState, ProbeModel, border, climb
from jaxal.tasks.task import Task, columns, masked_logits

ITERATIONS = 10


def refit_with_each(
    task: Task,
    model: ProbeModel,
    chosen: Labelled,
    labels: jax.Array,
    candidates: jax.Array,
    candidate_labels: jax.Array,
    l2: float | jax.Array,
    iterations: int = ITERATIONS,
) -> jax.Array:
    """Logits of the hold-out rows after one more label, for each candidate by itself.

    Args:
      task: the data.
      model: of a linear probe with the solver `newton`, fitted to the first B of the chosen points.
      chosen: [B + N] points that count as labelled; the last N were picked since the fit.
      labels: [B + N] int32 their classes, as far as is known or supposed.
      candidates: [K] int32 pool rows.
      candidate_labels: [K] int32 the class that each is supposed to have.
      l2: of the probe.
      iterations: of the solver.

    Returns:
      [K, H, C].
    """
    slots, picked = len(model.columns), len(chosen.rows) - len(model.columns)
    classes, holdout = task.class_mask.shape[-1], len(task.holdout_labels)
    late = Labelled(chosen.rows[slots:], chosen.mask[slots:])
    with jax.default_matmul_precision("highest"):
        everything = jnp.concatenate(
            [model.columns, jnp.where(late.mask[:, None], columns(task, late.rows), 0.0)]
        )  # [S, R], S = B + N
        kernel = jnp.where(chosen.mask, everything[:, chosen.rows], 0.0)
        state = _with_room(model.solver, picked, l2)
        inverse = border(state.inverse, kernel, jnp.int32(slots), picked, l2) if picked else state.inverse
        targets = jax.nn.one_hot(jnp.where(chosen.mask, labels, -1), classes)
        point = kernel.T @ state.alpha

        new = columns(task, candidates)  # [K, R]
        to_new = everything[:, candidates].T / 2  # [K, S]
        coupling = to_new @ inverse  # [K, S]
        own = new[jnp.arange(len(candidates)), candidates] / 2 + l2 - jnp.sum(to_new * coupling, 1)  # Schur complements

        def refit(to_new: jax.Array, coupling: jax.Array, own: jax.Array, label: jax.Array) -> jax.Array:
            """Dual coefficients [S + 1, C]."""

            def multiply(ascent: jax.Array) -> jax.Array:
                old = inverse @ ascent[:-1]
                last = (ascent[-1] - to_new @ old) / own
                return jnp.concatenate([old - coupling[:, None] * last, last[None]])

            begin = Begin(
                jnp.concatenate([point, 2 * to_new[None] @ state.alpha]), jnp.pad(state.alpha, ((0, 1), (0, 0)))
            )
            target = jnp.concatenate([targets, jax.nn.one_hot(label, classes)[None]])
            return climb(task, multiply, begin, target, jnp.append(chosen.mask, True), l2, iterations)

        alpha = jax.vmap(refit)(to_new, coupling, own, candidate_labels)  # [K, S + 1, C]
        old = jnp.einsum("sh,ksc->khc", everything[:, -holdout:], alpha[:, :-1])
        logits = old + new[:, -holdout:, None] * alpha[:, -1, None]
    return masked_logits(task, logits)


def _with_room(state: NewtonState, more: int, l2: float | jax.Array) -> NewtonState:
    """The same state with `more` unused slots behind."""
    slots = len(state.inverse)
    diagonal = jnp.where(jnp.arange(slots + more) < slots, 0.0, 1.0 / l2)
    inverse = jnp.pad(state.inverse, ((0, more), (0, more))) + jnp.diag(diagonal)
    return NewtonState(jnp.pad(state.alpha, ((0, more), (0, 0))), inverse)
