"""What a config and a data set must agree on before a run begins, told in one line that names the flag."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxal.config import Config
from jaxal.data.dataset import DataError, Dataset
from jaxal.data.splits import Split
from jaxal.experiment import classifier_for
from jaxal.mdp.observation import ACTION_FEATURES, STATE_FEATURES

LAST_SEED = 2**31 - 1


def check_settings(config: Config) -> None:
    """What the config cannot check by itself.

    Raises:
      ValueError: for the name of a feature that is none, a number that is none, a classifier that cannot be made, or
        seeds that keys cannot hold.
    """
    for part in dataclasses.fields(config):
        for name, value in dataclasses.asdict(getattr(config, part.name)).items():
            if isinstance(value, float) and not np.isfinite(value):
                raise ValueError(f"{part.name}.{name} is {value}; it must be a finite number")
    environment, evaluation = config.environment, config.evaluation
    for field, names, known in (
        ("state_features", environment.state_features, STATE_FEATURES),
        ("action_features", environment.action_features, ACTION_FEATURES),
    ):
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise ValueError(f"{field} is {', '.join(unknown) or 'empty'}; it must be among {', '.join(known)}")
    if config.finetunes and not config.inputs.encoder:
        raise ValueError(
            "classifier is 'finetune'; it trains an encoder of images: name an --encoder, such as resnet50"
        )
    classifier_for(config)
    if evaluation.first_seed + evaluation.seeds > LAST_SEED:
        raise ValueError(f"first_seed is {evaluation.first_seed}; first_seed + seeds must be at most {LAST_SEED}")


def check_parts(dataset: Dataset, parts: Split, needed: Sequence[str]) -> None:
    """That no part of a split that is needed is empty.

    Raises:
      DataError: one line.
    """
    for name in needed:
        if not len(getattr(parts, name)):
            raise DataError(f"{dataset.name}: {len(dataset)} rows leave none for {name}; give more, or --split.{name}")


def check_room(config: Config, where: str, classes: int, pool: int) -> None:
    """That an episode has at least one step, and a pool that lasts for all of them.

    Raises:
      ValueError: one line.
    """
    settings = config.environment
    first = max(settings.initial, classes)
    if settings.budget < first + settings.batch:
        raise ValueError(
            f"budget is {settings.budget}; with {first} initial labels (at least one for each class of {where}) and "
            f"{settings.batch} a step it must be at least {first + settings.batch}"
        )
    if settings.budget > pool:
        raise ValueError(f"budget is {settings.budget}; it must be at most {pool}, the pool rows of {where}")
