"""Labels a data set whose labels are known through the real commands, and compares with the strategy called directly.

    python experiments/simulated_labeller.py ../shared/data/latents/cxr.npz --budget 60
    python experiments/simulated_labeller.py ../shared/data/kather2016/texture80.npz --budget 80
    jaxal embed --dataset ../shared/data/kather2016/tiles100 --label-regex 'label_(\\d)' --out tiles.npz \\
      --encoder efficientnet-lite0 && python experiments/simulated_labeller.py tiles.npz --budget 40

Every batch goes through `jaxal label next`, a filled-in table and `jaxal label add`: log, files and all. Beside it the
same strategy is called on plain arrays. Both must pick the same rows in the same order, or the script ends with an
error. A minute or so. Expected: the two curves are identical at every point.
"""

import argparse
import csv
import importlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxal.data.dataset import fill_missing
from jaxal.data.load import load
from jaxal.labelling import commands
from jaxal.labelling.asking import classifier_now
from jaxal.labelling.choosing import Head, Suggest
from jaxal.labelling.images import Reading
from jaxal.labelling.project import Project

POLICY = "the simulation's strategy"


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


def main() -> None:
    """Labels, compares, prints the curve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="a .npz file of features or latents, or a bundled name such as digits")
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--batch", type=int, default=5)
    parser.add_argument("--pool", type=int, default=1000, help="rows of the pool at the most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suggest", default="jaxal:suggest", metavar="MODULE:NAME", help="the strategy's function")
    options = parser.parse_args()
    module, name = options.suggest.split(":")
    suggest = getattr(importlib.import_module(module), name)
    data = cut(options.dataset, options.pool, options.seed)
    first = initial_rows(data, options.seed)
    told = through_commands(data, first, options.batch, options.budget, suggest, options.seed)
    direct = on_arrays(data, first, options.batch, options.budget, suggest, options.seed)
    for ours, theirs in zip(told, direct, strict=True):
        if ours != theirs:
            raise SystemExit(f"at {ours.labels} labels: {ours} through the commands, {theirs} directly")
        print(f"{ours.labels:4d} labels: accuracy {ours.accuracy:.4f}", flush=True)
    print("identical picks and curves")


def cut(name: str, most: int, seed: int) -> Data:
    """A pool of at most `most` rows, and of the others up to 1,000 to test on."""
    dataset = load(name)
    order = np.random.default_rng(seed).permutation(len(dataset))
    rows, rest = order[: min(most, 2 * len(order) // 3)], order[-1000:]
    rest = rest[~np.isin(rest, rows)]
    latents = fill_missing(dataset.inputs.astype(np.float32), rows)
    return Data(latents[rows], dataset.labels[rows], latents[rest], dataset.labels[rest], dataset.classes)


def initial_rows(data: Data, seed: int) -> list[int]:
    """One row of every class, drawn at random."""
    rng = np.random.default_rng(seed)
    return [int(rng.choice(np.flatnonzero(data.labels == label))) for label in np.unique(data.labels)]


def through_commands(
    data: Data, first: list[int], batch: int, budget: int, suggest: Suggest, seed: int
) -> Iterator[Point]:
    """The curve of a project that is labelled by tables."""
    with tempfile.TemporaryDirectory(prefix="jaxal-labeller-") as above:
        folder, table, answers = (Path(above) / name for name in ("project", "pool.npz", "answers.csv"))
        np.savez(table, X=data.pool)
        how = {"classes": data.classes, "test_share": 0.0, "seed": seed}
        commands.start(folder, images=None, table=table, reading=Reading(), **how)
        files, labels = [f"row {row}" for row in first], len(first)
        while True:
            _answer(answers, files, data)
            commands.add(folder, [answers], who="the labeller")
            with Project(folder) as project:
                classifier = classifier_now(project, suggest, POLICY)
                assert classifier is not None
            yield Point(labels, [_row(file) for file in files], _accuracy(data, classifier.head))
            if labels >= budget:
                return
            commands.next_(folder, min(batch, budget - labels), suggest=suggest, policy=POLICY)
            with (folder / "next.csv").open() as asked:
                files = [row["file"] for row in csv.DictReader(asked)]
            labels += len(files)


def on_arrays(data: Data, first: list[int], batch: int, budget: int, suggest: Suggest, seed: int) -> Iterator[Point]:
    """The curve of the strategy alone."""
    labels = np.full(len(data.pool), -1, np.int32)
    picks, asked = list(first), 0
    while True:
        labels[picks] = data.labels[picks]
        count = int(np.sum(labels >= 0))
        # A project's key is of its seed and of how many it has asked for.
        key = jax.random.fold_in(jax.random.key(seed), asked)
        wanted = min(batch, budget - count)
        none = np.zeros(0, int)
        found = suggest(data.pool, labels, wanted, classes=len(data.classes), pending=none, key=key)
        yield Point(count, picks, _accuracy(data, found.head))
        if count >= budget:
            return
        picks = found.rows.tolist()
        asked += len(picks)


def _answer(path: Path, files: list[str], data: Data) -> None:
    with path.open("w", newline="") as table:
        writer = csv.writer(table)
        writer.writerow(["file", "label"])
        writer.writerows([file, data.classes[data.labels[_row(file)]]] for file in files)


def _row(file: str) -> int:
    return int(file.removeprefix("row "))


def _accuracy(data: Data, head: Head) -> float:
    return float(np.mean(head.probabilities(data.test).argmax(-1) == data.test_labels))


if __name__ == "__main__":
    main()
