"""Settings that go together: the paper's, and the steadiest found. A preset is a function that returns a config."""

from dataclasses import replace

from jaxal.config import (
    PAPER_FEATURES,
    AgentConfig,
    Config,
    CounterfactualConfig,
    EnvironmentConfig,
    EvaluationConfig,
    InputsConfig,
    ProbeConfig,
    TrainConfig,
)

STRATEGY = "pretrained"  # that suggests what to label next, where no other is named
DEFAULT_FEATURES = (
    *PAPER_FEATURES,
    "margin",
    "entropy",
    "nearest_labelled",
    "class_frequency",
    "local_density",
    "log_typicality",
    "uncertain_typicality",
)
PAPER_STRATEGIES = ("random", "margin", "entropy", "least_confidence", "average_confidence")
HERDING = ("max_herding", "uherding", "reach_herding", "local_herding", "typical_herding", "chord_herding")


def paper() -> Config:
    """The paper's settings (sections 3 and 4.2), with LAL-RL's where it says that it keeps them."""
    return Config(
        probe=ProbeConfig(solver="gd", latents="raw"),
        environment=EnvironmentConfig(batch_selection="top_n", standardise=False),
        agent=AgentConfig(replay="prioritised"),
        train=TrainConfig(episodes=10, iterations=40),
        evaluation=EvaluationConfig(strategies=("ddqn", "untrained_q", *PAPER_STRATEGIES)),
    )


def lal_rl() -> Config:
    """LAL-RL (Konyushkova et al. 2018) as the paper compares with it: the same agent and training as `paper`.

    What differs is the classifier, logistic regression on the data themselves at the encoders' image size, and what
    the agent sees of it: probabilities of class 0 and mean cosine distances between the data, in the authors' order.
    scikit-learn's C = 1 on D standardised features is an l2 of 1 / D here, or 2 / D with two classes; l2 has to be a
    number, and 1e-3 stands for a D of about 1,000 (`--probe.l2`).
    """
    same = paper()
    return replace(
        same,
        inputs=InputsConfig(encoder="pixels", image_size=224),
        probe=ProbeConfig(solver="newton", l2=1e-3, iterations=200),
        environment=replace(
            same.environment,
            batch=1,
            distance="cosine",
            state_features=("class_0_probability",),
            action_features=("class_0_probability", "mean_distance_unlabelled", "mean_distance_labelled"),
        ),
        agent=replace(same.agent, label="LAL-RL"),
    )


def default() -> Config:
    """Counterfactual training that starts from the package's policy, against it and the hand-written strategies.

    The double DQN, where it is asked for, has the settings that BUILD_NOTES.md has tables of.
    """
    return Config(
        environment=EnvironmentConfig(
            state_features=("top_probability", "progress"),
            action_features=DEFAULT_FEATURES,
        ),
        agent=AgentConfig(
            hidden=(64, 64),
            residual="uncertain_typicality",
            residual_weight=0.1,
            gamma=0.5,
            learning_rate=3e-4,
            loss="huber",
            gradient_clip=1.0,
            minibatch=128,
            replay_capacity=50_000,
        ),
        train=TrainConfig(
            iterations=40,
            updates=80,
            candidates=128,
            target_candidates=32,
            epsilon_start=0.5,
            scale_reward=True,
            time_baseline=True,
            tasks=16,
            task_pool=800,
            patience=0,
            validation_every=10,
        ),
        counterfactual=CounterfactualConfig(iterations=12),
        evaluation=EvaluationConfig(
            strategies=(
                *("counterfactual", "pretrained", *PAPER_STRATEGIES, "power_margin", "k_center"),
                *("typicality", "typical_uncertainty", "typiclust", "badge", "bait", *HERDING, "balanced_oracle"),
            )
        ),
    )


PRESETS = {"default": default, "paper": paper, "lal-rl": lal_rl}
