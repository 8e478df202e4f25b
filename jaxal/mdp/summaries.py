"""Numbers that describe a state, for policies that are used anywhere.

None depends on the number of classes, on the size of a latent or of the pool. Adding one is a function and a line in
the registry.
"""

from typing import Protocol

import jax
import jax.numpy as jnp

from jaxal.mdp.look import Look
from jaxal.mdp.pool_features import vote_agreement
from jaxal.registry import Registry
from jaxal.tasks.products import product


class Summary(Protocol):
    """A number that describes the state."""

    def __call__(self, look: Look, /) -> jax.Array:
        """[] float32."""
        ...


def log_labels(look: Look) -> jax.Array:
    """Log of the number of labels."""
    return jnp.log(look.labels)


def log_labels_per_class(look: Look) -> jax.Array:
    """Log of the number of labels for each class."""
    return jnp.log(look.labels / look.classes)


def classes(look: Look) -> jax.Array:
    """Number of classes / 10."""
    return look.classes / 10.0


def mean_first_probability(look: Look) -> jax.Array:
    """Mean largest probability over the unlabelled pool."""
    return look.mean(jnp.max(look.pool_probabilities, -1))


def mean_margin(look: Look) -> jax.Array:
    """Mean margin over the unlabelled pool."""
    return look.mean(1.0 - look.pool_unsure)


def mean_entropy(look: Look) -> jax.Array:
    """Mean entropy over the unlabelled pool, as a share of the largest possible."""
    p = look.pool_probabilities
    return look.mean(-jnp.sum(p * jnp.log(p + 1e-9), -1)) / jnp.log(look.classes)


def deviation_of_margin(look: Look) -> jax.Array:
    """Deviation of the margin over the unlabelled pool."""
    values = 1.0 - look.pool_unsure
    return jnp.sqrt(jnp.maximum(look.mean(values**2) - look.mean(values) ** 2, 0.0) + 1e-9)


def mean_typicality(look: Look) -> jax.Array:
    """Mean typicality over the unlabelled pool."""
    geometry = look.pool.geometry
    nearest = jnp.minimum(geometry.nearest_labelled, 9.0)
    return look.mean(nearest / jnp.maximum(geometry.local_density, 0.05))


def _mean_covered(width: int) -> Summary:
    def summary(look: Look) -> jax.Array:
        return jnp.mean(look.covered[width])

    summary.__doc__ = f"How much of the reference points is covered, by kernel {width + 1}."
    return summary


def largest_share(look: Look) -> jax.Array:
    """Share of the class that is predicted most often."""
    return jnp.max(product(look.weights, jax.nn.one_hot(look.pool_predicted, look.pool_probabilities.shape[-1])))


def imbalance(look: Look) -> jax.Array:
    """Largest share of a class among the labels, x C."""
    return jnp.max(jnp.sum(look.chosen_classes, 0)) / look.labels * look.classes


def _over_chosen(look: Look, values: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(look.pool.chosen.mask, values, 0.0)) / look.labels


def left_out_accuracy(look: Look) -> jax.Array:
    """Accuracy on the labelled points, each left out."""
    right = jnp.argmax(look.left_out, -1) == jnp.argmax(look.chosen_classes, -1)
    return _over_chosen(look, right.astype(jnp.float32))


def left_out_probability(look: Look) -> jax.Array:
    """Mean probability of the true class of labelled points, each left out."""
    return _over_chosen(look, jnp.sum(look.left_out * look.chosen_classes, -1))


def left_out_confidence(look: Look) -> jax.Array:
    """Mean largest probability of labelled points, each left out."""
    return _over_chosen(look, jnp.max(look.left_out, -1))


def mean_variance(look: Look) -> jax.Array:
    """Mean posterior variance of the candidates."""
    return jnp.sum(jnp.where(look.mask, look.posterior[0], 0.0)) / jnp.maximum(jnp.sum(look.mask), 1)


def log_dimension(look: Look) -> jax.Array:
    """Log of the effective number of dimensions of the pool (participation ratio), from the reference points."""
    products = look.pool.products(look.references, look.references)
    apart = ~jnp.eye(len(products), dtype=bool)
    squares = jnp.sum(jnp.where(apart, products**2, 0.0)) / jnp.maximum(jnp.sum(apart), 1)
    return jnp.log(jnp.mean(jnp.diagonal(products)) ** 2 / jnp.maximum(squares, 1e-9))


def spacing(look: Look) -> jax.Array:
    """Median distance to the nearest neighbours."""
    return look.spacing


def mean_vote_agreement(look: Look) -> jax.Array:
    """Share of the candidates whose labels near by are for the predicted class."""
    return jnp.sum(jnp.where(look.mask, vote_agreement(look), 0.0)) / jnp.maximum(jnp.sum(look.mask), 1)


SUMMARIES: Registry[Summary] = Registry(
    "summary",
    {
        **{
            function.__name__: function
            for function in (
                *(log_labels, log_labels_per_class, classes, mean_first_probability, mean_margin, mean_entropy),
                *(deviation_of_margin, mean_typicality, largest_share, imbalance, left_out_accuracy),
                *(left_out_probability, left_out_confidence, mean_variance, log_dimension, spacing),
                mean_vote_agreement,
            )
        },
        **{f"covered_{width + 1}": _mean_covered(width) for width in range(3)},
    },
)


def summary_of(names: tuple[str, ...], look: Look) -> jax.Array:
    """The named summaries: [S]."""
    return jnp.stack([SUMMARIES[name](look) for name in names])
