"""The paper's figures again, with the pretrained policy and the strongest hand-written strategies.

    python -m experiments.beyond [--quick] [--data FOLDER]

Figure 1 with the paper's classifier and with the default one (where the policy is trained on the spot, too), table 1
and figure 3 with noise, figure 4 with 1 to 10 labels a step. The pretrained policy is one that has not met the data
(`experiments/policies`, made by `experiments/pretrain.py`). Runs of figure 1 and table 1 are taken from there.

Cost:     the full form half an hour on one busy core, most of it training (`cells.FULL` has its size); --quick a third.
Expected: in experiments/RESULTS.md.
"""

from typing import Any

from experiments import figure1, table1
from experiments.reproduction import cells, drawing, tables
from experiments.reproduction.cells import Asked, Cell
from experiments.reproduction.data import Sources

WITHOUT_TILES = "experiments/policies/without_texture80_splice_vehicle.npz"
WITHOUT_X_RAYS = "experiments/policies/without_brain_cxr_segment_waveform5000_vowel.npz"
POLICIES = {"texture": WITHOUT_TILES, "tiles": WITHOUT_TILES, "cxr": WITHOUT_X_RAYS}
RULES = ("typical_herding", "chord_herding", "typical_uncertainty", "uherding")
"""The four that have the best mean ranks in leave_one_out.md."""
LABELS_A_STEP = (1, 2, 5, 10)


def compared(asked: Asked, found: Sources, name: str, *strategies: str, **changed: Any) -> Cell:
    """A comparison of `strategies`, of which some may be the pretrained policy."""
    policy = {"strategies": list(strategies), "pretrained": POLICIES[found.name]}
    return cells.compared(asked, f"beyond-{name}", found, "ours", **policy, **changed)


def papers_classifier(asked: Asked, found: Sources) -> dict[str, Cell]:
    """Figure 1's seven strategies and these."""
    ours = compared(asked, found, "paper", "pretrained", *RULES)
    return figure1.curves(asked, found) | dict.fromkeys(ours["accuracy"], ours)


def default_classifier(asked: Asked, found: Sources) -> dict[str, Cell]:
    """The policy trained on the spot beside the others."""
    others = ("pretrained", *RULES, "margin", "entropy", "random")
    cell = compared(asked, found, "default", "counterfactual", *others, preset="default")
    return dict.fromkeys(cell["accuracy"], cell)


def by_batch(asked: Asked, found: Sources) -> dict[str, dict[str, Cell]]:
    """By labels a step, with the default classifier and 50 labels."""
    fixed: dict[str, Any] = {"preset": "default", "budget": 50}
    every: dict[str, dict[str, Cell]] = {}
    for n in LABELS_A_STEP:
        cell = compared(asked, found, f"batch{n}", "pretrained", *RULES, "margin", "random", batch=n, **fixed)
        every[f"N = {n}"] = dict.fromkeys(cell["accuracy"], cell)
    return every


def by_noise(asked: Asked, found: Sources) -> dict[str, dict[str, Cell]]:
    """By noise, table 1's seven strategies and these."""
    every: dict[str, dict[str, Cell]] = {}
    for fraction in table1.NOISE[asked.scale.quick]:
        ours = compared(asked, found, f"noise{fraction * 100:.0f}", "pretrained", *RULES, noise=fraction)
        every[f"noise on {fraction:.0%}"] = table1.noisy(asked, found, fraction) | dict.fromkeys(ours["accuracy"], ours)
    return every


def main() -> None:
    """Runs what is missing, draws and prints."""
    asked = cells.asked(__doc__)
    found = list(asked.each("cxr", "texture"))
    if found:
        papers, default = ([draw(asked, each) for each in found] for draw in (papers_classifier, default_classifier))
        drawing.save(drawing.columns([each.name for each in found], [papers, default]), asked, "beyond-figure1")
        for each, columns in zip(found, zip(papers, default, strict=True), strict=True):
            print(f"{each.name}\n", *map(tables.curves_table, columns), sep="\n")
    for each in asked.each("texture"):
        batches = by_batch(asked, each)
        drawing.save(drawing.columns([*batches], [[*batches.values()]]), asked, "beyond-figure4")
        print(tables.areas_table(each.name, batches))
    for each in asked.each("tiles"):
        noise = by_noise(asked, each)
        drawing.save(drawing.columns([*noise], [[*noise.values()]]), asked, "beyond-figure3")
        print(tables.areas_table(each.name, noise))


if __name__ == "__main__":
    main()
