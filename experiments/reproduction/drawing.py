"""Pictures of cells: the mean over seeds and starts, and its 68% interval."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.reproduction.cells import FIGURES, LAL_RL, OURS, Asked, Cell, accuracy, told
from jaxal.report import statistics

LARGER = "DDQN, 128 warm-start episodes, 2 labels a step"
COLOURS = {
    OURS: "#D55E00",
    LARGER: "#7F3300",
    LAL_RL: "#000000",
    "uncertainty": "#332288",
    "random": "#8A8A8A",
    "margin": "#0072B2",
    "entropy": "#56B4E9",
    "average confidence": "#AA4499",
    "pretrained": "#009E73",
    "counterfactual": "#004D39",
    "typical_herding": "#CC6677",
    "chord_herding": "#882255",
    "typical_uncertainty": "#DDAA33",
    "uherding": "#997700",
}
LEARNED = (OURS, LARGER, "pretrained", "counterfactual")


def panel(ax: Axes, title: str, cells: Mapping[str, Cell]) -> None:
    """Accuracy against labels; `cells` has for each strategy the cell that its curve is in."""
    for strategy, cell in cells.items():
        inside = OURS if strategy == LARGER else strategy
        band = accuracy(cell, inside)
        low, high = statistics.interval(band, 0.68)
        colour = COLOURS.get(strategy, "#333333")
        ax.fill_between(cell["labels"], low, high, color=colour, alpha=0.12, lw=0)
        ax.plot(cell["labels"], band.mean((0, 1)), color=colour, lw=2 if strategy in LEARNED else 1.2)
        ax.lines[-1].set_label(strategy.replace("_", " "))
    ax.set_title(title, loc="left", fontsize=9)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)


def columns(titles: Sequence[str], rows: Sequence[Sequence[Mapping[str, Cell]]]) -> Figure:
    """Panels, one column a title; each row has the curves of every column."""
    figure = Figure((4.6 * len(titles), 3.0 * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots(len(rows), len(titles), squeeze=False, sharex="col")
    for line, cells in zip(axes, rows, strict=True):
        for ax, title, curves in zip(line, titles, cells, strict=True):
            panel(ax, title, curves)
        line[0].set_ylabel("accuracy on the test rows")
    for ax in axes[-1]:
        ax.set_xlabel("labels")
    shown = {label: line for ax in axes[:, 0] for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(shown.values(), shown, loc="outside lower center", ncols=3, frameon=False)
    return figure


def bars(x: list[int], values: list[np.ndarray], xlabel: str, title: str) -> Figure:
    """Means of [seeds, starts] with their 68% intervals."""
    figure = Figure((4.6, 3.2), layout="constrained")
    ax = figure.subplots()
    means = np.array([each.mean() for each in values])
    bounds = np.array([statistics.interval(each, 0.68) for each in values])
    ax.errorbar(x, means, np.abs(bounds.T - means), fmt="o", color=COLOURS[OURS], capsize=3)
    ax.set_xlabel(xlabel)
    ax.set_ylabel("accuracy on the test rows")
    ax.set_title(title, loc="left", fontsize=9)
    ax.grid(alpha=0.25)
    return figure


def growth(measured: list[dict[str, Any]]) -> Figure:
    """Seconds without compilation against the dimensions of the data, and against the pool."""
    kinds = {"authors": ("LAL-RL, authors' way", "#000000"), "engine": ("LAL-RL, our engine", "#0072B2")}
    kinds["paper"] = ("the paper's settings", COLOURS[OURS])
    figure = Figure((8.6, 3.2), layout="constrained")
    for ax, (varies, fixed) in zip(
        figure.subplots(1, 2), (("dimensions", "pool"), ("pool", "dimensions")), strict=True
    ):
        side_by_side = [each for each in measured if each[fixed] == usual(measured, fixed)]
        along = sorted(side_by_side, key=lambda each: each[varies])
        for kind, (label, colour) in kinds.items():
            seconds = [each[kind]["seconds"] - each[kind].get("compilation", 0) for each in along]
            ax.loglog([each[varies] for each in along], seconds, "o-", color=colour, label=label)
        ax.set_xlabel({"dimensions": "pixels x channels", "pool": "pool"}[varies])
        ax.grid(alpha=0.25)
    figure.axes[0].set_ylabel("seconds, without compilation")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def usual(measured: Sequence[dict[str, Any]], name: str) -> int:
    """The value that most measurements have."""
    values = [each[name] for each in measured]
    return max(set(values), key=values.count)


def save(figure: Figure, asked: Asked, name: str) -> Path:
    """Writes a picture beside the others of the experiments, or into another folder of results."""
    folder = FIGURES if asked.out.name == "results" else asked.out
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{asked.scale.stem}-{name}.png"
    figure.savefig(path, dpi=90)
    told(f"{path}")
    return path
