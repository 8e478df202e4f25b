"""Fine-tuning: PyTorch's own steps, the linear probe as a special case, and nothing from padding."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from goldens.seeded import CASES, probe, training_batches, training_images
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torchvision_names import AXES, relative_error, seeded_variables, torchvision_names

from jaxal.classifiers.classifier import Labelled
from jaxal.classifiers.finetune import Network, augment, finetune, make_training, minibatch, updates_per_epoch
from jaxal.classifiers.linear_probe import linear_probe
from jaxal.config import EnvironmentConfig, FinetuneConfig, ProbeConfig, SettingError
from jaxal.data.dataset import Images
from jaxal.data.load import load
from jaxal.data.splits import Rows
from jaxal.encoders import make_encoder
from jaxal.encoders.encoder import from_module
from jaxal.encoders.layers import BatchNorm, Conv, conv_norm, convolve
from jaxal.mdp.environment import make_environment
from jaxal.mdp.episode import rollout
from jaxal.policies import hand_written
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Needs, Task, for_each, make_task, select

GOLDENS = Path(__file__).parent / "goldens"
EUCLIDEAN = DISTANCES["euclidean"]
IMAGES = Needs(gram=False, raw=True, images=True)
FAST = FinetuneConfig(epochs=3, learning_rate=1e-3, minibatch=4, block=32)
SLOTS = 12


class Layer(nn.Module):
    outputs: int

    @nn.compact
    def __call__(self, x, train: bool):
        product = partial(convolve, stride=2, padding=((1, 1), (1, 1)), in_loop=True)
        conv = Conv((3, 3, x.shape[-1], self.outputs), product, name="conv")
        return nn.relu(conv_norm(conv, BatchNorm(self.outputs, 1e-5, name="bn"), x, train))


class Small(nn.Module):
    """Two layers with batch normalisation, quick to compile."""

    @nn.compact
    def __call__(self, images, train: frozenset[str]):
        x = images
        for name, outputs in (("layer3", 4), ("layer4", 6)):
            x = Layer(outputs, name=name)(x, name in train)
        return x.mean((1, 2))


ENCODER = from_module(
    "small", Small(), 6, mean=(80.0,) * 3, std=(90.0,) * 3, weights="", variable_path=lambda name: None
)


@cache
def images_of_digits() -> tuple[Images, np.ndarray, np.ndarray]:
    """Digits 0..2 at 16 px, their labels, and the latents of the untrained encoder."""
    dataset = load("digits", images=True)
    rows = np.flatnonzero(dataset.labels < 3)[:120]
    pixels = np.repeat(dataset.inputs[rows], 3, -1).repeat(2, 1).repeat(2, 2)
    variables = ENCODER.init(jax.random.key(0))
    latents = ENCODER.apply(variables, ENCODER.normalise(jnp.asarray(pixels))).latents
    return Images(jnp.asarray(pixels), variables), dataset.labels[rows], np.asarray(latents)


def digits_rows() -> Rows:
    return Rows(*np.split(np.random.default_rng(0).permutation(120)[:100], [60, 70]))


def digits_task(needs: Needs = IMAGES, **options) -> Task:
    images, labels, latents = images_of_digits()
    bank = make_task(latents, labels, digits_rows(), distance=EUCLIDEAN, needs=needs, **options)
    return select(bank._replace(images=images), jnp.int32(0))


def labelled(places: list[int], slots: int = SLOTS) -> Labelled:
    """Pool rows 0, 1, 2, ... in the given slots."""
    rows, mask = np.zeros(slots, np.int32), np.zeros(slots, bool)
    rows[places], mask[places] = np.arange(len(places)), True
    return Labelled(jnp.asarray(rows), jnp.asarray(mask))


@partial(jax.jit, static_argnums=0)
def fit(config: FinetuneConfig, task: Task, chosen: Labelled, key, before=None):
    classifier = finetune(config, ENCODER, EUCLIDEAN)
    start = classifier.init(task, len(chosen.rows)) if before is None else before
    return classifier.fit(task, start, chosen, jnp.int32(0), 1, key)


# How far the parameters have moved says more than what they are; plain descent runs into kinks of the ReLUs.
@pytest.mark.parametrize(("name", "worst"), [("adam", 3e-4), ("sgd", 3e-3)])
def test_twenty_steps_equal_pytorchs(name, worst):
    golden = np.load(GOLDENS / "finetune.npz")
    encoder = make_encoder("resnet18", width=4, in_loop=name == "adam")
    training = make_training(FinetuneConfig(**CASES[name]), encoder)
    variables = seeded_variables(18, width=4, classes=3)
    images = Images(jnp.zeros((0, 32, 32, 3), jnp.uint8), variables)
    network = training.start(images, 3)
    network = Network(variables["params"], network.batch_stats, network.optimiser)
    names = torchvision_names(18)
    step = jax.jit(training.step)
    pixels, labels = training_images()

    def in_torch_layout(variables, part):
        found = {}
        for path, leaf in flatten_dict({part: variables}, sep="/").items():
            found[names[path]] = np.asarray(leaf).transpose(AXES[leaf.ndim])
        return [(key, found[key]) for key in sorted(found)]

    def probed(params):
        return np.concatenate([probe(key, x)[:8] for key, x in in_torch_layout(params, "params")])

    before = probed(network.trained)
    for i, rows in enumerate(training_batches()):
        network, loss = step(images, network, pixels[rows], labels[rows], jnp.ones(3, bool))
        assert abs(float(loss) / golden[f"{name}/loss"][i] - 1) < 3e-3
        statistics = np.concatenate([x for _, x in in_torch_layout(network.batch_stats, "batch_stats")])
        assert relative_error(statistics, golden[f"{name}/statistics"][i]) < 1e-3
        parameters, expected = probed(network.trained), golden[f"{name}/parameters"][i]
        assert relative_error(parameters, expected) < 1e-3
        assert relative_error(parameters - before, expected - before) < worst


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize(("optimiser", "solver"), [("sgd", "gd"), ("adam", "adam")])
def test_a_trained_head_on_a_frozen_encoder_is_the_linear_probe(optimiser, solver, restart):
    # Not 12 labels: a class with a third of them has a bias whose gradient is mere rounding, which Adam makes steps of.
    rates = {"epochs": 15, "learning_rate": 1e-2, "restart": restart}
    head = linear_probe(ProbeConfig(solver=solver, latents="raw", **rates), EUCLIDEAN)
    task, images = digits_task(head.needs), digits_task()
    tuned, probed = None, head.init(task, SLOTS)
    for start, size in ((0, 10), (10, 1)):
        count = start + size
        config = replace(FAST, optimiser=optimiser, trained="head", batch_norm="frozen", minibatch=count, **rates)
        chosen = labelled(list(range(count)))
        tuned = fit(config, images, chosen, jax.random.key(0), tuned)
        probed = jax.jit(head.fit, static_argnums=4)(task, probed, chosen, start, size, jax.random.key(0))
        assert np.ptp(np.asarray(probed.logits)) > 0.1
        np.testing.assert_allclose(tuned.logits, probed.logits, atol=2e-5)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=2e-3, atol=3e-3), tuned.geometry, probed.geometry)


@pytest.mark.slow
def test_padding_changes_no_bit():
    """As the compiler makes programs outside of the tests."""
    options = {"xla_cpu_use_fusion_emitters": True}
    exact = jax.jit(fit.__wrapped__, static_argnums=0, compiler_options=options)
    config = replace(FAST, restart=False)
    whole = digits_task()
    plain = exact(config, whole, labelled([0, 1, 2, 3, 4]), jax.random.key(1))
    gaps = exact(config, whole, labelled([0, 1, 2, 5, 6]), jax.random.key(1))
    longer = exact(config, whole, labelled([0, 1, 2, 3, 4], slots=30), jax.random.key(1))
    larger = exact(config, digits_task(shape=(75, 10, 45)), labelled([0, 1, 2, 3, 4]), jax.random.key(1))
    for other in (gaps, longer, larger):
        jax.tree.map(np.testing.assert_array_equal, plain.model, other.model)
    np.testing.assert_array_equal(plain.logits, gaps.logits)
    np.testing.assert_array_equal(plain.logits, longer.logits)
    np.testing.assert_allclose(plain.logits[:60], larger.logits[:60], atol=1e-6)
    np.testing.assert_allclose(plain.logits[60:], np.delete(larger.logits[75:], np.s_[40:], 0), atol=1e-6)
    np.testing.assert_allclose(plain.geometry.total, larger.geometry.total[:60], rtol=1e-4)


def test_classes_that_a_task_has_not_change_nothing():
    plain = fit(FAST, digits_task(), labelled([0, 1, 2, 3, 4]), jax.random.key(1))
    padded = fit(FAST, digits_task(classes=5), labelled([0, 1, 2, 3, 4]), jax.random.key(1))
    assert np.all(np.isneginf(padded.logits[:, 3:]))
    np.testing.assert_allclose(plain.logits, padded.logits[:, :3], atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.booleans(), min_size=20, max_size=20).filter(any), st.integers(0, 9), st.integers(1, 8))
def test_an_epoch_shows_every_labelled_image_and_no_other(mask, epoch, batch_size):
    mask = np.array(mask)
    per_epoch = int(updates_per_epoch(jnp.sum(mask), batch_size))
    draw = jax.jit(minibatch, static_argnums=2)
    updates = [draw(jax.random.key(3), mask, batch_size, epoch * per_epoch + i) for i in range(per_epoch)]
    seen = np.concatenate(updates)
    counts = np.bincount(seen, minlength=20)
    assert np.all(counts[~mask] == 0)
    assert np.all(counts[mask] >= 1)
    assert np.ptp(counts[mask]) <= 1  # wrapping round, not the same image again


def test_epochs_and_keys_differ():
    mask = jnp.ones(20, bool)
    one, two = (minibatch(jax.random.key(0), mask, 20, i) for i in range(2))
    other = minibatch(jax.random.key(1), mask, 20, 0)
    assert (one != two).any() and (one != other).any()
    np.testing.assert_array_equal(np.sort(one), np.arange(20))


def test_restart_forgets_and_continue_goes_on():
    task, few, more = digits_task(), labelled([0, 1, 2]), labelled([0, 1, 2, 3, 4])
    first = fit(FAST, task, few, jax.random.key(0))
    again = fit(FAST, task, more, jax.random.key(1), before=first)
    np.testing.assert_array_equal(again.logits, fit(FAST, task, more, jax.random.key(1)).logits)
    going = replace(FAST, restart=False)
    first = fit(going, task, few, jax.random.key(0))
    second = fit(going, task, more, jax.random.key(1), before=first)
    count = lambda fitted: int(fitted.model.optimiser[1][0].count)
    assert (count(first), count(second)) == (3, 3 + 3 * 2)
    assert np.abs(second.logits - fit(going, task, more, jax.random.key(1)).logits).max() > 1e-3


@pytest.mark.parametrize("trained", ["all", "layer4", "head"])
@pytest.mark.parametrize("batch_norm", ["train", "frozen"])
def test_what_is_trained_and_what_is_not(trained, batch_norm):
    config = replace(FAST, trained=trained, batch_norm=batch_norm, restart=False)
    images = images_of_digits()[0]
    network = fit(config, digits_task(), labelled([0, 1, 2, 3]), jax.random.key(0)).model
    parts = set(images.variables["params"]) if trained == "all" else {trained} - {"head"}
    assert network.trained.keys() == parts | {"head"}
    moved = lambda new, old: bool(np.any(new != old))
    for part in parts:
        assert any(jax.tree.leaves(jax.tree.map(moved, network.trained[part], images.variables["params"][part])))
    for part, statistics in jax.tree.map(moved, network.batch_stats, images.variables["batch_stats"]).items():
        in_train_mode = part in parts and batch_norm == "train"
        assert all(jax.tree.leaves(statistics)) if in_train_mode else not any(jax.tree.leaves(statistics))
    if trained == "head":
        fitted = fit(config, digits_task(), labelled([0, 1, 2, 3]), jax.random.key(0))
        np.testing.assert_allclose(fitted.latents, images_of_digits()[2][digits_rows().pool], atol=1e-6)


def test_geometry_is_that_of_the_new_latents():
    task, chosen = digits_task(), labelled([0, 1, 2, 3, 4])
    fitted = fit(FAST, task, chosen, jax.random.key(0))
    latents = np.asarray(fitted.latents, np.float64)
    assert np.abs(latents - images_of_digits()[2][digits_rows().pool]).max() > 1e-2  # they have moved
    distances = cdist(latents, latents)
    scale = distances.sum() / (60 * 59)
    np.testing.assert_allclose(fitted.geometry.total, distances.sum(1) / scale, rtol=1e-4)
    np.testing.assert_allclose(fitted.geometry.labelled_total, distances[:, :5].sum(1) / scale, atol=5e-3)
    np.testing.assert_allclose(fitted.geometry.nearest_labelled[5:], distances[5:, :5].min(1) / scale, rtol=1e-3)
    np.testing.assert_allclose(fitted.geometry.local_density, np.sort(distances)[:, 1:11].mean(1) / scale, rtol=1e-3)
    classifier = finetune(FAST, ENCODER, EUCLIDEAN)
    supposed = classifier.mark_pending(task, fitted, Labelled(jnp.array([7]), jnp.ones(1, bool))).geometry
    chosen = [0, 1, 2, 3, 4, 7]
    np.testing.assert_allclose(supposed.labelled_total, distances[:, chosen].sum(1) / scale, atol=5e-3)


def test_augmentation_flips_and_turns_by_key():
    pixels, moved_by = images_of_digits()[0].pixels[:40], jax.jit(augment)
    one, same, other = (np.asarray(moved_by(jax.random.key(k), pixels)) for k in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).mean() > 1
    assert one.shape == pixels.shape and one.min() >= 0 and one.max() < 255.001
    flat = jnp.full((3, 16, 16, 3), 77, jnp.uint8)
    np.testing.assert_allclose(moved_by(jax.random.key(2), flat), 77, atol=1e-3)
    side = np.zeros((64, 16, 16, 3), np.uint8)
    side[:, :, :3] = 200
    left = np.asarray(moved_by(jax.random.key(3), jnp.asarray(side)))[:, :, :8].mean((1, 2, 3))
    assert 16 < (left > 20).sum() < 48  # the others are flipped
    task, chosen = digits_task(), labelled([0, 1, 2, 3])
    plain, moved = (fit(replace(FAST, augment=a), task, chosen, jax.random.key(0)).logits for a in (False, True))
    assert np.abs(plain - moved).max() > 1e-4


@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (7, 2, 3), (5, 3, 0), (1, 2, 0)])
def test_a_product_of_patches_is_the_convolution(size, stride, padding):
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 11, 14, 3)), rng.normal(size=(size, size, 3, 4))
    pads = ((padding, padding + (size > 1)), (padding, padding))
    run = lambda x, kernel, in_loop: convolve(x, kernel, stride, pads, in_loop)
    for argument in (0, 1):
        gradients = [
            jax.grad(lambda *a, loop=loop: jnp.sum(jnp.sin(run(*a, loop))), argument)(
                jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32)
            )
            for loop in (False, True)
        ]
        np.testing.assert_allclose(*gradients, atol=2e-4)
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    ours = np.asarray(run(jnp.asarray(x, jnp.float32), jnp.asarray(kernel, jnp.float32), True))
    for row, column in ((0, 0), (1, 2), (ours.shape[1] - 1, ours.shape[2] - 1)):
        window = padded[:, row * stride :, column * stride :][:, :size, :size]
        np.testing.assert_allclose(ours[:, row, column], np.einsum("nijc,ijco->no", window, kernel), atol=1e-4)


@pytest.mark.slow
def test_recomputation_and_bfloat16():
    task = digits_task()

    def logits(**options):
        encoder = make_encoder("resnet18", width=2, **options)
        training = make_training(FAST, encoder)
        images = task.images._replace(variables=encoder.init(jax.random.key(0)))
        labels, network = task.pool_labels[:8], training.start(images, 3)
        for _ in range(2):
            network, _ = jax.jit(training.step)(images, network, images.pixels[:8], labels, task.class_mask)
        latents, logits = jax.jit(training.predict)(images, network, jnp.arange(40))
        assert {x.dtype for x in jax.tree.leaves((network.trained, latents, logits))} == {jnp.dtype("float32")}
        return logits

    plain = logits()
    np.testing.assert_allclose(plain, logits(recompute=True), atol=1e-4)
    rough = logits(dtype="bfloat16")
    assert 0 < np.abs(plain - rough).max() < 0.5


@pytest.mark.usefixtures("vmapped_keys")
@pytest.mark.slow
def test_episodes_side_by_side_equal_one_after_another():
    environment = make_environment(EnvironmentConfig(budget=7, batch=2), finetune(FAST, ENCODER, EUCLIDEAN), 3, 2)
    task = digits_task()

    def episode(key):
        return rollout(
            environment,
            hand_written.k_center,
            task,
            environment.initial_set(task, key),
            key,
            sequential=jnp.asarray(True),
            record_first=lambda state: state.value,
            record=lambda step: (step.picks, step.state.labelled, step.reward, step.before, step.after),
        )[1]

    keys = jax.random.split(jax.random.key(0), 3)
    single, pairs = (jax.jit(for_each(episode, (0,), at_once))(keys) for at_once in (1, 2))
    picks, after, *_ = single
    np.testing.assert_array_equal(picks, pairs[0])
    # A point's distance to itself is the square root of a rounding error.
    jax.tree.map(partial(np.testing.assert_allclose, atol=5e-3), single, pairs)
    for rows, mask in zip(after.rows[:, -1], after.mask[:, -1], strict=True):
        assert len(set(np.asarray(rows)[np.asarray(mask)].tolist())) == 7
    for leaf in jax.tree.leaves(single):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize("at_once", [None, 1, 2, 3])
def test_for_each_is_vmap(at_once):
    function = lambda tree, shared, number: (tree["own"] * number + shared + tree["common"].sum(), number)
    tree = {"own": jnp.arange(10.0).reshape(5, 2), "common": jnp.ones(3)}
    axes = ({"own": 0, "common": None}, None, 0)
    arguments = (tree, jnp.arange(2.0), jnp.arange(5.0))
    expected = jax.vmap(function, axes)(*arguments)
    jax.tree.map(np.testing.assert_array_equal, for_each(function, axes, at_once)(*arguments), expected)


@pytest.mark.parametrize(
    ("encoder", "trained", "message"),
    [
        ("pixels", "all", "encoder pixels has nothing to train"),
        ("efficientnet-lite0", "layer4", "trained is 'layer4'; encoder efficientnet-lite0 has no such part"),
    ],
)
def test_what_cannot_be_trained(encoder, trained, message):
    with pytest.raises((ValueError, SettingError), match=message):
        make_training(FinetuneConfig(trained=trained), make_encoder(encoder))
