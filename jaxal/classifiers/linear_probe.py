"""A linear head on frozen latents, fitted in Gram space.

Its weights stay in the span of the labelled latents, W = sum_l alpha_l z_l, so all that an episode needs of them are
inner products with the labelled points, and the latent size does not appear in it (`adam` excepted).
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import chex
import jax
import jax.numpy as jnp
import optax

from jaxal.classifiers.classifier import Classifier, Fitted, Labelled, pending_on_frozen_latents
from jaxal.config import ProbeConfig
from jaxal.tasks.distances import Distance, extend
from jaxal.tasks.inverse import positive_inverse
from jaxal.tasks.products import product
from jaxal.tasks.task import Needs, Task, columns, distance_columns, masked_logits, own_latents


class Problem(NamedTuple):
    """What a solver is given."""

    labelled: Labelled
    columns: jax.Array  # [B, R] inner products of the labelled points with all rows; zeros in unused slots
    kernel: jax.Array  # [B, B] those with each other
    start: jax.Array  # [] slots start..start+size are new
    size: int

    def targets(self, task: Task) -> jax.Array:
        """[B, C] one-hot labels, zero where a slot is unused."""
        labels = jnp.where(self.labelled.mask, self.labelled.labels(task), -1)
        return jax.nn.one_hot(labels, task.class_mask.shape[-1])


class InitSolver(Protocol):
    """How a solver begins."""

    def __call__(self, task: Task, slots: int) -> Any:
        """The state before the first fit."""
        ...


class Solve(Protocol):
    """How a solver fits."""

    def __call__(self, task: Task, state: Any, problem: Problem) -> tuple[Any, jax.Array]:
        """The state after the fit, and logits [R, C] of all rows."""
        ...


class Solver(NamedTuple):
    """Pure functions; each solver has a state of its own."""

    init: InitSolver
    solve: Solve


class ProbeModel(NamedTuple):
    """State of the linear probe."""

    columns: jax.Array  # [B, R], see `Problem`
    solver: Any


def linear_probe(config: ProbeConfig, distance: Distance) -> Classifier:
    """A linear head on frozen latents.

    Args:
      config: the solver and its settings. `newton` minimises sum of cross-entropies + l2 / 2 |W|^2 (the constant's
        weight included) by a fixed bound on the Hessian (Boehning 1992) with Nesterov momentum and gradient restarts;
        `gd` takes `epochs` full-batch steps on the mean cross-entropy, exactly as on the [D, C] weights; `adam` takes
        them with Adam, on the weights.
      distance: between latents.
    """
    solver = {"newton": newton, "gd": gradient_descent, "adam": adam}[config.solver](config)

    def init(task: Task, slots: int) -> Fitted:
        rows, classes = sum(task.shape), task.class_mask.shape[-1]
        model = ProbeModel(jnp.zeros((slots, rows)), solver.init(task, slots))
        return Fitted(masked_logits(task, jnp.zeros((rows, classes))), task.geometry, model)

    def fit(task: Task, fitted: Fitted, labelled: Labelled, start: jax.Array, size: int, key: chex.PRNGKey) -> Fitted:
        del key
        picks, new = (jax.lax.dynamic_slice_in_dim(x, start, size) for x in labelled)
        added = jnp.where(new[:, None], columns(task, picks), 0.0)
        everything = jax.lax.dynamic_update_slice_in_dim(fitted.model.columns, added, start, 0)
        kernel = jnp.where(labelled.mask[None, :], everything[:, labelled.rows], 0.0)
        with jax.default_matmul_precision("highest"):
            problem = Problem(labelled, everything, kernel, start, size)
            state, logits = solver.solve(task, fitted.model.solver, problem)
        geometry = extend(fitted.geometry, distance_columns(distance, task, added, picks), new)
        return Fitted(masked_logits(task, logits), geometry, ProbeModel(everything, state))

    needs = Needs(latents=config.solver == "adam", raw=config.latents == "raw")
    return Classifier(init, fit, pending_on_frozen_latents(distance), needs)


def weights(task: Task, fitted: Fitted, labelled: Labelled) -> jax.Array:
    """The [D, C] weights of a fitted probe, those of the constant 1 last, on the latents that the task holds."""
    state = fitted.model.solver
    if isinstance(state, AdamState):
        return state.weights
    alpha = state.alpha if isinstance(state, NewtonState) else state
    return product(own_latents(task)[labelled.rows].T, jnp.where(labelled.mask[:, None], alpha, 0.0))


class NewtonState(NamedTuple):
    """State of `newton`; unused slots hold zeros, and 1 / l2 on the diagonal of `inverse`."""

    alpha: jax.Array  # [B, C] dual coefficients
    inverse: jax.Array  # [B, B] inverse of K / 2 + l2 I, K the labelled points' Gram matrix


def newton(config: ProbeConfig) -> Solver:
    """L2-regularised multinomial logistic regression, by Boehning's fixed bound on the Hessian (`climb`)."""

    def init(task: Task, slots: int) -> NewtonState:
        return NewtonState(jnp.zeros((slots, task.class_mask.shape[-1])), jnp.eye(slots) / config.l2)

    def solve(task: Task, state: NewtonState, problem: Problem) -> tuple[NewtonState, jax.Array]:
        inverse = border(state.inverse, problem.kernel, problem.start, problem.size, config.l2)
        alpha = climb(
            task,
            lambda ascent: inverse @ ascent,
            Begin(problem.kernel.T @ state.alpha, state.alpha),
            problem.targets(task),
            problem.labelled.mask,
            config.l2,
            config.iterations,
        )
        return NewtonState(alpha, inverse), all_logits(problem.columns, alpha)

    return Solver(init, solve)


class Begin(NamedTuple):
    """Where `climb` begins."""

    point: jax.Array  # [B, C] f = K alpha
    alpha: jax.Array  # [B, C]


def climb(
    task: Task,
    inverse: Callable[[jax.Array], jax.Array],
    begin: Begin,
    targets: jax.Array,
    used: jax.Array,
    l2: float | jax.Array,
    iterations: int,
) -> jax.Array:
    """The dual coefficients of L2-regularised multinomial logistic regression: [B, C] (Boehning 1992).

    The step is alpha' = alpha - (K / 2 + l2 I)^-1 (p - y + l2 alpha). With f = K alpha and g = f - 2 (p - y) it becomes
    alpha' = (K / 2 + l2 I)^-1 g / 2 and f' = g - 2 l2 alpha': one product an iteration, and momentum may be taken on f
    alone.

    Args:
      task: whose classes count.
      inverse: multiplies [B, C] by the inverse of K / 2 + l2 I.
      begin: f and alpha.
      targets: [B, C] one-hot labels y, zero where a slot is unused.
      used: [B] bool slots.
      l2: of the weights.
      iterations: steps.
    """

    def step(carry: tuple[jax.Array, ...], _: None) -> tuple[tuple[jax.Array, ...], None]:
        point, last, alpha, momentum = carry
        error = jnp.where(used[:, None], jax.nn.softmax(masked_logits(task, point), axis=-1), 0.0) - targets
        ascent = point - 2 * error
        new_alpha = inverse(ascent) / 2
        new = ascent - 2 * l2 * new_alpha
        overshot = jnp.sum((point - new) * (new_alpha - alpha)) > 0
        momentum = jnp.where(overshot, 1.0, momentum)
        following = (1 + jnp.sqrt(1 + 4 * momentum**2)) / 2
        return (new + (momentum - 1) / following * (new - last), new, new_alpha, following), None

    carry = (begin.point, begin.point, begin.alpha, jnp.ones(()))
    (_, _, alpha, _), _ = jax.lax.scan(step, carry, None, length=iterations)
    return alpha


def border(inverse: jax.Array, kernel: jax.Array, start: jax.Array, size: int, l2: float | jax.Array) -> jax.Array:
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
    return old + edge @ (edge.T / schur if size == 1 else positive_inverse(schur) @ edge.T)


def all_logits(columns: jax.Array, alpha: jax.Array) -> jax.Array:
    """columns [B, R], alpha [B, C] -> [R, C]; in the layout that is twice as fast on a CPU, which XLA would undo."""
    return jax.lax.optimization_barrier(alpha.T @ columns).T


def gradient_descent(config: ProbeConfig) -> Solver:
    """Full-batch descent on the mean cross-entropy, alpha' = alpha - lr (p - y) / m; its state is alpha [B, C]."""

    def init(task: Task, slots: int) -> jax.Array:
        return jnp.zeros((slots, task.class_mask.shape[-1]))

    def solve(task: Task, state: jax.Array, problem: Problem) -> tuple[jax.Array, jax.Array]:
        targets = problem.targets(task)
        rate = config.learning_rate / jnp.maximum(jnp.sum(problem.labelled.mask), 1)
        used = problem.labelled.mask[:, None]

        def epoch(alpha: jax.Array, _: None) -> tuple[jax.Array, None]:
            probabilities = jax.nn.softmax(masked_logits(task, problem.kernel.T @ alpha), axis=-1)
            return alpha - rate * jnp.where(used, probabilities - targets, 0.0), None

        begin = jnp.zeros_like(state) if config.restart else state
        alpha, _ = jax.lax.scan(epoch, begin, None, length=config.epochs)
        return alpha, all_logits(problem.columns, alpha)

    return Solver(init, solve)


class AdamState(NamedTuple):
    """State of `adam`."""

    weights: jax.Array  # [D, C]
    moments: optax.OptState


def adam(config: ProbeConfig) -> Solver:
    """Full-batch Adam on the [D, C] weights; where a fit goes on from the last, so do its moments."""
    optimiser = optax.adam(config.learning_rate)

    def init(task: Task, slots: int) -> AdamState:
        del slots
        weights = jnp.zeros((own_latents(task).shape[-1], task.class_mask.shape[-1]))
        return AdamState(weights, optimiser.init(weights))

    def solve(task: Task, state: AdamState, problem: Problem) -> tuple[AdamState, jax.Array]:
        latents = own_latents(task)
        inputs = latents[problem.labelled.rows]
        targets = problem.targets(task)
        count = jnp.maximum(jnp.sum(problem.labelled.mask), 1)

        def loss(weights: jax.Array) -> jax.Array:
            logits = jnp.where(task.class_mask, inputs @ weights, -1e9)
            return jnp.sum(optax.softmax_cross_entropy(logits, targets) * problem.labelled.mask) / count

        def epoch(carry: AdamState, _: None) -> tuple[AdamState, None]:
            updates, moments = optimiser.update(jax.grad(loss)(carry.weights), carry.moments)
            return AdamState(jnp.asarray(optax.apply_updates(carry.weights, updates)), moments), None

        begin = jax.tree.map(jnp.zeros_like, state) if config.restart else state
        state, _ = jax.lax.scan(epoch, begin, None, length=config.epochs)
        return state, latents @ state.weights

    return Solver(init, solve)
