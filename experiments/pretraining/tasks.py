"""Random training tasks from real and synthetic data sets: other pools, classes and geometries every time."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from jaxal.data.dataset import Dataset
from jaxal.data.load import load
from jaxal.data.splits import Rows
from jaxal.seals import fingerprint
from jaxal.tasks.banks import Sources
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Needs, make_task, stack
from pretraining.synthetic import change_geometry, synthetic

SYNTHETIC = "synthetic"
POOL, HOLDOUT, CLASSES = 400, 600, 10  # what tasks are padded to
SMALLEST_POOL = 100
CHANGED = 0.7  # share of the tasks from real data whose geometry is changed
TABLES = (
    *("anneal", "car", "cmc", "credit_g", "diabetes", "hypothyroid", "kr_vs_kp", "letter", "mushroom", "nursery"),
    *("page_blocks", "segment", "sick", "solar_flare2", "spambase", "splice", "tic_tac_toe", "vehicle", "vowel"),
    "waveform5000",
)
SETS = {
    "texture80": "kather2016/texture80.npz",
    "cxr": "latents/cxr.npz",
    "brain": "latents/brain.npz",
    "mnist": "latents/mnist_lite0.npz",
    "digits": "",
    "breast-cancer": "",
    "wine": "",
    **{name: f"uci/{name}.npz" for name in TABLES},
}
"""Data sets by name: where each lies below the folder of real data; "": bundled with scikit-learn."""

SIBLINGS = {
    "digits": ("mnist",),
    "mnist": ("digits",),
    "hypothyroid": ("sick",),
    "sick": ("hypothyroid",),
}
"""Sets of the same kind of data, which are left out together."""


def without(*left_out: str) -> tuple[str, ...]:
    """The sets that a policy may be trained on which is tested on those `left_out`: neither they nor their siblings."""
    barred = {*left_out, *(sibling for name in left_out for sibling in SIBLINGS.get(name, ()))}
    return tuple(name for name in SETS if name not in barred)


class Drawn(NamedTuple):
    """What a task is made of."""

    latents: np.ndarray  # [n, D] float32
    labels: np.ndarray  # [n] int32
    rows: Rows


@cache
def fingerprint_of(name: str, folder: Path) -> str:
    """What stands for a data set in the card of a policy; see `Pretrained.seen`."""
    dataset = _load(name, folder)
    return fingerprint(dataset.inputs, dataset.labels)


@cache
def read(name: str, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Latents [n, D] float32, and labels [n]."""
    dataset = _load(name, folder)
    return np.asarray(dataset.inputs, np.float32), dataset.labels


def draw(name: str, rng: np.random.Generator, folder: Path) -> Drawn:
    """A random task of a data set: a random pool, some of the classes, and often another geometry."""
    latents, labels = synthetic(rng) if name == SYNTHETIC else read(name, folder)
    classes, counts = np.unique(labels, return_counts=True)
    classes = classes[counts >= 20]
    if len(classes) > CLASSES or (len(classes) >= 4 and rng.random() < 0.5):
        count = int(rng.integers(2, min(len(classes), CLASSES) + 1))
        classes = np.sort(rng.choice(classes, count, replace=False))
    rows = rng.permutation(np.flatnonzero(np.isin(labels, classes)))
    size = min(int(np.exp(rng.uniform(np.log(SMALLEST_POOL), np.log(POOL)))), int(0.55 * len(rows)))
    pool, holdout = rows[:size], rows[size : size + HOLDOUT]
    present = np.unique(labels[pool])
    if len(present) < 2 or len(np.intersect1d(present, labels[holdout])) < 2:
        return draw(name, rng, folder)
    holdout = holdout[np.isin(labels[holdout], present)]
    used = np.concatenate([pool, holdout])
    some = latents[used]
    if name != SYNTHETIC and rng.random() < CHANGED:
        some = change_geometry(rng, some)
    width = 1 << (some.shape[1] - 1).bit_length()  # constant columns change nothing, and save compilations
    some = np.pad(some, ((0, 0), (0, width - some.shape[1])))
    numbers = np.searchsorted(present, labels[used]).astype(np.int32)
    places = np.arange(len(used))
    return Drawn(some.astype(np.float32), numbers, Rows(places[: len(pool)], places[:1], places[len(pool) :]))


def _load(name: str, folder: Path) -> Dataset:
    return load(str(folder / SETS[name]) if SETS[name] else name)


@threadpool_limits.wrap(limits=1)
def fresh(names: Sequence[str], count: int, seed: int, folder: Path) -> Sources:
    """`count` fresh tasks, each of a random one of the sets `names`, padded to common shapes."""
    rng = np.random.default_rng([seed, 0xF2E5])
    drawn = [draw(str(rng.choice(names)), rng, folder) for _ in range(count)]
    make = partial(make_task, distance=DISTANCES["euclidean"], needs=Needs(), shape=(POOL, 1, HOLDOUT), classes=CLASSES)
    bank = stack((make(task.latents, task.labels, task.rows) for task in drawn), (count,))
    return Sources(bank, bank, jnp.arange(count))
