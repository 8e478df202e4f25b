"""The pickles in PyTorch's files, read without running anything that they ask for.

A pickle is a program; the standard unpickler calls whatever functions it names. `interpret` is a small reader of its
own instead: it knows some thirty opcodes that build plain values, and for the few callables that a state dict needs it
builds a plain record. A file that names anything else is refused. Nothing is imported, called or allocated on its word.
A value may hold another many times over, hence nothing is compared, multiplied or shown before it is checked.
"""

import io
import math
import pickletools
from collections.abc import Callable, Iterable, Sized
from typing import Any, NamedTuple, cast

import ml_dtypes
import numpy as np

from jaxal.data.wording import printable


class WeightsError(ValueError):
    """Weights that cannot be used.

    The first line says which file, what is wrong, what would be right; others may list it.
    """

    def __init__(self, *lines: str):
        self.lines = tuple(map(printable, lines))
        super().__init__("\n".join(self.lines))


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

STATE_DICT_HINT = "save it again with torch.save(model.state_dict(), FILE), or as .safetensors"

_STEPS = 1_000_000  # per pickle; a state dict takes some fifty opcodes a tensor
_LONGEST_NAME = 200
_LONGEST_KEY = 1000
_MOST_DIMENSIONS = 8


class _Global(NamedTuple):
    """A callable that the pickle names; it stays a name."""

    name: str


class Storage(NamedTuple):
    """A run of `size` numbers of one type, somewhere in the file."""

    key: str
    dtype: np.dtype
    size: int


class Tensor(NamedTuple):
    """A strided view of a storage; strides and offset count elements."""

    storage: Storage
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


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    (offset,), shape, strides = _sizes([offset]), _sizes(shape), _sizes(strides)
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise WeightsError("a tensor without a storage or with too few strides; fetch it again")
    size = math.prod(shape)
    last = offset + sum((length - 1) * stride for length, stride in zip(shape, strides, strict=True))
    # A view may skip or share numbers, but one larger than what it looks at could be made absurdly large.
    if size and (last >= storage.size or size > storage.size):
        raise WeightsError(f"a tensor of shape {shape} reaches beyond its {storage.size} stored numbers")
    return Tensor(storage, offset, shape, strides)


def _dict(pairs: Any) -> dict[Any, Any]:
    # Only names lead to tensors. Other keys are dropped unhashed: tuples nested a million deep would end the process,
    # numbers can be chosen to collide, and long strings to be compared over and over.
    pairs = [(key, value) for key, value in pairs if isinstance(key, str)]
    if any(len(key) > _LONGEST_KEY for key, _ in pairs):
        raise WeightsError(f"a dictionary's keys are overlong; {STATE_DICT_HINT}")
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
    raise WeightsError(f"its pickle names {full[:100]}, which no state dict needs; nothing was run; {STATE_DICT_HINT}")


def _storage(identity: Any) -> Storage:
    if isinstance(identity, tuple) and len(identity) == 6 and identity[5] is None:
        identity = identity[:5]
    match identity:
        case ("storage", _Global(name), key, str(), int(count)) if name in _DTYPES:
            if is_name(key) and 0 <= count < 2**63:
                return Storage(key, _DTYPES[name], count)
        case _:
            pass
    raise WeightsError(f"a storage is described in a way that is not known; {STATE_DICT_HINT}")


def interpret(stream: io.BytesIO, storages: dict[str, Storage]) -> Any:
    """The value of the pickle at the stream's position, which moves behind its end; fills `storages`.

    Raises WeightsError for what no state dict holds, and other errors where the bytes are damaged.
    """
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
            raise WeightsError(f"its pickle is longer than that of any state dict; {STATE_DICT_HINT}")
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
                raise WeightsError(f"its pickle uses {name}, which no state dict needs; {STATE_DICT_HINT}")
    raise WeightsError("its pickle ends too early")
