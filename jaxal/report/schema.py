"""What results.json may hold: its types here, and what types cannot say in `check`.

Names that are not here are let through, so that a file of a later version can be read.
"""

import re
from collections.abc import Iterable
from typing import Any, Literal, NotRequired, Required

import numpy as np
from typing_extensions import TypedDict

MOST_LABELS = 10**9
Numbers = list[float | None]  # null where one cannot be had


class Target(TypedDict):
    """Labels to a target accuracy."""

    target: float
    median: NotRequired[float | None]
    reached: NotRequired[float | None]


class Strategy(TypedDict, total=False):
    """A strategy's curves, a row for each episode, and what is worked out from them."""

    kind: Required[Literal["learned", "hand-written", "control"]]
    label: str | None
    cheats: bool | None
    colour: str | None
    labels: Required[list[int]]
    accuracy: Required[list[list[float]]]
    balanced_accuracy: list[Numbers]
    macro_f1: list[Numbers]
    auroc: list[Numbers]
    aulc_mean: Required[float]
    aulc_ci68: tuple[float, float] | None
    aulc_ci95: tuple[float, float] | None
    labels_to_target: Target | None
    seconds: float | None


class Comparison(TypedDict):
    """A paired comparison of two strategies."""

    a: str
    b: str
    aulc_difference: float
    ci95: tuple[float, float]
    p: float | None
    p_holm: float | None
    effect_size: NotRequired[float | None]
    quarters: NotRequired[Numbers | None]


class Episodes(TypedDict):
    """The seed and start of each row of a curve."""

    seed: list[int]
    start: list[int]


class DatasetFacts(TypedDict, total=False):
    """The data set; beside these, the rows of each part."""

    name: Required[str]
    classes: list[str] | None
    train_on: list[str] | None
    encoder: dict[str, str] | None
    notices: list[str] | None


class Training(TypedDict, total=False):
    """The report of the training; beside these, numbers by their names."""

    returns: list[float | None] | list[Numbers] | None
    iterations_by_seed: list[int] | None


class ResultsFile(TypedDict, total=False):
    """results.json."""

    command: str | None
    config: dict[str, Any] | None
    dataset: Required[DatasetFacts]
    labels_counted: dict[str, int] | None
    training: Training | None
    comparison: dict[str, float] | None
    environment: dict[str, Any] | None
    episodes: Required[Episodes]
    strategies: Required[dict[str, Strategy]]
    comparisons: list[Comparison] | None


EMPTY: dict[str, type] = {
    "comparisons": list,
    "labels_counted": dict,
    "training": dict,
    "comparison": dict,
    "environment": dict,
    "config": dict,
}
"""What an empty one stands for when it is absent or null."""
EMPTY_OF_DATASET: dict[str, type] = {"classes": list, "train_on": list, "notices": list, "encoder": dict}


def check(results: dict[str, Any], metrics: Iterable[str]) -> None:
    """Raises ValueError, one line, for what cannot be reported though its types are right."""
    strategies, comparisons = results["strategies"], results.get("comparisons") or []
    if not strategies:
        raise ValueError("strategies must hold at least one")
    episodes, labels = results["episodes"], next(iter(strategies.values()))["labels"]
    _require(labels == sorted(set(labels)), "labels must rise from point to point")
    _within("labels", labels, 0, MOST_LABELS)
    _within("episodes", episodes["seed"] + episodes["start"], 0, MOST_LABELS)
    pairs = set(zip(episodes["seed"], episodes["start"], strict=False))
    count = len(set(episodes["seed"])) * len(set(episodes["start"]))
    whole = len(episodes["seed"]) == len(episodes["start"]) == len(pairs) == count > 0
    _require(whole, "episodes must hold every start of every seed once")
    for name, entry in strategies.items():
        where = f"strategies.{name}"
        _require(entry["labels"] == labels, f"{where}.labels differ from those of the first strategy")
        for metric in metrics:
            if metric in entry:
                right = f"{where}.{metric} must be {len(pairs)} x {len(labels)} numbers"
                _require([len(row) for row in entry[metric]] == [len(labels)] * len(pairs), right)
                _within(f"{where}.{metric}", (value for row in entry[metric] for value in row), 0, 1)
        target = entry.get("labels_to_target") or {}
        shares = [entry["aulc_mean"], *(entry.get("aulc_ci68") or ()), *(entry.get("aulc_ci95") or ())]
        _within(f"{where}: areas, intervals and targets", [*shares, target.get("target"), target.get("reached")], 0, 1)
        _within(f"{where}: labels and seconds", [target.get("median"), entry.get("seconds")], 0, MOST_LABELS)
        colour = entry.get("colour") or ""
        _require(not colour or re.fullmatch(r"#[0-9A-Fa-f]{6}", colour), f"{where}.colour must be #RRGGBB")
    for pair in comparisons:
        for side in (pair["a"], pair["b"]):
            _require(side in strategies, f"comparisons: {side!r} is none of the strategies")
        _within("comparisons: p", [pair["p"], pair["p_holm"]], 0, 1)
        quarters = pair.get("quarters") or [None] * 4
        _require(len(quarters) == 4, "comparisons: quarters must be four")
        _within("comparisons: differences", [pair["aulc_difference"], *pair["ci95"], *quarters], -1, 1)
    returns = (results.get("training") or {}).get("returns") or []
    rows = [row if isinstance(row, list) else [row] for row in returns]
    _require(len({len(row) for row in rows}) <= 1, "training.returns must be rows of equal length")
    _require(all(any(x is not None for x in row) for row in rows), "training.returns must have a number in every row")


def _require(condition: Any, right: str) -> None:
    if not condition:
        raise ValueError(right)


def _within(what: str, values: Iterable[float | None], low: float, high: float) -> None:
    """That all numbers there are lie between the two, rounding aside."""
    known = np.array([value for value in values if value is not None], float)
    inside = known.size == 0 or (known.min() >= low - 1e-6 and known.max() <= high + 1e-6)
    _require(inside, f"{what} must be {low:,} to {high:,}")
