"""Encoded images to uint8 RGB, and the paper's resize. Pillow reads all formats but DICOM (pydicom).

Medical images come as 16-bit grey, as palettes, as CMYK from a scanner, or as DICOM with a window to be
applied: each is converted to what a viewer would show. What cannot be converted is a one-line `DataError`.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, ImageSequence, TiffImagePlugin

from jaxal.data.dataset import DataError

MAX_PIXELS = 89_478_485  # Pillow's own line beyond which a picture is taken for a decompression bomb
TOO_LARGE = f"more than {MAX_PIXELS:,} pixels"
MAX_ASPECT = 50  # of the longer side to the shorter; `resize` makes a whole picture of the shorter side's scale
NOT_FINITE = "pixels that are not finite"
PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")  # elements of a DICOM file
# Named, since some of Pillow's other readers start external programs.
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000")


def decode(source: Path | bytes, name: str | None = None) -> np.ndarray:
    """One encoded image to uint8 [H, W, 3].

    Grey becomes three equal channels; palettes and CMYK are converted; transparency is laid on white; 16-bit
    grey keeps its range (a maximum up to 4095 is taken for 12-bit data); EXIF rotation is applied. Of an
    animation, and of the views in a JPEG (MPO), the first is taken; a TIFF of several pages is refused, unless
    the others are smaller copies or masks of the first. DICOM is recognised by its contents, see `decode_dicom`.

    Raises DataError, one line with the name and the reason, whatever is wrong with the bytes.
    """
    name = name or (str(source) if isinstance(source, Path) else "image")
    try:
        data = source.read_bytes() if isinstance(source, Path) else source
        return _pixels(data, draft=False)
    except Exception as error:  # decoders fed with broken bytes raise anything
        raise DataError(f"{name}: {_reason(error)}") from None


def fault(data: bytes) -> str | None:
    """Why `data` cannot be decoded, in a few words, or None. Cheaper than `decode` for large JPEGs."""
    try:
        _pixels(data, draft=True)
    except Exception as error:  # decoders fed with broken bytes raise anything
        return _reason(error)
    return None


def check_size(width: int, height: int) -> None:
    """Raise ValueError for a picture that is too large to be decoded, or too long to be resized."""
    if width * height > MAX_PIXELS:
        raise ValueError(TOO_LARGE)
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ValueError(f"{width:,} x {height:,} pixels: no square to be seen in it")


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


def _pixels(data: bytes, draft: bool) -> np.ndarray:
    if not data:
        raise ValueError("empty file")
    if is_dicom(data):
        return decode_dicom(data)
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    check_size(*image.size)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_pages(image)
    if draft:
        image.draft(image.mode, (1, 1))  # JPEG at an eighth of its size, but through the whole stream
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _rgb(_deep_grey(np.asarray(image).astype(np.float64)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _check_pages(image: TiffImagePlugin.TiffImageFile) -> None:
    for page, _ in enumerate(ImageSequence.Iterator(image)):
        if page > 0 and not image.tag_v2.get(254, 0) & 0b101:  # NewSubfileType: a smaller copy, a mask
            raise ValueError("TIFF with several pages, one is expected")
    image.seek(0)


def _deep_grey(values: np.ndarray) -> np.ndarray:
    """Grey of more than 8 bits to 0..1: counts by the depth that their maximum needs, others by range."""
    if not np.isfinite(values).all():
        raise ValueError(NOT_FINITE)
    low, high = values.min(), values.max()
    if low >= 0 and np.array_equal(values, np.rint(values)):
        return values / next((top for top in (255, 4095, 65535) if high <= top), high)
    return _stretch(values, values)


def _stretch(values: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Values to 0..1 by the range of those that count; others may lie outside."""
    if counted.size == 0:
        return np.zeros_like(values)
    low, high = counted.min(), counted.max()
    if not np.isfinite(high - low):
        raise ValueError(NOT_FINITE)
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _rgb(grey: np.ndarray) -> np.ndarray:
    """Grey [H, W] 0..1 to uint8 [H, W, 3]."""
    return np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], 3, axis=-1)


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


def is_dicom(data: bytes) -> bool:
    """Whether `data` starts like a DICOM file: a preamble of 128 bytes, then "DICM"."""
    return data[128:132] == b"DICM"


def require_pydicom(name: str) -> None:
    """Raise a one-line DataError that says what to install, where pydicom is missing."""
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise DataError(f"{name}: a DICOM file; to read it: pip install 'jaxal[dicom]'") from None


def decode_dicom(data: bytes) -> np.ndarray:
    """The single frame of a DICOM file as a viewer shows it: uint8 [H, W, 3].

    In the order of the standard's grey-scale pipeline (PS3.4 N.2): modality transform (rescale slope and
    intercept, or a table), window (the file's first; without one, the image's own range), then the
    photometric interpretation, which inverts MONOCHROME1. Padding is black and has no part in the image's range.
    Elements that are blank, as de-identifiers leave them, count as absent. Colour is converted to RGB. Needs pydicom.

    Raises ValueError, or what pydicom raises, for a file without one decodable frame.
    """
    import pydicom
    from pydicom.pixels import processing

    file = pydicom.dcmread(io.BytesIO(data))
    if "PixelData" not in file:
        raise ValueError("DICOM without pixel data")
    if int(file.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"DICOM with {file.NumberOfFrames} frames, one is expected")
    check_size(int(file.get("Columns") or 0), int(file.get("Rows") or 0))
    for key in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", *PADDING):
        if key in file and file[key].is_empty:
            del file[key]

    values = file.pixel_array  # YBR comes out of it as RGB
    interpretation = str(file.PhotometricInterpretation)
    if interpretation == "PALETTE COLOR":
        values = processing.apply_color_lut(values, file)
        # Palette entries are 16-bit as a rule, whatever the depth of the indices.
        return (values >> 8 * (values.dtype.itemsize - 1)).astype(np.uint8)[..., :3]
    if values.ndim == 3:
        return (values >> max(int(file.BitsStored) - 8, 0)).astype(np.uint8)

    padding = _padding(values, file)
    values = processing.apply_modality_lut(values, file).astype(np.float64)
    if file.get("VOILUTSequence"):
        values = processing.apply_voi_lut(values.astype(np.int64), file).astype(np.float64)
        shown = _stretch(values, values[~padding])
    elif "WindowCenter" in file and "WindowWidth" in file:
        function = str(file.get("VOILUTFunction") or "LINEAR")
        shown = _window(values, _first(file.WindowCenter), _first(file.WindowWidth), function)
    else:
        shown = _stretch(values, values[~padding])
    return _rgb(np.where(padding, 0.0, 1.0 - shown if interpretation == "MONOCHROME1" else shown))


def _padding(stored: np.ndarray, file: Any) -> np.ndarray:
    """Where the stored values fill what was not imaged (PS3.3 C.7.5.1.1.2): bool, of their shape."""
    if "PixelPaddingValue" not in file:
        return np.zeros(stored.shape, bool)
    ends = [int(_first(file[key].value)) for key in PADDING if key in file]
    # Some files give 63536 where the pixels are -2000.
    ends = np.array(ends).astype(np.int16 if stored.dtype.kind == "i" else np.uint16)
    return (stored >= ends.min()) & (stored <= ends.max())


def _window(values: np.ndarray, center: float, width: float, function: str) -> np.ndarray:
    """Values inside the window to 0..1, as in PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(-4.0 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if width <= 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0.0, 1.0)


def _first(value: Any) -> float:
    """Of several windows (one a viewer offers as "lung", another as "bone") the first is the default."""
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
