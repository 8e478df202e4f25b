"""The images of a project: files in a folder, their latents, and their pictures for a page."""

import io
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from jaxal.config import Reading
from jaxal.data.assemble import matches
from jaxal.data.dataset import DataError, Dataset, fill_missing
from jaxal.data.decode import decode
from jaxal.data.depth import Scale, Scales
from jaxal.data.folder import files_below, read_file
from jaxal.data.images import LazyImages, digest, read_images
from jaxal.data.wording import count, printable, some
from jaxal.files import write_whole
from jaxal.labelling.state import Part, State

LATENTS = "latents"  # the project's folder of latents
BROWSER = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif"}
LARGEST_SHOWN = 2048  # pixels on the longer side of a picture that has to be converted for the browser


class Found(NamedTuple):
    """Images that a project may take in."""

    images: LazyImages
    files: list[str]  # [k] paths below the folder, with forward slashes
    groups: list[str] | None  # [k]
    scales: dict[str, Scale]  # black and white of the kinds of deep images that are met for the first time
    notices: list[str]

    @property
    def digests(self) -> list[str]:
        """[k] hashes of the images' contents."""
        return list(self.images.digests)


def find(folder: Path, reading: Reading, state: State | None = None) -> Found:
    """The images below a folder, in the order of their paths, but for those that a project has already.

    Hidden files are passed over; files that cannot be read, and exact copies, are left out with a notice
    (`reading.strict`: an error). Deep images of a kind that the project has met are read as they were then.

    Raises:
      DataError: one line: no such folder, no image in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of images")
    paths = files_below(folder)
    if not paths:
        raise DataError(f"{folder}: an empty folder; images are expected, in it or below it")
    state = state or State()
    there = {state.files[image]: state.digests[image] for image in state.live}
    unnamed = [printable(path) for path in paths if not path.isprintable()]
    new = [path for path in paths if path.isprintable() and path not in there]
    notices = [f"{count(unnamed)} left out, as their names cannot be printed: {some(unnamed)}"] if unnamed else []
    if not new:
        return Found(lazy(folder, [], [], {}), [], None, {}, notices)
    try:
        images, rows, faults = read_images([folder / path for path in new], read_file, strict=reading.strict)
    except DataError as error:
        if reading.strict:
            raise
        return Found(lazy(folder, [], [], {}), [], None, {}, [*notices, str(error)])  # none of them can be read
    first = set(there.values())
    keep, copies = [], []
    for row, value in enumerate(images.digests):
        (copies if value in first else keep).append(row)
        first.add(value)
    named = lambda chosen: [new[rows[row]] for row in chosen]
    if copies:
        notices.append(f"{count(copies)} left out as exact copies of others: {some(named(copies))}")
    files = named(keep)
    groups = matches(reading.group_regex, files, "group") if reading.group_regex and files else None
    for kind in images.scales.keys() & state.scales.keys():
        if images.scales[kind] != state.scales[kind]:
            black, white = state.scales[kind]
            notices.append(f"{kind}: still read with {black:,g} as black and {white:,g} as white, as those before")
    scales = {kind: scale for kind, scale in images.scales.items() if kind not in state.scales}
    read_as = lazy(folder, files, [images.digests[row] for row in keep], {**state.scales, **scales})
    return Found(read_as, files, groups, scales, [*notices, *faults])


def lazy(folder: Path, files: Sequence[str], digests: Sequence[str], scales: Scales) -> LazyImages:
    """Images that are read when asked for; bytes other than those first seen are an error then."""
    return LazyImages(tuple(folder / file for file in files), tuple(digests), read_file, scales)


def embed_images(images: LazyImages, reading: Reading, cache: Path) -> tuple[np.ndarray, list[str]]:
    """Latents [k, D] float32 of images, kept in the folder `cache`, and notices.

    An interrupted call goes on from where it was.

    Raises:
      ValueError: one line, for an encoder or weights that cannot be used.
    """
    from jaxal.encoders.latents import read

    dataset = Dataset("images", images, np.full(len(images), -1, np.int32), ())
    found = read(dataset, replace(reading, cache_dir=str(cache))).embedded
    return found.latents, list(found.dataset.notices)


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


def picture(folder: Path, state: State, image: int) -> tuple[bytes, str]:
    """An image as a browser shows it, and its media type.

    The contents must be those that were seen when the image came into the project, so nothing else is ever handed
    out, whatever stands at that path by now.

    Raises:
      DataError: one line, for an image that is gone or has changed, or a path that leaves the folder.
    """
    own = _one(folder, state, image)
    data = own.encoded(0)
    for start, media in BROWSER.items():
        if data.startswith(start):
            return data, media
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return data, "image/webp"
    shown = Image.fromarray(decode(data, state.files[image], own.scales))
    shown.thumbnail((LARGEST_SHOWN, LARGEST_SHOWN))
    out = io.BytesIO()
    shown.save(out, "PNG")
    return out.getvalue(), "image/png"


def thumbnail(folder: Path, state: State, image: int, side: int = 320) -> bytes:
    """A small JPEG of an image, for a sheet. Raises as `picture`."""
    shown = Image.fromarray(_one(folder, state, image)[0])
    shown.thumbnail((side, side))
    out = io.BytesIO()
    shown.save(out, "JPEG", quality=85)
    return out.getvalue()


def _one(folder: Path, state: State, image: int) -> LazyImages:
    file = state.files[image]
    if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
        raise DataError(f"{file}: not a path below the folder of images")
    return lazy(folder, [file], [state.digests[image]], state.scales)
