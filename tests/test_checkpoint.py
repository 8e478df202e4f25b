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
    checkpoint.save(tmp_path / "one", jax.tree.map(jnp.zeros_like, TREE))
    checkpoint.save(tmp_path / "one", TREE)
    jax.tree.map(np.testing.assert_array_equal, checkpoint.load(tmp_path / "one", TREE), TREE)
    with pytest.raises(checkpoint.CheckpointError, match="no such checkpoint folder"):
        checkpoint.load(tmp_path / "two", TREE)
    with pytest.raises(checkpoint.CheckpointError, match="not a checkpoint of this shape"):
        checkpoint.load(tmp_path / "one", {"a": jnp.zeros(7)})


def test_an_interruption_waits_for_the_checkpoint(tmp_path, monkeypatch):
    save = checkpoint.ocp.save

    def interrupted(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        save(*arguments, **options)

    monkeypatch.setattr(checkpoint.ocp, "save", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(tmp_path / "one", TREE)
    assert signal.getsignal(signal.SIGINT) is handler
    jax.tree.map(np.testing.assert_array_equal, checkpoint.load(tmp_path / "one", TREE), TREE)
