"""The public functions: load, embed, compare, train. `jaxal/__init__.py` has their names."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxal.build import classifier_for, learners, resolved
from jaxal.classifiers import CLASSIFIERS
from jaxal.config import PARTS, Config, SettingError
from jaxal.data.arrays import from_arrays
from jaxal.data.dataset import Dataset
from jaxal.encoders import ENCODERS, Encoder
from jaxal.encoders.latents import Read, open_dataset, read, with_noise
from jaxal.evaluate import ComparisonHooks
from jaxal.experiment import (
    check_memory,
    compare_strategies,
    labels_of_training,
    results_of,
    sources_for,
    train_policies,
)
from jaxal.mdp.metrics import REWARDS
from jaxal.mdp.observation import ACTION_FEATURES, STATE_FEATURES
from jaxal.policies import LEARNERS, STRATEGIES
from jaxal.policies.learner import Hooks
from jaxal.policies.policy import Policy
from jaxal.prepare import prepare
from jaxal.presets import PRESETS
from jaxal.registry import Registry
from jaxal.report import terminal
from jaxal.report.results import Results
from jaxal.seeds import pinned
from jaxal.tasks.distances import DISTANCES

Data = Dataset | str | tuple[Any, Any]
"""A data set, its name or path, or (X, y): features [n, D] or images [n, H, W, channels], and labels [n]."""

OWN: dict[str, Registry[Any]] = {
    "reward": REWARDS,
    "distance": DISTANCES,
    "classifier": CLASSIFIERS,
    "encoder": ENCODERS,
    "state_features": STATE_FEATURES,
    "action_features": ACTION_FEATURES,
}
"""Settings that name a part, which may be given as an object instead."""


def load(source: str, **settings: Any) -> Dataset:
    """A data set by its name or path: bundled (digits, breast-cancer, wine), a .npz file, a folder of images, TFDS.

    Args:
      source: the name or path.
      settings: of `InputsConfig`, such as `group_regex` or `strict`.

    Raises:
      DataError, SettingError: one line, for what cannot be read or used.
    """
    return open_dataset(source, configure(**settings).inputs)


@pinned()
def embed(data: Data, encoder: "str | Encoder", **settings: Any) -> Dataset:
    """A data set of images as one of latents [n, D]; they are kept on disk, and computed once.

    Args:
      data: images.
      encoder: by name or as an object.
      settings: of `InputsConfig`, such as `weights` or `image_size`.

    Raises:
      DataError, SettingError, WeightsError: one line, for what cannot be read or used.
    """
    config = resolved(configure(encoder=encoder, **settings))
    found = read(_dataset(data, config), config.inputs).embedded
    return dataclasses.replace(found.dataset, inputs=np.asarray(found.latents))


def configure(preset: str = "default", config: Config | None = None, **settings: Any) -> Config:
    """A config from settings by their names, as the command line's flags have them.

    Args:
      preset: what the settings start from, unless there is a
      config: from which they start.
      settings: `budget=60`, `reward="accuracy"` and the like for those of `InputsConfig`, `EnvironmentConfig` and
        `EvaluationConfig`; a dict for the other parts, as in `train={"iterations": 5}`. A reward, distance, classifier,
        encoder or feature may be an object, which is registered by its name.

    Raises:
      SettingError: one line, for a name or a value that cannot be used.
    """
    made = PRESETS[preset]() if config is None else config
    changes: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        if name in PARTS and isinstance(value, Mapping):
            for each in value:
                _require_setting(name, each)
            changes.setdefault(name, {}).update(value)
            continue
        home = next((part for part in ("inputs", "environment", "evaluation") if _has(part, name)), None)
        if home is None:
            others = [part for part in PARTS if _has(part, name)]
            hint = f"give {others[0]}={{{name!r}: ...}}" if others else "see jaxal.Config"
            raise SettingError("", name, f"is not a setting; {hint}")
        changes.setdefault(home, {})[name] = _registered(name, value)
    parts = {part: dataclasses.replace(getattr(made, part), **changed) for part, changed in changes.items()}
    return dataclasses.replace(made, **parts)


def _has(part: str, name: str) -> bool:
    return name in {field.name for field in dataclasses.fields(PARTS[part])}


def _require_setting(part: str, name: str) -> None:
    if not _has(part, name):
        known = ", ".join(field.name for field in dataclasses.fields(PARTS[part]))
        raise SettingError(part, name, f"is not a setting; there are {known}")


def _registered(setting: str, value: Any) -> Any:
    """The name, or names, that stand for what is given; objects are registered."""
    if setting not in OWN:
        return tuple(value) if isinstance(value, list) else value
    registry = OWN[setting]
    if setting.endswith("_features"):
        return tuple(each if isinstance(each, str) else _register(registry, each) for each in value)
    return value if isinstance(value, str) else _register(registry, value)


def _register(registry: Registry[Any], part: Any) -> str:
    name = getattr(part, "name", None) or getattr(part, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise ValueError(
            f"this {registry.kind} has no name; register it: jaxal.{_constant(registry)}.register(NAME, it)"
        )
    registry.register(name, part)
    return name


def _constant(registry: Registry[Any]) -> str:
    return registry.kind.upper().replace(" ", "_") + "S"


@pinned()
def train(data: Data | list[Data], config: Config | None = None, *, progress: bool = True, **settings: Any) -> Policy:
    """Trains a policy for every seed: the first of the config's strategies that learn.

    It is trained on the source pool of each seed's split, and `compare` takes another pool and other rows of the same
    split, so that a policy may honestly be compared on the data set that it was trained on.

    Args:
      data: one data set, or several; where `noise` is asked for, several stay clean.
      config: settings to start from; the default preset by default.
      progress: show how far it is.
      settings: see `configure`.

    Raises:
      DataError, SettingError: one line, for what cannot be used.
    """
    made = resolved(configure(config=config, **settings))
    made = resolved(configure(config=made, strategies=tuple(learners(made)[:1])))
    opened = [_dataset(each, made) for each in (data if isinstance(data, list) else [data])]
    prepared = prepare(made, None, opened)
    made, cuts = prepared.config, prepared.source_splits
    found = [_read(dataset, made) for dataset in opened]
    sources = [each.embedded for each in found]
    if len(found) == 1:
        sources[0], moved = with_noise(found[0], [cut[0] for cut in cuts], made.inputs, made.evaluation.numbers)
        cuts = [(split,) for split in moved]
    check_memory(prepared, None, sources)
    with terminal.progress("training", quiet=not progress) as shown:
        learned = train_policies(made, sources_for(made, sources, cuts), Hooks(progress=shown))
    name, learned = next(iter(learned.items()))
    return Policy(name, learned.params, made, tuple(source.dataset.name for source in sources), learned.report)


@pinned()
def compare(
    data: Data,
    strategies: Sequence[Any] | Mapping[str, Any] = ("all",),
    config: Config | None = None,
    *,
    progress: bool = True,
    **settings: Any,
) -> Results:
    """Compares strategies from the same initial sets, on data that none of them has seen.

    Args:
      data: the data set.
      strategies: names; functions (observation, key) -> utilities [K]; `Strategy` objects by the names of a mapping;
        `Policy` objects. "all" stands for all that there are; those that learn are trained first, on the source pool.
      config: settings to start from; by default the policy's, or else the default preset.
      progress: show how far it is.
      settings: see `configure`.

    Raises:
      DataError, SettingError, UnknownNameError: one line, for what cannot be used.
    """
    listed = strategies if isinstance(strategies, Mapping) else {_name(each): each for each in strategies}
    policies = {name: each for name, each in listed.items() if isinstance(each, Policy)}
    for name, each in listed.items():
        if not isinstance(each, str | Policy):
            STRATEGIES.register(name, each)
    if config is None:
        config = _config_of(policies)
    wanted: dict[str, Any] = {"strategies": tuple(listed), **settings}
    made = resolved(configure(config=config, **wanted))
    dataset = _dataset(data, made)
    params = {name: _params_for(policy, made, dataset) for name, policy in policies.items()}
    untrained = [name for name in learners(made) if name not in params]
    prepared = prepare(made, dataset, [dataset] if untrained else [])
    made, splits = prepared.config, prepared.splits
    found = _read(dataset.noting(*prepared.notices), made)
    target, splits = with_noise(found, splits, made.inputs, made.evaluation.numbers)
    check_memory(prepared, target, [target] if untrained else [])
    for name, policy in policies.items():
        _check_fit(policy, params[name], made, dataset)
    report: dict[str, Any] = {}
    trained_on = {name: None for policy in policies.values() for name in policy.trained_on}
    if untrained:
        only = dataclasses.replace(made, evaluation=dataclasses.replace(made.evaluation, strategies=tuple(untrained)))
        bank = sources_for(only, [target], [(split,) for split in splits])
        with terminal.progress("training", quiet=not progress) as shown:
            learned = train_policies(only, bank, Hooks(progress=shown))
        params |= {name: each.params for name, each in learned.items()}
        report = next(iter(learned.values())).report
        trained_on[dataset.name] = None
    with terminal.progress("comparing", quiet=not progress) as shown:
        evaluation = compare_strategies(made, target, splits, params, ComparisonHooks(progress=shown))
    return results_of(
        made,
        evaluation,
        target,
        splits,
        trained_on=list(trained_on),
        labels_counted=labels_of_training([splits[0]]) if untrained else {},
        training=report,
        reader=found.reader,
    )


def _name(strategy: Any) -> str:
    if isinstance(strategy, str):
        return strategy
    name = getattr(strategy, "name", None) or getattr(strategy, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise ValueError("a strategy has no name; give strategies as a mapping, {NAME: strategy}")
    return name


def _config_of(policies: Mapping[str, Policy]) -> Config | None:
    """The settings that policies are used with: those that they were trained with."""
    configs = [policy.config for policy in policies.values()]
    for config in configs[1:]:
        if (config.environment, config.agent) != (configs[0].environment, configs[0].agent):
            raise ValueError("the policies were trained with different settings; compare them one at a time")
    return configs[0] if configs else None


def _params_for(policy: Policy, config: Config, dataset: Dataset) -> Any:
    """The parameters of a policy for each seed, by the seeds' numbers.

    Raises:
      SettingError: for a seed that it was not trained for, or when rows that it was trained on would be used to judge
        it.
    """
    trained, asked = policy.config.evaluation.numbers, config.evaluation.numbers
    if not set(asked) <= set(trained):
        name = "first_seed" if len(asked) <= len(trained) else "seeds"
        there = f"the policy was trained for seeds {trained[0]} to {trained[-1]}"
        raise SettingError(
            "evaluation", name, f"is {getattr(config.evaluation, name)}; {there}, and they alone can be had"
        )
    if dataset.name in policy.trained_on:
        before, now = ((each.split, each.inputs.noise) for each in (policy.config, config))
        if before != now:
            fact = f"differs from that of the policy, which was trained on {dataset.name}; rows would be used twice"
            raise SettingError("", "split", fact)
    first = asked[0] - trained[0]
    return jax.tree.map(lambda x: x[first : first + len(asked)], policy.params)


def _dataset(data: Data, config: Config) -> Dataset:
    if isinstance(data, tuple):
        return from_arrays("data", *data)
    return open_dataset(data, config.inputs) if isinstance(data, str) else data


def _check_fit(policy: Policy, params: Any, config: Config, dataset: Dataset) -> None:
    """That a policy's parameters are those of a network for this data and these settings.

    Raises:
      ValueError: one line.
    """
    wanted = LEARNERS[policy.name].shapes(config, len(dataset.classes), config.evaluation.seeds)
    sizes = [[(x.shape, str(x.dtype)) for x in jax.tree.leaves(tree)] for tree in (wanted, params)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"the policy of {policy.name} was trained with other state rows, features or layers, or for another number "
            f"of classes than {dataset.name} has; leave out the settings that differ from the policy's"
        )


def _read(dataset: Dataset, config: Config) -> Read:
    return read(dataset, config.inputs, classifier_for(config).needs.images)
