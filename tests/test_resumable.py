"""What an interrupted run kept is believed only as far as its seals go: the rest is computed again, and told."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxal.cli import resumable
from jaxal.config import Config, EvaluationConfig
from jaxal.experiment import Evaluation
from jaxal.policies.checkpoint import CheckpointError
from jaxal.policies.learner import Learned
from jaxal.report import terminal
from jaxal.report.asked import Asked, begin
from jaxal.report.summary import Curves
from jaxal.seals import seal_of

CONFIG = Config(evaluation=EvaluationConfig(seeds=1, strategies=("margin", "random")))
POLICY = {"ddqn": {"w": jnp.arange(3.0)}}
SOURCE: Any = SimpleNamespace(dataset=SimpleNamespace(classes=("a", "b")))


class Trainer:
    """Training of four iterations, whose snapshot is the number of the last; it may be killed after one."""

    def __init__(self):
        self.begun: list[int] = []  # at which iteration
        self.killed_after = 5

    def __call__(self, config, sources, hooks) -> dict[str, Learned]:
        found = hooks.resume({"done": jnp.int32(0)})
        self.begun.append(0 if found is None else int(found["done"]))
        for done in range(self.begun[-1] + 1, 5):
            hooks.save(done, {"done": jnp.int32(done)})
            if done == self.killed_after:
                raise KeyboardInterrupt
        return {name: Learned(params, {"iterations": 4}) for name, params in POLICY.items()}


@pytest.fixture
def trainer(monkeypatch) -> Trainer:
    made = Trainer()
    monkeypatch.setattr(resumable, "train_policies", made)
    monkeypatch.setattr(resumable, "sources_for", lambda config, sources, splits: None)
    monkeypatch.setattr(resumable, "policy_shapes", lambda config, seeds, classes: POLICY)
    monkeypatch.setattr(resumable, "SAVE_EVERY", -1.0)
    return made


@pytest.fixture
def told(monkeypatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(terminal, "notice", lines.append)
    return lines


def new_run(folder: Path, dataset: str = "wine") -> Path:
    begin(folder, Asked("jaxal run", dataset, CONFIG, code="jaxal 1"))
    return folder


def flip(folder: Path) -> None:
    """One bit of the largest file."""
    file = max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def learn(folder: Path):
    return resumable.learn(CONFIG, [SOURCE], [], folder)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, trainer, told):
    run, trainer.killed_after = new_run(tmp_path / "run"), 3
    with pytest.raises(KeyboardInterrupt):
        learn(run)
    assert sorted(p.name for p in (run / "checkpoint").iterdir()) == ["2", "2.seal", "3", "3.seal"]
    flip(run / "checkpoint" / "3")
    trainer.killed_after = 5
    policies, report = learn(run)
    assert trainer.begun == [0, 2] and report == {"iterations": 4}
    assert told == [f"{run}/checkpoint/3: damaged; going on from {run}/checkpoint/2"]
    jax.tree.map(np.testing.assert_array_equal, policies, POLICY)
    assert not (run / "checkpoint").exists()


def test_checkpoints_of_another_run_are_not_used(tmp_path, trainer, told):
    run, other = new_run(tmp_path / "run"), new_run(tmp_path / "other", "digits")
    for folder in (run, other):
        trainer.killed_after = 2
        with pytest.raises(KeyboardInterrupt):
            learn(folder)
    trainer.killed_after = 5
    for place in (run / "checkpoint").glob("*.seal"):
        place.unlink()
    (other / "checkpoint" / "2.seal").rename(run / "checkpoint" / "2.seal")
    learn(run)
    assert trainer.begun == [0, 0, 0]
    assert told == [
        f"{run}/checkpoint/2: made from other data, settings or code; going on from {run}/checkpoint/1",
        f"{run}/checkpoint/1: not written whole (1.seal is missing); training begins again",
    ]


@pytest.mark.parametrize("damage", ["policy", "training.json"])
def test_a_damaged_policy_is_trained_again(tmp_path, trainer, told, damage):
    run = new_run(tmp_path / "run")
    learn(run)
    learn(run)
    assert trainer.begun == [0] and not told  # it was read the second time
    flip(run / "policy") if damage == "policy" else (run / damage).write_text("{}")
    learn(run)
    assert trainer.begun == [0, 0] and told == [f"{run}/{damage}: damaged; trained again"]


def test_a_policy_is_read_with_the_run_it_belongs_to_or_not_at_all(tmp_path, trainer):
    run, other = new_run(tmp_path / "run"), new_run(tmp_path / "other", "digits")
    learn(run)
    learn(other)
    for name in ("policy", "policy.seal", "training.json"):
        (run / name).rename(tmp_path / name)
        (other / name).rename(run / name)
    with pytest.raises(CheckpointError, match="run/policy: made from other data, settings or code"):
        resumable.load_policies(CONFIG, run, 1, 2)


def test_policies_must_be_finite(tmp_path, trainer, monkeypatch):
    run = new_run(tmp_path / "run")
    monkeypatch.setitem(POLICY, "ddqn", {"w": jnp.array([0.0, jnp.nan, 1.0])})
    learn(run)
    with pytest.raises(CheckpointError, match="run/policy: ddqn/w holds numbers that are not finite"):
        resumable.load_policies(CONFIG, run, 1, 2)


def test_kept_curves_are_used_when_they_are_whole(tmp_path, told, monkeypatch):
    run, known = new_run(tmp_path / "run"), []
    metrics = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1", "auroc"), np.ones((1, 2, 3)))
    curves = Curves(metrics, np.zeros((1, 2, 2, 1), np.int32), 1.5, np.zeros((1, 2, 2), np.int32))

    def compare(config, target, splits, policies, hooks):
        known.append(sorted(hooks.known))
        for name in set(config.evaluation.strategies) - set(hooks.known):
            hooks.save(name, curves)
        return Evaluation({}, {}, np.arange(3), 0.0)

    monkeypatch.setattr(resumable, "compare_strategies", compare)
    anything: Any = None
    again = lambda: resumable.compare(CONFIG, anything, [], {}, run)
    again()
    again()
    flip(run / "comparison")
    again()
    seal_of(run / "comparison" / "random.npz").unlink()
    again()
    whole = ["margin", "random"]
    assert known[:2] == [[], whole] and len(known[2]) == 1 and known[3] == ["margin"]
    assert len(told) == 2 and told[1].endswith(
        "random.npz: not written whole (random.npz.seal is missing); compared again"
    )
    resumable.clear(run)
    assert not (run / "comparison").exists()


def test_an_interruption_within_a_plug_in_is_one_as_well():
    def stopped(x):
        raise KeyboardInterrupt

    call_back = lambda x: jax.pure_callback(stopped, x, x)
    with pytest.raises(KeyboardInterrupt, match="the same command with --resume goes on"), resumable.resumable():
        jax.block_until_ready(jax.jit(call_back)(jnp.ones(2)))
    with pytest.raises(jax.errors.JaxRuntimeError), resumable.resumable():
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
