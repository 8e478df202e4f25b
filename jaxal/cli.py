"""The command line: how flags are read, and how a mistake is told. The work is in `commands.py`, imported late."""

import contextlib
import dataclasses
import importlib.metadata
import io
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import tyro

from jaxal.config import (
    Config,
    EnvironmentConfig,
    EvaluationConfig,
    InputConfig,
)
from jaxal.presets import PRESETS
from jaxal.requests import Embed, Evaluate, Report, Run

COMMANDS = {"run": Run, "evaluate": Evaluate, "embed": Embed, "report": Report}


def main(leave: Callable[[int], NoReturn] = os._exit) -> None:
    """Entry point of `jaxal`. Exit status 2: a mistake in what was given, told in one line; 130: interrupted.

    `leave` ends the process, at once: the interpreter's own way would wait for a compilation that is under way, and
    tell of the reads that Orbax gave up when a checkpoint was damaged.
    """
    arguments = sys.argv[1:]
    try:
        request = parse(arguments)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA's alarms about slow compilation
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # those reads, again
        from jaxal import commands

        commands.execute(request, shlex.join(["jaxal", *arguments]))
    except OSError as error:
        _tell(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}")
        leave(2)
    except ValueError as error:
        _tell(f"error: {_with_flag(str(error))}")
        leave(2)
    except KeyboardInterrupt as stop:
        _tell(f"interrupted{f'; {stop}' if str(stop) else ''}")
        leave(130)


def _tell(message: str) -> None:
    sys.stdout.flush()
    print(f"jaxal: {' '.join(message.split())}", file=sys.stderr, flush=True)


def parse(arguments: list[str]) -> Run | Evaluate | Report | Embed:
    """The command that the arguments ask for.

    Raises:
      ValueError: one line, for whatever is wrong with them.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--version":
        print(f"jaxal {importlib.metadata.version('jaxal')}")
        raise SystemExit
    name, *rest = arguments
    if name not in COMMANDS:
        raise ValueError(f"{name} is no command; there are {', '.join(COMMANDS)}")
    default: Any = _from_preset(_preset(rest)) if name == "run" else None
    told = io.StringIO()
    help_asked = bool({"-h", "--help"} & set(rest))
    try:
        with contextlib.redirect_stderr(told), contextlib.nullcontext() if help_asked else _wide():
            return tyro.cli(
                COMMANDS[name],  # type: ignore[arg-type]
                prog=f"jaxal {name}",
                args=rest,
                default=default,
                config=(tyro.conf.AvoidSubcommands,),
            )
    except SystemExit as stop:
        if stop.code:
            raise ValueError(_plain(told.getvalue())) from None
        raise


def _preset(arguments: list[str]) -> str:
    """The preset named in the arguments; whether it is a right one is for the parser to say."""
    found = re.search(r"--preset[= ](\S+)", " ".join(arguments))
    return found[1] if found and found[1] in PRESETS else "default"


def _from_preset(name: str) -> Run:
    config = PRESETS[name]()
    return Run(preset=name, **{part.name: getattr(config, part.name) for part in dataclasses.fields(Config)})  # type: ignore[arg-type]


@contextlib.contextmanager
def _wide() -> Iterator[None]:
    """A terminal on which the parser breaks no line of its messages, and so no word."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100000"
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


def _plain(boxed: str) -> str:
    """The parser's message in one line: without its frame, its title, and the help that follows it."""
    lines = [line.strip("│ ") for line in boxed.splitlines()[1:-1]]
    said, *further = re.split(r"\n─+\n", "\n".join(lines))
    said = " ".join(said.split())
    for pattern, words in WORDINGS:
        if found := re.fullmatch(pattern, said):
            said = words(*found.groups())
            break
    meant = [
        re.match(r"--[\w.-]+", line) for section in further if "meant:" in section for line in section.splitlines()
    ]
    guesses = [guess[0] for guess in meant if guess]
    return said + (f"; perhaps you meant {' or '.join(guesses[:3])}" if guesses else "")


def _unknown(tokens: str) -> str:
    flags = [token for token in tokens.split(", ") if token.startswith("--")]
    return f"no such option: {', '.join(flags)}" if flags else f"{tokens}: not expected here; options begin with --"


WORDINGS: tuple[tuple[str, Callable[..., str]], ...] = (
    (
        r"Error parsing (\S+): .*invalid literal for int\(\) with base 10: ('.*?').*",
        "{} is {}; it must be a whole number".format,
    ),
    (r"Error parsing (\S+): .*could not convert string to float: ('.*?').*", "{} is {}; it must be a number".format),
    (
        r"invalid choice ('.*') for argument '(.*)'\. Expected one of \((.*?),?\)\.",
        lambda value, flag, right: f"{flag} is {value}; it must be one of {right.replace(chr(39), '')}",
    ),
    (r"Missing value for argument '(.*?)'.*", "{} needs a value".format),
    (r"Missing from .*?: (\S+) (.*) \(required\)", "{} is missing: {}".format),
    (r"Unrecognized options: (.*)", _unknown),
    (
        r"Error parsing (\S+): Could not find valid parse for arguments: \[(.*)\]",
        "{} is {}; that is none of the values that --help tells of".format,
    ),
    (r"Error parsing (\S+): (.*)", lambda part, message: _with_flag(message, part)),
)
"""What the parser says, and how it is said here."""


def _with_flag(message: str, part: str = "") -> str:
    """`message`, which may begin with the name of a setting, with that setting's flag in its place."""
    found = re.match(r"(\w+)(?= is )", message)
    if found is None:
        return message
    flat = {
        field.name for kind in (InputConfig, EnvironmentConfig, EvaluationConfig) for field in dataclasses.fields(kind)
    }
    homes = [
        home.name
        for home in dataclasses.fields(Config)
        if found[1] in {field.name for field in dataclasses.fields(home.type)}  # type: ignore[arg-type]
    ]
    if found[1] in flat:
        flag = found[1]
    elif part in homes or len(homes) == 1:
        flag = f"{part or homes[0]}.{found[1]}"
    else:
        return message
    return f"--{flag.replace('_', '-')}{message[found.end() :]}"


def _overview() -> str:
    lines = [f"  {name:10s} {command.__doc__}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: jaxal COMMAND ...; jaxal COMMAND --help tells its flags", "", *lines])
