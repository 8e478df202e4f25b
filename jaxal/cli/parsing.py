"""How flags are read; which setting a flag gives."""

import dataclasses
import importlib.metadata
from pathlib import Path
from typing import Any

import tyro

from jaxal.cli.flags import FLAT, Embed, Evaluate, List, Report, Request, Run
from jaxal.config import PARTS, InputsConfig, SettingError
from jaxal.files import expanded
from jaxal.presets import PRESETS

COMMANDS: dict[str, type[Request]] = {
    "run": Run,
    "evaluate": Evaluate,
    "embed": Embed,
    "report": Report,
    "list": List,
}


def parse(arguments: list[str]) -> Request:
    """The command that the arguments ask for. What the parser itself finds wrong, it prints, and exits with status 2.

    Raises:
      ValueError, SettingError: one line, for what else is wrong with them.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        raise SystemExit(0 if arguments else 2)
    if arguments[0] == "--version":
        print(f"jaxal {importlib.metadata.version('jaxal')}")
        raise SystemExit
    name, *rest = arguments
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}; there are {', '.join(COMMANDS)}")
    default: Any = None
    if name == "run":
        default = _from_preset(_given("--preset", rest))
    elif name == "evaluate":
        default = _from_saved(_given("--policy", rest))
    request = tyro.cli(
        COMMANDS[name], prog=f"jaxal {name}", args=rest, default=default, config=(tyro.conf.AvoidSubcommands,)
    )
    return _with_home(request)


def _with_home(request: Request) -> Request:
    """The request with `~` in its paths spelt out, which a shell does not do in `--out=~/runs`."""
    found = {field.name: getattr(request, field.name) for field in dataclasses.fields(request)}
    paths: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, Path):
            paths[name] = expanded(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Path):
            paths[name] = tuple(map(expanded, value))
    return dataclasses.replace(request, **paths)


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
    from jaxal.report.asked import read_config  # which nothing else here needs

    place = expanded(folder)
    if not (place / "config.json").is_file():
        return Evaluate(policy=tyro.MISSING)
    saved = read_config(place).config
    encoder = {name: getattr(saved.inputs, name) for name in ("encoder", "weights", "width", "dtype", "image_size")}
    return Evaluate(
        policy=tyro.MISSING,
        inputs=InputsConfig(**encoder),
        classifier=saved.environment.classifier,
        probe=saved.probe,
        finetune=saved.finetune,
    )


def flag(error: SettingError) -> str:
    """The flag that a setting is given by."""
    name = error.name if error.part in ("", *FLAT) else f"{error.part}.{error.name}"
    return f"--{name.replace('_', '-')}"


def _overview() -> str:
    lines = [f"  {name:10s} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: jaxal COMMAND ...; jaxal COMMAND --help tells its flags", "", *lines])
