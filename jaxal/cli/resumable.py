"""The two long stages of a run, training and comparison, which go on where they were interrupted."""

import json
import shutil
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxal.config import Config
from jaxal.data.dataset import Embedded
from jaxal.data.splits import Split
from jaxal.evaluate import ComparisonHooks
from jaxal.experiment import (
    Evaluation,
    Policies,
    compare_strategies,
    policy_shapes,
    train_policies,
    training_memory,
)
from jaxal.files import write_json
from jaxal.policies import checkpoint
from jaxal.policies.learner import Hooks
from jaxal.report import results, terminal
from jaxal.tasks.banks import Sources

COMPARISON = "comparison"  # folder in a run's folder, for curves until the last strategy has been compared
SAVE_EVERY = 30.0  # seconds between two checkpoints


@contextmanager
def resumable() -> Generator[None]:
    """Where an interruption costs nothing but what was done since the last checkpoint."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command with --resume goes on from the last checkpoint") from None


def learn(config: Config, sources: Sources, folder: Path) -> tuple[Policies, dict[str, Any]]:
    """Trained policies, and the report of the training; read from the folder where they are there already."""
    report = folder / "training.json"
    if report.is_file():
        policies = load_policies(config, folder, config.evaluation.seeds, sources.bank.class_mask.shape[-1])
        return policies, json.loads(report.read_text(encoding="utf-8"))
    snapshots = folder / "checkpoint"
    last_saved = time.monotonic()

    def save(done: int, snapshot: Any) -> None:
        nonlocal last_saved
        if time.monotonic() - last_saved > SAVE_EVERY:
            place = snapshots / str(done)  # never over the last one: this may be interrupted
            checkpoint.save(place, snapshot)
            for other in set(snapshots.iterdir()) - {place}:
                shutil.rmtree(other)
            last_saved = time.monotonic()

    def resume(like: Any) -> Any | None:
        whole = [int(place.name) for place in snapshots.glob("*") if place.name.isdigit()]
        return _restore(snapshots / str(max(whole)), like) if whole else None

    held = training_memory(config, sources) / 2**20
    terminal.console.print(f"task banks and replay buffers: {held:,.0f} MiB", highlight=False)
    with terminal.progress("training") as progress:
        learned = train_policies(config, sources, Hooks(progress, resume, save))
    policies = {name: found.params for name, found in learned.items()}
    checkpoint.save(folder / "policy", policies)
    reports = [found.report for found in learned.values() if found.report]
    write_json(report, reports[0] if reports else {})
    shutil.rmtree(snapshots, ignore_errors=True)
    return policies, json.loads(report.read_text(encoding="utf-8"))


def load_policies(config: Config, folder: Path, seeds: int, classes: int) -> Policies:
    """The policies that `learn` left in a folder. Raises CheckpointError, one line."""
    return _restore(folder / "policy", policy_shapes(config, seeds, classes))


def _restore(place: Path, like: Any) -> Any:
    """`checkpoint.load`; where it fails, what the other reads under way have to say stays unsaid from then on."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    restored = checkpoint.load(place, like)
    sys.unraisablehook = hook
    return restored


def compare(config: Config, target: Embedded, splits: Sequence[Split], policies: Policies, folder: Path) -> Evaluation:
    """The comparison; each strategy's curves are kept in the folder of the run, or taken from it."""
    kept = folder / COMPARISON
    kept.mkdir(exist_ok=True)
    places = {name: kept / f"{name}.npz" for name in config.evaluation.strategies}
    known = {name: results.read_curves(place) for name, place in places.items() if place.is_file()}
    save = lambda name, curves: results.write_curves(places[name], curves)
    with terminal.progress("comparing") as progress:
        return compare_strategies(config, target, splits, policies, ComparisonHooks(progress, known, save))


def clear(folder: Path) -> None:
    """Takes away what was kept for an interrupted comparison."""
    shutil.rmtree(folder / COMPARISON)
