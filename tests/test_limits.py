"""Small files that would fill the memory or hang are refused before their pixels are decoded, and named."""

import io
import subprocess
import sys
import time
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless
from test_images import COLOURS, RAMP, dicom, encoded, fill

from jaxal.data.decode import decode, look
from jaxal.data.folder import load_folder
from jaxal.data.limits import DENSEST, LARGE, check_scans, check_size


def saved(file: pydicom.Dataset) -> bytes:
    stream = io.BytesIO()
    file.save_as(stream)
    return stream.getvalue()


def compressed(values: np.ndarray, syntax: str) -> bytes:
    file = pydicom.dcmread(io.BytesIO(dicom(values, bits=16)))
    if syntax == RLELossless:
        file.compress(syntax)
    else:
        file.file_meta.TransferSyntaxUID = syntax
    return saved(file)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_deflated_and_run_length_dicom_of_usual_size_are_read():
    values = np.random.default_rng(0).integers(0, 4096, (40, 50)).astype(np.uint16)
    for syntax in (DeflatedExplicitVRLittleEndian, RLELossless):
        data = compressed(values, syntax)
        np.testing.assert_array_equal(decode(data), decode(dicom(values, bits=16)))
        look(data[:-7] if syntax == RLELossless else data + bytes(99))  # ends, whatever it finds


def test_a_large_picture_must_have_something_in_it():
    side = 4096
    check_size(side, side, stored=10)
    check_size(side, side + 1, stored=LARGE // DENSEST + side)
    with pytest.raises(ValueError, match="4,097 x 4,096 pixels in 10 bytes"):
        check_size(side + 1, side, stored=10)
    blank = encoded(Image.new("L", (6000, 6000)), "png")
    assert "made to fill the memory" in (look(blank).fault or "")
    assert look(encoded(Image.new("L", (4000, 4000)), "png")).fault is None
    for kind in ("jpeg", "webp", "jpeg2000"):  # a slide that is mostly white is small in these
        assert look(encoded(Image.new("RGB", (5000, 4000), "white"), kind)).fault is None


@pytest.mark.parametrize("syntax", [DeflatedExplicitVRLittleEndian, RLELossless])
def test_a_dicom_that_swells_is_refused_by_its_size(syntax, monkeypatch):
    bomb = compressed(np.zeros((9000, 9000), np.uint16), syntax)
    assert len(bomb) < 3_000_000

    def touched(file):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(touched))
    assert "9,000 x 9,000 pixels in" in (look(bomb).fault or "")


def test_a_deflated_dicom_is_not_inflated_beyond_the_limit(monkeypatch):
    small = compressed(RAMP.astype(np.uint16), DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(small[140:144], "little")
    packed = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = zlib.decompress(small[start:], -zlib.MAX_WBITS)
    stream = packed.compress(body) + b"".join(packed.compress(bytes(1 << 24)) for _ in range(30)) + packed.flush()
    monkeypatch.setattr(pydicom, "dcmread", None)
    assert look(small[:start] + stream).fault == "more than 89,478,485 pixels"
    without = small[:132] + small[144:]
    assert look(without).fault == "deflated DICOM without the length of its header"


def scans_of(jpeg: bytes, times: int) -> bytes:
    """A progressive JPEG whose last scan comes so many times."""
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:last] + jpeg[last:-2] * times + b"\xff\xd9"


def test_a_jpeg_of_thousands_of_scans_is_refused_at_once():
    progressive = encoded(np.kron(COLOURS, np.ones((100, 100, 1), np.uint8)), "jpeg", progressive=True)
    assert look(progressive).fault is None
    bomb = scans_of(progressive, 3000)
    began = time.monotonic()
    assert "a JPEG of 3," in (look(bomb).fault or "")
    assert time.monotonic() - began < 3  # a minute, if it were decoded
    check_scans(b"\xff\xda" * 20, 8000, 8000)


def test_a_tiff_of_many_small_copies_is_refused_at_once():
    pages = [Image.fromarray(RAMP) for _ in range(200)]
    for page in pages[1:]:
        page.encoderinfo = {"tiffinfo": {254: 1}}
    data = encoded(pages[0], "tiff", save_all=True, append_images=pages[1:])
    assert look(data).fault == "TIFF with more than 32 pages"


def test_bombs_are_skipped_by_name(tmp_path):
    files = {f"{c}/{k}.png": encoded(np.full((4, 4), 20 * k + ord(c), np.uint8), "png") for c in "ab" for k in (0, 1)}
    files["a/bomb.dcm"] = compressed(np.zeros((9000, 9000), np.uint16), RLELossless)
    files["b/bomb.png"] = encoded(Image.new("L", (9000, 9000)), "png")
    dataset = load_folder(fill(tmp_path, files))
    assert len(dataset) == 4
    assert dataset.notices[0].startswith("skipped: 2 of 6 files")
    assert "bomb.dcm (9,000 x 9,000 pixels in" in dataset.notices[0]


def test_the_largest_dicom_takes_little_more_than_its_pixels():
    """In a process of its own, whose largest memory is known."""
    code = (
        "import io, resource, sys, numpy as np, pydicom\n"
        "sys.path.insert(0, 'tests')\n"
        "from test_images import dicom\n"
        "from jaxal.data.decode import decode\n"
        "values = np.random.default_rng(0).integers(0, 4096, (4000, 4000)).astype(np.uint16)\n"
        "data = dicom(values, RescaleSlope=1, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "decode(data)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / values.size)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 16  # bytes a pixel; eight for every step in float64 would be more than 30
