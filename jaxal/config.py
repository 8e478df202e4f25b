"""Every setting of an experiment, as frozen, hashable dataclasses. `presets.py` has settings that go together.

A config holds numbers and names, never arrays, so that a jitted function can capture it: equal configs share one
compiled program. What a name stands for is in a registry (`jaxal list` prints them all).
"""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from jaxal.files import expanded

LARGEST_SIDE = 4096  # of the images that an encoder is given, in pixels
MOST_EPOCHS = 100_000  # of a fit, so that its minibatches can be counted in 32 bits
MOST_SEEDS = 10_000
MOST_ROWS = 10_000_000  # of a part of a split, and of whatever else is counted in rows
MOST_ITERATIONS = 1_000_000
MOST_AT_ONCE = 100_000  # episodes, candidates and other things that are held side by side
MOST_LAYERS, MOST_UNITS = 32, 65_536  # of the Q-network
LAST_SEED = 2**31 - 1  # the largest number that a key is made from
PAPER_FEATURES = ("score", "mean_distance_labelled", "mean_distance_unlabelled")


class SettingError(Exception):
    """A setting that cannot be used. Its message is one line: which setting, its value, and what would be right.

    It is not a `ValueError`, which the parser of the command line would take for its own, and tell without the flag.

    Attributes:
      part: the part of a `Config` that it belongs to, such as "train"; "" where it belongs to none.
      name: the setting.
      fact: the rest of the message, which the name begins.
    """

    def __init__(self, part: str, name: str, fact: str):
        super().__init__(f"{part}.{name} {fact}" if part else f"{name} {fact}")
        self.part, self.name, self.fact = part, name, fact


class Settings:
    """What each part of a `Config` has in common: its numbers are finite, and it checks itself."""

    def __post_init__(self) -> None:
        for setting in fields(self):  # type: ignore[arg-type]
            value = getattr(self, setting.name)
            self.require(not isinstance(value, float) or math.isfinite(value), setting.name, "a finite number")
        self.check()

    def check(self) -> None:
        """Raises a `SettingError` for a value that can never be right."""

    def require(self, condition: bool, name: str, right: str) -> None:
        """Raises a `SettingError` about the setting `name` unless `condition` holds; `right` completes its sentence."""
        if not condition:
            raise SettingError(_part_of(type(self)), name, f"is {getattr(self, name)!r}; it must be {right}")

    def positive(self, *names: str) -> None:
        """That each of these settings is above 0."""
        for name in names:
            self.require(getattr(self, name) > 0, name, "greater than 0")

    def at_most(self, most: int, *names: str) -> None:
        """That each of these settings is not so large that the work would never end."""
        for name in names:
            self.require(getattr(self, name) <= most, name, f"at most {most:,}")

    def fraction(self, *names: str) -> None:
        """That each of these settings is between 0 and 1."""
        for name in names:
            self.require(0 <= getattr(self, name) <= 1, name, "between 0 and 1")


@dataclass(frozen=True)
class Reading(Settings):
    """How images are read, and how they become latents."""

    encoder: str = ""
    """encoder of images: resnet18, 34, 50, 101 or 152, efficientnet-lite0, pixels, or one of a plug-in; empty for
    features, which are latents already"""
    weights: str = ""
    """weights of the encoder: a .pth or .safetensors file, hf:OWNER/NAME[/FILE][@REVISION]; random: untrained;
    empty: the published ones"""
    width: int = 0
    """channels of a ResNet's first stage; 0: as published"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type that the encoder computes in; its parameters are float32"""
    image_size: int = 0
    """side that images are resized to, in pixels; 0: the encoder's own"""
    group_regex: str = ""
    """where the group (patient) of an image stands in its file name; one group"""
    strict: bool = False
    """an image that cannot be read is an error, not a notice"""
    cache_dir: str = "~/.cache/jaxal"
    """folder in which latents are kept"""

    @property
    def cache(self) -> Path:
        """`cache_dir`, its ~ expanded. ValueError, one line, where there is no such home folder."""
        return expanded(self.cache_dir)

    def check(self) -> None:
        """See `Settings`."""
        right = f"0 (the encoder's own) or more, and at most {LARGEST_SIDE}"
        self.require(0 <= self.image_size <= LARGEST_SIDE, "image_size", right)
        self.require(self.width >= 0, "width", "0 (as published) or more")
        self.at_most(MOST_UNITS, "width")

    @property
    def encoder_options(self) -> dict[str, Any]:
        """What `encoders.make_encoder` is given beside the name."""
        given = {"width": self.width, "dtype": self.dtype}
        return {name: value for name, value in given.items() if value not in (0, "float32")}


@dataclass(frozen=True)
class InputsConfig(Reading):
    """How a data set is read, and how its images become latents."""

    noise: float = 0.0
    """fraction of the data set's pool images that get the paper's noise: zoom, rotation, multiplicative Gaussian;
    data sets of --train-on stay clean"""
    label_regex: str = ""
    """where the class stands in the file names of a folder without class folders; one group"""
    label_column: str = ""
    """column of the labels in a table, or in the table beside a folder of images; empty: the one with a usual name"""
    group_column: str = ""
    """column of the groups (patients) there; empty: the one with a usual name, if there is one"""
    data_dir: str = "~/tensorflow_datasets"
    """folder of prepared TFDS data sets"""

    def check(self) -> None:
        """See `Settings`."""
        super().check()
        self.fraction("noise")


@dataclass(frozen=True)
class SplitConfig(Settings):
    """Rows in each part of a split; 0 lets the size of the data set decide (see `splits.sizes`)."""

    source_pool: int = 0
    """unlabelled pool that the policy is trained on"""
    pool: int = 0
    """unlabelled pool that the strategies are compared on"""
    state: int = 0
    """set-aside rows whose predictions are the state (D_s in the paper); their labels are never used. 0: 30, or a
    fifth of the smallest data set where that is less"""
    reward: int = 0
    """hold-out rows that give the reward (D_R in the paper)"""
    validation: int = 0
    """rows that choose between the parameters seen in training"""
    test: int = 0
    """rows that are only ever reported"""
    protocol: Literal["disjoint", "paper"] = "disjoint"
    """disjoint: train and compare on two pools. paper: on one and the same, as in the paper"""

    def check(self) -> None:
        """See `Settings`."""
        for name in ("source_pool", "pool", "state", "reward", "validation", "test"):
            self.require(getattr(self, name) >= 0, name, "0 (automatic) or more")
            self.at_most(MOST_ROWS, name)


@dataclass(frozen=True)
class ProbeConfig(Settings):
    """The linear head on frozen latents (`linear_probe`)."""

    solver: Literal["newton", "gd", "adam"] = "newton"
    """newton: regularised logistic regression, converged. gd, adam: a fixed number of full-batch epochs"""
    l2: float = 0.1
    """newton: weight of |W|^2 / 2 beside the summed cross-entropy (1 / C of scikit-learn)"""
    iterations: int = 50
    """newton: steps of the fixed-Hessian iteration, warm-started from the last fit"""
    learning_rate: float = 1e-4
    """gd, adam: fixed learning rate"""
    epochs: int = 200
    """gd, adam: passes over the labelled set"""
    restart: bool = True
    """gd, adam: start every fit from zero weights rather than from the last fit's, Adam's moments included"""
    latents: Literal["standardised", "raw"] = "standardised"
    """standardised: centred and scaled by the pool's statistics, and divided by the square root of their number, so
    that one l2 or learning rate suits every encoder. raw: as the encoder gives them, the scale that a learning rate
    refers to when a network with a linear layer is trained"""

    def check(self) -> None:
        """See `Settings`."""
        self.positive("l2", "iterations", "learning_rate", "epochs")
        self.at_most(MOST_EPOCHS, "epochs", "iterations")


@dataclass(frozen=True)
class FinetuneConfig(Settings):
    """The whole network trained at every step (`finetune`)."""

    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-4
    epochs: int = 200
    """passes over the labelled set in a fit"""
    minibatch: int = 16
    """images in a minibatch; where fewer are labelled, some come more than once"""
    weight_decay: float = 0.0
    """what is added to the gradient, times the parameters (PyTorch's `weight_decay`)"""
    restart: bool = True
    """start every fit from the imported weights and a zero head rather than from the last fit's network, Adam's
    moments included"""
    batch_norm: Literal["train", "frozen"] = "train"
    """train: normalise the trained parts by the minibatch and move their running statistics; frozen: by the imported
    ones"""
    trained: Literal["all", "layer4", "head"] = "all"
    """what is trained: all, a ResNet's last stage and the head, or the head alone; the rest stays as imported"""
    augment: bool = False
    """flip training images left to right at random, and turn them by up to pi/12"""
    recompute: bool = False
    """recompute a stage's activations in the backward pass instead of keeping them (`jax.checkpoint`)"""
    block: int = 64
    """rows in a block when all rows are predicted"""
    episodes_at_once: int = 1
    """episodes that run at the same time; `--plan` says how many there is room for"""

    def check(self) -> None:
        """See `Settings`."""
        self.positive("learning_rate", "epochs", "block", "episodes_at_once")
        self.at_most(MOST_EPOCHS, "epochs")
        self.at_most(MOST_AT_ONCE, "minibatch", "block", "episodes_at_once")
        self.require(self.minibatch >= 2, "minibatch", "at least 2, for batch normalisation")
        self.require(self.weight_decay >= 0, "weight_decay", "0 or more")


@dataclass(frozen=True)
class EnvironmentConfig(Settings):
    """The Markov decision process: what is labelled, what the agent sees, what it is rewarded for."""

    classifier: str = "linear_probe"
    """what is refitted after every step: linear_probe (a linear head on frozen latents), finetune (the whole
    network), or one of a plug-in"""
    budget: int = 0
    """labels at the end of an episode, the initial ones included. 0: 60 (or three a class, where that is more), but at
    most half of the smallest pool"""
    batch: int = 1
    """labels per step (N in the paper)"""
    initial: int = 0
    """labels at the start, one per class first and random after; at least one per class, and 0 means just that"""
    batch_selection: Literal["sequential", "top_n"] = "sequential"
    """how the policy picks N: re-scoring after each pick with what needs no label, or the N highest at once (eq. 3)"""
    reward: str = "accuracy"
    """what the reward is the gain in, on the reward rows: accuracy (eq. 2), soft_accuracy (smooth, whatever
    the logits' scale), probability (mean of the true class), log_loss (negated), any other metric of the report, or one
    of a plug-in"""
    distance: str = "euclidean"
    """distance between latents: euclidean, squared_euclidean, cosine, or one of a plug-in"""
    state_features: tuple[str, ...] = ("top_probability",)
    """parts of the state vector, by name (`jaxal list state-features`)"""
    action_features: tuple[str, ...] = PAPER_FEATURES
    """features of a candidate, by name (`jaxal list action-features`)"""
    standardise: bool = True
    """standardise the action features over the candidates of the present state"""

    def check(self) -> None:
        """See `Settings`."""
        self.positive("batch")
        self.require(self.initial >= 0, "initial", "0 (one per class) or more")
        right = f"0 (automatic), or more than initial ({self.initial})"
        self.require(self.budget == 0 or self.budget > self.initial, "budget", right)
        self.at_most(MOST_AT_ONCE, "budget", "batch", "initial")
        for name in ("state_features", "action_features"):
            self.require(len(getattr(self, name)) > 0, name, "at least one name")


@dataclass(frozen=True)
class AgentConfig(Settings):
    """The double deep Q-network."""

    label: str = "learned (DDQN)"
    """what the policy is called in tables and figures"""
    hidden: tuple[int, ...] = (128, 128, 128)
    """widths of the hidden layers"""
    residual: str = ""
    """an action feature that is added to Q, the last layer starting at zero: the untrained policy then takes the
    largest value of that feature (the smallest, where the weight is negative). Empty: none"""
    residual_weight: float = 1.0
    """what the residual is multiplied by: about the deviations of reward that one deviation of the feature is worth"""
    gamma: float = 0.99
    """discount"""
    target: Literal["double_q", "paper"] = "double_q"
    """who selects and who evaluates the next actions: (online, target), or (target, online) as eq. 4 is printed"""
    learning_rate: float = 1e-4
    loss: Literal["huber", "squared"] = "squared"
    gradient_clip: float = 0.0
    """largest global norm of a gradient; 0: not clipped"""
    target_rate: float = 0.01
    """share of the online parameters that moves into the target parameters after each update"""
    minibatch: int = 32
    """transitions in an update"""
    replay: Literal["uniform", "prioritised"] = "uniform"
    replay_capacity: int = 10_000
    priority_exponent: float = 3.0
    """prioritised: exponent of |TD error|"""

    def check(self) -> None:
        """See `Settings`."""
        self.positive("learning_rate", "minibatch", "priority_exponent")
        self.fraction("gamma", "target_rate")
        self.require(self.gradient_clip >= 0, "gradient_clip", "0 (off) or more")
        right = f"at least minibatch ({self.minibatch})"
        self.require(self.replay_capacity >= self.minibatch, "replay_capacity", right)
        self.at_most(MOST_ROWS, "replay_capacity")
        self.at_most(MOST_AT_ONCE, "minibatch")
        self.require(min(self.hidden, default=0) > 0, "hidden", "at least one positive width")
        widest = len(self.hidden) <= MOST_LAYERS and max(self.hidden) <= MOST_UNITS
        self.require(widest, "hidden", f"at most {MOST_LAYERS} widths of at most {MOST_UNITS:,}")


@dataclass(frozen=True)
class TrainConfig(Settings):
    """How the agent is trained."""

    warm_start_episodes: int = 16
    """random episodes that fill the replay buffer before the first update"""
    episodes: int = 16
    """episodes per iteration, in parallel"""
    iterations: int = 30
    """iterations at the most; early stopping may end sooner"""
    updates: int = 60
    """gradient updates per iteration"""
    candidates: int = 64
    """random unlabelled points among which a training decision is made"""
    target_candidates: int = 64
    """how many of them the target of an update looks at"""
    epsilon_start: float = 1.0
    epsilon_end: float = 0.1
    """probability of a random action, falling linearly over the iterations"""
    scale_reward: bool = False
    """divide rewards by their standard deviation in the warm start, task by task"""
    time_baseline: bool = False
    """subtract the warm start's mean reward at each step, task by task"""
    tasks: int = 1
    """training tasks per data set; with more than one, each is another random cut of the source rows"""
    task_pool: int = 0
    """pool rows of a training task; 0: all that there are"""
    class_subsets: bool = False
    """let half of the multi-class training tasks keep a random subset of the classes"""
    patience: int = 10
    """stop when the mean return of the last `patience` iterations is no more than `tolerance` above that of the
    `patience` before them; 0: never"""
    tolerance: float = 0.0
    validation_episodes: int = 32
    """greedy episodes, from fixed starts, that score parameters on the validation rows"""
    validation_every: int = 5
    """iterations between two validations"""

    def check(self) -> None:
        """See `Settings`."""
        self.positive("warm_start_episodes", "episodes", "iterations", "updates", "candidates", "tasks")
        self.positive("validation_episodes", "validation_every", "target_candidates")
        self.fraction("epsilon_start", "epsilon_end")
        self.require(self.patience >= 0, "patience", "0 (never) or more")
        self.require(self.task_pool >= 0, "task_pool", "0 (all) or more")
        self.at_most(MOST_ITERATIONS, "iterations", "updates", "patience", "validation_every")
        self.at_most(MOST_AT_ONCE, "warm_start_episodes", "episodes", "candidates", "tasks", "validation_episodes")
        self.at_most(MOST_ROWS, "task_pool")
        right = f"at most candidates ({self.candidates})"
        self.require(self.target_candidates <= self.candidates, "target_candidates", right)


@dataclass(frozen=True)
class CounterfactualConfig(Settings):
    """Counterfactual training: at visited states, what each of many labels would bring is computed exactly."""

    score: str = "soft_accuracy"
    """what a gain is a gain in, on the reward rows (`jaxal list rewards`)"""
    candidates: int = 32
    """candidates that are tried at a state"""
    every: int = 3
    """labels between two such states"""
    records: int = 16
    """such states in an episode"""
    initial: int = 30
    """labels that an episode may begin with; it begins with one a class, or at random with up to so many"""
    batch: int = 1
    """labels a step; with more than one, a state may lie within a batch, its first labels still pending"""
    episodes: int = 16
    """episodes per iteration"""
    iterations: int = 60
    penalty: float = 0.1
    """of a linear policy's squared distance from the parameters that training begins with. A policy without hidden
    layers and discount is fitted exactly, by ridge regression; others by gradients"""
    updates: int = 80
    """gradient updates per iteration"""
    minibatch: int = 64
    """states in an update"""
    capacity: int = 30_000
    """states that are kept"""
    own_share: float = 0.6
    """share of the episodes that the present policy plays, once it has learned something; rules play the others"""
    hidden: tuple[int, ...] = ()
    """widths of the hidden layers; none: a linear function, which does as well on data that it has not met"""
    learning_rate: float = 1e-3
    """of AdamW, falling to a fiftieth by a cosine"""
    weight_decay: float = 0.01
    start: Literal["pretrained", "random"] = "pretrained"
    """parameters that training begins with. With those of the pretrained policy (`evaluation.pretrained`), they are
    also what is used where they validate better than what was learned"""
    gamma: float = 0.0
    """discount; above 0, the double-Q value of the next recorded state is added to the gain of the label taken"""

    def check(self) -> None:
        """See `Settings`."""
        self.positive("candidates", "every", "records", "initial", "batch", "episodes", "iterations", "updates")
        self.positive("minibatch", "learning_rate", "penalty")
        self.fraction("own_share", "gamma")
        self.require(self.capacity >= self.minibatch, "capacity", f"at least minibatch ({self.minibatch})")
        self.require(self.candidates >= 20, "candidates", "at least 20, as rules and the policy propose that many")
        self.require(min(self.hidden, default=1) > 0, "hidden", "positive widths")
        self.require(self.weight_decay >= 0, "weight_decay", "0 or more")


@dataclass(frozen=True)
class EvaluationConfig(Settings):
    """What the strategies are compared on."""

    seeds: int = 3
    """splits; each has its own trained policy and its own keys"""
    starts: int = 8
    """initial labelled sets per seed"""
    first_seed: int = 0
    """number of the first seed"""
    strategies: tuple[str, ...] = ("all",)
    """strategies, by name (`jaxal list strategies`), or all"""
    target_accuracy: float = 0.0
    """report the labels needed for this accuracy; 0: 90% of the way from the mean start to the best mean end"""
    pretrained: str = ""
    """policy file of the strategy `pretrained` (`jaxal card` describes one); empty: the package's own"""

    def check(self) -> None:
        """See `Settings`."""
        self.positive("seeds", "starts")
        self.at_most(MOST_SEEDS, "seeds", "starts")
        self.fraction("target_accuracy")
        self.require(self.first_seed >= 0, "first_seed", "0 or more")
        right = f"at most {LAST_SEED - self.seeds}, so that a key can be made from every seed's number"
        self.require(self.first_seed + self.seeds <= LAST_SEED, "first_seed", right)
        self.require(len(self.strategies) > 0, "strategies", "at least one name")

    @property
    def numbers(self) -> range:
        """The numbers of the seeds: all that a seed's split, policy and keys depend on."""
        return range(self.first_seed, self.first_seed + self.seeds)


@dataclass(frozen=True)
class Config:
    """One experiment's settings."""

    inputs: InputsConfig = field(default_factory=InputsConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    counterfactual: CounterfactualConfig = field(default_factory=CounterfactualConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        batch, features = self.environment.batch, self.environment.action_features
        self.train.require(self.train.target_candidates >= batch, "target_candidates", f"at least batch ({batch})")
        right = f"empty or one of {', '.join(features)}"
        self.agent.require(self.agent.residual in ("", *features), "residual", right)


PARTS: dict[str, Any] = {part.name: part.type for part in fields(Config)}
"""The parts of a config, by name."""


def _part_of(kind: type[Any]) -> str:
    return next((name for name, part in PARTS.items() if part is kind), "")
