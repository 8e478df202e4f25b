"""Pictures of a run's `results.json`, as matplotlib `Figure`s without a window or global state, and what they
need of it: curves by name, the policy, the best hand-written strategy.

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

Results = dict[str, Any]  # the contents of results.json

COLOURS = {
    "ddqn": "#D55E00",
    "linear_cem": "#B8860B",
    "random": "#8A8A8A",
    "margin": "#0072B2",
    "entropy": "#56B4E9",
    "least_confidence": "#332288",
    "average_confidence": "#AA4499",
    "k_center": "#009E73",
    "typicality": "#CC79A7",
    "typiclust": "#7F7F2A",
    "untrained_q": "#555555",
    "balanced_oracle": "#000000",
}
OTHER_COLOURS = ("#882255", "#44AA99", "#117733", "#6699CC", "#661100")
WIDE, NARROW = 8.6, 4.4  # inches; the narrow pictures are for phones
METRIC_NAMES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "auroc": "AUROC",
}


def label(name: str) -> str:
    """How a strategy is called in pictures and tables."""
    names = {"ddqn": "learned (DDQN)", "linear_cem": "linear CEM", "untrained_q": "untrained Q"}
    return names.get(name, name.replace("_", " ")) + (" (cheats)" if name == "balanced_oracle" else "")


def policy(results: Results) -> str | None:
    """The learned strategy that the run is about: `ddqn`, or else the first learned one."""
    learned = [name for name, entry in results["strategies"].items() if entry["kind"] == "learned"]
    return "ddqn" if "ddqn" in learned else next(iter(learned), None)


def best_hand_written(results: Results) -> str | None:
    """The hand-written strategy with the largest mean AULC."""
    entries = results["strategies"]
    names = [name for name, entry in entries.items() if entry["kind"] == "hand-written"]
    return max(names, key=lambda name: entries[name]["aulc_mean"], default=None)


def curves(results: Results, name: str, metric: str = "accuracy") -> np.ndarray:
    """Curves of one strategy, [seeds, starts, T + 1], ascending; ValueError if an episode is missing."""
    seed, start = (np.unique(results["episodes"][key], return_inverse=True) for key in ("seed", "start"))
    rows = np.asarray(results["strategies"][name][metric], float)
    out = np.full((len(seed[0]), len(start[0]), rows.shape[-1]), np.nan)
    out[seed[1], start[1]] = rows
    if len(rows) != out.shape[0] * out.shape[1] or np.isnan(out).all(-1).any():
        raise ValueError("episodes must hold every start of every seed once")
    return out


def figure(results: Results, *, width: float = WIDE) -> Figure:
    """Mean accuracy and its 68% band against the number of labels; below, policy minus best hand-written.

    The second panel is left out when the run has no learned or no hand-written strategy.
    """
    return side_by_side([results], width=width)


def side_by_side(runs: list[Results], *, names: list[str] | None = None, width: float = WIDE) -> Figure:
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


def metrics_figure(results: Results, *, width: float = WIDE) -> Figure:
    """Small multiples of the other metrics: the policy, the best hand-written and margin; the rest faint."""
    names = [m for m in METRIC_NAMES if m != "accuracy" and all(m in s for s in results["strategies"].values())]
    rows, columns = (1, max(len(names), 1)) if width == WIDE else (max(len(names), 1), 1)
    fig = Figure((width, 2.6 * rows + 0.5), layout="constrained")
    shown = {policy(results), best_hand_written(results), "margin"}
    for ax, metric in zip(fig.subplots(rows, columns, squeeze=False).flat, names, strict=True):
        for name, entry in sorted(results["strategies"].items(), key=lambda item: item[0] in shown):
            mean = curves(results, name, metric).mean((0, 1))
            style = _style(results, name) if name in shown else {"color": "#C8C8C8", "lw": 0.8}
            ax.plot(entry["labels"], mean, label=label(name) if name in shown else None, **style)
        _finish(ax)
        ax.set_title(METRIC_NAMES[metric], loc="left", fontsize=10)
        ax.set_xlabel("labels")
    if fig.axes:
        lines = fig.axes[0].get_legend_handles_labels()
        fig.legend(*lines, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return fig


def training_figure(results: Results, *, width: float = WIDE) -> Figure:
    """Mean training return against the iteration, a thin line a seed and a thick one for their mean."""
    returns = np.asarray(results["training"]["returns"], float)  # [iterations] or [iterations, seeds]
    returns = returns.reshape(len(returns), -1)
    iterations = np.arange(1, len(returns) + 1)
    fig = Figure((width, 2.6), layout="constrained")
    ax = fig.subplots()
    if returns.shape[1] > 1:
        ax.plot(iterations, returns, color=COLOURS["ddqn"], lw=0.8, alpha=0.45)
    ax.plot(iterations, returns.mean(1), color=COLOURS["ddqn"], lw=2.4)
    _finish(ax)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("iteration")
    ax.set_ylabel("return of an episode")
    return fig


def _accuracy_panel(ax: Axes, results: Results, title: str, width: float) -> None:
    for name, entry in results["strategies"].items():
        band = curves(results, name)
        style = _style(results, name)
        low, high = statistics.interval(band, 0.68)
        opacity = 0.25 if name == policy(results) else 0.10
        ax.fill_between(entry["labels"], low, high, color=style["color"], alpha=opacity, lw=0)
        ax.plot(entry["labels"], band.mean((0, 1)), **style)
    _finish(ax)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_ylabel("accuracy on the test rows")
    seeds, starts = band.shape[:2]
    title = title if len(title) <= 40 else title[:39] + "…"
    title = f"{title}: mean and 68% band, {_count(seeds, 'seed')} × {_count(starts, 'start')}"
    size = 10.5 if width == WIDE else 8.5
    ax.set_title(title, loc="left", fontsize=size, parse_math=False)


def _difference_panel(ax: Axes, results: Results) -> None:
    ours, other = policy(results), best_hand_written(results)
    if ours is None or other is None:
        ax.set_axis_off()
        return
    difference = curves(results, ours) - curves(results, other)
    style = _style(results, ours)
    low, high = statistics.interval(difference, 0.68)
    labels = results["strategies"][ours]["labels"]
    ax.axhline(0, color="#333333", lw=1)
    ax.fill_between(labels, low, high, color=style["color"], alpha=0.25, lw=0)
    ax.plot(labels, difference.mean((0, 1)), **style)
    _finish(ax)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1, symbol=""))
    ax.set_ylabel("difference (% points)")
    title = f"{label(ours)} minus {label(other)}, the best hand-written"
    ax.set_title(title, loc="left", fontsize=8.5, parse_math=False)


def _name_ends(ax: Axes, results: Results) -> None:
    """Writes every curve's name at its right end, moved up or down just so far that names do not touch."""
    names = list(results["strategies"])
    last = [results["strategies"][name]["labels"][-1] for name in names]
    ends = np.array([curves(results, name)[..., -1].mean() for name in names])
    order = np.argsort(ends)
    (low, high), size = ax.get_ylim(), 8.0
    points = ax.get_window_extent().height / ax.figure.dpi * 72
    gap = min(1.3 * size / points, 1 / max(len(names), 1)) * (high - low)
    steps = gap * np.arange(len(names))
    places = isotonic_regression(ends[order] - steps).x  # least movement with at least a gap between neighbours
    places = np.clip(places, low, max(low, high - gap / 2 - steps[-1])) + steps
    for i, place in zip(order, places, strict=True):
        style = _style(results, names[i])
        ax.annotate(
            label(names[i]),
            (last[i], ends[i]),
            (14, (place - ends[i]) / (high - low) * points),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=size,
            fontweight="bold" if names[i] == policy(results) else "normal",
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


def _style(results: Results, name: str) -> dict[str, Any]:
    kind = results["strategies"][name]["kind"]
    unknown = [other for other in results["strategies"] if other not in COLOURS]
    colour = COLOURS.get(name) or OTHER_COLOURS[unknown.index(name) % len(OTHER_COLOURS)]
    if name == policy(results):
        return {"color": colour, "lw": 2.8, "zorder": 4}
    return {"color": colour, "lw": 1.3, "ls": "--" if kind == "control" else "-", "zorder": 3}


def _finish(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#E4E4E4", lw=0.7)
    ax.set_axisbelow(True)
    ax.margins(x=0.01)
    ax.tick_params(labelsize=8.5)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
