"""Any prepared TFDS data set as a `Dataset`, without TensorFlow."""

import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jaxal.data.arrays import from_arrays
from jaxal.data.assemble import Named, assemble, matches
from jaxal.data.dataset import DataError, Dataset
from jaxal.data.download import first_line
from jaxal.data.images import read_images
from jaxal.data.layout import SPLITS
from jaxal.data.tfds_builders import BUILDERS, own_builder, prepare

NAME = re.compile(r"\w+(/[\w.+-]+)?(:[\d.]+)?")  # NAME/CONFIG:VERSION; NAMESPACE:NAME would fetch and run code
FEATURES = (
    *(tfds.features.FeaturesDict, tfds.features.Image, tfds.features.ClassLabel, tfds.features.Text),
    *(tfds.features.Tensor, tfds.features.Scalar),
)


def load_tfds(name: str, data_dir: str | Path, *, group_regex: str | None = None, strict: bool = False) -> Dataset:
    """A TFDS data set under `data_dir` as a `Dataset`; its splits train, validation and test are official.

    `kather2016` and `kermany_pneumonia` are prepared where they are not yet (see `tfds_builders.prepare`); any other
    must have been prepared with `file_format="array_record"`. Its inputs are its one image, read lazily, or its
    one numeric feature; its labels and classes come from its one class label; rows without a label are
    unlabelled. `group_regex` is searched in the feature `filename`. Broken images, copies and the patients in
    Kermany et al.'s file names are handled as by `folder.load_folder`.

    Raises DataError, one line, for what is not prepared, needs TensorFlow, or has other features.
    """
    if name in BUILDERS and not (own_builder(name, data_dir).data_path / "dataset_info.json").exists():
        prepare(name, data_dir)
    records, features, others = _open(name, data_dir)
    image, number, label = _columns(name, features)
    classes = features[label].names

    keys, files, labels, splits, numbers = [], [], [], [], []
    for split, source in records.items():
        for row, record in enumerate(source):
            keys.append(f"{split}/{row}")
            files.append(record.get("filename", keys[-1].encode()).decode())
            labels.append(classes[record[label]] if record[label] >= 0 else "")
            splits.append(SPLITS[split] if len(records) > 1 else "")
            numbers.append(None if image else np.ravel(record[number]))
    notices = [f"splits left out: {', '.join(others)}"] if others else []
    if not image:
        official = np.array(splits) if all(splits) else None
        arrays = {"class_names": np.array(classes), "split": official}
        return from_arrays(name, np.stack(numbers), np.array(labels), **arrays).noting(*notices)

    def read(key: str) -> bytes:
        split, row = key.split("/")
        return records[split][int(row)][image]

    groups = None if group_regex is None else matches(group_regex, files, "group")
    images, rows, skipped = read_images(keys, read, strict=strict)
    return assemble(name, images, Named(files, labels, splits, groups).take(rows), (*notices, *skipped), classes)


def _open(name: str, data_dir: str | Path) -> tuple[dict[str, Any], Any, list[str]]:
    """The records of the official splits, images left encoded; the features; the names of other splits."""
    if not NAME.fullmatch(name):
        raise DataError(f"tfds:{name}: no such name; tfds:NAME, tfds:NAME/CONFIG and tfds:NAME:VERSION are read")
    advice = f"prepare it in {data_dir} with file_format='array_record'"
    try:
        with _known_features():
            own = name in BUILDERS
            builder: Any = own_builder(name, data_dir) if own else tfds.builder(name, data_dir=str(data_dir))
            features = builder.info.features
            images = [key for key, value in features.items() if isinstance(value, tfds.features.Image)]
            encoded = {key: tfds.decode.SkipDecoding() for key in images}
            records = {
                split: builder.as_data_source(split=split, decoders=encoded)
                for split in builder.info.splits
                if split in SPLITS
            }
    except DataError:
        raise
    except Exception as error:  # TFDS raises errors of many kinds, most of them over many lines
        raise DataError(f"{name}: not readable without TensorFlow; {advice} ({first_line(error)})") from None
    if not records:
        raise DataError(f"{name}: not prepared; {advice}")
    return records, features, [split for split in builder.info.splits if split not in SPLITS]


@contextmanager
def _known_features() -> Generator[None]:
    """Lets TFDS make the features that are read here, and none beside them.

    A prepared data set names the classes of its features, and TFDS imports the module of whatever name it finds there.
    All its ways to a class lead through one method.
    """
    connector: Any = tfds.features.FeatureConnector
    known = {f"{feature.__module__}.{feature.__name__}" for feature in FEATURES}
    original = connector.__dict__["cls_from_name"]

    def cls_from_name(cls: Any, name: str) -> Any:
        if name not in known:
            named = ", ".join(feature.__name__ for feature in FEATURES)
            raise DataError(f"its features name {str(name)[:100]}, and nothing of that was run; read are {named}")
        return original.__get__(None, cls)(name)

    connector.cls_from_name = classmethod(cls_from_name)
    try:
        yield
    finally:
        connector.cls_from_name = original


def _columns(name: str, features: Any) -> tuple[str | None, str | None, str]:
    """Which features are the image (or the numbers) and the label."""
    labels = [key for key, value in features.items() if isinstance(value, tfds.features.ClassLabel)]
    images = [key for key, value in features.items() if isinstance(value, tfds.features.Image)]
    numbers = [key for key, value in features.items() if type(value) is tfds.features.Tensor]
    if len(labels) == 1 and len(images) == 1:
        return images[0], None, labels[0]
    if len(labels) == 1 and not images and len(numbers) == 1:
        return None, numbers[0], labels[0]
    there = ", ".join(f"{key} ({type(value).__name__})" for key, value in features.items())
    raise DataError(f"{name}: one class label and one image or numeric feature are expected; it has {there}")
