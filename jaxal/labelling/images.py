"""The images of a project: files in a folder, their latents, and their pictures for a page."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from jaxal.data.assemble import matches
from jaxal.data.dataset import DataError, Dataset, fill_missing
from jaxal.data.decode import decode
from jaxal.data.folder import files_below, read_file
from jaxal.data.images import LazyImages, digest, read_images
from jaxal.data.wording import count, some
from jaxal.files import write_whole
from jaxal.labelling.state import Part

LATENTS = "latents"  # the project's folder of latents
BROWSER = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}
LARGEST_SHOWN = 2048  # pixels on the longer side of a picture that has to be converted for the browser


class Reading(NamedTuple):
    """How a folder of images is read and embedded; as the settings of the same names of `jaxal run`."""

    encoder: str = "efficientnet-lite0"
    weights: str = ""
    width: int = 0
    dtype: str = "float32"
    image_size: int = 0
    group_regex: str = ""
    strict: bool = False
    cache_dir: str = "~/.cache/jaxal"

    @property
    def cache(self) -> Path:
        """Where latents are kept that belong to no project."""
        return Path(self.cache_dir).expanduser()

    @property
    def encoder_options(self) -> dict[str, Any]:
        """What `encoders.make_encoder` is told beside the name."""
        given = {"width": self.width, "dtype": self.dtype}
        return {name: value for name, value in given.items() if value not in (0, "float32")}


class Found(NamedTuple):
    """Images that a project may take in."""

    files: list[str]  # [k] paths below the folder, with forward slashes
    digests: list[str]  # [k] hashes of their contents
    groups: list[str] | None  # [k]
    notices: list[str]


def find(folder: Path, known: Sequence[str], digests: Sequence[str], reading: Reading) -> Found:
    """The images below a folder, in the order of their paths, but for those that are known already.

    Hidden files are passed over; files that cannot be read, and exact copies of others or of images with one of
    `digests`, are left out with a notice (`reading.strict`: an error).

    Raises:
      DataError: one line: no such folder, no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images")
    paths = files_below(folder)
    if not paths:
        raise DataError(f"{folder}: an empty folder; images are expected, in it or below it")
    unnamed = [ascii(path) for path in paths if not path.isprintable()]
    seen = set(known)
    new = [path for path in paths if path.isprintable() and path not in seen]
    notices = [f"{count(unnamed)} left out, as their names cannot be printed: {some(unnamed)}"] if unnamed else []
    if not new:
        return Found([], [], None, notices)
    try:
        images, rows, faults = read_images([folder / path for path in new], read_file, strict=reading.strict)
    except DataError as error:
        if reading.strict:
            raise
        return Found([], [], None, [*notices, str(error)])  # none of them can be read
    first = set(digests)
    keep, copies = [], []
    for row, value in zip(rows, images.digests, strict=True):
        (copies if value in first else keep).append((new[row], value))
        first.add(value)
    if copies:
        notices.append(f"{count(copies)} left out as exact copies of others: {some([path for path, _ in copies])}")
    files = [path for path, _ in keep]
    groups = matches(reading.group_regex, files, "group") if reading.group_regex and files else None
    return Found(files, [value for _, value in keep], groups, [*notices, *faults])


def lazy(folder: Path, files: Sequence[str], digests: Sequence[str]) -> LazyImages:
    """Images that are read when asked for; bytes other than those first seen are an error then."""
    return LazyImages(tuple(folder / file for file in files), tuple(digests), read_file)


def embed_images(images: LazyImages, reading: Reading, cache: Path) -> np.ndarray:
    """Latents [k, D] float32 of images, kept in the folder `cache`; an interrupted call goes on from where it was.

    Raises:
      ValueError: one line, for an encoder or weights that cannot be used.
    """
    from jaxal.encoders import make_encoder
    from jaxal.encoders.embed import embed
    from jaxal.encoders.weights import load_weights

    encoder = make_encoder(reading.encoder, **reading.encoder_options)
    weights = load_weights(encoder, reading.weights or None)
    dataset = Dataset("images", images, np.full(len(images), -1, np.int32), ())
    return embed(dataset, encoder, weights.variables, cache_dir=cache, image_size=reading.image_size or None)


class Rows(NamedTuple):
    """Rows of a .npz file that has latents, or features, without labels."""

    latents: np.ndarray  # [n, D] float32
    files: list[str]
    groups: list[str] | None
    classes: list[str]  # the names in `class_names`, or none


def read_table(path: Path) -> Rows:
    """A .npz file: `X` [n, D], and perhaps `files` [n], `groups` [n], `class_names`. Labels in it are not looked at.

    Missing values (NaN) become their column's median, as everywhere.

    Raises:
      DataError: one line, what is wrong with which array; nothing is ever unpickled.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; a .npz file with X [n, D] is expected")
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in ("X", "files", "groups", "class_names") if name in found}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be read as .npz ({str(error).splitlines()[0][:100]})") from None
    if "X" not in arrays:
        raise DataError(f"{path}: no array X; [n, D] latents or features are expected in it")
    x = arrays["X"]
    if x.ndim != 2 or x.dtype.kind not in "fiub" or 0 in x.shape:
        raise DataError(f"{path}: X has shape {x.shape} and type {x.dtype}; numbers [n, D] are expected")
    latents = fill_missing(x.astype(np.float32), np.arange(len(x)))
    if not np.isfinite(latents).all():
        bad = np.flatnonzero(~np.isfinite(latents).all(1))
        raise DataError(f"{path}: {len(bad):,} rows of X hold infinite values (first: row {bad[0]})")
    for name in ("files", "groups"):
        if name in arrays and arrays[name].shape != (len(x),):
            raise DataError(f"{path}: {name} has shape {arrays[name].shape}; one for each of the {len(x):,} rows")
    texts = {name: [str(value) for value in array] for name, array in arrays.items() if name != "X"}
    files = texts.get("files") or [f"row {row}" for row in range(len(x))]
    if len(set(files)) < len(files):
        twice = next(file for file in files if files.count(file) > 1)
        raise DataError(f"{path}: files holds {twice!r} twice")
    return Rows(latents, files, texts.get("groups"), texts.get("class_names", []))


def save_rows(latents: np.ndarray, cache: Path, name: str = "") -> str:
    """Puts latents [k, D] into a folder; returns the name of the file, by default made of their contents.

    Raises:
      DataError: one line, where the folder cannot be written.
    """
    name = name or f"{digest(np.ascontiguousarray(latents).tobytes())}.npy"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        write_whole(cache / name, lambda file: np.save(file, latents))
    except OSError as error:
        raise DataError(f"{cache}: cannot be written: {error.strerror or error}") from None
    return name


def open_latents(cache: Path, parts: Sequence[Part]) -> np.ndarray:
    """Latents [m, D] float32 of all images, in order; memory-mapped if one file holds them.

    Raises:
      DataError: one line, where a file is missing or damaged.
    """
    arrays = []
    for part in parts:
        try:
            arrays.append(np.lib.format.open_memmap(cache / part.file, mode="r"))
        except (OSError, ValueError, EOFError):
            arrays.append(np.zeros(0))
        if len(arrays[-1]) != part.images:
            raise DataError(f"{cache / part.file}: missing or damaged; `jaxal label images` makes it again")
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def picture(folder: Path, file: str, first_seen: str) -> tuple[bytes, str]:
    """An image as a browser shows it, and its media type.

    The contents must be those that were seen when the image came into the project, so nothing else is ever handed
    out, whatever stands at that path by now.

    Raises:
      DataError: one line, for an image that is gone or has changed, or a path that leaves the folder.
    """
    if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
        raise DataError(f"{file}: not a path below the folder of images")
    data = lazy(folder, [file], [first_seen]).encoded(0)
    for start, media in BROWSER.items():
        if data.startswith(start):
            return data, media
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return data, "image/webp"
    shown = Image.fromarray(decode(data, file))
    shown.thumbnail((LARGEST_SHOWN, LARGEST_SHOWN))
    out = io.BytesIO()
    shown.save(out, "PNG")
    return out.getvalue(), "image/png"


def thumbnail(folder: Path, file: str, first_seen: str, side: int = 320) -> bytes:
    """A small JPEG of an image, for a sheet. Raises as `picture`."""
    image = Image.fromarray(decode(lazy(folder, [file], [first_seen]).encoded(0), file))
    image.thumbnail((side, side))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()
