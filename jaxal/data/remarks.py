"""What is worth saying of a data set, and of its splits, before anything is computed."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from jaxal.config import SplitConfig
from jaxal.data.dataset import Dataset, varying
from jaxal.data.layout import SPLITS
from jaxal.data.splits import POOLS, Split, sizes
from jaxal.data.wording import few

SCORED = ("reward", "validation", "test")
FEW = 5  # test rows of a class, below which its share of the metrics is coarse
PATIENT = re.compile(r"(?:patient|pat|subject|subj|sub|case|person|id)[-_ ]?\d+|\d{4,}", re.IGNORECASE)


def facts(dataset: Dataset) -> str:
    """How many rows there are of what, by class, by official split and in how many groups: one line."""
    features = isinstance(dataset.inputs, np.ndarray) and dataset.inputs.ndim == 2
    what = f"{len(dataset):,} rows of {dataset.inputs.shape[1]:,} features" if features else f"{len(dataset):,} images"
    by_class = [f"{name} {n:,}" for name, n in zip(dataset.classes, _counts(dataset), strict=True)]
    line = f"{what}, {len(dataset.classes)} classes: {few(by_class, 12)}"
    if dataset.official is not None:
        parts = [part for part in dict.fromkeys(SPLITS.values()) if part in dataset.official]
        line += f"; official split: {', '.join(f'{part} {np.sum(dataset.official == part):,}' for part in parts)}"
    if dataset.groups is not None:
        line += f"; {len(np.unique(dataset.groups)):,} groups"
    return line


def class_remarks(dataset: Dataset) -> list[str]:
    """Classes that nothing can be learned of, and names that look like something else."""
    remarks = []
    official = np.zeros(len(dataset), bool) if dataset.official is None else dataset.official == "test"
    inside, outside = _counts(dataset, official), _counts(dataset, ~official)
    if np.any(outside == 0):
        alone = few(f"{dataset.classes[c]} ({inside[c]:,})" for c in np.flatnonzero(outside == 0))
        remarks.append(f"classes that stand in the test split alone: {alone}")
    splits = [name for name in dataset.classes if SPLITS.keys() & set(re.split(r"[^a-z]+", name.lower()))]
    if splits:
        remarks.append(f"classes with names of splits: {few(splits)}; are they one folder too high?")
    patients = [name for name in dataset.classes if PATIENT.fullmatch(name)]
    if 2 * len(patients) > len(dataset.classes):
        remarks.append(f"classes with names of patients: {few(patients)}; name the class by --label-regex")
    return remarks


def split_remarks(dataset: Dataset, config: SplitConfig, splits: Sequence[Split]) -> list[str]:
    """What the splits of all seeds lack: classes in the parts that are scored, columns in the pools, rows for want of
    groups. One line for each kind, with the most that any seed lacks.
    """
    remarks = []
    for part in SCORED:
        if any(len(getattr(parts, part)) for parts in splits):
            remarks += _scarce(dataset, part, [_counts(dataset, getattr(parts, part)) for parts in splits])
    if dataset.groups is not None:
        remarks += _short(dataset, config, splits)
    if isinstance(dataset.inputs, np.ndarray) and dataset.inputs.ndim == 2:
        remarks += _flat(dataset.inputs, splits)
    return remarks


def _scarce(dataset: Dataset, part: str, by_seed: Sequence[np.ndarray]) -> list[str]:
    """Classes that a part lacks, and in the test part those with few rows, by the counts [C] of each seed."""
    counts, total = np.min(by_seed, 0), _counts(dataset)
    lacking = np.flatnonzero(counts == 0)
    remarks = []
    if len(lacking):
        seeds = f" of some of the {len(by_seed)} seeds" if len({*map(bytes, np.equal(by_seed, 0))}) > 1 else ""
        named = few(f"{dataset.classes[c]} ({total[c]:,} rows in all)" for c in lacking)
        line, left = f"no row in the {part} part{seeds}: {named}", len(counts) - len(lacking)
        rest = f"means over the other {left}" if left > 1 else "not to be had"
        remarks.append(f"{line}; balanced accuracy, macro-F1 and AUROC are {rest}" if part == "test" else line)
    scarce = np.flatnonzero((counts > 0) & (counts < FEW))
    if part == "test" and len(scarce):
        named = few(f"{dataset.classes[c]} ({counts[c]})" for c in scarce)
        remarks.append(f"fewer than {FEW} rows in the test part: {named}; averages over the classes are coarse")
    return remarks


def _short(dataset: Dataset, config: SplitConfig, splits: Sequence[Split]) -> list[str]:
    """Parts that whole groups leave smaller than they would be."""
    assert dataset.groups is not None
    official = np.zeros(len(dataset), bool) if dataset.official is None else dataset.official == "test"
    train_only = not any(len(parts.test) for parts in splits)
    wanted = sizes(int(np.sum(~official)), config, bool(official.any()), train_only)
    found = {name: min(len(getattr(parts, name)) for parts in splits) for name in wanted}
    short = [f"{name} {found[name]:,} of {size:,}" for name, size in wanted.items() if found[name] < size]
    if not short:
        return []
    held = np.unique(dataset.groups[~official], return_counts=True)[1]
    line = f"{len(held):,} groups of up to {held.max():,} rows leave parts smaller"
    return [f"{line}, since a group stands in one part alone: {', '.join(short)}"]


def _flat(inputs: np.ndarray, splits: Sequence[Split]) -> list[str]:
    """Columns that vary, but not in a pool, from which they would be learned."""
    everywhere = varying(inputs)
    still = {
        column
        for pool in _distinct(getattr(parts, name) for parts in splits for name in POOLS)
        for column in np.flatnonzero(everywhere & ~varying(inputs[pool]))
    }
    return [f"columns that are constant in a pool, where they are not used: {few(sorted(still))}"] if still else []


def _distinct(pools: Iterable[np.ndarray]) -> list[np.ndarray]:
    return list({pool.tobytes(): pool for pool in pools if len(pool)}.values())


def _counts(dataset: Dataset, rows: np.ndarray | None = None) -> np.ndarray:
    """Rows of each class, [C], of all or of `rows`."""
    return np.bincount(dataset.labels if rows is None else dataset.labels[rows], minlength=len(dataset.classes))
