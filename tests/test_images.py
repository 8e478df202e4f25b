"""Images: every odd file is read as a viewer shows it or named, and a folder becomes a sound data set."""

import io
import logging
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian

from jaxal.config import SplitConfig
from jaxal.data.dataset import DataError
from jaxal.data.decode import decode, look, resize
from jaxal.data.folder import load_folder
from jaxal.data.images import LazyImages
from jaxal.data.splits import PARTS, split

DATA = Path(__file__).parents[2] / "shared" / "data"
XRAYS, TILES = DATA / "cxr_kermany", DATA / "kather2016" / "tiles100"
needs_xrays = pytest.mark.skipif(not XRAYS.is_dir(), reason=f"needs the chest X-rays in {XRAYS}")
needs_tiles = pytest.mark.skipif(not TILES.is_dir(), reason=f"needs the histology tiles in {TILES}")

RAMP = np.tile(np.arange(0, 240, 15, dtype=np.uint8), (8, 1))  # [8, 16]
COLOURS = np.stack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 40)], -1)


def encoded(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, kind, **options)
    return file.getvalue()


def picture(number: int) -> bytes:
    """A PNG like no other number's."""
    return encoded(np.random.default_rng(number).integers(0, 256, (6, 7, 3), np.uint8), "png")


def fill(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_names_that_no_report_could_hold_are_spelt_out(tmp_path):
    for number, name in enumerate((b"\xff.png", b"\x1b[31m.png", b"two\nlines.png")):
        for c in (b"a", b"b"):
            folder = os.fsencode(tmp_path) + b"/" + c
            os.makedirs(folder, exist_ok=True)
            Path(os.fsdecode(folder + b"/" + name)).write_bytes(picture(10 * number + ord(c)))
    dataset = load_folder(tmp_path)
    assert dataset.names is not None
    assert sorted(dataset.names) == sorted(
        f"{c}/{name}" for c in "ab" for name in (r"\udcff.png", r"\x1b[31m.png", r"two\nlines.png")
    )
    assert dataset.inputs[0].shape == (6, 7, 3)  # under its own name


def error_of(*arguments, most: int = 600, **options) -> str:
    with pytest.raises(DataError) as caught:
        load_folder(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < most
    return message


# ---- one image ----


def test_grey_rgb_and_lossless_formats_are_exact():
    for kind in ("png", "bmp", "tiff", "ppm", "webp"):
        options = {"lossless": True} if kind == "webp" else {}
        np.testing.assert_array_equal(decode(encoded(COLOURS, kind, **options)), COLOURS)
    np.testing.assert_array_equal(decode(encoded(RAMP, "png")), np.stack([RAMP] * 3, -1))
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(RAMP > 100), "png"))[..., 0], 255 * (RAMP > 100))


def test_sixteen_bit_grey_keeps_its_range():
    deep = RAMP.astype(np.uint16) * 256 + 128
    for kind in ("png", "tiff"):
        shown = decode(encoded(deep, kind))
        np.testing.assert_array_equal(shown, np.stack([np.rint(deep * (255 / 65535))] * 3, -1))
    twelve = RAMP.astype(np.uint16) * 16
    np.testing.assert_array_equal(decode(encoded(twelve, "png"))[..., 0], np.rint(twelve * (255 / 4095)))
    shallow = RAMP.astype(np.uint16)
    np.testing.assert_array_equal(decode(encoded(shallow, "png"))[..., 0], RAMP)
    floats = np.linspace(-3, 5, 128, dtype=np.float32).reshape(8, 16)
    assert decode(encoded(floats, "tiff"))[[0, -1], [0, -1]].tolist() == [[0] * 3, [255] * 3]


def test_cmyk_palette_and_transparency():
    cmyk = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    assert decode(encoded(cmyk, "tiff"))[0, 0].tolist() == [255, 0, 0]
    assert np.abs(decode(encoded(cmyk, "jpeg"))[0, 0].astype(int) - [255, 0, 0]).max() < 8

    palette = Image.new("P", (2, 1))
    palette.putpalette([200, 10, 10, 10, 200, 10])
    palette.putpixel((1, 0), 1)
    shown = decode(encoded(palette, "png", transparency=1))
    assert shown.tolist() == [[[200, 10, 10], [255, 255, 255]]]  # a hole shows the paper behind it

    half = Image.new("RGBA", (1, 1), (0, 0, 0, 128))
    assert decode(encoded(half, "png"))[0, 0].tolist() == [127] * 3
    veiled = Image.new("LA", (1, 1), (30, 255))
    assert decode(encoded(veiled, "png"))[0, 0].tolist() == [30] * 3


def test_exif_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    turned = decode(encoded(COLOURS, "png", exif=exif))
    np.testing.assert_array_equal(turned, np.rot90(COLOURS, -1))


def huge_png() -> bytes:
    """30,000 x 30,000 pixels, by its header."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


JPEG = encoded(np.kron(COLOURS, np.ones((8, 8, 1), np.uint8)), "jpeg")
BROKEN = {
    "zero bytes": (b"", "empty file"),
    "text": (b"Error 404: not found\n", "not an image"),
    "first half of a JPEG": (JPEG[: len(JPEG) // 2], "truncated"),
    "first half of a PNG": (picture(0)[:80], ""),
    "huge": (huge_png(), "more than 89,478,485 pixels"),
    "a line": (encoded(np.zeros((2, 101, 3), np.uint8), "png"), "101 x 2 pixels"),
    "flipped bits in a PNG": (picture(0)[:60] + bytes(b ^ 255 for b in picture(0)[60:]), ""),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "not finite": (encoded(np.full((2, 2), np.nan, np.float32), "tiff"), "not finite"),
    "half a DICOM": (bytes(128) + b"DICM" + b"\1\2\3", ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_images_give_one_line(name):
    data, reason = BROKEN[name]
    with pytest.raises(DataError) as caught:
        decode(data, "scan7.jpeg")
    assert str(caught.value).startswith("scan7.jpeg: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    # The quick look finds what decoding would.
    assert f"scan7.jpeg: {look(data).fault}" == str(caught.value)


def test_resize_is_shorter_side_then_centre():
    wide = np.zeros((100, 300, 3), np.uint8)
    wide[:, 150:] = 255
    small = resize(wide, 32)
    assert small.shape == (32, 32, 3)
    assert small[:, :14].max() == 0
    assert small[:, 18:].min() == 255
    np.testing.assert_array_equal(resize(np.swapaxes(wide, 0, 1), 32), np.swapaxes(small, 0, 1))
    same = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert resize(same, 32) is same
    # torchvision's Resize(37) and CenterCrop(32), by Pillow
    odd = np.random.default_rng(1).integers(0, 256, (61, 48, 3), np.uint8)
    by_hand = Image.fromarray(odd).resize((37, 47), Image.Resampling.BILINEAR).crop((2, 8, 34, 40))
    np.testing.assert_array_equal(resize(odd, 32), np.asarray(by_hand))


# ---- DICOM ----


def dicom(values: np.ndarray, interpretation: str = "MONOCHROME2", bits: int = 12, **tags) -> bytes:
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["jaxal"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    wide = values.dtype.itemsize * 8
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.Rows, file.Columns = values.shape[:2]
    file.SamplesPerPixel = 3 if values.ndim == 3 else 1
    file.PhotometricInterpretation = interpretation
    file.BitsAllocated, file.BitsStored, file.HighBit = wide, min(bits, wide), min(bits, wide) - 1
    file.PixelRepresentation = int(values.dtype.kind == "i")
    if values.ndim == 3:
        file.PlanarConfiguration = 0
    for name, value in tags.items():
        setattr(file, name, value)
    file.PixelData = values.tobytes()
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


HOUNSFIELD = np.array([[-1000, -160, 40, 240, 1000]], np.int16)


def test_dicom_window_rescale_and_photometric_interpretation():
    stored = (HOUNSFIELD + 1024).astype(np.uint16)
    tags = {"RescaleSlope": 1, "RescaleIntercept": -1024, "WindowCenter": 40, "WindowWidth": 400}
    # PS3.3 C.11.2.1.2.1: ((x - (c - 0.5)) / (w - 1) + 0.5), clipped to 0..1
    expected = np.rint(255 * np.clip((HOUNSFIELD - 39.5) / 399 + 0.5, 0, 1))
    bright = decode(dicom(stored, **tags))
    np.testing.assert_array_equal(bright, np.stack([expected] * 3, -1))
    inverse = decode(dicom(stored, "MONOCHROME1", **tags))
    assert np.abs(255 - inverse.astype(int) - bright).max() <= 1
    # Of two windows the first counts.
    both = {**tags, "WindowCenter": [40, 300], "WindowWidth": [400, 1500]}
    np.testing.assert_array_equal(decode(dicom(stored, **both)), bright)


def test_dicom_window_functions_and_no_window():
    window = {"WindowCenter": 40, "WindowWidth": 400}
    exact = decode(dicom(HOUNSFIELD, VOILUTFunction="LINEAR_EXACT", bits=16, **window))[0, :, 0]
    assert exact.tolist() == [0, 0, 128, 255, 255]
    sigmoid = decode(dicom(HOUNSFIELD, VOILUTFunction="SIGMOID", bits=16, **window))[0, :, 0]
    np.testing.assert_array_equal(sigmoid, np.rint(255 / (1 + np.exp(-4 * (HOUNSFIELD[0] - 40.0) / 400))))
    few = np.array([[38, 39, 40, 41]], np.int16)  # by PS3.3 C.11.2.1.2.1: (x - 39.5) / 2 + 0.5
    assert decode(dicom(few, bits=16, WindowCenter=40, WindowWidth=3))[0, :, 0].tolist() == [0, 64, 191, 255]
    step = decode(dicom(HOUNSFIELD, bits=16, WindowCenter=40, WindowWidth=1))[0, :, 0]
    assert step.tolist() == [0, 0, 255, 255, 255]
    whole = decode(dicom(HOUNSFIELD, bits=16))[0, :, 0]
    np.testing.assert_array_equal(whole, np.rint(255 * (HOUNSFIELD[0] + 1000.0) / 2000))


def test_dicom_colour_and_frames():
    np.testing.assert_array_equal(decode(dicom(COLOURS, "RGB", bits=8)), COLOURS)
    frames = np.zeros((2, 4, 4), np.uint16)
    many = dicom(frames[0], NumberOfFrames=2)
    assert "2 frames" in (look(many).fault or "")
    assert look(dicom(frames[0])).fault is None


SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"  # real files, in pydicom's own wheel
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="this pydicom came without its test files")


@needs_samples
@pytest.mark.filterwarnings("ignore")
def test_dicom_encodings_of_one_image_look_the_same():
    scan = decode(SAMPLES / "MR_small.dcm")
    for encoding in ("RLE", "bigendian", "expb", "implicit", "jp2klossless", "padded"):
        np.testing.assert_array_equal(decode(SAMPLES / f"MR_small_{encoding}.dcm"), scan)
    colours = decode(SAMPLES / "SC_rgb_rle.dcm").astype(int)
    for encoding in ("rle_16bit", "rle_32bit", "dcmtk_+eb+cr", "gdcm_KY", "dcmtk_+eb+cy+s4", "jpeg_dcmtk"):
        assert np.abs(decode(SAMPLES / f"SC_rgb_{encoding}.dcm") - colours).mean() < 1


@needs_samples
@pytest.mark.filterwarnings("ignore")
def test_any_dicom_is_an_image_or_gives_one_line():
    faults = {}
    for path in sorted(SAMPLES.glob("*.dcm")):
        try:
            image = decode(path)
        except DataError as error:
            faults[path.name] = str(error)
        else:
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.max() > image.min()
    assert "without pixel data" in faults["reportsi.dcm"]
    assert "pylibjpeg" in faults["MR_small_jpeg_ls_lossless.dcm"]
    assert all("\n" not in line and len(line) < 400 for line in faults.values())
    assert "CT_small.dcm" not in faults


def test_dicom_in_a_folder_needs_pydicom(tmp_path, monkeypatch):
    ct = lambda shift: dicom((HOUNSFIELD + 1024 + shift).astype(np.uint16))
    fill(tmp_path, {"a/1.dcm": ct(0), "a/2": ct(1), "b/3.dcm": ct(2), "b/4.dcm": ct(3)})
    dataset = load_folder(tmp_path)
    assert len(dataset) == 4
    assert dataset.inputs[1].shape == (1, 5, 3)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert "pip install 'jaxal[dicom]'" in error_of(tmp_path)


# ---- folders ----


def test_a_folder_of_class_folders(tmp_path):
    files = {f"{name}/{k}.png": picture(10 * i + k) for i, name in enumerate(("cat", "dog")) for k in range(3)}
    dataset = load_folder(fill(tmp_path / "pets", files))
    assert (dataset.name, dataset.classes, len(dataset)) == ("pets", ("cat", "dog"), 6)
    assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.labels.dtype == np.int32
    assert dataset.official is None
    assert dataset.groups is None
    assert dataset.notices == ()
    assert isinstance(dataset.inputs, LazyImages)
    np.testing.assert_array_equal(dataset.inputs[4], decode(picture(11)))
    np.testing.assert_array_equal(dataset.inputs[np.array([4, 0])][1], decode(picture(0)))
    assert len(dataset.inputs[2:]) == 4
    assert load_folder(str(tmp_path / "pets")).inputs.digests == dataset.inputs.digests


def test_numbered_classes_are_sorted_as_numbers(tmp_path):
    files = {f"{name}/{k}.png": picture(10 * name + k) for name in (1, 2, 10) for k in range(2)}
    assert load_folder(fill(tmp_path, files)).classes == ("1", "2", "10")


def test_official_splits_and_their_names(tmp_path):
    files = {
        f"{part}/{name}/{k}.png": picture(100 * p + 10 * c + k)
        for p, part in enumerate(("Train", "valid", "test"))
        for c, name in enumerate("ab")
        for k in range(2)
    }
    dataset = load_folder(fill(tmp_path, files | {".DS_Store": b"x", "test/.hidden": b"x"}))
    assert dataset.classes == ("a", "b")
    assert sorted(dataset.official.tolist()) == ["test"] * 4 + ["train"] * 4 + ["val"] * 4
    assert dataset.notices == ()
    fill(tmp_path, {"extra/a/1.png": picture(999)})
    assert "beside Train, test, valid stands extra; move it" in error_of(tmp_path)


def by_split(splits: tuple[str, ...], name: str, classes: str = "ab") -> dict[str, bytes]:
    """Two pictures a class and split; `name` has places for split, c and k."""
    places = [(split, c, k) for split in splits for c in classes for k in (0, 1)]
    return {name.format(split=s, c=c, k=k): picture(3 * ord(c) + 1000 * len(s) + k) for s, c, k in places}


def test_names_of_splits_are_never_classes(tmp_path):
    dataset = load_folder(fill(tmp_path, by_split(("Training", "Testing"), "{split}/{c}/{k}.png")))
    assert dataset.classes == ("a", "b")
    assert sorted(dataset.official.tolist()) == ["test"] * 4 + ["train"] * 4
    (tmp_path / "Testing").rename(tmp_path / "validate")
    fill(tmp_path, {"more/a/1.png": picture(999)})
    assert "beside Training, validate stands more" in error_of(tmp_path)


def test_linked_empty_and_locked_folders(tmp_path, monkeypatch):
    root = fill(tmp_path / "root", {f"{c}/{k}.png": picture(ord(c) + 9 * k) for c in "ab" for k in (0, 1)})
    elsewhere = fill(tmp_path / "elsewhere", {"1.png": picture(500)})
    (root / "c").symlink_to(elsewhere)
    (elsewhere / "round").symlink_to(root)  # and so round and round
    (root / "d" / "inner").mkdir(parents=True)
    dataset = load_folder(root)
    assert dataset.classes == ("a", "b", "c")
    assert len(dataset) == 5
    assert dataset.notices == ("class folders without images left out: d",)

    def scan(folder, scandir=os.scandir):
        if Path(folder).name == "b":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", scan)
    assert error_of(root) == f"{root / 'b'}: Permission denied"


def test_what_was_skipped_is_told_with_what_then_fails(tmp_path):
    fill(tmp_path, {"a/1.png": picture(0), "a/2.png": picture(1), "b/1.png": b"words"})
    message = error_of(tmp_path)
    assert "one class only (a)" in message
    assert "b/1.png (not an image" in message


def test_files_outside_of_the_splits_and_pipes(tmp_path):
    fill(tmp_path, by_split(("train", "test"), "{split}/{c}_{k}.png") | {"a_root.png": picture(7)})
    os.mkfifo(tmp_path / "train" / "a_pipe.png")
    dataset = load_folder(tmp_path, label_regex=r"([ab])_")
    assert len(dataset) == 8
    outside, skipped = dataset.notices
    assert outside == "1 file outside the split folders left out: a_root.png"
    assert "a_pipe.png (not a regular file)" in skipped


def test_names_of_classes(tmp_path):
    files = {f"{c}/{k}.png": picture(10 * i + k) for i, c in enumerate(("1", "01", "10", "2")) for k in (0, 1)}
    assert load_folder(fill(tmp_path / "numbers", files)).classes == ("01", "1", "2", "10")
    odd = fill(tmp_path / "odd", {"a/1.png": picture(0), "b\udcff/1.png": picture(1)})
    assert "'b\\udcff' is no name in UTF-8" in error_of(odd)


def test_copies_are_dropped_and_said(tmp_path):
    files = {f"train/{c}/{k}.png": picture(10 * ord(c) + k) for c in "ab" for k in range(4)}
    files |= {f"test/{c}/{k}.png": picture(10 * ord(c) + k + 5) for c in "ab" for k in range(2)}
    files["train/a/again.png"] = files["train/a/0.png"]
    files["train/b/leak.png"] = files["test/b/1.png"]
    files["train/b/torn.png"] = files["train/a/3.png"]
    dataset = load_folder(fill(tmp_path, files))
    paths = [str(key.relative_to(tmp_path)) for key in dataset.inputs.keys]
    assert "test/b/1.png" in paths  # the copy in test stays
    assert not {"train/b/leak.png", "train/b/torn.png", "train/a/3.png", "train/a/again.png"} & set(paths)
    assert len(dataset) == 12 - 1
    extra, torn = dataset.notices
    assert extra.startswith("2 files left out as exact copies")
    assert "train/a/again.png" in extra
    assert "train/b/leak.png" in extra
    assert "2 files left out: the same image with different labels" in torn


def test_broken_files_are_named_counted_and_skipped_or_an_error(tmp_path):
    files = {f"{c}/{k}.png": picture(10 * ord(c) + k) for c in "ab" for k in range(2)}
    broken = {f"a/bad{i}.jpeg": data for i, (data, _) in enumerate(BROKEN.values())}
    fill(tmp_path, files | broken)
    dataset = load_folder(tmp_path)
    assert len(dataset) == 4
    (notice,) = dataset.notices
    assert notice.startswith(f"skipped: {len(broken)} of {len(files) + len(broken)} files")
    assert "bad0.jpeg (empty file)" in notice
    assert all(f"bad{i}.jpeg (" in notice for i in range(len(broken)))
    assert f"{len(broken)} of" in error_of(tmp_path, strict=True, most=2500)
    only = fill(tmp_path / "only", {f"a/{k}.jpeg": b"" for k in range(25)})
    assert "cannot be read" in error_of(only, most=2500)
    assert "and 5 more" in error_of(only, most=2500)


@pytest.mark.filterwarnings("default")
def test_libraries_keep_their_remarks_to_themselves(tmp_path, capfd):
    tiff = io.BytesIO()
    Image.fromarray(COLOURS).save(tiff, "tiff", compression="tiff_adobe_deflate")
    broken = bytearray(tiff.getvalue())
    broken[12:40] = bytes(28)  # in the stream, of which libtiff complains by itself
    with pytest.warns(UserWarning, match="Invalid value"):
        odd = dicom(RAMP.astype(np.uint16), StudyDate="not a date")
    files = {"a/1.png": picture(0), "b/1.png": picture(1), "a/2.tif": bytes(broken), "b/odd.dcm": odd}
    logging.basicConfig(force=True)  # as a library that sets up the root logger has it
    try:
        load_folder(fill(tmp_path, files))
    finally:
        logging.getLogger().handlers.clear()
    lines = [line.strip() for line in capfd.readouterr().err.splitlines()]
    assert all(line.startswith("reading images") for line in lines if line), lines


def test_folders_that_are_none(tmp_path):
    assert "no such folder" in error_of(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "an empty folder" in error_of(tmp_path / "empty")
    flat = fill(tmp_path / "flat", {f"{k}_label_{k % 2}.png": picture(k) for k in range(4)})
    assert "--label-regex" in error_of(flat)
    assert load_folder(flat, label_regex=r"label_(\d)").labels.tolist() == [0, 1, 0, 1]
    assert "one class only (a)" in error_of(fill(tmp_path / "one", {"a/1.png": picture(0), "a/2.png": picture(1)}))
    mixed = fill(tmp_path / "mixed", {"a/1.png": picture(0), "b/2.png": picture(1), "notes.txt": b"hello"})
    assert load_folder(mixed).notices == ("1 file outside the class folders left out: notes.txt",)


def test_files_that_cannot_be_opened_are_named(tmp_path):
    fill(tmp_path, {"a/1.png": picture(0), "b/1.png": picture(2)})
    (tmp_path / "a/2.png").symlink_to(tmp_path / "nowhere")
    assert "a/2.png (No such file or directory)" in load_folder(tmp_path).notices[0]


def test_a_file_that_changes_after_it_was_read_is_refused(tmp_path):
    fill(tmp_path, {"a/1.png": picture(0), "b/1.png": picture(1)})
    images = load_folder(tmp_path).inputs
    (tmp_path / "a/1.png").write_bytes(picture(2))
    (tmp_path / "b/1.png").unlink()
    with pytest.raises(DataError, match="has changed since"):
        images[0]
    with pytest.raises(DataError, match="No such file"):
        images[1]


# ---- groups ----


def test_group_regex(tmp_path):
    files = {f"{c}/p{k // 2}_{k}.png": picture(10 * ord(c) + k) for c in "ab" for k in range(6)}
    root = fill(tmp_path, files)
    dataset = load_folder(root, group_regex=r"/(p\d+)_")
    assert dataset.groups.tolist() == [0, 0, 1, 1, 2, 2] * 2
    assert dataset.notices == ("12 images in 3 groups",)
    assert "does not match 6 files: b/" in error_of(root, group_regex=r"a/(p\d+)_")
    assert "no regular expression" in error_of(root, group_regex="(")
    assert "no bracket" in error_of(root, group_regex="p1")
    assert "label pattern" in error_of(root, label_regex="(x)")
    assert "groups has one value only (p)" in error_of(root, group_regex="/(p)")


def test_no_group_stands_in_the_test_split_and_outside(tmp_path):
    root = fill(tmp_path, by_split(("train", "test"), "{split}/{c}/p{k}_{split}.png"))
    assert "groups both in the test split and outside of it: p0, p1" in error_of(root, group_regex=r"/(p\d+)_")
    assert load_folder(root, group_regex=r"^(\w+/./p\d+)_").groups.max() == 7


def test_patients_in_kermany_names(tmp_path):
    names = {
        "train/PNEUMONIA/person12_bacteria_3.jpeg": "train person12",
        "train/PNEUMONIA/person12_virus_9.jpeg": "train person12",
        "test/PNEUMONIA/person12_bacteria_4.jpeg": "test person12",
        "train/NORMAL/IM-0115-0001.jpeg": "train IM-0115",
        "train/NORMAL/IM-0115-0001-0002.jpeg": "train IM-0115",
        "train/NORMAL/NORMAL2-IM-0115-0001.jpeg": "train NORMAL2-IM-0115",
        "test/NORMAL/IM-0116-0001.jpeg": "test IM-0116",
    }
    dataset = load_folder(fill(tmp_path, {name: picture(k) for k, name in enumerate(names)}))
    expected = [names[str(key.relative_to(tmp_path))] for key in dataset.inputs.keys]
    assert np.array_equal(dataset.groups, np.unique(expected, return_inverse=True)[1])
    assert "7 images in 5 groups by the patient ids" in dataset.notices[0]
    fill(tmp_path, {"train/NORMAL/other.png": picture(50)})
    more = load_folder(tmp_path)
    assert more.groups.max() + 1 == 6
    assert "8 images in 6 groups" in more.notices[0]
    assert "(1 file without one, each a group of its own: train/NORMAL/other.png)" in more.notices[0]
    fill(tmp_path, {f"train/NORMAL/{k}.png": picture(60 + k) for k in range(9)})
    most = load_folder(tmp_path)
    assert most.groups is None
    assert most.notices == ()


@pytest.fixture(scope="session")
def xrays():
    return load_folder(XRAYS)


@needs_xrays
def test_the_chest_xrays(xrays):
    assert len(xrays) == 5824
    assert xrays.classes == ("NORMAL", "PNEUMONIA")
    assert np.unique(xrays.official, return_counts=True)[1].tolist() == [618, 5190, 16]
    copies, patients = xrays.notices
    assert copies.startswith("32 files left out as exact copies")
    assert "5,824 images in" in patients
    assert xrays.inputs[0].shape == (224, 224, 3)


@needs_xrays
@pytest.mark.parametrize("seed", [0, 1])
def test_no_patient_of_the_xrays_crosses_a_boundary(xrays, seed):
    parts = split(xrays, SplitConfig(), seed)
    again = split(xrays, SplitConfig(), seed)
    for name, rows, same in zip(PARTS, parts, again, strict=True):
        np.testing.assert_array_equal(rows, same)
        assert len(rows) > 0, name
    owners = np.concatenate([np.unique(xrays.groups[rows]) for rows in parts])
    assert len(owners) == len(np.unique(owners))
    assert (xrays.official[parts.test] == "test").all()
    share = xrays.labels[xrays.official != "test"].mean()
    for name in ("source_pool", "pool", "reward", "validation"):
        assert abs(xrays.labels[getattr(parts, name)].mean() - share) < 0.02


@needs_tiles
def test_the_histology_tiles():
    tiles = load_folder(TILES, label_regex=r"label_(\d)")
    assert np.bincount(tiles.labels).tolist() == [18, 8, 13, 12, 12, 10, 18, 9]
    assert tiles.inputs[0].shape == (224, 224, 3)
    assert len({digest for digest in tiles.inputs.digests}) == 100
