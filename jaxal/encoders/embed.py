"""Images to latents: decoded in worker threads while the device computes, cached on disk, resumable.

The cache key is a hash of everything that the latents depend on: the encoded images, the weights, the lowered
program (architecture, dtype, normalisation, noise) and the noise key. Finished stretches of rows are kept as
parts, so interrupted work continues. Every file is written beside its place and renamed into it, which makes
two processes at once safe: they may do the same work, and then write the same bytes. A checksum stands at its end:
what is damaged is computed again.
"""

import hashlib
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.data.dataset import DataError, Dataset
from jaxal.data.decode import resize
from jaxal.data.images import LazyImages, progress_bar, quiet
from jaxal.data.noise import Noise, NoiseConfig, add_noise
from jaxal.encoders import Encoder, Variables
from jaxal.files import HOUR, MONTH, is_whole, sweep_old, write_sealed

PREPROCESSING = "decode and resize, 3"  # to be counted up when either gives other pixels
PART_ROWS = 256  # rows that an interruption loses at most, give or take a batch
BATCHES_AHEAD = 3  # decoded before they are needed

Load = Callable[[int], np.ndarray]  # one image for the device, by its row


def embed(
    dataset: Dataset,
    encoder: Encoder,
    variables: Variables,
    *,
    cache_dir: str | Path,
    batch_size: int = 32,
    rows: np.ndarray | None = None,
    noise: Noise | None = None,
    image_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> np.ndarray:
    """Latents of `rows` [m] int (all rows by default): float32 [m, D], memory-mapped from `cache_dir`.

    dataset: its inputs are `LazyImages`, or uint8 images [n, H, W, C] with C 1 (grey) or 3.
    noise: the noise that every one of `rows` gets, so pass pool rows only; a call without gives clean ones.
    An image's noise depends on the key and on its row in `dataset`, not on which other rows are asked for.
    image_size: side in pixels; by default the encoder's own, or if it has none, 224 for encoded images and
    the size that they have for arrays.
    progress: called as (rows done, rows) after every batch; by default a bar is shown. What it raises (an
    interruption, say) ends the work, and the next call goes on from there.
    tell: called with one line for a damaged file of the cache; by default it is shown.

    Raises DataError, one line: inputs that are no images, an image that cannot be read any more, latents that
    are not finite (broken weights), an unwritable cache folder.
    """
    rows = np.arange(len(dataset)) if rows is None else np.asarray(rows)
    inputs, size, load = _loader(dataset, encoder, image_size)

    # The head, if there is one, is not in the latents' way and must not be in their cache key.
    body = {**variables, "params": {k: v for k, v in variables["params"].items() if k != "head"}}
    key, config = noise or (None, None)
    forward = partial(latents_of, encoder, config, body, key)
    first = load(rows[0] if len(rows) else 0)
    one = latents_of.lower(encoder, config, body, key, first[None], jnp.zeros(1, jnp.int32))
    width = one.out_info.shape[-1]
    if not len(rows):
        return np.zeros((0, width), np.float32)
    name = _key(inputs, rows, size, body, one.as_text(), noise)

    cache = Path(cache_dir)
    final = cache / f"{name}.npy"
    stored = partial(_read, tell=tell or (lambda line: print(line, file=sys.stderr)))
    sweep_old(cache, "*.tmp", HOUR)
    sweep_old(cache, "*.part", MONTH)
    if (latents := stored(final, (len(rows), width))) is not None:
        return latents
    stretch = max(PART_ROWS // batch_size, 1) * batch_size
    parts = {
        (start, stop): cache / f"{name}.{start}-{stop}.part"
        for start, stop in ((s, min(s + stretch, len(rows))) for s in range(0, len(rows), stretch))
    }
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _bar() if progress is None else nullcontext(progress) as report, quiet():
            _fill(parts, width, final, rows, batch_size, load, forward, report, stored)
        with suppress(FileNotFoundError):  # another process was faster, and has cleared the parts away
            joined = (np.load(part) for part in parts.values())
            write_sealed(final, lambda file: _save_rows(file, joined, (len(rows), width)))
        latents = np.lib.format.open_memmap(final, mode="r")
        for part in cache.glob(f"{name}.*.part"):  # those of another batch size too
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{cache}: latents cannot be cached: {error.strerror or error}") from None
    return latents


@partial(jax.jit, static_argnums=(0, 1))
def latents_of(
    encoder: Encoder,
    config: NoiseConfig | None,
    variables: Variables,
    key: jax.Array | None,
    images: jax.Array,
    rows: jax.Array,
) -> jax.Array:
    """Latents [b, D] float32 of images [b, H, W, C] uint8; with noise if `config` and `key` are given."""
    if config is not None and key is not None:
        images = 255 * add_noise(key, images.astype(jnp.float32) / 255, rows, config)
    return encoder.apply(variables, encoder.normalise(images)).latents


def load_pixels(dataset: Dataset, encoder: Encoder, image_size: int | None = None) -> np.ndarray:
    """All images of a data set as the encoder gets them: uint8 [n, H, W, channels]. Arguments as for `embed`.

    Raises DataError, one line: inputs that are no images, or an image that cannot be read any more.
    """
    load = _loader(dataset, encoder, image_size)[2]
    with ThreadPoolExecutor() as threads, quiet():
        return np.stack(list(threads.map(load, range(len(dataset)))))


def _loader(dataset: Dataset, encoder: Encoder, image_size: int | None) -> tuple[Any, int | None, Load]:
    """The inputs, the side that they are resized to (None: not at all), and (row) -> one image for the device."""
    inputs = dataset.inputs
    if not isinstance(inputs, LazyImages) and (inputs.dtype != np.uint8 or inputs.ndim != 4):
        raise DataError(f"{dataset.name}: holds features, not images; there is nothing to embed")
    size = image_size or encoder.image_size or (224 if isinstance(inputs, LazyImages) else None)
    return inputs, size, partial(_load, inputs, size, len(encoder.mean))


def _load(inputs: Any, size: int | None, channels: int, row: int) -> np.ndarray:
    """One image as the device gets it: uint8 [H, W, C]."""
    image = inputs[int(row)]
    if image.shape[-1] == 1 and (channels == 3 or size is not None):
        image = np.repeat(image, 3, axis=-1)
    return image if size is None else resize(image, size)


@contextmanager
def _bar() -> Generator[Callable[[int, int], None]]:
    """A progress bar as a callback."""
    with progress_bar() as bar:
        task = bar.add_task("embedding images")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _fill(
    parts: dict[tuple[int, int], Path],
    width: int,
    final: Path,
    rows: np.ndarray,
    batch_size: int,
    load: Load,
    forward: Callable[..., jax.Array],
    report: Callable[[int, int], None],
    stored: Callable[[Path, tuple[int, int]], np.ndarray | None],
) -> None:
    """Compute and write the parts that are missing, unless another process has finished meanwhile."""
    absent = lambda span: stored(parts[span], (span[1] - span[0], width)) is None
    missing = [span for span in parts if absent(span)]
    ready = len(rows) - sum(stop - start for start, stop in missing)
    report(ready, len(rows))
    wanted = (span for span in missing if absent(span) and stored(final, (len(rows), width)) is None)
    batches = (
        (span, np.arange(at, min(at + batch_size, span[1])))
        for span in wanted
        for at in range(span[0], span[1], batch_size)
    )
    done: list[np.ndarray] = []
    for span, at, latents in _stream(batches, rows, batch_size, load, forward):
        if not np.isfinite(latents).all():
            raise DataError(f"latents of row {rows[at[0]]} or near are not finite: broken weights?")
        done.append(latents)
        if at[-1] + 1 == span[1]:
            part = np.concatenate(done)
            write_sealed(parts[span], lambda file, part=part: np.save(file, part))
            done = []
        ready += len(at)
        report(ready, len(rows))


def _stream(
    batches: Iterator[tuple[Any, np.ndarray]],
    rows: np.ndarray,
    batch_size: int,
    load: Load,
    forward: Callable[..., jax.Array],
) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
    """(span, places, latents) of every batch, in order: the next are decoded and one computes meanwhile."""
    ahead: deque[tuple[Any, np.ndarray, list[Future[np.ndarray]]]] = deque()
    running: deque[tuple[Any, np.ndarray, jax.Array]] = deque()

    def start() -> None:
        span, at, images = ahead.popleft()
        # The last batch is filled up by repetition: one shape, one compilation.
        fill = np.resize(np.arange(len(at)), batch_size)
        images = np.stack([image.result() for image in images])[fill]
        running.append((span, at, forward(images, rows[at][fill].astype(np.int32))))

    def finish() -> tuple[Any, np.ndarray, np.ndarray]:
        span, at, latents = running.popleft()
        return span, at, np.asarray(latents)[: len(at)]

    threads = ThreadPoolExecutor(os.cpu_count())
    try:
        for span, at in batches:
            ahead.append((span, at, [threads.submit(load, row) for row in rows[at]]))
            if len(ahead) > BATCHES_AHEAD:
                start()
            if len(running) > 1:
                yield finish()
        while ahead:
            start()
        while running:
            yield finish()
    finally:
        threads.shutdown(cancel_futures=True)


def _key(inputs: Any, rows: np.ndarray, size: int | None, body: Variables, program: str, noise: Noise | None) -> str:
    """A hash of all that the latents depend on."""
    scales = sorted(inputs.scales.items()) if isinstance(inputs, LazyImages) else []
    total = hashlib.blake2b(f"{PREPROCESSING} {size} {scales} {program}".encode(), digest_size=16)
    for path, leaf in jax.tree_util.tree_leaves_with_path(body):
        value = np.ascontiguousarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {value.dtype} {value.shape}".encode())
        total.update(value.data)
    for row in rows:
        if isinstance(inputs, LazyImages):
            total.update(inputs.digests[row].encode())
        else:
            image = np.ascontiguousarray(inputs[row])
            total.update(str(image.shape).encode())
            total.update(image.data)
    if noise is not None:
        total.update(np.asarray(jax.random.key_data(noise.key)).tobytes())
        total.update(rows.astype(np.int64).tobytes())
    return total.hexdigest()


def _read(path: Path, shape: tuple[int, int], tell: Callable[[str], None]) -> np.ndarray | None:
    """The array in `path`, memory-mapped, or None: absent, or damaged, which is told, and the file removed."""
    try:
        path.stat()
        if is_whole(path):
            array = np.lib.format.open_memmap(path, mode="r")  # np.load would also open other kinds of files
            if array.shape == shape and array.dtype == np.float32:
                return array
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError):
        pass
    tell(f"{path}: damaged, and computed again")
    with suppress(OSError):
        path.unlink()
    return None


def _save_rows(file: Any, stretches: Iterator[np.ndarray], shape: tuple[int, int]) -> None:
    """As `np.save`, one stretch of rows at a time: latents may be larger than memory."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(file, header)
    for stretch in stretches:
        file.write(np.ascontiguousarray(stretch, np.float32).data)
