"""Writes experiments/RESULTS.md from the small JSON files in experiments/results; nothing is run.

    python -m experiments.results

Cost:     seconds.
Expected: `tests/test_experiments.py` checks that the file in the repository is the one that this writes.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments import questions
from experiments.reproduction import answers, tables
from experiments.reproduction.cells import FULL, LAL_RL, OURS, QUICK, RESULTS, Cell, Scale, accuracy, by_strategy
from experiments.reproduction.drawing import LARGER
from jaxal.files import write_text
from jaxal.report import statistics

TARGET = RESULTS.parent / "RESULTS.md"
SETS = ("cxr", "texture", "tiles")
HEAD = """# The paper, reproduced

Written by `python -m experiments.results` from the files in [results](results); do not edit. Every section names its
command. Commands go on where they were interrupted: a comparison whose file is there is not made again. `--data`
names the folder of the data (by default `../shared/data`), `--dataset` and `--encoder` take other data and weights.

What differs from the paper, everywhere:

- **Weights.** The paper's ImageNet ResNet-50 could not be had on a machine without internet. X-rays and tiles go
  through EfficientNet-Lite0 with its ImageNet weights; of the histology there are the 80 texture features of the tiles'
  authors, which are latents and data at once. With internet: `--dataset kermany_pneumonia --encoder resnet50`.
- **The classifier** is a linear head on frozen latents, by 200 epochs of plain gradient descent at 1e-4; the paper may
  have trained the whole network.
- **LAL-RL** has logistic regression on the data themselves, as strongly regularised as scikit-learn's default; images
  are shrunk to the size that is said with each section, where the paper has 224 pixels.
- **Protocol.** The policy is trained on one pool and compared on another, but for the 100 tiles (one pool, as the paper
  seems to have it). Initial sets have one label a class.
- Intervals are 68%, by a bootstrap over seeds, then starts. The paper's ± is that of 5 seeds.
"""


def main() -> None:
    """Writes the page."""
    write_text(TARGET, render(RESULTS))


def render(folder: Path) -> str:
    """The page."""
    return "\n".join([HEAD, *(part for scale in (FULL, QUICK) for part in sections(folder, scale))])


def sections(folder: Path, scale: Scale) -> Iterator[str]:
    """What there is of one scale, in the paper's order."""
    found = {path.stem.removeprefix(f"{scale.stem}-"): path for path in sorted(folder.glob(f"{scale.stem}-*.json"))}
    if not found:
        return
    cells: dict[str, Any] = {name: json.loads(path.read_text()) for name, path in found.items()}
    flag = " --quick" if scale.quick else ""
    if scale.quick:
        yield "# Quick runs\n\n" + small(scale)
    else:
        yield "# Full runs\n\nAs far as they have been made; what is not here has been run with `--quick` alone.\n"
    pairs = {
        name: by_strategy(cells[f"{name}-ours"], cells[f"{name}-lal-rl"])
        for name in SETS
        if f"{name}-ours" in cells and f"{name}-lal-rl" in cells
    }
    if pairs:
        yield f"## Figure 1: `python -m experiments.figure1{flag}`\n\n{figure(scale, 'figure1')}"
        for name, columns in pairs.items():
            yield f"`{name}`: {facts(columns)}\n\n{tables.curves_table(columns)}\n{standing(columns)}\n"
    larger = {
        name: {**columns, LARGER: cells[f"{name}-ours-larger"]}
        for name, columns in pairs.items()
        if f"{name}-ours-larger" in cells
    }
    if larger:
        yield f"## Figure 2: `python -m experiments.figure2{flag}`\n\n{figure(scale, 'figure2')}"
        yield "Accuracy gained by 128 warm-start episodes and 2 labels a step, at equal numbers of labels.\n"
        yield tables.figure_2(larger)
    noises = [(name, noisy(cells, name)) for name in SETS]
    for name, by_noise in noises:
        if by_noise:
            yield f"## Table 1 and figure 3: `python -m experiments.table1{flag}`, `figure3`\n"
            yield f"{figure(scale, 'figure3')}\nAccuracy after 10 labels. {facts(by_noise[0.0])}\n"
            yield f"{tables.table_1(name, by_noise)}\n{robustness(by_noise)}\n"
    for name in SETS:
        by_batch = {n: cells[f"{name}-ours-batch{n}"] for n in range(1, 11) if f"{name}-ours-batch{n}" in cells}
        if by_batch:
            yield f"## Table 2 and figure 4: `python -m experiments.table2{flag}`, `figure4`\n"
            yield f"{figure(scale, 'figure4')}\n{tables.table_2(name, by_batch)}"
            yield "Seconds are by the clock of a machine that did other work beside it.\n"
    for name in SETS:
        if f"{name}-timing" in cells:
            yield f"## Time: `python -m experiments.timing{flag}`\n\n{figure(scale, 'timing')}"
            yield TIMING
            yield tables.timing(cells[f"{name}-timing"]["measured"])
    for name in SETS:
        if f"{name}-q6" in cells:
            yield f"## The reviewer's questions: `python -m experiments.questions{flag}`\n"
            yield reviewer(name, cells)


TIMING = """5 episodes of 20 labels after a random one, 6 updates after each (LAL-RL has 60 after ten); the X-rays.
By the clock with compilation (and without; of the authors' way, the episodes alone, without updates). The paper says
that LAL-RL was 267 times slower than its method. There the classifier was a ResNet-50; here its latents are given,
which take one pass of the encoder an image, once. For the target of an update the authors' way looks at every
unlabelled point, and the engine at 64. Linear algebra has one thread in the authors' way: with two, on a busy
machine, they waited for each other, and a pool of 100 at 64 px took 63 s instead of 1.3 s. Whether
that has a part in the paper's ratio, nothing here tells. The first line holds what JAX does once in a process.
"""


def reviewer(name: str, cells: Mapping[str, Cell]) -> str:
    """The answers, on one data set."""
    files = {variant: f"{name}-{questions.cell_name(variant)}" for variant in questions.VARIANTS}
    first = {variant: cells[file] for variant, file in files.items() if file in cells}
    main, apart = cells[f"{name}-ours"], first["the paper's settings"]
    return f"""On `{name}`, with the paper's settings; areas under the curve. Intervals are 95% by the bootstrap; p
is of a t-test on the means of the splits, which trusts a few splits less, and is the one to go by.

**1. Does the policy learn?** Trained, against its untrained network and two hand-written strategies.

{answers.learning(first)}
**3. What did it cost?** The policy's training uses the labels of its reward set ({main["data"]["reward"]} rows), of its
source pool and of validation. Hand-written strategies that may train on as many labels more as the reward set has:

{answers.cost(main, cells[f"{name}-q3"])}
**4. Is it noise?**

{answers.chance(cells[f"{name}-q4"])}
**6. Does the protocol leak?** Training and comparison on two pools, or on one as in the paper.

{answers.leak(apart, cells[f"{name}-q6"])}
"""


def small(scale: Scale) -> str:
    """What quick runs are."""
    return (
        f"These check that everything runs, and show the direction at the most: {scale.seeds} seeds x {scale.starts} "
        f"starts, {scale.iterations} iterations of 10 episodes, data sets cut to {scale.rows:,} rows, images of "
        f"{scale.pixels} px for LAL-RL. The full form: the same commands without `--quick`.\n"
    )


def figure(scale: Scale, name: str) -> str:
    """The picture of a section."""
    return f"![{name}](figures/{scale.stem}-{name}.png)\n"


def facts(columns: Mapping[str, Cell]) -> str:
    """On what a comparison was made, in a sentence."""
    ours, other = columns[OURS], columns[LAL_RL]
    data = ours["data"]
    seeds, starts = accuracy(ours, OURS).shape[:2]
    side = other["settings"].get("image_size")
    shrunk = f" at {side} px" if side else ""
    return (
        f"{data['given']}; LAL-RL has {other['data']['given']}{shrunk}. {data['rows']:,} rows: pool {data['pool']}, "
        f"reward {data['reward']}, test {data['test']}; {seeds} seeds x {starts} starts. Made in "
        f"{ours['wall_seconds'] + other['wall_seconds']:.0f} s beside other work."
    )


def standing(columns: Mapping[str, Cell]) -> str:
    """Where the paper's policy stands, and by how much it is ahead of the best other and of LAL-RL."""
    areas = {name: statistics.aulc(accuracy(cell, name)) for name, cell in columns.items()}
    order = sorted(areas, key=lambda name: -areas[name].mean())
    best = next(name for name in order if name != OURS)
    against = []
    for other in dict.fromkeys((best, LAL_RL)):
        low, high = statistics.interval(areas[OURS] - areas[other], 0.95)
        difference = (areas[OURS] - areas[other]).mean()
        against.append(f"{difference:+.3f} against {other} (95% interval {low:+.3f} to {high:+.3f})")
    return f"The paper's policy is number {order.index(OURS) + 1} of {len(order)} here: {', '.join(against)}."


def noisy(cells: Mapping[str, Cell], name: str) -> dict[float, dict[str, Cell]]:
    """By fraction of noise, for each strategy the cell that it is in."""
    found: dict[float, dict[str, Cell]] = {}
    for percent in (0, 10, 50, 100):
        ours, other = (cells.get(f"{name}-{method}-noise{percent}") for method in ("ours", "lal-rl"))
        if ours and other:
            found[percent / 100] = by_strategy(ours, other)
    return found


def robustness(by_noise: Mapping[float, Mapping[str, Cell]]) -> str:
    """What the most noise costs each strategy in area."""
    most = max(by_noise)
    told = []
    for name in by_noise[0.0]:
        clean, worst = (statistics.aulc(accuracy(by_noise[f][name], name)) for f in (0.0, most))
        low, high = statistics.interval(worst - clean, 0.95)
        told.append(f"{name} {(worst - clean).mean():+.3f} ({low:+.3f} to {high:+.3f})")
    return f"Change of the mean area from no noise to {most:.0%} (95% interval): {'; '.join(told)}."


if __name__ == "__main__":
    main()
