"""A case of the zoo, and how it is run: by the real command line, in a folder of its own.

Where surroundings, figures or several processes matter it has processes of its own, else one does many cases.
"""

import multiprocessing
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from jaxal.cli.main import main
from jaxal.report import pages

JAXAL = Path(sys.executable).with_name("jaxal")
QUICK = "--strategies random margin --seeds 1 --starts 1"
LIMIT = 300  # seconds for one command, of which most take ten
HANGS = f"hangs for more than {LIMIT} s"
LONGEST = 600  # letters of a line that tells of a mistake: a list of all strategies, say
FINE, MISTAKE, INTERRUPTED, UNREAD = 0, 2, 130, 141


class Fault(AssertionError):
    """Something that a user should not see, in a line."""


@dataclass(frozen=True)
class Done:
    """How one command ended."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Place:
    """Where a case is run: its folder, and what every command there is given."""

    folder: Path
    environment: Mapping[str, str]
    warm: bool = False  # whether commands may be done by a `Worker`, in a tenth of the time

    def start(self, command: str, **options: Any) -> subprocess.Popen[str]:
        """Starts `jaxal COMMAND` there."""
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(
            [JAXAL, *shlex.split(command)], cwd=self.folder, env=self.environment, text=True, errors="replace", **pipes
        )

    def call(self, command: str, **options: Any) -> Done:
        """Runs `jaxal COMMAND` there. Fault: it hangs, shows a traceback, or is ended by a signal."""
        if self.warm and not options:
            return decent(self._warm_call(command))
        return self.end(self.start(command, **options))

    def must(self, command: str) -> None:
        """Runs what is expected to work. Fault: it did not."""
        done = self.call(command)
        if done.status != FINE:
            raise Fault(f"{command[:20]}... itself ended with status {done.status}: {done.err[-200:]}")

    def end(self, process: subprocess.Popen[str], errors: Path | None = None) -> Done:
        """How a process ends, with what it printed, into the file `errors` if one was given. Fault: see `call`."""
        try:
            out, err = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Fault(HANGS) from None
        return decent(Done(process.returncode, out or "", errors.read_text(errors="replace") if errors else err or ""))

    def _warm_call(self, command: str) -> Done:
        if not hasattr(_OWN, "worker"):
            _OWN.worker = Worker()
        done = _OWN.worker.call(self.folder, shlex.split(command))
        if done is None:
            del _OWN.worker
            raise Fault(HANGS)
        return done

    def write(self, name: str, content: bytes | str) -> Path:
        """Writes a file there, in folders of its own if need be."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


def decent(done: Done) -> Done:
    """The same. Fault: a traceback was shown, or a signal ended it, or it printed what a terminal would obey."""
    if "Traceback" in done.out + done.err:
        raise Fault(f"traceback: {done.err.strip().splitlines()[-1]}")
    if done.status < 0:
        raise Fault(f"ended by signal {-done.status}: {' '.join(done.err.split())[-200:]}")
    if escape := re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.out + done.err):
        raise Fault(f"prints the control character {escape[0]!r}")
    return done


class Once:
    """Inputs that several cases begin with: made by the first of them, and copied."""

    def __init__(self, name: str, make: Callable[[Place], Any]) -> None:
        self.name, self.make, self.lock = name, make, threading.Lock()

    def __call__(self, place: Place) -> None:
        """Puts them into the folder of a case."""
        shutil.copytree(self.folder(place), place.folder, dirs_exist_ok=True)

    def folder(self, place: Place) -> Path:
        """Where they are, beside the folder of a case."""
        made = place.folder.parent / self.name
        with self.lock:
            if not made.exists():
                unfinished = made.with_name(f"{made.name} unfinished")
                shutil.rmtree(unfinished, ignore_errors=True)
                unfinished.mkdir()
                self.make(replace(place, folder=unfinished))
                unfinished.rename(made)
        return made


class Worker:
    """A process that does one command after another, with what JAX has compiled before, and draws nothing."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.line, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()

    def call(self, folder: Path, arguments: list[str]) -> Done | None:
        """Does one command; None: it hung, and the process is gone."""
        with tempfile.TemporaryDirectory(prefix="jaxal-zoo-") as printed:
            places = [Path(printed) / name for name in ("out", "err")]
            self.line.send((folder, arguments, places))
            if not self.line.poll(LIMIT):
                self.process.kill()
                return None
            status = self.line.recv()
            return Done(status, *(place.read_text(errors="replace") for place in places))


_OWN = threading.local()  # the worker of each thread


def _serve(line: Connection) -> None:
    """What a worker does: every command has two files for what it prints."""
    pages.write = lambda *_: []
    while True:
        folder, arguments, places = line.recv()
        os.chdir(folder)
        for number, place in enumerate(places, start=1):
            handle = os.open(place, os.O_WRONLY | os.O_CREAT)
            os.dup2(handle, number)
            os.close(handle)
        sys.argv, status = ["jaxal", *arguments], FINE
        try:
            main(leave=sys.exit)
        except SystemExit as ended:
            status = ended.code
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        line.send(status)


def nothing(place: Place) -> None:
    """Makes no input."""


@dataclass(frozen=True)
class Case:
    """One odd input.

    name: what is odd, in words.
    command: of `jaxal`.
    status: that it must end with.
    says: a regular expression that must be found in what it prints; whitespace in it stands for any.
    make: puts the inputs into the folder.
    environment: variables that differ from the usual; None: not set.
    options: of `subprocess.Popen`.
    cold: whether it needs processes of its own, for its figures and page say.
    play: what is done instead of the one command, where that takes several; returns how the last one ended.
    """

    name: str
    command: str = ""
    status: int = FINE
    says: str = ""
    make: Callable[[Place], Any] = nothing
    environment: Mapping[str, str | None] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    cold: bool = False
    play: Callable[[Place], Done] | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of a case; `fault` is empty where all is well."""

    case: Case
    status: int | None
    seconds: float
    told: str
    fault: str


def judge(case: Case, folder: Path, environment: Mapping[str, str]) -> Verdict:
    """Runs a case in a new folder and looks at how it ended."""
    folder.mkdir(parents=True)
    changed = {name: value for name, value in {**environment, **case.environment}.items() if value is not None}
    place, began = Place(folder, changed, warm=not (case.environment or case.cold)), time.monotonic()
    done, fault = None, ""
    try:
        case.make(place)
        done = case.play(place) if case.play else place.call(case.command, **case.options)
        _check(case, done)
    except Fault as error:
        fault = str(error)
    except Exception as error:
        fault = f"the zoo's own mistake: {error!r}"
    return Verdict(case, done and done.status, time.monotonic() - began, _told(case, done), fault)


def _check(case: Case, done: Done) -> None:
    """Raises Fault where a command did not end as it must."""
    printed = " ".join((done.err + done.out).split())
    if done.status != case.status:
        raise Fault(f"status {done.status}, not {case.status}: {printed[-300:]}")
    if not re.search(re.sub(r"\s+", r"\\s+", case.says), printed):
        raise Fault(f"does not say {case.says!r}")
    mistakes = [line for line in done.err.splitlines() if line.startswith("jaxal: error")]
    if len(mistakes) > (done.status == MISTAKE) or any(len(line) > LONGEST for line in mistakes):
        raise Fault(f"{len(mistakes)} lines for one mistake, or a long one: {printed[:300]}")


def _told(case: Case, done: Done | None) -> str:
    """The line that matters of what was printed: the one that holds what is expected, or the last."""
    lines = [] if done is None else [*done.err.splitlines(), *done.out.splitlines()]
    found = [line for line in lines if case.says and re.search(case.says, line)] or [
        line for line in lines if line.strip()
    ]
    return found[-1].strip() if found else ""


def usual_environment(home: Path) -> dict[str, str]:
    """The variables of every case: a home of its own, and compiled programs kept between cases."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    cache = {"JAX_COMPILATION_CACHE_DIR": str(home / "compiled"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    cache |= {"TF_CPP_MIN_LOG_LEVEL": "3"}  # as the command line sets it before it imports JAX
    return kept | cache | {"HOME": str(home), "COLUMNS": "100", "HF_HUB_OFFLINE": "1"}
