"""What a sceptical reviewer would ask of the paper, answered with its own settings (`--preset paper`).

    python -m experiments.questions [--quick] [--data FOLDER] [--dataset D --encoder E]

1. Does training help, against the untrained network, margin, and uncertainty times typicality? By warm-start episodes,
   readings of equation 4, replay, discount, and the features that are left out.
3. What does it cost? Strategies that may train on as many labels as the reward set has, from the start.
4. Is it noise? More initial sets; the smallest effect that they could show; how often 5 episodes rank wrongly.
6. Does it leak? Policies that are compared on the pool that they were trained on.

Cost:     --quick 5 minutes on 2 calm cores; the full form is for a night and has not been run yet.
Expected: experiments/RESULTS.md.
"""

from typing import Any

from experiments.reproduction import answers, cells
from experiments.reproduction.cells import Asked, Cell
from experiments.reproduction.data import Sources

AGAINST = ["ddqn", "untrained_q", "margin", "typical_uncertainty"]
FEATURES = ["score", "mean_distance_labelled", "mean_distance_unlabelled"]
VARIANTS: dict[str, dict[str, Any]] = {
    "the paper's settings": {},
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
}
IN_QUICK = ("the paper's settings", "128 warm-start episodes", "equation 4 as printed", "gamma 0")
STARTS, SEEDS = {True: 32, False: 32}, {True: 4, False: 8}


def variants(asked: Asked, found: Sources) -> dict[str, Cell]:
    """Question 1, by what differs from the paper's settings."""
    names = IN_QUICK if asked.scale.quick else tuple(VARIANTS)
    made = lambda each: cells.compared(asked, cell_name(each), found, "ours", strategies=AGAINST, **VARIANTS[each])
    return {each: made(each) for each in names}


def cell_name(variant: str) -> str:
    """What the file of a variant is called."""
    return "q1-" + variant.replace(" ", "-").translate(str.maketrans("", "", ",'."))


def equal_labels(asked: Asked, found: Sources) -> Cell:
    """Question 3: hand-written strategies whose initial set has as many rows more as the reward set."""
    main = cells.compared(asked, "ours", found, "ours")["data"]
    classes, extra = len(found.ours.classes), main["reward"]
    settings = {"strategies": ["random", "margin"], "initial": classes + extra, "budget": asked.scale.budget + extra}
    return cells.compared(asked, "q3", found, "ours", **settings)


def many_starts(asked: Asked, found: Sources) -> Cell:
    """Question 4."""
    quick = asked.scale.quick
    return cells.compared(asked, "q4", found, "ours", strategies=AGAINST, seeds=SEEDS[quick], starts=STARTS[quick])


def one_pool(asked: Asked, found: Sources) -> Cell:
    """Question 6: the paper's protocol, with a pool of the same size as in the other questions."""
    main = cells.compared(asked, "ours", found, "ours")["data"]
    split = {"protocol": "paper", "source_pool": main["source_pool"]}
    return cells.compared(asked, "q6", found, "ours", strategies=AGAINST, split=split)


def main() -> None:
    """Runs what is missing and prints."""
    asked = cells.asked(__doc__)
    for found in asked.each("texture"):
        first = variants(asked, found)
        print(answers.learning(first))
        print(answers.cost(cells.compared(asked, "ours", found, "ours"), equal_labels(asked, found)))
        print(answers.chance(many_starts(asked, found)))
        print(answers.leak(first["the paper's settings"], one_pool(asked, found)))


if __name__ == "__main__":
    main()
