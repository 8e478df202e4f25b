"""One experiment on the host: cut the tasks, train the policies, compare them with the other strategies.

A seed is one split, one trained policy and its own keys; all seeds run at once by `vmap`.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.build import classifier_for, environment_for
from jaxal.config import Config
from jaxal.data.dataset import Embedded
from jaxal.data.splits import PARTS, Split
from jaxal.evaluate import NO_HOOKS as NO_COMPARISON_HOOKS
from jaxal.evaluate import ComparisonHooks, Contender, evaluate_all
from jaxal.policies import LEARNERS, STRATEGIES, expand
from jaxal.policies.learner import NO_HOOKS, Hooks, Learned
from jaxal.policies.strategy import Setting, Strategy
from jaxal.report import provenance
from jaxal.report.results import Results
from jaxal.report.summary import Curves, Shown, Summary, summarise
from jaxal.seeds import seed_keys
from jaxal.tasks.banks import Recipe, Sources, join_images, make_sources, pad_and_stack
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import standardise

Policies = Mapping[str, Any]
"""Parameters of learned strategies by their names, every leaf with a leading seed axis."""


def learners(config: Config) -> list[str]:
    """Names of the strategies of the config that have to be trained."""
    return [name for name in LEARNERS if name in expand(config.evaluation.strategies)]


def sources_for(config: Config, sources: Sequence[Embedded], splits: Sequence[Sequence[Split]]) -> Sources:
    """What every seed is trained on; `splits` has for each seed the split of each data set."""
    return make_sources(config, classifier_for(config).needs, sources, splits)


def training_memory(config: Config, sources: Sources) -> int:
    """Bytes that training holds for long: the task banks, and what the learners of all seeds keep."""
    seeds, classes = len(sources.dataset), sources.bank.class_mask.shape[-1]
    own = (sources.bank._replace(images=None), sources.validation._replace(images=None), sources.bank.images)
    banks = sum(x.nbytes for x in jax.tree.leaves(own))
    return banks + seeds * max((LEARNERS[name].memory(config, classes) for name in learners(config)), default=0)


def train_policies(config: Config, sources: Sources, hooks: Hooks = NO_HOOKS) -> dict[str, Learned]:
    """Trains what the config's strategies need, for every seed; `hooks` are those of the double DQN."""
    environment = environment_for(config, sources.bank)
    keys = {name: seed_keys(config.evaluation.numbers, f"learn {name}") for name in learners(config)}
    return {name: LEARNERS[name].learn(config, environment, sources, keys[name], hooks) for name in keys}


def policy_shapes(config: Config, seeds: int, classes: int) -> dict[str, Any]:
    """Shapes and dtypes of what `train_policies` learns on data of so many classes."""
    return {name: LEARNERS[name].shapes(config, classes, seeds) for name in learners(config)}


class Evaluation(NamedTuple):
    """Every strategy from the same initial sets."""

    curves: dict[str, Curves]
    shown: dict[str, Shown]
    labels: np.ndarray  # [T + 1] labels at each point of a curve


def compare_strategies(
    config: Config,
    target: Embedded,
    splits: Sequence[Split],
    policies: Policies,
    hooks: ComparisonHooks = NO_COMPARISON_HOOKS,
) -> Evaluation:
    """Runs every strategy of the config on the pool and test rows of each seed's split of `target`.

    Args:
      config: settings.
      target: the data set, with latents.
      splits: of each seed.
      policies: parameters of the learned strategies among them.
      hooks: progress, and what to do with curves.
    """
    needs, distance = classifier_for(config).needs, DISTANCES[config.environment.distance]
    classes = len(target.dataset.classes)
    tests = [[Recipe(target.latents, target.dataset.labels, parts.testing(), classes)] for parts in splits]
    banks = pad_and_stack(tests, join_images([target])[0] if needs.images else None, distance, needs)
    environment = environment_for(config, banks)
    labels = max(config.environment.initial, classes) + environment.batch * np.arange(environment.steps + 1)
    pool_labels = np.asarray(banks.pool_labels[:, 0])

    def prepared(name: str, strategy: Strategy) -> Any:
        if strategy.prepare is None:
            return None
        learned = [jax.tree.map(lambda x, i=i: x[i], policies.get(name)) for i in range(len(splits))]
        settings = [
            Setting(
                config=config,
                seed=seed,
                classes=classes,
                latents=standardise(target.latents[parts.pool])[0],
                labels=pool_labels[i],
                labels_before=labels[:-1],
                learned=learned[i],
            )
            for i, (seed, parts) in enumerate(zip(config.evaluation.numbers, splits, strict=True))
        ]
        return jax.tree.map(lambda *x: jnp.stack(x), *map(strategy.prepare, settings))

    strategies = {name: STRATEGIES[name] for name in expand(config.evaluation.strategies)}
    contenders = {
        name: Contender(strategy, strategy.picks_in_sequence(config), prepared(name, strategy))
        for name, strategy in strategies.items()
    }
    keys = seed_keys(config.evaluation.numbers, "compare")
    curves = evaluate_all(environment, contenders, banks, keys, starts=config.evaluation.starts, hooks=hooks)
    shown = {
        name: Shown(strategy.kind, strategy.label or name.replace("_", " "), strategy.cheats, strategy.colour)
        for name, strategy in strategies.items()
    }
    return Evaluation(curves, shown, labels)


def results_of(
    config: Config,
    evaluation: Evaluation,
    target: Embedded,
    splits: Sequence[Split],
    *,
    trained_on: Sequence[str] = (),
    labels_counted: Mapping[str, int] = MappingProxyType({}),
    training: Mapping[str, Any] = MappingProxyType({}),
    command: str | None = None,
) -> Results:
    """A comparison with all that a report says of it.

    Args:
      config: settings.
      evaluation: the comparison.
      target: the data set that it was made on.
      splits: of each seed.
      trained_on: data sets that learned policies were trained on.
      labels_counted: labels that were needed beside those of an episode, by their use.
      training: the report of the training.
      command: how to ask for it again.
    """
    dataset = target.dataset
    summary: Summary = {
        "config": dataclasses.asdict(config),
        "command": command,
        "dataset": {
            "name": dataset.name,
            "classes": list(dataset.classes),
            **{part: len(rows) for part, rows in zip(PARTS, splits[0], strict=True)},
            "train_on": list(trained_on),
            "notices": list(dataset.notices),
        },
        "labels_counted": {"budget": config.environment.budget, **labels_counted},
        "training": dict(training),
        "environment": provenance.environment(),
        **summarise(config.evaluation, evaluation.curves, evaluation.shown, evaluation.labels),
    }
    return Results(summary, evaluation.curves)


def labels_of_training(splits: Sequence[Split]) -> dict[str, int]:
    """Labels that the training of one seed's policy uses, of all data sets' `splits`, by their use."""
    used = ("source_pool", "reward", "validation")
    return {part: sum(len(getattr(parts, part)) for parts in splits) for part in used}
