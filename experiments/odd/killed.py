"""Runs that are killed, interrupted, or not alone in their folder, and then go on."""

import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from odd.case import FINE, HANGS, INTERRUPTED, LIMIT, MISTAKE, Case, Done, Fault, Once, Place, nothing
from odd.damaged import FINISHED, flip, replaced
from odd.tables import blobs, npz

SLOW = f"{FINISHED.replace('random', 'random waits')} --plugins plugin.py"
RESUMED = f"{SLOW} --resume"
PLUGIN = """
import pathlib, time
import jax, jax.numpy as jnp
import jaxal
from jaxal.cli import resumable
from jaxal.policies import checkpoint

resumable.SAVE_EVERY = -1.0
saved = checkpoint.save


def save(*what, **more):
    saved(*what, **more)
    if pathlib.Path("slowly").exists():
        time.sleep(2)


checkpoint.save = save


def wait(x):
    while pathlib.Path("slowly").exists():
        time.sleep(0.1)
    return x


def waits(seen, key):
    scores = jax.nn.softmax(seen.candidates.logits).max(-1)
    return jax.pure_callback(wait, jax.ShapeDtypeStruct(scores.shape, scores.dtype), scores, vmap_method="sequential")


jaxal.STRATEGIES.register("waits", waits)
"""


def _trainable(place: Place) -> None:
    npz(**blobs(150))(place)
    place.write("plugin.py", PLUGIN)


def _run(place: Place) -> None:
    _trainable(place)
    place.must(SLOW)


UNINTERRUPTED = Once("an uninterrupted run", _run)


def _started(place: Place, word: str) -> tuple[subprocess.Popen[str], Path]:
    """A run that works slowly and has told of something; the file of what it tells."""
    _trainable(place)
    place.write("slowly", "")
    errors, began = place.folder / "told.txt", time.monotonic()
    with errors.open("w") as file:
        process = place.start(SLOW, stdout=subprocess.DEVNULL, stderr=file)
    while word not in errors.read_text(errors="replace"):
        if process.poll() is not None:
            raise Fault(f"ended before it told of {word!r}, with status {process.returncode}")
        if time.monotonic() - began > LIMIT:
            process.kill()
            raise Fault(HANGS)
        time.sleep(0.05)
    return process, errors


def _kill(word: str, place: Place) -> None:
    process, _ = _started(place, word)
    process.kill()
    process.wait()
    (place.folder / "slowly").unlink()


AFTER = {
    word: Once(f"killed {word}", partial(_kill, f"{word}/")) for word in ("training 2", "training 3", "comparing 2")
}


def killed(name: str, word: str, says: str, then: Callable[[Place], Any] = nothing, status: int = FINE) -> Case:
    """A run that is killed once it has told of something, and resumed after `then`: as if nothing had happened."""

    def play(place: Place) -> Done:
        AFTER[word](place)
        then(place)
        done = place.call(RESUMED)
        if done.status == FINE:
            _require_same_curves(place)
        return done

    return Case(name, status=status, says=says, play=play, cold=True)


def _require_same_curves(place: Place) -> None:
    with (
        np.load(place.folder / "out" / "curves.npz") as found,
        np.load(UNINTERRUPTED.folder(place) / "out" / "curves.npz") as right,
    ):
        different = [name for name in right.files if not np.array_equal(found[name], right[name])]
    if different:
        raise Fault(f"other numbers than without the interruption: {', '.join(different)}")


def _interrupted(word: str, place: Place) -> Done:
    process, errors = _started(place, word)
    process.send_signal(signal.SIGINT)
    (place.folder / "slowly").unlink()  # a program that JAX has begun is waited for
    return place.end(process, errors)


def interrupted(name: str, word: str) -> Case:
    """A run that is stopped by Ctrl-C once it has told of something."""
    play = partial(_interrupted, word)
    return Case(name, status=INTERRUPTED, says="interrupted; .* --resume goes on", play=play, cold=True)


def _two_at_once(place: Place) -> Done:
    process, errors = _started(place, "comparing 2/")
    second = place.call(RESUMED)
    (place.folder / "slowly").unlink()
    if (first := place.end(process, errors)).status != FINE:
        raise Fault(f"the first of two ended with status {first.status}")
    return second


def _newest_damaged(place: Place) -> None:
    numbers = [int(found.name) for found in (place.folder / "out" / "checkpoint").iterdir() if found.name.isdigit()]
    flip(f"out/checkpoint/{max(numbers)}/**/d/*")(place)


KILLED = [
    killed("killed while it compares", "comparing 2", "mean AULC"),
    killed("killed while it trains", "training 2", "mean AULC"),
    killed(
        "a kept comparison is damaged",
        "comparing 2",
        "random.npz: damaged; compared again",
        flip("out/comparison/random.npz"),
    ),
    killed(
        "a kept comparison is cut",
        "comparing 2",
        "random.npz: damaged; compared again",
        replaced("out/comparison/random.npz", b"PK"),
    ),
    killed(
        "a policy is damaged before it goes on",
        "comparing 2",
        "policy: damaged; trained again",
        flip("out/policy/**/d/*"),
    ),
    killed("a checkpoint is damaged", "training 3", "damaged; (going on from|training begins again)", _newest_damaged),
    killed(
        "the data change before it goes on",
        "comparing 2",
        "data set a.npz has changed since the run was begun",
        npz(**blobs(150, seed=1)),
        MISTAKE,
    ),
    killed(
        "the plug-in changes before it goes on",
        "comparing 2",
        "begun with other code",
        replaced("plugin.py", PLUGIN.encode() + b"\n# more"),
        MISTAKE,
    ),
    killed(
        "config.json is damaged before it goes on",
        "comparing 2",
        "config.json: not what `jaxal run` writes",
        replaced("out/config.json", b"{"),
        MISTAKE,
    ),
    Case(
        "two processes in one folder",
        status=MISTAKE,
        says="another process .* is at work there",
        play=_two_at_once,
        cold=True,
    ),
    interrupted("Ctrl-C while it trains", "training 2/"),
    interrupted("Ctrl-C within a plug-in", "comparing 2/"),
]
