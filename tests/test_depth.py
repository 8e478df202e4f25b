"""Images of more than 8 bits: one black and one white for a whole data set, whatever format they come in."""

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_images import dicom, encoded, fill

from jaxal.data.dataset import DataError
from jaxal.data.decode import decode, look
from jaxal.data.depth import Deep, Range, Scale, describe, scale_of, together
from jaxal.data.folder import load_folder
from jaxal.data.images import quiet

RNG = np.random.default_rng(0)


def noise(top: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, top + 1, shape or (6, 8)).astype(np.uint16)


def png(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, [H, W, 3 or 4] uint16, its lines filtered in three ways. Pillow writes none."""
    height, width, channels = values.shape
    lines = np.frombuffer(values.astype(">u2").tobytes(), np.uint8).reshape(height, -1)
    above = np.vstack([np.zeros_like(lines[:1]), lines[:-1]])
    before = np.pad(lines, ((0, 0), (2 * channels, 0)))[:, : lines.shape[1]]
    filtered = [lines, lines - before, lines - above]
    body = b"".join(bytes([y % 3]) + filtered[y % 3][y].tobytes() for y in range(height))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def tiff(values: np.ndarray, photometric: int, order: str = "<", deflated: bool = False, planes: int = 1) -> bytes:
    """A TIFF of 16 bits a channel, [H, W] or [H, W, 3] uint16. Pillow writes neither colour nor white-is-zero."""
    height, width, *rest = values.shape
    channels = rest[0] if rest else 1
    stored = np.moveaxis(values, -1, 0) if planes == 2 else values
    body = np.ascontiguousarray(stored).astype(f"{order}u2").tobytes()
    body = zlib.compress(body) if deflated else body
    bits_at = 8 + len(body)
    short = lambda value: struct.pack(f"{order}HH", value, 0)
    long = lambda value: struct.pack(f"{order}I", value)
    tags = [
        (256, 3, 1, short(width)),
        (257, 3, 1, short(height)),
        (258, 3, channels, short(16) if channels == 1 else long(bits_at)),
        (259, 3, 1, short(8 if deflated else 1)),
        (262, 3, 1, short(photometric)),
        (273, 4, 1, long(8)),
        (277, 3, 1, short(channels)),
        (278, 3, 1, short(height)),
        (279, 4, 1, long(len(body))),
        (284, 3, 1, short(planes)),
    ]
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    directory = struct.pack(f"{order}H", len(tags))
    directory += b"".join(struct.pack(f"{order}HHI", *tag[:3]) + tag[3] for tag in tags) + bytes(4)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + long(bits_at + len(bits))
    return head + body + bits + directory


def grey(values: np.ndarray, white: int) -> np.ndarray:
    """What `values` are to look like."""
    return np.repeat(np.rint(values * (255 / white)).astype(np.uint8)[..., None], 3, -1)


# ---- one image ----


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_an_image_alone_has_the_depth_that_its_values_need(bits):
    white = 2**bits - 1
    values = noise(white, 6, 8)
    values[0, 0] = white
    for data in (encoded(values, "png"), encoded(values, "tiff"), tiff(values, 1)):
        np.testing.assert_array_equal(decode(data), grey(values, white))
        assert look(data) == (None, "deeper than 8 bits", Range(values.min(), white, True))
    inverse = tiff(values, 0)
    np.testing.assert_array_equal(decode(inverse), 255 - grey(values, white))


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_colour_of_sixteen_bits_keeps_its_depth(bits):
    white = 2**bits - 1
    values = noise(white, 5, 7, 3)
    values[0, 0] = white
    expected = np.rint(values * (255 / white)).astype(np.uint8)
    files = [png(values)] + [tiff(values, 2, order, packed) for order in "<>" for packed in (False, True)]
    for data in files:
        np.testing.assert_array_equal(decode(data), expected)
    stored = dicom(values, "RGB", bits=16)
    np.testing.assert_array_equal(decode(stored), expected)


def test_transparency_of_sixteen_bits_is_laid_on_white():
    values = noise(65535, 4, 5, 4)
    values[0, 0] = 65535
    rgb, opacity = values[..., :3] / 65535, values[..., 3:] / 65535
    np.testing.assert_array_equal(decode(png(values)), np.rint(255 * (rgb * opacity + 1 - opacity)))


def test_sixteen_bits_in_separate_planes_are_refused():
    """Pillow would read half of every plane's bytes as values of 8 bits."""
    assert "in separate planes" in (look(tiff(noise(4095, 5, 6, 3), 2, planes=2)).fault or "")


# ---- a data set ----


def test_one_bright_pixel_does_not_change_a_picture(tmp_path):
    """Noise, of which one class has one pixel above 4,095: it stays as bright as the other."""
    files = {}
    for k in range(20):
        values = noise(4095)
        if k % 2:
            values[0, 0] = 5000
        files[f"{'ab'[k % 2]}/{k}.{('png', 'tiff')[k // 10]}"] = encoded(values, ("png", "tiff")[k // 10])
    dataset = load_folder(fill(tmp_path, files))
    assert dataset.inputs.scales == {"deeper than 8 bits": Scale(0, 16383)}
    brightness = np.array([dataset.inputs[row].mean() for row in range(20)])
    assert brightness.max() < 1.5 * brightness.min()
    (notice,) = dataset.notices
    assert notice == (
        "20 of 20 images (deeper than 8 bits) read with 0 as black and 16,383 as white, the depth of their largest "
        "value 5,000"
    )


def test_the_same_value_is_the_same_grey_in_every_file(tmp_path):
    values = [noise(300 * (k + 1)) for k in range(8)]
    for image in values:
        image[0, 0] = 123
    kinds = ("png", "tiff", "png", "tiff")
    files = {f"{'ab'[k % 2]}/{k}.{kinds[k % 4]}": encoded(image, kinds[k % 4]) for k, image in enumerate(values)}
    files |= {"a/white.tif": tiff(values[0] + 1, 0), "b/eight.png": encoded(noise(200).astype(np.uint8), "png")}
    dataset = load_folder(fill(tmp_path, files))
    for row, key in enumerate(dataset.inputs.keys):
        if key.stem.isdecimal():
            np.testing.assert_array_equal(dataset.inputs[row], grey(values[int(key.stem)], 4095))
        elif key.stem == "white":
            np.testing.assert_array_equal(dataset.inputs[row], 255 - grey(values[0] + 1, 4095))
    assert "9 of 10 images (deeper than 8 bits)" in dataset.notices[0]
    part = dataset.inputs[np.array([1, 3])]
    assert part.scales == dataset.inputs.scales


def test_dicom_without_a_window_has_one_range(tmp_path):
    base = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    scans = {f"{'ab'[k % 2]}/{k}.dcm": dicom(noise(500 * (k + 1)), **base) for k in range(6)}
    windowed = {"WindowCenter": 40, "WindowWidth": 400}
    scans |= {"a/w.dcm": dicom(noise(4095), **base, **windowed)}
    padded = np.full((6, 8), 65535, np.uint16)
    padded[2:, 2:] = 700
    scans |= {"b/padded.dcm": dicom(padded, bits=16, PixelPaddingValue=65535, **base)}
    dataset = load_folder(fill(tmp_path, scans))
    (notice,) = dataset.notices
    assert notice.startswith("7 of 8 images (DICOM without a window) read with -1,0")
    scale = dataset.inputs.scales["DICOM without a window"]
    for row, key in enumerate(dataset.inputs.keys):
        shown = dataset.inputs[row][..., 0]
        if key.stem == "padded":
            assert not shown[:2].any()
            assert (shown[2:, 2:] == round(255 * (700 - 1024 - scale.black) / (scale.white - scale.black))).all()
        elif key.stem == "w":
            np.testing.assert_array_equal(dataset.inputs[row], decode(scans["a/w.dcm"]))


def test_fractions_have_one_range(tmp_path):
    images = [RNG.normal(0, k + 1, (5, 6)).astype(np.float32) for k in range(4)]
    dataset = load_folder(fill(tmp_path, {f"{'ab'[k % 2]}/{k}.tif": encoded(x, "tiff") for k, x in enumerate(images)}))
    low, high = min(x.min() for x in images), max(x.max() for x in images)
    for row, key in enumerate(dataset.inputs.keys):
        shown = np.rint(255 * (images[int(key.stem)].astype(float) - low) / (float(high) - low))
        np.testing.assert_array_equal(dataset.inputs[row][..., 0], shown)
    assert "the range of all of them" in dataset.notices[0]


# ---- the parts ----


def test_scales():
    assert scale_of(Range(0, 1, True)) == Scale(0, 1)
    assert scale_of(Range(3, 256, True)) == Scale(0, 1023)
    assert scale_of(Range(3, 70_000, True)) == Scale(0, 70_000)
    assert scale_of(Range(3, 256, False)) == Scale(3, 256)
    assert together([Range(0, 9, True), Range(-1, 4, False)]) == Range(-1, 9, False)


def test_few_bright_images_are_named():
    ranges = [Range(0, 4000, True)] * 300 + [Range(0, 65000, True)]
    names = [f"{k}.png" for k in range(301)]
    assert describe("deep", names, ranges, 400).endswith("their largest value 65,000 (above 16,383 only in 300.png)")
    assert "only in" not in describe("deep", names, [Range(0, 4000, True)] * 301, 400)


def test_rows_are_shown_alike_whatever_the_block(monkeypatch):
    values = noise(4095, 50, 40)
    deep = Deep(values, "x", blank=values > 4000)
    whole = deep.shown(Scale(0, 4095))
    monkeypatch.setattr("jaxal.data.depth.BLOCK", 100)
    np.testing.assert_array_equal(deep.shown(Scale(0, 4095)), whole)
    assert not whole[values > 4000].any()


DEEP = [
    png(noise(4095, 8, 9, 3)),
    tiff(noise(4095), 0),
    tiff(noise(4095, 8, 9, 3), 2, ">", True),
    encoded(noise(4095), "png"),
    dicom(noise(4095)),
    dicom(noise(65535, 5, 6, 3), "RGB", bits=16),
]


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(DEEP), st.data())
def test_broken_deep_images_are_told_at_the_first_look(data, draw):
    raw = bytearray(data)
    for place in draw.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[place] ^= draw.draw(st.integers(1, 255))
    with quiet():
        seen = look(bytes(raw))
        if seen.fault is None:
            image = decode(bytes(raw))
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        else:
            with pytest.raises(DataError):
                decode(bytes(raw))
