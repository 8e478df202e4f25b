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
from pathlib import Path
from typing import Any, NoReturn

import tyro

from jaxal.cli import run_folders
from jaxal.cli.flags import Embed, Evaluate, Report, Run
from jaxal.config import Config, InputConfig, from_dict
from jaxal.presets import PRESETS

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
        from jaxal.cli import commands

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
    default: Any = None
    if name == "run":
        default = _from_preset(_given("--preset", rest))
    elif name == "evaluate":
        default = _from_saved(_given("--policy", rest))
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


def _given(flag: str, arguments: list[str]) -> str:
    """What is given for a flag, whose value other defaults depend on; whether it is right is for others to say."""
    for place, argument in enumerate(arguments):
        if argument == flag:
            return "".join(arguments[place + 1 : place + 2])
        if argument.startswith(f"{flag}="):
            return argument.removeprefix(f"{flag}=")
    return ""


def _from_preset(name: str) -> Run:
    preset: Any = name if name in PRESETS else "default"
    config = PRESETS[preset]()
    return Run(preset=preset, **{part.name: getattr(config, part.name) for part in dataclasses.fields(Config)})


def _from_saved(folder: str) -> Evaluate:
    """What is evaluated as it was trained, unless flags say otherwise."""
    if not (Path(folder) / "config.json").is_file():
        return Evaluate(policy=tyro.MISSING)
    saved = from_dict(run_folders.read_config(Path(folder))["config"])
    encoder = {name: getattr(saved.inputs, name) for name in ("encoder", "weights", "width", "dtype", "image_size")}
    return Evaluate(
        policy=tyro.MISSING,
        inputs=InputConfig(**encoder),
        classifier=saved.environment.classifier,
        probe=saved.probe,
        finetune=saved.finetune,
    )


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
    """`message`, which may begin with the name of a setting (PART.NAME or NAME), with its flag in its place."""
    found = re.match(r"(?:(\w+)\.)?(\w+)(?= is )", message)
    if found is None:
        return message
    part, name = found[1] or part, found[2]
    homes = [
        home.name
        for home in dataclasses.fields(Config)
        if name in {field.name for field in dataclasses.fields(home.type)}  # type: ignore[arg-type]
    ]
    flat = [home for home in homes if home in ("inputs", "environment", "evaluation")]
    if part in flat or (flat and part not in homes):
        flag = name
    elif part in homes or len(homes) == 1:
        flag = f"{part or homes[0]}.{name}"
    else:
        return message
    return f"--{flag.replace('_', '-')}{message[found.end() :]}"


def _overview() -> str:
    lines = [f"  {name:10s} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: jaxal COMMAND ...; jaxal COMMAND --help tells its flags", "", *lines])
