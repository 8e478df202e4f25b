"""Decoding: limits hold for every format before a pixel is decoded, and DICOM's blanks and padding are understood."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import RLELossless
from test_images import COLOURS, RAMP, dicom, encoded

from jaxal.data.dataset import DataError
from jaxal.data.decode import decode, look
from jaxal.data.limits import MAX_ASPECT, MAX_PIXELS, check_size


def error_of(data: bytes) -> str:
    with pytest.raises(DataError) as caught:
        decode(data, "scan")
    message = str(caught.value)
    assert "\n" not in message
    assert message == f"scan: {look(data).fault}"
    return message


# ---- limits ----


def test_the_limits_of_a_picture():
    check_size(MAX_PIXELS // 10_000, 10_000)
    check_size(MAX_ASPECT * 3, 3)
    check_size(3, MAX_ASPECT * 3)
    for size in ((MAX_PIXELS // 10_000 + 1, 10_000), (MAX_ASPECT * 3 + 1, 3), (3, MAX_ASPECT * 3 + 1), (1, 0)):
        with pytest.raises(ValueError, match="pixels"):
            check_size(*size)


def test_a_dicom_has_the_limits_of_other_pictures():
    line = np.zeros((1, 12_000), np.uint16)
    assert error_of(dicom(line)) == "scan: 12,000 x 1 pixels: no square to be seen in it"
    assert error_of(dicom(line.T)) == "scan: 1 x 12,000 pixels: no square to be seen in it"
    assert decode(dicom(line[:, :MAX_ASPECT])).shape == (1, MAX_ASPECT, 3)


def test_a_large_dicom_is_refused_by_its_header(monkeypatch):
    file = pydicom.dcmread(io.BytesIO(dicom(np.zeros((10_000, 10_000), np.uint8), bits=8)))
    file.compress(RLELossless)
    stream = io.BytesIO()
    file.save_as(stream)
    large = stream.getvalue()
    assert len(large) < 2_000_000

    def touched(file):
        raise AssertionError("pixels were decoded")

    monkeypatch.setattr(pydicom.Dataset, "pixel_array", property(touched))
    assert error_of(large) == "scan: more than 89,478,485 pixels"
    colour = dicom(COLOURS, "RGB", bits=8, Rows=10_000, Columns=10_000)
    assert error_of(colour) == "scan: more than 89,478,485 pixels"
    assert "pixels were decoded" in error_of(dicom(RAMP))


def test_a_dicom_with_impossible_dimensions_is_refused():
    for tags in ({"Rows": None}, {"Rows": 0}, {"Columns": None}, {"Rows": None, "Columns": None}):
        assert error_of(dicom(RAMP, **tags))
    assert "60000" in error_of(dicom(RAMP, SamplesPerPixel=60_000))
    assert "-3" in error_of(dicom(RAMP, NumberOfFrames=-3))
    assert "2000000000 frames" in error_of(dicom(RAMP, NumberOfFrames=2_000_000_000))


# ---- DICOM ----


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_blank_elements_of_a_dicom_count_as_absent(blank):
    stored = RAMP.astype(np.uint16)
    plain = decode(dicom(stored))
    window = {"WindowCenter": 100, "WindowWidth": 50}
    rescale = {"RescaleSlope": 2, "RescaleIntercept": -10}
    for tags in (window, rescale):
        for gone in (*([key] for key in tags), tags):
            shown = decode(dicom(stored, **tags | dict.fromkeys(gone, blank)))
            np.testing.assert_array_equal(shown, plain)
    # One pair is blank, the other is applied.
    windowed = decode(dicom(stored, **window))
    assert (windowed != plain).any()
    np.testing.assert_array_equal(decode(dicom(stored, **window, **dict.fromkeys(rescale, blank))), windowed)


def test_a_blank_table_of_a_dicom_counts_as_absent():
    stored, wide = RAMP.astype(np.uint16), {"WindowCenter": 100, "WindowWidth": 1000}
    np.testing.assert_array_equal(decode(dicom(stored, VOILUTSequence=[], **wide)), decode(dicom(stored, **wide)))


PADDED = np.array([[65535, 0, 1280, 2560, 3840, 65535]], np.uint16)
SHOWN = [0, 0, 85, 170, 255, 0]


def grey(*arguments, **tags) -> list[int]:
    return decode(dicom(*arguments, **{"bits": 16} | tags))[0, :, 0].tolist()


def test_padding_of_a_dicom_is_black_and_has_no_part_in_the_range():
    assert grey(PADDED, PixelPaddingValue=65535) == SHOWN
    assert grey(PADDED, "MONOCHROME1", PixelPaddingValue=65535) == [0, 255, 170, 85, 0, 0]
    assert grey(PADDED, PixelPaddingValue=65535, RescaleSlope=2, RescaleIntercept=-1024) == SHOWN
    assert grey(PADDED, PixelPaddingValue=65535, WindowCenter=1921, WindowWidth=3841) == SHOWN
    # Low padding would be white after the inversion.
    low = np.array([[-2000, -1000, 0, 1000]], np.int16)
    assert grey(low, PixelPaddingValue=-2000) == [0, 0, 128, 255]
    assert grey(low, "MONOCHROME1", PixelPaddingValue=-2000) == [0, 255, 128, 0]
    window = {"WindowCenter": 0.5, "WindowWidth": 2001}
    assert grey(low, "MONOCHROME1", PixelPaddingValue=-2000, **window) == [0, 255, 128, 0]
    for blank in (None, ""):
        assert grey(low, PixelPaddingValue=blank, PixelPaddingRangeLimit=blank) == [0, 85, 170, 255]


def test_padding_of_a_dicom_may_be_a_range():
    frayed = PADDED.copy()
    frayed[0, 0] = 60_000
    for ends in ((60_000, 65_535), (65_535, 60_000)):
        assert grey(frayed, PixelPaddingValue=ends[0], PixelPaddingRangeLimit=ends[1]) == SHOWN
    assert grey(PADDED, PixelPaddingValue=65_535, PixelPaddingRangeLimit=None) == SHOWN
    assert grey(PADDED, PixelPaddingRangeLimit=65_535) == [255, 0, 5, 10, 15, 255]
    assert grey(PADDED, PixelPaddingValue=0, PixelPaddingRangeLimit=65_535) == [0] * 6


def test_padding_of_the_other_sign_is_understood():
    low = dicom(np.array([[-2000, -1000, 0, 1000]], np.int16), bits=16, PixelPaddingValue=-2000)
    signed, unsigned = (b"\x28\x00\x20\x01" + kind + b"\x02\x00\x30\xf8" for kind in (b"SS", b"US"))
    assert low.count(signed) == 1
    assert decode(low.replace(signed, unsigned))[0, :, 0].tolist() == [0, 0, 128, 255]


def test_padding_of_a_dicom_with_a_table():
    table = pydicom.Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.add_new("LUTData", "US", [*range(3841), *[60_000] * 255])
    assert grey(PADDED, PixelPaddingValue=65535, VOILUTSequence=[table]) == SHOWN


# ---- TIFF ----


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan])
def test_floats_that_are_not_finite_are_refused(wrong):
    for value in (0, 200, 0.5):
        values = np.full((4, 4), value, np.float32)
        values[1, 2] = wrong
        assert error_of(encoded(values, "tiff")) == "scan: pixels that are not finite"
    assert "not finite" in error_of(encoded(np.full((4, 4), wrong, np.float32), "tiff"))


def paged(*pages: np.ndarray, kind: int | None = None) -> bytes:
    """A TIFF, whose pages after the first are of NewSubfileType `kind`."""
    first, *others = map(Image.fromarray, pages)
    for page in others:
        page.encoderinfo = {} if kind is None else {"tiffinfo": {254: kind}}
    return encoded(first, "tiff", save_all=True, append_images=others)


def test_a_tiff_of_several_pages_is_refused():
    refusal = "scan: TIFF with several pages, one is expected"
    assert error_of(paged(COLOURS, COLOURS[::-1])) == refusal
    assert error_of(paged(RAMP, RAMP[::2, ::2], RAMP)) == refusal
    assert error_of(paged(COLOURS, COLOURS, kind=2)) == refusal
    np.testing.assert_array_equal(decode(paged(COLOURS)), COLOURS)


def test_smaller_copies_and_masks_in_a_tiff_are_no_pages():
    for kind in (1, 4, 5):
        pyramid = paged(COLOURS, COLOURS[::2, ::2], COLOURS[::4, ::4], kind=kind)
        assert Image.open(io.BytesIO(pyramid)).n_frames == 3
        np.testing.assert_array_equal(decode(pyramid), COLOURS)
        assert look(pyramid).fault is None


def test_of_an_animation_and_of_several_views_the_first_is_taken():
    pictures = [Image.fromarray(COLOURS), Image.fromarray(COLOURS[:, ::-1])]
    for kind, options in (("png", {}), ("webp", {"lossless": True})):
        shown = decode(encoded(pictures[0], kind, save_all=True, append_images=pictures[1:], **options))
        np.testing.assert_array_equal(shown, COLOURS)
    for kind in ("gif", "mpo"):
        shown = decode(encoded(pictures[0], kind, save_all=True, append_images=pictures[1:]))
        alone = decode(encoded(pictures[0], "gif" if kind == "gif" else "jpeg"))
        np.testing.assert_array_equal(shown, alone)
