"""The paper's two data sets as TFDS builders, prepared without TensorFlow: as array_record, images as encoded bytes.

Archives are read in place and never unpacked, so no member of one can be written anywhere.
"""

import io
import re
import shutil
import sys
import time
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path, PurePosixPath
from typing import Any

import tensorflow_datasets as tfds
from PIL import Image

from jaxal.data.dataset import DataError
from jaxal.data.decode import decode
from jaxal.data.download import Source, fetch, first_line
from jaxal.files import HOUR

LARGEST = 1 << 26  # bytes of an image in an archive; the published ones have less than a tenth

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

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
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

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
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


def _info(
    builder: Any, classes: tuple[str, ...], page: str, shape: tuple[int | None, ...], encoding: str
) -> tfds.core.DatasetInfo:
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
def _archive(folder: Path) -> Generator[zipfile.ZipFile]:
    """The one zip archive in `folder`, opened; a DataError of one line for whatever is wrong with it."""
    found = sorted(Path(folder).glob("*.zip"))
    if len(found) != 1:
        raise DataError(f"{folder}: one zip archive is expected here, and there are {len(found)}")
    try:
        with zipfile.ZipFile(found[0]) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise DataError(f"{found[0]}: broken or cut short ({first_line(error)}); download it again") from None


def _members(archive: zipfile.ZipFile, wanted: re.Pattern[str]) -> list[PurePosixPath]:
    found = dict.fromkeys(archive.namelist())  # a name that comes twice is read as the last that has it
    names = [PurePosixPath(name) for name in found if wanted.fullmatch(name)]
    if not names:
        raise DataError(f"{archive.filename}: not the published archive, nothing in it is {wanted.pattern}")
    for name in names:
        size = archive.getinfo(str(name)).file_size  # no more is ever unpacked
        if size > LARGEST:
            raise DataError(f"{archive.filename}: {name} says it has {size:,} bytes; at most {LARGEST:,} are an image")
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
    _sweep(Path(data_dir) / name)
    config = tfds.download.DownloadConfig(manual_dir=str(folder), try_download_gcs=False)
    with redirect_stdout(sys.stderr):  # where progress belongs
        try:
            own_builder(name, data_dir).download_and_prepare(download_config=config)
        except (DataError, OSError):
            raise
        except Exception as error:  # TFDS raises errors of many kinds
            raise DataError(f"{name}: cannot be prepared in {data_dir} ({first_line(error)})") from None


def _sweep(folder: Path) -> None:
    """Remove what a killed process had half prepared, unless it may still be at it."""
    for left in folder.glob("incomplete.*"):
        if time.time() - left.stat().st_mtime > 24 * HOUR:
            shutil.rmtree(left, ignore_errors=True)


def own_builder(name: str, data_dir: str | Path) -> tfds.core.DatasetBuilder:
    """The builder of one of the paper's data sets."""
    return BUILDERS[name](data_dir=str(data_dir), file_format="array_record")
