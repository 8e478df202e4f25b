"""What a comparison came to, as one object: curves, areas, intervals, tests, tables, pictures, and files of them."""

import csv
import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from jaxal.files import write_json, write_npz, write_text
from jaxal.report import figures, pages, statistics, tables
from jaxal.report.summary import METRIC_NAMES, Curves, ReportError, Summary, curves, read


@dataclass(frozen=True)
class Results:
    """A comparison of strategies from the same initial sets.

    summary: every number of the report, as `results.json` holds them.
    raw: strategy -> its curves and picks.
    pool_rows: [seeds, P] rows of the data set that the pool rows of each seed are; -1 behind a smaller pool.
    names: [n] what each row of the data set is called, such as a file's name; None: nothing but its number.
    """

    summary: Summary
    raw: Mapping[str, Curves]
    pool_rows: np.ndarray | None = None
    names: np.ndarray | None = None

    @property
    def strategies(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.summary["strategies"])

    @property
    def labels(self) -> np.ndarray:
        """[T + 1] number of labels at each point of a curve."""
        return np.asarray(self.summary["strategies"][self.strategies[0]]["labels"])

    def curves(self, strategy: str, metric: str = "accuracy") -> np.ndarray:
        """Learning curves [seeds, starts, T + 1] on the test rows.

        metric: accuracy, balanced_accuracy, macro_f1 or auroc.
        """
        return self.raw[strategy].metrics[metric]

    def picks(self, strategy: str) -> np.ndarray:
        """Pool rows [seeds, starts, T, N] int32 that were labelled, in their order."""
        return self.raw[strategy].picks

    def chosen(self, strategy: str) -> np.ndarray:
        """Rows of the data set [seeds, starts, labels] in the order of their labels, the initial set first.

        The last entry of `labels` says how many there are, and `names`, if there are any, what the rows are called.

        Raises:
          ValueError: one line, for results of version 0.1.0, which did not keep them.
        """
        found = self.raw[strategy]
        if found.initial is None or self.pool_rows is None:
            raise ValueError("these results are of version 0.1.0, which did not keep the initial sets; run it again")
        seeds, starts = found.picks.shape[:2]
        picked = np.concatenate([found.initial, found.picks.reshape(seeds, starts, -1)], -1)
        return np.take_along_axis(self.pool_rows[:, None], picked, -1)

    def aulc(self, strategy: str, metric: str = "accuracy") -> np.ndarray:
        """Areas under the learning curves, divided by their length: [seeds, starts]."""
        return statistics.aulc(self.curves(strategy, metric))

    def interval(self, strategy: str, level: float = 0.68) -> tuple[float, float]:
        """Interval of the mean area by a cluster bootstrap over seeds, then starts."""
        low, high = statistics.interval(self.aulc(strategy), level)
        return float(low), float(high)

    def test(self, a: str, b: str) -> statistics.Comparison:
        """Paired comparison of two strategies' areas, one number a seed; positive: `a` is better.

        It is one test. The table of `comparisons` corrects for as many as were made.
        """
        return statistics.compare(self.aulc(a), self.aulc(b))

    @property
    def comparisons(self) -> tables.Table:
        """Every learned policy against every other strategy, with Holm-corrected p values."""
        return tables.comparison_table(self.summary)

    def table(self) -> tables.Table:
        """Every strategy, the largest mean area first."""
        return tables.strategy_table(self.summary)

    def headline(self) -> str:
        """Who won and how sure that is, in a sentence or two."""
        return tables.headline(self.summary)

    def figure(self) -> Figure:
        """Learning curves with 68% bands; below, the learned policy minus the best hand-written strategy."""
        return figures.figure(self.summary)

    def __str__(self) -> str:
        return f"{tables.as_text(self.table())}\n\n{self.headline()}"

    def save(self, folder: Path | str) -> Path:
        """Writes everything into a folder, made if need be, results.json last; returns the page.

        They are results.json, curves.npz, chosen.csv (which rows were labelled), the figure and the page.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray] = {"labels": self.labels}
        for name, found in self.raw.items():
            arrays[f"{name}/picks"] = found.picks
            arrays |= {f"{name}/{metric}": values for metric, values in found.metrics.items()}
        first = next(iter(self.raw.values()))
        optional = {"initial": first.initial, "pool_rows": self.pool_rows, "names": self.names}
        write_npz(folder / "curves.npz", arrays | {name: x for name, x in optional.items() if x is not None})
        if self.pool_rows is not None:
            write_text(folder / "chosen.csv", self._chosen_table())
        pages.write(folder, self.summary)
        write_json(folder / "results.json", self.summary)  # what has it is finished
        return folder / "report.html"

    def _chosen_table(self) -> str:
        """A line for each label: whose it is, how many there are with it, and which row of the data set it is of."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(["seed", "start", "strategy", "labels", "row", *([] if self.names is None else ["name"])])
        names, initial = self.names, int(self.labels[0])
        seeds = sorted(set(self.summary["episodes"]["seed"]))
        parts = [("all", self.strategies[0], slice(initial))]
        parts += [(strategy, strategy, slice(initial, None)) for strategy in self.strategies]
        for shown, strategy, some in parts:
            for seed, starts in zip(seeds, self.chosen(strategy), strict=True):
                for start, rows in enumerate(starts):
                    for count, row in zip(np.arange(1, len(rows) + 1)[some], rows[some], strict=True):
                        table.writerow([seed, start, shown, count, row, *([] if names is None else [names[row]])])
        return out.getvalue()


def load_results(folder: Path | str) -> Results:
    """What `Results.save` or `jaxal run` wrote.

    Raises:
      ReportError: one line, when a file is missing or damaged, or is not of this comparison.
    """
    summary = read(folder)
    path = Path(folder) / "curves.npz"
    try:
        with np.load(path) as arrays:
            raw = {name: _curves(arrays, name, summary) for name in summary["strategies"]}
            others = [arrays.get(name) for name in ("pool_rows", "names")]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ReportError(f"{path}: missing or damaged ({type(error).__name__}); run `jaxal run` again") from None
    for name, found in raw.items():
        told = curves(summary, name)
        if told.shape != found.metrics["accuracy"].shape or not np.allclose(told, found.metrics["accuracy"], atol=2e-6):
            raise ReportError(f"{path}: not the curves of results.json beside it ({name}); run `jaxal run` again")
    return Results(summary, raw, *others)


def _curves(arrays: Mapping[str, np.ndarray], name: str, summary: Summary) -> Curves:
    metrics = {metric: arrays[f"{name}/{metric}"] for metric in METRIC_NAMES if f"{name}/{metric}" in arrays}
    seconds = summary["strategies"][name].get("seconds")
    return Curves(metrics, arrays[f"{name}/picks"], math.nan if seconds is None else seconds, arrays.get("initial"))


def write_curves(path: Path, found: Curves) -> None:
    """Writes the curves of one strategy, for `read_curves`."""
    assert found.initial is not None, "kept by every comparison of today"
    parts = {"picks": found.picks, "seconds": np.array(found.seconds), "initial": found.initial}
    write_npz(path, {**found.metrics, **parts})


def read_curves(path: Path) -> Curves:
    """What `write_curves` wrote."""
    with np.load(path) as arrays:
        metrics = {name: arrays[name] for name in METRIC_NAMES}
        return Curves(metrics, arrays["picks"], float(arrays["seconds"]), arrays["initial"])
