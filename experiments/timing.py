"""The paper's claim on time: 5 episodes of 20 labels, its method against LAL-RL; and how both grow.

    python -m experiments.timing [--quick] [--data FOLDER] [--dataset D --encoder E]

In one run and on the same rows: the paper's settings on latents, LAL-RL in the same engine (`--preset lal-rl`), and
LAL-RL as its authors compute it (`experiments/lal_rl`), each with one random episode, 5 more, and 6 updates after each
of these (LAL-RL has 60 after ten). The authors' way looks at every unlabelled point for the target of an update, the
engine at 64; linear algebra has one thread in the authors' way, where two do harm. Everything that training takes is
counted, from the data in memory on; compilation also stands by itself.
Cost:     --quick 4 minutes on 2 calm cores; the full form 20 on busy ones, of which 1,000 images of 224 px take 8.
Expected: the paper says that LAL-RL is 267 times slower; ours are in experiments/RESULTS.md.
"""

import os
import time
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import jaxal
from experiments.lal_rl.environment import Data
from experiments.lal_rl.train import train
from experiments.reproduction import cells, drawing, tables
from experiments.reproduction.data import Sources, some_rows
from jaxal.data.dataset import Dataset
from jaxal.data.splits import Split, split
from jaxal.report import provenance
from jaxal.tasks.task import standardise

LABELS, EPISODES, UPDATES = 20, 5, 6
SIZES = {
    True: [(400, 224), (400, 32), (400, 112), (100, 112)],
    False: [(1000, 224), (1000, 32), (1000, 112), (250, 112), (1000, 64), (500, 112)],
}
"""(pool, side of the images in pixels), by whether the run is quick."""
OTHERS = {"state": 30, "reward": 100, "validation": 10, "test": 10}
TRAIN = {"warm_start_episodes": 1, "episodes": 1, "iterations": EPISODES, "updates": UPDATES, "patience": 0}
CHECKS = {"validation_every": EPISODES, "validation_episodes": 1}


def engine(data: Dataset, pool: int, **settings: Any) -> dict[str, float]:
    """Seconds that `jaxal.train` takes in all, and of those by the clock the ones to compile."""
    sizes = {"source_pool": pool, "protocol": "paper", **OTHERS}
    began = time.perf_counter(), time.process_time()
    policy = jaxal.train(data, budget=LABELS, seeds=1, split=sizes, train=TRAIN | CHECKS, progress=False, **settings)
    return {**since(*began), "compilation": policy.report["compile_seconds"]}


def authors(data: Dataset, parts: Split) -> dict[str, float]:
    """Seconds that LAL-RL takes as its authors compute it."""
    began = time.perf_counter(), time.process_time()
    pool, state, holdout = standardise(*(data.inputs[rows] for rows in (parts.source_pool, parts.state, parts.reward)))
    seen = Data(pool, data.labels[parts.source_pool], state, holdout, data.labels[parts.reward])
    with threadpool_limits(1):  # two threads that wait for each other on busy cores take fifty times as long
        found = train(seen, LABELS, warm_start=1, episodes=EPISODES, updates=UPDATES, seed=0)
    return {**since(*began), **found.seconds}


def since(began: float, processor: float) -> dict[str, float]:
    """Seconds by the clock, and of all processor cores together, which a busy machine changes less."""
    return {"seconds": time.perf_counter() - began, "processor": time.process_time() - processor}


def measure(found: Sources, pool: int, side: int) -> dict[str, Any]:
    """All three on one pool and one size of images."""
    rows = some_rows(found.ours, pool + sum(OTHERS.values()) + 200)
    some = found.take(rows)
    images = not (isinstance(some.lal_rl.inputs, np.ndarray) and some.lal_rl.inputs.ndim == 2)
    pixels = jaxal.embed(some.lal_rl, "pixels", image_size=side) if images else some.lal_rl
    latents = jaxal.embed(some.ours, some.encoder) if some.encoder else some.ours
    config = jaxal.configure(split={"source_pool": pool, "protocol": "paper", **OTHERS})
    parts = split(pixels, config.split, 0)
    size = pixels.inputs.shape[1]
    return {
        "pool": len(parts.source_pool),
        "side": side if images else None,
        "dimensions": size,
        "latent_size": latents.inputs.shape[1],
        "paper": engine(latents, pool, preset="paper"),
        "engine": engine(pixels, pool, preset="lal-rl", probe={"l2": 2 / size}),
        "authors": authors(pixels, parts),
    }


def every(asked: cells.Asked) -> list[dict[str, Any]]:
    """The measurements of every size, each from its file or made now."""
    measured: list[dict[str, Any]] = []
    for found in asked.each("cxr"):
        for pool, side in SIZES[asked.scale.quick]:
            path = asked.out / f"{asked.scale.stem}-{found.name}-timing-{pool}-{side}.json"
            settings = settings_of(found, pool, side)
            cell = cells.kept(path, settings)
            if cell is None:
                cells.told(f"{path.stem} ...")
                about = {**provenance.environment(), "load": os.getloadavg()}
                cell = {"settings": settings, "environment": about, **measure(found, pool, side)}
                cells.write(path, cell)
            measured.append(cell)
    return measured


def settings_of(found: Sources, pool: int, side: int) -> dict[str, Any]:
    """What a measurement depends on; it can be written down as JSON."""
    given = {"pool": pool, "side": side, "encoder": found.encoder, "budget": LABELS}
    return {**given, "split": OTHERS, "train": TRAIN | CHECKS}


def main() -> None:
    """Measures what is missing, draws and prints."""
    asked = cells.asked(__doc__)
    measured = every(asked)
    if measured:
        drawing.save(drawing.growth(measured), asked, "timing")
        print(tables.timing(measured))


if __name__ == "__main__":
    main()
