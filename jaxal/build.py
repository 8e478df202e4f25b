"""From a config to its parts, and what the parts and a data set must agree on."""

from dataclasses import replace

from jaxal.classifiers import CLASSIFIERS, Classifier
from jaxal.config import Config, SettingError
from jaxal.encoders import ENCODERS
from jaxal.mdp.environment import Environment, make_environment
from jaxal.mdp.metrics import REWARDS
from jaxal.mdp.observation import ACTION_FEATURES, STATE_FEATURES
from jaxal.policies import LEARNERS, expand
from jaxal.registry import Registry, UnknownNameError
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Task


def resolved(config: Config) -> Config:
    """The config with "all" strategies spelt out.

    Raises:
      SettingError: for a name that stands for nothing, or a classifier that cannot be made.
    """
    environment, encoder = config.environment, config.inputs.encoder
    if encoder and encoder not in ENCODERS:
        raise SettingError("inputs", "encoder", f"is {encoder!r}; it must be among {', '.join(ENCODERS)}")
    named: tuple[tuple[str, Registry, tuple[str, ...]], ...] = (
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
    return replace(config, evaluation=replace(config.evaluation, strategies=strategies))


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
