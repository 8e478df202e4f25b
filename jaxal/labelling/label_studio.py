"""Label Studio's formats: tasks with predictions, its JSON export, its labelling configuration.

A task's `data` holds the address that Label Studio shows (`image`) and the name that jaxal knows (`file`). Label
Studio's uncertainty sampling, and its list sorted by prediction score, begin with the lowest score; so the first image
to be labelled has the lowest (`projects/functions/next_task.py` of Label Studio 1.23).
"""

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from jaxal.data.dataset import DataError
from jaxal.labelling.answers import Told
from jaxal.labelling.state import RESERVED, UNSURE, UNUSABLE, WITHDRAWN, Question, State
from jaxal.labelling.tables import LARGEST, Cell, Names

SERVED = "/data/local-files/?d="  # where Label Studio serves local files from
NUMBERED = "label-studio"  # before the number of a user whose name Label Studio does not tell
FROM, TO = "label", "image"  # names of the controls in the configuration


def configuration(classes: Sequence[str]) -> str:
    """The labelling interface as Label Studio takes it: the image, the classes, and what else an answer may be."""
    names = [*classes, *(name for name in RESERVED if name != WITHDRAWN)]
    choices = "".join(f'<Choice value="{html.escape(name)}"/>' for name in names)
    return (
        f'<View><Image name="{TO}" value="$image" zoom="true"/>'
        f'<Choices name="{FROM}" toName="{TO}" choice="single-radio" showInLine="true">{choices}</Choices></View>'
    )


def address(file: str, prefix: str) -> str:
    """What Label Studio shows an image by."""
    return prefix + quote(file)


def prefix_of(folder: str) -> str:
    """Where Label Studio finds a folder of images whose parent is its document root."""
    return f"{SERVED}{quote(Path(folder).name)}/"


def choice(name: str, probability: float | None = None) -> dict[str, Any]:
    """One region of a result."""
    body = {"from_name": FROM, "to_name": TO, "type": "choices", "value": {"choices": [name]}}
    return body if probability is None else body | {"score": probability}


def tasks(questions: Sequence[Question], version: str, prefix: str) -> list[dict[str, Any]]:
    """A batch as tasks, in order; sorted by `predictions[].score`, lowest first, they keep it."""
    return [
        {
            "data": {"image": address(question.file, prefix), "file": question.file},
            "predictions": [
                {
                    "model_version": version,
                    "score": (rank + 1) / (len(questions) + 1),
                    "result": [choice(question.predicted, question.probability)] if question.predicted else [],
                }
            ],
        }
        for rank, question in enumerate(questions)
    ]


def export(state: State, prefix: str) -> list[dict[str, Any]]:
    """Every image with an answer, as tasks with annotations.

    Label Studio refuses annotators that it does not know, so only those have a `completed_by` who came from there or
    have an e-mail address for a name; `annotator`, which it passes over, has the names of all.
    """
    return [
        {
            "data": {"image": address(state.files[image], prefix), "file": state.files[image]},
            "annotations": [
                {
                    "annotator": who,
                    **_completed_by(who),
                    "created_at": answer.at,
                    "updated_at": answer.at,
                    "was_cancelled": False,
                    "result": [choice(state.name(answer.label))],
                }
                for who, answer in sorted(state.answers[image].items())
            ],
        }
        for image in sorted(state.answers)
        if image not in state.removed
    ]


def read_export(path: Path, state: State) -> list[Told]:
    """The answers in a JSON export of Label Studio (`Export`, `JSON`): skipped tasks and drafts are none.

    Raises:
      DataError: one line, with task and field, for the first answer that cannot be taken.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: larger than {LARGEST // 2**20} MB; export fewer tasks at a time")
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{path}{where}: no JSON; export as JSON from Label Studio") from None
    if not isinstance(content, list):
        raise DataError(f"{path}: no list of tasks; export as JSON from Label Studio")
    names = Names(state)
    told = []
    for place, task in enumerate(content):
        if not isinstance(task, dict):
            raise DataError(f"{path}, task {place + 1}: no object; export as JSON from Label Studio")
        where = f"{path}, task {task.get('id', place + 1)}"
        if "annotations" not in task:
            raise DataError(f"{where}: no field annotations; export as JSON, not JSON-MIN")
        file = find_file(task, names, where)
        for annotation in task["annotations"] or []:
            answer = read_annotation(annotation, file, where)
            told += [] if answer is None else [answer]
    return told


def find_file(task: dict[str, Any], names: Names, where: str) -> str:
    """The project's name for a task's image, by its `data`.

    Raises:
      DataError: one line, where there is none.
    """
    data = task.get("data")
    if not isinstance(data, dict):
        raise DataError(f"{where}, field data: an object with `file` or `image` is expected")
    if isinstance(data.get("file"), str):
        return names.find(Cell(data["file"], f"{where}, field data.file"))
    if isinstance(data.get("image"), str):
        name = unquote(data["image"].split("?d=")[-1].split("?")[0]).rsplit("/", 1)[-1]
        return names.find(Cell(name, f"{where}, field data.image"))
    raise DataError(f"{where}, field data: it has neither `file` nor `image`")


def read_annotation(annotation: Any, file: str, where: str) -> Told | None:
    """One annotation as an answer; None for a skipped task, or one without a choice.

    Raises:
      DataError: one line, for what is no annotation.
    """
    if not isinstance(annotation, dict) or not isinstance(annotation.get("result"), list):
        raise DataError(f"{where}, field annotations: objects with a list `result` are expected")
    if annotation.get("was_cancelled"):
        return None
    choices = [
        name
        for region in annotation["result"]
        if isinstance(region, dict) and region.get("type") == "choices" and isinstance(region.get("value"), dict)
        for name in region["value"].get("choices", [])
    ]
    if not choices:
        return None
    place = f"{where}, annotation {annotation.get('id', '?')}, field result"
    if len(choices) > 1 or not isinstance(choices[0], str):
        raise DataError(f"{place}: {len(choices)} choices; one is expected, so let `choice` be single-radio")
    label = choices[0].casefold() if choices[0].casefold() in (UNSURE, UNUSABLE) else choices[0]
    if label == WITHDRAWN:
        raise DataError(f"{place}: {label!r} is no answer; delete the annotation instead")
    who = person(annotation.get("annotator") or annotation.get("completed_by"))
    updated = annotation.get("updated_at") or annotation.get("created_at")
    source = f"label-studio:{annotation['id']}" if "id" in annotation else None
    origin = f"{source or f'label-studio {file} {who}'} {label} {updated}"
    return Told(file, label, who, origin, place, source, updated if isinstance(updated, str) else None)


def person(completed_by: Any) -> str:
    """An annotator's name, from a name, a number, or an object with an e-mail address."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    if isinstance(completed_by, str) and completed_by.strip():
        return completed_by.strip()
    return f"{NUMBERED} {completed_by}" if isinstance(completed_by, int) else NUMBERED


def _completed_by(who: str) -> dict[str, Any]:
    name, _, number = who.rpartition(" ")
    if name == NUMBERED and number.isdecimal():
        return {"completed_by": int(number)}
    return {"completed_by": {"email": who}} if "@" in who else {}
