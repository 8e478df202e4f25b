"""Figure 2 of the paper: figure 1 with a larger model, 128 warm-start episodes and one more label a step.

    python -m experiments.figure2 [--quick] [--data FOLDER] [--dataset D --encoder E]

Cost:     --quick 2 minutes on 2 calm cores after figure1, whose runs it takes; the full form some 5
          (`cells.FULL` has its size).
Expected: the paper gains up to 11.5% (X-rays) and 23.3% (histology); ours are in experiments/RESULTS.md.
"""

from typing import Any

from experiments import figure1
from experiments.reproduction import cells, drawing, tables


def main() -> None:
    """Runs what is missing, draws and prints."""
    asked, found = cells.asked(__doc__), {}
    larger: dict[str, Any] = {"train": {"warm_start_episodes": asked.scale.warm_start}, "batch": 2}
    for each in asked.each("cxr", "texture"):
        alone = cells.compared(asked, "ours-larger", each, "ours-alone", **larger)
        found[each.name] = {**figure1.curves(asked, each), drawing.LARGER: alone}
    if found:
        drawing.save(drawing.columns(list(found), [list(found.values())]), asked, "figure2")
        print(tables.figure_2(found))


if __name__ == "__main__":
    main()
