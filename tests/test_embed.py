"""Latents: equal to the encoder's by hand, computed once, safe to interrupt, to damage and to share."""

import io
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from jaxal.config import InputsConfig
from jaxal.data.dataset import DataError, Dataset, Embedded, Images
from jaxal.data.decode import decode, resize
from jaxal.data.folder import load_folder
from jaxal.data.images import LazyImages, digest
from jaxal.data.noise import Noise, NoiseConfig, add_noise
from jaxal.data.splits import Split
from jaxal.encoders import embed as module
from jaxal.encoders import make_encoder
from jaxal.encoders.embed import embed, latents_of, load_pixels
from jaxal.encoders.latents import Read, Reader, with_noise
from jaxal.seeds import seed_key

PIXELS = make_encoder("pixels")
NOTHING = PIXELS.init(jax.random.key(0))
SMALL = make_encoder("resnet18", width=2)
N = 20


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    monkeypatch.setattr(module, "PART_ROWS", 8)


def pngs(count: int) -> list[bytes]:
    out = []
    for number in range(count):
        file = io.BytesIO()
        size = (9 + number % 3, 12, 3)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, size, np.uint8)).save(file, "png")
        out.append(file.getvalue())
    return out


class Counting:
    """Encoded images, and how often one was read."""

    def __init__(self, count: int = N):
        self.data, self.reads = pngs(count), 0
        digests = tuple(digest(data) for data in self.data)
        images = LazyImages(tuple(range(count)), digests, self.read)
        self.dataset = Dataset("scans", images, np.arange(count, dtype=np.int32) % 2, ("a", "b"))

    def read(self, row: int) -> bytes:
        self.reads += 1
        return self.data[row]


@pytest.fixture
def scans():
    return Counting()


def by_hand(scans: Counting, rows) -> np.ndarray:
    return np.stack([resize(decode(scans.data[i]), 8).reshape(-1) / np.float32(255) for i in rows])


def quiet(done: int, total: int) -> None:
    assert 0 <= done <= total


def embed_pixels(scans: Counting, cache: Path, **options) -> np.ndarray:
    options = {"image_size": 8, "batch_size": 4, "progress": quiet} | options
    return embed(scans.dataset, PIXELS, NOTHING, cache_dir=cache, **options)


def arrays(channels: int = 3, count: int = 6) -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, channels), np.uint8)
    return Dataset("arrays", images, np.arange(count, dtype=np.int32) % 2, ("a", "b"))


def test_latents_of_encoded_images(scans, tmp_path):
    latents = embed_pixels(scans, tmp_path)
    assert isinstance(latents, np.memmap)
    assert latents.dtype == np.float32
    np.testing.assert_allclose(latents, by_hand(scans, range(N)), atol=1e-7)
    rows = np.array([17, 3, 3, 0, 8])
    np.testing.assert_allclose(embed_pixels(scans, tmp_path, rows=rows), by_hand(scans, rows), atol=1e-7)
    assert embed_pixels(scans, tmp_path, rows=rows[:0]).shape == (0, 192)


def test_latents_of_a_network_on_arrays(tmp_path):
    dataset = arrays()
    grey = replace(dataset, inputs=dataset.inputs[..., :1])
    variables = SMALL.init(jax.random.key(0), classes=3)
    options = {"cache_dir": tmp_path, "image_size": 32, "batch_size": 4, "progress": quiet}
    forward = jax.jit(lambda images: SMALL.apply(variables, SMALL.normalise(images)).latents)
    before = latents_of._cache_size()
    latents = embed(dataset, SMALL, variables, **options)
    np.testing.assert_allclose(latents, forward(dataset.inputs), rtol=2e-4, atol=1e-5)
    rows = np.array([5, 1])
    np.testing.assert_allclose(embed(dataset, SMALL, variables, rows=rows, **options), latents[rows], rtol=1e-5)
    # grey goes into all three channels
    colour = np.repeat(grey.inputs, 3, -1)
    np.testing.assert_allclose(embed(grey, SMALL, variables, **options), forward(colour), rtol=2e-4, atol=1e-5)
    assert latents_of._cache_size() == before + 1  # one shape, the short batches included


def test_pixels_of_arrays_at_their_own_size(tmp_path):
    grey = arrays(channels=1, count=2)
    flat = embed(grey, PIXELS, NOTHING, cache_dir=tmp_path, progress=quiet)
    np.testing.assert_allclose(flat, grey.inputs.reshape(2, -1) / 255, atol=1e-7)


def test_work_is_done_once(scans, tmp_path):
    first = np.array(embed_pixels(scans, tmp_path))
    assert scans.reads >= N
    scans.reads = 0
    np.testing.assert_array_equal(embed_pixels(scans, tmp_path), first)
    np.testing.assert_array_equal(embed_pixels(scans, tmp_path, batch_size=7), first)
    assert scans.reads <= 2  # a look at the shape
    assert len(list(tmp_path.iterdir())) == 1
    other = Counting(N + 1)
    np.testing.assert_array_equal(embed_pixels(other, tmp_path, rows=np.arange(1, N + 1))[:-1], first[1:])


def test_the_cache_key_is_all_that_matters_and_nothing_else(tmp_path):
    dataset, key = arrays(count=2), jax.random.key(0)
    # The encoder takes no notice of these weights, which makes for fast compilation.
    weights = lambda scale, **head: {"params": {"w": np.full(3, scale), **head}, "batch_stats": {}}
    options = {"cache_dir": tmp_path, "image_size": 8, "batch_size": 2, "progress": quiet}
    files = lambda: len(list(tmp_path.iterdir()))
    embed(dataset, PIXELS, weights(1.0), **options)
    embed(dataset, PIXELS, weights(1.0, head={"kernel": np.ones((192, 2))}), **options)
    embed(replace(dataset, name="renamed"), PIXELS, weights(1.0), **options)
    embed(dataset, PIXELS, weights(1.0), **options | {"batch_size": 1})
    assert files() == 1
    embed(dataset, PIXELS, weights(1.1), **options)
    embed(replace(dataset, inputs=dataset.inputs[::-1]), PIXELS, weights(1.0), **options)
    embed(dataset, PIXELS, weights(1.0), **options | {"image_size": 16})
    embed(dataset, PIXELS, weights(1.0), noise=Noise(key), **options)
    embed(dataset, PIXELS, weights(1.0), noise=Noise(jax.random.key(1)), **options)
    embed(dataset, PIXELS, weights(1.0), noise=Noise(key, NoiseConfig(spread=0.2)), **options)
    assert files() == 7


def test_interrupted_work_goes_on(scans, tmp_path):
    whole = np.array(embed_pixels(Counting(), tmp_path / "whole"))
    seen = []

    def stop(done: int, total: int) -> None:
        seen.append(done)
        if done >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_pixels(scans, tmp_path / "part", progress=stop)
    assert seen == [0, 4, 8, 12]
    assert [path.suffix for path in (tmp_path / "part").iterdir()] == [".part"]
    scans.reads = 0
    seen.clear()
    latents = embed_pixels(scans, tmp_path / "part", progress=lambda done, total: seen.append(done))
    np.testing.assert_array_equal(latents, whole)
    assert scans.reads == 1 + N - 8  # a look at the shape, and what was not finished
    assert seen == [8, 12, 16, 20]
    assert [path.suffix for path in (tmp_path / "part").iterdir()] == [".npy"]


DAMAGE = {
    "cut": lambda data: data[:-100],
    "empty": lambda data: b"",
    "other": lambda data: b"PK\3\4 something else",
    "one bit": lambda data: data[:200] + bytes([data[200] ^ 4]) + data[201:],
    "no checksum": lambda data: data[:-16],
    "longer": lambda data: data + b"x",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_told_and_replaced(scans, tmp_path, damage):
    whole = np.array(embed_pixels(scans, tmp_path))
    (final,) = tmp_path.iterdir()
    final.write_bytes(DAMAGE[damage](final.read_bytes()))
    part = tmp_path / f"{final.stem}.0-8.part"
    part.write_bytes(final.read_bytes())
    told = []
    np.testing.assert_array_equal(embed_pixels(scans, tmp_path, tell=told.append), whole)
    assert told == [f"{path}: damaged, and computed again" for path in (final, part)]
    assert list(tmp_path.iterdir()) == [final]
    assert embed_pixels(scans, tmp_path, tell=told.append) is not None and len(told) == 2


def test_every_flipped_bit_is_noticed(scans, tmp_path):
    whole = np.array(embed_pixels(scans, tmp_path))
    (final,) = tmp_path.iterdir()
    data = final.read_bytes()
    for place in np.random.default_rng(0).choice(8 * len(data), 40, replace=False):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << (place % 8)
        final.write_bytes(damaged)
        told = []
        np.testing.assert_array_equal(embed_pixels(scans, tmp_path, tell=told.append), whole)
        assert len(told) == 1


def test_what_killed_processes_left_is_cleaned(scans, tmp_path):
    old, young = (tmp_path / f"{name}.tmp" for name in ("old", "young"))
    parts = [tmp_path / f"{name}.0-8.part" for name in ("another", "forgotten")]
    for path, age in ((old, 7200), (young, 60), (parts[0], 86400), (parts[1], 60 * 86400)):
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age,) * 2)
    embed_pixels(scans, tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".tmp", ".part"}
    assert not old.exists() and not parts[1].exists()
    assert young.exists() and parts[0].exists()


def test_two_processes_at_once(tmp_path):
    for number, data in enumerate(pngs(60)):
        path = tmp_path / "scans" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    script = (
        "import sys, jax, numpy as np\n"
        "from jaxal.encoders import embed\n"
        "from jaxal.encoders import make_encoder\n"
        "from jaxal.data.folder import load_folder\n"
        "embed.PART_ROWS = 4\n"
        "encoder = make_encoder('pixels')\n"
        "latents = embed.embed(load_folder(sys.argv[1]), encoder, encoder.init(jax.random.key(0)),\n"
        "                      cache_dir=sys.argv[2], image_size=8, batch_size=2)\n"
        "np.save(sys.argv[3], latents)\n"
    )
    outputs = [tmp_path / f"{k}.npy" for k in range(2)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, tmp_path / "scans", tmp_path / "cache", output],
            stderr=subprocess.PIPE,
            text=True,
        )
        for output in outputs
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    one, two = (np.load(output) for output in outputs)
    np.testing.assert_array_equal(one, two)
    images = load_folder(tmp_path / "scans").inputs
    expected = np.stack([resize(images[i], 8).reshape(-1) / np.float32(255) for i in range(60)])
    np.testing.assert_allclose(one, expected, atol=1e-7)
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npy"]


def test_noisy_latents_depend_on_key_and_row(scans, tmp_path):
    noise = Noise(jax.random.key(3))
    images = np.stack([resize(decode(scans.data[i]), 8) for i in range(N)])
    rows = np.array([11, 2, 7])
    noisy = embed_pixels(scans, tmp_path, rows=rows, noise=noise)
    by_hand_ = add_noise(noise.key, images[rows].astype(np.float32) / 255, rows)
    np.testing.assert_allclose(noisy, np.asarray(by_hand_).reshape(3, -1), atol=1e-6)
    every = embed_pixels(scans, tmp_path, noise=noise)
    np.testing.assert_allclose(every[rows], noisy, atol=1e-6)


def test_noise_reaches_pools_only(scans, tmp_path):
    clean = embed_pixels(scans, tmp_path)
    cut = lambda r: Split(r[:6], r[6:12], r[12:14], r[14:16], r[16:18], r[18:])
    splits = [cut(np.random.default_rng(seed).permutation(N)) for seed in range(2)]
    options = {"cache_dir": tmp_path, "image_size": 8, "batch_size": 4, "progress": quiet}
    pixels = load_pixels(scans.dataset, PIXELS, 8)
    read = Read(Embedded(scans.dataset, clean, Images(pixels, NOTHING)), Reader(PIXELS, NOTHING, options))
    (dataset, latents, images, origins), noisy = with_noise(read, splits, InputsConfig(noise=0.5), [0, 1])
    np.testing.assert_array_equal(dataset.inputs, latents)
    np.testing.assert_allclose(images.pixels.reshape(len(dataset), -1) / 255, latents, atol=0.5 / 255 + 1e-6)
    assert dataset.inputs.shape == (len(dataset), 192)
    np.testing.assert_array_equal(dataset.inputs[:N], clean)
    distorted = embed_pixels(scans, tmp_path, noise=Noise(seed_key(0, "distort")))
    assert np.abs(distorted - clean).max(1).min() > 0.01
    for before, after in zip(splits, noisy, strict=True):
        for part in Split._fields:
            old, new = getattr(before, part), getattr(after, part)
            np.testing.assert_array_equal(dataset.labels[new], scans.dataset.labels[old])
            np.testing.assert_array_equal(origins[new], old)
            moved = new >= N
            assert moved.sum() == (3 if part in ("pool", "source_pool") else 0)
            np.testing.assert_allclose(
                dataset.inputs[new], np.where(moved[:, None], distorted[old], clean[old]), atol=1e-6
            )


def test_what_cannot_be_embedded(scans, tmp_path):
    features = Dataset("table", np.ones((4, 3), np.float32), np.arange(4) % 2, ("a", "b"))
    with pytest.raises(DataError, match="table: holds features, not images"):
        embed(features, SMALL, {}, cache_dir=tmp_path)

    broken = jax.tree.map(lambda leaf: leaf * np.nan, SMALL.init(jax.random.key(0)))
    with pytest.raises(DataError, match="not finite: broken weights"):
        embed(arrays(), SMALL, broken, cache_dir=tmp_path, image_size=32, batch_size=4, progress=quiet)

    scans.data[13] = b""
    with pytest.raises(DataError, match="13 has changed since the data set was read"):
        embed_pixels(scans, tmp_path)

    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file/cache: latents cannot be cached: Not a directory"):
        embed_pixels(Counting(), tmp_path / "file" / "cache")


def test_a_bar_is_shown_by_default(scans, tmp_path, capfd):
    embed_pixels(scans, tmp_path, progress=None)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "embedding images" in captured.err
    assert "20/20" in captured.err
