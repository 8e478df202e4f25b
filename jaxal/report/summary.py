"""The numbers of a comparison, as `results.json` holds them: how they are worked out, looked up and checked.

A summary is what JSON can hold, and all that tables, figures and pages are made from; so an old run folder, or one of
another machine, is reported as one's own.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxal.config import EvaluationConfig
from jaxal.report import schema, statistics
from jaxal.report.reading import read_json

Summary = dict[str, Any]
METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "auroc": "AUROC",
}


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

    kind: str  # learned, hand-written or control
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
    """Curves of one strategy, [seeds, starts, T + 1], ascending; NaN where a number cannot be had."""
    seed, start = (np.unique(summary["episodes"][key], return_inverse=True) for key in ("seed", "start"))
    rows = np.asarray(summary["strategies"][name][metric], float)
    out = np.full((len(seed[0]), len(start[0]), rows.shape[-1]), np.nan)
    out[seed[1], start[1]] = rows
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
        summary: Summary = dict(read_json(path, schema.ResultsFile, unknown="allow"))
        schema.check(summary, METRIC_NAMES)
    except FileNotFoundError:
        raise ReportError(f"{path}: no such file; give the folder of a finished `jaxal run`") from None
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ReportError(f"{path}: not what `jaxal run` writes ({error}); run it again") from None
    for part, empty in ((summary, schema.EMPTY), (summary["dataset"], schema.EMPTY_OF_DATASET)):
        part.update({name: kind() for name, kind in empty.items() if part.get(name) is None})
    return summary
