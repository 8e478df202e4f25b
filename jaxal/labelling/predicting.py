"""Predictions of images without a label, and the classifier as a file that anyone can apply."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxal.config import Reading
from jaxal.data.dataset import DataError
from jaxal.labelling import images
from jaxal.labelling.asking import classifier_now
from jaxal.labelling.choosing import Chooser
from jaxal.labelling.exporting import write_file, write_text
from jaxal.labelling.log import Classifier
from jaxal.labelling.project import Project
from jaxal.labelling.state import State
from jaxal.labelling.status import temperature


def predict(project: Project, out: Path, chooser: Chooser, folder: Path | None) -> list[str]:
    """Writes calibrated probabilities of the images in `folder`, or else of the project's without a label, to a table.

    The table has the columns file, predicted, probability, and one a class. The classifier goes beside it: `kernel`
    [D, C], `bias` [C], `temperature` [], `class_names` [C], `version`, and `reading` (JSON: how images are read);
    probabilities are softmax((latents @ kernel + bias) / temperature). Returns notices and the paths.

    Raises:
      DataError: one line, where nothing is labelled yet, or the images cannot be read.
    """
    classifier = classifier_now(project, chooser)
    if classifier is None:
        raise DataError(f"{project.folder}: nothing is labelled yet, so nothing can be predicted")
    calm = temperature(project, classifier)
    state = project.state
    notices: list[str] = []
    if folder is None:
        rows = [image for image in state.live if image not in state.standing]
        files, latents = [state.files[image] for image in rows], np.asarray(project.latents()[rows])
    elif state.settings.table:
        raise DataError(f"{project.folder}: its latents came in a table, so the encoder that made them is not known")
    else:
        reading = Reading(**state.settings.reading)
        alike = State(scales=state.scales)  # nothing but how deep images are read
        found = images.find(folder, replace(reading, group_regex=""), alike)
        files, notices = found.files, found.notices
        if not files:
            raise DataError(f"{folder}: no image that can be read; {'; '.join(notices)}")
        latents = images.embed_images(found.images, reading, reading.cache)[0]
    names = state.classes[: len(classifier.head.bias)]
    probabilities = classifier.head.probabilities(latents, calm)
    write_text(out, _table(files, probabilities, names))
    beside = out.with_suffix(".npz")
    _save(beside, classifier, calm, state)
    return [*notices, str(out), str(beside)]


def _table(files: Sequence[str], probabilities: np.ndarray, names: Sequence[str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "predicted", "probability", *names])
    for file, row in zip(files, probabilities, strict=True):
        writer.writerow([file, names[int(row.argmax())], f"{row.max():.4f}", *(f"{p:.4f}" for p in row)])
    return text.getvalue()


def _save(path: Path, classifier: Classifier, calm: float, state: State) -> None:
    arrays: dict[str, Any] = {
        "kernel": classifier.head.kernel,
        "bias": classifier.head.bias,
        "temperature": np.float32(calm),
        "class_names": np.array(state.classes[: len(classifier.head.bias)]),
        "version": np.array(classifier.version),
        "reading": np.array(json.dumps(state.settings.reading | {"scales": state.scales})),
    }
    write_file(path, lambda file: np.savez(file, **arrays))
