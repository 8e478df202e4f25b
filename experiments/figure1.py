"""Figure 1 of the paper: accuracy against labels, seven strategies, two data sets; below, the two learned ones.

    python -m experiments.figure1 [--quick] [--data FOLDER] [--dataset D --encoder E]

Cost:     --quick 3 minutes on 2 calm cores; the full form 15 on busy ones (`cells.FULL` has its size).
Expected: the paper has its policy above all others on both data sets; ours are in experiments/RESULTS.md.
"""

from experiments.reproduction import cells, drawing, tables
from experiments.reproduction.cells import LAL_RL, OURS, Cell
from experiments.reproduction.data import Sources


def curves(asked: cells.Asked, found: Sources) -> dict[str, Cell]:
    """For each of the seven strategies the cell that its curve is in."""
    ours = cells.compared(asked, "ours", found, "ours")
    return cells.by_strategy(ours, cells.compared(asked, "lal-rl", found, "lal-rl"))


def main() -> None:
    """Runs what is missing, draws and prints."""
    asked = cells.asked(__doc__)
    found = {each.name: curves(asked, each) for each in asked.each("cxr", "texture")}
    if found:
        learned = [{name: column[name] for name in (OURS, LAL_RL)} for column in found.values()]
        drawing.save(drawing.columns(list(found), [list(found.values()), learned]), asked, "figure1")
        print(tables.figure_1(found))


if __name__ == "__main__":
    main()
