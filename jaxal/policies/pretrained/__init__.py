"""Policies in a file: parameters, what they look at, and a card that says where they come from."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import jax
import numpy as np

from jaxal.config import CounterfactualConfig
from jaxal.files import expanded, write_npz
from jaxal.policies.gain_network import Params, judging, param_shapes
from jaxal.policies.sight import Names
from jaxal.seals import fingerprint

SHIPPED = Path(__file__).parent / "policy.npz"
LARGEST = 1 << 24  # bytes in a policy file, unpacked


class PolicyFileError(ValueError):
    """A policy file that cannot be used. Its message is one line."""


@dataclass(frozen=True)
class Pretrained:
    """A policy that is used as it is.

    params: of the network.
    names: of what it looks at.
    hidden: widths of the hidden layers.
    card: where it comes from, as JSON has it.
    fingerprint: hash of all the numbers.
    """

    params: Params
    names: Names
    hidden: tuple[int, ...]
    card: dict[str, Any]
    fingerprint: str

    @property
    def judge(self) -> Any:
        """Parameters for `gain_network.judged`."""
        return judging(CounterfactualConfig(hidden=self.hidden), self.names, self.params)

    def seen(self, inputs: np.ndarray, labels: np.ndarray) -> str:
        """The name of the data set that the policy was trained on, if it is this one, or "".

        Args:
          inputs: [n, ...] of a data set.
          labels: [n].
        """
        here = fingerprint(inputs, labels)
        return next((name for name, there in self.card["data"].items() if there == here), "")

    def described(self) -> list[str]:
        """The card, in lines."""
        lines = [f"fingerprint: {self.fingerprint}", f"numbers: {sum(x.size for x in jax.tree.leaves(self.params)):,}"]
        for name, value in self.card.items():
            if isinstance(value, dict):
                value = ", ".join(f"{key} {each}" for key, each in value.items() if name != "data") or ", ".join(value)
            elif isinstance(value, list):
                value = ", ".join(map(str, value))
            lines.append(f"{name.replace('_', ' ')}: {value}")
        return lines


def save(path: Path, params: Params, names: Names, hidden: tuple[int, ...], card: dict[str, Any]) -> str:
    """Writes a policy file and returns its fingerprint."""
    arrays = _flat(params)
    found = _fingerprint(arrays)
    facts = {"names": names._asdict(), "hidden": hidden, "card": card, "fingerprint": found}
    write_npz(path, {**arrays, "facts": np.array(json.dumps(facts))})
    return found


def load(path: Path = SHIPPED) -> Pretrained:
    """Reads a policy file, by default the one of the package. Nothing in it can be code.

    Raises:
      PolicyFileError: when it is missing, damaged, or was written for other features.
    """
    try:
        with ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > LARGEST:
            raise PolicyFileError(f"{path}: larger than any policy")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(str(arrays.pop("facts")))
        names = Names(*(tuple(facts["names"][field]) for field in Names._fields))
        hidden = tuple(int(width) for width in facts["hidden"])
        wanted = param_shapes(CounterfactualConfig(hidden=hidden), names)
    except OSError as error:
        raise PolicyFileError(f"{path}: {error.strerror or error}") from None
    except PolicyFileError:
        raise
    except Exception as error:  # what a damaged archive raises is anybody's guess
        raise PolicyFileError(f"{path}: not a policy file ({type(error).__name__})") from None
    expected = {name: (leaf.shape, leaf.dtype) for name, leaf in _flat(wanted).items()}
    if {name: (array.shape, array.dtype) for name, array in arrays.items()} != expected:
        raise PolicyFileError(f"{path}: its arrays are not those of its features and layers")
    if _fingerprint(arrays) != facts["fingerprint"] or not all(np.isfinite(a).all() for a in arrays.values()):
        raise PolicyFileError(f"{path}: damaged: its numbers are not those that were written")
    leaves = [arrays[name] for name in _flat(wanted)]
    params = jax.tree.unflatten(jax.tree.structure(wanted), leaves)
    return Pretrained(params, names, hidden, facts["card"], facts["fingerprint"])


@cache
def named(path: str = "") -> Pretrained:
    """The policy in a file, read once; by default the one that comes with the package.

    Raises:
      PolicyFileError: see `load`.
    """
    return load(expanded(path) if path else SHIPPED)


def _flat(params: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _fingerprint(arrays: dict[str, Any]) -> str:
    return fingerprint(*(part for name in sorted(arrays) for part in (name, arrays[name])))
