"""Checkpoints: what was saved is loaded, and an interruption leaves them whole."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxal.policies import checkpoint

TREE = {"a": jnp.arange(6.0).reshape(2, 3), "b": [jnp.ones(4, jnp.int32)]}


def test_what_was_saved_is_loaded(tmp_path):
    checkpoint.save(tmp_path / "one", jax.tree.map(jnp.zeros_like, TREE), "run 1")
    checkpoint.save(tmp_path / "one", TREE, "run 1")
    jax.tree.map(np.testing.assert_array_equal, checkpoint.load(tmp_path / "one", TREE, "run 1"), TREE)
    with pytest.raises(checkpoint.CheckpointError, match="no such checkpoint folder"):
        checkpoint.load(tmp_path / "two", TREE, "run 1")
    with pytest.raises(checkpoint.CheckpointError, match="not a checkpoint of this shape"):
        checkpoint.load(tmp_path / "one", {"a": jnp.zeros(7)}, "run 1")
    with pytest.raises(checkpoint.CheckpointError, match="one: made from other data, settings or code"):
        checkpoint.load(tmp_path / "one", TREE, "run 2")


def test_any_flipped_bit_shows(tmp_path):
    place = tmp_path / "one"
    checkpoint.save(place, TREE, "run")
    rng = np.random.default_rng(0)
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.stat().st_size]
    for _ in range(60):
        file = files[rng.integers(len(files))]
        whole = file.read_bytes()
        bit = rng.integers(8 * len(whole))
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(broken)
        with pytest.raises(checkpoint.CheckpointError, match=r"damaged|not written whole|made from other"):
            checkpoint.load(place, TREE, "run")
        file.write_bytes(whole)
    (place / "more").write_text("")
    with pytest.raises(checkpoint.CheckpointError, match="one: damaged"):
        checkpoint.load(place, TREE, "run")
    (place / "more").unlink()
    (tmp_path / "one.seal").unlink()
    with pytest.raises(checkpoint.CheckpointError, match=r"one: not written whole \(one.seal is missing\)"):
        checkpoint.load(place, TREE, "run")
    jax.tree.map(np.testing.assert_array_equal, checkpoint.load(place, TREE, None), TREE)  # of version 0.1.0


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(checkpoint.CheckpointError, match="p: b/0 holds numbers that are not finite"):
        checkpoint.require_finite(tmp_path / "p", {"a": jnp.ones(2), "b": [jnp.array([1.0, jnp.nan])]})
    checkpoint.require_finite(tmp_path / "p", TREE)


def test_a_folder_that_claims_gigabytes_is_refused_by_its_shapes(tmp_path, monkeypatch):
    """A kilobyte of zeros a gigabyte: shapes are compared before an array is read."""
    checkpoint.save(tmp_path / "one", {"a": jnp.zeros((1 << 20, 16))}, "run")
    assert sum(file.stat().st_size for file in (tmp_path / "one").rglob("*") if file.is_file()) < 1 << 20
    monkeypatch.setattr(checkpoint.ocp, "load", lambda *a: pytest.fail("an array was read"))
    with pytest.raises(checkpoint.CheckpointError, match=r"a is float32\[1048576, 16\], and float32\[4\] is expected"):
        checkpoint.load(tmp_path / "one", {"a": jnp.zeros(4)}, "run")


@pytest.mark.parametrize("said", ["Failed to write 9 bytes: No space left on device [os_error_code='28']", "odd"])
def test_a_full_disk_is_told_with_its_path(tmp_path, monkeypatch, said):
    def full(place, *rest, **options):
        (tmp_path / "one.orbax-checkpoint-tmp").mkdir()
        raise ValueError(f"RESOURCE_EXHAUSTED: {said}")

    monkeypatch.setattr(checkpoint.ocp, "save", full)
    with pytest.raises(OSError) as error:
        checkpoint.save(tmp_path / "one", TREE, "run")
    assert error.value.filename == str(tmp_path / "one")
    assert error.value.strerror == ("No space left on device" if "28" in said else "Input/output error")
    assert not list(tmp_path.iterdir())


def test_an_interruption_waits_for_the_checkpoint(tmp_path, monkeypatch):
    save = checkpoint.ocp.save

    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        save(*arguments, **options)

    monkeypatch.setattr(checkpoint.ocp, "save", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path / "one", TREE, "run")
    assert signal.getsignal(signal.SIGINT) is handler
    jax.tree.map(np.testing.assert_array_equal, checkpoint.load(tmp_path / "one", TREE, "run"), TREE)
