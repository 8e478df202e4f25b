"""What does not fit into memory is told, in one line: before it is made, and where it shows only then."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jaxal import presets
from jaxal.build import resolved
from jaxal.cli import commands, label, main
from jaxal.data.dataset import Dataset, Embedded
from jaxal.experiment import check_memory
from jaxal.prepare import prepare
from jaxal.tasks import memory

XLA = "INTERNAL: during context [pre-optimization]: Out of memory allocating 274877906944 bytes."


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError(XLA), RuntimeError("RESOURCE_EXHAUSTED: 3 GB")])
def test_how_it_is_told_by_others(error):
    assert memory.ran_out(error)
    assert not memory.ran_out(RuntimeError("INTERNAL: something else"))


@pytest.mark.parametrize("error", [jax.errors.JaxRuntimeError(XLA), MemoryError()])
@pytest.mark.parametrize("command", ["run", "label"])
def test_memory_that_runs_out_is_one_line(monkeypatch, capfd, tmp_path, command, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(commands, "run", fails)
    monkeypatch.setitem(label.DO, label.flags.Status, fails)
    monkeypatch.setattr(sys, "argv", ["jaxal", *(["run"] if command == "run" else ["label", "status", str(tmp_path)])])
    with pytest.raises(SystemExit) as stop:
        main.main(leave=sys.exit)
    told = capfd.readouterr().err
    assert stop.value.code == main.MISTAKE
    assert told.startswith("jaxal: error: out of memory; take ") and told.count("\n") == 1


@pytest.fixture(scope="module")
def large():
    """A source pool of 8,000 rows and sixteen tasks, prepared."""
    n, base = 24_000, presets.default()
    labels = np.arange(n, dtype=np.int32) % 2
    data = Dataset("large", np.zeros((n, 2), np.float32), labels, ("a", "b"))
    config = resolved(
        replace(
            base,
            evaluation=replace(base.evaluation, strategies=("ddqn", "margin"), seeds=1),
            split=replace(base.split, source_pool=8000),
            train=replace(base.train, tasks=16, task_pool=0),
        )
    )
    return prepare(config, data, [data]), Embedded(data, np.zeros((n, 2), np.float32))


def test_what_will_not_fit_is_told_before_it_is_made(monkeypatch, large):
    prepared, data = large
    monkeypatch.setattr(memory, "available", lambda: 10**9)
    with pytest.raises(ValueError, match=r"^training does not fit into memory: .* lower train\.tasks, .*$"):
        check_memory(prepared, data, [data])
    monkeypatch.setattr(memory, "available", lambda: 10**6)
    with pytest.raises(ValueError, match=r"^the comparison does not fit into memory"):
        check_memory(prepared, data, [])
    for free in (10**15, None):  # enough, and nobody knows
        monkeypatch.setattr(memory, "available", lambda free=free: free)
        assert "training takes" in check_memory(prepared, data, [data])


def test_a_device_tells_its_own_memory(monkeypatch):
    device = SimpleNamespace(memory_stats=lambda: {"bytes_limit": 100, "bytes_in_use": 30})
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert memory.available() == 70
