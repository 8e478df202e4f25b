"""What leaves a project: files that are written whole or not at all, and the arrays that `jaxal run` reads."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from jaxal.data.dataset import DataError
from jaxal.data.wording import few
from jaxal.files import write_whole
from jaxal.labelling.project import Project


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8. Raises DataError, one line, where it cannot be written."""
    write_file(path, lambda file: file.write(text.encode("utf-8", "surrogateescape")))


def write_file(path: Path, save: Any) -> None:
    """A file that `save` (file) writes. Raises DataError, one line, where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, save)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None


def write_npz(path: Path, project: Project) -> None:
    """The labelled images as `jaxal run` reads them: X, y, class_names, files, and groups and split if there are any.

    The test part is made of the images that were set aside by lot. Classes with a single image are left out, as nothing
    can be learned or tested of them.

    Raises:
      DataError: one line, where fewer than two classes have two images.
    """
    with project.lock:
        state = project.refresh()
        labels = {
            image: standing.label
            for image, standing in sorted(state.standing.items())
            if standing.kind == "labelled" and image not in state.removed
        }
        many = {label for label, count in Counter(labels.values()).items() if count > 1}
        images = [image for image, label in labels.items() if label in many]
        if len(many) < 2:
            counts = Counter(state.classes[label] for label in labels.values())
            told = few(f"{name} {count}" for name, count in counts.items()) or "none"
            raise DataError(f"{project.folder}: two classes with two labelled images each are needed; it has: {told}")
        latents = np.asarray(project.latents()[images], np.float32)
        groups = [state.groups[image] for image in images]
        test = np.array([state.is_reserved(image) for image in images])
    used = sorted(many)
    arrays: dict[str, Any] = {
        "X": latents,
        "y": np.array([used.index(labels[image]) for image in images], np.int32),
        "class_names": np.array([state.classes[label] for label in used]),
        "files": np.array([state.files[image] for image in images]),
    }
    if any(group is not None for group in groups):
        arrays["groups"] = np.array([state.files[i] if g is None else g for i, g in zip(images, groups, strict=True)])
    if test.any() and not test.all():
        arrays["split"] = np.where(test, "test", "train")
    write_file(path, lambda file: np.savez(file, **arrays))
