"""The page's answers to the reviewer's questions, from the cells that there are."""

from collections.abc import Mapping

from experiments import questions
from experiments.questions import AS_PAPER, CASES, CLASSIFIERS, HOME, NETWORKS, TRANSFER, TUNED, VARIANTS, cell_name
from experiments.reproduction import answers
from experiments.reproduction.cells import Cell, Scale

QUESTIONS = {
    1: "Does the policy learn? Trained, against its untrained network and two hand-written strategies.",
    2: "Does it transfer? Trained on the source pool of one data set, compared on the pool of another.",
    3: "What did it cost?",
    4: "Is it noise?",
    5: "Where does it fail?",
    6: "Does the protocol leak? Training and comparison on two pools, or on one as in the paper.",
    7: "Frozen or fine-tuned?",
}

TUNED_BEFORE = """With 15 epochs at 3e-4 the comparison has been made, on 5 splits x 2 starts without a policy:
[BUILD_NOTES.md](../BUILD_NOTES.md), *Frozen against fine-tuned*. A policy under fine-tuning has not been trained: an
episode takes minutes on two cores, its training hundreds of episodes.
"""


def section(cells: Mapping[str, Cell], scale: Scale) -> str:
    """All answers, on the questions' data set; "" where none has been asked."""
    if f"{HOME}-{cell_name(1, AS_PAPER)}" not in cells:
        return ""
    first = cells[f"{HOME}-{cell_name(1, AS_PAPER)}"]
    seeds, starts, iterations = (first["settings"][name] for name in ("seeds", "starts", "train"))
    flag = " --quick" if scale.quick else ""
    lines = [
        f"## The reviewer's questions: `python -m experiments.questions{flag}`\n",
        f"On `{HOME}` where nothing else is said, with the paper's settings; areas under the curve up to "
        f"{first['labels'][-1]} labels. {first['data']['rows']:,} rows: pool {first['data']['pool']}, reward "
        f"{first['data']['reward']}, test {first['data']['test']}; {seeds} seeds x {starts} starts, at "
        f"most {iterations['iterations']} iterations of 10 episodes. Intervals are 95% by the bootstrap; p is of "
        "a t-test on the means of the splits, which trusts a few splits less, and is the one to go by. No p is "
        "corrected for how many there are, and the lines of a table share splits and initial sets.\n",
    ]
    for number, title in QUESTIONS.items():
        told = ANSWERS[number](cells)
        if told or not scale.quick:
            lines += [f"**{number}. {title}**\n", told or not_run(number)]
    if not scale.quick:
        lines.append(TUNED_BEFORE)
    return "\n".join(lines)


def not_run(number: int, what: str = "") -> str:
    """That a question, or a part of it, is open."""
    return f"Not run{what}: `python -m experiments.questions --only {number}`\n"


def some(cells: Mapping[str, Cell], files: Mapping[str, str], number: int) -> tuple[dict[str, Cell], str]:
    """The cells that there are, and a line about the others."""
    found = {name: cells[file] for name, file in files.items() if file in cells}
    others = [name for name in files if name not in found]
    return found, not_run(number, f" of these, {'; '.join(others)}") if found and others else ""


def learning(cells: Mapping[str, Cell]) -> str:
    """Question 1."""
    files = {each: f"{HOME}-{cell_name(1, each)}" for each in VARIANTS}
    found, lacking = some(cells, files, 1)
    return f"{answers.learning(found)}\n{answers.counted(found)}\n{lacking}" if found else ""


def transfer(cells: Mapping[str, Cell]) -> str:
    """Question 2."""
    files = {(target, source): f"{target}-{cell_name(2, source)}" for target in TRANSFER for source in TRANSFER}
    if not all(file in cells for file in files.values()):
        return ""
    return answers.transfer({t: {s: cells[files[t, s]] for s in TRANSFER} for t in TRANSFER})


def cost(cells: Mapping[str, Cell]) -> str:
    """Question 3."""
    found = cells.get(f"{HOME}-{cell_name(3)}")
    if found is None:
        return ""
    main = cells[f"{HOME}-{cell_name(1, AS_PAPER)}"]
    return (
        f"The policy's training uses the labels of its reward set ({main['data']['reward']} rows), of its source pool "
        "and of validation. Below, the hand-written strategies also with as many labels more as the reward set has, at "
        f"random and from the start:\n\n{answers.cost(main, found)}"
    )


def chance(cells: Mapping[str, Cell]) -> str:
    """Question 4."""
    found = cells.get(f"{HOME}-{cell_name(4)}")
    return "" if found is None else answers.chance(found)


def failures(cells: Mapping[str, Cell]) -> str:
    """Question 5."""
    files = {name: f"{case.home}-{cell_name(5, name)}" for name, case in CASES.items()}
    found, lacking = some(cells, files, 5)
    if not found:
        return ""
    main = {AS_PAPER: cells[f"{HOME}-{cell_name(1, AS_PAPER)}"]}
    return f"{answers.learning(main | found)}\n{answers.counted(found)}\n{lacking}"


def leak(cells: Mapping[str, Cell]) -> str:
    """Question 6."""
    found = cells.get(f"{HOME}-{cell_name(6)}")
    return "" if found is None else answers.leak(cells[f"{HOME}-{cell_name(1, AS_PAPER)}"], found)


def tuning(cells: Mapping[str, Cell]) -> str:
    """Question 7."""
    files = {n: {c: f"cxr-{questions.tuning_name(n, c)}" for c in CLASSIFIERS} for n in NETWORKS}
    found = {n: some(cells, of, 7)[0] for n, of in files.items()}
    found = {network: of for network, of in found.items() if of}
    if not found:
        return ""
    lacking = [f"{n}, {c}" for n, of in files.items() for c in of if c not in found.get(n, {})]
    return (
        f"X-rays at {TUNED['image_size']} px, 200 epochs at 1e-4 for every classifier (the whole network: Adam, "
        f"minibatches of 8), {TUNED['seeds']} splits x {TUNED['starts']} start: what two cores do in minutes, and "
        "too little to tell differences of some points. Accuracy of random picks / of margin's:\n\n"
        f"{answers.tuning(found)}\n" + (not_run(7, f" of these, {'; '.join(lacking)}") if lacking else "")
    )


ANSWERS = {1: learning, 2: transfer, 3: cost, 4: chance, 5: failures, 6: leak, 7: tuning}
