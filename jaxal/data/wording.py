"""How data is spoken of in notices and errors: one line, a few of many names, and nothing that a terminal obeys."""

from collections.abc import Iterable, Sequence
from typing import Any


def printable(text: str) -> str:
    """`text` with what cannot be printed written out (`\\x1b`, `\\n`, `\\udcff`), and so on one line.

    File names and headers may hold escape sequences, which a terminal would obey, or bytes that are not UTF-8, which no
    report could hold.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_utf8(text: str) -> bool:
    """Whether a report could hold `text`: names of files that are not UTF-8 have lone surrogates."""
    return text == text.encode("utf-8", "replace").decode()


def few(items: Iterable[Any], shown: int = 5) -> str:
    """The first few of a list, in one line."""
    texts = [" ".join(str(item).split())[:60] for item in items]
    return ", ".join(texts[:shown]) + (f" and {len(texts) - shown:,} more" if len(texts) > shown else "")


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first few of some files, their names in full."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown:,} more" if len(names) > shown else "")


def count(names: Sequence[Any], noun: str = "file") -> str:
    """How many there are, in words."""
    return f"{len(names):,} {noun}{'s' * (len(names) != 1)}"
