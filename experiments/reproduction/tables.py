"""Tables in Markdown, of cells, beside the paper's numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.reproduction import paper
from experiments.reproduction.cells import OURS, Cell, accuracy, at_labels, mean_and_spread
from experiments.reproduction.drawing import LARGER
from jaxal.report import statistics

POINTS = (10, 20, 30, 60)  # labels that curves are told at
NONE = "–"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def spread(values: np.ndarray) -> str:
    """Mean of [seeds, starts] ± half of its 68% interval."""
    return "{:.3f} ± {:.3f}".format(*mean_and_spread(values))


def curves_table(columns: Mapping[str, Cell]) -> str:
    """Each strategy's mean accuracy at some numbers of labels, and its area under the curve with the 68% interval."""
    last = max(cell["labels"][-1] for cell in columns.values())
    points = [point for point in POINTS if point <= last]
    rows = []
    for name, cell in columns.items():
        inside = OURS if name == LARGER else name
        areas = statistics.aulc(accuracy(cell, inside))
        at = [f"{at_labels(cell, inside, point).mean():.3f}" for point in points]
        rows.append((float(areas.mean()), [name, spread(areas), *at]))
    ordered = [row for _, row in sorted(rows, key=lambda row: -row[0])]
    return markdown(["strategy", "mean area", *(f"{point} labels" for point in points)], ordered)


def areas_table(name: str, by_setting: Mapping[str, Mapping[str, Cell]]) -> str:
    """Each strategy's area under the curve, a column a setting, by its mean over the settings."""
    areas = {
        strategy: [statistics.aulc(accuracy(columns[strategy], strategy)) for columns in by_setting.values()]
        for strategy in next(iter(by_setting.values()))
    }
    ordered = sorted(areas, key=lambda strategy: -np.mean([each.mean() for each in areas[strategy]]))
    return markdown([f"area, `{name}`", *by_setting], [[each, *map(spread, areas[each])] for each in ordered])


def figure_1(found: Mapping[str, Mapping[str, Cell]]) -> str:
    """A table a data set."""
    return "\n".join(f"`{name}`\n\n{curves_table(columns)}" for name, columns in found.items())


def figure_2(found: Mapping[str, Mapping[str, Cell]]) -> str:
    """The larger model beside the smaller, and the paper's largest gain."""
    rows = []
    for name, columns in found.items():
        larger, smaller = columns[LARGER], columns[OURS]
        shared = [labels for labels in larger["labels"] if labels in smaller["labels"]]
        gains = [(at_labels(larger, OURS, at) - at_labels(smaller, OURS, at)).mean() for at in shared]
        areas = [statistics.aulc(accuracy(cell, OURS)) for cell in (smaller, larger)]
        printed = paper.LARGER_GAIN.get(name)
        best = int(np.argmax(gains))
        rows.append(
            [
                f"`{name}`",
                *(spread(each) for each in areas),
                f"{gains[best]:+.3f} at {shared[best]} labels",
                f"{np.mean(gains):+.3f}",
                NONE if printed is None else f"up to {printed:+.3f}",
            ]
        )
    head = ["data set", "area, 16 episodes, 1 label", "area, 128 episodes, 2 labels", "largest gain", "mean gain"]
    return markdown([*head, "the paper's gain"], rows)


def table_1(name: str, found: Mapping[float, Mapping[str, Cell]], labels: int = 10) -> str:
    """Accuracy after `labels` labels by strategy and noise; the paper's numbers below ours."""
    heads = [f"`{name}`", *("no noise" if f == 0 else f"noise on {f:.0%}" for f in found)]
    rows = []
    for strategy in paper.TABLE_1:
        ours = [spread(at_labels(cells[strategy], strategy, labels)) for cells in found.values()]
        printed = dict(zip(paper.TABLE_1_NOISE, paper.TABLE_1[strategy], strict=True))
        theirs = ["{:.3f} ± {:.3f}".format(*printed[f]) if f in printed else NONE for f in found]
        rows += [[strategy, *ours], ["*the paper*", *(f"*{each}*" for each in theirs)]]
    return markdown(heads, rows)


def table_2(name: str, found: Mapping[int, Cell]) -> str:
    """Accuracy and training time by labels a step."""
    rows = []
    for n, cell in found.items():
        training = cell["training"]
        mean, deviation, seconds = paper.TABLE_2[n]
        rows.append(
            [
                str(n),
                f"{spread(accuracy(cell, OURS)[..., -1])} ({cell['labels'][-1]})",
                f"{training['seconds'] / len(training['iterations_by_seed']):.1f}",
                f"{training['compile_seconds']:.0f}",
                f"{mean:.3f} ± {deviation:.3f}",
                f"{seconds:,}",
            ]
        )
    head = [
        f"N, `{name}`",
        "accuracy (labels)",
        "seconds a policy",
        "compilation",
        "the paper's accuracy",
        "its seconds",
    ]
    return markdown(head, rows)


def timing(measured: Sequence[Mapping[str, Any]]) -> str:
    """Seconds of 5 episodes with 20 labels, and how many times longer LAL-RL takes.

    By the clock with compilation (and without; of the authors' way the episodes alone), then of all processor cores
    together, compilation included.
    """
    rows = []
    for each in measured:
        ours, engine, authors = each["paper"], each["engine"], each["authors"]
        warm = [x["seconds"] - x["compilation"] for x in (ours, engine)]
        rows.append(
            [
                f"{each['pool']:,}",
                f"{each['dimensions']:,}",
                *(f"{x['seconds']:.1f} ({left:.1f})" for x, left in zip((ours, engine), warm, strict=True)),
                f"{authors['seconds']:.1f} ({authors['episodes']:.1f})",
                f"{authors['seconds'] / ours['seconds']:.2g} ({authors['seconds'] / warm[0]:.2g})",
                f"{engine['seconds'] / ours['seconds']:.2g} ({warm[1] / warm[0]:.2g})",
                " / ".join(f"{x['processor']:.1f}" for x in (ours, engine, authors)),
            ]
        )
    head = ["pool", "pixels x channels", "the paper's, s", "LAL-RL, our engine, s", "LAL-RL, authors' way, s"]
    ratios = ["authors' way / paper's", "our engine / paper's", "processor seconds of the three"]
    return markdown([*head, *ratios], rows)
