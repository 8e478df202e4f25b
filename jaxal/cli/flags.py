"""What each command is asked for: the flags, with their help, as dataclasses."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from jaxal.config import (
    PARTS,
    AgentConfig,
    Config,
    EnvironmentConfig,
    EvaluationConfig,
    FinetuneConfig,
    InputsConfig,
    ProbeConfig,
    SplitConfig,
    TrainConfig,
)

Flat = tyro.conf.arg(name="")  # its fields are flags without a prefix
FLAT = ("inputs", "environment", "evaluation")  # the parts of a config that are flat
Plugins = Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE.py ...", help_behavior_hint="(default: none)")]


def _optional(default: str, metavar: str = "PATH") -> Any:
    """A flag whose default is worked out later; `default` says how."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


SAVED = "the saved run's, as are all other settings"


@dataclass(frozen=True)
class Run:
    """Train a policy, compare it with the other strategies from the same initial sets, and write runs/NAME."""

    dataset: str = "digits"
    """digits, breast-cancer, wine, kather2016, kermany_pneumonia, a .npz, .csv or .parquet file, a folder of images, or
    tfds:NAME"""
    train_on: Annotated[tuple[str, ...], _optional("the data set's own source pool", "DATASET ...")] = ()
    """data sets to train the policy on, so that it meets the data set itself for the first time when it is tested"""
    preset: Literal["default", "paper", "lal-rl"] = "default"
    """the settings that the flags below start from"""
    plugins: Plugins = ()
    """Python files that are run first, to register strategies, features, rewards, distances, classifiers, encoders"""
    out: Annotated[Path | None, _optional("runs/ and the data set's name")] = None
    """folder to write"""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """go on with the interrupted run in the folder"""
    plan: tyro.conf.FlagCreatePairsOff[bool] = False
    """with --classifier finetune: say what memory, operations and time it takes on a GPU, and run nothing"""
    gpu_memory: float = 80.0
    """GB of the GPU that --plan is for"""
    inputs: Annotated[InputsConfig, Flat] = field(default_factory=InputsConfig)
    environment: Annotated[EnvironmentConfig, Flat] = field(default_factory=EnvironmentConfig)
    evaluation: Annotated[EvaluationConfig, Flat] = field(default_factory=EvaluationConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    @property
    def config(self) -> Config:
        """The experiment's settings."""
        return Config(**{part: getattr(self, part) for part in PARTS})


@dataclass(frozen=True)
class Evaluate:
    """Compare a saved policy with the other strategies on a data set.

    The encoder and its classifier are the saved run's, unless flags say otherwise.
    """

    policy: Path
    """folder that `jaxal run` wrote"""
    dataset: str = "digits"
    """as for `jaxal run`"""
    out: Annotated[Path | None, _optional("runs/ and the two names")] = None
    """folder to write"""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """go on with the interrupted comparison in the folder"""
    plugins: Plugins = ()
    """Python files that are run first, to register strategies, features, rewards, distances, classifiers, encoders"""
    budget: Annotated[int | None, _optional(SAVED, "INT")] = None
    """labels at the end of an episode"""
    batch: Annotated[int | None, _optional(SAVED, "INT")] = None
    """labels per step"""
    seeds: Annotated[int | None, _optional(SAVED, "INT")] = None
    """splits; at most the number of policies in the saved run"""
    batch_selection: Annotated[Literal["sequential", "top_n"] | None, _optional(SAVED, "sequential|top_n")] = None
    """how the policy picks several labels a step"""
    starts: Annotated[int | None, _optional(SAVED, "INT")] = None
    """initial labelled sets per seed"""
    strategies: Annotated[tuple[str, ...] | None, _optional(SAVED, "NAME ...")] = None
    """the strategies, by name"""
    classifier: Annotated[str, _optional(SAVED, "NAME")] = "linear_probe"
    """what is refitted after every step; a policy may be trained with one and used with the other"""
    inputs: Annotated[InputsConfig, Flat] = field(default_factory=InputsConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)


@dataclass(frozen=True)
class Embed:
    """Turn a data set of images into latents, in a .npz file that the other commands read."""

    dataset: str
    """a folder of images, a .npz file of images, kather2016, kermany_pneumonia or tfds:NAME"""
    out: Path
    """the .npz file to write"""
    plugins: Plugins = ()
    """Python files that are run first, to register strategies, features, rewards, distances, classifiers, encoders"""
    inputs: Annotated[InputsConfig, Flat] = field(default_factory=InputsConfig)


@dataclass(frozen=True)
class Report:
    """Write the figure and the page of a run again, or one page over several runs."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """folders that `jaxal run` or `jaxal evaluate` wrote"""
    out: Annotated[Path | None, _optional("none")] = None
    """folder for a page over several runs"""


@dataclass(frozen=True)
class List:
    """List what there is by name: data sets, encoders, strategies, features, rewards, distances, classifiers."""

    kind: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="KIND")] = "all"
    """datasets, encoders, strategies, action-features, state-features, rewards, distances, classifiers, presets, or
    all"""
    plugins: Plugins = ()
    """Python files that are run first; what they register is listed too"""


Request = Run | Evaluate | Embed | Report | List
