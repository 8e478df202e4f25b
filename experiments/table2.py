"""Table 2 of the paper: accuracy and training time with N = 1 to 10 labels a step, 50 labels an episode.

    python -m experiments.table2 [--quick] [--data FOLDER] [--dataset D --encoder E]

Cost:     --quick 4 minutes on 2 calm cores (N = 1, 2, 5, 10); the full form some 26 on busy ones (most of
          the time goes into updates, which N does not change; `cells.FULL` has its size).
Expected: the paper has N = 1 behind all others, and times that first rise with N > 8; ours are in
          experiments/RESULTS.md.
"""

from typing import Any

from experiments.reproduction import cells, tables
from experiments.reproduction.cells import Cell

LABELS_A_STEP = {True: (1, 2, 5, 10), False: tuple(range(1, 11))}
"""N, by whether the run is quick."""


def every(asked: cells.Asked) -> dict[str, dict[int, Cell]]:
    """By data set and N; the number of episodes is the same for all N."""
    fixed: dict[str, Any] = {"budget": 50, "train": {"patience": 0}}
    return {
        each.name: {
            n: cells.compared(asked, f"ours-batch{n}", each, "ours-alone", batch=n, **fixed)
            for n in LABELS_A_STEP[asked.scale.quick]
        }
        for each in asked.each("texture")
    }


def main() -> None:
    """Runs what is missing and prints."""
    for name, found in every(cells.asked(__doc__)).items():
        print(tables.table_2(name, found))


if __name__ == "__main__":
    main()
