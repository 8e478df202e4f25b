"""What is refitted at every step of an episode. A new one is a factory and a line in `CLASSIFIERS`."""

from typing import Protocol

from jaxal.classifiers.classifier import Classifier
from jaxal.classifiers.finetune import finetune, trainable_encoder
from jaxal.classifiers.linear_probe import linear_probe
from jaxal.config import Config
from jaxal.registry import Registry
from jaxal.tasks.distances import Distance


class ClassifierFactory(Protocol):
    """How a classifier is made."""

    def __call__(self, config: Config, distance: Distance, /) -> Classifier:
        """The classifier for these settings, and this distance between latents."""
        ...


def _linear_probe(config: Config, distance: Distance) -> Classifier:
    """A linear head on frozen latents, fitted in Gram space."""
    return linear_probe(config.probe, distance)


def _finetune(config: Config, distance: Distance) -> Classifier:
    """The whole network, trained at every step (the paper's own)."""
    return finetune(config.finetune, trainable_encoder(config), distance)


CLASSIFIERS: Registry[ClassifierFactory] = Registry(
    "classifier", {"linear_probe": _linear_probe, "finetune": _finetune}
)
