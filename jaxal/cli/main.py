"""The entry point of the command line: how a mistake and an interruption are told. The work is imported late."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import NoReturn

from jaxal.cli import streams
from jaxal.config import SettingError

INTERRUPTED, UNREAD, MISTAKE = 130, 141, 2
"""Exit statuses: stopped by Ctrl-C; nobody reads what is printed; a mistake in what was given."""


def main(leave: Callable[[int], NoReturn] = os._exit) -> None:
    """Entry point of `jaxal`.

    `leave` ends the process at once: the interpreter's own way would wait for a compilation that is under way, and
    print what became of the reads that Orbax gave up when a checkpoint was damaged.
    """
    streams.prepare()
    try:
        try:
            _work(sys.argv[1:], leave)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        streams.close()
        leave(UNREAD)
    except OSError as error:
        _tell(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}")
        leave(MISTAKE)
    except SettingError as error:
        from jaxal.cli.parsing import flag  # there already

        _tell(f"error: {flag(error)} {error.fact}")
        leave(MISTAKE)
    except (ValueError, RecursionError) as error:
        first, *others = getattr(error, "lines", (str(error),))
        _tell(f"error: {first}", *others)
        leave(MISTAKE)
    except KeyboardInterrupt as stop:
        _tell(f"interrupted{f'; {stop}' if str(stop) else ''}")
        leave(INTERRUPTED)


def _work(arguments: list[str], leave: Callable[[int], NoReturn]) -> None:
    with _stopped_at_once(leave):  # an interruption of an import may be lost, or be a traceback
        from jaxal.cli.label_flags import LabelRequest
        from jaxal.cli.parsing import parse

        request = parse(arguments)
        if isinstance(request, LabelRequest):
            from jaxal.cli import label

            do = partial(label.execute, request)
        else:
            from jaxal.cli import commands

            do = partial(commands.execute, request, shlex.join(["jaxal", *arguments]))
    do()


@contextmanager
def _stopped_at_once(leave: Callable[[int], NoReturn]) -> Generator[None]:
    """Where Ctrl-C ends the process, before there is anything to lose; where it is ignored it still is."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        _tell("interrupted")
        leave(INTERRUPTED)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _tell(message: str, *others: str) -> None:
    """One line, and more where there is a list of things that are wrong."""
    sys.stdout.flush()
    print(f"jaxal: {' '.join(message.split())}", *others, sep="\n", file=sys.stderr, flush=True)
