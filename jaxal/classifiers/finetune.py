"""The classifier that trains the whole network at every step: the paper's own, beside `linear_probe`.

A fit takes minibatches from the labelled images by index, so padding enters neither a loss nor a batch normalisation.
After it, all rows are predicted and the pool's geometry is computed anew, since its latents have moved. The head works
on latents as they are (no standardisation) and starts at zero, so that `learning_rate` means what it means for a
linear layer on a ResNet; with the head alone trained and `batch_norm` frozen, this is `linear_probe` with `adam` on
raw latents.
"""

import math
from typing import Any, NamedTuple, Protocol

import chex
import dm_pix
import jax
import jax.numpy as jnp
import optax

from jaxal.classifiers.classifier import Classifier, Fitted, Labelled
from jaxal.config import Config, FinetuneConfig, SettingError
from jaxal.data.dataset import Images
from jaxal.data.noise import zoom_and_rotate
from jaxal.encoders import Encoder, Variables, make_encoder
from jaxal.tasks import distances
from jaxal.tasks.distances import Distance
from jaxal.tasks.task import Needs, Task, masked_logits

LARGEST_TURN = math.pi / 12  # of augmentation, in radians


class Network(NamedTuple):
    """What a training step changes."""

    trained: Any  # parameters that are trained
    batch_stats: Any  # running statistics of the batch normalisations
    optimiser: optax.OptState


class Start(Protocol):
    """How a network begins."""

    def __call__(self, images: Images, classes: int) -> Network:
        """The imported weights, with a head of zeros."""
        ...


class TrainingStep(Protocol):
    """How a network is trained."""

    def __call__(
        self, images: Images, network: Network, pixels: jax.Array, labels: jax.Array, class_mask: jax.Array
    ) -> tuple[Network, jax.Array]:
        """One update on a minibatch: the network, and the mean cross-entropy [] before it.

        Pixels [b, H, W, channels] are uint8, or float32 on the same scale; labels are [b], and the class mask is [C].
        """
        ...


class PredictRows(Protocol):
    """How many rows are predicted."""

    def __call__(self, images: Images, network: Network, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Rows [n] int32 of the images -> latents [n, D] and logits [n, C], block by block."""
        ...


class Training(NamedTuple):
    """Pure functions on a network; `make_training` captures the settings."""

    train_mode: frozenset[str]  # parts whose batch normalisation is trained; all others run in evaluation mode
    start: Start
    step: TrainingStep
    predict: PredictRows


def make_training(config: FinetuneConfig, encoder: Encoder) -> Training:
    """One training step, and the prediction of many rows.

    Raises:
      ValueError: one line, when the encoder has nothing to train, or no part of the name in `config.trained`.
    """
    if encoder.latent_size is None:
        raise ValueError(f"encoder {encoder.name} has nothing to train; take a network, such as resnet50")
    parts = jax.eval_shape(encoder.init, jax.random.key(0))["params"].keys()
    if config.trained not in ("all", "head", *parts):
        fact = f"is {config.trained!r}; encoder {encoder.name} has no such part, so take all or head"
        raise SettingError("finetune", "trained", fact)
    train_mode = frozenset(part for part in parts if config.trained in ("all", part))
    train_mode = train_mode if config.batch_norm == "train" else frozenset()
    rate = optax.adam(config.learning_rate) if config.optimiser == "adam" else optax.sgd(config.learning_rate)
    decay = optax.add_decayed_weights(config.weight_decay) if config.weight_decay else optax.identity()
    optimiser = optax.chain(decay, rate)

    def start(images: Images, classes: int) -> Network:
        params = images.variables["params"]
        width = encoder.latent_size
        trained = {part: value for part, value in params.items() if config.trained in ("all", part)}
        trained["head"] = {"kernel": jnp.zeros((width, classes)), "bias": jnp.zeros(classes)}
        return Network(trained, images.variables["batch_stats"], optimiser.init(trained))

    def variables(images: Images, trained: Any, batch_stats: Any) -> Variables:
        return {"params": images.variables["params"] | trained, "batch_stats": batch_stats}

    def step(
        images: Images, network: Network, pixels: jax.Array, labels: jax.Array, class_mask: jax.Array
    ) -> tuple[Network, jax.Array]:
        def loss(trained: Any) -> tuple[jax.Array, Any]:
            inputs = encoder.normalise(pixels)
            encoding = encoder.apply(variables(images, trained, network.batch_stats), inputs, train=train_mode)
            assert encoding.logits is not None
            logits = jnp.where(class_mask, encoding.logits, -1e9)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return jnp.mean(losses), encoding.batch_stats

        (value, stats), gradients = jax.value_and_grad(loss, has_aux=True)(network.trained)
        updates, state = optimiser.update(gradients, network.optimiser, network.trained)
        return Network(optax.apply_updates(network.trained, updates), stats, state), value

    def predict(images: Images, network: Network, rows: jax.Array) -> tuple[jax.Array, jax.Array]:
        blocks = jnp.pad(rows, (0, -len(rows) % config.block)).reshape(-1, config.block)
        known = variables(images, network.trained, network.batch_stats)

        def block(rows: jax.Array) -> tuple[jax.Array, jax.Array | None]:
            encoding = encoder.apply(known, encoder.normalise(jnp.asarray(images.pixels)[rows]))
            return encoding.latents, encoding.logits

        join = lambda x: x.reshape(-1, x.shape[-1])[: len(rows)]
        return jax.tree.map(join, jax.lax.map(block, blocks))

    return Training(train_mode, start, step, predict)


def trainable_encoder(config: Config, platform: str | None = None) -> Encoder:
    """The encoder that the config names, made to be trained on a platform ("cpu", "gpu", ...; None: the present).

    Raises:
      SettingError: when the config names none.
    """
    if not config.inputs.encoder:
        fact = "is 'finetune', which trains an encoder of images; name an encoder, such as resnet50"
        raise SettingError("environment", "classifier", fact)
    options: dict[str, Any] = dict(config.inputs.encoder_options)
    if config.finetune.recompute:
        options["recompute"] = True
    if config.inputs.encoder != "pixels" and (platform or jax.default_backend()) == "cpu":
        options["in_loop"] = True
    return make_encoder(config.inputs.encoder, **options)


def finetune(config: FinetuneConfig, encoder: Encoder, distance: Distance) -> Classifier:
    """A classifier whose parameters and batch statistics are trained at every step (paper, sections 3.1 and 4.2).

    Its model is the network where the next fit goes on; None where every fit starts afresh.

    Args:
      config: the settings of a fit.
      encoder: the network; its weights come with the task's images.
      distance: between latents.

    Raises:
      ValueError: see `make_training`.
    """
    training = make_training(config, encoder)

    def init(task: Task, slots: int) -> Fitted:
        del slots
        rows, classes, pool = sum(task.shape), task.class_mask.shape[-1], len(task.pool_labels)
        network = None if config.restart else training.start(_images(task), classes)
        latents = jnp.zeros((pool, encoder.latent_size))
        return Fitted(masked_logits(task, jnp.zeros((rows, classes))), task.geometry, network, latents)

    def fit(task: Task, fitted: Fitted, labelled: Labelled, start: jax.Array, size: int, key: chex.PRNGKey) -> Fitted:
        del start, size
        images = _images(task)
        classes = task.class_mask.shape[-1]
        begin = training.start(images, classes) if config.restart else fitted.model
        order_key, augment_key = jax.random.split(key)

        def step(update: jax.Array, network: Network) -> Network:
            slots = minibatch(order_key, labelled.mask, config.minibatch, update)
            rows = labelled.rows[slots]
            pixels = jnp.asarray(images.pixels)[task.image_rows[rows]]
            if config.augment:
                pixels = augment(jax.random.fold_in(augment_key, update), pixels)
            return training.step(images, network, pixels, task.pool_labels[rows], task.class_mask)[0]

        updates = config.epochs * updates_per_epoch(jnp.sum(labelled.mask), config.minibatch)
        network = jax.lax.fori_loop(0, updates, step, begin)
        latents, logits = training.predict(images, network, task.image_rows)
        pool = latents[: len(task.pool_labels)]
        near = distances.pairwise(distance, pool[labelled.rows], pool)
        geometry = distances.extend(distances.geometry(distance, pool, task.pool_mask), near, labelled.mask)
        return Fitted(masked_logits(task, logits), geometry, None if config.restart else network, pool)

    def mark_pending(task: Task, fitted: Fitted, picks: Labelled) -> Fitted:
        del task
        assert fitted.latents is not None, "a fit of this classifier gives latents"
        added = distances.pairwise(distance, fitted.latents[picks.rows], fitted.latents)
        return fitted._replace(geometry=distances.extend(fitted.geometry, added, picks.mask))

    return Classifier(init, fit, mark_pending, Needs(gram=False, raw=True, images=True), config.episodes_at_once)


def updates_per_epoch(count: jax.Array, size: int) -> jax.Array:
    """Minibatches of `size` that show each of `count` [] labelled images at least once."""
    return -(-count // size)


def minibatch(key: chex.PRNGKey, mask: jax.Array, size: int, update: jax.Array) -> jax.Array:
    """Slots of the labelled images in one minibatch: [b] int32.

    Every epoch goes through the labelled images in a random order of its own, and the last minibatch of an epoch is
    filled up from the beginning of that order. Unused slots have no influence at all, neither by their number nor by
    their places.

    Args:
      key: decides the order of all epochs; not consumed.
      mask: [B] bool, slots that hold a labelled image; at least one does.
      size: b, images in it.
      update: [] int32, number of the minibatch since the fit began.
    """
    count = jnp.sum(mask)
    per_epoch = updates_per_epoch(count, size)
    epoch_key = jax.random.fold_in(key, update // per_epoch)
    places = jnp.arange(len(mask))
    turns = jax.vmap(lambda place: jax.random.uniform(jax.random.fold_in(epoch_key, place)))(places)
    shuffled = jnp.argsort(jnp.where(places < count, turns, jnp.inf))
    wanted = (update % per_epoch * size + jnp.arange(size)) % count
    used_first = jnp.argsort(~mask, stable=True)
    return used_first[shuffled[wanted]]


def augment(key: chex.PRNGKey, pixels: jax.Array) -> jax.Array:
    """Images [b, H, W, channels] uint8, flipped left to right at random and turned by up to pi/12: float32, 0..255.

    Consumes the key.
    """

    def one(key: chex.PRNGKey, image: jax.Array) -> jax.Array:
        flip_key, turn_key = jax.random.split(key)
        flipped = dm_pix.random_flip_left_right(flip_key, image.astype(jnp.float32))
        angle = jax.random.uniform(turn_key, minval=-LARGEST_TURN, maxval=LARGEST_TURN)
        return zoom_and_rotate(jnp.asarray(flipped), jnp.ones(()), angle)

    return jax.vmap(one)(jax.random.split(key, len(pixels)), pixels)


def _images(task: Task) -> Images:
    assert task.images is not None, "a bank without images was given to a classifier that trains on them"
    return task.images
