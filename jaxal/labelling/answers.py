"""Answers into a project, wherever they come from: a table, Label Studio or the page."""

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from jaxal.data.dataset import DataError
from jaxal.data.wording import few
from jaxal.labelling.project import Entry, Project
from jaxal.labelling.state import RESERVED, WITHDRAWN, State

LONGEST_NAME = 100  # characters of a class's or a person's name


class Told(NamedTuple):
    """One answer as somebody told it."""

    file: str  # as `State.files` has it
    label: str  # the name of a class, or one of `RESERVED`
    who: str
    origin: str  # the same when the same answer is told again
    where: str  # how messages call the place that it stands at
    source: str | None = None  # its id in another program, by which it may be withdrawn
    time: str | None = None  # when it was given, if that is known


@dataclass
class Summary:
    """What answers changed."""

    new: int = 0
    corrected: int = 0
    withdrawn: int = 0
    known: int = 0  # told before, or the same as the person's present answer
    superseded: list[str] = field(default_factory=list)  # told before, and corrected since then
    classes: list[str] = field(default_factory=list)  # met for the first time

    def __str__(self) -> str:
        counts = {"new": self.new, "corrected": self.corrected, "withdrawn": self.withdrawn}
        counts["known already"] = self.known
        said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "no answers"
        if self.superseded:
            said += f"; corrected since they were first told, and left so: {few(self.superseded)}"
        return said + (f"; new classes: {few(self.classes)}" if self.classes else "")


def record(project: Project, told: Sequence[Told], *, new_classes: bool = False) -> Summary:
    """Takes all answers in, or none.

    An answer whose origin is known was told before, and changes nothing. Names that are no class yet become one if
    `new_classes`, or while the project has none at all.

    Raises:
      DataError: one line, for the first answer that cannot be taken.
    """
    summary = Summary()

    def decide(state: State) -> list[Entry]:
        free = new_classes or not state.classes
        summary.classes = _new_classes(state, told, free)
        entries = [Entry(told[0].who, "class_added", {"name": name}) for name in summary.classes]
        present: dict[tuple[int, str], str] = {}
        origins: set[str] = set()
        for answer in told:
            image = find_image(state, answer.file, answer.where)
            key = (image, check_person(answer.who, answer.where))
            before = present.get(key, _present(state, *key))
            if answer.origin in state.origins or answer.origin in origins:
                if before == answer.label:
                    summary.known += 1
                else:
                    summary.superseded.append(answer.file)
                continue
            origins.add(answer.origin)
            present[key] = answer.label
            entries += _entries(state, answer, before, summary)
        return entries

    if told:
        project.write(decide)
    return summary


def _entries(state: State, answer: Told, before: str, summary: Summary) -> list[Entry]:
    if answer.label == WITHDRAWN:
        if before == WITHDRAWN:
            summary.known += 1
            return []
        summary.withdrawn += 1
        return [Entry(answer.who, "withdrawn", {"file": answer.file, "origin": answer.origin})]
    if before == WITHDRAWN:
        kind, summary.new = "answered", summary.new + 1
    elif before == answer.label:
        kind, summary.known = "answered", summary.known + 1
    else:
        kind, summary.corrected = "corrected", summary.corrected + 1
    asked = state.asked.get(state.place[answer.file])
    body = {
        "file": answer.file,
        "label": answer.label,
        "origin": answer.origin,
        "source": answer.source,
        "time": answer.time,
        "policy": asked.policy if asked else None,
        "classifier": asked.classifier if asked else None,
    }
    return [Entry(answer.who, kind, body)]


def _present(state: State, image: int, who: str) -> str:
    """What a person says of an image now; `WITHDRAWN`: nothing."""
    answer = state.answers.get(image, {}).get(who)
    return WITHDRAWN if answer is None else state.name(answer.label)


def _new_classes(state: State, told: Sequence[Told], free: bool) -> list[str]:
    """Classes that the project does not have yet, in the order in which they are met; an error unless `free`."""
    new: list[str] = []
    for answer in told:
        if answer.label in (*state.classes, *new, *RESERVED):
            continue
        if not free:
            close = difflib.get_close_matches(answer.label, [*state.classes, *RESERVED], 1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            known = f"{few(state.classes)}, or {', '.join(RESERVED)}"
            raise DataError(
                f"{answer.where}: {answer.label[:LONGEST_NAME]!r} is no class; {guess}there are {known}, and "
                "--new-classes takes others"
            )
        new.append(check_class([*state.classes, *new], answer.label, answer.where))
    return new


def find_image(state: State, name: str, where: str) -> int:
    """The image of that name.

    Raises:
      DataError: one line, with `where`, for a name that the project does not have.
    """
    image = state.place.get(name)
    if image is None:
        raise DataError(f"{where}: no image {name[:200]!r} in this project{guess_image(state, name)}")
    if image in state.removed:
        raise DataError(f"{where}: {name} was removed from this project")
    return image


def guess_image(state: State, name: str) -> str:
    """What may have been meant, for a message."""
    close = difflib.get_close_matches(name, state.files[:20_000], 1, 0.75)
    expected = f"paths such as {state.files[0]!r}" if state.files else "none, as it has no images"
    return f"; did you mean {close[0]!r}?" if close else f"; expected are {expected}"


def check_class(classes: Sequence[str], name: str, where: str) -> str:
    """A name for a new class.

    Raises:
      DataError: one line, with `where`, for one that is taken, reserved, empty, too long or cannot be printed.
    """
    if not name.strip() or name != name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise DataError(
            f"{where}: {name[:LONGEST_NAME]!r} is no name for a class; 1 to {LONGEST_NAME} printable characters are, "
            "without blanks at the ends"
        )
    if name.casefold() in RESERVED:
        raise DataError(f"{where}: {name!r} cannot be a class; {', '.join(RESERVED)} have a meaning of their own")
    if name in classes:
        raise DataError(f"{where}: there is a class {name!r} already")
    return name


def check_person(name: str, where: str) -> str:
    """An annotator's name.

    Raises:
      DataError: one line, with `where`, for one that is empty, too long or cannot be printed.
    """
    if not name or name != name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise DataError(
            f"{where}: {name[:LONGEST_NAME]!r} is no annotator's name; 1 to {LONGEST_NAME} printable characters are"
        )
    return name


class Dispute(NamedTuple):
    """An image about which annotators disagree."""

    file: str
    said: dict[str, str]  # person -> answer


def disputes(state: State) -> list[Dispute]:
    """Images without a majority, and who says what."""
    return [
        Dispute(
            state.files[image],
            {who: state.name(answer.label) for who, answer in sorted(state.answers[image].items())},
        )
        for image in state.disputed()
    ]


class Agreement(NamedTuple):
    """How far annotators agree where several have answered."""

    images: int  # with two or more answers that are no "unsure"
    agreed: int  # of these, all the same
    kappa: float | None  # Cohen's, over pairs of answers; None where it is not defined


def agreement(state: State) -> Agreement:
    """Over all images that two or more people have answered."""
    answers = [[a.label for a in given.values() if a.label != "unsure"] for given in state.answers.values()]
    several = [labels for labels in answers if len(labels) > 1]
    if not several:
        return Agreement(0, 0, None)
    pairs = [(a, b) for labels in several for i, a in enumerate(labels) for j, b in enumerate(labels) if i != j]
    observed = sum(a == b for a, b in pairs) / len(pairs)
    shares = Counter(a for a, _ in pairs)
    chance = sum((count / len(pairs)) ** 2 for count in shares.values())
    kappa = (observed - chance) / (1 - chance) if chance < 1 else None
    return Agreement(len(several), sum(len(set(labels)) == 1 for labels in several), kappa)
