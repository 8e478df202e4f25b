"""Figure 3 of the paper: accuracy against labels with noise on 10% and on 100% of the training images.

    python -m experiments.figure3 [--quick] [--data FOLDER] [--dataset D --encoder E]

Cost:     seconds after table1, whose runs it takes.
Expected: the paper finds every strategy robust to noise; ours are in experiments/RESULTS.md.
"""

from experiments import table1
from experiments.reproduction import cells, drawing


def main() -> None:
    """Runs what is missing and draws."""
    asked = cells.asked(__doc__)
    for name, found in table1.every(asked).items():
        titles = [f"{name}, noise on {fraction:.0%}" for fraction in (0.1, 1.0)]
        drawing.save(drawing.columns(titles, [[found[0.1], found[1.0]]]), asked, "figure3")


if __name__ == "__main__":
    main()
