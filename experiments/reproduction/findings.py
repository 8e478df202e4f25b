"""What came of the reproduction, in a few lines at the head of the page, from the cells that there are."""

from collections.abc import Iterator, Mapping

from experiments.questions import AS_PAPER, BY_ADAM, HOME, VARIANTS, cell_name
from experiments.reproduction import answers, paper
from experiments.reproduction.cells import LAL_RL, OURS, Cell, accuracy
from jaxal.report import statistics


def lines(cells: Mapping[str, Cell]) -> Iterator[str]:
    """One for each claim of the paper, and for the question behind them."""
    for name in ("cxr", "texture"):
        if f"{name}-ours" in cells and f"{name}-lal-rl" in cells:
            yield rank(name, cells[f"{name}-ours"], cells[f"{name}-lal-rl"])
    ends = {n: accuracy(cell, OURS)[..., -1] for n, cell in by_labels_a_step(cells, HOME).items()}
    if len(ends) > 1 and 1 in ends:
        above = [n for n, end in ends.items() if n > 1 and statistics.interval(end - ends[1], 0.95)[0] > 0]
        told = f"N = {', '.join(map(str, above))}" if above else "none"
        yield (
            f"**More labels a step do not cost accuracy** in the paper, and N = 1 is the worst. Here, of N = "
            f"{', '.join(str(n) for n in ends if n > 1)}, above N = 1 with a 95% interval: {told}."
        )
    timed = [cell for file, cell in cells.items() if "-timing-" in file]
    if timed:
        ratios = [each["authors"]["seconds"] / each["paper"]["seconds"] for each in timed]
        yield (
            f"**LAL-RL is {paper.TIMES_SLOWER} times slower** in the paper. Here it takes {min(ratios):.2g} to "
            f"{max(ratios):.2g} times as long, by pool and size of the images, compilation included."
        )
    variants = {v: cells[file] for v in VARIANTS if (file := f"{HOME}-{cell_name(1, v)}") in cells}
    if AS_PAPER in variants:
        gain = answers.difference(variants[AS_PAPER], "untrained_q")
        yield f"**Does the policy learn?** Trained minus untrained, area: {gain}. {answers.counted(variants).strip()}"
        if BY_ADAM in variants:
            plain, adam = variants[AS_PAPER], variants[BY_ADAM]
            moved = (
                f"{s} {answers.areas(plain, s).mean():.3f} to {answers.areas(adam, s).mean():.3f}"
                for s in (OURS, "margin")
            )
            yield (
                "**Another reading of the classifier**, Adam in place of plain descent, also 200 epochs at 1e-4, "
                f"changes the areas on `{HOME}`: {', '.join(moved)}."
            )


def rank(name: str, ours: Cell, lal_rl: Cell) -> str:
    """Where the paper's policy stands on a data set."""
    areas = {each: statistics.aulc(accuracy(ours, each)).mean() for each in ours["accuracy"]}
    areas[LAL_RL] = statistics.aulc(accuracy(lal_rl, LAL_RL)).mean()
    order = sorted(areas, key=lambda each: -areas[each])
    return (
        f"**The policy is above all others** in the paper. Here, on `{name}`, it is number {order.index(OURS) + 1} of "
        f"{len(order)} by area ({areas[OURS]:.3f}; first {order[0]}, {areas[order[0]]:.3f}; LAL-RL "
        f"{areas[LAL_RL]:.3f}; random {areas['random']:.3f})."
    )


def by_labels_a_step(cells: Mapping[str, Cell], name: str) -> dict[int, Cell]:
    """The cells of table 2 on a data set, by N."""
    return {n: cells[file] for n in range(1, 11) if (file := f"{name}-ours-batch{n}") in cells}
