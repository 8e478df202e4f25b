"""How long `jaxal label next -n 10` takes after an answer, and how much memory, with many images.

    python experiments/benchmarks/bench_next.py                # 10,000 images of 1,280 latents, then 100,000
    python experiments/benchmarks/bench_next.py --strategy margin

Each size runs in a process of its own. Reported are the first batch (with whatever the strategy compiles, and all
images compared with each other), the median of the later ones, each after ten answers, how much of it is the strategy's
own, how much processors worked for it, and the process's largest memory. Random latents of 8 classes, 50 labels.
Wanted: under 1 s at 10,000 images and under 5 s at 100,000. Some minutes.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from jaxal.labelling import commands, images, log
from jaxal.labelling.answers import Told, record
from jaxal.labelling.choosing import chooser_for
from jaxal.labelling.project import Project
from jaxal.presets import STRATEGY
from jaxal.suggestion import Suggestion

CLASSES = [f"class {i}" for i in range(8)]
WIDTH, LABELS, BATCH, ROUNDS = 1280, 50, 10, 5


def main() -> None:
    """One process for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--strategy", default=STRATEGY, help="by name, or the folder of a saved policy")
    options = parser.parse_args()
    for size in options.sizes:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(size, options.strategy))
        process.start()
        process.join()


def measure(size: int, strategy: str) -> None:
    """Makes a project of that size, asks and answers, and prints one line."""
    chooser = chooser_for(strategy)
    spent: list[float] = []

    def suggest(*arguments: Any, **options: Any) -> Suggestion:
        began = time.perf_counter()
        try:
            return chooser.suggest(*arguments, **options)
        finally:
            spent.append(time.perf_counter() - began)

    timed = chooser._replace(suggest=suggest)

    with tempfile.TemporaryDirectory(prefix="jaxal-bench-") as above:
        folder = Path(above) / "project"
        labels = make(folder, size)
        answer(folder, [f"image {i}" for i in range(LABELS)], labels)
        seconds, work = [], []
        for _ in range(1 + ROUNDS):
            began, worked = time.perf_counter(), time.process_time()
            lines = commands.next_(folder, BATCH, chooser_of=lambda _: timed)
            seconds.append(time.perf_counter() - began)
            work.append(time.process_time() - worked)
            answer(folder, [line.split("  ")[0].strip() for line in lines[:-1]], labels)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        later, own, worked = (statistics.median(values[1:]) for values in (seconds, spent, work))
        print(
            f"{size:,} images of {WIDTH:,}: first {seconds[0]:.2f} s, then {later:.2f} s, of which the strategy "
            f"{own:.2f} s; {worked:.2f} s of processors; {memory:.2f} GiB at the most, the latents being "
            f"{4 * size * WIDTH / 2**30:.2f}",
            flush=True,
        )


def make(folder: Path, size: int) -> np.ndarray:
    """A project of random latents around the centres of the classes; returns their labels [size]."""
    rng = np.random.default_rng(0)
    labels = rng.integers(len(CLASSES), size=size)
    centres = rng.normal(size=(len(CLASSES), WIDTH)).astype(np.float32)
    latents = centres[labels]
    for start in range(0, size, 10_000):
        latents[start : start + 10_000] += 4 * rng.standard_normal(
            (len(latents[start : start + 10_000]), WIDTH), np.float32
        )
    file = images.save_rows(latents, folder / images.LATENTS)
    names = [f"image {i}" for i in range(size)]
    settings = {"images": "", "table": "made up", "reading": {}, "strategy": STRATEGY}
    settings |= {"test_share": 0.1, "expire_hours": 72.0, "seed": 0}
    added = {"files": names, "digests": names, "groups": None, "latents": file, "scales": {}}
    classes = [("class_added", {"name": name}) for name in CLASSES]
    log.create(folder, "benchmark", [("started", settings), *classes, ("images_added", added)])
    return labels


def answer(folder: Path, files: list[str], labels: np.ndarray) -> None:
    """The true labels."""
    names = [CLASSES[labels[int(file.removeprefix("image "))]] for file in files]
    with Project(folder) as project:
        record(project, [Told(f, name, "benchmark", f, "here") for f, name in zip(files, names, strict=True)])


if __name__ == "__main__":
    main()
