"""What a comparison came to, as one object: curves, areas, intervals, tests, tables, pictures, and files of them."""

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from jaxal.files import write_json, write_npz
from jaxal.report import figures, pages, statistics, tables
from jaxal.report.summary import METRIC_NAMES, Curves, ReportError, Summary, read


@dataclass(frozen=True)
class Results:
    """A comparison of strategies from the same initial sets.

    summary: every number of the report, as `results.json` holds them.
    raw: strategy -> its curves and picks.
    """

    summary: Summary
    raw: Mapping[str, Curves]

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
        """Writes results.json, curves.npz, the figure and the page into a folder, made if need be; returns the page."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.ndarray] = {"labels": self.labels}
        for name, found in self.raw.items():
            arrays[f"{name}/picks"] = found.picks
            arrays |= {f"{name}/{metric}": values for metric, values in found.metrics.items()}
        write_npz(folder / "curves.npz", arrays)
        write_json(folder / "results.json", self.summary)
        pages.write(folder)
        return folder / "report.html"


def load_results(folder: Path | str) -> Results:
    """What `Results.save` or `jaxal run` wrote.

    Raises:
      ReportError: one line, when a file is missing or damaged.
    """
    summary = read(folder)
    path = Path(folder) / "curves.npz"
    try:
        with np.load(path) as arrays:
            return Results(summary, {name: _curves(arrays, name, summary) for name in summary["strategies"]})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ReportError(f"{path}: missing or damaged ({type(error).__name__}); run `jaxal run` again") from None


def _curves(arrays: Mapping[str, np.ndarray], name: str, summary: Summary) -> Curves:
    metrics = {metric: arrays[f"{name}/{metric}"] for metric in METRIC_NAMES if f"{name}/{metric}" in arrays}
    return Curves(metrics, arrays[f"{name}/picks"], summary["strategies"][name].get("seconds") or math.nan)


def write_curves(path: Path, found: Curves) -> None:
    """Writes the curves of one strategy, for `read_curves`."""
    write_npz(path, {**found.metrics, "picks": found.picks, "seconds": np.array(found.seconds)})


def read_curves(path: Path) -> Curves:
    """What `write_curves` wrote."""
    with np.load(path) as arrays:
        metrics = {name: arrays[name] for name in arrays.files if name not in ("picks", "seconds")}
        return Curves(metrics, arrays["picks"], float(arrays["seconds"]))
