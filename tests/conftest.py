"""What all tests share: JAX on the CPU with key-reuse checks, and scikit-learn's data sets."""

import tempfile

import chex
import jax
import pytest
from worlds import load

from jaxal.data.dataset import Dataset

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_debug_key_reuse", True)

# Several tests run one and the same programme; it is compiled once a session.
COMPILED = tempfile.TemporaryDirectory(prefix="jaxal-tests-")
jax.config.update("jax_compilation_cache_dir", COMPILED.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load("digits")


@pytest.fixture(scope="session")
def wine() -> Dataset:
    return load("wine")


@pytest.fixture(scope="session")
def breast_cancer() -> Dataset:
    return load("breast_cancer")


@pytest.fixture(autouse=True)
def fresh_trace_counter():
    """chex counts traces by a function's name, across tests."""
    chex.clear_trace_counter()


@pytest.fixture
def vmapped_keys():
    """No key-reuse checks: the checker calls the keys of a vmapped scan consumed before it has begun (JAX 0.10)."""
    with jax.debug_key_reuse(False):
        yield
