"""From a config to its parts."""

import dataclasses
from typing import Any

import jax
import numpy as np

from jaxal.classifiers.classifier import Classifier
from jaxal.classifiers.finetune import finetune
from jaxal.classifiers.linear_probe import linear_probe
from jaxal.config import Config
from jaxal.encoders import make_encoder
from jaxal.encoders.encoder import Encoder
from jaxal.mdp.environment import Environment, make_environment
from jaxal.mdp.observation import ACTION_FEATURES, STATE_FEATURES, state_size
from jaxal.policies.ddqn import Agent, make_agent
from jaxal.tasks.task import Task

LAST_SEED = 2**31 - 1


def environment_for(config: Config, banks: Task) -> Environment:
    """The environment for the shapes of these banks: as many whole steps as the budget has room for."""
    settings = config.environment
    classes = banks.class_mask.shape[-1]
    steps = (settings.budget - max(settings.initial, classes)) // settings.batch
    if steps < 1:
        raise ValueError(
            f"budget is {settings.budget}; with {max(settings.initial, classes)} initial labels and "
            f"{settings.batch} labels a step it must be at least {max(settings.initial, classes) + settings.batch}"
        )
    return make_environment(settings, classifier_for(config), classes, steps)


def classifier_for(config: Config, platform: str | None = None) -> Classifier:
    """The classifier that the config names, for a platform ("cpu", "gpu", ...; None: the present)."""
    metric = config.environment.distance
    if not config.finetunes:
        return linear_probe(config.probe, metric)
    return finetune(config.finetune, encoder_of(config, platform), metric)


def encoder_of(config: Config, platform: str | None = None) -> Encoder:
    """The encoder that the config names, made to be trained on a platform ("cpu", "gpu", ...; None: the present)."""
    options: dict[str, Any] = dict(config.inputs.encoder_options)
    if config.finetune.recompute:
        options["recompute"] = True
    if config.inputs.encoder != "pixels" and (platform or jax.default_backend()) == "cpu":
        options["in_loop"] = True
    return make_encoder(config.inputs.encoder, **options)


def agent_for(config: Config, classes: int) -> Agent:
    """The agent for data of so many classes; only some state features depend on the number."""
    settings = config.environment
    size = state_size(settings.state_features, config.split.state, classes)
    return make_agent(config.agent, size, settings.action_features, settings.batch)


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
