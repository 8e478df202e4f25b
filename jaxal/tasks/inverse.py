"""Inverses of positive definite matrices, as XLA's own operations rather than LAPACK's.

On a CPU jaxlib hands batched matrices to LAPACK in pieces, and each call waits for its pieces on the threads that it
runs on: two such calls at once wait for ever on two cores. Single ones spin with threads of their own.
"""

import chex
import jax
import jax.numpy as jnp

LEAF = 64  # rows up to which a matrix is eliminated row by row


def positive_inverse(matrix: jax.Array) -> jax.Array:
    """The inverse of a symmetric positive definite matrix [B, B]; see `inverse_root`."""
    with jax.default_matmul_precision("highest"):
        root = inverse_root(matrix)
        return root.T @ root


def inverse_root(matrix: jax.Array) -> jax.Array:
    """The inverse of the Cholesky factor of a symmetric positive definite matrix [B, B] float32: lower triangular.

    Halves are done one after another, by Schur complements, down to matrices of `LEAF` rows. With the noise that
    kernels have on their diagonals here, inverses are within 1e-3 of float64's.
    """
    chex.assert_rank(matrix, 2)
    size = len(matrix)
    if size <= LEAF:
        return _eliminate(matrix)
    half = size // 2
    a, b, c = matrix[:half, :half], matrix[:half, half:], matrix[half:, half:]
    with jax.default_matmul_precision("highest"):
        first = inverse_root(a)
        coupled = first @ b
        last = inverse_root(c - coupled.T @ coupled)
        return jnp.block([[first, jnp.zeros_like(b)], [-last @ (coupled.T @ first), last]])


def _eliminate(matrix: jax.Array) -> jax.Array:
    """By forward elimination of the identity beside the matrix."""
    size = len(matrix)
    places = jnp.arange(size)

    def clear(k: jax.Array, both: jax.Array) -> jax.Array:
        """Clears column k below the diagonal."""
        row = both[k] / jnp.sqrt(both[k, k])
        below = jnp.where(places > k, both[:, k], 0.0) / jnp.sqrt(both[k, k])
        return (both - below[:, None] * row).at[k].set(row)

    return jax.lax.fori_loop(0, size, clear, jnp.concatenate([matrix, jnp.eye(size)], 1))[:, size:]
