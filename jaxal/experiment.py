"""One experiment on the host: cut the tasks, train the policies, compare them with the other strategies.

A seed is one split, one trained policy and its own keys; all seeds run at once by `vmap`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.cem import make_cem
from jaxal.classifier import Classifier, linear_probe
from jaxal.config import Config
from jaxal.data import Dataset
from jaxal.ddqn import Agent, make_agent
from jaxal.encoders import Encoder, make_encoder
from jaxal.environment import Environment, make_environment
from jaxal.evaluate import Curves, evaluate_all
from jaxal.finetune import finetune
from jaxal.observation import state_size
from jaxal.replay import Transition, make_replay, memory_bytes
from jaxal.splits import Split, split
from jaxal.strategies import all_strategies
from jaxal.task import Images, Rows, Task, for_each, make_task, stack, standardise
from jaxal.train import OVER_SEEDS, Progress, Snapshot, Sources, Trained, make_trainer, train
from jaxal.typiclust import plan


class Embedded(NamedTuple):
    """A data set and the latents of its rows."""

    dataset: Dataset
    latents: np.ndarray  # [n, D] float32
    images: Images | None = None  # on the host, where the classifier trains on images


class Recipe(NamedTuple):
    """A task on the host."""

    latents: np.ndarray  # [n, D] float32, of the whole data set
    labels: np.ndarray  # [n] int32, -1 in rows of classes that the task does not have
    rows: Rows
    first_image: int = 0  # place of the data set's first image among those of all data sets


class Policies(NamedTuple):
    """What was learned, every leaf with a leading seed axis."""

    ddqn: Any
    linear_cem: Any  # [seeds, F]


def training_recipes(
    config: Config, source: Embedded, parts: Split, rng: np.random.Generator, first_image: int = 0
) -> list[tuple[Recipe, Recipe]]:
    """The training tasks of one data set and seed, each scored on reward rows and on validation rows.

    One task is the split as it is. More are random cuts of its source and reward rows, half of the multi-class ones
    restricted to a random subset of the classes where the config asks for that. The state rows are the split's in
    every task, whatever their classes: their labels are never used.
    """
    labels, settings = source.dataset.labels, config.train
    if settings.tasks == 1:
        return [
            (
                Recipe(source.latents, labels, parts.training(), first_image),
                Recipe(source.latents, labels, parts.validating(), first_image),
            )
        ]
    rows = np.concatenate([parts.source_pool, parts.reward])
    out = []
    for _ in range(settings.tasks):
        classes = np.arange(len(source.dataset.classes))
        if settings.class_subsets and len(classes) > 2 and rng.random() < 0.5:
            subset = np.sort(rng.choice(classes, rng.integers(2, len(classes) + 1), replace=False))
            if np.isin(labels[rows], subset).sum() >= 4 * len(parts.state):  # else too few rows for a task
                classes = subset
        renamed = np.full(len(source.dataset.classes), -1, np.int32)
        renamed[classes] = np.arange(len(classes))
        task_labels = renamed[labels]
        kept = rng.permutation(rows[task_labels[rows] >= 0])
        held = len(kept) * len(parts.reward) // len(rows)
        reward, pool = np.split(kept, [held])
        pool = pool[: settings.task_pool or len(pool)]
        validation = parts.validation[task_labels[parts.validation] >= 0]
        out.append(
            tuple(
                Recipe(source.latents, task_labels, Rows(pool, parts.state, holdout), first_image)
                for holdout in (reward, validation)
            )
        )
    return out


def make_bank(config: Config, recipes: Sequence[Recipe]) -> Task:
    """The tasks, padded to common shapes."""
    pool, state, holdout = (max(len(r.rows[part]) for r in recipes) for part in range(3))
    classes = max(int(r.labels.max()) + 1 for r in recipes)
    return stack(
        [
            make_task(
                r.latents,
                r.labels,
                r.rows,
                metric=config.environment.distance,
                shape=(pool, state, holdout),
                classes=classes,
                first_image=r.first_image,
                raw=config.finetunes or config.probe.latents == "raw",
                keep_latents=not config.finetunes and config.probe.solver == "adam",
                **({"gram_limit": -1} if config.finetunes else {}),
            )
            for r in recipes
        ]
    )


def make_sources(config: Config, sources: Sequence[Embedded], splits: Sequence[Sequence[Split]]) -> Sources:
    """What every seed is trained on, with a leading seed axis.

    Args:
      config: settings.
      sources: the data sets.
      splits: for each seed, the split of each data set.
    """
    seeds = []
    images, firsts = join_images(sources) if config.finetunes else (None, [0] * len(sources))
    for number, parts in enumerate(splits):
        rng = np.random.default_rng([config.evaluation.first_seed + number, 0x7A5C])
        tasks = [training_recipes(config, *each[:2], rng, each[2]) for each in zip(sources, parts, firsts, strict=True)]
        pairs = [pair for task in tasks for pair in task]
        dataset = jnp.asarray(np.repeat(np.arange(len(sources)), [len(task) for task in tasks]))
        seeds.append((*zip(*pairs, strict=True), dataset))
    bank, validation = (pad_and_stack(config, [seed[i] for seed in seeds], images) for i in range(2))
    return Sources(bank, validation, jnp.stack([seed[2] for seed in seeds]))


def join_images(sources: Sequence[Embedded]) -> tuple[Images, list[int]]:
    """The images of all data sets behind one another, on the device, and where each data set's begin."""
    parts = [source.images for source in sources if source.images is not None]
    assert len(parts) == len(sources), "images are kept where the config finetunes"
    firsts = np.cumsum([0, *(len(part.pixels) for part in parts)])[:-1].tolist()
    pixels = jnp.asarray(parts[0].pixels if len(parts) == 1 else np.concatenate([part.pixels for part in parts]))
    return Images(pixels, jax.tree.map(jnp.asarray, parts[0].variables)), firsts


def pad_and_stack(config: Config, banks: Sequence[Sequence[Recipe]], images: Images | None) -> Task:
    """One bank per seed, all of the same shapes: every leaf [seeds, M, ...], but for the images that all share."""
    made = make_bank(config, [recipe for bank in banks for recipe in bank])
    return jax.tree.map(lambda x: x.reshape(len(banks), -1, *x.shape[1:]), made)._replace(
        index=jnp.tile(jnp.arange(len(banks[0]), dtype=jnp.int32), (len(banks), 1)), images=images
    )


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


def classifier_for(config: Config) -> Classifier:
    """The classifier that the config names."""
    metric = config.environment.distance
    if not config.finetunes:
        return linear_probe(config.probe, metric)
    return finetune(config.finetune, encoder_of(config), metric)


def encoder_of(config: Config) -> Encoder:
    """The encoder that the config names, with its activations recomputed where the config trains it so."""
    recompute = {"recompute": True} if config.finetune.recompute else {}
    return make_encoder(config.inputs.encoder, **config.inputs.encoder_options, **recompute)


def agent_for(config: Config, classes: int) -> Agent:
    """The agent for data of so many classes; only some state features depend on the number."""
    settings = config.environment
    size = state_size(settings.state_features, config.split.state, classes)
    return make_agent(config.agent, size, settings.action_features, settings.batch)


def training_memory(config: Config, sources: Sources) -> int:
    """Bytes that training holds for long: the task banks, and the replay buffers of all seeds."""
    settings, agent = config.environment, config.agent
    seeds, classes = len(sources.dataset), sources.bank.class_mask.shape[-1]
    shaped: Callable[..., Any] = lambda *shape, dtype=jnp.float32: jax.ShapeDtypeStruct(shape, dtype)
    state, features = state_size(settings.state_features, config.split.state, classes), len(settings.action_features)
    next_candidates = config.train.target_candidates
    transition = Transition(
        state=shaped(state),
        actions=shaped(settings.batch, features),
        reward=shaped(),
        discount=shaped(),
        next_state=shaped(state),
        next_actions=shaped(next_candidates, features),
        next_mask=shaped(next_candidates, dtype=jnp.bool_),
    )
    own = (sources.bank._replace(images=None), sources.validation._replace(images=None), sources.bank.images)
    banks = sum(x.nbytes for x in jax.tree.leaves(own))
    return banks + seeds * memory_bytes(agent.replay_capacity, transition)


class Training(NamedTuple):
    """What `train_policies` learned, and how."""

    policies: Policies
    trained: Trained
    env_steps: int
    updates: int
    episodes: int


def train_policies(
    config: Config,
    sources: Sources,
    *,
    progress: Progress = lambda done, total, note: None,
    resume: Callable[[Snapshot], Snapshot | None] = lambda like: None,
    save: Callable[[Snapshot], None] = lambda snapshot: None,
) -> Training:
    """Trains a double DQN, and the linear policy if it is among the strategies, for every seed."""
    environment = environment_for(config, sources.bank)
    agent = agent_for(config, sources.bank.class_mask.shape[-1])
    datasets = int(sources.dataset.max()) + 1
    trainer = make_trainer(config, environment, agent, make_replay(config.agent), datasets)
    keys = jax.random.split(jax.random.key(config.evaluation.first_seed), 2)
    trained = train(trainer, config, sources, keys[0], progress=progress, resume=resume, save=save)
    seeds = len(sources.dataset)
    if "linear_cem" in config.evaluation.strategies:
        search = jax.jit(for_each(make_cem(config, environment), (OVER_SEEDS, 0), 1 if config.finetunes else None))
        weights = jax.device_get(search(sources, jax.random.split(keys[1], seeds)))
    else:
        weights = np.zeros((seeds, len(config.environment.action_features)), np.float32)
    iterations = int(np.sum(~np.isnan(trained.history.returns[:, 0])))
    warm_start = max(config.train.warm_start_episodes, sources.dataset.shape[1])
    episodes = warm_start + iterations * config.train.episodes
    return Training(
        Policies(trained.params, weights),
        trained,
        env_steps=episodes * environment.steps,
        updates=iterations * config.train.updates,
        episodes=episodes,
    )


def policy_shapes(config: Config, seeds: int, classes: int) -> Policies:
    """Shapes and dtypes of what `train_policies` learns on data of so many classes."""
    agent, features = agent_for(config, classes), len(config.environment.action_features)
    params = jax.eval_shape(lambda keys: jax.vmap(agent.init)(keys).params, jax.random.split(jax.random.key(0), seeds))
    return Policies(params, jax.ShapeDtypeStruct((seeds, features), jnp.float32))


class Evaluation(NamedTuple):
    """Every strategy from the same initial sets."""

    curves: dict[str, Curves]
    kinds: dict[str, str]  # of each strategy, see `strategies.Strategy`
    labels: np.ndarray  # [T + 1] labels at each point of a curve


def compare_strategies(
    config: Config,
    target: Embedded,
    splits: Sequence[Split],
    policies: Policies | None,
    *,
    progress: Progress = lambda done, total, note: None,
) -> Evaluation:
    """Runs every strategy of the config on the pool and test rows of each seed's split of `target`."""
    settings = config.environment
    tests = [[Recipe(target.latents, target.dataset.labels, parts.testing())] for parts in splits]
    banks = pad_and_stack(config, tests, join_images([target])[0] if config.finetunes else None)
    environment = environment_for(config, banks)
    agent = agent_for(config, len(target.dataset.classes))
    available = all_strategies(agent.values, settings.batch_selection == "sequential")
    strategies = {name: available[name] for name in config.evaluation.strategies}
    classes = len(target.dataset.classes)
    labels = max(settings.initial, classes) + settings.batch * np.arange(environment.steps + 1)
    seeds = config.evaluation.first_seed + np.arange(len(splits))
    params: dict[str, Any] = {
        "untrained_q": jax.vmap(lambda s: agent.init(jax.random.key(s)).params)(seeds),
        "balanced_oracle": banks.pool_labels[:, 0],
    }
    if policies is not None:
        params |= policies._asdict()
    if "typiclust" in strategies:
        params["typiclust"] = _typiclust_plans(config, target, splits, labels[:-1], banks.pool_labels.shape[-1])
    curves = evaluate_all(
        environment,
        strategies,
        {name: value for name, value in params.items() if name in strategies},
        banks,
        jax.random.key(config.evaluation.first_seed + 1),
        batch=settings.batch,
        starts=config.evaluation.starts,
        at_once=config.episodes_at_once,
        progress=progress,
    )
    return Evaluation(curves, {name: strategy.kind for name, strategy in strategies.items()}, labels)


def _typiclust_plans(config, target, splits, labels, pool_size):
    plans = [
        plan(standardise(target.latents[parts.pool])[0], labels, config.environment.batch, pool_size, seed)
        for seed, parts in enumerate(splits)
    ]
    return jax.tree.map(lambda *x: jnp.stack(x), *plans)


def split_all(config: Config, dataset: Dataset, *, train_only: bool = False) -> list[Split]:
    """The split of each seed."""
    first = config.evaluation.first_seed
    return [split(dataset, config.split, first + i, train_only) for i in range(config.evaluation.seeds)]
