"""What there is by name, with a line each."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from jaxal.classifiers import CLASSIFIERS
from jaxal.encoders import ENCODERS
from jaxal.mdp.metrics import REWARDS
from jaxal.mdp.observation import ACTION_FEATURES, STATE_FEATURES
from jaxal.policies import STRATEGIES
from jaxal.policies.strategy import Strategy
from jaxal.presets import PRESETS
from jaxal.registry import UnknownNameError
from jaxal.tasks.distances import DISTANCES

DATASETS = {
    "digits": "1,797 handwritten digits of 8x8 pixels, 10 classes (bundled)",
    "breast-cancer": "569 cases of 30 features, 2 classes (bundled)",
    "wine": "178 wines of 13 features, 3 classes (bundled)",
    "kather2016": "5,000 tiles of colorectal histology, 8 classes (TFDS, fetched)",
    "kermany_pneumonia": "5,856 paediatric chest X-rays, 2 classes (TFDS, its archive downloaded by hand)",
    "tfds:NAME": "any prepared TFDS data set of images with labels",
    "PATH": "a .npz file of features or images, or a folder of images",
}
KINDS: dict[str, Mapping[str, Any]] = {
    "datasets": DATASETS,
    "encoders": ENCODERS,
    "strategies": STRATEGIES,
    "action-features": ACTION_FEATURES,
    "state-features": STATE_FEATURES,
    "rewards": REWARDS,
    "distances": DISTANCES,
    "classifiers": CLASSIFIERS,
    "presets": PRESETS,
}


def lines(kind: str) -> list[str]:
    """A line for each thing of a kind, or of all kinds under their names.

    Raises:
      UnknownNameError: for another kind.
    """
    if kind != "all":
        if kind not in KINDS:
            raise UnknownNameError("kind", kind, {**KINDS, "all": None})
        return _of(KINDS[kind])
    return [line for name, parts in KINDS.items() for line in (f"{name}:", *(f"  {each}" for each in _of(parts)), "")]


def _of(parts: Mapping[str, Any]) -> list[str]:
    width = max(map(len, parts))
    return [f"{name:{width}s}  {about(part)}".rstrip() for name, part in parts.items()]


def about(part: Any) -> str:
    """What a part says of itself: the first sentence of its docstring, or that of the function it is made of."""
    if isinstance(part, str):
        return part
    if isinstance(part, Strategy):
        return f"{part.kind}: {part.about or about(part.utility)}"
    made_of = part if isinstance(part, tuple) else vars(part).values() if is_dataclass(part) else ()
    described = next((each for each in made_of if callable(each)), part)
    described = getattr(described, "func", described)  # of a partial
    text = " ".join((inspect.getdoc(described) or "").split())
    return re.split(r"(?<!et al)\. ", text)[0].rstrip(".")
