"""The two long stages of a run, training and comparison, which go on where they were interrupted."""

import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxal.cli import checkpoint, results, run_folders, terminal
from jaxal.config import Config
from jaxal.data.dataset import Embedded
from jaxal.data.splits import Split
from jaxal.experiment import Evaluation, Policies, compare_strategies, policy_shapes, train_policies, training_memory
from jaxal.policies.train import Snapshot
from jaxal.tasks.banks import Sources

COMPARISON = "comparison"  # folder in a run's folder, for curves until the last strategy has been compared
SAVE_EVERY = 30.0  # seconds between two checkpoints


@contextmanager
def resumable() -> Iterator[None]:
    """Where an interruption costs nothing but what was done since the last checkpoint."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt("the same command with --resume goes on from the last checkpoint") from None


def learn(config: Config, sources: Sources, folder: Path) -> tuple[Policies, dict[str, Any]]:
    """Trained policies and what is to be told of the training; read from the folder where they are there already."""
    told = folder / "training.json"
    if told.is_file():
        policies = load_policies(config, folder, config.evaluation.seeds, sources.bank.class_mask.shape[-1])
        return policies, json.loads(told.read_text(encoding="utf-8"))
    snapshots = folder / "checkpoint"
    last_saved = time.monotonic()

    def save(snapshot: Snapshot) -> None:
        nonlocal last_saved
        if time.monotonic() - last_saved > SAVE_EVERY:
            place = snapshots / str(snapshot.history.iteration)  # never over the last one: this may be interrupted
            checkpoint.save(place, snapshot)
            for other in set(snapshots.iterdir()) - {place}:
                shutil.rmtree(other)
            last_saved = time.monotonic()

    def resume(like: Snapshot) -> Snapshot | None:
        whole = [int(place.name) for place in snapshots.glob("*") if place.name.isdigit()]
        return _restore(snapshots / str(max(whole)), like) if whole else None

    held = training_memory(config, sources) / 2**20
    terminal.console.print(f"task banks and replay buffers: {held:,.0f} MiB", highlight=False)
    with terminal.progress("training") as progress:
        training = train_policies(config, sources, progress=progress, resume=resume, save=save)
    checkpoint.save(folder / "policy", training.policies._asdict())
    told_training = results.describe_training(training)
    run_folders.write_json(told, told_training)
    shutil.rmtree(snapshots, ignore_errors=True)
    return training.policies, told_training


def load_policies(config: Config, folder: Path, seeds: int, classes: int) -> Policies:
    """The policies that `learn` left in a folder. Raises CheckpointError, one line."""
    return Policies(**_restore(folder / "policy", policy_shapes(config, seeds, classes)._asdict()))


def _restore(place: Path, like: Any) -> Any:
    """`checkpoint.load`; where it fails, what the other reads under way have to say stays unsaid from then on."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    restored = checkpoint.load(place, like)
    sys.unraisablehook = hook
    return restored


def compare(
    config: Config, target: Embedded, splits: Sequence[Split], policies: Policies | None, folder: Path
) -> Evaluation:
    """The comparison; each strategy's curves are kept in the folder of the run, or taken from it."""
    kept = folder / COMPARISON
    kept.mkdir(exist_ok=True)
    places = {name: kept / f"{name}.npz" for name in config.evaluation.strategies}
    known = {name: results.read_curves(place) for name, place in places.items() if place.is_file()}
    with terminal.progress("comparing") as progress:
        return compare_strategies(
            config,
            target,
            splits,
            policies,
            progress=progress,
            known=known,
            save=lambda name, curves: results.write_curves(places[name], curves),
        )


def clear(folder: Path) -> None:
    """Takes away what was kept for an interrupted comparison."""
    shutil.rmtree(folder / COMPARISON)
