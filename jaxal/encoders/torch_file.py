"""Tensors out of PyTorch's files, without PyTorch and without running anything the file asks for.

Both layouts of `torch.save` hold a pickle that describes the tensors (see `torch_pickle`), and raw bytes.
"""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxal.encoders.torch_pickle import STATE_DICT_HINT, Tensor, WeightsError, interpret, is_name

# What damaged bytes can raise in zipfile, in pickletools and in the code below; RecursionError is a RuntimeError.
_MALFORMED = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, struct.error),
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, MemoryError),
)

# The numbers that open the old layout, in their pickled form; then come platform and state dict.
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_OLD_PROTOCOL = 1001


def _view(tensor: Tensor, raw: bytes, key: str) -> np.ndarray:
    """The tensor's numbers, a view of `raw` where possible."""
    storage = tensor.storage
    expected = storage.size * storage.dtype.itemsize
    if len(raw) != expected:
        raise WeightsError(f"{key} has {len(raw)} bytes stored where {expected} are announced; fetch it again")
    strides = [stride * storage.dtype.itemsize for stride in tensor.strides]
    numbers = np.frombuffer(raw, storage.dtype)[tensor.offset :]
    return np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides, writeable=False)


def _state_dict(value: Any) -> dict[str, Tensor]:
    """The tensors in what a file holds: a state dict, or a checkpoint with one inside, its name before theirs."""
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
    if not isinstance(value, dict):
        raise WeightsError(f"it holds a {type(value).__name__}, not a state dict; {STATE_DICT_HINT}")
    tensors = {key: item for key, item in value.items() if isinstance(item, Tensor)}
    inner = {key: item for key, item in value.items() if isinstance(item, dict)}
    if not tensors:  # under another name, such as net or student
        named = ((f"{key}.{name}", item) for key, own in inner.items() for name, item in own.items())
        tensors = {name: item for name, item in named if isinstance(item, Tensor)}
    if not tensors:
        raise WeightsError(f"it holds no tensors; {STATE_DICT_HINT}")
    if not all(map(is_name, tensors)):
        raise WeightsError(f"a tensor's name is overlong or cannot be printed; {STATE_DICT_HINT}")
    return tensors


def _read_zip(path: Path) -> dict[str, np.ndarray]:
    """The layout since PyTorch 1.6: a zip of `NAME/data.pkl` and a member `NAME/data/KEY` per storage."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        for name, member in members.items():
            if name.startswith("/") or ".." in Path(name).parts:
                raise WeightsError(f"its member {name[:100]!r} points outside the archive")
            if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
                raise WeightsError(f"its member {name[:100]!r} is compressed, which torch.save never does")
        if sum(member.file_size for member in members.values()) > path.stat().st_size:
            raise WeightsError("its members are larger than the file; fetch it again")
        pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise WeightsError(f"it is a zip without the data.pkl of a PyTorch file; {STATE_DICT_HINT}")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
            raise WeightsError("it was written on a big-endian machine; write it again on an ordinary one")
        tensors = _state_dict(interpret(io.BytesIO(archive.read(pickles[0])), {}))
        raw: dict[str, bytes] = {}
        for stored, key in {tensor.storage.key: key for key, tensor in tensors.items()}.items():
            if f"{root}data/{stored}" not in members:
                raise WeightsError(f"{key} has no stored numbers (data/{stored} is missing); fetch it again")
            raw[stored] = archive.read(f"{root}data/{stored}")
        return {key: _view(tensor, raw[tensor.storage.key], key) for key, tensor in tensors.items()}


def _read_old(data: bytes) -> dict[str, np.ndarray]:
    """The layout before PyTorch 1.6: five pickles, then for each storage its count and its bytes."""
    stream, storages = io.BytesIO(data), {}
    if interpret(stream, {}) != _OLD_MAGIC or interpret(stream, {}) != _OLD_PROTOCOL:
        raise WeightsError(f"it is not a PyTorch file; {STATE_DICT_HINT}")
    platform = interpret(stream, {})
    if not isinstance(platform, dict) or platform.get("little_endian") is not True:
        raise WeightsError("it was written on a big-endian machine; write it again on an ordinary one")
    tensors = _state_dict(interpret(stream, storages))
    order = interpret(stream, {})
    if not isinstance(order, list) or not all(map(is_name, order)) or sorted(order) != sorted(storages):
        raise WeightsError("its list of storages does not match its tensors; fetch it again")
    raw: dict[str, bytes] = {}
    for key in order:
        (count,) = struct.unpack("<q", stream.read(8).ljust(8, b"\xff"))
        if count != storages[key].size:
            raise WeightsError(f"storage {key} announces {count} numbers, not {storages[key].size}; fetch it again")
        raw[key] = stream.read(count * storages[key].dtype.itemsize)
    return {key: _view(tensor, raw[tensor.storage.key], key) for key, tensor in tensors.items()}


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Name -> array (its own shape and dtype, read-only) of the state dict in a `.pth`, `.pt` or `.bin` file.

    Both of PyTorch's layouts; a checkpoint that holds its state dict under `state_dict`, `model_state_dict`, `model`
    or another name will do. Raises WeightsError for a file that is damaged, is something else, or names any
    callable but those that rebuild tensors (nothing is run), and OSError if it cannot be opened.
    """
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        data = path.read_bytes()
        if data[:2] == b"PK":
            raise WeightsError("it is a zip archive that was cut short; fetch it again")
        if data[:1] != b"\x80":  # the opcode that every pickle since protocol 2 starts with
            raise WeightsError(f"it is not a PyTorch file; {STATE_DICT_HINT}")
        return _read_old(data)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except _MALFORMED as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:100]
        raise WeightsError(f"{path}: it is damaged ({reason}); fetch it again") from error
