"""Labels a data set whose labels are known by the real commands, and compares with the simulation of the same start.

    python experiments/simulated_labeller.py ../shared/data/latents/cxr.npz
    python experiments/simulated_labeller.py ../shared/data/kather2016/texture80.npz --budget 80
    jaxal embed --dataset ../shared/data/kather2016/tiles100 --label-regex 'label_(\\d)' --out tiles.npz \\
      --encoder efficientnet-lite0 && python experiments/simulated_labeller.py tiles.npz --budget 18

The simulation is `jaxal.compare`. The same pool is labelled from the same initial set by `jaxal label start`, and then
by rounds of `jaxal label next`, a filled-in table and `jaxal label add`: log, files and all. Both must pick the same
rows in the same order, and reach the same accuracy on the same test rows, or the script ends with an error. A minute
or two. Expected: the two curves are identical at every point.
"""

import argparse
import contextlib
import csv
import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxal
from jaxal.build import environment_for
from jaxal.cli import label
from jaxal.cli.parsing import parse
from jaxal.data.splits import Split, split_all
from jaxal.labelling.asking import classifier_now
from jaxal.labelling.choosing import chooser_for
from jaxal.labelling.project import Project
from jaxal.tasks.task import fill, make_task, select

STRATEGIES = ("typical_uncertainty", "margin", "k_center")


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
    )
    for strategy in options.strategies:
        for point in compared(jaxal.load(options.dataset), strategy, config):
            print(f"{strategy}: {point.labels:4d} labels: accuracy {point.accuracy:.4f}", flush=True)
    print("identical picks and curves")


def compared(dataset: jaxal.Dataset, strategy: str, config: jaxal.Config) -> Iterator[Point]:
    """The curve of the commands. AssertionError where the simulation's is another."""
    (parts,) = split_all(config, dataset)
    initial, simulated = simulation(dataset, parts, strategy, config)
    pool, test = fill(dataset.inputs[parts.pool], dataset.inputs[parts.test])
    data = Data(pool, dataset.labels[parts.pool], test, dataset.labels[parts.test], dataset.classes)
    for ours, theirs in zip(through_commands(data, initial, strategy, config), simulated, strict=True):
        assert ours == theirs, f"{strategy}: {ours} by the commands, {theirs} in the simulation"
        yield ours


def simulation(
    dataset: jaxal.Dataset, parts: Split, strategy: str, config: jaxal.Config
) -> tuple[list[int], Iterator[Point]]:
    """The initial set of the one episode that `jaxal.compare` plays, and its curve."""
    results = jaxal.compare(dataset, [strategy], config, progress=False)
    distance = jaxal.DISTANCES[config.environment.distance]
    bank = make_task(dataset.inputs, dataset.labels, parts.testing(), distance=distance)
    # As `evaluate` draws it: the comparison's key, the seed's, that of the one start, its half for the initial set.
    seeds = jax.random.fold_in(jax.random.key(config.evaluation.first_seed + 1), 0)
    start = jax.random.split(jax.random.split(seeds, 1)[0])[0]
    rows, mask = environment_for(config, bank).initial_set(select(bank, jnp.int32(0)), start)
    initial = np.asarray(rows)[np.asarray(mask)].tolist()
    steps = [initial, *results.picks(strategy)[0, 0].tolist()]
    return initial, map(Point, results.labels.tolist(), steps, results.curves(strategy)[0, 0].tolist())


def through_commands(data: Data, initial: list[int], strategy: str, config: jaxal.Config) -> Iterator[Point]:
    """The curve of a project that is labelled by tables."""
    with tempfile.TemporaryDirectory(prefix="jaxal-labeller-") as above:
        project, table, answers = (Path(above) / name for name in ("project", "pool.npz", "answers.csv"))
        np.savez(table, X=data.pool)
        command(
            ["start", project, "--table", table, "--classes", *data.classes, "--strategy", strategy, "--test-share", 0]
        )
        rows, labels = initial, len(initial)
        while True:
            answer(answers, rows, data)
            command(["add", project, answers])
            yield Point(labels, rows, accuracy(project, strategy, data))
            if labels + config.environment.batch > config.environment.budget:
                return
            command(["next", project, "-n", config.environment.batch])
            with (project / "next.csv").open() as asked:
                rows = [int(row["file"].removeprefix("row ")) for row in csv.DictReader(asked)]
            labels += len(rows)


def command(arguments: Sequence[object]) -> None:
    """`jaxal label ...`, in this process."""
    with contextlib.redirect_stdout(io.StringIO()):
        label.execute(parse(["label", *map(str, arguments)]))


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
