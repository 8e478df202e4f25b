"""Weights that only need renaming: anything before the names, any head behind; what is wrong stays wrong."""

import os

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file
from test_weights import TINY, as_zip, one_line, tensor_pickle, torchvision_state, transformers_name

from jaxal.encoders import make_encoder
from jaxal.encoders.torch_pickle import WeightsError
from jaxal.encoders.weights import load_weights

BODY = {name: array for name, array in torchvision_state(18).items() if not name.startswith("fc.")}
PLAIN = torchvision_state(18)


def loaded(tmp_path, tensors: dict[str, np.ndarray], encoder=TINY):
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, tmp_path / "x.safetensors")
    return load_weights(encoder, tmp_path / "x.safetensors")


def prefixed(prefix: str, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{prefix}{name}": array for name, array in tensors.items()}


def same(one, other) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture
def body(tmp_path):
    return loaded(tmp_path, BODY).variables


@pytest.mark.parametrize(
    "prefix", ["module.", "encoder.", "backbone.", "model.", "module.model.backbone.", "net.0.", "a.b.c.d."]
)
def test_any_common_prefix(tmp_path, prefix):
    weights = loaded(tmp_path, prefixed(prefix, PLAIN))
    same(weights.variables, loaded(tmp_path, PLAIN).variables)
    assert weights.notices == ()
    transformers = {transformers_name(name): array for name, array in PLAIN.items()}
    same(loaded(tmp_path, prefixed(prefix, transformers)).variables, weights.variables)


def test_a_prefix_before_a_bottleneck_and_another_encoder(tmp_path):
    state = torchvision_state(50)
    encoder = make_encoder("resnet50", width=1)
    same(loaded(tmp_path, prefixed("trunk.", state), encoder).variables, loaded(tmp_path, state, encoder).variables)


HEADS = {
    "several layers": {"fc.0.weight": (6, 8), "fc.0.bias": (6,), "fc.3.weight": (5, 6), "fc.3.bias": (5,)},
    "with normalisation": {"fc.0.weight": (8,), "fc.0.bias": (8,), "fc.1.weight": (4, 8), "fc.2.weight": (3, 4)},
    "a projection": {"projector.0.weight": (16, 8), "projector.2.weight": (4, 16)},
    "without a bias": {"classifier.weight": (5, 8)},
    "weights of a loss": {"criterion.weight": (5,)},
}  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "model.backbone."])
@pytest.mark.parametrize("case", HEADS)
def test_heads_of_several_layers_are_left_out_and_named(tmp_path, body, case, prefix):
    extra = {name: np.ones(shape, np.float32) for name, shape in HEADS[case].items()}
    weights = loaded(tmp_path, prefixed(prefix, BODY) | extra)
    same(weights.variables, body)
    told, without = weights.notices
    assert f"layers behind or beside the encoder left out: {next(iter(extra)).rpartition('.')[0]}" in told
    assert "no classification head; latents only" in without


@pytest.mark.parametrize("name", ["model.head", "classifier.3", "model.backbone.last"])
def test_a_single_linear_layer_is_the_head_whatever_it_is_called(tmp_path, name):
    kernel, bias = np.arange(40, dtype=np.float32).reshape(5, 8), np.arange(5, dtype=np.float32)
    weights = loaded(tmp_path, prefixed("model.backbone.", BODY) | {f"{name}.weight": kernel, f"{name}.bias": bias})
    np.testing.assert_array_equal(weights.variables["params"]["head"]["kernel"], kernel.T)
    np.testing.assert_array_equal(weights.variables["params"]["head"]["bias"], bias)
    assert "5 classes, not 1000" in weights.notices[0]


STRANGE = {
    "a convolution behind the encoder": {"head.0.weight": (4, 8, 1, 1)},
    "a matrix that takes no latents": {"neck.weight": (4, 7)},
    "a tensor inside of the encoder": {"layer1.0.gate.weight": (1, 1)},
    "another stage": {"layer5.0.conv1.weight": (1, 2, 3, 3)},
    "a scale in a block": {"layer2.0.scale": (2,)},
}


@pytest.mark.parametrize("prefix", ["", "encoder."])
@pytest.mark.parametrize("case", STRANGE)
def test_what_is_part_of_another_network_is_listed(tmp_path, case, prefix):
    extra = {f"{prefix}{name}": np.ones(shape, np.float32) for name, shape in STRANGE[case].items()}
    with pytest.raises(WeightsError) as error:
        loaded(tmp_path, prefixed(prefix, BODY) | extra)
    first, line = str(error.value).splitlines()
    assert "0 lacking or of another shape (-), 1 unknown (+)" in first
    assert line.strip().startswith(f"+ {next(iter(extra))} [")


def test_a_part_that_is_missing_is_listed_under_its_own_name(tmp_path):
    state = prefixed("module.", BODY)
    del state["module.layer3.1.bn2.running_mean"]
    with pytest.raises(WeightsError) as error:
        loaded(tmp_path, state)
    assert str(error.value).splitlines()[1:] == ["  - batch_stats/layer3/block1/bn2/mean [4]"]


def test_several_encoders_in_one_file_are_refused(tmp_path):
    both = prefixed("module.encoder_q.", BODY) | prefixed("module.encoder_k.", BODY)
    with pytest.raises(WeightsError, match=r"several resnet18s: module.encoder_k., module.encoder_q.; save") as error:
        loaded(tmp_path, both)
    one_line(error)


# ---- PyTorch's files ----


@pytest.mark.parametrize("name", ["model_best.pth.tar", "last.ckpt", "x.PTH", "checkpoint-0a1b2c3d-old.pth.tar"])
def test_endings_of_checkpoints(tmp_path, name):
    """A checkpoint of one tensor, found by PyTorch's reader: what it lacks is listed, its ending is not refused."""
    data = tensor_pickle(4, 0, (4,), (1,), name="module.bn1.weight")
    path = as_zip(tmp_path / name, data, {"x/data/0": bytes(16)})
    with pytest.raises(WeightsError, match="not the tensors of resnet18") as error:
        load_weights(TINY, path)
    assert "+ params/bn1/scale [4]" in str(error.value)


@pytest.mark.parametrize("key", ["net", "student", "state"])
def test_a_state_dict_under_another_name(tmp_path, key):
    inner = tensor_pickle(4, 0, (4,), (1,), name="bn1.weight")[2:-1]  # without its protocol and its end
    text = lambda value: b"X" + len(value).to_bytes(4, "little") + value.encode()
    data = b"\x80\x02}" + text("epoch") + b"K\x07s" + text(key) + inner + b"s."
    path = as_zip(tmp_path / "x.pth", data, {"x/data/0": bytes(16)})
    with pytest.raises(WeightsError) as error:
        load_weights(TINY, path)
    assert "+ params/bn1/scale [4]" in str(error.value)


# ---- what is not a file ----


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="not a regular file") as error:
        load_weights(TINY, tmp_path / "x.pth")
    one_line(error)


def test_a_file_that_is_far_too_large_is_not_read(tmp_path):
    with (tmp_path / "x.pth").open("wb") as file:
        file.truncate((1 << 33) + 1)
    with pytest.raises(WeightsError, match="larger than any weights"):
        load_weights(TINY, tmp_path / "x.pth")


def test_names_cannot_command_a_terminal(tmp_path):
    (tmp_path / "x\x1b[2J.pth").write_bytes(b"words")
    with pytest.raises(WeightsError) as error:
        load_weights(TINY, tmp_path / "x\x1b[2J.pth")
    assert r"x\x1b[2J.pth: it is not a PyTorch file" in one_line(error)
    assert str(error.value).isprintable()


def test_a_folder_of_other_shapes_is_refused_before_it_is_read(tmp_path, monkeypatch):
    from orbax.checkpoint import v1 as ocp

    from jaxal.encoders.weights import save_weights

    save_weights(tmp_path / "large", make_encoder("resnet18", width=2).init(jax.random.key(0)))
    monkeypatch.setattr(ocp, "load", None)
    with pytest.raises(WeightsError, match="not the tensors of resnet18: 100 lacking"):
        load_weights(TINY, tmp_path / "large")


def test_the_digest_of_the_file_is_known(tmp_path):
    import hashlib

    weights = loaded(tmp_path, PLAIN)
    assert weights.digest == hashlib.sha256((tmp_path / "x.safetensors").read_bytes()).hexdigest()
    assert load_weights(TINY, "random").digest == ""
