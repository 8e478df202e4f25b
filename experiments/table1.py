"""Table 1 of the paper: accuracy after 10 labels with noise on none, 10%, 50% and 100% of the training images.

    python -m experiments.table1 [--quick] [--data FOLDER] [--dataset D --encoder E]

Without a data set of images, 100 tiles of the paper's histology: far fewer than the paper's 5,000, so that policy and
strategies share one pool, as in the paper.
Cost:     --quick 5 minutes on 2 calm cores; the full form 8 on busy ones (`cells.FULL` has its size).
Expected: the paper finds every strategy within its errors whatever the noise; ours are in experiments/RESULTS.md.
"""

from experiments.reproduction import cells, tables
from experiments.reproduction.cells import Cell
from experiments.reproduction.data import Sources

NOISE = {True: (0.0, 0.1, 1.0), False: (0.0, 0.1, 0.5, 1.0)}
"""Fractions of the training images, by whether the run is quick."""


def noisy(asked: cells.Asked, found: Sources, fraction: float) -> dict[str, Cell]:
    """For each strategy the cell that its curve is in."""
    name = f"noise{fraction * 100:.0f}"
    ours = cells.compared(asked, f"ours-{name}", found, "ours", noise=fraction)
    other = cells.compared(asked, f"lal-rl-{name}", found, "lal-rl", noise=fraction)
    return cells.by_strategy(ours, other)


def every(asked: cells.Asked) -> dict[str, dict[float, dict[str, Cell]]]:
    """By data set and fraction of noise."""
    fractions = NOISE[asked.scale.quick]
    return {each.name: {f: noisy(asked, each, f) for f in fractions} for each in asked.each("tiles")}


def main() -> None:
    """Runs what is missing and prints."""
    for name, found in every(cells.asked(__doc__)).items():
        print(tables.table_1(name, found))


if __name__ == "__main__":
    main()
