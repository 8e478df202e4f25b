"""What training on a data set's own source pool adds, beside the pretrained policy and every hand-written strategy.

    python experiments/trained_here.py --data ../shared/data

The policy (`counterfactual`, as the default preset trains it) learns on the source pool of each split, and is compared
on the pool of the same split, which is disjoint from it. It begins with the first of the policies that has not met the
data set, as in `leave_one_out.py`. Splits and initial sets are those of that experiment, whose results of the
hand-written strategies are taken; margin is run again, to be sure that they are the same. As a control, a probe is
fitted to the very labels that training took: whoever has them for the same classes need not choose any more. Every
data set is a file in experiments/results/trained_here, and is not computed again; `--table` only writes the table. A
data set takes three to twelve minutes of a busy core.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import leave_one_out
import numpy as np
from leave_one_out import PICTURES, TABLES, Cell, data_of, keep, publish, told
from sklearn.linear_model import LogisticRegression

import jaxal
from jaxal.api import configure
from jaxal.policies import pretrained
from jaxal.prepare import prepare
from jaxal.report import statistics
from jaxal.report.statistics import rounded
from jaxal.tasks.task import standardise

RESULTS = Path(__file__).parent / "results" / "trained_here"
TRAINED, BEFORE, CHECK = "counterfactual", "pretrained", "margin"
SPLITS, STARTS, BUDGET = 4, 4, 60  # the first of the results that are taken
SETS = (*PICTURES, *TABLES)


def main() -> None:
    """Computes what is missing, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real data")
    parser.add_argument("--policies", nargs="*", default=leave_one_out.POLICIES, help="policy files")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=SETS, help="data sets; all by default")
    parser.add_argument("--table", action="store_true", help="compute nothing")
    given = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in [] if given.table else given.sets:
        if not path_of(name).exists():
            print(name, flush=True)
            keep(path_of(name), compare(Cell(name, 1, BUDGET), given.data, given.policies))
    publish(RESULTS.with_suffix(".md"), table([name for name in SETS if path_of(name).exists()]))


def path_of(name: str) -> Path:
    """Where the results on a data set are kept."""
    return RESULTS / f"{name}.json"


def compare(cell: Cell, folder: Path, policies: Sequence[str]) -> dict[str, Any]:
    """What is kept of a data set.

    Raises:
      ValueError: when splits or initial sets are not those of `leave_one_out.py`, or all policies have met the set.
    """
    policy = leave_one_out.unmet(cell.data, policies)
    settings: dict[str, Any] = {"budget": cell.budget, "batch": cell.batch, "seeds": SPLITS, "starts": STARTS}
    found = jaxal.compare(
        data_of(cell, folder), [TRAINED, BEFORE, CHECK], progress=False, pretrained=policy, **settings
    )
    before = rules_of(cell.data)[CHECK]
    if not np.allclose(found.aulc(CHECK), before, atol=1e-3):
        raise ValueError(f"{cell.data}: {CHECK} is not what it was in {cell.path}; compute that again")
    return {
        "same_labels": same_labels(cell, folder),
        "policy": pretrained.named(policy).fingerprint,
        "aulc": {name: rounded(found.aulc(name)) for name in (TRAINED, BEFORE)},
        "labels_counted": found.summary["labels_counted"],
        "training": {
            name: found.summary["training"][name] for name in ("seconds", "compile_seconds", "explains", "validation")
        },
    }


def same_labels(cell: Cell, folder: Path) -> list[float]:
    """Test accuracy [splits] of a probe that is fitted to the labels of training: source pool, reward, validation."""
    dataset = data_of(cell, folder)
    config = configure(strategies=(TRAINED,), seeds=SPLITS, budget=cell.budget)
    accuracies: list[float] = []
    for parts in prepare(config, dataset, [dataset]).splits:
        rows = np.concatenate([parts.source_pool, parts.reward, parts.validation])
        latents, tests = (
            np.pad(x, ((0, 0), (0, 1)), constant_values=1)
            for x in standardise(*(dataset.inputs[some] for some in (rows, parts.test)))
        )
        probe = LogisticRegression(C=1 / config.probe.l2, fit_intercept=False, max_iter=1000)
        accuracies.append(float(probe.fit(latents, dataset.labels[rows]).score(tests, dataset.labels[parts.test])))
    return [round(each, 4) for each in accuracies]


def table(names: list[str]) -> list[str]:
    """Lines of Markdown; standard errors are of the splits' means, p values of t-tests on them, with Holm."""
    lines = [
        "# Trained on the spot",
        "",
        "Written by `experiments/trained_here.py`; AULC of accuracy in points of 100, 1 label a step, "
        f"{BUDGET} labels, {SPLITS} splits x {STARTS} starts. The best rule is chosen afterwards, of 23.",
        "",
        "| data | trained | pretrained | best rule | trained - pretrained | trained - best rule | margin "
        "| variance explained | labels of training | a probe on these | the start had met the data |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    over_before, over_rules = [], {}
    for name in names:
        kept, rules = json.loads(path_of(name).read_text(encoding="utf-8")), rules_of(name)
        ours, before = (np.array(kept["aulc"][each]) for each in (TRAINED, BEFORE))
        best = max(rules, key=lambda rule: rules[rule].mean())
        over_before.append((ours - before).mean(1))
        for rule, aulc in rules.items():
            over_rules.setdefault(rule, []).append((ours - aulc).mean(1))
        lines.append(
            f"| {name} | {100 * ours.mean():.2f} | {100 * before.mean():.2f} | {best} {100 * rules[best].mean():.2f} "
            f"| {told(ours - before)} | {told(ours - rules[best])} "
            f"| {100 * rules[CHECK].mean():.2f} | {kept['training']['explains']['r2']:.0%} "
            f"| {sum(number for use, number in kept['labels_counted'].items() if use != 'budget'):,} "
            f"| {100 * np.mean(kept['same_labels']):.1f} "
            f"| {'yes' if has_met(kept['policy'], name) else 'no'} |"
        )
    gaps = {BEFORE: over_before, **over_rules}
    flat = {rule: np.concatenate(gap)[:, None] for rule, gap in gaps.items()}
    ps = statistics.holm([statistics.compare(gap, np.zeros_like(gap)).p for gap in flat.values()])
    lines += ["", f"Over {len(names)} data sets:", "", "| against | difference | p (Holm) |", "|---|---|---|"]
    for (rule, gap), p in sorted(zip(flat.items(), ps, strict=True), key=lambda row: row[0][1].mean())[:6]:
        lines.append(f"| {rule} | {told(gap)} | {'–' if p is None else f'{p:.1g}'} |")
    return lines


def rules_of(name: str) -> dict[str, np.ndarray]:
    """AULC [splits, starts] of the hand-written strategies from the same initial sets."""
    found = leave_one_out.read(Cell(name, 1, BUDGET))
    return {rule: found.aulc[rule][:SPLITS, :STARTS] for rule in found.rules}


def has_met(policy: str, name: str) -> bool:
    """Whether a policy, by its fingerprint, was trained on a data set; all but the package's were made without."""
    shipped = pretrained.named("")
    return policy == shipped.fingerprint and name in shipped.card["data"]


if __name__ == "__main__":
    main()
