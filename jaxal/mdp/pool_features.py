"""Features of candidates in view of the whole pool, for policies that are used anywhere.

None depends on the number of classes, on the size of a latent or of the pool. Adding one is a function and a line in
the registry.
"""

from typing import Protocol

import chex
import jax
import jax.numpy as jnp

from jaxal.mdp.look import L2, Look
from jaxal.mdp.observation import entropy as shannon
from jaxal.registry import Registry
from jaxal.tasks.products import product

SMALL = 1e-6


class PoolFeature(Protocol):
    """A feature of candidates."""

    def __call__(self, look: Look, /) -> jax.Array:
        """One number for each candidate: [K] float32."""
        ...


def _log(values: jax.Array) -> jax.Array:
    return jnp.log(jnp.maximum(values, SMALL))


def first_probability(look: Look) -> jax.Array:
    """Largest class probability."""
    return look.ranked[0]


def second_probability(look: Look) -> jax.Array:
    """Second largest class probability."""
    return look.ranked[1]


def third_probability(look: Look) -> jax.Array:
    """Third largest class probability."""
    return look.ranked[2]


def margin(look: Look) -> jax.Array:
    """Difference between the two largest class probabilities."""
    return 1.0 - look.unsure


def entropy(look: Look) -> jax.Array:
    """Entropy of the class probabilities, as a share of the largest possible."""
    return shannon(look.candidates) / jnp.log(look.classes)


def nearest(look: Look) -> jax.Array:
    """Distance to the nearest chosen point."""
    return jnp.min(look.to_class, -1)


def nearest_same(look: Look) -> jax.Array:
    """Distance to the nearest chosen point of the predicted class."""
    return jnp.take_along_axis(look.to_class, look.predicted[:, None], -1)[:, 0]


def nearest_other(look: Look) -> jax.Array:
    """Distance to the nearest chosen point of another class."""
    own = jnp.arange(look.to_class.shape[-1]) == look.predicted[:, None]
    return jnp.min(jnp.where(own, jnp.inf, look.to_class), -1)


def nearest_difference(look: Look) -> jax.Array:
    """Distance to the nearest of another class, less that to the nearest of the predicted one."""
    return nearest_other(look) - nearest_same(look)


def mean_to_chosen(look: Look) -> jax.Array:
    """Mean distance to the chosen points."""
    return look.candidates.mean_distance_labelled


def mean_to_pool(look: Look) -> jax.Array:
    """Mean distance to the pool."""
    geometry = look.pool.geometry
    return (geometry.total / jnp.maximum(geometry.pool_size, 1.0))[look.pool.rows]


def density(look: Look) -> jax.Array:
    """Mean distance to the nearest neighbours."""
    return look.candidates.local_density


def typicality(look: Look) -> jax.Array:
    """Distance to the nearest chosen point / mean distance to the nearest neighbours."""
    return nearest(look) / jnp.maximum(density(look), 0.05)


def log_typicality(look: Look) -> jax.Array:
    """Logarithm of the typicality."""
    return jnp.log(jnp.maximum(typicality(look), 1e-3))


def unsure_typicality(look: Look) -> jax.Array:
    """Typicality x (1 - margin)."""
    return typicality(look) * look.unsure


def log_unsure_typicality(look: Look) -> jax.Array:
    """Logarithm of typicality x (1 - margin)."""
    return log_typicality(look) + _log(look.unsure)


def share_of_labels(look: Look) -> jax.Array:
    """Share of the predicted class among the labels, x C."""
    shares = jnp.sum(look.chosen_classes, 0) / look.labels
    return shares[look.predicted] * look.classes


def share_of_pool(look: Look) -> jax.Array:
    """Share of the predicted class among the predictions on the unlabelled pool, x C."""
    return product(look.weights, look.pool_probabilities)[look.predicted] * look.classes


def log_share_ratio(look: Look) -> jax.Array:
    """How over-represented the predicted class is among the labels."""
    return jnp.log((share_of_labels(look) + 0.1) / (share_of_pool(look) + 0.1))


def _coverage(width: int, weighted: bool) -> PoolFeature:
    def feature(look: Look) -> jax.Array:
        gains = look.gains[width]
        weights = look.pool_unsure[look.references] if weighted else jnp.ones(len(gains))
        return _log(product(weights, gains) / len(gains))

    feature.__doc__ = f"Log gain in coverage, by kernel {width + 1}" + (
        ", weighted by 1 - margin." if weighted else "."
    )
    return feature


def log_variance(look: Look) -> jax.Array:
    """Log posterior variance."""
    return _log(look.posterior[0])


def _reduction(look: Look, weights: jax.Array) -> jax.Array:
    variance, covariance = look.posterior
    return product(weights, covariance**2) / len(covariance) / (variance + 2 * L2)


def log_reduction(look: Look) -> jax.Array:
    """Log of how much a label would reduce the mean posterior variance of the reference points (V-optimality)."""
    return _log(_reduction(look, jnp.ones(len(look.references))))


def log_unsure_reduction(look: Look) -> jax.Array:
    """The same, weighted by how unsure the reference points are."""
    return _log(_reduction(look, look.pool_unsure[look.references]))


def _spread(look: Look) -> jax.Array:
    return 1.0 - jnp.sum(look.probabilities**2, -1)


def log_spread_reduction(look: Look) -> jax.Array:
    """Log of (1 - sum of p^2) x the reduction."""
    return _log(_spread(look) * _reduction(look, jnp.ones(len(look.references))))


def log_spread_unsure_reduction(look: Look) -> jax.Array:
    """Log of (1 - sum of p^2) x the reduction weighted by how unsure the reference points are."""
    return _log(_spread(look) * _reduction(look, look.pool_unsure[look.references]))


def log_gradient(look: Look) -> jax.Array:
    """Log of the expected length of the gradient, in the posterior's metric."""
    return 0.5 * _log(_spread(look)) + 0.5 * log_variance(look)


def unsure_deviation(look: Look) -> jax.Array:
    """(1 - margin) x posterior deviation."""
    return look.unsure * jnp.sqrt(look.posterior[0])


def margin_in_deviations(look: Look) -> jax.Array:
    """Margin / posterior deviation."""
    return margin(look) / jnp.sqrt(look.posterior[0])


def neighbours_margin(look: Look) -> jax.Array:
    """Mean margin of the nearest neighbours in the pool."""
    return jnp.mean(1.0 - look.pool_unsure[look.pool.geometry.neighbours[look.pool.rows]], -1)


def neighbours_agreement(look: Look) -> jax.Array:
    """Share of the nearest neighbours in the pool for which the same class is predicted."""
    predicted = look.pool_predicted[look.pool.geometry.neighbours[look.pool.rows]]
    return jnp.mean((predicted == look.predicted[:, None]).astype(jnp.float32), -1)


def vote(look: Look) -> jax.Array:
    """Share of the predicted class among the labels near by."""
    return jnp.take_along_axis(look.votes, look.predicted[:, None], -1)[:, 0]


def vote_agreement(look: Look) -> jax.Array:
    """Whether the labels near by are for the predicted class: 1 or 0."""
    return (jnp.argmax(look.votes, -1) == look.predicted).astype(jnp.float32)


def vote_margin(look: Look) -> jax.Array:
    """Difference between the two largest shares of the labels near by."""
    ordered = jnp.sort(look.votes, -1)
    return ordered[:, -1] - ordered[:, -2]


POOL_FEATURES: Registry[PoolFeature] = Registry(
    "pool feature",
    {
        **{
            function.__name__: function
            for function in (
                *(first_probability, second_probability, third_probability, margin, entropy),
                *(nearest, nearest_same, nearest_other, nearest_difference, mean_to_chosen, mean_to_pool, density),
                *(typicality, log_typicality, unsure_typicality, log_unsure_typicality),
                *(share_of_labels, share_of_pool, log_share_ratio),
                *(log_variance, log_reduction, log_unsure_reduction, log_spread_reduction),
                *(log_spread_unsure_reduction, log_gradient, unsure_deviation, margin_in_deviations),
                *(neighbours_margin, neighbours_agreement, vote, vote_agreement, vote_margin),
            )
        },
        **{f"coverage_{width + 1}": _coverage(width, False) for width in range(3)},
        **{f"unsure_coverage_{width + 1}": _coverage(width, True) for width in range(3)},
    },
)


def features_of(names: tuple[str, ...], look: Look) -> jax.Array:
    """The named features: [K, F], zero where a candidate may not be chosen."""
    columns = [POOL_FEATURES[name](look) for name in names]
    chex.assert_equal_shape([look.mask, *columns], custom_message=f"pool features {names}")
    return jnp.where(look.mask[:, None], jnp.stack(columns, -1), 0.0)
