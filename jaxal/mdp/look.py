"""A close look at a state: what many features of it have in common, worked out once.

Symbols: K candidates, P pool rows, B chosen points (labelled, and pending ones), R reference points, C classes, W
kernel widths. Distances are in units of the pool's mean distance. Nothing of the size of P^2 is made.
"""

from functools import cached_property

import jax
import jax.numpy as jnp

from jaxal.mdp.observation import Candidates, Observation, lead
from jaxal.mdp.pool import PoolView
from jaxal.tasks.inverse import positive_inverse
from jaxal.tasks.products import product

L2 = 0.1  # of the posterior: the default of the linear probe
FAR = 9.0  # stands for the distance to a class that has no label
WIDTHS = (0.5, 1.0, 1.5)  # of the kernels, in median distances to the nearest neighbours


class Look:
    """What the features of candidates and of the state are made from.

    It is made while a function is traced, and never enters a compiled program itself; what is not used costs nothing.
    """

    def __init__(self, observation: Observation):
        self.candidates: Candidates = observation.candidates
        self.mask = observation.mask  # [K]
        self.pool: PoolView = observation.whole_pool

    @cached_property
    def probabilities(self) -> jax.Array:
        """[K, C]."""
        return self.candidates.probabilities

    @cached_property
    def ranked(self) -> jax.Array:
        """The three largest probabilities of each candidate, 0 where there are fewer classes: [3, K]."""
        return largest_three(self.probabilities)

    @cached_property
    def unsure(self) -> jax.Array:
        """1 - margin: [K]."""
        return 1.0 - lead(self.probabilities)

    @cached_property
    def predicted(self) -> jax.Array:
        """[K] int32."""
        return jnp.argmax(self.probabilities, -1)

    @cached_property
    def classes(self) -> jax.Array:
        """Classes of the task: [] float."""
        return jnp.sum(self.pool.task.class_mask).astype(jnp.float32)

    @cached_property
    def labels(self) -> jax.Array:
        """Points that count as labelled: [] float."""
        return jnp.maximum(jnp.sum(self.pool.chosen.mask), 1).astype(jnp.float32)

    @cached_property
    def chosen_classes(self) -> jax.Array:
        """[B, C] one-hot, zero in unused slots."""
        labels = jnp.where(self.pool.chosen.mask, self.pool.labels, -1)
        return jax.nn.one_hot(labels, self.probabilities.shape[-1])

    @cached_property
    def weights(self) -> jax.Array:
        """[P] that make a mean over the unlabelled pool of a sum."""
        open_ = self.pool.unlabelled
        return open_ / jnp.maximum(jnp.sum(open_), 1)

    @cached_property
    def pool_probabilities(self) -> jax.Array:
        """[P, C]."""
        return jax.nn.softmax(self.pool.logits)

    @cached_property
    def pool_unsure(self) -> jax.Array:
        """1 - margin: [P]."""
        return 1.0 - lead(self.pool_probabilities)

    @cached_property
    def pool_predicted(self) -> jax.Array:
        """[P] int32."""
        return jnp.argmax(self.pool_probabilities, -1)

    @cached_property
    def references(self) -> jax.Array:
        """Pool rows that stand for the pool: [R] int32."""
        return self.pool.task.references

    @cached_property
    def spacing(self) -> jax.Array:
        """Median distance of the pool's points to their nearest neighbours: []."""
        density = jnp.where(self.pool.task.pool_mask, self.pool.geometry.local_density, jnp.nan)
        return jnp.maximum(jnp.nanmedian(density), 1e-3)

    @cached_property
    def widths(self) -> jax.Array:
        """Of the kernels: [W]; the widest at least half of the mean distance."""
        return jnp.maximum(self.spacing * jnp.asarray(WIDTHS), jnp.asarray([0.0, 0.0, 0.5]))

    @cached_property
    def to_chosen(self) -> jax.Array:
        """Distances from candidates to chosen points, `FAR` in unused slots: [K, B]."""
        return self._to_chosen(self.pool.rows)

    def _to_chosen(self, rows: jax.Array) -> jax.Array:
        apart = self.pool.distances(self.pool.chosen.rows, rows).T
        return jnp.where(self.pool.chosen.mask, apart, FAR)

    @cached_property
    def to_class(self) -> jax.Array:
        """Distances to the nearest chosen point of each class, `FAR` where there is none: [K, C]."""
        apart = jnp.where(self.chosen_classes.T > 0, self.to_chosen[:, None], FAR)  # [K, C, B]
        return jnp.minimum(jnp.min(apart, -1), FAR)

    def kernels(self, distances: jax.Array) -> jax.Array:
        """Gaussian kernels of distances [N, L]: [W, N, L]."""
        return jnp.exp(-(distances**2) / (2 * self.widths[:, None, None] ** 2))

    @cached_property
    def covered(self) -> jax.Array:
        """Largest kernel value that each reference point has with a chosen one: [W, R]."""
        kernels = self.kernels(self._to_chosen(self.references))
        return jnp.max(jnp.where(self.pool.chosen.mask, kernels, 0.0), -1)

    @cached_property
    def gains(self) -> jax.Array:
        """What each candidate would cover of each reference point beyond that: [W, R, K]."""
        kernels = self.kernels(self.pool.distances(self.references, self.pool.rows))
        return jnp.maximum(kernels - self.covered[..., None], 0.0)

    @cached_property
    def posterior(self) -> tuple[jax.Array, jax.Array]:
        """Of a Gaussian process with the latents' inner products: variances [K], covariances with references [R, K].

        v = k_cc - k_c' (K + 2 l2)^-1 k_c over the chosen points; 2 l2 is the noise that a label has at p = 1/2.
        """
        pool, chosen = self.pool, self.pool.chosen
        mask = chosen.mask[:, None]
        inner = lambda rows, others: pool.products(rows, others) + 1.0  # with the constant
        to_chosen = jnp.where(mask, inner(chosen.rows, pool.rows), 0.0)  # [B, K]
        solved = product(self.precision, to_chosen)
        references = jnp.where(mask, inner(chosen.rows, self.references), 0.0)  # [B, R]
        variance = pool.norms[pool.rows] + 1.0 - jnp.sum(to_chosen * solved, 0)
        covariance = inner(self.references, pool.rows) - product(references.T, solved)
        return jnp.maximum(variance, 1e-4), covariance

    @cached_property
    def precision(self) -> jax.Array:
        """(K + 2 l2 I)^-1 over the chosen points, zero in unused slots: [B, B]."""
        rows, mask = self.pool.chosen.rows, self.pool.chosen.mask
        both = mask & mask[:, None]
        kernel = jnp.where(both, self.pool.products(rows, rows) + 1.0, 0.0)
        noisy = kernel + jnp.diag(jnp.where(mask, 2 * L2, 1.0))
        return jnp.where(both, positive_inverse(noisy), 0.0)

    @cached_property
    def votes(self) -> jax.Array:
        """Share of each class among the chosen points near a candidate, by the kernel of the middle width: [K, C]."""
        near = jnp.where(self.pool.chosen.mask, self.kernels(self.to_chosen)[1], 0.0)
        votes = product(near, self.chosen_classes) + 1e-6 * self.pool.task.class_mask
        return votes / jnp.sum(votes, -1, keepdims=True)

    @cached_property
    def left_out(self) -> jax.Array:
        """Probabilities of the chosen points by the probe without the point itself: [B, C].

        In closed form, as of kernel ridge regression: f - alpha v, where alpha = (y - p) / l2 at the probe's optimum,
        and v = 1 / (K + 2 l2)^-1_ll - 2 l2.
        """
        logits = self.pool.logits[self.pool.chosen.rows]
        diagonal = jnp.diagonal(self.precision)
        variance = jnp.where(diagonal > 0, 1.0 / jnp.maximum(diagonal, 1e-6) - 2 * L2, 0.0)
        alpha = (self.chosen_classes - jax.nn.softmax(logits)) / L2
        return jax.nn.softmax(jnp.where(self.pool.task.class_mask, logits - alpha * variance[:, None], -jnp.inf))

    def mean(self, values: jax.Array) -> jax.Array:
        """Mean of `values` [P] over the unlabelled pool: []."""
        return jnp.sum(self.weights * values)


def largest_three(probabilities: jax.Array) -> jax.Array:
    """The three largest of each row of `probabilities` [N, C], 0 where there are fewer: [3, N]."""
    left, found = probabilities, []
    for _ in range(3):  # a tenth of a top-k's time on a CPU
        place = jnp.argmax(left, -1)[:, None]
        found.append(jnp.maximum(jnp.max(left, -1), 0.0))
        left = jnp.where(jnp.arange(left.shape[-1]) == place, -1.0, left)
    return jnp.stack(found)
