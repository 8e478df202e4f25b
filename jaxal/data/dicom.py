"""A DICOM file to its picture, by pydicom, as a viewer shows it."""

import io
import zlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np

from jaxal.data.dataset import DataError
from jaxal.data.depth import BLOCK, Deep
from jaxal.data.limits import MAX_PIXELS, TOO_LARGE, check_scans, check_size

PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")  # elements of a DICOM file
DEFLATED = b"1.2.840.10008.1.2.1.99"
JPEG = "1.2.840.10008.1.2.4."  # and what follows: the kinds of JPEG, JPEG-LS and JPEG 2000


def is_dicom(data: bytes) -> bool:
    """Whether `data` starts like a DICOM file: a preamble of 128 bytes, then "DICM"."""
    return data[128:132] == b"DICM"


def require_pydicom(name: str) -> None:
    """Raise a one-line DataError that says what to install, where pydicom is missing."""
    if find_spec("pydicom") is None:
        raise DataError(f"{name}: a DICOM file; to read it: pip install 'jaxal[dicom]'")


def decode_dicom(data: bytes) -> np.ndarray | Deep:
    """The single frame of a DICOM file as a viewer shows it: uint8 [H, W, 3], or its values where it has no window.

    In the order of the standard's grey-scale pipeline (PS3.4 N.2): modality transform (rescale slope and
    intercept, or a table), window (the file's first; without one, a range that the whole data set has in common), then
    the photometric interpretation, which inverts MONOCHROME1. Padding is black and has no part in the range.
    Elements that are blank, as de-identifiers leave them, count as absent. Colour is converted to RGB. Needs pydicom.

    Raises ValueError, or what pydicom raises, for a file without one decodable frame.
    """
    import pydicom
    from pydicom.pixels import processing

    _check_inflated(data)
    file = pydicom.dcmread(io.BytesIO(data))
    if "PixelData" not in file:
        raise ValueError("DICOM without pixel data")
    if int(file.get("NumberOfFrames") or 1) > 1:
        raise ValueError(f"DICOM with {file.NumberOfFrames} frames, one is expected")
    size = int(file.get("Columns") or 0), int(file.get("Rows") or 0)
    lossy = str(file.file_meta.get("TransferSyntaxUID")).startswith(JPEG)
    check_size(*size, stored=None if lossy else len(data))
    if lossy:
        check_scans(file.PixelData, *size)
    for key in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept", *PADDING):
        if key in file and file[key].is_empty:
            del file[key]

    stored = file.pixel_array  # YBR comes out of it as RGB
    if stored.ndim != 2 and stored.shape[2:] != (3,):
        raise ValueError(f"DICOM of shape {stored.shape}; [height, width] or [height, width, 3] is expected")
    interpretation = str(file.PhotometricInterpretation)
    if interpretation == "PALETTE COLOR":
        colours = processing.apply_color_lut(stored, file)
        # Palette entries are 16-bit as a rule, whatever the depth of the indices.
        return (colours >> 8 * (colours.dtype.itemsize - 1)).astype(np.uint8)[..., :3]
    if stored.ndim == 3:
        values = stored >> max(int(file.BitsStored) - 16, 0)
        return values if values.dtype == np.uint8 else Deep(values.astype(np.uint16), "DICOM in colour")

    blank, inverted = _padding(stored, file), interpretation == "MONOCHROME1"
    modality = lambda part: np.asarray(processing.apply_modality_lut(part, file), np.float64)
    if file.get("VOILUTSequence"):
        table = lambda part: processing.apply_voi_lut(modality(part).astype(np.int64), file)
        values = _by_rows(table, stored, np.float32)
        return Deep(values, "DICOM with a table of greys", inverted, blank, counts=False)
    if "WindowCenter" in file and "WindowWidth" in file:
        function = str(file.get("VOILUTFunction") or "LINEAR")
        center, width = _first(file.WindowCenter), _first(file.WindowWidth)

        def shown(part: np.ndarray) -> np.ndarray:
            grey = _window(modality(part), center, width, function)
            return np.rint(255 * (1 - grey if inverted else grey))

        grey = _by_rows(shown, stored, np.uint8)
        if blank is not None:
            grey[blank] = 0
        return np.repeat(grey[..., None], 3, axis=-1)
    return Deep(_by_rows(modality, stored, np.float32), "DICOM without a window", inverted, blank, counts=False)


def _by_rows(function: Callable[[np.ndarray], Any], stored: np.ndarray, dtype: type) -> np.ndarray:
    """`function` of every value [H, W], a few rows at a time, since it works in eight bytes a value."""
    out = np.empty(stored.shape, dtype)
    step = max(BLOCK // max(stored.shape[1], 1), 1)
    for start in range(0, len(stored), step):
        out[start : start + step] = function(stored[start : start + step])
    return out


def _check_inflated(data: bytes) -> None:
    """Raise ValueError for a deflated file that is too large; pydicom would inflate it whole before it looks."""
    head = data[132:144]
    if head[:8] != b"\x02\x00\x00\x00UL\x04\x00":
        if DEFLATED in data[:4096]:
            raise ValueError("deflated DICOM without the length of its header")
        return
    start = 144 + int.from_bytes(head[8:], "little")
    if DEFLATED in data[:start] and sum(_inflated(data[start:])) > 2 * MAX_PIXELS:
        raise ValueError(TOO_LARGE)


def _inflated(data: bytes) -> Iterator[int]:
    """The sizes of pieces that `data` inflates to, ending soon after they are too many."""
    inflate, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    while data and not inflate.eof and total <= 2 * MAX_PIXELS:
        piece = len(inflate.decompress(data, 1 << 24))
        data, total = inflate.unconsumed_tail, total + piece
        yield piece


def _padding(stored: np.ndarray, file: Any) -> np.ndarray | None:
    """Where the stored values fill what was not imaged (PS3.3 C.7.5.1.1.2): bool, of their shape; None: nowhere."""
    if "PixelPaddingValue" not in file:
        return None
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
