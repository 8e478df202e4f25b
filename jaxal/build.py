"""From a config to its parts, and what the parts and a data set must agree on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from jaxal.classifiers import CLASSIFIERS, Classifier
from jaxal.config import Config, SettingError
from jaxal.encoders import ENCODERS
from jaxal.mdp.environment import Environment, make_environment
from jaxal.mdp.metrics import REWARDS
from jaxal.mdp.observation import ACTION_FEATURES, STATE_FEATURES
from jaxal.policies import LEARNERS, STRATEGIES, expand
from jaxal.registry import Registry, UnknownNameError
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Task


def resolved(config: Config) -> Config:
    """The config with "all" strategies spelt out, which are those that the classifier allows.

    Raises:
      SettingError: for a name that stands for nothing, a classifier that cannot be made, or a strategy that it does not
        allow.
    """
    environment, encoder = config.environment, config.inputs.encoder
    if encoder and encoder not in ENCODERS:
        raise SettingError("inputs", "encoder", f"is {encoder!r}; it must be among {', '.join(ENCODERS)}")
    named: tuple[tuple[str, Registry[Any], tuple[str, ...]], ...] = (
        ("reward", REWARDS, (environment.reward,)),
        ("distance", DISTANCES, (environment.distance,)),
        ("classifier", CLASSIFIERS, (environment.classifier,)),
        ("state_features", STATE_FEATURES, environment.state_features),
        ("action_features", ACTION_FEATURES, environment.action_features),
    )
    for setting, registry, names in named:
        for name in names:
            if name not in registry:
                raise SettingError("environment", setting, f"is {name!r}; it must be among {', '.join(registry)}")
    classifier_for(config)
    try:
        strategies = expand(config.evaluation.strategies)
    except UnknownNameError as error:
        fact = f"is {error.name!r}; it must be among {', '.join(error.known)}, or all"
        raise SettingError("evaluation", "strategies", fact) from None
    allowed = allowed_strategies(config, strategies)
    for name in config.evaluation.strategies:
        if name in strategies and name not in allowed:
            fact = f"holds {name}, which can only be had with --classifier linear_probe and --probe.solver newton"
            raise SettingError("evaluation", "strategies", fact)
    return replace(config, evaluation=replace(config.evaluation, strategies=allowed))


def allowed_strategies(config: Config, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the strategies that the config's classifier allows."""
    refits = config.environment.classifier == "linear_probe" and config.probe.solver == "newton"
    return tuple(name for name in names if refits or not STRATEGIES[name].refits)


def classifier_for(config: Config) -> Classifier:
    """The classifier that the config names."""
    return CLASSIFIERS[config.environment.classifier](config, DISTANCES[config.environment.distance])


def environment_for(config: Config, banks: Task) -> Environment:
    """The environment for the shapes of these banks."""
    classes = banks.class_mask.shape[-1]
    return make_environment(config.environment, classifier_for(config), classes, steps(config, classes))


def learners(config: Config) -> list[str]:
    """Names of the strategies of the config that have to be trained."""
    return [name for name in LEARNERS if name in expand(config.evaluation.strategies)]


def without_learners(config: Config) -> Config:
    """The config with those strategies alone that need no training.

    Raises:
      SettingError: when there are none.
    """
    kept = tuple(name for name in expand(config.evaluation.strategies) if name not in LEARNERS)
    if not kept:
        raise SettingError("evaluation", "strategies", "names only strategies that are trained; name others too")
    return replace(config, evaluation=replace(config.evaluation, strategies=kept))


def steps(config: Config, classes: int) -> int:
    """Steps of an episode: as many whole ones as the budget has room for.

    Raises:
      SettingError: when there is room for none.
    """
    settings = config.environment
    first = max(settings.initial, classes)
    if settings.budget < first + settings.batch:
        fact = (
            f"is {settings.budget}; with {first} initial labels (at least one for each of {classes} classes) and "
            f"{settings.batch} a step it must be at least {first + settings.batch}"
        )
        raise SettingError("environment", "budget", fact)
    return (settings.budget - first) // settings.batch
