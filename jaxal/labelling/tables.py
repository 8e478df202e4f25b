"""Tables of answers and of questions, as CSV."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxal.data.dataset import DataError
from jaxal.data.wording import few
from jaxal.labelling.answers import Told, find_image, guess_image
from jaxal.labelling.choosing import why
from jaxal.labelling.state import RESERVED, Question, State

COLUMNS = ("file", "label", "annotator", "time")  # of a table of answers; the first two are needed
LARGEST = 256 * 2**20  # bytes of a file that is read


class Cell(NamedTuple):
    """A cell of a table, and where it stands."""

    text: str
    where: str  # FILE, line L, column NAME


def read_answers(path: Path, state: State, who: str) -> list[Told]:
    """The answers in a table with the columns `file` and `label`, and perhaps `annotator` and `time`.

    Other columns are passed over, so a filled-in next.csv is such a table; rows without a label are not answered yet.
    Names may be paths below the folder of images, whole paths, or a file's mere name where no other has it. Without
    `annotator` the answers are those of `who`. A label is the name of a class, or one of `RESERVED`.

    Raises:
      DataError: one line, with line and column, for the first row that cannot be taken.
    """
    names = Names(state)
    told, times = [], Counter()
    for row in read_rows(path):
        label = row["label"].text
        label = label.casefold() if label.casefold() in RESERVED else label
        if not label:
            continue
        person = row["annotator"].text if "annotator" in row and row["annotator"].text else who
        time = row["time"].text if "time" in row and row["time"].text else None
        file = names.find(row["file"])
        said = (file, label, person, time)
        times[said] += 1  # somebody may go back to an answer: its second time is not its first
        origin = hashlib.blake2b(repr((said, times[said])).encode(), digest_size=12).hexdigest()
        told.append(Told(file, label, person, f"table:{origin}", row["label"].where, time=time))
    return told


class Names:
    """Images by what tables call them."""

    def __init__(self, state: State):
        self._state = state
        self._folder = state.settings.images.replace("\\", "/").rstrip("/") + "/" if state.settings.images else ""
        mere = Counter(state.files[image].rsplit("/", 1)[-1] for image in state.live)
        self._mere = {name: state.files[i] for i in state.live if mere[name := state.files[i].rsplit("/", 1)[-1]] == 1}

    def find(self, cell: Cell) -> str:
        """The file of `State.files` that is meant.

        Raises:
          DataError: one line, where there is none, or more than one.
        """
        name = cell.text.replace("\\", "/")
        if self._folder and name.startswith(self._folder):
            name = name[len(self._folder) :]
        name = name.removeprefix("./")
        if name in self._state.place:
            find_image(self._state, name, cell.where)
            return name
        if "/" not in name and name in self._mere:
            return self._mere[name]
        same = [self._state.files[i] for i in self._state.live if self._state.files[i].endswith("/" + name)]
        if len(same) > 1:
            raise DataError(f"{cell.where}: {name!r} may be {few(same)}; give the path")
        raise DataError(f"{cell.where}: no image {name[:200]!r} in this project{guess_image(self._state, name)}")


def read_rows(path: Path, needed: Sequence[str] = COLUMNS[:2]) -> Iterator[dict[str, Cell]]:
    """The rows of a CSV file by the names of its columns, blanks at the ends of cells left out.

    Separated by commas, semicolons or tabs, with a header that has the `needed` columns, in UTF-8.

    Raises:
      DataError: one line.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: larger than {LARGEST // 2**20} MB; that is no table of answers")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not in UTF-8; save it as CSV UTF-8") from None
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = [name.strip().casefold() for name in next(rows, [])]
        for name in needed:
            if header.count(name) != 1:
                wrong = "no column" if name not in header else "more than one column"
                raise DataError(f"{path}, line 1: {wrong} {name!r}; a header such as {','.join(COLUMNS)} is expected")
        for row in rows:
            line = rows.line_num
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise DataError(f"{path}, line {line}: {len(row)} cells; {len(header)} are expected, as in line 1")
            yield {
                name: Cell(text.strip(), f"{path}, line {line}, column {name}")
                for name, text in zip(header, row, strict=True)
            }
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num}: {error}") from None


def questions_csv(questions: Sequence[Question]) -> str:
    """A batch as a table to be filled in: its `label` is empty, and `jaxal label add` takes it."""
    header = ("file", "label", "predicted", "probability", "score", "why")
    rows = [
        (q.file, "", q.predicted or "", f"{q.probability:.3f}" if q.predicted else "", f"{q.score:.6g}", reason(q))
        for q in questions
    ]
    return _csv([header, *rows])


def reason(question: Question) -> str:
    """Why an image is asked, in words."""
    if question.again:
        return "annotators disagree"
    if question.testing:
        return "drawn by lot, for testing"
    return why(np.array(question.reasons))


def answers_csv(state: State) -> str:
    """All present answers, one row a person and image, with what they come to in the last columns."""
    header = ("file", "label", "annotator", "time", "agreed", "part")
    rows = []
    for image in sorted(state.answers):
        if image in state.removed:
            continue
        standing = state.standing[image]
        agreed = state.classes[standing.label] if standing.kind == "labelled" else standing.kind
        part = "test" if state.is_reserved(image) else "train"
        for who, answer in sorted(state.answers[image].items()):
            rows.append((state.files[image], state.name(answer.label), who, answer.at, agreed, part))
    return _csv([header, *rows])


def _csv(rows: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
