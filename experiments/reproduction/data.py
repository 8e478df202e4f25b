"""The data that the paper's experiments are repeated on: what the classifier of each method is given.

The paper has chest X-rays (binary) and colorectal histology (8 classes) through a ResNet-50. What can be had without
internet are the same X-rays through EfficientNet-Lite0, texture features of the same 5,000 tiles, and 100 of the tiles
as images. A folder with them (`--data`, see `files`) is no part of this repository.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxal
from jaxal.data.dataset import Dataset

FOLDER = Path(__file__).parents[3] / "shared" / "data"
FILES = {
    "cxr": "latents/cxr.npz",
    "texture": "kather2016/texture80.npz",
    "tiles": "kather2016/tiles100",
    "brain": "latents/brain.npz",
}
X_RAYS = "cxr_kermany"
LITE0 = "efficientnet-lite0"


class MissingDataError(Exception):
    """Data that this machine does not have; the message is one line."""


class Sources(NamedTuple):
    """One data set, as each method sees it: the same rows in the same order."""

    name: str
    ours: Dataset  # features, or images for `encoder`
    lal_rl: Dataset  # the data themselves: features, or images
    encoder: str  # of `ours`, "" for features
    said: dict[str, str]  # in words, what each method is given

    def take(self, rows: np.ndarray) -> "Sources":
        """The same with some rows alone."""
        return self._replace(ours=self.ours.take(rows), lal_rl=self.lal_rl.take(rows))


def folder_of(folder: Path, name: str) -> Path:
    """The file or folder of a data set. Raises MissingDataError where there is none."""
    path = folder / FILES.get(name, name)
    if not path.exists():
        raise MissingDataError(f"{name} skipped: there is no {path}; name the folder of the data with --data")
    return path


def sources(name: str, folder: Path = FOLDER, encoder: str = "") -> Sources:
    """A data set by its name, or any that jaxal reads, by its path.

    Raises:
      MissingDataError: where this machine does not have it.
    """
    if name == "cxr" and not encoder:
        return _x_rays(folder)
    if name == "texture":
        return _texture(folder)
    if name == "tiles":
        images = jaxal.load(str(folder_of(folder, name)), encoder="pixels", label_regex=r"label_(\d)")
        said = {"ours": f"100 tiles through {encoder or LITE0}", "lal_rl": "their pixels"}
        return Sources(name, images, images, encoder or LITE0, said)
    path = str(folder_of(folder, X_RAYS if name == "cxr" else name) if name in FILES else name)
    data = jaxal.load(path, encoder=encoder)
    said = {"ours": f"{data.name} through {encoder}" if encoder else data.name, "lal_rl": "the data themselves"}
    return Sources(Path(path).stem, data, data, encoder, said)


def _x_rays(folder: Path) -> Sources:
    latents = jaxal.load(str(folder_of(folder, "cxr")))
    images = jaxal.load(str(folder_of(folder, X_RAYS)), encoder="pixels")
    columns = [
        [each.labels.tolist(), None if each.official is None else each.official.tolist()] for each in (latents, images)
    ]
    if columns[0] != columns[1]:
        raise MissingDataError("cxr skipped: the latents' rows are not those of the images")
    images = replace(images, groups=latents.groups)
    said = {"ours": "EfficientNet-Lite0 latents of the X-rays", "lal_rl": "the pixels of the same X-rays"}
    return Sources("cxr", latents, images, "", said)


def _texture(folder: Path) -> Sources:
    """Each feature with mean 0 and deviation 1 for the paper's classifier, which takes latents as they are."""
    data = jaxal.load(str(folder_of(folder, "texture")))
    mean, deviation = np.nanmean(data.inputs, 0), np.nanstd(data.inputs, 0)
    scaled = np.nan_to_num((data.inputs - mean) / deviation).astype(np.float32)
    said = {"ours": "80 texture features of the tiles, standardised", "lal_rl": "the same features"}
    ours = jaxal.from_arrays("texture", scaled, data.labels, class_names=np.array(data.classes))
    return Sources("texture", ours, data, "", said)


def some_rows(data: Dataset, count: int, seed: int = 0) -> np.ndarray:
    """`count` random rows, each class and each side of an official test split in proportion, in their order."""
    rng = np.random.default_rng(seed)
    test = np.zeros(len(data), bool) if data.official is None else data.official == "test"
    kinds = np.stack([data.labels, test])
    chosen = [rng.permutation(np.flatnonzero((kind == kinds.T).all(1))) for kind in np.unique(kinds.T, axis=0)]
    shares = [len(rows) * min(count / len(data), 1.0) for rows in chosen]
    return np.sort(np.concatenate([rows[: round(share)] for rows, share in zip(chosen, shares, strict=True)]))


def reshuffled(found: Sources) -> Sources:
    """Without the official test split: test rows are drawn like all others."""
    return found._replace(ours=replace(found.ours, official=None))


def imbalanced(found: Sources, share: int = 20, seed: int = 0) -> Sources:
    """Every second class keeps one in `share` of its rows."""
    rng, labels = np.random.default_rng(seed), found.ours.labels
    rows = [rng.permutation(np.flatnonzero(labels == c)) for c in range(len(found.ours.classes))]
    kept = [these[: len(these) // share] if c % 2 else these for c, these in enumerate(rows)]
    said = found.said | {"ours": f"{found.said['ours']}, every second class with a {share}th of its rows"}
    return found.take(np.sort(np.concatenate(kept)))._replace(said=said)


def mislabelled(found: Sources, fraction: float = 0.1, seed: int = 0) -> Sources:
    """A random fifth of the rows is for testing; of the others, a fraction has the label of another class."""
    rng, classes = np.random.default_rng(seed), len(found.ours.classes)
    test = rng.random(len(found.ours)) < 0.2
    wrong = ~test & (rng.random(len(test)) < fraction)
    moved = (found.ours.labels + rng.integers(1, classes, len(test))) % classes
    labels = np.where(wrong, moved, found.ours.labels).astype(np.int32)
    ours = replace(found.ours, labels=labels, official=np.where(test, "test", "train"))
    said = found.said | {"ours": f"{found.said['ours']}, {fraction:.0%} of the labels wrong but for test rows"}
    return found._replace(ours=ours, said=said)
