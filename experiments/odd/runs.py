"""Odd flags, surroundings and run folders: damaged, exchanged, killed, taken."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from odd.case import FINE, INTERRUPTED, MISTAKE, QUICK, UNREAD, Case, Done, Fault, Place
from odd.folders import PIXELS, filled, scans
from odd.tables import RUN, blobs, npz

TRAINED = (
    "run --dataset a.npz --strategies ddqn random waits --seeds 1 --starts 1 --budget 8 --agent.hidden 8 "
    "--agent.minibatch 8 --agent.replay-capacity 200 --train.iterations 3 --train.updates 2 --train.episodes 2 "
    "--train.candidates 8 --train.target-candidates 8 --train.warm-start-episodes 2 --train.validation-episodes 2 "
    "--train.validation-every 1 --train.tasks 1 --train.patience 0 --plugins plugin.py --out out"
)
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
    return jax.pure_callback(wait, jax.ShapeDtypeStruct(scores.shape, scores.dtype), scores)


jaxal.STRATEGIES.register("waits", waits)
"""


def _trainable(place: Place) -> None:
    npz(**blobs(150))(place)
    place.write("plugin.py", PLUGIN)


def _told_to(place: Place, word: str, command: str = TRAINED) -> subprocess.Popen[str]:
    """Starts a run that works slowly, and waits until it has told of something."""
    place.write("slowly", "")
    process = place.start(command)
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return process
    raise Fault(f"ended before it told of {word!r}, with status {process.wait()}")


def _end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str]:
    process.send_signal(number)
    told = process.communicate()[1]
    return process.returncode, told


def _killed(word: str, then: Callable[[Place], Any] = lambda place: None) -> Callable[[Place], Done]:
    """Kills a run once it has told of something, does what comes `then`, and resumes it."""

    def play(place: Place) -> Done:
        _trainable(place)
        _end(_told_to(place, word), signal.SIGKILL)
        (place.folder / "slowly").unlink()
        then(place)
        return place.call(f"{TRAINED} --resume")

    return play


def _interrupted(place: Place) -> Done:
    _trainable(place)
    # a shell lets its background jobs ignore Ctrl-C, and so may whatever started this
    before = signal.signal(signal.SIGINT, signal.default_int_handler) if _main_thread() else None
    status, told = _end(_told_to(place, "comparing 2/"), signal.SIGINT)
    if before is not None:
        signal.signal(signal.SIGINT, before)
    return Done(status, "", told)


def _main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()


def _two_at_once(place: Place) -> Done:
    _trainable(place)
    first = _told_to(place, "comparing 2/")
    second = place.call(f"{TRAINED} --resume")
    (place.folder / "slowly").unlink()
    if first.wait(120) != 0:
        raise Fault(f"the first of two ended with status {first.returncode}")
    return second


def _finished(then: Callable[[Place], Any], command: str) -> Callable[[Place], Done]:
    """Runs, does what comes `then`, and runs the other command."""

    def play(place: Place) -> Done:
        _trainable(place)
        first = place.call(TRAINED)
        if first.status != FINE:
            raise Fault(f"the run itself ended with status {first.status}: {first.err[-200:]}")
        then(place)
        return place.call(command)

    return play


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
    shutil.copytree(place.folder / "out", place.folder / "other")
    second = place.call(TRAINED.replace("--out out", "--out second --first-seed 1"))
    if second.status != FINE:
        raise Fault(second.err)
    shutil.rmtree(place.folder / "out" / "policy")
    shutil.copytree(place.folder / "second" / "policy", place.folder / "out" / "policy")


def _pipe(file: str) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        (place.folder / file).unlink()
        os.mkfifo(place.folder / file)

    return make


def _closed(place: Place) -> Done:
    """As `jaxal run | head -0`: nobody reads."""
    npz()(place)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return place.call(f"{RUN} --dataset a.npz", stdout=writer)
    finally:
        os.close(writer)


def _full(command: str) -> Callable[[Place], Done]:
    def play(place: Place) -> Done:
        npz()(place)
        with Path("/dev/full").open("w") as full:
            return place.call(command, stdout=full)

    return play


def _cache_damaged(place: Place) -> Done:
    filled(scans())(place)
    command = f"{PIXELS} --cache-dir cache"
    place.call(command)
    flip("cache/*.npy")(place)
    return place.call(command)


def _embedded(place: Place) -> Done:
    filled(scans())(place)
    place.call("embed --dataset scans --encoder pixels --image-size 6 --out latents.npz")
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


def flag(flags: str, says: str, status: int = MISTAKE, name: str = "") -> Case:
    """Flags of a run on a bundled data set."""
    return Case(name or f"`{flags}`", f"run {QUICK} --dataset wine {flags}", status, says)


def surrounded(name: str, says: str = "mean AULC", status: int = FINE, options: Any = None, **variables: Any) -> Case:
    """A run of which only the surroundings are odd."""
    return Case(name, f"{RUN} --dataset a.npz", status, says, npz(), variables, options or {})


def damaged(name: str, says: str, change: Callable[[Place], Any], command: str, status: int = MISTAKE) -> Case:
    """A finished run to which something is done before another command reads it."""
    return Case(name, command, status, says, play=_finished(change, command))


EVALUATE = "evaluate --policy out --dataset a.npz --plugins plugin.py --strategies ddqn random"
NESTED = b"[" * 100_000
DEEP = b'{"config":' * 5000

RUNS = [
    Case("killed while it compares", TRAINED, FINE, "mean AULC", play=_killed("comparing 2/")),
    Case("killed while it trains", TRAINED, FINE, "mean AULC", play=_killed("training 2/")),
    Case(
        "a kept comparison is damaged",
        TRAINED,
        FINE,
        r"random.npz: damaged; compared again",
        play=_killed("comparing 2/", flip("out/comparison/random.npz")),
    ),
    Case(
        "a kept comparison is cut",
        TRAINED,
        FINE,
        r"random.npz: damaged; compared again",
        play=_killed("comparing 2/", replaced("out/comparison/random.npz", b"PK")),
    ),
    Case(
        "a policy is damaged before it goes on",
        TRAINED,
        FINE,
        "trained again",
        play=_killed("comparing 2/", flip("out/policy/**/d/*")),
    ),
    Case(
        "a checkpoint is damaged",
        TRAINED,
        FINE,
        "damaged; (going on from|training begins again)",
        play=_killed("training 3/", flip("out/checkpoint/**/d/*")),
    ),
    Case(
        "the data change before it goes on",
        TRAINED,
        MISTAKE,
        "data set a.npz has changed since the run was begun",
        play=_killed("comparing 2/", npz(**blobs(150, seed=1))),
    ),
    Case(
        "the plug-in changes before it goes on",
        TRAINED,
        MISTAKE,
        "begun with other code",
        play=_killed("comparing 2/", replaced("plugin.py", PLUGIN.encode() + b"\n# more")),
    ),
    Case(
        "config.json is damaged before it goes on",
        TRAINED,
        MISTAKE,
        "config.json: not what `jaxal run` writes",
        play=_killed("comparing 2/", replaced("out/config.json", b"{")),
    ),
    Case("two processes in one folder", TRAINED, MISTAKE, "another process .* is at work there", play=_two_at_once),
    damaged("a policy of which one bit is flipped", "damaged", flip("out/policy/**/d/*"), EVALUATE),
    damaged("a policy of another run in its place", "made from other|damaged|other", _other_policy, EVALUATE),
    damaged("a policy that is gone", "holds no policy", lambda p: shutil.rmtree(p.folder / "out/policy"), EVALUATE),
    damaged("other data under the same name", "is not what it was when", npz(**blobs(150, seed=1)), EVALUATE, FINE),
    damaged(
        "more seeds than there are policies",
        "--seeds is 2; it must be at most 1",
        lambda p: None,
        f"{EVALUATE} --seeds 2",
    ),
    damaged(
        "a setting of the wrong type",
        "config.json: not what",
        edit("out/config.json", lambda c: c["config"]["environment"].update(standardise="no")),
        EVALUATE,
    ),
    damaged(
        "a setting that there is not",
        "distance|config.json",
        edit("out/config.json", lambda c: c["config"]["environment"].update(distance="x")),
        EVALUATE,
    ),
    damaged(
        "a number beyond all measure",
        "seeds",
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
    damaged("a finished run that is begun again", "holds a run already", lambda p: None, TRAINED),
    damaged("a finished run that is resumed", "finished|nothing to resume", lambda p: None, f"{TRAINED} --resume"),
    damaged(
        "a page written again", "out/report.html", lambda p: (p.folder / "out/report.html").unlink(), "report out", FINE
    ),
    Case("killed before config.json was there", f"{RUN} --dataset a.npz --out out", FINE, "mean AULC", _begun(b"")),
    Case(
        "an empty config.json",
        f"{RUN} --dataset a.npz --out out --resume",
        MISTAKE,
        "config.json: not what",
        _begun(b"\n"),
    ),
    Case(
        "a folder that holds something else", f"{RUN} --dataset a.npz --out .", MISTAKE, "holds something else", npz()
    ),
    Case("nothing to resume", f"{RUN} --dataset a.npz --resume", MISTAKE, "nothing to resume", npz()),
    Case("Ctrl-C", TRAINED, INTERRUPTED, "--resume goes on", play=_interrupted),
    Case("cached latents of which one bit is flipped", PIXELS, FINE, "(?i)damaged", play=_cache_damaged),
    Case("latents written and read", RUN, FINE, "48 rows of 108 features", play=_embedded),
    Case("a report of no run", "report none", MISTAKE, "none/results.json: no such file"),
    flag("--budget 2", "--budget is 2; with 3 initial labels"),
    flag("--budget 1000000000", "--budget is 1000000000"),
    flag("--budget 100", "--budget is 100; it must be at most"),
    flag("--budget -5", "--budget is -5"),
    flag("--budget many", "(?i)budget"),
    flag("--bugdet 5", "--budget"),
    flag("--seeds 0", "--seeds is 0"),
    flag("--seeds 1000000000", "--seeds is 1000000000"),
    flag("--first-seed 2147483647", "--first-seed is 2147483647"),
    flag("--starts 0", "--starts is 0"),
    flag("--strategies nonsense", "--strategies is 'nonsense'; it must be among"),
    flag("--distance x", "--distance is 'x'; it must be among"),
    flag("--reward x", "--reward is 'x'; it must be among"),
    flag("--noise 2", "--noise is 2.0; it must be between 0 and 1"),
    flag("--noise nan", "--noise is nan"),
    flag("--split.test 170", "rows asked for|leave none"),
    flag("--split.pool 3 --budget 5", "--budget is 5; it must be at most 3"),
    flag("--probe.l2 0", "--probe.l2 is 0.0"),
    flag("--out /proc/x", "(?i)/proc"),
    flag("--plugins none.py", "none.py: no such file"),
    flag("--train-on nonsense --strategies ddqn", "nonsense: no such data set"),
    flag("--preset paper --strategies ddqn --train.episodes 300", "--train.episodes makes 300 episodes at once"),
    flag("--encoder resnet18 --budget 4", "the encoder is not used", FINE, name="an encoder for features"),
    flag("--first-seed 7 --budget 4", "mean AULC", FINE, name="another first seed"),
    Case("no command", "nonsense", MISTAKE, "unknown command 'nonsense'"),
    Case("a list of nothing", "list nonsense", MISTAKE, "nonsense"),
    Case("~ of nobody", f"{RUN} --dataset '~nosuchuser/a.npz'", MISTAKE, "nosuchuser"),
    Case("~ of nobody for the output", f"{RUN} --dataset wine --out '~nosuchuser/a'", MISTAKE, "no such home folder"),
    surrounded("a terminal that knows ASCII alone", PYTHONIOENCODING="ascii", LC_ALL="C"),
    surrounded("a terminal of 40 columns", COLUMNS="40"),
    surrounded("a terminal of 12 columns", COLUMNS="12"),
    surrounded("no terminal to speak of", TERM="dumb", LANG="C"),
    surrounded("no HOME", HOME=None),
    surrounded("a HOME that is not there", HOME="/nonexistent/home"),
    surrounded("a user whom nobody knows", options={"user": 54321}, status=MISTAKE, says="(?i)permission denied"),
    surrounded(
        "a GPU that is not there",
        "JAX finds no device to work on.*JAX_PLATFORMS is cuda",
        MISTAKE,
        JAX_PLATFORMS="cuda",
    ),
    surrounded("a platform that there is not", "JAX finds no device", MISTAKE, JAX_PLATFORMS="nonsense"),
    surrounded("numbers of 64 bits", "JAX_ENABLE_X64=True is ignored", JAX_ENABLE_X64="1"),
    surrounded("another generator of random numbers", "is ignored", JAX_DEFAULT_PRNG_IMPL="rbg"),
    surrounded("warnings as errors", PYTHONWARNINGS="error::UserWarning"),
    surrounded("Python's own optimisation", PYTHONOPTIMIZE="2"),
    Case("nobody reads", RUN, UNREAD, "", play=_closed),
    Case("a full disk for what is printed", RUN, MISTAKE, "(?i)no space left", play=_full(f"{RUN} --dataset a.npz")),
    Case("a full disk for a list", "list", MISTAKE, "(?i)no space left", play=_full("list")),
    Case(
        "a folder for latents that is a file",
        f"{PIXELS} --cache-dir taken",
        MISTAKE,
        "taken",
        lambda place: (filled(scans())(place), place.write("taken", "")),
    ),
]
