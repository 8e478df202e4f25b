"""JSON files of a run folder as values of a type: whatever else they hold is told in one line."""

import errno
import math
import os
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

Content = TypeVar("Content")


def read_json(
    path: Path,
    kind: type[Content],
    *,
    unknown: Literal["forbid", "allow"],
    repair: Callable[[Any], Any] = lambda content: content,
) -> Content:
    """What a JSON file holds, as a value of a type: a dataclass or a `TypedDict`.

    Nothing is converted, but for whole numbers where others are expected and lists where tuples are.

    Args:
      path: the file.
      kind: the type.
      unknown: what is done about names that the type does not have.
      repair: makes what older versions wrote what is written today, before it is looked at.

    Raises:
      OSError: when it is not there, or cannot be read.
      ValueError: one line, when it holds something else; `kind` may raise errors of its own.
    """
    from pydantic import ValidationError
    from pydantic_core import from_json, to_json

    text = _bytes(path)
    try:
        content = repair(from_json(text, allow_inf_nan=False))
        _require_finite(content)
        return _reader(kind).validate_json(to_json(content), strict=True, extra=unknown)
    except ValidationError as error:
        raise ValueError(_first(error.errors(include_url=False))) from None
    except ValueError as error:
        raise ValueError(f"not a whole JSON file: {' '.join(str(error).split())}") from None


@cache
def _reader(kind: Any) -> Any:
    """What pydantic makes of a type; imported late, as it takes a tenth of a second that `--help` need not wait for."""
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _require_finite(content: Any) -> None:
    """Raises ValueError for a number that is too large to be one, such as 1e999."""
    if isinstance(content, float) and not math.isfinite(content):
        raise ValueError("a number is too large")
    for inside in content.values() if isinstance(content, dict) else content if isinstance(content, list) else ():
        _require_finite(inside)


def _bytes(path: Path) -> bytes:
    """The contents of a file; something that is no file, a pipe say, would be waited for."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a file", str(path))
    return path.read_bytes()


def _first(errors: list[Any]) -> str:
    """The first of the things that are wrong: where, what, and what is there."""
    error = errors[0]
    place = ".".join(map(str, error["loc"])) or "the contents"
    given = "" if error["type"] == "missing" else f", not {repr(error['input'])[:60]}"
    rest = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return f"{place}: {' '.join(error['msg'].split())}{given}{rest}"
