"""Inverses of kernels, against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxal.tasks.inverse import inverse_root, positive_inverse


def kernel(size: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(size, 5)) / np.sqrt(5)
    return points @ points.T + 0.1 * np.eye(size)


@pytest.mark.parametrize("size", [1, 2, 64, 65, 130])
def test_equals_numpy(size):
    wanted = np.linalg.inv(kernel(size))
    found = jax.jit(positive_inverse)(jnp.asarray(kernel(size), jnp.float32))
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.parametrize("size", [3, 100])
def test_the_root_is_that_of_the_cholesky_factor(size):
    wanted = np.linalg.inv(np.linalg.cholesky(kernel(size)))
    found = np.asarray(inverse_root(jnp.asarray(kernel(size), jnp.float32)))
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())
    assert np.all(np.triu(found, 1) == 0)


def test_many_at_once_need_no_lapack():
    many = np.stack([kernel(20, seed) for seed in range(4)])
    run = jax.jit(jax.vmap(positive_inverse))
    assert "lapack" not in run.lower(jnp.asarray(many, jnp.float32)).as_text()
    np.testing.assert_allclose(run(jnp.asarray(many, jnp.float32)), np.linalg.inv(many), atol=1e-3)
