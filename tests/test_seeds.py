"""A seed's keys depend on its number and their use alone, and JAX's own settings have no say."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxal.seeds import PINNED, changed, pinned, seed_key, seed_keys, settings

numbers = lambda key: np.asarray(jax.random.key_data(key)).tolist()


def test_keys_depend_on_the_number_and_the_use_alone():
    assert numbers(seed_key(1, "compare")) == numbers(seed_keys([5, 1, 3], "compare"))[1]
    uses = [numbers(seed_key(seed, use)) for seed in (0, 1) for use in ("compare", "learn ddqn", "learn linear_cem")]
    assert len({tuple(each) for each in uses}) == 6


def test_settings_from_outside_change_nothing_and_are_as_before_afterwards():
    plain = jax.random.uniform(seed_key(0, "a"), (3,))
    changes = {"jax_enable_x64": True, "jax_default_prng_impl": "rbg", "jax_threefry_partitionable": False}
    before = {name: getattr(jax.config, name) for name in changes}
    try:
        for name, value in changes.items():
            jax.config.update(name, value)
        assert changed() == [f"{name.upper()}={value}" for name, value in changes.items()]
        with pinned():
            assert changed() == []
            assert settings()["random numbers"] == "threefry2x32, partitionable"
            drawn = jax.random.uniform(seed_key(0, "a"), (3,))
            assert jnp.ones(2).dtype == drawn.dtype == jnp.float32
        assert {name: getattr(jax.config, name) for name in changes} == changes
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
    np.testing.assert_array_equal(drawn, plain)
    assert all(getattr(jax.config, name) == value for name, value in PINNED.items())


def test_a_longer_draw_begins_with_a_shorter_one():
    """So padding a pool changes no initial set and no random pick."""
    with pinned():
        short, long = (jax.random.uniform(seed_key(3, "a"), (n,)) for n in (7, 12))
    np.testing.assert_array_equal(short, long[:7])


@pytest.mark.parametrize("platform", ["cuda", "nonsense"])
def test_a_platform_that_is_not_there_is_one_line(platform):
    if platform == "cuda" and jax.default_backend() != "cpu":
        pytest.skip("there is one")
    code = "from jaxal.seeds import pinned\ntry:\n with pinned(): pass\nexcept ValueError as error: print(error)"
    environment = {**os.environ, "JAX_PLATFORMS": platform}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    (line,) = done.stdout.splitlines()
    assert line.startswith("JAX finds no device to work on")
    assert line.endswith(f"JAX_PLATFORMS is {platform}, so unset it, or let it be cpu")
