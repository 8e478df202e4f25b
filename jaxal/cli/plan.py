"""What a run with the whole network in training takes on a GPU: memory, operations, time; nothing is run.

Operations come from XLA's count for one training step and one block of predictions, activations from the values that
the backward pass of a step is given. What a device reaches of its peak is an assumption, stated with the numbers.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.build import learners, resolved
from jaxal.classifiers.finetune import make_training, trainable_encoder
from jaxal.cli.flags import Run
from jaxal.config import Config, SettingError
from jaxal.data.dataset import Images
from jaxal.data.noise import noisy_copies
from jaxal.data.splits import Rows, Split
from jaxal.encoders import Encoder
from jaxal.encoders.latents import open_dataset, require_images
from jaxal.prepare import prepare
from jaxal.seeds import seed_keys

PEAK = {"float32": 156e12, "bfloat16": 312e12}  # operations a second of an A100, TF32 and bfloat16
REACHED = 0.2  # share of the peak that training a ResNet-50 reaches: about 2,500 images/s in bfloat16
WIDEST_AT_ONCE = 6  # activations of the first stage's size that a prediction holds, on the safe side


class Needs(NamedTuple):
    """What an experiment needs."""

    shared: float  # bytes held once: images, imported weights
    episode: float  # bytes held by each episode that runs
    images_at_once: int  # images whose activations an episode keeps
    updates: int  # training steps in an episode
    training_flops: float  # in an episode
    prediction_flops: float  # in an episode
    episodes: int  # in the whole run

    def episodes_at_once(self, memory: float) -> int:
        """How many fit into `memory` bytes beside what is shared; a tenth is left for the compiler's own use."""
        return int(max(0.9 * memory - self.shared, 0) // self.episode)


def describe(request: Run) -> list[str]:
    """What a run asks for, in lines for a terminal.

    Raises:
      ValueError: one line, for what the run itself would refuse, or a run whose classifier is not `finetune`.
    """
    config = resolved(request.config)
    if config.environment.classifier != "finetune":
        raise ValueError("--plan is for --classifier finetune; all episodes of a linear probe run side by side")
    if not 0 < request.gpu_memory < math.inf:
        raise SettingError("", "gpu_memory", f"is {request.gpu_memory}; it must be greater than 0, and finite")
    sources = [name for name in request.train_on if name != request.dataset]
    target = open_dataset(request.dataset, config.inputs)
    others = [open_dataset(name, config.inputs, beside=True) for name in sources]
    for dataset in (target, *others):
        require_images(dataset, "--classifier finetune")
    own = [target] if request.dataset in (request.train_on or (request.dataset,)) else []
    prepared = prepare(config, target, [*own, *others] if learners(config) else [])
    config, splits = prepared.config, prepared.splits
    cuts = prepared.source_splits[0][len(own) :] if prepared.source_splits else []
    keys = seed_keys(config.evaluation.numbers, "noise")
    copies = len(noisy_copies(keys, splits, config.inputs.noise, len(target))[0])
    images = copies + sum(map(len, (target, *others)))
    classes = max(len(dataset.classes) for dataset in (target, *others))
    size = config.inputs.image_size or trainable_encoder(config).image_size or 224
    found = needs(config, [splits[0], *cuts], images, size, classes)
    return _lines(config, found, request.gpu_memory)


def needs(config: Config, splits: Sequence[Split], images: int, size: int, classes: int) -> Needs:
    """What a run needs whose classifier is `finetune`.

    Args:
      config: settings.
      splits: of one seed, for each data set.
      images: rows of all data sets, and noisy copies.
      size: side of an image in pixels.
      classes: C.
    """
    settings, fit = config.environment, config.finetune
    encoder = trainable_encoder(config, "gpu")
    first = max(settings.initial, classes)
    counts = range(first, settings.budget + 1, settings.batch)  # labels at each fit
    rows = max(map(len, (np.concatenate(part) for s in splits for part in (s.testing(), _training(config, s)))))
    blocks = -(-rows // fit.block)
    updates = fit.epochs * sum(-(-count // fit.minibatch) for count in counts)
    step, block, held = _measure(config, encoder, size, classes)
    pixels = size * size * len(encoder.mean)
    return Needs(
        shared=images * pixels + _bytes(jax.eval_shape(encoder.init, jax.random.key(0))),
        episode=held + 4 * rows * (encoder.latent_size or 0),
        images_at_once=fit.minibatch,
        updates=updates,
        training_flops=updates * step,
        prediction_flops=len(counts) * blocks * block,
        episodes=_episodes(config),
    )


def _measure(config: Config, encoder: Encoder, size: int, classes: int) -> tuple[float, float, float]:
    """Operations of one training step and of one block of predictions; bytes that a step holds."""
    fit = config.finetune
    training = make_training(fit, encoder)
    shaped = jax.ShapeDtypeStruct
    pixels = shaped((fit.minibatch, size, size, len(encoder.mean)), jnp.uint8)
    variables = jax.eval_shape(encoder.init, jax.random.key(0))
    images = Images(pixels, variables)  # pyright: ignore[reportArgumentType]
    network: Any = jax.eval_shape(lambda images: training.start(images, classes), images)
    labels, mask = shaped((fit.minibatch,), jnp.int32), shaped((classes,), jnp.bool_)

    def kept(trained: Any, pixels: jax.Array, variables: Any, stats: Any) -> Any:
        """What the backward pass of a step needs."""

        def latents(trained: Any) -> jax.Array:
            known = {"params": variables["params"] | trained, "batch_stats": stats}
            return encoder.apply(known, encoder.normalise(pixels), train=training.train_mode).latents

        return jax.vjp(latents, trained)[1]

    step: Any = jax.jit(training.step).lower(images, network, pixels, labels, mask).cost_analysis()
    block: Any = jax.jit(training.predict).lower(images, network, shaped((fit.block,), jnp.int32)).cost_analysis()
    activations = _bytes(jax.eval_shape(kept, network.trained, pixels, variables, network.batch_stats))
    gradients = _bytes(network.trained)
    widest = fit.block * (size // 2) ** 2 * 64 * jnp.dtype(config.inputs.dtype).itemsize  # after a ResNet's first layer
    held = max(activations + gradients, WIDEST_AT_ONCE * widest) + _bytes(network)
    return step["flops"], block["flops"], held


def _training(config: Config, parts: Split) -> Rows:
    """The rows of a training task, of which there may be many (`banks.training_recipes`)."""
    rows = parts.training()
    limit = config.train.task_pool if config.train.tasks > 1 else 0
    return rows._replace(pool=rows.pool[: limit or None])


def _bytes(tree: Any) -> float:
    return float(sum(np.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree)))


def _episodes(config: Config) -> int:
    train, evaluation = config.train, config.evaluation
    learned = learners(config)
    collected = max(train.warm_start_episodes, train.tasks) + train.iterations * train.episodes
    validated = (1 + -(-train.iterations // train.validation_every)) * train.validation_episodes
    searched = collected if "linear_cem" in learned else 0
    compared = len(evaluation.strategies) * evaluation.starts
    return evaluation.seeds * ((collected + validated + searched if learned else 0) + compared)


def _lines(config: Config, found: Needs, memory: float) -> list[str]:
    """memory: GB of the GPU."""
    dtype = config.inputs.dtype
    speed = PEAK[dtype] * REACHED
    seconds = (found.training_flops + found.prediction_flops) / speed
    fit = found.episodes_at_once(memory * 1e9)
    room = f"{fit:,} episode{'s fit side by side' if fit > 1 else ' fits'}"
    if not fit:
        room = "not even one episode fits: smaller --finetune.minibatch or --finetune.block, or --finetune.recompute"
    return [
        f"an episode: {found.updates:,} training steps of {found.images_at_once} images, "
        f"{found.training_flops:.3g} operations, and predictions, {found.prediction_flops:.3g}",
        f"memory: {found.shared / 1e9:.2f} GB shared (images, imported weights), {found.episode / 1e9:.2f} GB an "
        "episode",
        f"on a GPU of {memory:g} GB {room}; --finetune.episodes-at-once is {config.finetune.episodes_at_once}",
        f"time: {seconds:,.0f} s an episode at {speed / 1e12:.0f} TFLOP/s ({REACHED:.0%} of an A100's peak in {dtype})",
        f"the run: {found.episodes:,} episodes, {found.episodes * seconds / 3600:,.1f} hours one after another",
    ]
