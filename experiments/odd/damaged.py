"""Finished run folders to which something is done, and other files of ours that are damaged or half there."""

import json
import os
import shutil
from collections.abc import Callable
from typing import Any

from odd.case import FINE, MISTAKE, Case, Done, Fault, Once, Place, nothing
from odd.folders import PIXELS, filled, scans
from odd.tables import RUN, blobs, drawn, npz

FINISHED = (
    "run --dataset a.npz --strategies ddqn random --seeds 1 --starts 1 --budget 8 --agent.hidden 8 "
    "--agent.minibatch 8 --agent.replay-capacity 200 --train.iterations 3 --train.updates 2 --train.episodes 2 "
    "--train.candidates 8 --train.target-candidates 8 --train.warm-start-episodes 2 --train.validation-episodes 2 "
    "--train.validation-every 1 --train.tasks 1 --train.patience 0 --out out"
)


def _finish(place: Place) -> None:
    npz(**blobs(150))(place)
    place.must(FINISHED)


FINISHED_RUN = Once("a finished run", _finish)


def damaged(name: str, says: str, change: Callable[[Place], Any], command: str, status: int = MISTAKE) -> Case:
    """A finished run to which something is done before another command reads it."""
    return Case(name, command, status, says, lambda place: (FINISHED_RUN(place), change(place)))


def flip(pattern: str) -> Callable[[Place], None]:
    """Changes one bit in the middle of the largest file that matches."""

    def change(place: Place) -> None:
        path = max(place.folder.glob(pattern), key=lambda path: path.stat().st_size)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 16
        path.write_bytes(content)

    return change


def edit(file: str, change: Callable[[Any], Any]) -> Callable[[Place], None]:
    """Changes a JSON file."""

    def make(place: Place) -> None:
        path = place.folder / file
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return make


def replaced(file: str, content: bytes) -> Callable[[Place], Any]:
    """Writes something else in the place of a file."""
    return lambda place: place.write(file, content)


def _other_policy(place: Place) -> None:
    place.must(FINISHED.replace("--out out", "--out second --first-seed 1"))
    shutil.rmtree(place.folder / "out" / "policy")
    for name in ("policy", "policy.seal", "training.json"):
        (place.folder / "second" / name).rename(place.folder / "out" / name)


def _pipe(file: str) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        (place.folder / file).unlink()
        os.mkfifo(place.folder / file)

    return make


def _cache_damaged(place: Place) -> None:
    filled(scans())(place)
    place.must(CACHED)
    flip("cache/*.npy")(place)


def _embedded(place: Place) -> Done:
    filled(scans())(place)
    place.must("embed --dataset scans --encoder pixels --image-size 6 --out latents.npz")
    done = place.call(f"{RUN} --dataset latents.npz")
    chosen = (place.folder / "runs" / "latents" / "chosen.csv").read_text()
    if "dark/" not in chosen:
        raise Fault("names of files are lost on the way")
    return done


def _begun(config: bytes) -> Callable[[Place], Any]:
    def make(place: Place) -> None:
        npz()(place)
        place.write("out/.config.json.abc.tmp" if not config else "out/config.json", config)

    return make


CACHED = f"{PIXELS} --cache-dir cache"
EVALUATE = "evaluate --policy out --dataset a.npz --strategies ddqn random"
NESTED = b"[" * 100_000
DEEP = b'{"config":' * 5000

DAMAGED = [
    damaged("a policy of which one bit is flipped", "policy: damaged", flip("out/policy/**/d/*"), EVALUATE),
    damaged("a policy of another run in its place", "policy: made from other data", _other_policy, EVALUATE),
    damaged("a policy that is gone", "holds no policy", lambda p: shutil.rmtree(p.folder / "out/policy"), EVALUATE),
    damaged("other data under the same name", "is not what it was when", npz(**blobs(150, seed=1)), EVALUATE, FINE),
    damaged(
        "more seeds than there are policies", "--seeds is 2; it must be at most 1", nothing, f"{EVALUATE} --seeds 2"
    ),
    damaged(
        "a setting of the wrong type",
        "config.json: not what",
        edit("out/config.json", lambda c: c["config"]["environment"].update(standardise="no")),
        EVALUATE,
    ),
    damaged(
        "a setting that there is not",
        "out/config.json: environment.distance is .x.; it must be among",
        edit("out/config.json", lambda c: c["config"]["environment"].update(distance="x")),
        EVALUATE,
    ),
    damaged(
        "a number beyond all measure",
        "config.json: not what",
        edit("out/config.json", lambda c: c["config"]["evaluation"].update(seeds=10**9)),
        EVALUATE,
    ),
    damaged("a config nested without end", "config.json: not what", replaced("out/config.json", DEEP), EVALUATE),
    damaged("results nested without end", "results.json: not what", replaced("out/results.json", NESTED), "report out"),
    damaged(
        "results of wrong types",
        "results.json: not what",
        edit("out/results.json", lambda r: r.update(strategies=[1])),
        "report out",
    ),
    damaged(
        "results with numbers that cannot be",
        "results.json: not what",
        edit("out/results.json", lambda r: r["strategies"]["random"]["accuracy"][0].__setitem__(0, 1e6)),
        "report out",
    ),
    damaged("a pipe for results", "results.json: ", _pipe("out/results.json"), "report out"),
    damaged("a finished run that is begun again", "holds a run already", nothing, FINISHED),
    damaged(
        "a finished run that is resumed", "nothing to resume: the run is finished", nothing, f"{FINISHED} --resume"
    ),
    drawn(
        damaged(
            "a page written again",
            "out/report.html",
            nothing,
            "report out",
            FINE,
        )
    ),
    Case("killed before config.json was there", f"{RUN} --dataset a.npz --out out", FINE, "mean AULC", _begun(b"")),
    Case(
        "an empty config.json",
        f"{RUN} --dataset a.npz --out out --resume",
        MISTAKE,
        "config.json: not what",
        _begun(b"\n"),
    ),
    Case("cached latents of which one bit is flipped", CACHED, FINE, "(?i)damaged", _cache_damaged),
    Case("latents written and read", says="48 rows of 108 features", play=_embedded),
]
