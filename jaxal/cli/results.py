"""What an experiment leaves on disk: results.json with every number of the report, curves.npz with the arrays."""

import dataclasses
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxal.cli.run_folders import write_json
from jaxal.config import Config
from jaxal.data.dataset import Dataset
from jaxal.data.splits import PARTS, Split
from jaxal.evaluate import Curves
from jaxal.experiment import Evaluation, Training
from jaxal.report import statistics

CHEATING = ("balanced_oracle",)  # sees labels that it has not paid for


def summarise(config: Config, evaluation: Evaluation) -> dict[str, Any]:
    """The parts of `results.json` that the curves decide: episodes, strategies and comparisons.

    Every learned policy is compared with every other strategy, each family corrected by itself (Holm); the
    cheating control is left out.
    """
    curves, settings = evaluation.curves, config.evaluation
    accuracy = {name: np.asarray(c.metrics["accuracy"], np.float64) for name, c in curves.items()}
    target = settings.target_accuracy or _reachable(accuracy)
    seeds, starts = next(iter(accuracy.values())).shape[:2]
    strategies = {}
    for name, result in curves.items():
        areas = statistics.aulc(accuracy[name])
        needed = statistics.target_summary(statistics.labels_to_target(accuracy[name], evaluation.labels, target))
        strategies[name] = {
            "kind": evaluation.kinds[name],
            "cheats": name in CHEATING,
            "labels": evaluation.labels.tolist(),
            **{metric: _rounded(values.reshape(-1, values.shape[-1])) for metric, values in result.metrics.items()},
            "aulc_mean": float(areas.mean()),
            "aulc_ci68": statistics.interval(areas, 0.68).tolist(),
            "aulc_ci95": statistics.interval(areas, 0.95).tolist(),
            "labels_to_target": {"target": target, "median": needed.median, "reached": needed.reached},
            "seconds": result.seconds,
        }
    return {
        "episodes": {
            "seed": np.repeat(settings.first_seed + np.arange(seeds), starts).tolist(),
            "start": np.tile(np.arange(starts), seeds).tolist(),
        },
        "strategies": strategies,
        "comparisons": [
            c for name in curves if evaluation.kinds[name] == "learned" for c in _against_all(name, accuracy)
        ],
    }


def _reachable(accuracy: dict[str, np.ndarray]) -> float:
    """An accuracy that most strategies come near: 90% of the way from the mean start to the best mean end."""
    honest = [values for name, values in accuracy.items() if name not in CHEATING] or list(accuracy.values())
    start = np.mean([values[..., 0].mean() for values in honest])
    end = max(values[..., -1].mean() for values in honest)
    return float(np.round(start + 0.9 * (end - start), 3))


def _against_all(name: str, accuracy: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    others = [other for other in accuracy if other != name and other not in CHEATING]
    found = [statistics.compare(statistics.aulc(accuracy[name]), statistics.aulc(accuracy[o])) for o in others]
    adjusted = statistics.holm([comparison.p for comparison in found])
    return [
        {
            "a": name,
            "b": other,
            "aulc_difference": comparison.difference,
            "ci95": list(comparison.ci95),
            "p": comparison.p,
            "p_holm": p_holm,
            "effect_size": comparison.effect_size,
            "quarters": _rounded(statistics.quarters(accuracy[name], accuracy[other])),
        }
        for other, comparison, p_holm in zip(others, found, adjusted, strict=True)
    ]


def describe_data(dataset: Dataset, parts: Split, train_on: list[str]) -> dict[str, Any]:
    """The `dataset` part: names, and the rows of each part of the first seed's split."""
    return {
        "name": dataset.name,
        "classes": list(dataset.classes),
        **{name: len(rows) for name, rows in zip(PARTS, parts, strict=True)},
        "train_on": train_on,
        "notices": list(dataset.notices),
    }


def describe_training(training: Training) -> dict[str, Any]:
    """The `training` part."""
    history = training.trained.history
    done = ~np.isnan(history.returns[:, 0])
    validated = ~np.isnan(history.validation[:, 0])
    return {
        "iterations": int(done.sum()),
        "episodes": training.episodes,
        "env_steps": training.env_steps,
        "updates": training.updates,
        "seconds": training.trained.seconds,
        "compile_seconds": training.trained.compile_seconds,
        "returns": _rounded(history.returns[done]),
        "validated_at": np.flatnonzero(validated).tolist(),
        "validation_accuracy": _rounded(history.validation[validated]),
    }


def describe_environment() -> dict[str, Any]:
    """The `environment` part: what ran where."""
    device = jax.devices()[0]
    return {
        "jaxal": importlib.metadata.version("jaxal"),
        "jax": jax.__version__,
        "flax": importlib.metadata.version("flax"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{len(jax.devices())} x {device.platform} ({device.device_kind})",
        "cores": os.cpu_count(),
        "git": _git_revision(),
    }


def _git_revision() -> str | None:
    """The revision of the source tree that jaxal was imported from, where it is one."""
    folder = Path(__file__).resolve().parent
    ask = lambda *words: subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=True)
    try:
        if not ask("ls-files", Path(__file__).name).stdout.strip():
            return None
        return ask("describe", "--always", "--dirty").stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def write(folder: Path, config: Config, results: dict[str, Any], evaluation: Evaluation) -> None:
    """Writes results.json and curves.npz; neither is ever seen half written."""
    arrays: dict[str, np.ndarray] = {"labels": evaluation.labels}
    for name, curves in evaluation.curves.items():
        arrays[f"{name}/picks"] = curves.picks
        arrays |= {f"{name}/{metric}": values for metric, values in curves.metrics.items()}
    _write_npz(folder / "curves.npz", arrays)
    write_json(folder / "results.json", {"config": dataclasses.asdict(config), **results})


def write_curves(path: Path, curves: Curves) -> None:
    """Writes the curves of one strategy, for `read_curves`."""
    _write_npz(path, {**curves.metrics, "picks": curves.picks, "seconds": np.array(curves.seconds)})


def read_curves(path: Path) -> Curves:
    """What `write_curves` wrote."""
    with np.load(path) as arrays:
        metrics = {name: arrays[name] for name in arrays.files if name not in ("picks", "seconds")}
        return Curves(metrics, arrays["picks"], float(arrays["seconds"]))


def _write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes a .npz file in one move."""
    temporary = path.with_name(f".{path.name}")
    np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    temporary.replace(path)


def _rounded(values: np.ndarray) -> list[Any]:
    """As nested lists, in the digits that float32 has; NaN becomes null."""
    rounded = np.round(np.asarray(values, np.float64), 6)
    return np.where(np.isnan(rounded), np.array(None), rounded).tolist()
