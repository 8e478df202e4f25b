"""The command line: what the flags are, and how a mistake is told. The work is in `commands.py`, imported late."""

import contextlib
import dataclasses
import io
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxal.config import (
    PRESETS,
    AgentConfig,
    ClassifierConfig,
    Config,
    EnvironmentConfig,
    EvaluationConfig,
    SplitConfig,
    TrainConfig,
)

Flat = tyro.conf.arg(name="")  # its fields are flags without a prefix


@dataclass(frozen=True)
class Run:
    """Train a policy, compare it with the other strategies from the same initial sets, and write runs/NAME."""

    dataset: str = "digits"
    """digits, breast-cancer, wine, a .npz file, a folder of images, or tfds:NAME"""
    train_on: tuple[str, ...] = ()
    """data sets to train the policy on, so that it meets the data set itself for the first time when it is tested
    (default: the data set's own source pool)"""
    preset: Literal["default", "paper"] = "default"
    """the settings that the flags below start from"""
    out: Path | None = None
    """folder to write (default: runs/ and the data set's name)"""
    resume: bool = False
    """go on with the interrupted run in the folder"""
    environment: Annotated[EnvironmentConfig, Flat] = field(default_factory=EnvironmentConfig)
    evaluation: Annotated[EvaluationConfig, Flat] = field(default_factory=EvaluationConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def config(self) -> Config:
        """The experiment's settings."""
        return Config(**{part.name: getattr(self, part.name) for part in dataclasses.fields(Config)})


@dataclass(frozen=True)
class Evaluate:
    """Compare a saved policy with the other strategies on a data set."""

    policy: Path
    """folder that `jaxal run` wrote"""
    dataset: str = "digits"
    """as for `jaxal run`"""
    out: Path | None = None
    """folder to write (default: runs/ and the two names)"""
    budget: int | None = None
    """labels at the end of an episode (default: the saved run's, as are all other settings)"""
    batch: int | None = None
    """labels per step"""
    seeds: int | None = None
    """splits; at most the number of policies in the saved run"""
    starts: int | None = None
    """initial labelled sets per seed"""
    strategies: tuple[str, ...] | None = None
    """the strategies, by name"""


@dataclass(frozen=True)
class Report:
    """Write the figure and the page of a run again, or one page over several runs."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """folders that `jaxal run` or `jaxal evaluate` wrote"""
    out: Path | None = None
    """folder for the page over several runs"""


COMMANDS = {"run": Run, "evaluate": Evaluate, "report": Report}


def main() -> None:
    """Entry point of `jaxal`. Exit status 2: a mistake in what was given, told in one line."""
    arguments = sys.argv[1:]
    try:
        request = parse(arguments)
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        from jaxal import commands

        commands.execute(request, " ".join(["jaxal", *map(_quoted, arguments)]))
    except (ValueError, OSError) as error:
        sys.exit(_complain(error))
    except KeyboardInterrupt:
        print("jaxal: interrupted; the same command with --resume goes on from the last checkpoint", file=sys.stderr)
        sys.exit(130)


def _complain(error: Exception) -> int:
    print(f"jaxal: error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2


def parse(arguments: list[str]) -> Run | Evaluate | Report:
    """The command that the arguments ask for.

    Raises:
      ValueError: one line, for whatever is wrong with them.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        raise SystemExit(0 if arguments else 2)
    name, *rest = arguments
    if name not in COMMANDS:
        raise ValueError(f"{name} is no command; there are {', '.join(COMMANDS)}")
    default: Any = _from_preset(_preset(rest)) if name == "run" else None
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return tyro.cli(
                COMMANDS[name],  # type: ignore[arg-type]
                prog=f"jaxal {name}",
                args=rest,
                default=default,
                config=(tyro.conf.AvoidSubcommands, tyro.conf.FlagConversionOff),
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


def _plain(boxed: str) -> str:
    """The parser's message without its frame, in one line."""
    lines = [re.sub(r"[─│╭╮╰╯]+", " ", line).strip() for line in boxed.splitlines()]
    text = " ".join(line for line in lines if line)
    text = re.sub(r"^(Parsing error|Invalid value|Required options|Unrecognized options?|Missing value)\s+", "", text)
    return text or "the arguments cannot be understood; see --help"


def _quoted(argument: str) -> str:
    return argument if re.fullmatch(r"[\w@%+=:,./-]+", argument) else "'" + argument.replace("'", "'\"'\"'") + "'"


def _overview() -> str:
    lines = [f"  {name:10s} {command.__doc__}" for name, command in COMMANDS.items()]
    return "\n".join(["usage: jaxal COMMAND ...; jaxal COMMAND --help tells its flags", "", *lines])
