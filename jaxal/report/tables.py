"""The words and numbers of a report: the headline, signed comparisons, and tables of finished strings."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from jaxal.report.summary import METRIC_NAMES, Summary, best_hand_written, curves, label, missing, policy

NO_VALUE = "–"


class Table(NamedTuple):
    """A table of finished strings."""

    header: list[str]
    rows: list[list[str]]
    note: str  # how to read it
    bold: frozenset[int] = frozenset()  # numbers of the rows to stand out


def against(summary: Summary, a: str, b: str) -> dict[str, Any] | None:
    """The comparison of `a` with `b`, its signs turned if it is stored as (b, a); positive favours a."""
    for entry in summary["comparisons"]:
        if (entry["a"], entry["b"]) == (a, b):
            return entry
        if (entry["a"], entry["b"]) == (b, a):
            low, high = entry["ci95"]
            flipped = {
                **entry,
                "a": a,
                "b": b,
                "aulc_difference": -entry["aulc_difference"],
                "ci95": [-high, -low],
            }
            if entry.get("effect_size") is not None:
                flipped["effect_size"] = -entry["effect_size"]
            if entry.get("quarters") is not None:
                flipped["quarters"] = [None if q is None else -q for q in entry["quarters"]]
            return flipped
    return None


def headline(summary: Summary) -> str:
    """One sentence that says who won and how sure that is; more where that alone would mislead."""
    ours, best = policy(summary), best_hand_written(summary)
    area = {name: entry["aulc_mean"] for name, entry in summary["strategies"].items()}
    if ours is None or best is None:
        leader = max(area, key=lambda name: area[name])
        return f"The largest mean AULC is {label(summary, leader)}'s, {area[leader]:.4f} ({episodes(summary)})."
    other = f"{label(summary, best)}, the best hand-written strategy"
    areas = f"mean AULC {area[ours]:.4f} against {area[best]:.4f}"
    test = against(summary, ours, best)
    if test is None:
        return f"The learned policy and {other}: {areas} ({episodes(summary)}; not tested)."
    difference, p = test["aulc_difference"], test["p_holm"]
    low, high = (number(end, 4, sign=True) for end in test["ci95"])
    numbers = f"{areas}, difference {number(difference, 4, sign=True)} (95% interval {low} to {high}"
    side = "ahead of" if difference > 0 else "behind" if difference < 0 else "level with"
    if missing(p):
        seeds = len(set(summary["episodes"]["seed"]))
        why = "One seed only, so no evidence beyond this split and this policy" if seeds == 1 else "Not tested"
        text = f"{why}: the learned policy is {side} {other}: {numbers}; {episodes(summary)}; no p value)."
    else:
        equals = "" if p_value(p).startswith("<") else "= "
        numbers += f"; Holm-corrected p {equals}{p_value(p)}; {episodes(summary)})"
        if p < 0.05:
            text = f"The learned policy {'beats' if difference > 0 else 'loses to'} {other}: {numbers}."
        else:
            text = f"No clear winner: the learned policy is {side} {other}, but within chance: {numbers}."
            if test["ci95"][0] > 0 or test["ci95"][1] < 0:
                text += " The interval leaves out zero, but with so few seeds and so many comparisons go by p."
    higher = [
        label(summary, name)
        for name, entry in summary["strategies"].items()
        if area[name] > area[ours] and entry["kind"] != "hand-written" and not entry.get("cheats")
    ]
    if higher:
        text += f" Also above the learned policy: {', '.join(higher)}."
    margin = against(summary, ours, "margin") if "margin" in area else None
    last = margin["quarters"][-1] if margin and margin.get("quarters") else None
    if last is not None and last < 0:
        text += f" In the last quarter of the labels it is {-last:.4f} below margin."
    return text + _parts_of_lead(area, ours, best)


def _parts_of_lead(area: Mapping[str, float], ours: str, best: str) -> str:
    """What of the trained policy's lead over margin the best rule has, and what start and training add to that."""
    if ours != "counterfactual" or not {"pretrained", "margin"} <= set(area):
        return ""
    ladder = [area[name] for name in ("margin", best, "pretrained", ours)]
    rule, start, training = (number(b - a, 4, sign=True) for a, b in pairwise(ladder))
    return (
        f" Of its {number(ladder[-1] - ladder[0], 4, sign=True)} over margin, {rule} is the best rule's, {start} comes "
        f"with the pretrained policy that training began with, and {training} with training on this data."
    )


def strategy_table(summary: Summary) -> Table:
    """Every strategy, the largest mean AULC first, the learned policy in bold."""
    entries = summary["strategies"]
    names = sorted(entries, key=lambda name: -entries[name]["aulc_mean"])
    metrics = [m for m in METRIC_NAMES if all(m in entry for entry in entries.values())]
    targets = [entry["labels_to_target"]["target"] for entry in entries.values() if entry.get("labels_to_target")]
    header = ["strategy", "kind", "AULC", "68% interval", "95% interval"]
    header += [f"final {METRIC_NAMES[m]}" for m in metrics]
    header += [f"labels to {100 * targets[0]:.3g}%"] if targets else []
    rows = []
    for name in names:
        entry = entries[name]
        row = [label(summary, name), entry["kind"], number(entry["aulc_mean"], 4)]
        row += [pair(entry.get(key)) for key in ("aulc_ci68", "aulc_ci95")]
        row += [number(curves(summary, name, metric)[..., -1].mean()) for metric in metrics]
        if targets:
            needed = entry.get("labels_to_target") or {}
            reached = needed.get("reached")
            share = "" if missing(reached) else f" ({reached:.0%})"
            row.append(number(needed.get("median"), 0) + share)
        rows.append([*row, number(entry.get("seconds"), 2)])
    note = (
        "AULC: mean test accuracy over the learning curve. Intervals: bootstrap over seeds, then over their "
        "starts. Labels to a target: median over the episodes, those that never reach it counting as "
        "infinite, and the share that reaches it. What cheats sees labels that it has not paid for."
    )
    ours = policy(summary)
    return Table([*header, "seconds"], rows, note, frozenset({names.index(ours)} if ours else ()))


def comparison_table(summary: Summary) -> Table:
    """Every tested pair, as stored."""
    rows = [
        [
            label(summary, entry["a"]),
            label(summary, entry["b"]),
            number(entry["aulc_difference"], 4, sign=True),
            pair(entry["ci95"], sign=True),
            number(entry.get("effect_size"), 2, sign=True),
            p_value(entry["p"]),
            p_value(entry["p_holm"]),
        ]
        for entry in summary["comparisons"]
    ]
    note = (
        "Differences are a − b on the same initial sets; positive: a is better. p: paired t-test on one mean "
        "per seed, two-sided, Holm-corrected over the rows of one a. Effect size: Cohen's d of the seeds' "
        "differences. With fewer than about eight seeds the bootstrap intervals are too narrow: go by p."
    )
    return Table(["a", "b", "AULC of a − b", "95% interval", "effect size", "p", "Holm p"], rows, note)


def quarter_table(summary: Summary) -> Table:
    """The learned policy against the best hand-written strategy and margin, early to late."""
    ours, rows = policy(summary), []
    for other in dict.fromkeys((best_hand_written(summary), "margin")):
        test = against(summary, ours, other) if ours and other else None
        if test and test.get("quarters"):
            rows.append([label(summary, test["b"]), *(number(q, 4, sign=True) for q in test["quarters"])])
    note = "Mean difference in accuracy in each quarter of the labels; positive: the learned policy is better."
    header = ["learned policy minus", "1st quarter", "2nd quarter", "3rd quarter", "last quarter"]
    return Table(header, rows, note)


def run_table(runs: Mapping[str, Summary]) -> Table:
    """The learned policy against the best hand-written strategy, one row a run."""
    header = ["run", "data set", "labels", "episodes", "policy − best hand-written", "95% interval", "Holm p"]
    rows = []
    for name, summary in runs.items():
        labels = next(iter(summary["strategies"].values()))["labels"]
        row = [name, summary["dataset"]["name"], f"{labels[0]} to {labels[-1]}", episodes(summary)]
        ours, best = policy(summary), best_hand_written(summary)
        test = against(summary, ours, best) if ours and best else None
        if test:
            difference = f"{number(test['aulc_difference'], 4, sign=True)} ({label(summary, test['b'])})"
            row += [difference, pair(test["ci95"], sign=True), p_value(test["p_holm"])]
        else:
            row += [NO_VALUE] * 3
        rows.append(row)
    note = (
        "Difference in mean AULC on the same initial sets; positive: the learned policy is better. "
        "Intervals: bootstrap over seeds, then over their starts. p: paired t-test on one mean per seed, "
        "Holm-corrected within its run."
    )
    return Table(header, rows, note)


def area_table(runs: Mapping[str, Summary]) -> Table:
    """Mean AULC, runs by strategies."""
    strategies = list(dict.fromkeys(name for summary in runs.values() for name in summary["strategies"]))
    rows = [
        [run, *(number(summary["strategies"].get(name, {}).get("aulc_mean"), 4) for name in strategies)]
        for run, summary in runs.items()
    ]
    labels = {name: label(summary, name) for summary in runs.values() for name in summary["strategies"]}
    note = "Compare within a row: another data set, split or range of labels has another scale."
    return Table(["run", *(labels[name] for name in strategies)], rows, note)


def episodes(summary: Summary) -> str:
    """How many seeds and starts, in words."""
    seeds, starts = (len(set(summary["episodes"][key])) for key in ("seed", "start"))
    return f"{seeds} seed{'s' * (seeds != 1)} × {starts} start{'s' * (starts != 1)}"


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number with a fixed count of digits after the point; a dash for None and NaN."""
    if missing(value):
        return NO_VALUE
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def pair(ends: Sequence[float] | None, *, sign: bool = False) -> str:
    """An interval."""
    return NO_VALUE if ends is None else " to ".join(number(end, 4, sign=sign) for end in ends)


def p_value(p: float | None) -> str:
    """A p value, never as zero."""
    return "< 0.0001" if p is not None and p < 0.0001 else number(p, 4)


def as_text(table: Table) -> str:
    """A table in columns, for a terminal or a notebook."""
    lines = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join("  ".join(cells).rstrip() for cells in padded)
