"""Parts by name: what settings refer to, what the command line lists, and what a user's own script adds to."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

Part = TypeVar("Part")


class UnknownNameError(ValueError, KeyError):
    """A name that a registry does not hold. Its message is one line, with the names that it does hold."""

    def __init__(self, kind: str, name: object, known: Mapping[str, object]):
        super().__init__(kind, name)
        self.kind, self.name, self.known = kind, name, tuple(known)

    def __str__(self) -> str:
        return f"unknown {self.kind} {self.name!r}; there are {', '.join(self.known)}"


class Registry(Mapping[str, Part]):
    """Parts of one kind by name.

    A mapping; a name that is not in it raises an `UnknownNameError` that says what there is. The package's own parts
    are given when the registry is made; others come by `register`.

    Args:
      kind: what a part is called in messages.
      parts: the package's own.
      as_part: makes a part of what is registered, where that may be something simpler.
    """

    def __init__(self, kind: str, parts: Mapping[str, Part], as_part: Callable[[Any], Part] = lambda given: given):
        self.kind = kind
        self._as_part = as_part
        self._own = frozenset(parts)
        self._parts = dict(parts)

    def register(self, name: str, part: Any) -> None:
        """Adds a part, or replaces one that was registered before.

        Raises:
          ValueError: one line, when the name is one of the package's own, or could not be a file's name.
        """
        if not name.replace("-", "_").isidentifier():
            raise ValueError(
                f"{self.kind} {name!r}: a name is made of letters, digits, _ and -, and begins with a letter"
            )
        if name in self._own:
            raise ValueError(f"{self.kind} {name!r} is one of jaxal's own; take another name")
        self._parts[name] = self._as_part(part)

    def __getitem__(self, name: str) -> Part:
        if name not in self._parts:
            raise UnknownNameError(self.kind, name, self._parts)
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)
