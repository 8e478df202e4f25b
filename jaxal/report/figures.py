"""Pictures of a summary, as matplotlib `Figure`s without a window or global state.

Every strategy has one colour in all pictures, from palettes made for colour-blind readers (Okabe and Ito
2008, Tol 2021); controls are dashed, in grey and black; curves are named at their ends.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.optimize import isotonic_regression

from jaxal.report import statistics
from jaxal.report.summary import METRIC_NAMES, Summary, best_hand_written, curves, label, policy

POLICY_COLOUR = "#D55E00"  # of the learned policy
PALETTE = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#332288", "#AA4499", "#7F7F2A", "#882255", "#44AA99", "#6699CC")
MOST_BANDS = 7  # as many as the paper compares
LONGEST = 34  # letters of a strategy's label
WIDE, NARROW = 8.6, 4.4  # inches; the narrow pictures are for phones


def figure(summary: Summary, *, width: float = WIDE) -> Figure:
    """Mean accuracy and 68% bands against the number of labels; below, policy minus best hand-written.

    The second panel is left out when the run has no learned or no hand-written strategy.
    """
    return side_by_side([summary], width=width)


def side_by_side(runs: list[Summary], *, names: list[str] | None = None, width: float = WIDE) -> Figure:
    """`figure` with one column a run; `width` inches for each."""
    lower = any(policy(run) and best_hand_written(run) for run in runs)
    height = 3.9 if width == WIDE else 4.1
    ratios = [height, 2.1] if lower else [height]
    fig = Figure((width * len(runs), sum(ratios) + 0.3), layout="constrained")
    axes = fig.subplots(len(ratios), len(runs), squeeze=False, height_ratios=ratios, sharex="col")
    for column, run in enumerate(runs):
        _accuracy_panel(axes[0, column], run, names[column] if names else run["dataset"]["name"], width)
        if lower:
            _difference_panel(axes[1, column], run)
        axes[-1, column].set_xlabel("labels")
    fig.draw_without_rendering()  # settles the heights that the names at the curves' ends are spread over
    for column, run in enumerate(runs):
        _name_ends(axes[0, column], run)
    return fig


def other_metrics(summary: Summary) -> list[str]:
    """The metrics beside accuracy that every strategy has, and that could be had."""
    there = lambda metric: all(
        metric in entry and not np.isnan(curves(summary, name, metric)).all()
        for name, entry in summary["strategies"].items()
    )
    return [metric for metric in METRIC_NAMES if metric != "accuracy" and there(metric)]


def metrics_figure(summary: Summary, *, width: float = WIDE) -> Figure:
    """Small multiples of the other metrics, of which there must be one: the policy, the best hand-written and margin;
    the rest faint."""
    names = other_metrics(summary)
    rows, columns = (1, len(names)) if width == WIDE else (len(names), 1)
    fig = Figure((width, 2.6 * rows + 0.5), layout="constrained")
    shown = {name for name in (policy(summary), best_hand_written(summary), "margin") if name}
    entries: dict[str, Any] = summary["strategies"]
    for ax, metric in zip(fig.subplots(rows, columns, squeeze=False).flat, names, strict=True):
        for name, entry in sorted(entries.items(), key=lambda item: item[0] in shown):
            mean = curves(summary, name, metric).mean((0, 1))
            style = line_style(summary, name) if name in shown else {"color": "#C8C8C8", "lw": 0.8}
            ax.plot(entry["labels"], mean, label=_called(summary, name) if name in shown else None, **style)
        _finish(ax)
        ax.set_title(METRIC_NAMES[metric], loc="left", fontsize=10)
        ax.set_xlabel("labels")
    lines = fig.axes[0].get_legend_handles_labels()
    fig.legend(*lines, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return fig


def training_figure(summary: Summary, *, width: float = WIDE) -> Figure:
    """Mean training return against the iteration: a thin line a seed, a thick one for the mean of those not done."""
    returns = np.asarray(summary["training"]["returns"], float)  # [iterations] or [iterations, seeds]
    returns = returns.reshape(len(returns), -1)
    iterations = np.arange(1, len(returns) + 1)
    fig = Figure((width, 2.6), layout="constrained")
    ax = fig.subplots()
    if returns.shape[1] > 1:
        ax.plot(iterations, returns, color=POLICY_COLOUR, lw=0.8, alpha=0.45)
    ax.plot(iterations, np.nanmean(returns, 1), color=POLICY_COLOUR, lw=2.4)
    _finish(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("iteration")
    ax.set_ylabel("return of an episode")
    return fig


def line_style(summary: Summary, name: str) -> dict[str, Any]:
    """Colour, width and dashes of a strategy's curve, as matplotlib calls them."""
    entry = summary["strategies"][name]
    colour = entry.get("colour") or _free_colour(summary, name)
    if name == policy(summary):
        return {"color": colour, "lw": 2.8, "zorder": 4}
    return {"color": colour, "lw": 1.3, "ls": "--" if entry["kind"] == "control" else "-", "zorder": 3}


def _accuracy_panel(ax: Axes, summary: Summary, title: str, width: float) -> None:
    banded = _banded(summary)
    for name, entry in summary["strategies"].items():
        band = curves(summary, name)
        style = line_style(summary, name)
        if name in banded:
            low, high = statistics.interval(band, 0.68)
            opacity = 0.25 if name == policy(summary) else 0.10
            ax.fill_between(entry["labels"], low, high, color=style["color"], alpha=opacity, lw=0)
        ax.plot(entry["labels"], band.mean((0, 1)), **style)
    _finish(ax)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_ylabel("accuracy on the test rows")
    seeds, starts = (len(set(summary["episodes"][key])) for key in ("seed", "start"))
    title = title if len(title) <= 40 else title[:39] + "…"
    bands = "68% band" if len(banded) == len(summary["strategies"]) else f"{len(banded)} of the 68% bands"
    title = f"{title}: mean and {bands}, {_count(seeds, 'seed')} × {_count(starts, 'start')}"
    size = 10.5 if width == WIDE else 8.5
    ax.set_title(title, loc="left", fontsize=size, parse_math=False)


def _banded(summary: Summary) -> set[str]:
    """The strategies whose bands are drawn: all, unless they are so many that none could be made out."""
    names = set(summary["strategies"])
    return names if len(names) <= MOST_BANDS else names & {policy(summary), best_hand_written(summary), "random"}


def _difference_panel(ax: Axes, summary: Summary) -> None:
    ours, other = policy(summary), best_hand_written(summary)
    if ours is None or other is None:
        ax.set_axis_off()
        return
    difference = curves(summary, ours) - curves(summary, other)
    style = line_style(summary, ours)
    low, high = statistics.interval(difference, 0.68)
    labels = summary["strategies"][ours]["labels"]
    ax.axhline(0, color="#333333", lw=1)
    ax.fill_between(labels, low, high, color=style["color"], alpha=0.25, lw=0)
    ax.plot(labels, difference.mean((0, 1)), **style)
    _finish(ax)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1, symbol=""))
    ax.set_ylabel("difference (% points)")
    title = f"{_called(summary, ours)} minus {_called(summary, other)}, the best hand-written"
    ax.set_title(title, loc="left", fontsize=8.5, parse_math=False)


def _called(summary: Summary, name: str) -> str:
    """A strategy's label, cut where it would leave no room for the curves."""
    called = label(summary, name)
    return called if len(called) <= LONGEST else f"{called[: LONGEST - 1]}…"


def _name_ends(ax: Axes, summary: Summary) -> None:
    """Writes every curve's name at its right end, moved up or down just so far that names do not touch."""
    names = list(summary["strategies"])
    last = [summary["strategies"][name]["labels"][-1] for name in names]
    ends = np.array([curves(summary, name)[..., -1].mean() for name in names])
    order = np.argsort(ends)
    (low, high), size = ax.get_ylim(), 8.0
    points = ax.get_window_extent().height / ax.figure.dpi * 72
    gap = min(1.3 * size / points, 1 / max(len(names), 1)) * (high - low)
    steps = gap * np.arange(len(names))
    places = isotonic_regression(ends[order] - steps).x  # least movement with at least a gap between neighbours
    places = np.clip(places, low, max(low, high - gap / 2 - steps[-1])) + steps
    for i, place in zip(order, places, strict=True):
        style = line_style(summary, names[i])
        ax.annotate(
            _called(summary, names[i]),
            (last[i], ends[i]),
            (14, (place - ends[i]) / (high - low) * points),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=size,
            fontweight="bold" if names[i] == policy(summary) else "normal",
            color=style["color"],
            parse_math=False,
            arrowprops={
                "arrowstyle": "-",
                "color": style["color"],
                "lw": 0.5,
                "shrinkA": 0,
                "relpos": (0, 0.5),
            },
        )


def _free_colour(summary: Summary, name: str) -> str:
    """A colour for a strategy that has none of its own, taken by no other as long as there are enough."""
    entries = summary["strategies"]
    taken = {entry.get("colour") for entry in entries.values()}
    free = [colour for colour in PALETTE if colour not in taken] or list(PALETTE)
    uncoloured = [other for other, entry in entries.items() if not entry.get("colour")]
    return free[uncoloured.index(name) % len(free)]


def _finish(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#E4E4E4", lw=0.7)
    ax.set_axisbelow(True)
    ax.margins(x=0.01)
    ax.tick_params(labelsize=8.5)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
