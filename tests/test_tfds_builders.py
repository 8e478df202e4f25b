"""TFDS without TensorFlow: the paper's two data sets from archives of the published layout, and any other."""

import hashlib
import io
import os
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxal.data import tfds_builders
from jaxal.data.dataset import DataError
from jaxal.data.download import Source, fetch
from jaxal.data.folder import load_folder
from jaxal.data.tfds_builders import KATHER
from jaxal.data.tfds_reader import load_tfds

DATA = Path(__file__).parents[2] / "shared" / "data"
TILES, XRAYS = DATA / "kather2016" / "tiles100", DATA / "cxr_kermany"
needs_tiles = pytest.mark.skipif(not TILES.is_dir(), reason=f"needs the histology tiles in {TILES}")
needs_xrays = pytest.mark.skipif(not XRAYS.is_dir(), reason=f"needs the chest X-rays in {XRAYS}")

ROOT = "Kather_texture_2016_image_tiles_5000"
FOLDERS = ["01_TUMOR", "02_STROMA", "03_COMPLEX", "04_LYMPHO", "05_DEBRIS", "06_MUCOSA", "07_ADIPOSE", "08_EMPTY"]


@pytest.fixture(autouse=True)
def no_tensorflow():
    assert "tensorflow" not in sys.modules
    yield
    assert "tensorflow" not in sys.modules


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def tiles() -> dict[str, bytes]:
    """Members of an archive of the published layout, from the real tiles, at their published size."""
    members = {f"{ROOT}/": b""}
    for path in sorted(TILES.glob("*.png")):
        label = int(path.stem[-1])
        number = int(path.stem.split("_")[1])
        pixels = np.asarray(Image.open(path).convert("RGB").resize((150, 150)))
        name = f"{number:04X}_CRC-Prim-HE-{number % 10:02d}.tif_Row_{number}_Col_1.tif"
        members[f"{ROOT}/{FOLDERS[label]}/{name}"] = encoded(pixels, "tiff")
    return members


class Server:
    """Serves bytes on localhost at any path; announces a length, which may be more than it sends."""

    def __init__(self, data: bytes, announced: int | None = None, status: int = 200):
        self.requests: list[str] = []
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(announced or len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/files/{ROOT}.zip"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def source_of(data: bytes, url: str) -> Source:
    return Source(url, len(data), hashlib.sha256(data).hexdigest())


def error_of(call, *arguments, **options) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    return message


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# ---- kather2016 ----


def test_the_published_address_and_checksum_are_those_that_tfds_records():
    recorded = Path(tfds.__file__).parent / "url_checksums" / "colorectal_histology.txt"
    url, size, sha256, _ = recorded.read_text().splitlines()[0].split("\t")
    assert Source(url, int(size), sha256) == KATHER


@needs_tiles
def test_kather2016_is_downloaded_prepared_and_read(tmp_path, monkeypatch):
    members = tiles()
    data = zipped(members)
    with Server(data) as server:
        monkeypatch.setattr(tfds_builders, "KATHER", source_of(data, server.url))
        dataset = load_tfds("kather2016", tmp_path)
        assert len(server.requests) == 1
    assert len(dataset) == 100
    expected = ("tumor", "stroma", "complex", "lympho", "debris", "mucosa", "adipose", "empty")
    assert dataset.classes == expected
    assert np.bincount(dataset.labels).tolist() == [18, 8, 13, 12, 12, 10, 18, 9]
    assert dataset.official is None
    assert dataset.notices == ()
    # every tile is there, pixel for pixel, under its own label
    real = {
        np.asarray(Image.open(io.BytesIO(tif))).tobytes(): int(name.split("/")[1][:2]) - 1
        for name, tif in members.items()
        if tif
    }
    assert {dataset.inputs[i].tobytes(): int(dataset.labels[i]) for i in range(100)} == real
    # The server is gone: what is prepared is not fetched again.
    again = load_tfds("kather2016", tmp_path)
    assert again.inputs.digests == dataset.inputs.digests


def test_a_wrong_checksum_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    data = zipped({f"{ROOT}/01_TUMOR/1.tif": b"not what was published"})
    with Server(data) as server:
        wrong = Source(server.url, len(data), "0" * 64)
        monkeypatch.setattr(tfds_builders, "KATHER", wrong)
        message = error_of(load_tfds, "kather2016", tmp_path)
    assert "SHA-256" in message
    assert "is not the published 000000000000..." in message
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("announced", [None, 20_000])
def test_a_download_that_breaks_off_is_refused(tmp_path, monkeypatch, announced):
    data = zipped({f"{ROOT}/01_TUMOR/1.tif": bytes(10_000)}) + bytes(20_000)
    with Server(data[:9_000], announced=announced) as server:
        monkeypatch.setattr(tfds_builders, "KATHER", source_of(data, server.url))
        assert "the download broke off" in error_of(load_tfds, "kather2016", tmp_path)
    assert files_in(tmp_path) == []


def test_no_server_and_no_file_say_where_the_archive_belongs(tmp_path):
    with Server(b"gone", status=404) as server:
        source = source_of(b"x", server.url)
        message = error_of(fetch, source, tmp_path / "a.zip")
    assert "HTTP Error 404" in message
    assert f"put it at {tmp_path / 'a.zip'}" in message
    assert "cannot be downloaded" in error_of(fetch, source, tmp_path / "a.zip")  # refused connection
    assert files_in(tmp_path) == []


def test_an_archive_that_is_there_is_verified_not_fetched(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"archive")
    fetch(source_of(b"archive", "http://127.0.0.1:9/"), path)
    path.write_bytes(b"archivf")
    assert "SHA-256" in error_of(fetch, source_of(b"archive", "http://127.0.0.1:9/"), path)


# ---- kermany_pneumonia ----


def manual(root: Path, data: bytes, name: str = "ChestXRay2017.zip") -> Path:
    folder = root / "downloads" / "kermany_pneumonia"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return root


@needs_xrays
def test_kermany_pneumonia_equals_the_folder_it_was_made_from(tmp_path):
    members = {"chest_xray/": b"", "chest_xray/.DS_Store": b"x", "__MACOSX/chest_xray/train/NORMAL/._a.jpeg": b"x"}
    for path in sorted(XRAYS.glob("*/*/*.jpeg"))[::97]:
        members[f"chest_xray/{path.relative_to(XRAYS)}"] = path.read_bytes()
    for name, data in members.items():
        if name.endswith("jpeg") and not name.startswith("__"):
            (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "folder" / name).write_bytes(data)
    folder = load_folder(tmp_path / "folder" / "chest_xray")
    dataset = load_tfds("kermany_pneumonia", manual(tmp_path, zipped(members)))
    assert dataset.classes == folder.classes == ("NORMAL", "PNEUMONIA")
    facts = lambda d: sorted(zip(d.inputs.digests, d.labels.tolist(), d.official.tolist(), strict=True))
    assert facts(dataset) == facts(folder)  # the published bytes, the official split
    assert len(np.unique(dataset.groups)) == len(np.unique(folder.groups))
    assert dataset.notices == folder.notices


def test_kermany_archives_that_cannot_be_used(tmp_path):
    message = error_of(load_tfds, "kermany_pneumonia", tmp_path / "none")
    assert "no archive here" in message
    assert "https://data.mendeley.com/datasets/rscbjbr9sj" in message

    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    whole = zipped({f"chest_xray/train/NORMAL/IM-{k}-1.jpeg": encoded(noise, "jpeg") for k in range(9)})
    for name, data in {
        "cut": whole[: len(whole) // 2],
        "flipped": whole[:300] + bytes(b ^ 255 for b in whole[300:900]) + whole[900:],
        "text": b"<html>please log in</html>",
        "empty": b"",
    }.items():
        assert "broken or cut short" in error_of(load_tfds, "kermany_pneumonia", manual(tmp_path / name, data))
        assert files_in(tmp_path / name) == ["ChestXRay2017.zip"]
    newer = zipped(
        {
            f"CellData/{place}-{k}-0001.jpeg": encoded(noise + np.uint8(7 * k + len(place)), "jpeg")
            for place in ("chest_xray/test/PNEUMONIA/VIRUS", "chest_xray/train/NORMAL/NORMAL", "OCT/train/CNV/CNV")
            for k in range(3)
        }
    )
    dataset = load_tfds("kermany_pneumonia", manual(tmp_path / "newer", newer, "ZhangLabData.zip"))
    found = sorted(zip(dataset.labels.tolist(), dataset.official.tolist(), strict=True))
    assert found == [(0, "train")] * 3 + [(1, "test")] * 3
    other = manual(tmp_path / "other", zipped({"cats/1.jpeg": b"x"}))
    assert "not the published archive" in error_of(load_tfds, "kermany_pneumonia", other)
    twice = manual(manual(tmp_path / "twice", whole), whole, "again.zip")
    assert "there are 2" in error_of(load_tfds, "kermany_pneumonia", twice)


def test_broken_images_in_an_archive_are_named_and_skipped(tmp_path):
    picture = lambda k: encoded(np.random.default_rng(k).integers(0, 256, (20, 20), np.uint8), "jpeg")
    members = {
        f"chest_xray/{part}/{name}/IM-{k}-{part}{name}.jpeg": picture(8 * p + 4 * c + k)
        for p, part in enumerate(("train", "test"))
        for c, name in enumerate(("NORMAL", "PNEUMONIA"))
        for k in range(3)
    }
    members["chest_xray/train/NORMAL/IM-0-trainNORMAL.jpeg"] = picture(0)[:200]
    twice, (name, data) = io.BytesIO(zipped(members)), next(iter(members.items()))
    with zipfile.ZipFile(twice, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(name, data)
    root = manual(tmp_path, twice.getvalue())
    dataset = load_tfds("kermany_pneumonia", root)
    assert len(dataset) == 11
    assert dataset.notices[0].startswith("skipped: 1 of 12 files cannot be read as images: train/")
    assert "truncated" in dataset.notices[0]
    assert "cannot be read" in error_of(load_tfds, "kermany_pneumonia", root, strict=True)


# ---- any prepared data set ----


class Demo(tfds.core.GeneratorBasedBuilder):
    """A small data set; `FEATURES` is set by the tests."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURES: ClassVar[dict] = {}
    RECORDS: ClassVar[dict] = {}

    def _info(self):
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(self.FEATURES))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.RECORDS}

    def _generate_examples(self, split):
        yield from enumerate(self.RECORDS[split])


LABEL = tfds.features.ClassLabel(names=["cat", "dog"])


@pytest.fixture
def demo(tmp_path, monkeypatch):
    def make(features: dict, records: dict):
        monkeypatch.setattr(Demo, "FEATURES", features)
        monkeypatch.setattr(Demo, "RECORDS", records)
        Demo(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
        return tmp_path

    return make


def test_any_prepared_image_data_set(demo):
    pixels = [np.random.default_rng(k).integers(0, 256, (9, 8, 3), np.uint8) for k in range(12)]
    patient = [5, 0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4]
    record = lambda k, label: {"image": encoded(pixels[k], "png"), "label": label, "filename": f"p{patient[k]}_{k}.png"}
    root = demo(
        {"image": tfds.features.Image(), "label": LABEL, "filename": tfds.features.Text()},
        {
            "train": [*(record(k, k % 2) for k in range(6)), record(10, -1)],
            "test": [*(record(k, k % 2) for k in range(6, 9)), record(0, 0)],
            "unsupervised": [record(11, -1)],
        },
    )
    dataset = load_tfds("demo", root, group_regex=r"(p\d)_")
    assert dataset.classes == ("cat", "dog")
    # a copy in train of what is in test goes; rows without a label go
    assert sorted(dataset.official.tolist()) == ["test"] * 4 + ["train"] * 5
    found = {dataset.inputs[i].tobytes(): (int(dataset.labels[i]), int(dataset.groups[i])) for i in range(9)}
    assert found == {pixels[k].tobytes(): (k % 2, patient[k]) for k in range(9)}
    assert dataset.notices[0] == "splits left out: unsupervised"
    assert dataset.notices[1].startswith("1 file left out as exact copies")
    assert dataset.notices[3] == "1 image without a label left out of the simulation"
    assert dataset.unlabelled is not None and dataset.unlabelled.inputs[0].tobytes() == pixels[10].tobytes()


def test_any_prepared_table(demo):
    rows = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    root = demo(
        {"features": tfds.features.Tensor(shape=(4,), dtype=np.float32), "kind": LABEL},
        {"train": [{"features": row, "kind": i % 2} for i, row in enumerate(rows)]},
    )
    dataset = load_tfds("demo", root)
    assert dataset.inputs.dtype == np.float32
    assert sorted(map(tuple, dataset.inputs.tolist())) == sorted(map(tuple, rows.tolist()))
    assert dataset.official is None


def test_data_sets_that_cannot_be_read(demo, tmp_path):
    assert "prepare it in" in error_of(load_tfds, "no_such_set", tmp_path)
    assert "prepare it in" in error_of(load_tfds, "mnist", tmp_path)
    text = {"text": tfds.features.Text(), "label": LABEL}
    root = demo(text, {"train": [{"text": "hello", "label": 0}]})
    assert "expected; it has " in (message := error_of(load_tfds, "demo", root))
    assert "text (Text)" in message


def test_features_of_a_stranger_import_nothing(demo, tmp_path, monkeypatch):
    """A prepared folder names the classes of its features; TFDS would import the module of any name."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "trap.py").write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'sprung')!r}).touch()\n")
    monkeypatch.syspath_prepend(str(folder))
    rows = [{"features": np.zeros(4, np.float32) + k, "kind": k % 2} for k in range(8)]
    root = demo(
        {"features": tfds.features.Tensor(shape=(4,), dtype=np.float32), "kind": LABEL},
        {"train": rows},
    )
    (root / "demo").rename(root / "strange")  # no code knows this name, so it is read from its files
    (info,) = root.glob("strange/*/dataset_info.json")
    info.write_text(info.read_text().replace('"demo"', '"strange"'))
    for record in root.glob("strange/*/demo-*"):
        record.rename(record.with_name(record.name.replace("demo-", "strange-")))
    assert len(load_tfds("strange", root)) == 8
    path = info.with_name("features.json")
    honest = path.read_text()
    name = "tensorflow_datasets.core.features.tensor_feature.Tensor"
    assert name in honest
    path.write_text(honest.replace(name, "trap.Tensor"))
    for where, other in ((path, honest.replace(name, "trap.Tensor")), (path, honest.replace(name, "os.system"))):
        where.write_text(other)
        message = error_of(load_tfds, "strange", root)
        assert "its features name" in message and "nothing of that was run; read are FeaturesDict, Image" in message
    path.write_text('{"type": "trap.Tensor", "content": {}}')  # as older versions wrote it
    assert "its features name trap.Tensor" in error_of(load_tfds, "strange", root)
    assert not (tmp_path / "sprung").exists()
    path.write_text(honest)
    assert len(load_tfds("strange", root)) == 8  # and the trap is not left set in TFDS itself
    assert tfds.features.FeatureConnector.cls_from_name(name) is tfds.features.Tensor


def test_names_that_would_fetch_code_are_refused(tmp_path):
    for name in ("huggingface:mnist", "kaggle:some/thing", "../demo", "demo/a=1", "", "demo\n"):
        assert "no such name; tfds:NAME" in error_of(load_tfds, name, tmp_path)


def test_a_member_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    picture = encoded(np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8), "jpeg")
    members = {f"chest_xray/train/NORMAL/IM-{k}-1.jpeg": picture for k in range(3)}
    members["chest_xray/train/NORMAL/IM-9-1.jpeg"] = bytes(1 << 27)
    data = zipped(members)
    assert len(data) < 1 << 18
    monkeypatch.setattr(zipfile.ZipFile, "read", None)
    message = error_of(load_tfds, "kermany_pneumonia", manual(tmp_path, data))
    assert "IM-9-1.jpeg says it has 134,217,728 bytes; at most 67,108,864 are an image" in message


def test_what_killed_processes_left_is_removed(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    old, young = folder / "a.zip.11.part", folder / "a.zip.12.part"
    for path, age in ((old, 7200), (young, 60)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    with Server(b"archive") as server:
        fetch(source_of(b"archive", server.url), folder / "a.zip")
    assert files_in(folder) == ["a.zip", "a.zip.12.part"]
    left = [tmp_path / "kermany_pneumonia" / f"incomplete.{name}_1.0.0" for name in ("OLD", "NEW")]
    for path, age in zip(left, (2 * 86400, 60), strict=True):
        path.mkdir(parents=True)
        (path / "half").write_bytes(b"x")
        os.utime(path, (time.time() - age,) * 2)
    error_of(load_tfds, "kermany_pneumonia", manual(tmp_path, b""))
    assert [path.exists() for path in left] == [False, True]
