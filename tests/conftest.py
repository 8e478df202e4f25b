"""What all tests share: JAX on the CPU with key-reuse checks, quick compilation, and scikit-learn's data sets."""

import os
import shutil
from importlib.metadata import version

# Most of the tests' time is compilation, so the compiler does not optimise; commands that tests start inherit it.
os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
if version("jaxlib").startswith("0.10."):  # XLA ends the process where it does not know a flag
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import chex
import jax
import pytest
from worlds import load

from jaxal.data.dataset import Dataset

LARGEST = 2**30  # bytes of compiled programs that are kept
jax.config.update("jax_debug_key_reuse", True)


def pytest_configure(config: pytest.Config) -> None:
    """Several tests run one and the same program; it is compiled once, for all workers and for the next time."""
    assert config.cache is not None
    folder = config.cache.mkdir("compiled")
    if not hasattr(config, "workerinput") and sum(file.stat().st_size for file in folder.iterdir()) > LARGEST:
        shutil.rmtree(folder)
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
        jax.config.update(name, value)
        os.environ[name.upper()] = str(value)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load("digits")


@pytest.fixture(scope="session")
def wine() -> Dataset:
    return load("wine")


@pytest.fixture(scope="session")
def breast_cancer() -> Dataset:
    return load("breast_cancer")


@pytest.fixture(scope="module")
def browser():
    """A real Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright here: pip install playwright")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(autouse=True)
def fresh_trace_counter():
    """chex counts traces by a function's name, across tests."""
    chex.clear_trace_counter()


@pytest.fixture
def vmapped_keys():
    """No key-reuse checks: the checker calls the keys of a vmapped scan consumed before it has begun (JAX 0.10)."""
    with jax.debug_key_reuse(False):
        yield
