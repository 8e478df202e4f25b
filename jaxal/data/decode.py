"""Encoded images to uint8 RGB, and the paper's resize. Pillow reads all formats but DICOM (`dicom.py`).

Medical images come as 16-bit grey, as palettes, as CMYK from a scanner, or as DICOM with a window to be
applied: each is converted to what a viewer would show. What cannot be converted is a one-line `DataError`.
"""

import io
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, ImageSequence, TiffImagePlugin

from jaxal.data.dataset import DataError
from jaxal.data.depth import Deep, Range, Scales, scale_of
from jaxal.data.dicom import decode_dicom, is_dicom
from jaxal.data.limits import TOO_LARGE, check_scans, check_size

MOST_PAGES = 32  # of a TIFF: smaller copies of the first
# Named, since some of Pillow's other readers start external programs.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")
PICTURE = "deeper than 8 bits"
PHOTOMETRIC, WHITE_IS_ZERO, PLANES, BITS = 262, 0, 284, 258  # tags of a TIFF
HIGH_BYTES = re.compile(r"(RGB|RGBA|RGBX);16([BLN])")  # as Pillow unpacks 16 bits to 8


class Look(NamedTuple):
    """What is seen of an image before it is needed.

    fault: why it cannot be decoded, in a few words, or None.
    kind, range: of an image of more than 8 bits, see `depth.Deep`.
    """

    fault: str | None = None
    kind: str | None = None
    range: Range | None = None


def decode(source: Path | bytes, name: str | None = None, scales: Scales | None = None) -> np.ndarray:
    """One encoded image to uint8 [H, W, 3].

    Grey becomes three equal channels; palettes and CMYK are converted; transparency is laid on white; EXIF rotation is
    applied. Of an animation, and of the views in a JPEG (MPO), the first is taken; a TIFF of several pages is refused,
    unless the others are smaller copies or masks of the first. DICOM is recognised by its contents, see `dicom.py`.

    scales: black and white of images that are deeper than 8 bits, which a data set has in common; by default they are
    taken from the image itself.

    Raises DataError, one line with the name and the reason, whatever is wrong with the bytes.
    """
    name = name or (str(source) if isinstance(source, Path) else "image")
    try:
        data = source.read_bytes() if isinstance(source, Path) else source
        image = _image(data, draft=False)
        if not isinstance(image, Deep):
            return image
        found = image.range() or Range(0, 0, True)
        return image.shown((scales or {}).get(image.kind) or scale_of(found))
    except Exception as error:  # decoders fed with broken bytes raise anything
        raise DataError(f"{name}: {_reason(error)}") from None


def look(data: bytes) -> Look:
    """A look at an encoded image; cheaper than `decode` for large JPEGs."""
    try:
        image = _image(data, draft=True)
        return Look(None, image.kind, image.range()) if isinstance(image, Deep) else Look()
    except Exception as error:  # decoders fed with broken bytes raise anything
        return Look(_reason(error))


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """uint8 [H, W, 3] to [size, size, 3]: shorter side to size * 256/224, bilinear, then the central square.

    The test-time preprocessing of He et al. 2015 at 224. An image that has the target size passes untouched.
    """
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    short = round(size * 256 / 224)
    scale = short / min(height, width)
    wide, high = max(int(width * scale), short), max(int(height * scale), short)
    left, top = round((wide - size) / 2), round((high - size) / 2)
    resized = Image.fromarray(image).resize((wide, high), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def _image(data: bytes, draft: bool) -> np.ndarray | Deep:
    """The image in `data`: uint8 [H, W, 3], or as it is where it is deeper."""
    if not data:
        raise ValueError("empty file")
    if is_dicom(data):
        return decode_dicom(data)
    image = _open(data)
    tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    inverted = tiff and image.tag_v2.get(PHOTOMETRIC) == WHITE_IS_ZERO
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(ImageOps.exif_transpose(image))
        return Deep(values, PICTURE, inverted)
    if (colour := _deep_colour(image, data)) is not None:
        return Deep(colour, PICTURE)
    if draft:
        image.draft(image.mode, (1, 1))  # JPEG at an eighth of its size, but through the whole stream
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _open(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    check_size(*image.size, stored=len(data) if _lossless(image) else None)
    if image.format in ("JPEG", "MPO"):
        check_scans(data, *image.size)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_pages(image)
        if image.tag_v2.get(PLANES) == 2 and max(image.tag_v2.get(BITS, (1,))) > 8:
            raise ValueError("TIFF of more than 8 bits in separate planes; save it with its channels interleaved")
    return image


def _lossless(image: Image.Image) -> bool:
    """Whether nothing but emptiness could make a picture of many pixels small."""
    if image.format == "TIFF":
        return image.mode != "1" and image.info.get("compression") not in ("jpeg", "webp", "jpeg2000")
    return image.format in ("PNG", "GIF", "BMP", "PPM")


def _check_pages(image: TiffImagePlugin.TiffImageFile) -> None:
    for page, _ in enumerate(ImageSequence.Iterator(image)):
        if page > 0 and not image.tag_v2.get(254, 0) & 0b101:  # NewSubfileType: a smaller copy, a mask
            raise ValueError("TIFF with several pages, one is expected")
        if page > MOST_PAGES:
            raise ValueError(f"TIFF with more than {MOST_PAGES} pages")
    image.seek(0)


def _deep_colour(image: Image.Image, data: bytes) -> np.ndarray | None:
    """The values [H, W, 3 or 4] uint16 of an image with 16 bits a channel, of which Pillow gives the high bytes alone.

    It does so by a name of the order of bytes; under the name of the other order it gives the low bytes.
    """
    modes = [tile.args if isinstance(tile.args, str) else tile.args[0] for tile in getattr(image, "tile", ())]
    found = HIGH_BYTES.fullmatch(str(modes[0])) if modes else None
    if found is None:
        return None
    order = {"N": "L" if sys.byteorder == "little" else "B"}.get(found[2], found[2])
    other = f"{found[1]};16{'B' if order == 'L' else 'L'}"
    low: Any = _open(data)
    low.tile = [
        tile._replace(args=other if isinstance(tile.args, str) else (other, *tile.args[1:])) for tile in low.tile
    ]
    halves = [np.asarray(ImageOps.exif_transpose(half)).astype(np.uint16) for half in (image, low)]
    return halves[0] << 8 | halves[1]


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return TOO_LARGE
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image"
    if "truncated" in str(error).lower():
        return "truncated"
    if str(error).startswith(("Unable to decompress", "Unable to decode as")):
        return "DICOM in a compression that needs pip install 'pylibjpeg[all]'"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error) or type(error).__name__).splitlines()[0][:100]
