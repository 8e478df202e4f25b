"""Tensors out of PyTorch's files, without PyTorch and without running anything the file asks for.

Both layouts of `torch.save` hold a pickle that describes the tensors, and raw bytes. A pickle is a program; the
standard unpickler calls whatever functions it names. `_interpret` below is a small reader of its own instead: it
knows some thirty opcodes that build plain values, and for the few callables that a state dict needs it builds a
plain record. A file that names anything else is refused. Nothing is imported, called or allocated on its word.
A value may hold another many times over, hence nothing is compared, multiplied or shown before it is checked.
"""

import io
import math
import pickletools
import struct
import zipfile
from collections.abc import Callable, Iterable, Sized
from pathlib import Path
from typing import Any, NamedTuple, cast

import ml_dtypes
import numpy as np


class WeightsError(ValueError):
    """Weights that cannot be used; the first line says which file, what is wrong, what would be right."""


_DTYPES: dict[str, np.dtype] = {
    f"torch.{name}Storage": np.dtype(dtype)
    for name, dtype in {
        "Float": "<f4",
        "Double": "<f8",
        "Half": "<f2",
        "BFloat16": ml_dtypes.bfloat16,
        "Long": "<i8",
        "Int": "<i4",
        "Short": "<i2",
        "Char": "i1",
        "Byte": "u1",
        "Bool": "?",
    }.items()
}

_STATE_DICT_HINT = "save it again with torch.save(model.state_dict(), FILE), or as .safetensors"

# What damaged bytes can raise in zipfile, in pickletools and in the code below; RecursionError is a RuntimeError.
_MALFORMED = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, EOFError, struct.error),
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, MemoryError),
)

# The numbers that open the old layout, in their pickled form; then come platform and state dict.
_OLD_MAGIC = 0x1950A86A20F9469CFC6C
_OLD_PROTOCOL = 1001

_STEPS = 1_000_000  # per pickle; a state dict takes some fifty opcodes a tensor
_LONGEST_NAME = 200
_LONGEST_KEY = 1000
_MOST_DIMENSIONS = 8


class _Global(NamedTuple):
    """A callable that the pickle names; it stays a name."""

    name: str


class _Storage(NamedTuple):
    """A run of `count` numbers of one type, somewhere in the file."""

    key: str
    dtype: np.dtype
    count: int


class _Tensor(NamedTuple):
    """A strided view of a storage; strides and offset count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def is_name(value: Any) -> bool:
    """Whether the value can stand in a message: a short, printable string."""
    return isinstance(value, str) and len(value) <= _LONGEST_NAME and value.isprintable()


def _sizes(values: Any) -> tuple[int, ...]:
    few = isinstance(values, tuple | list) and len(values) <= _MOST_DIMENSIONS
    if not few or not all(type(n) is int and 0 <= n < 2**63 for n in values):
        raise WeightsError("a tensor of impossible shape, strides or offset; fetch it again")
    return tuple(values)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    (offset,), shape, strides = _sizes([offset]), _sizes(shape), _sizes(strides)
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise WeightsError("a tensor without a storage or with too few strides; fetch it again")
    size = math.prod(shape)
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    # A view may skip or share numbers, but one larger than what it looks at could be made absurdly large.
    if size and (last >= storage.count or size > storage.count):
        raise WeightsError(f"a tensor of shape {shape} reaches beyond its {storage.count} stored numbers")
    return _Tensor(storage, offset, shape, strides)


def _dict(pairs: Any) -> dict[Any, Any]:
    # Only names lead to tensors. Other keys are dropped unhashed: tuples nested a million deep would end the process,
    # numbers can be chosen to collide, and long strings to be compared over and over.
    pairs = [(key, value) for key, value in pairs if isinstance(key, str)]
    if any(len(key) > _LONGEST_KEY for key, _ in pairs):
        raise WeightsError(f"a dictionary's keys are overlong; {_STATE_DICT_HINT}")
    return dict(pairs)


_ALLOWED: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": lambda pairs=(): _dict(pairs),
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda data, *_: data,
    "torch.Size": _sizes,
}


def _named(module: Any, name: Any) -> _Global:
    full = f"{module}.{name}" if is_name(module) and is_name(name) else "something"
    if full in _ALLOWED or full in _DTYPES:
        return _Global(full)
    raise WeightsError(f"its pickle names {full[:100]}, which no state dict needs; nothing was run; {_STATE_DICT_HINT}")


def _storage(identity: Any) -> _Storage:
    if isinstance(identity, tuple) and len(identity) == 6 and identity[5] is None:
        identity = identity[:5]
    match identity:
        case ("storage", _Global(name), key, str(), int(count)) if name in _DTYPES:
            if is_name(key) and 0 <= count < 2**63:
                return _Storage(key, _DTYPES[name], count)
    raise WeightsError(f"a storage is described in a way that is not known; {_STATE_DICT_HINT}")


def _interpret(stream: io.BytesIO, storages: dict[str, _Storage]) -> Any:
    """The value of the pickle at the stream's position, which moves behind its end; fills `storages`."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[str, Any] = {}  # numbers as keys could be chosen to collide
    steps = 0

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    def set_items(items: list[Any]) -> None:
        stack[-1].update(_dict(zip(items[::2], items[1::2], strict=True)))

    opcodes = cast(Iterable[Any], pickletools.genops(stream))  # each opcode has its own type of argument
    for opcode, argument, _ in opcodes:
        steps += 1
        if steps > _STEPS:
            raise WeightsError(f"its pickle is longer than that of any state dict; {_STATE_DICT_HINT}")
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(argument)
            case "BINUNICODE" | "SHORT_BINUNICODE" | "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument)
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[opcode.name]())
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = stack[-int(opcode.name[-1]) :]
                del stack[-len(items) :]
                stack.append(tuple(items))
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = since_mark()
                stack[-1].extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                set_items([key, value])
            case "SETITEMS":
                set_items(since_mark())
            case "BINPUT" | "LONG_BINPUT":
                memo[str(argument)] = stack[-1]
            case "MEMOIZE":
                memo[str(len(memo))] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[str(argument)])
            case "GLOBAL":
                stack.append(_named(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_named(module, name))
            case "BINPERSID":
                storage = _storage(stack.pop())
                if storages.setdefault(storage.key, storage) != storage:
                    raise WeightsError(f"storage {storage.key} is described in two ways; fetch it again")
                stack.append(storage)
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                steps += len(arguments) + sum(len(item) for item in arguments if isinstance(item, Sized))
                stack.append(_ALLOWED[function.name](*arguments))
            case "BUILD":
                stack.pop()  # attributes of a state dict (its format version), which nothing here reads
            case name:
                raise WeightsError(f"its pickle uses {name}, which no state dict needs; {_STATE_DICT_HINT}")
    raise WeightsError("its pickle ends too early")


def _view(tensor: _Tensor, raw: bytes, key: str) -> np.ndarray:
    """The tensor's numbers, a view of `raw` where possible."""
    storage = tensor.storage
    expected = storage.count * storage.dtype.itemsize
    if len(raw) != expected:
        raise WeightsError(f"{key} has {len(raw)} bytes stored where {expected} are announced; fetch it again")
    strides = [stride * storage.dtype.itemsize for stride in tensor.strides]
    numbers = np.frombuffer(raw, storage.dtype)[tensor.offset :]
    return np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides, writeable=False)


def _state_dict(value: Any) -> dict[str, _Tensor]:
    """The tensors in what a file holds: a state dict, or a checkpoint with one inside."""
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
    if not isinstance(value, dict):
        raise WeightsError(f"it holds a {type(value).__name__}, not a state dict; {_STATE_DICT_HINT}")
    tensors = {key: item for key, item in value.items() if isinstance(key, str) and isinstance(item, _Tensor)}
    if not tensors:
        raise WeightsError(f"it holds no tensors; {_STATE_DICT_HINT}")
    if not all(map(is_name, tensors)):
        raise WeightsError(f"a tensor's name is overlong or cannot be printed; {_STATE_DICT_HINT}")
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
            raise WeightsError(f"it is a zip without the data.pkl of a PyTorch file; {_STATE_DICT_HINT}")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
            raise WeightsError("it was written on a big-endian machine; write it again on an ordinary one")
        tensors = _state_dict(_interpret(io.BytesIO(archive.read(pickles[0])), {}))
        raw: dict[str, bytes] = {}
        for stored, key in {tensor.storage.key: key for key, tensor in tensors.items()}.items():
            if f"{root}data/{stored}" not in members:
                raise WeightsError(f"{key} has no stored numbers (data/{stored} is missing); fetch it again")
            raw[stored] = archive.read(f"{root}data/{stored}")
        return {key: _view(tensor, raw[tensor.storage.key], key) for key, tensor in tensors.items()}


def _read_old(data: bytes) -> dict[str, np.ndarray]:
    """The layout before PyTorch 1.6: five pickles, then for each storage its count and its bytes."""
    stream, storages = io.BytesIO(data), {}
    if _interpret(stream, {}) != _OLD_MAGIC or _interpret(stream, {}) != _OLD_PROTOCOL:
        raise WeightsError(f"it is not a PyTorch file; {_STATE_DICT_HINT}")
    platform = _interpret(stream, {})
    if not isinstance(platform, dict) or platform.get("little_endian") is not True:
        raise WeightsError("it was written on a big-endian machine; write it again on an ordinary one")
    tensors = _state_dict(_interpret(stream, storages))
    order = _interpret(stream, {})
    if not isinstance(order, list) or not all(map(is_name, order)) or sorted(order) != sorted(storages):
        raise WeightsError("its list of storages does not match its tensors; fetch it again")
    raw: dict[str, bytes] = {}
    for key in order:
        (count,) = struct.unpack("<q", stream.read(8).ljust(8, b"\xff"))
        if count != storages[key].count:
            raise WeightsError(f"storage {key} announces {count} numbers, not {storages[key].count}; fetch it again")
        raw[key] = stream.read(count * storages[key].dtype.itemsize)
    return {key: _view(tensor, raw[tensor.storage.key], key) for key, tensor in tensors.items()}


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Name -> array (its own shape and dtype, read-only) of the state dict in a `.pth`, `.pt` or `.bin` file.

    Both of PyTorch's layouts; a checkpoint that holds its state dict under `state_dict`, `model_state_dict`
    or `model` will do. Raises WeightsError for a file that is damaged, is something else, or names any
    callable but those that rebuild tensors (nothing is run), and OSError if it cannot be opened.
    """
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        data = path.read_bytes()
        if data[:2] == b"PK":
            raise WeightsError("it is a zip archive that was cut short; fetch it again")
        if data[:1] != b"\x80":  # the opcode that every pickle since protocol 2 starts with
            raise WeightsError(f"it is not a PyTorch file; {_STATE_DICT_HINT}")
        return _read_old(data)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    except _MALFORMED as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:100]
        raise WeightsError(f"{path}: it is damaged ({reason}); fetch it again") from error
