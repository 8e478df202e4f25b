"""From what a user names to latents: the data set read, and its images through an encoder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from jaxal.config import InputsConfig, Reading
from jaxal.data.dataset import DataError, Dataset, Embedded, Images
from jaxal.data.load import TAKES, load, suitable
from jaxal.data.noise import Noise, add_noise, noisy_copies
from jaxal.data.splits import Split
from jaxal.encoders import Encoder, make_encoder
from jaxal.encoders.embed import embed, load_pixels
from jaxal.encoders.weights import load_weights
from jaxal.seeds import seed_key, seed_keys


@dataclass(frozen=True)
class Reader:
    """An encoder with its weights, and how it is fed."""

    encoder: Encoder
    variables: dict[str, Any]
    options: dict[str, Any]  # of `embed.embed`


class Read(NamedTuple):
    """A data set with its latents, and the reader of its images (None: it holds features)."""

    embedded: Embedded
    reader: Reader | None


def open_dataset(source: str, config: InputsConfig, *, beside: bool = False) -> Dataset:
    """The data set by its name or path, its images not yet embedded.

    Settings that say where labels and groups stand must suit it, unless it is read `beside` one that they are for.

    Raises:
      DataError: one line, for what cannot be read or used.
    """
    options = {name: value for name in TAKES if (value := getattr(config, name))}
    if beside:
        options = suitable(source, options)
    return load(source, strict=config.strict, data_dir=config.data_dir, images=bool(config.encoder), **options)


def holds_features(dataset: Dataset) -> bool:
    """Whether the rows are latents already."""
    return isinstance(dataset.inputs, np.ndarray) and dataset.inputs.ndim == 2


def require_images(dataset: Dataset, flag: str) -> None:
    """Raises DataError where `flag` is given and the data set holds features."""
    if holds_features(dataset):
        raise DataError(f"{dataset.name}: {flag} is for images, and this data set holds features")


def read(dataset: Dataset, config: Reading, keep_images: bool = False) -> Read:
    """A data set with its images embedded.

    Features are latents as they are. Images go through `config.encoder`; `keep_images` keeps them beside their latents.

    Raises:
      ValueError: one line, for a data set, an encoder or weights that cannot be used.
    """
    if keep_images:
        require_images(dataset, "--classifier finetune")
    if holds_features(dataset):
        if config.encoder:
            dataset = dataset.noting("holds features, not images: the encoder is not used")
        return Read(Embedded(dataset, dataset.inputs.astype(np.float32)), None)
    if not config.encoder:
        raise DataError(f"{dataset.name}: holds images; name an --encoder, such as resnet50 or efficientnet-lite0")
    encoder = make_encoder(config.encoder, **config.encoder_options)
    weights = load_weights(encoder, config.weights or None)
    options: dict[str, Any] = {
        "cache_dir": config.cache,
        "image_size": config.image_size or None,
    }
    told: list[str] = []
    latents = embed(dataset, encoder, weights.variables, tell=told.append, **options)
    named = f"{weights.origin} (SHA-256 {weights.digest[:12]})" if weights.digest else weights.origin
    dataset = dataset.noting(f"latents from {config.encoder}, weights {named}", *weights.notices, *told)
    images = None
    if keep_images:
        body = weights.variables | {"params": {k: v for k, v in weights.variables["params"].items() if k != "head"}}
        images = Images(load_pixels(dataset, encoder, options["image_size"]), body)
    return Read(Embedded(dataset, latents, images), Reader(encoder, weights.variables, options))


def with_noise(
    read_: Read, splits: Sequence[Split], config: InputsConfig, seeds: Sequence[int]
) -> tuple[Embedded, list[Split]]:
    """The same data set with a fraction of every pool, and source pool, replaced by noisy copies; of none, as it is.

    Which rows are noisy depends on the number of a split's seed, in `seeds`; how a row is distorted is its own, so that
    the seeds share copies. A row may be in one seed's pool and in another's test part, so the clean rows [n] stay, and
    noisy ones follow.
    Returns the data set of n + m rows, and the splits with noisy rows (n or above) in their pools.

    Raises:
      DataError: when there are no images to add noise to.
    """
    if not config.noise:
        return read_.embedded, list(splits)
    (dataset, latents, images, _), reader = read_
    require_images(dataset, "--noise")
    assert reader is not None
    distort = seed_key(0, "distort")
    rows, moved = noisy_copies(seed_keys(seeds, "noise"), splits, config.noise, len(dataset))
    told: list[str] = []
    options: dict[str, Any] = {**reader.options, "rows": rows, "noise": Noise(distort), "tell": told.append}
    copies = embed(dataset, reader.encoder, reader.variables, **options)
    joined = np.concatenate([latents, copies])
    noisy = replace(dataset, inputs=latents).take(np.r_[: len(dataset), rows])
    noisy = replace(noisy, inputs=joined).noting(f"{config.noise:.0%} of the pool images carry noise", *told)
    if images is not None:
        batches = np.array_split(rows, max(len(rows) // 64, 1))
        pixels = [add_noise(distort, images.pixels[batch], batch) for batch in batches if len(batch)]
        images = images._replace(pixels=np.concatenate([images.pixels, *pixels]))
    return Embedded(noisy, joined, images, np.r_[: len(dataset), rows]), moved
