"""Writes experiments/RESULTS.md from the small JSON files in experiments/results; nothing is run.

    python -m experiments.results

Cost:     seconds.
Expected: `tests/test_experiments.py` checks that the file in the repository is the one that this writes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.reproduction import drawing, findings, paper, reviewer, tables
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
    made = read(folder, FULL)
    full, quick = parts(made, FULL), parts(read(folder, QUICK), QUICK)
    left = {name: text for name, text in quick.items() if name not in full}
    page = [HEAD]
    if full:
        page += ["# What came of it\n", *(f"- {line}" for line in findings.lines(made)), ""]
        page += [f"# Full runs\n\n{size(FULL)}", *full.values()]
    if left:
        page += [f"# Quick runs\n\n{size(QUICK)}", *left.values()]
    return "\n".join(page)


def read(folder: Path, scale: Scale) -> dict[str, Cell]:
    """The cells of one scale, by their names without it."""
    paths = {path.stem.removeprefix(f"{scale.stem}-"): path for path in sorted(folder.glob(f"{scale.stem}-*.json"))}
    return {name: json.loads(path.read_text()) for name, path in paths.items()}


def parts(cells: Mapping[str, Cell], scale: Scale) -> dict[str, str]:
    """What there is to say of one scale, in the paper's order."""
    made = {name: make(cells, scale) for name, make in PARTS.items()}
    return {name: text for name, text in made.items() if text}


def figure_1(cells: Mapping[str, Cell], scale: Scale) -> str:
    """Seven strategies."""
    told = [
        f"`{name}`: {facts(columns)}\n\n{tables.curves_table(columns)}\n{standing(columns)}\n"
        for name, columns in pairs(cells).items()
    ]
    return titled("Figure 1", ["figure1"], scale, "figure1", "\n".join(told))


def figure_2(cells: Mapping[str, Cell], scale: Scale) -> str:
    """The larger model."""
    larger = {
        name: {**columns, LARGER: cells[f"{name}-ours-larger"]}
        for name, columns in pairs(cells).items()
        if f"{name}-ours-larger" in cells
    }
    told = "Accuracy gained by 128 warm-start episodes and 2 labels a step, at equal numbers of labels.\n\n"
    return titled("Figure 2", ["figure2"], scale, "figure2", told + tables.figure_2(larger) if larger else "")


def table_1(cells: Mapping[str, Cell], scale: Scale) -> str:
    """Noise."""
    told = [
        f"Accuracy after 10 labels. {facts(by_noise[0.0])}\n\n"
        f"{tables.table_1(name, by_noise)}\n{robustness(by_noise)} {fall(by_noise[0.0])}\n"
        for name in SETS
        if (by_noise := noisy(cells, name))
    ]
    return titled("Table 1 and figure 3", ["table1", "figure3"], scale, "figure3", "\n".join(told))


def table_2(cells: Mapping[str, Cell], scale: Scale) -> str:
    """Labels a step."""
    told = [
        f"{trained_on(by_batch)}\n\n{tables.table_2(name, by_batch)}\n{batches(by_batch)}\n"
        for name in SETS
        if (by_batch := findings.by_labels_a_step(cells, name))
    ]
    return titled("Table 2 and figure 4", ["table2", "figure4"], scale, "figure4", "\n".join(told))


def time(cells: Mapping[str, Cell], scale: Scale) -> str:
    """The paper's claim on time."""
    told = [
        f"{TIMING}\n{tables.timing(measured)}\n{slower(measured)}\n"
        for name in SETS
        if (measured := sorted((c for f, c in cells.items() if f.startswith(f"{name}-timing-")), key=by_size))
    ]
    return titled("Time", ["timing"], scale, "timing", "\n".join(told))


def beyond(cells: Mapping[str, Cell], scale: Scale) -> str:
    """The pretrained policy and the strongest hand-written strategies."""
    told = [BEYOND]
    for name, columns in pairs(cells).items():
        for classifier, words in (("paper", "the paper's"), ("default", "the default")):
            if ours := cells.get(f"{name}-beyond-{classifier}"):
                beside = columns if classifier == "paper" else {}
                table = tables.curves_table({**beside, **dict.fromkeys(ours["accuracy"], ours)})
                told.append(f"`{name}`, {words} classifier:\n\n{table}")
    for name in SETS:
        steps = {f"N = {n}": cell for n in range(1, 11) if (cell := cells.get(f"{name}-beyond-batch{n}"))}
        if steps:
            by_step = {title: dict.fromkeys(cell["accuracy"], cell) for title, cell in steps.items()}
            told.append(f"Labels a step, the default classifier, 50 labels:\n\n{tables.areas_table(name, by_step)}")
        by_noise = {
            f"noise on {fraction:.0%}": columns | dict.fromkeys(ours["accuracy"], ours)
            for fraction, columns in noisy(cells, name).items()
            if (ours := cells.get(f"{name}-beyond-noise{fraction * 100:.0f}"))
        }
        if by_noise:
            told.append(f"Noise, the paper's classifier:\n\n{tables.areas_table(name, by_noise)}")
    pictures = "".join(f"![{p}](figures/{scale.stem}-{p}.png)\n" for p in ("beyond-figure3", "beyond-figure4"))
    text = "\n".join([*told, pictures]) if len(told) > 1 else ""
    return titled("Beyond the paper", ["beyond"], scale, "beyond-figure1", text)


BEYOND = """The policy of [leave_one_out.md](results/leave_one_out.md) that has not met the data, and the four rules
with the best mean ranks there, from the same initial sets. With the paper's classifier they stand beside its
strategies, and the policy, which learned with the default one, is behind uncertainty on both data sets. With the
default classifier `counterfactual` is trained on the data set's own source pool, beginning with that policy. The X-rays
have their official test split, which is of another kind than the pool.
"""

PARTS = {
    "figure 1": figure_1,
    "figure 2": figure_2,
    "table 1": table_1,
    "table 2": table_2,
    "time": time,
    "questions": reviewer.section,
    "beyond": beyond,
}


def titled(title: str, scripts: Sequence[str], scale: Scale, picture: str, text: str) -> str:
    """A section with its commands and its picture; "" without text."""
    flag = " --quick" if scale.quick else ""
    commands = ", ".join(f"`python -m experiments.{script}{flag}`" for script in scripts)
    return f"## {title}: {commands}\n\n![{picture}](figures/{scale.stem}-{picture}.png)\n\n{text}" if text else ""


def pairs(cells: Mapping[str, Cell]) -> dict[str, dict[str, Cell]]:
    """By data set, for each of the seven strategies the cell that it is in."""
    return {
        name: by_strategy(cells[f"{name}-ours"], cells[f"{name}-lal-rl"])
        for name in SETS
        if f"{name}-ours" in cells and f"{name}-lal-rl" in cells
    }


TIMING = """5 episodes of 20 labels after a random one, 6 updates after each (LAL-RL has 60 after ten); the X-rays.
By the clock with compilation (and without; of the authors' way, the episodes alone, without updates). The paper says
that LAL-RL was 267 times slower than its method. There the classifier was a ResNet-50; here its latents are given,
which take one pass of the encoder an image, once. For the target of an update the authors' way looks at every
unlabelled point, and the engine at 64. Linear algebra has one thread in the authors' way. The first size of a run also
holds what JAX does once in a process.
"""


def by_size(measured: Cell) -> tuple[int, int]:
    """Pool, then pixels."""
    return measured["pool"], measured["dimensions"]


def slower(measured: Sequence[Cell]) -> str:
    """What was measured of the paper's ratio."""
    sides = [(each["authors"]["seconds"], each["paper"]["seconds"], each["paper"]["compilation"]) for each in measured]
    whole = [authors / ours for authors, ours, _ in sides]
    warm = [authors / (ours - compilation) for authors, ours, compilation in sides]
    place = "within" if max(warm) >= paper.TIMES_SLOWER else "above all"
    return (
        f"LAL-RL as its authors compute it takes {min(whole):.2g} to {max(whole):.2g} times as long as the paper's "
        f"method with compilation, and {min(warm):.2g} to {max(warm):.2g} times without; the paper's "
        f"{paper.TIMES_SLOWER} is {place} of that. It does not say how large its pool was, nor with which code and on "
        "what machine it was measured. With one pool the paper's method does the same work whatever the pixels, so the "
        "spread of its seconds is that of a busy machine, and ratios by the clock are rough. In processor seconds, "
        f"compilation included, {growth(measured, 'pool', 'dimensions')}; {growth(measured, 'dimensions', 'pool')}. "
        "So there is no one ratio: it grows with the pool and the pixels."
    )


def growth(measured: Sequence[Cell], varies: str, fixed: str) -> str:
    """How the processor seconds of both methods grow along one axis, the other being what most measurements have."""
    along = sorted(
        (each for each in measured if each[fixed] == drawing.usual(measured, fixed)), key=lambda x: x[varies]
    )
    first, last = along[0], along[-1]
    authors, ours = (last[kind]["processor"] / first[kind]["processor"] for kind in ("authors", "paper"))
    words = {"pool": "rows in the pool", "dimensions": "pixels x channels"}
    return (
        f"from {first[varies]:,} to {last[varies]:,} {words[varies]} the authors' way takes {authors:.2g} times as "
        f"much, and the paper's method {ours:.2g} times"
    )


def trained_on(by_batch: Mapping[int, Cell]) -> str:
    """On what the policies of table 2 were trained, in a sentence."""
    first = next(iter(by_batch.values()))
    data, settings = first["data"], first["settings"]
    return (
        f"{data['given']}. {data['rows']:,} rows: pool {data['pool']}, reward {data['reward']}, test {data['test']}; "
        f"{settings['seeds']} seeds x {settings['starts']} starts; {settings['train']['iterations']} iterations, "
        "none stopped early, so that every N has as many episodes. Seconds are by the clock of a machine that may "
        "have done other work beside it."
    )


def batches(by_batch: Mapping[int, Cell]) -> str:
    """What the best N gains over one label a step, and how N changes the time."""
    ends = {n: accuracy(cell, OURS)[..., -1] for n, cell in by_batch.items()}
    best = max(ends, key=lambda n: ends[n].mean())
    low, high = statistics.interval(ends[best] - ends[1], 0.95)
    seconds = {n: cell["training"]["seconds"] for n, cell in by_batch.items()}
    fastest = min(seconds, key=lambda n: seconds[n])
    return (
        f"The most accurate, N = {best}, is {(ends[best] - ends[1]).mean():+.3f} from N = 1 (95% interval {low:+.3f} "
        f"to {high:+.3f}; chosen after the fact). Training takes from {seconds[fastest] / seconds[1]:.0%} (N = "
        f"{fastest}) to {max(seconds.values()) / seconds[1]:.0%} of the time of N = 1."
    )


def size(scale: Scale) -> str:
    """How large the runs of a scale are."""
    what = (
        "These check that everything runs, and show the direction at the most; what has a full form is left out here:"
        if scale.quick
        else "So large that a script takes two cores at most half an hour, and smaller than could be (there are 5,000 "
        "tiles and 5,840 X-rays, the preset has 40 iterations, and the paper's images have 224 px):"
    )
    return (
        f"{what} {scale.seeds} seeds x {scale.starts} starts, at most {scale.iterations} iterations of 10 episodes, "
        f"data sets cut to {scale.rows:,} rows, images of {scale.pixels} px for LAL-RL.\n"
    )


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
        f"{ours['wall_seconds'] + other['wall_seconds']:.0f} s by the clock."
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
    first = {name: accuracy(columns[name], name)[..., 0].mean() for name in (OURS, LAL_RL)}
    return (
        f"The paper's policy is number {order.index(OURS) + 1} of {len(order)} here: {', '.join(against)}. LAL-RL's "
        f"classifier is another one: before any choice it is at {first[LAL_RL]:.3f}, and that of all others at "
        f"{first[OURS]:.3f}."
    )


def noisy(cells: Mapping[str, Cell], name: str) -> dict[float, dict[str, Cell]]:
    """By fraction of noise, for each strategy the cell that it is in."""
    found: dict[float, dict[str, Cell]] = {}
    for percent in (0, 10, 50, 100):
        ours, other = (cells.get(f"{name}-{method}-noise{percent}") for method in ("ours", "lal-rl"))
        if ours and other:
            found[percent / 100] = by_strategy(ours, other)
    return found


def fall(columns: Mapping[str, Cell]) -> str:
    """What one label more than the initial set does to the paper's classifier, in a sentence."""
    others = [accuracy(cell, name) for name, cell in columns.items() if name != LAL_RL]
    after = [each[..., 1].mean() for each in others]
    return (
        f"Without noise the paper's classifier is at {others[0][..., 0].mean():.3f} with one label a class, and at "
        f"{min(after):.3f} to {max(after):.3f} with one label more, by strategy."
    )


def robustness(by_noise: Mapping[float, Mapping[str, Cell]]) -> str:
    """What the most noise costs each strategy in area."""
    most, told, worse = max(by_noise), list[str](), 0
    for name in by_noise[0.0]:
        clean, worst = (statistics.aulc(accuracy(by_noise[f][name], name)) for f in (0.0, most))
        low, high = statistics.interval(worst - clean, 0.95)
        worse += high < 0
        told.append(f"{name} {(worst - clean).mean():+.3f} ({low:+.3f} to {high:+.3f})")
    return (
        f"Change of the mean area from no noise to {most:.0%} (95% interval): {'; '.join(told)}. The paper finds every "
        f"strategy robust to noise; here {worse} of {len(told)} lose area (their intervals are below 0)."
    )


if __name__ == "__main__":
    main()
