"""Odd folders of images, odd images and odd weights."""

import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless, generate_uid
from safetensors.numpy import save_file

from jaxal.encoders import make_encoder
from odd.case import MISTAKE, QUICK, Case, Place
from odd.tables import csv

RUN = f"run {QUICK} --budget 5 --dataset scans"
PIXELS = f"{RUN} --encoder pixels --image-size 6"
EACH = 24  # images of a class


def encoded(pixels: np.ndarray | Image.Image, kind: str = "png", **options: Any) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    (Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels).save(file, kind, **options)
    return file.getvalue()


def picture(number: int, bright: bool = False) -> np.ndarray:
    """A grey picture [12, 12] uint8 like no other number's."""
    return np.random.default_rng(number).integers(0, 120, (12, 12), np.uint8) + np.uint8(100 * bright)


def scans(
    pattern: str = "{c}/{k}.png", classes: Iterable[str] = ("dark", "light"), each: int = EACH
) -> dict[str, bytes]:
    """Paths below the folder and their contents; a pattern may hold c, k, and p for a patient of three images."""
    return {
        pattern.format(c=c, k=k, p=k // 3): encoded(picture(1000 * number + k, bool(number)))
        for number, c in enumerate(classes)
        for k in range(each)
    }


def split_scans(train: str, test: str) -> dict[str, bytes]:
    """The same in two folders of a split."""
    first = scans(train + "/{c}/{k}.png")
    second = {
        f"{test}/{c}/{k}.png": encoded(picture(5000 + 1000 * number + k, bool(number)))
        for number, c in enumerate(("dark", "light"))
        for k in range(8)
    }
    return first | second


def filled(files: dict[str, bytes], then: Callable[[Path], Any] = lambda folder: None) -> Callable[[Place], None]:
    """Writes the files into the folder scans, and does what comes `then`."""

    def make(place: Place) -> None:
        for name, content in files.items():
            place.write(f"scans/{name}", content)
        (place.folder / "scans").mkdir(exist_ok=True)
        then(place.folder / "scans")

    return make


def folder(name: str, files: dict[str, bytes], says: str, status: int = 0, flags: str = "", **more: Any) -> Case:
    """A folder of images that goes through the encoder `pixels`."""
    return Case(name, f"{PIXELS} {flags}", status, says, filled(files, **more))


def beside(**files: bytes) -> dict[str, bytes]:
    """The usual images and more of them, by names with __ for / and - for a dot."""
    return scans() | {name.replace("__", "/").replace("-", "."): content for name, content in files.items()}


def dicom(values: np.ndarray, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A grey DICOM of 12 bits."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.1")
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.Rows, file.Columns = values.shape
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
    file.PixelData = values.astype(np.uint16).tobytes()
    if syntax == RLELossless:
        file.compress(syntax)
    stream = io.BytesIO()
    file.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _many_scans() -> bytes:
    progressive = encoded(Image.effect_noise((900, 900), 60), "jpeg", progressive=True)
    last = progressive.rindex(b"\xff\xda")
    return progressive[:last] + progressive[last:-2] * 3000 + b"\xff\xd9"


def _pages() -> bytes:
    pages = [Image.fromarray(picture(i)) for i in range(400)]
    return encoded(pages[0], "tiff", save_all=True, append_images=pages[1:])


def _deep(brightest: int) -> dict[str, bytes]:
    found = {
        f"{c}/{k}.png": picture(1000 * n + k, bool(n)).astype(np.uint16) * 16
        for n, c in enumerate(("dark", "light"))
        for k in range(EACH)
    }
    found["dark/0.png"][0, 0] = brightest
    return {name: encoded(pixels) for name, pixels in found.items()}


def _odd_names(root: Path) -> None:
    for number, name in enumerate((b"\x1b[31mred.png", b"\xff\xfe.png", b"two\nlines.png", "\u00fcber.png".encode())):
        Path(os.fsdecode(os.fsencode(root / "dark") + b"/" + name)).write_bytes(encoded(picture(90 + number)))


def _table(**columns: Any) -> bytes:
    return csv(columns).encode()


def _resnet(width: int = 2) -> dict[str, np.ndarray]:
    """A ResNet-18 under PyTorch's names, with random weights."""
    shapes = jax.eval_shape(make_encoder("resnet18", width=width).init, jax.random.key(0))
    rng, leaves = np.random.default_rng(0), {"scale": "weight", "kernel": "weight", "mean": "running_mean"}
    leaves |= {"var": "running_var"}
    parts = {"downsample_conv": "downsample.0", "downsample_bn": "downsample.1"}
    state = {}
    for path, shape in jax.tree_util.tree_leaves_with_path(shapes):
        *modules, leaf = [str(part.key) for part in path[1:]]
        name = ".".join(parts.get(module, module.removeprefix("block")) for module in modules)
        values = rng.uniform(0.1, 0.5, shape.shape).astype(np.float32)
        state[f"{name}.{leaves.get(leaf, leaf)}"] = values.transpose(3, 2, 0, 1) if values.ndim == 4 else values
    return state


RESNET = f"{RUN} --encoder resnet18 --width 2 --image-size 32 --weights"


def weights(
    name: str, says: str, status: int = 0, change: Callable[[dict[str, Any]], Any] = lambda state: state
) -> Case:
    """Weights in a .safetensors file, changed somehow."""

    def make(place: Place) -> None:
        filled(scans())(place)
        state = {key: np.ascontiguousarray(value) for key, value in change(_resnet()).items()}
        save_file(state, place.folder / "a.safetensors")

    return Case(name, f"{RESNET} a.safetensors", status, says, make)


def odd_file(name: str, file: str, content: bytes | None, says: str) -> Case:
    """Something else that is given as weights; None: a pipe."""

    def make(place: Place) -> None:
        filled(scans())(place)
        os.mkfifo(place.folder / file) if content is None else place.write(file, content)

    return Case(name, f"{RESNET} {file}", MISTAKE, says, make)


def prefixed(prefix: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Every key with something before it."""
    return lambda state: {prefix + key: value for key, value in state.items()}


FILES = [f"{c}{k}" for c in "ab" for k in range(EACH)]
FLAT = scans("{c}{k}.png", "ab")
BLANK = Image.new("L", (9000, 9000))
PACS = scans("{c}/IM-{k:04d}-0001.png")

FOLDERS = [
    folder("one folder a class", scans(), "48 images, 2 classes: dark 24, light 24"),
    folder("folders of a split", split_scans("train", "test"), "official split: train 48, test 16"),
    folder("words for a split in longer names", split_scans("seg_train", "seg_test"), "train 48, test 16"),
    folder("other words for a split", split_scans("Training", "Testing"), "train 48, test 16"),
    folder("a split within one more folder", split_scans("x-rays/train", "x-rays/test"), "train 48, test 16"),
    folder("a folder within a folder", scans("all/{c}/{k}.png"), "dark 24, light 24"),
    folder("patients above the classes", scans("patient{p}/{c}/{k}.png"), "classes with names of patients", MISTAKE),
    folder("a split word beside classes", scans(classes=("dark", "test")), "(?i)split"),
    folder(
        "a folder of images without a label", scans() | scans("unlabelled/{k}.png", "xyu"), "24 images without a label"
    ),
    folder("classes in file names", FLAT, "a 24, b 24", 0, r"--label-regex '([ab])\d+.png'"),
    folder("no classes at all", FLAT, "but no class folders", MISTAKE),
    folder(
        "a table of labels beside the images",
        FLAT | {"labels.csv": _table(file=FILES, label=[f[0] for f in FILES])},
        "a 24, b 24",
    ),
    folder(
        "a table of other files", FLAT | {"labels.csv": _table(file=["x"], label=["y"])}, "correct labels.csv", MISTAKE
    ),
    folder("names of a PACS export", PACS, "48 images, 2 classes(?!.*groups)"),
    folder("patients in file names", scans("{c}/p{p}_{c}_{k}.png"), "16 groups", 0, r"--group-regex 'p(\d+_\w)'"),
    folder("patients that no name has", scans(), "does not match|match", MISTAKE, r"--group-regex 'p(\d+)_'"),
    folder("an expression that is none", scans(), "(?i)regular expression|group-regex", MISTAKE, "--group-regex '(['"),
    folder("endings in capitals", scans("{c}/{k}.PNG"), "48 images"),
    folder("a text among the images", beside(**{"dark__notes-txt": b"hello"}), r"skipped: 1 of 49 .*notes.txt"),
    folder("a text among the images, strictly", beside(**{"dark__a-txt": b"hello"}), "a.txt", MISTAKE, "--strict"),
    folder("a broken JPEG", beside(**{"dark__x-jpg": encoded(picture(1), "jpeg")[:90]}), "skipped"),
    folder("an empty file", beside(**{"dark__x-png": b""}), r"x.png \("),
    folder("exact copies", beside(**{"dark__copy-png": encoded(picture(0))}), "(?i)cop(y|ies)"),
    folder("a copy in another class", beside(**{"light__copy-png": encoded(picture(0))}), "(?i)cop(y|ies)|same"),
    folder("a picture of one pixel", beside(**{"dark__x-png": encoded(picture(1)[:1, :1])}), "49 images|skipped"),
    folder("a picture like a hair", beside(**{"dark__x-png": encoded(np.zeros((1, 900), np.uint8))}), "skipped"),
    folder(
        "16 bits with one bright pixel",
        _deep(60000),
        "48 of 48 images .deeper than 8 bits. read with 0 as black and 65,535 as white",
    ),
    folder("a PNG that fills the memory", beside(**{"dark__x-png": encoded(BLANK)}), r"x.png \(9,000 x 9,000"),
    folder("a JPEG of 3,000 scans", beside(**{"dark__x-jpg": _many_scans()}), r"x.jpg \(a JPEG of 3,0"),
    folder("a TIFF of many pages", beside(**{"dark__x-tif": _pages()}), r"x.tif \("),
    folder("a DICOM", beside(**{"dark__x-dcm": dicom(picture(1).astype(np.uint16) * 16)}), "49 images"),
    folder(
        "a DICOM that fills the memory",
        beside(**{"dark__x-dcm": dicom(np.zeros((9000, 9000), np.uint16), RLELossless)}),
        r"x.dcm \(9,000 x 9,000",
    ),
    folder("names that a terminal would obey", scans(), "52 images, 2 classes", then=_odd_names),
    folder("a link that leads round", scans(), "48 images", then=lambda root: (root / "dark" / "up").symlink_to(root)),
    folder(
        "a link that leads nowhere",
        scans(),
        "skipped: 1 of 49",
        then=lambda root: (root / "dark" / "x.png").symlink_to("nowhere.png"),
    ),
    folder(
        "a pipe among the images", scans(), "skipped: 1 of 49", then=lambda root: os.mkfifo(root / "dark" / "x.png")
    ),
    folder("an empty folder", {}, "an empty folder", MISTAKE),
    folder("one class folder", scans(classes=("dark",)), "class", MISTAKE),
    folder(
        "a class folder that is empty",
        scans(),
        "class folders without images left out: grey",
        then=lambda root: (root / "grey").mkdir(),
    ),
    folder(
        "a class that is no UTF-8",
        scans(),
        "UTF-8",
        MISTAKE,
        then=lambda root: (root / "light").rename(os.fsdecode(bytes(root) + b"/\xff")),
    ),
    folder("an image size beyond all measure", scans(), "--image-size is 100000", MISTAKE, "--image-size 100000"),
    Case("a folder without an encoder", RUN, MISTAKE, "name an --encoder", filled(scans())),
    Case(
        "an encoder that there is not",
        f"{RUN} --encoder resnet51",
        MISTAKE,
        "--encoder is .resnet51.; it must be among",
        filled(scans()),
    ),
    Case(
        "the folder that one stands in",
        PIXELS.replace("scans", "."),
        0,
        "48 images, 2 classes",
        lambda place: [place.write(name, content) for name, content in scans().items()],
    ),
    weights("weights", "latents from resnet18, weights a.safetensors"),
    weights("a prefix on every key", "latents from resnet18", 0, prefixed("module.backbone.")),
    weights(
        "a head of two layers",
        "left out: fc.0, fc.2",
        0,
        lambda s: (
            s
            | {
                "fc.0.weight": np.ones((5, 16), np.float32),
                "fc.0.bias": np.ones(5, np.float32),
                "fc.2.weight": np.ones((2, 5), np.float32),
                "fc.2.bias": np.ones(2, np.float32),
            }
        ),
    ),
    weights(
        "weights of another shape",
        r"not the tensors of resnet18.* \+",
        MISTAKE,
        lambda s: s | {"conv1.weight": np.ones((2, 3, 3, 3), np.float32)},
    ),
    weights(
        "weights that lack a layer",
        "not the tensors of resnet18",
        MISTAKE,
        lambda s: {key: value for key, value in s.items() if not key.startswith("layer4.1")},
    ),
    weights(
        "weights that are not finite",
        "holds impossible numbers",
        MISTAKE,
        lambda s: s | {"bn1.weight": np.full(2, np.nan, np.float32)},
    ),
    odd_file("a pipe for weights", "a.pth", None, "a.pth"),
    odd_file("a text for weights", "a.pth", b"hello", "not a PyTorch file"),
    odd_file("half a safetensors file", "a.safetensors", b"\x20\0\0\0\0\0\0\0{}", "not a whole safetensors file"),
    odd_file("weights in another format", "a.h5", b"hello", "weights end in"),
    odd_file(
        "a pickle that would run something", "a.pth", b"\x80\x02cos\nsystem\n(S'touch ran'\ntR.", "nothing was run"
    ),
    Case("weights that are not there", f"{RESNET} none.pth", MISTAKE, "none.pth: no such file", filled(scans())),
    Case("a hub that cannot be reached", f"{RESNET} hf:timm/resnet18.a1_in1k", MISTAKE, "hf:timm", filled(scans())),
]
