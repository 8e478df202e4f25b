"""How flags are read; which setting a flag gives."""

import dataclasses
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import tyro

from jaxal.cli.flags import FLAT, Card, Embed, Evaluate, List, Report, Request, Run
from jaxal.cli.label_flags import LABEL_COMMANDS, LabelRequest, Next
from jaxal.config import PARTS, InputsConfig, SettingError
from jaxal.files import expanded
from jaxal.presets import PRESETS

COMMANDS: dict[str, type[Request | Next]] = {
    "run": Run,
    "evaluate": Evaluate,
    "embed": Embed,
    "report": Report,
    "list": List,
    "card": Card,
    "next": Next,
}
Asked = TypeVar("Asked", bound=Request | LabelRequest)
LABEL = "Label your own images: ask, tell, and see when to stop; `jaxal label` lists its commands."


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
        return _with_home(_parse_label(rest))
    if name not in COMMANDS:
        raise ValueError(f"unknown command {name!r}; there are {', '.join([*COMMANDS, 'label'])}")
    default: Any = None
    if name == "run":
        default = _from_preset(_given("--preset", rest))
    elif name == "evaluate":
        default = _from_saved(_given("--policy", rest))
    request = tyro.cli(
        COMMANDS[name], prog=f"jaxal {name}", args=rest, default=default, config=(tyro.conf.AvoidSubcommands,)
    )
    return _with_home(request)


def _parse_label(arguments: list[str]) -> LabelRequest:
    if not arguments or arguments[0] in ("-h", "--help"):
        _show("jaxal label", {name: command.__doc__ or "" for name, command in LABEL_COMMANDS.items()}, "DIR ...")
        raise SystemExit(0 if arguments else 2)
    name, *rest = arguments
    if name not in LABEL_COMMANDS:
        raise ValueError(f"unknown command 'label {name}'; there are label {', '.join(LABEL_COMMANDS)}")
    return tyro.cli(LABEL_COMMANDS[name], prog=f"jaxal label {name}", args=rest)


def _with_home(request: Asked) -> Asked:
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


def _show(program: str, commands: Mapping[str, str], arguments: str = "...") -> None:
    """Prints what commands there are, and the first line of what each does."""
    print(f"usage: {program} COMMAND {arguments}; {program} COMMAND --help tells its flags\n")
    for name, about in commands.items():
        print(f"  {name:10s} {about.splitlines()[0]}")
