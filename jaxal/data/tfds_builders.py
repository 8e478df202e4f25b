"""The paper's two data sets as TFDS builders, and any prepared TFDS data set as a `Dataset`.

Neither preparing nor reading needs TensorFlow: records are kept as array_record, images as encoded bytes.
Archives are read in place and never unpacked, so no member of one can be written anywhere.
"""

import hashlib
import http.client
import io
import os
import re
import sys
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from jaxal.data.arrays import from_arrays
from jaxal.data.assemble import Named, assemble, matches
from jaxal.data.dataset import DataError, Dataset
from jaxal.data.decode import decode
from jaxal.data.images import read_images
from jaxal.data.layout import SPLITS


@dataclass(frozen=True)
class Source:
    """A published archive, and what its bytes must be."""

    url: str
    size: int
    sha256: str


KATHER = Source(
    "https://zenodo.org/record/53169/files/Kather_texture_2016_image_tiles_5000.zip",
    258_098_431,
    "936d0b95ae0f04f1f7b18a2b7e8c55776c3e887d102f645bcee752d1a6626a32",
)


class Kather2016(tfds.core.GeneratorBasedBuilder):
    """Kather et al. 2016: 5,000 tiles of colorectal histology, 150 x 150, 8 tissues, as lossless PNG."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Put {KATHER.url} into this folder."
    TISSUES = ("tumor", "stroma", "complex", "lympho", "debris", "mucosa", "adipose", "empty")
    MEMBERS = re.compile(r"Kather_texture_2016_image_tiles_5000/0[1-8]_[A-Z]+/[^/.][^/]*\.tif")

    def _info(self) -> tfds.core.DatasetInfo:
        return _info(self, self.TISSUES, "https://doi.org/10.5281/zenodo.53169", (150, 150, 3), "png")

    def _split_generators(self, dl_manager) -> dict[str, Any]:
        return {"train": self._generate_examples(Path(dl_manager.manual_dir))}

    def _generate_examples(self, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        with _archive(folder) as archive:
            for path in _members(archive, self.MEMBERS):
                tile = decode(archive.read(str(path)), path.name)
                encoded = io.BytesIO()
                Image.fromarray(tile).save(encoded, "png")
                label = int(path.parent.name[:2]) - 1
                yield path.name, {"image": encoded.getvalue(), "label": label, "filename": path.name}


class KermanyPneumonia(tfds.core.GeneratorBasedBuilder):
    """Kermany et al. 2018: 5,856 paediatric chest X-rays with the official split, the published JPEGs."""

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Put the zip archive of the chest X-rays into this folder: ChestXRay2017.zip from "
        "https://data.mendeley.com/datasets/rscbjbr9sj/2, ZhangLabData.zip from version 3 there, or "
        "chest-xray-pneumonia from Kaggle."
    )
    # CellData/ is before it in version 3 on Mendeley, which has other file names, too.
    MEMBERS = re.compile(r"(?:CellData/)?chest_xray/(train|val|test)/(NORMAL|PNEUMONIA)/[^/.][^/]*\.jpe?g")

    def _info(self) -> tfds.core.DatasetInfo:
        page = "https://doi.org/10.17632/rscbjbr9sj"
        return _info(self, ("NORMAL", "PNEUMONIA"), page, (None, None, 3), "jpeg")

    def _split_generators(self, dl_manager) -> dict[str, Any]:
        # Mendeley's archive has no validation images, Kaggle's has.
        folder = Path(dl_manager.manual_dir)
        with _archive(folder) as archive:
            splits = sorted({path.parts[-3] for path in _members(archive, self.MEMBERS)})
        return {split: self._generate_examples(folder, split) for split in splits}

    def _generate_examples(self, folder: Path, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        with _archive(folder) as archive:
            for path in _members(archive, self.MEMBERS):
                if path.parts[-3] == split:
                    image, label = archive.read(str(path)), path.parent.name
                    yield f"{label}/{path.name}", {"image": image, "label": label, "filename": path.name}


BUILDERS = {"kather2016": Kather2016, "kermany_pneumonia": KermanyPneumonia}


def _info(builder, classes: tuple[str, ...], page: str, shape: tuple, encoding: str) -> tfds.core.DatasetInfo:
    features = {
        "image": tfds.features.Image(shape=shape, encoding_format=encoding),
        "label": tfds.features.ClassLabel(names=classes),
        "filename": tfds.features.Text(),
    }
    return tfds.core.DatasetInfo(
        builder=builder,
        description=type(builder).__doc__,
        features=tfds.features.FeaturesDict(features),
        supervised_keys=("image", "label"),
        homepage=page,
    )


@contextmanager
def _archive(folder: Path) -> Iterator[zipfile.ZipFile]:
    """The one zip archive in `folder`, opened; a DataError of one line for whatever is wrong with it."""
    found = sorted(Path(folder).glob("*.zip"))
    if len(found) != 1:
        raise DataError(f"{folder}: one zip archive is expected here, and there are {len(found)}")
    try:
        with zipfile.ZipFile(found[0]) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise DataError(f"{found[0]}: broken or cut short ({_line(error)}); download it again") from None


def _members(archive: zipfile.ZipFile, wanted: re.Pattern) -> list[PurePosixPath]:
    found = dict.fromkeys(archive.namelist())  # a name that comes twice is read as the last that has it
    names = [PurePosixPath(name) for name in found if wanted.fullmatch(name)]
    if not names:
        raise DataError(f"{archive.filename}: not the published archive, nothing in it is {wanted.pattern}")
    return names


def prepare(name: str, data_dir: str | Path) -> None:
    """Prepare `kather2016` (downloads 246 MiB) or `kermany_pneumonia` (downloaded by hand) in `data_dir`.

    The archive stands in `data_dir/downloads/NAME`. Raises DataError, one line: the archive is not there,
    cannot be fetched, has another checksum than the published one, or is broken. Then nothing half-prepared
    is left.
    """
    folder = Path(data_dir) / "downloads" / name
    folder.mkdir(parents=True, exist_ok=True)
    if name == "kather2016":
        fetch(KATHER, folder / KATHER.url.rsplit("/", 1)[1])
    elif not any(folder.glob("*.zip")):
        raise DataError(f"{folder}: no archive here. {BUILDERS[name].MANUAL_DOWNLOAD_INSTRUCTIONS}")
    config = tfds.download.DownloadConfig(manual_dir=str(folder), try_download_gcs=False)
    with redirect_stdout(sys.stderr):  # where progress belongs
        try:
            _builder(name, data_dir).download_and_prepare(download_config=config)
        except (DataError, OSError):
            raise
        except Exception as error:  # TFDS raises errors of many kinds
            raise DataError(f"{name}: cannot be prepared in {data_dir} ({_line(error)})") from None


def _builder(name: str, data_dir: str | Path) -> tfds.core.DatasetBuilder:
    if name in BUILDERS:
        return BUILDERS[name](data_dir=str(data_dir), file_format="array_record")
    return tfds.builder(name, data_dir=str(data_dir))


def fetch(source: Source, path: Path) -> None:
    """Download `source` to `path` unless it is there already; either way, verify its checksum.

    Raises DataError, one line, for a failed download, or bytes that are not the published ones.
    """
    if path.exists():
        return _verify(source, path)
    columns = (*Progress.get_default_columns()[:2], DownloadColumn(), TransferSpeedColumn())
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with (
            urllib.request.urlopen(source.url, timeout=60) as reply,
            part.open("wb") as file,
            Progress(*columns, console=Console(stderr=True)) as bar,
        ):
            task = bar.add_task(f"downloading {path.name}", total=source.size)
            while block := reply.read(1 << 20):
                file.write(block)
                bar.advance(task, len(block))
        _verify(source, part)
        part.replace(path)
    except (OSError, http.client.HTTPException) as error:
        reason = f"cannot be downloaded ({_line(error)}); fetch it on another machine and put it at {path}"
        raise DataError(f"{source.url}: {reason}") from None
    finally:
        part.unlink(missing_ok=True)


def _verify(source: Source, path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        total = hashlib.file_digest(file, "sha256").hexdigest()
    if size < source.size:
        wrong = f"{size:,} of {source.size:,} bytes: the download broke off"
    elif total != source.sha256:
        wrong = f"SHA-256 {total[:12]}... is not the published {source.sha256[:12]}..."
    else:
        return
    raise DataError(f"{path}: {wrong}; download {source.url} again")


def _line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:150]}" if text else type(error).__name__


def load_tfds(name: str, data_dir: str | Path, *, group_regex: str | None = None, strict: bool = False) -> Dataset:
    """A TFDS data set under `data_dir` as a `Dataset`; its splits train, validation and test are official.

    `kather2016` and `kermany_pneumonia` are prepared where they are not yet (see `prepare`); any other must
    have been prepared with `file_format="array_record"`. Its inputs are its one image, read lazily, or its
    one numeric feature; its labels and classes come from its one class label; rows without a label are
    unlabelled. `group_regex` is searched in the feature `filename`. Broken images, copies and the patients in
    Kermany et al.'s file names are handled as by `folder.load_folder`.

    Raises DataError, one line, for what is not prepared, needs TensorFlow, or has other features.
    """
    if name in BUILDERS and not (_builder(name, data_dir).data_path / "dataset_info.json").exists():
        prepare(name, data_dir)
    records, features, others = _open(name, data_dir)
    image, number, label = _columns(name, features)
    classes = features[label].names

    rows = [(split, row, record) for split, source in records.items() for row, record in enumerate(source)]
    notices = [f"splits left out: {', '.join(others)}"] if others else []
    official = [SPLITS[split] if len(records) > 1 else "" for split, _, _ in rows]
    labels = [classes[record[label]] if record[label] >= 0 else "" for *_, record in rows]
    if not image:
        inputs = np.stack([np.ravel(record[number]) for *_, record in rows])
        names, split = np.array(classes), np.array(official) if all(official) else None
        return from_arrays(name, inputs, np.array(labels), class_names=names, split=split).noting(*notices)

    def read(key: str) -> bytes:
        split, row = key.split("/")
        return records[split][int(row)][image]

    keys = [f"{split}/{row}" for split, row, _ in rows]
    files = [record.get("filename", key.encode()).decode() for key, (*_, record) in zip(keys, rows, strict=True)]
    groups = None if group_regex is None else matches(group_regex, files, "group")
    images, readable, skipped = read_images(keys, read, strict=strict)
    named = Named(files, labels, official, groups).take(readable)
    return assemble(name, images, named, (*notices, *skipped), classes)


def _open(name: str, data_dir: str | Path) -> tuple[dict[str, Any], Any, list[str]]:
    """The records of the official splits, images left encoded; the features; the names of other splits."""
    advice = f"prepare it in {data_dir} with file_format='array_record'"
    try:
        builder: Any = _builder(name, data_dir)
        features = builder.info.features
        images = [key for key, value in features.items() if isinstance(value, tfds.features.Image)]
        encoded = {key: tfds.decode.SkipDecoding() for key in images}
        records = {
            split: builder.as_data_source(split=split, decoders=encoded)
            for split in builder.info.splits
            if split in SPLITS
        }
    except Exception as error:  # TFDS raises errors of many kinds, most of them over many lines
        raise DataError(f"{name}: not readable without TensorFlow; {advice} ({_line(error)})") from None
    if not records:
        raise DataError(f"{name}: not prepared; {advice}")
    return records, features, [split for split in builder.info.splits if split not in SPLITS]


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
