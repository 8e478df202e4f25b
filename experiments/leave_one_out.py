"""Policies on data that they have not met, against every hand-written strategy.

    python experiments/leave_one_out.py --data ../shared/data

For each data set the first of the policies that has not been trained on it, nor on its siblings, is used; the
package's own comes last. Those in experiments/policies are what these commands make, in six minutes of a core each:

    python experiments/pretrain.py --data ../shared/data --leave-out texture80 splice vehicle --out a.npz
    python experiments/pretrain.py --data ../shared/data --leave-out brain cxr segment waveform5000 vowel --out b.npz

Every cell (data set, labels a step, budget) is a file in experiments/results/leave_one_out, and is not computed again;
`--table` only writes the tables from those that are there. With 8 splits x 8 starts a cell of 60 labels takes two to
seven minutes of a core.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pretraining.tasks import SETS, without
from scipy import stats

import jaxal
from jaxal.data.dataset import Dataset
from jaxal.files import write_text
from jaxal.policies import STRATEGIES, pretrained
from jaxal.report import statistics
from jaxal.report.statistics import rounded

POLICIES = sorted(str(path) for path in (Path(__file__).parent / "policies").glob("*.npz"))
RESULTS = Path(__file__).parent / "results" / "leave_one_out"
PICTURES = ("texture80", "digits", "brain", "cxr")
TABLES = ("splice", "vehicle", "segment", "waveform5000", "vowel")
SHIFTED = {"brain, official test split": "brain", "cxr, official test split": "cxr"}
POLICY, ORACLE = "pretrained", "greedy_oracle"


class Cell(NamedTuple):
    """One comparison."""

    data: str  # of `tasks.SETS`, or of SHIFTED
    batch: int
    budget: int

    @property
    def path(self) -> Path:
        """Where its results are kept."""
        return RESULTS / f"{self.data.replace(', ', '_').replace(' ', '_')}-{self.batch}-{self.budget}.json"


CELLS = [
    *(Cell(name, batch, 60) for batch in (1, 5, 10) for name in (*PICTURES, *TABLES)),
    *(Cell(name, 1, 60) for name in SHIFTED),
    *(Cell(name, 1, 200) for name in PICTURES),
]


def main() -> None:
    """Computes what is missing, and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real data")
    parser.add_argument("--policies", nargs="*", default=POLICIES, help="policy files")
    parser.add_argument("--sets", nargs="*", help="data sets; all by default")
    parser.add_argument("--batches", nargs="*", type=int, help="labels a step; all by default")
    parser.add_argument("--budgets", nargs="*", type=int, help="labels in all; all by default")
    parser.add_argument("--splits", type=int, default=8)
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--table", action="store_true", help="compute nothing")
    given = parser.parse_args()
    wanted = [
        cell
        for cell in CELLS
        if (not given.sets or cell.data in given.sets)
        and (not given.batches or cell.batch in given.batches)
        and (not given.budgets or cell.budget in given.budgets)
    ]
    RESULTS.mkdir(parents=True, exist_ok=True)
    for i, cell in enumerate([] if given.table else wanted):
        if not cell.path.exists():
            print(f"{i + 1}/{len(wanted)} {cell.data}, {cell.batch} a step, {cell.budget} labels", flush=True)
            keep(cell.path, compare(cell, given.data, given.policies, given.splits, given.starts))
    publish(RESULTS.with_suffix(".md"), tables([cell for cell in CELLS if cell.path.exists()]))


def publish(path: Path, lines: Sequence[str]) -> None:
    """Writes a page, and prints it."""
    text = "\n".join(lines)
    write_text(path, text + "\n")
    print(text)


def keep(path: Path, results: dict[str, Any]) -> None:
    """Writes results; on one line, as they are long."""
    write_text(path, json.dumps(results, allow_nan=False) + "\n")


def compare(cell: Cell, folder: Path, policies: Sequence[str], splits: int, starts: int) -> dict[str, Any]:
    """What is kept of a comparison: AULC [splits, starts] and quarters [splits, 4] of every strategy."""
    name = SHIFTED.get(cell.data, cell.data)
    policy = unmet(name, policies)
    strategies = [each for each, strategy in STRATEGIES.items() if strategy.kind == "hand-written"]
    found = jaxal.compare(
        data_of(cell, folder),
        [POLICY, *strategies, *([ORACLE] if cell.batch == 1 and cell.budget == 60 else [])],
        progress=False,
        budget=cell.budget,
        batch=cell.batch,
        seeds=splits,
        starts=starts,
        pretrained=policy,
    )
    return {
        "policy": pretrained.named(policy).fingerprint,
        "aulc": {each: rounded(found.aulc(each)) for each in found.strategies},
        "quarters": {each: rounded(quarters_of(found.curves(each))) for each in found.strategies},
        "kinds": {each: STRATEGIES[each].kind for each in found.strategies},
    }


def quarters_of(curves: np.ndarray) -> np.ndarray:
    """Means over the quarters of curves [splits, starts, T + 1]: [splits, 4]."""
    return np.stack([part.mean((1, 2)) for part in np.array_split(curves, 4, -1)], -1)


def data_of(cell: Cell, folder: Path) -> Dataset:
    """A data set; its official test split counts only where that is the question."""
    name = SHIFTED.get(cell.data, cell.data)
    dataset = jaxal.load(str(folder / SETS[name]) if SETS[name] else name)
    return dataset if cell.data in SHIFTED else replace(dataset, official=None)


def unmet(name: str, policies: Sequence[str]) -> str:
    """The first of the policies, or "" for the package's, that has not met a data set or its siblings.

    Raises:
      ValueError: when all of them have.
    """
    allowed = set(without(name))
    for path in (*policies, ""):
        if set(pretrained.named(path).card["data"]) <= allowed:
            return path
    raise ValueError(f"every policy was trained on {name} or on a sibling; give one that was not")


class Found(NamedTuple):
    """A cell that was computed."""

    cell: Cell
    aulc: dict[str, np.ndarray]  # [splits, starts]
    quarters: dict[str, np.ndarray]  # [splits, 4]
    rules: list[str]  # the hand-written strategies

    @property
    def best(self) -> str:
        """The best rule, chosen after the fact."""
        return max(self.rules, key=lambda rule: self.aulc[rule].mean())


def read(cell: Cell) -> Found:
    """What is kept of a cell."""
    kept = json.loads(cell.path.read_text(encoding="utf-8"))
    aulc, quarters = ({name: np.array(value) for name, value in kept[part].items()} for part in ("aulc", "quarters"))
    return Found(cell, aulc, quarters, [name for name, kind in kept["kinds"].items() if kind == "hand-written"])


def tables(cells: Sequence[Cell]) -> list[str]:
    """Lines of Markdown."""
    found = [read(cell) for cell in cells]
    lines = [
        "# Leave one out",
        "",
        "Written by `experiments/leave_one_out.py`; AULC of accuracy, in points of 100.",
        "",
    ]
    settings = dict.fromkeys((each.cell.batch, each.cell.budget) for each in found)
    for batch, budget in settings:
        here = [each for each in found if (each.cell.batch, each.cell.budget) == (batch, budget)]
        random = [each for each in here if each.cell.data not in SHIFTED]
        lines += [f"## {batch} a step, {budget} labels", "", *by_data(here), "", *by_rule(random), ""]
    return [*lines, *penalties([each for each in found if each.cell.data not in SHIFTED])]


def by_data(found: Sequence[Found]) -> list[str]:
    """Against the best rule of each data set, chosen after the fact; standard errors are of the splits' means."""
    lines = [
        "| data | splits x starts | pretrained | best rule | difference | quarters | margin | last quarter to margin | "
        "way to the oracle |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        ours, best = each.aulc[POLICY], each.aulc[each.best]
        difference, error = clustered(ours - best)
        quarters = (each.quarters[POLICY] - each.quarters[each.best]).mean(0)
        last = (each.quarters[POLICY] - each.quarters["margin"])[:, 3]
        oracle = "–"
        if ORACLE in each.aulc:
            floor = each.aulc["random"].mean()
            oracle = f"{(ours.mean() - floor) / (each.aulc[ORACLE].mean() - floor):.0%}"
        lines.append(
            f"| {each.cell.data} | {ours.shape[0]} x {ours.shape[1]} | {100 * ours.mean():.2f} "
            f"| {each.best} {100 * best.mean():.2f} | {100 * difference:+.2f} ± {100 * error:.2f} "
            f"| {' '.join(f'{100 * q:+.1f}' for q in quarters)} | {100 * each.aulc['margin'].mean():.2f} "
            f"| {100 * last.mean():+.2f} | {oracle} |"
        )
    return lines


def by_rule(found: Sequence[Found]) -> list[str]:
    """Against every single rule over all data sets: the splits of all are the clusters; Holm over the rules."""
    if not found:
        return []
    rules = found[0].rules
    gaps = {r: np.concatenate([(e.aulc[POLICY] - e.aulc[r]).mean(1) for e in found])[:, None] for r in rules}
    ps = statistics.holm([statistics.compare(gap, np.zeros_like(gap)).p for gap in gaps.values()])
    ranks = mean_ranks(found)
    lines = [
        f"Over {len(found)} data sets; mean rank of the pretrained policy: {ranks[POLICY]:.1f} of {len(rules) + 1}.",
        "",
        "| rule | mean rank | pretrained - rule | p (Holm) | data sets on which the rule is ahead |",
        "|---|---|---|---|---|",
    ]
    rows = zip(gaps.items(), ps, strict=True)
    for (rule, gap), p in sorted(rows, key=lambda row: row[0][1].mean()):
        ahead = sum(each.aulc[POLICY].mean() < each.aulc[rule].mean() for each in found)
        difference, error = clustered(gap)
        lines.append(
            f"| {rule} | {ranks[rule]:.1f} | {100 * difference:+.2f} ± {100 * error:.2f} "
            f"| {'–' if p is None else f'{p:.1g}'} | {ahead} |"
        )
    return lines


def penalties(found: Sequence[Found]) -> list[str]:
    """The pairwise penalty matrix of Ash et al. (2020), of areas rather than of points on the curves.

    Row i, column j: the share of the comparisons in which i is clearly ahead of j, by a paired t-test on the splits'
    means at p < .05. The mean of a column is how often a strategy is clearly behind another: the less the better.
    """
    names = [POLICY, *found[0].rules]
    wins = np.zeros((len(names), len(names)))
    for each in found:
        means = np.stack([each.aulc[name].mean(1) for name in names])  # [strategies, splits]
        gaps = means[:, None] - means[None]
        spread = gaps.std(-1, ddof=1) / np.sqrt(means.shape[1])
        t = gaps.mean(-1) / np.maximum(spread, 1e-12)
        wins += t > stats.t.ppf(0.975, means.shape[1] - 1)
    wins /= len(found)
    order = np.argsort(wins.mean(0))
    lines = [
        "## Pairwise penalties",
        "",
        f"Over the {len(found)} comparisons above, in percent: how often the strategy of a row is clearly ahead of "
        "that of a column (paired t-test on the splits' means, p < .05). The last row is the mean of each column: how "
        "often a strategy is clearly behind another.",
        "",
        f"| | | {' | '.join(str(i + 1) for i in range(len(names)))} |",
        f"|---|---|{'---|' * len(names)}",
    ]
    for place, i in enumerate(order):
        row = (" " if i == j else f"{100 * wins[i, j]:.0f}" for j in order)
        lines.append(f"| {place + 1} | {names[i]} | {' | '.join(row)} |")
    return [*lines, f"| | mean | {' | '.join(f'{100 * wins[:, j].mean():.0f}' for j in order)} |", ""]


def mean_ranks(found: Sequence[Found]) -> dict[str, float]:
    """Mean rank of the policy and the rules over data sets, by mean AULC; 1 is the best."""
    names = [POLICY, *found[0].rules]
    scores = np.array([[each.aulc[name].mean() for name in names] for each in found])
    ranks = (-scores).argsort(1).argsort(1) + 1
    return dict(zip(names, ranks.mean(0), strict=True))


def clustered(differences: np.ndarray) -> tuple[float, float]:
    """Mean of differences [splits, starts], and the standard error of the splits' means."""
    means = differences.mean(1)
    return float(means.mean()), float(means.std(ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")


def told(differences: np.ndarray) -> str:
    """Mean of differences [splits, starts] and its standard error, in points of 100."""
    difference, error = clustered(differences)
    return f"{100 * difference:+.2f} ± {100 * error:.2f}"


if __name__ == "__main__":
    main()
