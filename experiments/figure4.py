"""Figure 4 of the paper: accuracy against the number of labels a step.

    python -m experiments.figure4 [--quick] [--data FOLDER] [--dataset D --encoder E]

Cost:     seconds after table2, whose runs it takes.
Expected: the paper gains from N = 1 to 2 and nothing clear after that; ours are in experiments/RESULTS.md.
"""

from experiments import table2
from experiments.reproduction import cells, drawing
from experiments.reproduction.cells import OURS


def main() -> None:
    """Runs what is missing and draws."""
    asked = cells.asked(__doc__)
    for name, found in table2.every(asked).items():
        ends = [cells.accuracy(cell, OURS)[..., -1] for cell in found.values()]
        drawing.save(drawing.bars(list(found), ends, "labels a step", f"{name}, 50 labels"), asked, "figure4")


if __name__ == "__main__":
    main()
