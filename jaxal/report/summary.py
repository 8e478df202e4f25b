"""The numbers of a comparison, as `results.json` holds them: how they are worked out, looked up and checked.

A summary is what JSON can hold, and all that tables, figures and pages are made from; so an old run folder, or one of
another machine, is reported as one's own.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxal.config import EvaluationConfig
from jaxal.report import statistics

Summary = dict[str, Any]
METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "auroc": "AUROC",
}
KINDS = ("learned", "hand-written", "control")
OPTIONAL = {
    "comparisons": list,
    "labels_counted": dict,
    "training": dict,
    "environment": dict,
    "config": dict,
}
OPTIONAL_OF_DATASET = {"classes": list, "train_on": list, "notices": list}


class ReportError(ValueError):
    """A run folder that cannot be reported, in one line: which file, what is wrong, what would be right."""


class Curves(NamedTuple):
    """Learning curves of one strategy."""

    metrics: dict[str, np.ndarray]  # name -> [seeds, starts, T + 1]
    picks: np.ndarray  # [seeds, starts, T, N] int32 pool rows
    seconds: float  # without compilation
    initial: np.ndarray | None = None  # [seeds, starts, I] int32 pool rows of the initial sets; None: not kept


class Shown(NamedTuple):
    """How a strategy is shown."""

    kind: str  # one of `KINDS`
    label: str
    cheats: bool = False  # sees labels that it has not paid for
    colour: str = ""  # #RRGGBB; "": the next free one


def summarise(
    settings: EvaluationConfig, curves: Mapping[str, Curves], shown: Mapping[str, Shown], labels: np.ndarray
) -> Summary:
    """The parts of a summary that the curves decide: episodes, strategies and comparisons.

    Every learned policy is compared with every other strategy, each family corrected by itself (Holm); what cheats is
    left out.

    Args:
      settings: of the comparison.
      curves: by strategy.
      shown: by strategy.
      labels: [T + 1] labels at each point of a curve.
    """
    accuracy = {name: np.asarray(c.metrics["accuracy"], np.float64) for name, c in curves.items()}
    honest = {name: values for name, values in accuracy.items() if not shown[name].cheats}
    target = settings.target_accuracy or _reachable(honest or accuracy)
    seeds, starts = next(iter(accuracy.values())).shape[:2]
    strategies = {}
    for name, result in curves.items():
        areas = statistics.aulc(accuracy[name])
        needed = statistics.target_summary(statistics.labels_to_target(accuracy[name], labels, target))
        strategies[name] = {
            **shown[name]._asdict(),
            "labels": labels.tolist(),
            **{
                metric: statistics.rounded(values.reshape(-1, values.shape[-1]))
                for metric, values in result.metrics.items()
            },
            "aulc_mean": float(areas.mean()),
            "aulc_ci68": statistics.interval(areas, 0.68).tolist(),
            "aulc_ci95": statistics.interval(areas, 0.95).tolist(),
            "labels_to_target": {"target": target, "median": needed.median, "reached": needed.reached},
            "seconds": result.seconds,
        }
    learned = [name for name in curves if shown[name].kind == "learned"]
    return {
        "episodes": {
            "seed": np.repeat(settings.first_seed + np.arange(seeds), starts).tolist(),
            "start": np.tile(np.arange(starts), seeds).tolist(),
        },
        "strategies": strategies,
        "comparisons": [c for name in learned for c in _against_all(name, honest)],
    }


def _reachable(accuracy: Mapping[str, np.ndarray]) -> float:
    """An accuracy that most strategies come near: 90% of the way from the mean start to the best mean end."""
    start = np.mean([values[..., 0].mean() for values in accuracy.values()])
    end = max(values[..., -1].mean() for values in accuracy.values())
    return float(np.round(start + 0.9 * (end - start), 3))


def _against_all(name: str, accuracy: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    others = [other for other in accuracy if other != name]
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
            "quarters": statistics.rounded(statistics.quarters(accuracy[name], accuracy[other])),
        }
        for other, comparison, p_holm in zip(others, found, adjusted, strict=True)
    ]


def label(summary: Summary, name: str) -> str:
    """How a strategy is called in pictures and tables."""
    return summary["strategies"][name].get("label") or name.replace("_", " ")


def policy(summary: Summary) -> str | None:
    """The learned strategy that the run is about: the first."""
    return next((name for name, entry in summary["strategies"].items() if entry["kind"] == "learned"), None)


def best_hand_written(summary: Summary) -> str | None:
    """The hand-written strategy with the largest mean AULC."""
    entries = summary["strategies"]
    names = [name for name, entry in entries.items() if entry["kind"] == "hand-written"]
    return max(names, key=lambda name: entries[name]["aulc_mean"], default=None)


def curves(summary: Summary, name: str, metric: str = "accuracy") -> np.ndarray:
    """Curves of one strategy, [seeds, starts, T + 1], ascending; ValueError if an episode is missing."""
    seed, start = (np.unique(summary["episodes"][key], return_inverse=True) for key in ("seed", "start"))
    rows = np.asarray(summary["strategies"][name][metric], float)
    out = np.full((len(seed[0]), len(start[0]), rows.shape[-1]), np.nan)
    out[seed[1], start[1]] = rows
    if len(rows) != out.shape[0] * out.shape[1] or np.isnan(out).all(-1).any():
        raise ValueError("episodes must hold every start of every seed once")
    return out


def missing(value: float | None) -> bool:
    """Whether a number is None or NaN."""
    return value is None or math.isnan(value)


def read(folder: Path | str) -> Summary:
    """The checked contents of `folder`/results.json.

    Raises:
      ReportError: the file is missing, is not JSON, or lacks what a report needs.
    """
    path = Path(folder) / "results.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(f"{path}: no such file; give the folder of a finished `jaxal run`") from None
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ReportError(f"{path}: not a whole JSON file ({_one_line(error)}); run `jaxal run` again") from None
    try:
        return _checked(summary)
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise ReportError(f"{path}: not what `jaxal run` writes: {_one_line(error)}; run it again") from None
    except KeyError as error:
        raise ReportError(f"{path}: not what `jaxal run` writes: the field {error} is missing; run it again") from None


def _checked(summary: Any) -> Summary:
    """Fills in what may be absent and raises for anything that a report cannot do without."""
    if not isinstance(summary, dict):
        raise ValueError("the contents must be an object")
    for part, optional in ((summary, OPTIONAL), (summary["dataset"], OPTIONAL_OF_DATASET)):
        for key, kind in optional.items():
            if part.get(key) is None:
                part[key] = kind()
            if not isinstance(part[key], kind):
                raise ValueError(f"{key} must be {'a list' if kind is list else 'an object'}")
    summary["dataset"]["name"] = str(summary["dataset"]["name"])
    returns = summary["training"].get("returns") or []
    if not np.isfinite(np.asarray(returns, float)).all() or not isinstance(returns, list):
        raise ValueError("training.returns must be a list of finite numbers, or of one such list an iteration")
    if not summary["strategies"]:
        raise ValueError("strategies must hold at least one")
    for name, entry in summary["strategies"].items():
        _check_strategy(f"strategies.{name}", entry, len(summary["episodes"]["seed"]))
        curves(summary, name)
    for entry in summary["comparisons"]:
        if absent := {"a", "b", "p", "p_holm"} - set(entry):
            raise KeyError(f"comparisons.{min(absent)}")
        if not np.isfinite([entry["aulc_difference"], *entry["ci95"]]).all() or len(entry["ci95"]) != 2:
            raise ValueError("comparisons: aulc_difference and the two ends of ci95 must be finite")
        for value in (entry["p"], entry["p_holm"], entry.get("effect_size"), *(entry.get("quarters") or ())):
            missing(value)  # raises for what is neither a number nor null
    return summary


def _check_strategy(where: str, entry: dict[str, Any], episodes: int) -> None:
    if entry["kind"] not in KINDS:
        raise ValueError(f"{where}.kind is {entry['kind']!r}; it must be one of {', '.join(KINDS)}")
    if not isinstance(entry.get("label") or "", str) or not isinstance(entry.get("colour") or "", str):
        raise ValueError(f"{where}: label and colour must be strings")
    if not math.isfinite(entry["aulc_mean"]):
        raise ValueError(f"{where}.aulc_mean is {entry['aulc_mean']}; it must be finite")
    for metric in METRIC_NAMES:
        if metric != "accuracy" and metric not in entry:
            continue
        found, shape = np.asarray(entry[metric], float), (episodes, len(entry["labels"]))
        if found.shape != shape or not np.isfinite(found).all():
            raise ValueError(f"{where}.{metric} must be {shape[0]} x {shape[1]} finite numbers")
    for key in ("aulc_ci68", "aulc_ci95"):
        if entry.get(key) is not None and np.shape(np.asarray(entry[key], float)) != (2,):
            raise ValueError(f"{where}.{key} must be two numbers")
    target = entry.get("labels_to_target") or {"target": 0.0}
    for value in (target["target"], target.get("median"), target.get("reached"), entry.get("seconds")):
        missing(value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
