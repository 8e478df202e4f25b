"""What takes long to find out of a pool, in files beside the latents: it is made once for the same images."""

import hashlib
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxal.files import MONTH, is_whole, sweep_old, write_sealed
from jaxal.labelling.choosing import Chooser

if TYPE_CHECKING:  # JAX is imported late
    from jaxal.pools import PreparedPool, Survey

FORMAT = "2"  # to be counted up when a survey of the same images would be another
LONG = 5_000  # images of which it takes so long that it is said


def name_of(digests: Sequence[str], classifier: str) -> str:
    """The name of the file for the images with these digests [m], in that order."""
    content = "\n".join([FORMAT, classifier, *digests])
    return f"{hashlib.blake2b(content.encode(), digest_size=16).hexdigest()}.survey"


def prepare(cache: Path, name: str, latents: np.ndarray, chooser: Chooser) -> "PreparedPool":
    """The pool of these latents [m, D], prepared; by the survey in the folder `cache`, where there is a whole one."""
    known = _read(cache / name)
    if known is None and len(latents) > LONG:
        print(f"comparing {len(latents):,} images with each other; this is done once", file=sys.stderr, flush=True)
    made = chooser.prepare(latents, survey=known)
    if known is None:
        with suppress(OSError):  # without it the same is found out once more
            sweep_old(cache, "*.survey", MONTH)
            _write(cache / name, made.survey)
    return made


def _read(path: Path) -> "Survey | None":
    from jaxal.pools import Survey
    from jaxal.tasks.distances import Geometry

    with suppress(OSError):
        if is_whole(path):
            os.utime(path)  # still in use
            with np.load(path, allow_pickle=False) as found:
                geometry = Geometry(*(found[name] for name in Geometry._fields))
                return Survey(found["latents_mean"], found["latents_scale"], geometry)
    return None


def _write(path: Path, survey: "Survey") -> None:
    arrays: dict[str, Any] = {"latents_mean": survey.mean, "latents_scale": survey.scale, **survey.geometry._asdict()}
    write_sealed(path, lambda file: np.savez(file, **arrays))
