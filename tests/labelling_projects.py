"""Small projects for the tests of labelling."""

from pathlib import Path

import numpy as np

from jaxal.config import Reading
from jaxal.labelling import starting
from jaxal.labelling.answers import Summary, Told, record
from jaxal.labelling.project import Project


def blobs(count=60, size=5, seed=0) -> tuple[np.ndarray, np.ndarray]:
    """Latents [count, size] of two classes that mostly stand apart, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    return (rng.normal(size=(count, size)) + 2.0 * labels[:, None]).astype(np.float32), labels


def make(
    tmp_path: Path, *, count=60, classes=("A", "B"), test_share=0.0, expire_hours=24.0, groups=None, seed=0
) -> Path:
    """A project of the rows of a table, in a folder below `tmp_path`."""
    folder = tmp_path / "project"
    extra = {} if groups is None else {"groups": np.array(groups)}
    np.savez(tmp_path / "table.npz", X=blobs(count)[0], **extra)
    starting.start(
        folder,
        image_folder=None,
        table=tmp_path / "table.npz",
        classes=classes,
        reading=Reading(),
        strategy="of the tests",
        test_share=test_share,
        expire_hours=expire_hours,
        seed=seed,
        who="me",
    )
    return folder


def tell(project: Project, answers: dict[str, str], who="me", **options) -> Summary:
    """Answers by file, each told for the first time."""
    start = project.refresh().last
    told = [Told(f, label, who, f"{who} {start} {i}", "here") for i, (f, label) in enumerate(answers.items())]
    return record(project, told, **options)


def truth(file: str) -> str:
    """What a row of `blobs` is."""
    return "AB"[int(file.split()[1]) % 2]
