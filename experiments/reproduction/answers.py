"""Answers to the reviewer's questions, in Markdown, from cells."""

from collections.abc import Mapping

import numpy as np
from scipy import stats

from experiments.reproduction.cells import OURS, Cell, accuracy
from experiments.reproduction.tables import markdown, spread
from jaxal.report import statistics

EPISODES, DRAWS = 5, 10_000  # of a comparison like the paper's, and how often one is drawn
LEVEL, POWER = 0.05, 0.8  # of the test whose smallest effect is told


def areas(cell: Cell, strategy: str) -> np.ndarray:
    """[seeds, starts]."""
    return statistics.aulc(accuracy(cell, strategy))


def difference(cell: Cell, other: str) -> str:
    """The trained policy minus another strategy, with the 95% interval and p."""
    found = statistics.compare(areas(cell, OURS), areas(cell, other))
    p = "no p" if found.p is None else f"p {found.p:.2g}"
    return f"{found.difference:+.3f} ({found.ci95[0]:+.3f} to {found.ci95[1]:+.3f}, {p})"


def learning(found: Mapping[str, Cell]) -> str:
    """Question 1: mean areas, and what training gains."""
    shown = (OURS, "untrained_q", "margin", "typical_uncertainty")
    rows = [
        [name, *(f"{areas(cell, s).mean():.3f}" for s in shown), *(difference(cell, s) for s in shown[1:3])]
        for name, cell in found.items()
    ]
    head = ["", "trained", "untrained", "margin", "typical uncertainty", "trained - untrained", "trained - margin"]
    return markdown(head, rows)


def counted(found: Mapping[str, Cell]) -> str:
    """How often the trained policy is ahead of another strategy, and behind, and how often a test says so."""
    told = []
    for other, name in (("untrained_q", "its untrained network"), ("margin", "margin")):
        tests = [statistics.compare(areas(cell, OURS), areas(cell, other)) for cell in found.values()]
        ahead = [test.p is not None and test.p < LEVEL for test in tests if test.difference > 0]
        behind = [test.p is not None and test.p < LEVEL for test in tests if test.difference <= 0]
        told.append(
            f"ahead of {name} in {len(ahead)} (p < {LEVEL} in {sum(ahead)}) and behind in {len(behind)} ({sum(behind)})"
        )
    return f"Of {len(found)} lines the trained policy is {'; '.join(told)}.\n"


def cost(main: Cell, equal: Cell) -> str:
    """Question 3: accuracies at the end of the budget, without and with the reward set's labels."""
    extra = equal["labels"][-1] - main["labels"][-1]
    rows = [
        [f"{name}, {main['labels'][-1]} labels", spread(accuracy(main, name)[..., -1])] for name in main["accuracy"]
    ]
    rows += [[f"{name}, {extra} more", spread(accuracy(equal, name)[..., -1])] for name in equal["accuracy"]]
    return markdown(["strategy", "accuracy"], rows)


def chance(cell: Cell) -> str:
    """Question 4: how sure the difference to margin is, and what 5 episodes would have said."""
    seeds, starts = areas(cell, OURS).shape
    lines = []
    for other in ("margin", "untrained_q"):
        differences = areas(cell, OURS) - areas(cell, other)
        by_seed = differences.mean(1)
        errors = stats.t.ppf(1 - LEVEL / 2, seeds - 1) + stats.t.ppf(POWER, seeds - 1)
        least = errors * by_seed.std(ddof=1) / np.sqrt(seeds)
        rng = np.random.default_rng(0)
        drawn = rng.choice(differences.ravel(), (DRAWS, EPISODES)).mean(1)
        flipped = np.mean(np.sign(drawn) != np.sign(differences.mean()))
        lines.append(
            f"- trained - {other}: {difference(cell, other)} over {seeds} splits x {starts} initial sets. The smallest "
            f"difference that so many splits could show (5% test, 80% power): {least:.3f}. {EPISODES} random episodes, "
            f"as many as the paper had, put the two in the other order {flipped:.0%} of the time."
        )
    return "\n".join(lines) + "\n"


def leak(apart: Cell, same: Cell) -> str:
    """Question 6: what the same pool for training and comparison is worth."""
    rows = [
        [
            name,
            f"{cell['data']['pool']}",
            spread(areas(cell, OURS)),
            difference(cell, "untrained_q"),
            difference(cell, "margin"),
        ]
        for name, cell in (("two pools", apart), ("one pool, the paper's", same))
    ]
    return markdown(["protocol", "rows", "trained", "trained - untrained", "trained - margin"], rows)


def transfer(found: Mapping[str, Mapping[str, Cell]]) -> str:
    """Question 2: by the data set of the comparison (columns) and of the training (rows)."""
    told = lambda cell: f"{areas(cell, OURS).mean():.3f}; {difference(cell, 'margin')}"
    rows = [[f"trained on `{source}`", *(told(found[target][source]) for target in found)] for source in found]
    firsts = [next(iter(by_source.values())) for by_source in found.values()]
    rows += [[other, *(f"{areas(cell, other).mean():.3f}" for cell in firsts)] for other in ("untrained_q", "margin")]
    return markdown(["area; trained - margin", *(f"compared on `{target}`" for target in found)], rows)


def tuning(found: Mapping[str, Mapping[str, Cell]]) -> str:
    """Question 7: accuracies of random picks and of margin's at every number of labels, by network and classifier."""
    rows = []
    for network, cells in found.items():
        for classifier, cell in cells.items():
            means = [accuracy(cell, strategy).mean((0, 1)) for strategy in ("random", "margin")]
            at = [" / ".join(f"{mean:.3f}" for mean in pair) for pair in zip(*means, strict=True)]
            rows.append([network, classifier, *at, f"{cell['wall_seconds']:.0f}"])
    labels = next(iter(next(iter(found.values())).values()))["labels"]
    return markdown(["network", "classifier", *(f"{n} labels" for n in labels), "seconds"], rows)
