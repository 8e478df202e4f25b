"""What a sceptical reviewer would ask of the paper, answered with its own settings (`--preset paper`).

    python -m experiments.questions [--quick] [--only N ...] [--data FOLDER] [--dataset D --encoder E]

1. Does training help, against the untrained network, margin, and uncertainty times typicality? By warm-start episodes,
   readings of equation 4, replay, discount, the features that are left out, and the classifier's optimiser.
2. Does it transfer? Trained on one data set, compared on another.
3. What does it cost? Strategies that may train on as many labels as the reward set has, from the start.
4. Is it noise? More initial sets; the smallest effect that they could show; how often 5 episodes rank wrongly.
5. Where does it fail? Rare classes, wrong labels, a small pool, larger initial sets, another classifier, another test.
6. Does it leak? Policies that are compared on the pool that they were trained on.
7. Frozen or fine-tuned? The paper's 200 epochs at 1e-4 over the whole network, on small images.

The full form has a size of its own (`SCALE`), below that of the figures, since it trains some thirty sets of policies.
Cost:     --quick (questions 1, 3, 4, 6) 5 minutes on 2 calm cores; the full form, on busy ones: question 1 takes 18,
          2 ten, 5 ten, 7 eleven, 3, 4 and 6 four together.
Expected: experiments/RESULTS.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

from experiments.reproduction import answers, cells, data
from experiments.reproduction.cells import BASELINES, Asked, Cell
from experiments.reproduction.data import MissingDataError, Sources

HOME = "texture"  # the data set of most questions
SCALE = replace(cells.FULL, rows=1500, iterations=15, budget=30)
IN_QUICK = (1, 3, 4, 6)
AGAINST = ["ddqn", "untrained_q", "margin", "typical_uncertainty"]
HAND_WRITTEN = [*BASELINES, "typical_uncertainty"]
FEATURES = ["score", "mean_distance_labelled", "mean_distance_unlabelled"]
AS_PAPER, BY_ADAM = "the paper's settings", "classifier by Adam"
VARIANTS: dict[str, dict[str, Any]] = {
    AS_PAPER: {"strategies": ["ddqn", "untrained_q", *HAND_WRITTEN]},
    "128 warm-start episodes": {"train": {"warm_start_episodes": 128}},
    "1,024 warm-start episodes": {
        "train": {"warm_start_episodes": 1024},
        "agent": {"replay_capacity": 100_000},
    },
    "equation 4 as printed": {"agent": {"target": "paper"}},
    "uniform replay": {"agent": {"replay": "uniform"}},
    "gamma 0": {"agent": {"gamma": 0.0}},
    "gamma 0.9": {"agent": {"gamma": 0.9}},
    **{f"without {name}": {"action_features": [each for each in FEATURES if each != name]} for name in FEATURES},
    BY_ADAM: {"probe": {"solver": "adam"}},
}
"""Question 1: what differs from the paper's settings (16 episodes, double Q, prioritised replay, gamma 0.99)."""
QUICK_VARIANTS = (AS_PAPER, "128 warm-start episodes", "equation 4 as printed", "gamma 0")
TRANSFER = ("cxr", "texture", "brain")
STARTS, SEEDS = 32, {True: 4, False: 8}
LATER = 22  # labels after the initial set, as with one label a class of eight and 30 in all


class Case(NamedTuple):
    """Of question 5."""

    home: str = HOME
    change: Callable[[Sources], Sources] = lambda found: found
    whole: bool = False  # whether all rows of the data set are taken
    settings: Mapping[str, Any] = {}
    test_settings: Mapping[str, Any] = {}  # with which a policy is compared that was trained without them
    metric: str = "accuracy"


CASES = {
    "rare classes (1:20), balanced accuracy": Case(change=data.imbalanced, whole=True, metric="balanced_accuracy"),
    "10% wrong labels": Case(change=data.mislabelled),
    "pool of 200": Case(settings={"split": {"pool": 200, "source_pool": 200}}),
    "24 labels at the start": Case(settings={"initial": 24, "budget": 24 + LATER}),
    "48 labels at the start": Case(settings={"initial": 48, "budget": 48 + LATER}),
    "logistic regression at test": Case(test_settings={"probe": {"solver": "newton", "latents": "standardised"}}),
    "brain MRI": Case("brain", change=data.reshuffled),
    "brain MRI, shifted test split": Case("brain"),
}
NETWORKS: dict[str, dict[str, Any]] = {
    "EfficientNet-Lite0, ImageNet weights": {"encoder": "efficientnet-lite0"},
    "ResNet-18 of width 16, untrained weights": {"encoder": "resnet18", "weights": "random", "width": 16},
}
WHOLE = {"minibatch": 8, "epochs": 200, "learning_rate": 1e-4}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "frozen, plain descent": {},
    "frozen, Adam": {"probe": {"solver": "adam"}},
    "fine-tuned": {"classifier": "finetune", "finetune": WHOLE},
    "fine-tuned, batch normalisation frozen": {"classifier": "finetune", "finetune": {**WHOLE, "batch_norm": "frozen"}},
}
SMALL = {"source_pool": 60, "pool": 300, "state": 30, "reward": 20, "validation": 20, "test": 300}
TUNED: dict[str, Any] = {
    **{"strategies": ["random", "margin"], "seeds": 2, "starts": 1, "budget": 10, "batch": 8},
    **{"image_size": 64, "split": SMALL},
}
"""Question 7: fits with 2 and with 10 labels."""


def cell_name(number: int, what: str = "") -> str:
    """What the file of an answer, or of a part of one, is called."""
    slug = what.replace(" ", "-").translate(str.maketrans("", "", ",'.:%()"))
    return f"q{number}-{slug}".rstrip("-")


def learning(asked: Asked) -> str:
    """Question 1."""
    return answers.learning({each: variant(asked, each) for each in variants(asked.scale.quick)})


def variants(quick: bool) -> tuple[str, ...]:
    """Those that are asked for."""
    return QUICK_VARIANTS if quick else tuple(VARIANTS)


def variant(asked: Asked, name: str) -> Cell:
    """The paper's settings but for one of them."""
    settings: dict[str, Any] = {"strategies": AGAINST, **VARIANTS[name]}
    return cells.compared(asked, cell_name(1, name), home(asked), "ours", **settings)


def home(asked: Asked) -> Sources:
    """The data set of most questions."""
    return asked.sources(asked.dataset or HOME)


def transfer(asked: Asked) -> str:
    """Question 2."""
    policies = {source: cache(partial(cells.trained, asked, known(asked, source))) for source in TRANSFER}
    return answers.transfer(
        {
            target: {
                source: cells.compared(
                    asked, cell_name(2, source), known(asked, target), "ours", learned=policy, strategies=AGAINST
                )
                for source, policy in policies.items()
            }
            for target in TRANSFER
        }
    )


def known(asked: Asked, name: str) -> Sources:
    """A data set of question 2; the shifted test split of one is question 5's."""
    found = asked.sources(name)
    return data.reshuffled(found) if name == "brain" else found


def cost(asked: Asked) -> str:
    """Question 3: hand-written strategies whose initial set has as many rows more as the reward set."""
    main, found = variant(asked, AS_PAPER), home(asked)
    initial = len(found.ours.classes) + main["data"]["reward"]
    settings: dict[str, Any] = {
        "strategies": HAND_WRITTEN,
        "initial": initial,
        "budget": asked.scale.budget + main["data"]["reward"],
    }
    return answers.cost(main, cells.compared(asked, cell_name(3), found, "ours", **settings))


def chance(asked: Asked) -> str:
    """Question 4."""
    more: dict[str, Any] = {"strategies": AGAINST, "seeds": SEEDS[asked.scale.quick], "starts": STARTS}
    return answers.chance(cells.compared(asked, cell_name(4), home(asked), "ours", **more))


def failures(asked: Asked) -> str:
    """Question 5."""
    first = {AS_PAPER: variant(asked, AS_PAPER)}
    return answers.learning(first | {name: case_of(asked, name, case) for name, case in CASES.items()})


def case_of(asked: Asked, name: str, case: Case) -> Cell:
    """One of question 5; a policy that is used otherwise than it was trained is trained before."""
    found = data.sources(case.home, asked.data) if case.whole else asked.sources(case.home)
    found = case.change(found)
    learned = partial(cells.trained, asked, found, **case.settings) if case.test_settings else None
    settings: dict[str, Any] = {"strategies": AGAINST, **case.settings, **case.test_settings}
    return cells.compared(asked, cell_name(5, name), found, "ours", learned=learned, metric=case.metric, **settings)


def one_pool(asked: Asked) -> str:
    """Question 6: the paper's protocol, with a pool of the same size as in the other questions."""
    main = variant(asked, AS_PAPER)
    split = {"protocol": "paper", "source_pool": main["data"]["source_pool"]}
    same = cells.compared(asked, cell_name(6), home(asked), "ours", strategies=AGAINST, split=split)
    return answers.leak(main, same)


def tuning(asked: Asked) -> str:
    """Question 7."""
    images = data.sources("cxr", asked.data)  # whole, or its official test split would be too small
    images = images._replace(ours=images.lal_rl, said=images.said | {"ours": images.said["lal_rl"]})
    return answers.tuning({n: {c: tuned(asked, images, n, c) for c in CLASSIFIERS} for n in NETWORKS})


def tuned(asked: Asked, images: Sources, network: str, classifier: str) -> Cell:
    """One cell of question 7."""
    settings: dict[str, Any] = {**TUNED, **NETWORKS[network], **CLASSIFIERS[classifier]}
    return cells.compared(asked, tuning_name(network, classifier), images, "ours", **settings)


def tuning_name(network: str, classifier: str) -> str:
    """What the file of such a cell is called."""
    return cell_name(7, f"{NETWORKS[network]['encoder']} {classifier}")


ANSWERS = {1: learning, 2: transfer, 3: cost, 4: chance, 5: failures, 6: one_pool, 7: tuning}


def main() -> None:
    """Runs what is missing and prints."""
    parser = cells.flags(__doc__)
    parser.add_argument("--only", type=int, nargs="+", choices=list(ANSWERS), metavar="N", help="of the questions")
    given = parser.parse_args()
    asked = cells.from_flags(given)
    if not asked.scale.quick:
        asked = replace(asked, scale=SCALE)
    for number in given.only or (IN_QUICK if asked.scale.quick else ANSWERS):
        try:
            print(ANSWERS[number](asked))
        except MissingDataError as error:
            cells.told(str(error))


if __name__ == "__main__":
    main()
