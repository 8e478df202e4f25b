"""JSON documents with something changed: wrong types, wrong numbers, missing and foreign names, cut and nested text."""

import copy
import json
from typing import Any

import numpy as np

JUNK: list[Any] = [None, True, False, 0, -1, 3, 0.5, -2.5, 1e9, 10**30, 1e308, "", "x", "no", "\x1b[31m", [], [1], {}]
JUNK += [[[]], {"a": 1}, ["x", 2], "9" * 400, [None, None], [0.1, "b"]]
TEXTS = ["", "null", "[]", "{", "[" * 5000, '{"a":' * 5000, "NaN", "\x00", '"\\ud800"', "9" * 6000, "1e999"]


def places(document: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all that is in a document."""
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [above, *(place for key, value in inside for place in places(value, (*above, key)))]


def mutated(document: Any, rng: np.random.Generator, paths: list[tuple[Any, ...]]) -> str:
    """The text of the document with one or two things changed; `paths` are those of `places`, the first the root."""
    if rng.random() < 0.05:
        return TEXTS[rng.integers(len(TEXTS))]
    changed = copy.deepcopy(document)
    for _ in range(rng.integers(1, 3)):
        *above, key = paths[rng.integers(1, len(paths))]
        parent = changed
        try:
            for step in above:
                parent = parent[step]
            _change(parent, key, rng)
        except (KeyError, IndexError, TypeError):  # another change took it away
            continue
    text = json.dumps(changed)
    if rng.random() < 0.05:
        return text[: rng.integers(len(text))]
    if rng.random() < 0.05:
        at = rng.integers(len(text))
        return text[:at] + chr(rng.integers(32, 127)) + text[at + 1 :]
    return text


def _change(parent: Any, key: Any, rng: np.random.Generator) -> None:
    kind = rng.integers(6)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[f"{key}_"] = parent.pop(key)
    elif kind == 2 and isinstance(parent[key], int | float):
        parent[key] = parent[key] * float(rng.choice([-1, 0, 10, 1e6, 1e300])) + float(rng.choice([0, 0.5]))
    elif kind == 3 and isinstance(parent, list):
        parent.append(parent[key])
    else:
        parent[key] = JUNK[rng.integers(len(JUNK))]
