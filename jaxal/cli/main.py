"""The command line: how flags are read, and how a mistake is told. The work is in `commands.py`, imported late."""

import importlib.metadata
import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import tyro

from jaxal.cli.flags import FLAT, Embed, Evaluate, List, Report, Request, Run
from jaxal.cli.label_flags import LABEL_COMMANDS, LabelRequest, Next
from jaxal.config import PARTS, InputsConfig, SettingError
from jaxal.presets import PRESETS
from jaxal.report.asked import read_config

COMMANDS: dict[str, type[Request | Next]] = {
    "run": Run,
    "evaluate": Evaluate,
    "embed": Embed,
    "report": Report,
    "list": List,
    "next": Next,
}
LABEL = "Label your own images: ask, tell, and see when to stop; `jaxal label` lists its commands."


def main(leave: Callable[[int], NoReturn] = os._exit) -> None:
    """Entry point of `jaxal`. Exit status 2: a mistake in what was given, told in one line; 130: interrupted.

    `leave` ends the process at once: the interpreter's own way would wait for a compilation that is under way, and
    print what became of the reads that Orbax gave up when a checkpoint was damaged.
    """
    arguments = sys.argv[1:]
    try:
        request = parse(arguments)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA's alarms about slow compilation
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # those reads, again
        if isinstance(request, LabelRequest):
            from jaxal.cli import label

            label.execute(request)
        else:
            from jaxal.cli import commands

            commands.execute(request, shlex.join(["jaxal", *arguments]))
    except OSError as error:
        _tell(f"error: {error.filename}: {error.strerror}" if error.filename else f"error: {error}")
        leave(2)
    except SettingError as error:
        _tell(f"error: {_flag(error)} {error.fact}")
        leave(2)
    except ValueError as error:
        _tell(f"error: {error}")
        leave(2)
    except KeyboardInterrupt as stop:
        _tell(f"interrupted{f'; {stop}' if str(stop) else ''}")
        leave(130)


def _tell(message: str) -> None:
    sys.stdout.flush()
    print(f"jaxal: {' '.join(message.split())}", file=sys.stderr, flush=True)


def parse(arguments: list[str]) -> Request | LabelRequest:
    """The command that the arguments ask for. What the parser itself finds wrong, it prints, and exits with status 2.

    Raises:
      ValueError, SettingError: one line, for what else is wrong with them.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        _show("jaxal", {name: command.__doc__ or "" for name, command in COMMANDS.items()} | {"label": LABEL})
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--version":
        print(f"jaxal {importlib.metadata.version('jaxal')}")
        raise SystemExit
    name, *rest = arguments
    if name == "label":
        return _parse_label(rest)
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}; there are {', '.join([*COMMANDS, 'label'])}")
    default: Any = None
    if name == "run":
        default = _from_preset(_given("--preset", rest))
    elif name == "evaluate":
        default = _from_saved(_given("--policy", rest))
    return tyro.cli(
        COMMANDS[name], prog=f"jaxal {name}", args=rest, default=default, config=(tyro.conf.AvoidSubcommands,)
    )


def _parse_label(arguments: list[str]) -> LabelRequest:
    if not arguments or arguments[0] in ("-h", "--help"):
        _show("jaxal label", {name: command.__doc__ or "" for name, command in LABEL_COMMANDS.items()}, "DIR ...")
        raise SystemExit(0 if arguments else 2)
    name, *rest = arguments
    if name not in LABEL_COMMANDS:
        raise ValueError(f"unknown command 'label {name}'; there are label {', '.join(LABEL_COMMANDS)}")
    return tyro.cli(LABEL_COMMANDS[name], prog=f"jaxal label {name}", args=rest)


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
    return Run(preset=preset, **{part: getattr(config, part) for part in PARTS})


def _from_saved(folder: str) -> Evaluate:
    """What is evaluated as it was trained, unless flags say otherwise."""
    if not (Path(folder) / "config.json").is_file():
        return Evaluate(policy=tyro.MISSING)
    saved = read_config(Path(folder)).config
    encoder = {name: getattr(saved.inputs, name) for name in ("encoder", "weights", "width", "dtype", "image_size")}
    return Evaluate(
        policy=tyro.MISSING,
        inputs=InputsConfig(**encoder),
        classifier=saved.environment.classifier,
        probe=saved.probe,
        finetune=saved.finetune,
    )


def _flag(error: SettingError) -> str:
    """The flag that a setting is given by."""
    name = error.name if error.part in ("", *FLAT) else f"{error.part}.{error.name}"
    return f"--{name.replace('_', '-')}"


def _show(program: str, commands: Mapping[str, str], arguments: str = "...") -> None:
    """Prints what commands there are, and the first line of what each does."""
    print(f"usage: {program} COMMAND {arguments}; {program} COMMAND --help tells its flags\n")
    for name, about in commands.items():
        print(f"  {name:10s} {about.splitlines()[0]}")
