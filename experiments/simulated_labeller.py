"""Labels a data set whose labels are known by the real commands, and compares with the simulation of the same start.

    python experiments/simulated_labeller.py ../shared/data/latents/cxr.npz
    python experiments/simulated_labeller.py ../shared/data/kather2016/texture80.npz --budget 80
    jaxal embed --dataset ../shared/data/kather2016/tiles100 --label-regex 'label_(\\d)' --out tiles.npz \\
      --encoder efficientnet-lite0 && python experiments/simulated_labeller.py tiles.npz --budget 15

The simulation is `jaxal.compare`. The same pool is labelled from the same initial set by `jaxal label start`, and then
by rounds of `jaxal label next`, a filled-in table and `jaxal label add`: log, files and all. Both must pick the same
rows in the same order, and reach the same accuracy on the same test rows, or the script ends with an error. The
simulation has as many iterations a fit as a project, whose fits begin from nothing: 300 instead of 50 that go on from
the last. Where float32 cannot tell two rows apart (their scores differ by less than 1e-5) and each side takes another,
the labeller takes the simulation's, and the tie is counted. A minute or two. Expected: identical curves, and no tie, or
one (rounding decides).
"""

import argparse
import contextlib
import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxal
from jaxal.cli import label
from jaxal.cli.label_flags import LabelRequest
from jaxal.cli.parsing import parse
from jaxal.labelling.asking import classifier_now
from jaxal.labelling.choosing import chooser_for
from jaxal.labelling.project import Project
from jaxal.prepare import prepare
from jaxal.suggestion import COLD_ITERATIONS
from jaxal.tasks.task import fill

STRATEGIES = ("pretrained", "typical_uncertainty", "margin", "k_center")
TIE, MORE = 1e-5, 5  # between scores; rows behind the batch among which a tie is looked for


class Data(NamedTuple):
    """A pool, whose labels are told when they are asked for, and rows to test on."""

    pool: np.ndarray  # [m, D]
    labels: np.ndarray  # [m] int
    test: np.ndarray  # [t, D]
    test_labels: np.ndarray  # [t] int
    classes: tuple[str, ...]


class Point(NamedTuple):
    """A point of a learning curve."""

    labels: int
    picks: list[int]  # rows of the pool that were labelled last
    accuracy: float


def run() -> None:
    """Simulates, labels, compares, prints the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a .npz file of features or latents, or a bundled name such as digits")
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = jaxal.configure(
        strategies=tuple(options.strategies),
        budget=options.budget,
        batch=options.batch,
        seeds=1,
        starts=1,
        first_seed=options.seed,
        probe={"iterations": COLD_ITERATIONS},
    )
    ties = 0
    for strategy in options.strategies:
        for point, tied in compared(jaxal.load(options.dataset), strategy, config):
            ties += tied
            print(f"{strategy}: {point.labels:4d} labels: accuracy {point.accuracy:.4f}", flush=True)
    print(f"identical curves; picks that differed by a tie: {ties}")


def compared(dataset: jaxal.Dataset, strategy: str, config: jaxal.Config) -> Iterator[tuple[Point, int]]:
    """The curve that both ways have, and how many of a point's picks are ties.

    AssertionError where the curves differ, or picks that are no ties.
    """
    (parts,) = prepare(config, dataset, []).splits
    simulated = simulation(dataset, parts.pool, strategy, config)
    pool, test = fill(dataset.inputs[parts.pool], dataset.inputs[parts.test])
    data = Data(pool, dataset.labels[parts.pool], test, dataset.labels[parts.test], dataset.classes)
    labels = np.full(len(pool), -1)
    for ours, theirs in zip(through_commands(data, simulated, strategy), simulated, strict=True):
        different = [pair for pair in zip(ours.picks, theirs.picks, strict=True) if len(set(pair)) > 1]
        if different:
            found = jaxal.suggest(pool, labels, len(ours.picks) + MORE, strategy=strategy, classes=len(data.classes))
            scores = dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True))
            apart = max(abs(scores.get(a, np.inf) - scores.get(b, np.nan)) for a, b in different)
            assert apart < TIE, f"{strategy}: {ours} by the commands, {theirs} in the simulation"
        assert ours.accuracy == theirs.accuracy, f"{strategy}: {ours} by the commands, {theirs} in the simulation"
        labels[theirs.picks] = data.labels[theirs.picks]
        yield theirs, len(different)


def simulation(dataset: jaxal.Dataset, pool: np.ndarray, strategy: str, config: jaxal.Config) -> list[Point]:
    """The curve of the one episode that `jaxal.compare` plays; pool: [m] rows of the data set."""
    results = jaxal.compare(dataset, [strategy], config, progress=False)
    place = {row: i for i, row in enumerate(pool.tolist())}
    chosen = [place[row] for row in results.chosen(strategy)[0, 0].tolist()]
    ends = results.labels.tolist()
    steps = [chosen[start:end] for start, end in pairwise([0, *ends])]
    return list(map(Point, ends, steps, results.curves(strategy)[0, 0].tolist()))


def through_commands(data: Data, simulated: Sequence[Point], strategy: str) -> Iterator[Point]:
    """The curve of a project that is labelled by tables: what it asks for, and its accuracy with what was simulated."""
    with tempfile.TemporaryDirectory(prefix="jaxal-labeller-") as above:
        project, table, answers = (Path(above) / name for name in ("project", "pool.npz", "answers.csv"))
        np.savez(table, X=data.pool)
        command(
            ["start", project, "--table", table, "--classes", *data.classes, "--strategy", strategy, "--test-share", 0]
        )
        asked = simulated[0].picks
        for point, following in zip_longest(simulated, simulated[1:]):
            answer(answers, point.picks, data)
            command(["add", project, answers])
            yield Point(point.labels, asked, accuracy(project, strategy, data))
            if following is not None:
                command(["next", project, "-n", len(following.picks)])
                with (project / "next.csv").open() as batch:
                    asked = [int(row["file"].removeprefix("row ")) for row in csv.DictReader(batch)]


def command(arguments: Sequence[object]) -> None:
    """`jaxal label ...`, in this process."""
    request = parse(["label", *map(str, arguments)])
    assert isinstance(request, LabelRequest)
    with contextlib.redirect_stdout(io.StringIO()):
        label.execute(request)


def answer(path: Path, rows: Sequence[int], data: Data) -> None:
    """Writes the true labels of rows of the pool to a table."""
    with path.open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["file", "label"])
        writer.writerows([f"row {row}", data.classes[data.labels[row]]] for row in rows)


def accuracy(project: Path, strategy: str, data: Data) -> float:
    """Of the project's classifier, on the test rows."""
    with Project(project) as opened:
        classifier = classifier_now(opened, chooser_for(strategy))
    assert classifier is not None
    right = classifier.head.logits(data.test).argmax(-1) == data.test_labels
    return float(np.float32(np.mean(right, dtype=np.float32)))


if __name__ == "__main__":
    run()
