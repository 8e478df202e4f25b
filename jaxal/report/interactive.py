"""The numbers of the page's interactive figure: what its template draws, and its script shows and hides.

Coordinates are data: labels to the right, percent of accuracy upwards; the browser scales them.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from jaxal.presets import PAPER_STRATEGIES
from jaxal.report import statistics
from jaxal.report.figures import MOST_BANDS, line_style
from jaxal.report.summary import Summary, best_hand_written, curves, label, policy


class Curve(NamedTuple):
    """One strategy's mean and 68% band, as SVG writes points."""

    name: str
    label: str
    area: str  # mean AULC
    colour: str  # #RRGGBB
    dashed: bool
    thick: bool
    shown: bool  # at first
    line: str
    band: str


class Tick(NamedTuple):
    """A mark on an axis."""

    text: str
    value: float
    share: float  # of the axis, in percent


class Chart(NamedTuple):
    """The figure: its curves, largest mean AULC first, and its axes."""

    curves: list[Curve]
    across: list[Tick]
    up: list[Tick]
    view: tuple[float, float, float, float]  # left, bottom, width, height
    still: str  # what the picture beside it shows


def chart(summary: Summary) -> Chart | None:
    """The interactive figure of a run; None where its curves are single points."""
    entries = summary["strategies"]
    labels = next(iter(entries.values()))["labels"]
    if len(labels) < 2:
        return None
    names = sorted(entries, key=lambda name: -entries[name]["aulc_mean"])
    percent = {name: 100 * curves(summary, name) for name in names}
    bands = {name: statistics.interval(values, 0.68) for name, values in percent.items()}
    shown = first_shown(summary)
    drawn = [_curve(summary, name, percent[name], bands[name], name in shown) for name in names]
    left, right = labels[0], labels[-1]
    low, high = _limits([*percent.values()], [*bands.values()])
    across = [Tick(f"{x:,.0f}", x, share) for x, share in _places(left, right, whole=True)]
    up = [Tick(f"{y:g}%", y, share) for y, share in _places(low, high)]
    return Chart(drawn, across, up, (left, low, right - left, high - low), _still(summary))


def first_shown(summary: Summary) -> set[str]:
    """The strategies shown at first: all, or of many the learned, the paper's and the best hand-written."""
    entries: dict[str, Any] = summary["strategies"]
    wanted = {*PAPER_STRATEGIES, best_hand_written(summary)}
    some = {name for name, entry in entries.items() if entry["kind"] == "learned" or name in wanted}
    return some if some and len(entries) > MOST_BANDS else set(entries)


def _curve(summary: Summary, name: str, values: np.ndarray, band: np.ndarray, shown: bool) -> Curve:
    entry = summary["strategies"][name]
    low, high = band
    there, back = _points(entry["labels"], high), _points(entry["labels"][::-1], low[::-1])
    return Curve(
        name,
        label(summary, name),
        f"{entry['aulc_mean']:.4f}",
        line_style(summary, name)["color"],
        entry["kind"] == "control",
        name == policy(summary),
        shown,
        _points(entry["labels"], values.mean((0, 1))),
        f"{there} {back}",
    )


def _points(across: Iterable[int], up: Iterable[float]) -> str:
    return " ".join(f"{x},{y:.3f}" for x, y in zip(across, up, strict=True))


def _limits(values: list[np.ndarray], bands: list[np.ndarray]) -> tuple[float, float]:
    """Ends of the upright axis: all means and bands, and a little room."""
    ends = [array for array in (*bands, *(v.mean((0, 1)) for v in values))]
    low, high = (float(extreme([extreme(array) for array in ends])) for extreme in (np.min, np.max))
    room = max(0.03 * (high - low), 0.1)
    return round(low - room, 3), round(high + room, 3)


def _places(low: float, high: float, *, whole: bool = False) -> list[tuple[float, float]]:
    """Round numbers between two ends, and where they stand between them, in percent."""
    ticks = MaxNLocator(6, integer=whole, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [(float(x), round(float(100 * (x - low) / (high - low)), 3)) for x in ticks if low <= x <= high]


def _still(summary: Summary) -> str:
    ours, best = policy(summary), best_hand_written(summary)
    lead = f", and {label(summary, ours)} minus {label(summary, best)}" if ours and best else ""
    return f"Still picture: all strategies{lead}"
