"""Every setting of an experiment, as frozen, hashable dataclasses. `presets.py` has settings that go together.

A config holds numbers and names, never arrays, so that it can be captured by a jitted function: equal configs share
one compiled program.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Literal

LARGEST_SIDE = 4096  # of images that an encoder is given, in pixels
MOST_EPOCHS = 100_000  # of a fit, so that its minibatches can be counted in 32 bits
PAPER_FEATURES = ("score", "mean_distance_labelled", "mean_distance_unlabelled")
STRATEGIES = (
    "ddqn",
    "linear_cem",
    "random",
    "margin",
    "entropy",
    "least_confidence",
    "average_confidence",
    "k_center",
    "typicality",
    "typiclust",
    "untrained_q",
    "balanced_oracle",
)


def _require(condition: bool, field_name: str, value: object, right: str) -> None:
    if not condition:
        raise ValueError(f"{field_name} is {value!r}; it must be {right}")


def _positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(value > 0, name, value, "greater than 0")


def _fraction(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _require(0 <= value <= 1, name, value, "between 0 and 1")


@dataclass(frozen=True)
class InputConfig:
    """How a data set is read, and how its images become latents."""

    encoder: str = ""
    """encoder of images: resnet18, 34, 50, 101 or 152, efficientnet-lite0, or pixels; empty for features, which are
    latents as they are"""
    weights: str = ""
    """weights of the encoder: a .pth or .safetensors file, hf:OWNER/NAME[/FILE][@REVISION]; random: untrained;
    empty: the published"""
    width: int = 0
    """channels of a ResNet's first stage; 0: as published"""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """type that the encoder computes in; its parameters are float32"""
    image_size: int = 0
    """side that images are resized to, in pixels; 0: the encoder's own"""
    noise: float = 0.0
    """fraction of the data set's pool images that get the paper's noise: zoom, rotation, multiplicative Gaussian;
    data sets of --train-on stay clean"""
    label_regex: str = ""
    """where the class stands in the file names of a folder without class folders; one group"""
    group_regex: str = ""
    """where the group (patient) of an image stands in its file name; one group"""
    strict: bool = False
    """an image that cannot be read is an error, not a notice"""
    cache_dir: str = "~/.cache/jaxal"
    """folder that latents are kept in"""
    data_dir: str = "~/tensorflow_datasets"
    """folder of prepared TFDS data sets"""

    def __post_init__(self):
        _fraction(self, "noise")
        right = f"0 (the encoder's own) or more, and at most {LARGEST_SIDE}"
        _require(0 <= self.image_size <= LARGEST_SIDE, "image_size", self.image_size, right)
        _require(self.width >= 0, "width", self.width, "0 (as published) or more")

    @property
    def encoder_options(self) -> dict[str, Any]:
        """What `encoders.make_encoder` is told beside the name."""
        given = {"width": self.width, "dtype": self.dtype}
        return {name: value for name, value in given.items() if value not in (0, "float32")}


@dataclass(frozen=True)
class SplitConfig:
    """Rows in each part of a split; 0 lets the size of the data set decide (see `splits.sizes`)."""

    source_pool: int = 0
    """unlabelled pool that the policy is trained on"""
    pool: int = 0
    """unlabelled pool that the strategies are compared on"""
    state: int = 30
    """set-aside rows whose predictions are the state (D_s in the paper); their labels are never used"""
    reward: int = 0
    """hold-out rows that give the reward (D_R in the paper)"""
    validation: int = 0
    """rows that choose between the parameters seen in training"""
    test: int = 0
    """rows that are only ever reported"""
    protocol: Literal["disjoint", "paper"] = "disjoint"
    """disjoint: train and compare on two pools. paper: on one and the same, as in the paper"""

    def __post_init__(self):
        for name in ("source_pool", "pool", "reward", "validation", "test"):
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 (automatic) or more")
        _require(self.state >= 1, "state", self.state, "at least 1")


@dataclass(frozen=True)
class ProbeConfig:
    """The linear head on frozen latents (`classifier.linear_probe`)."""

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
    """standardised: centred and scaled by the pool's statistics, and divided by the root of their number, so that one
    l2 or learning rate suits every encoder. raw: as the encoder gives them, the scale that a learning rate refers to
    when a network with a linear layer is trained"""

    def __post_init__(self):
        _positive(self, "l2", "iterations", "learning_rate", "epochs")
        _require(self.epochs <= MOST_EPOCHS, "epochs", self.epochs, f"at most {MOST_EPOCHS:,}")


@dataclass(frozen=True)
class FinetuneConfig:
    """The whole network trained at every step (`finetune.finetune`)."""

    optimiser: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 1e-4
    epochs: int = 200
    """passes over the labelled set in a fit"""
    batch_size: int = 16
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
    """episodes that run at the same time; `--plan` says how many have room"""

    def __post_init__(self):
        _positive(self, "learning_rate", "epochs", "block", "episodes_at_once")
        _require(self.epochs <= MOST_EPOCHS, "epochs", self.epochs, f"at most {MOST_EPOCHS:,}")
        _require(self.batch_size >= 2, "batch_size", self.batch_size, "at least 2, for batch normalisation")
        _require(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")


@dataclass(frozen=True)
class EnvironmentConfig:
    """The Markov decision process: what is labelled, what the agent sees, what it is rewarded for."""

    classifier: Literal["linear_probe", "finetune"] = "linear_probe"
    """what is refitted after every step: a linear head on frozen latents, or the whole network"""
    budget: int = 60
    """labels at the end of an episode, the initial ones included"""
    batch: int = 1
    """labels per step (N in the paper)"""
    initial: int = 0
    """labels at the start, one per class first and random after; at least one per class, and 0 means just that"""
    batch_selection: Literal["sequential", "top_n"] = "sequential"
    """how the policy picks N: re-scoring after each pick with what needs no label, or the N highest at once (eq. 3)"""
    reward: Literal["accuracy", "probability", "log_loss"] = "accuracy"
    """what the reward is the gain in, on the reward rows: accuracy (eq. 2), mean probability of the true class, or
    minus the log-loss"""
    distance: Literal["euclidean", "squared_euclidean", "cosine"] = "euclidean"
    """distance between latents"""
    state_features: tuple[str, ...] = ("top_probability",)
    """parts of the state vector, by name (see `observation.STATE_FEATURES`)"""
    action_features: tuple[str, ...] = PAPER_FEATURES
    """features of a candidate, by name (see `observation.ACTION_FEATURES`)"""
    standardise: bool = True
    """standardise the action features over the candidates of the present state"""

    def __post_init__(self):
        _positive(self, "budget", "batch")
        _require(self.initial >= 0, "initial", self.initial, "0 (one per class) or more")
        _require(self.budget > self.initial, "budget", self.budget, f"more than initial ({self.initial})")
        _require(len(self.action_features) > 0, "action_features", self.action_features, "at least one name")


@dataclass(frozen=True)
class AgentConfig:
    """The double deep Q-network."""

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
    batch_size: int = 32
    replay: Literal["uniform", "prioritised"] = "uniform"
    replay_capacity: int = 10_000
    priority_exponent: float = 3.0
    """prioritised: exponent of |TD error|"""

    def __post_init__(self):
        _positive(self, "learning_rate", "batch_size", "priority_exponent")
        _fraction(self, "gamma", "target_rate")
        _require(self.gradient_clip >= 0, "gradient_clip", self.gradient_clip, "0 (off) or more")
        _require(
            self.replay_capacity >= self.batch_size,
            "replay_capacity",
            self.replay_capacity,
            "at least batch_size",
        )
        _require(
            len(self.hidden) > 0 and min(self.hidden) > 0,
            "hidden",
            self.hidden,
            "at least one positive width",
        )


@dataclass(frozen=True)
class TrainConfig:
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

    def __post_init__(self):
        _positive(self, "warm_start_episodes", "episodes", "iterations", "updates", "candidates", "tasks")
        _positive(self, "validation_episodes", "validation_every", "target_candidates")
        _fraction(self, "epsilon_start", "epsilon_end")
        _require(self.patience >= 0, "patience", self.patience, "0 (never) or more")
        _require(self.task_pool >= 0, "task_pool", self.task_pool, "0 (all) or more")
        _require(
            self.target_candidates <= self.candidates,
            "target_candidates",
            self.target_candidates,
            f"at most candidates ({self.candidates})",
        )


@dataclass(frozen=True)
class EvaluationConfig:
    """What the strategies are compared on."""

    seeds: int = 3
    """splits; each has its own trained policy and its own keys"""
    starts: int = 8
    """initial labelled sets per seed"""
    first_seed: int = 0
    """number of the first seed"""
    strategies: tuple[str, ...] = STRATEGIES
    """the strategies, by name"""
    target_accuracy: float = 0.0
    """report the labels needed for this accuracy; 0: 90% of the way from the mean start to the best mean end"""

    def __post_init__(self):
        _positive(self, "seeds", "starts")
        _fraction(self, "target_accuracy")
        _require(self.first_seed >= 0, "first_seed", self.first_seed, "0 or more")
        unknown = [name for name in self.strategies if name not in STRATEGIES]
        _require(not unknown, "strategies", ", ".join(unknown), f"among {', '.join(STRATEGIES)}")
        _require(len(self.strategies) > 0, "strategies", self.strategies, "at least one name")


@dataclass(frozen=True)
class Config:
    """One experiment's settings."""

    inputs: InputConfig = field(default_factory=InputConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    probe: ProbeConfig = field(default_factory=ProbeConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    agent: AgentConfig = field(default_factory=AgentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self):
        batch, candidates = self.environment.batch, self.train.target_candidates
        _require(candidates >= batch, "target_candidates", candidates, f"at least batch ({batch})")
        residual = self.agent.residual
        features = self.environment.action_features
        _require(
            residual in ("", *features),
            "residual",
            residual,
            f"empty or one of {', '.join(features)}",
        )

    @property
    def finetunes(self) -> bool:
        """Whether the classifier trains the whole network, and so needs images."""
        return self.environment.classifier == "finetune"

    @property
    def episodes_at_once(self) -> int | None:
        """Episodes that run at the same time; None: all there are, and all seeds."""
        return self.finetune.episodes_at_once if self.finetunes else None


def from_dict(content: dict[str, Any]) -> Config:
    """The config that `dataclasses.asdict` turned into `content`, JSON's lists for tuples allowed.

    Raises:
      ValueError: for a part or a field that is no setting, or a value that is not allowed.
    """
    parts = {}
    foreign = sorted(set(content) - {part.name for part in fields(Config)})
    _require(not foreign, "config", ", ".join(foreign), f"made of {', '.join(part.name for part in fields(Config))}")
    for part in fields(Config):
        values = content.get(part.name, {})
        known = {f.name for f in fields(part.type)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - known)
        _require(not unknown, part.name, ", ".join(unknown), f"made of {', '.join(sorted(known))}")
        tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        parts[part.name] = part.type(**tuples)  # type: ignore[operator]
    return Config(**parts)
