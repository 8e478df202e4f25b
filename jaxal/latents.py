"""From what a user names to latents: the data set read, and its images through an encoder."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxal.config import InputConfig
from jaxal.data import DataError, load
from jaxal.embed import embed, embed_noisy_pools
from jaxal.encoders import Encoder, make_encoder
from jaxal.experiment import Embedded
from jaxal.splits import Split
from jaxal.weights import load_weights


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


def read(source: str, config: InputConfig) -> Read:
    """Reads a data set and embeds its images.

    Features are latents as they are. Images go through `config.encoder`.

    Raises:
      ValueError: one line, for a data set, an encoder or weights that cannot be used.
    """
    dataset = load(
        source,
        label_regex=config.label_regex or None,
        group_regex=config.group_regex or None,
        strict=config.strict,
        data_dir=config.data_dir,
    )
    if isinstance(dataset.inputs, np.ndarray) and dataset.inputs.ndim == 2:
        if config.encoder:
            dataset = dataset.noting("holds features, not images: the encoder is not used")
        return Read(Embedded(dataset, dataset.inputs.astype(np.float32)), None)
    if not config.encoder:
        raise DataError(f"{dataset.name}: holds images; name an --encoder, such as resnet50 or efficientnet-lite0")
    encoder = make_encoder(config.encoder)
    weights = load_weights(encoder, config.weights or None)
    options = {
        "cache_dir": Path(config.cache_dir).expanduser(),
        "image_size": config.image_size or None,
    }
    latents = embed(dataset, encoder, weights.variables, **options)
    dataset = dataset.noting(f"latents from {config.encoder}, weights {weights.origin}", *weights.notices)
    return Read(Embedded(dataset, latents), Reader(encoder, weights.variables, options))


def with_noise(read_: Read, splits: Sequence[Split], config: InputConfig, seed: int) -> tuple[Embedded, list[Split]]:
    """The same data set with a fraction of every pool replaced by noisy copies; all other rows stay clean.

    Raises:
      DataError: when there are no images to add noise to.
    """
    (dataset, latents), reader = read_
    if reader is None:
        raise DataError(f"{dataset.name}: --noise is for images, and this data set holds features")
    noisy, moved = embed_noisy_pools(
        dataset,
        reader.encoder,
        reader.variables,
        latents,
        splits,
        jax.random.key(seed),
        config.noise,
        **reader.options,
    )
    clean = replace(noisy, notices=dataset.notices).noting(f"{config.noise:.0%} of the pool images carry noise")
    return Embedded(clean, np.asarray(noisy.inputs)), moved
