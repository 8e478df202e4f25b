"""The two long stages of a run, training and comparison, which go on where they were interrupted.

What they keep in the run's folder is sealed. What turns out to be damaged, or another run's, is computed again, and
told.
"""

import shutil
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

import jax

from jaxal.config import Config
from jaxal.data.dataset import Embedded
from jaxal.data.splits import Split
from jaxal.evaluate import ComparisonHooks
from jaxal.experiment import (
    Evaluation,
    Policies,
    compare_strategies,
    policy_shapes,
    sources_for,
    train_policies,
)
from jaxal.files import write_json
from jaxal.policies import checkpoint
from jaxal.policies.checkpoint import CheckpointError
from jaxal.policies.learner import Hooks, Progress
from jaxal.report import results, terminal
from jaxal.report.asked import origin
from jaxal.report.reading import read_json
from jaxal.report.summary import Curves
from jaxal.seals import SealError, check, seal, seal_of

COMPARISON = "comparison"  # folder in a run's folder, for curves until the last strategy has been compared
SNAPSHOTS = "checkpoint"  # folder in a run's folder, for training until it is done
SAVE_EVERY = 30.0  # seconds between two checkpoints
KEPT = 2  # checkpoints, so that there is one before a damaged one


@contextmanager
def resumable() -> Generator[None]:
    """Where an interruption costs nothing but what was done since the last checkpoint."""
    try:
        yield
    except (KeyboardInterrupt, jax.errors.JaxRuntimeError) as stop:
        if not _is_interruption(stop):
            raise
        raise KeyboardInterrupt("the same command with --resume goes on from the last checkpoint") from None


def _is_interruption(error: BaseException) -> bool:
    """Whether it is Ctrl-C, or what JAX makes of one within a plug-in that calls back to Python."""
    last = (str(error).strip().splitlines() or [""])[-1]
    return isinstance(error, KeyboardInterrupt) or last.startswith("KeyboardInterrupt")


def learn(
    config: Config, sources: Sequence[Embedded], splits: Sequence[Sequence[Split]], folder: Path
) -> tuple[Policies, dict[str, Any]]:
    """Trained policies, and the report of the training; read from the folder where they are there already.

    The tasks are made in here, so that they, and their images, are gone when the comparison's own are made.
    """
    policy, report = folder / "policy", folder / "training.json"
    if seal_of(policy).exists():
        try:
            classes = max(len(source.dataset.classes) for source in sources)
            policies = load_policies(config, folder, config.evaluation.seeds, classes)
            return policies, read_json(report, dict, unknown="allow")
        except CheckpointError as error:
            terminal.notice(f"{error}; trained again")
    snapshots, made_from = folder / SNAPSHOTS, str(origin(folder))
    with terminal.progress("training") as progress:
        hooks = _snapshot_hooks(snapshots, made_from, progress)
        learned = train_policies(config, sources_for(config, sources, splits), hooks)
    policies = {name: found.params for name, found in learned.items()}
    told = next((found.report for found in learned.values() if found.report), {})
    write_json(report, told)
    checkpoint.save(policy, policies, made_from, beside=[report])
    shutil.rmtree(snapshots, ignore_errors=True)
    return policies, told


def _snapshot_hooks(snapshots: Path, made_from: str, progress: Progress) -> Hooks:
    """Hooks that keep the last snapshots of training in a folder, and go on from the newest that is whole."""
    last_saved = time.monotonic()

    def save(done: int, snapshot: Any) -> None:
        nonlocal last_saved
        if time.monotonic() - last_saved > SAVE_EVERY:
            checkpoint.save(snapshots / str(done), snapshot, made_from)  # never over another: this may be interrupted
            for place in _newest_first(snapshots)[KEPT:]:
                checkpoint.remove(place)
            last_saved = time.monotonic()

    def resume(like: Any) -> Any | None:
        places = _newest_first(snapshots)
        for place, before in zip_longest(places, places[1:]):
            try:
                return _restore(place, like, made_from)
            except CheckpointError as error:
                terminal.notice(f"{error}; {f'going on from {before}' if before else 'training begins again'}")
                checkpoint.remove(place)
        return None

    return Hooks(progress, resume, save)


def load_policies(config: Config, folder: Path, seeds: int, classes: int) -> Policies:
    """The policies that `learn` left in a folder. Raises CheckpointError, one line."""
    place, made_from = folder / "policy", origin(folder)
    beside = [folder / "training.json"] if made_from else []
    policies = _restore(place, policy_shapes(config, seeds, classes), made_from, beside)
    checkpoint.require_finite(place, policies)
    return policies


def _newest_first(snapshots: Path) -> list[Path]:
    """Checkpoints of training in a folder, those that were not written whole among them."""
    return sorted((p for p in snapshots.glob("*") if p.name.isdigit()), key=lambda p: int(p.name), reverse=True)


def _restore(place: Path, like: Any, made_from: str | None, beside: Sequence[Path] = ()) -> Any:
    """`checkpoint.load`; where it fails, what the other reads under way have to say stays unsaid from then on."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    restored = checkpoint.load(place, like, made_from, beside)
    sys.unraisablehook = hook
    return restored


def compare(config: Config, target: Embedded, splits: Sequence[Split], policies: Policies, folder: Path) -> Evaluation:
    """The comparison; each strategy's curves are kept in the folder of the run, or taken from it."""
    kept, made_from = folder / COMPARISON, str(origin(folder))
    kept.mkdir(exist_ok=True)
    places = {name: kept / f"{name}.npz" for name in config.evaluation.strategies}

    def save(name: str, curves: Curves) -> None:
        results.write_curves(places[name], curves)
        seal(seal_of(places[name]), [places[name]], made_from)

    known = {}
    for name, place in places.items():
        if not place.exists():
            continue
        try:
            check(seal_of(place), [place], made_from)
            known[name] = results.read_curves(place)
        except SealError as error:
            terminal.notice(f"{error}; compared again")
    with terminal.progress("comparing") as progress:
        return compare_strategies(config, target, splits, policies, ComparisonHooks(progress, known, save))


def clear(folder: Path) -> None:
    """Takes away what was kept for an interrupted comparison."""
    shutil.rmtree(folder / COMPARISON)
