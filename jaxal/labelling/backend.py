"""Label Studio's ML backend for a project: it is told the order of its tasks, and tells the answers.

A few images at a time are asked for, in jaxal's order and with those drawn by lot among them; they get the lowest
scores, as Label Studio begins with those. All other tasks follow by how sure the classifier is. The model's version
changes with every label, so that Label Studio knows predictions to be old; which version its labelling stream goes by
is chosen there, under Settings, Model.
"""

import threading
import xml.etree.ElementTree
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from jaxal.data.dataset import DataError
from jaxal.labelling import label_studio
from jaxal.labelling.answers import Summary, check_class, record
from jaxal.labelling.asking import ask, classifier_now, version_of
from jaxal.labelling.choosing import Chooser
from jaxal.labelling.project import Entry, Project
from jaxal.labelling.state import RESERVED, State
from jaxal.labelling.tables import Names
from jaxal.labelling.web import Access, Guard, read_object, told

LIMIT = 32 * 2**20  # bytes of a request; Label Studio sends many tasks at once
HINT = (
    "connect this address in Label Studio under Settings, Model; it calls this machine only if it was started with "
    "SSRF_PROTECTION_ENABLED=false and ML_BLOCK_LOCAL_IP=false"
)
BATCH = 10  # images that are asked for at a time
WRITTEN = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED")


class Controls(NamedTuple):
    """What predictions refer to in a labelling configuration."""

    name: str
    to_name: str
    choices: list[str]


def make_app(project: Project, chooser: Chooser, access: Access, who: str) -> Starlette:
    """The application; everything in it stands below the token, which is part of the address that Label Studio is told.

    `who` is said to have asked.
    """
    one_at_a_time = threading.Lock()

    def setup(body: dict[str, Any]) -> dict[str, Any]:
        controls = read_controls(body.get("schema"))

        def decide(state: State) -> list[Entry]:
            new = [name for name in controls.choices if name not in state.classes and name.casefold() not in RESERVED]
            names = list(state.classes)
            for name in new:
                names.append(check_class(names, name, "schema"))
            return [Entry(who, "class_added", {"name": name}) for name in new]

        project.write(decide)
        return {"model_version": model_version()}

    def model_version() -> str:
        # of the classifier that the answers give, fitted or not: Label Studio waits 3 s for /setup
        return f"{chooser.name} {version_of(project.refresh(), chooser)}"

    def predict(body: dict[str, Any]) -> dict[str, Any]:
        tasks = body.get("tasks")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise DataError("field tasks: a list of objects is expected")
        controls = read_controls(body.get("label_config"))
        with one_at_a_time:
            if len(project.refresh().pending) < BATCH // 2:
                ask(project, chooser, BATCH, who)
            version, classifier = model_version(), classifier_now(project, chooser)
        with project.lock:
            state = project.state
            order = {image: rank for rank, image in enumerate(state.pending)}
            names = Names(state)
            images = [state.place[label_studio.find_file(task, names, f"task {task.get('id')}")] for task in tasks]
            latents = np.asarray(project.latents()[images])
            results = []
            for row, image in enumerate(images):
                guess, score = [], 0.5
                if classifier is not None:
                    chances = classifier.head.probabilities(latents[row : row + 1])[0]
                    best = int(chances.argmax())
                    value = {"choices": [state.classes[best]]}
                    region = {"from_name": controls.name, "to_name": controls.to_name, "type": "choices"}
                    guess = [region | {"value": value, "score": float(chances[best])}]
                    score = 0.5 + 0.5 * float(chances[best])
                if image in order:
                    score = 0.5 * order[image] / len(order)
                results.append({"result": guess, "score": score, "model_version": version})
        return {"results": results, "model_version": version}

    def webhook(body: dict[str, Any]) -> dict[str, Any]:
        action = body.get("action")
        if action in WRITTEN:
            return {"changed": str(_written(project, body))}
        if action == "ANNOTATIONS_DELETED":
            return {"changed": f"{_deleted(project, body)} withdrawn"}
        return {}

    def endpoint(work: Callable[[dict[str, Any]], dict[str, Any]], status: int = 200) -> Any:
        async def answer(request: Request) -> JSONResponse:
            return JSONResponse(await run_in_threadpool(work, await read_object(request)), status)

        return told(answer)

    async def health(request: Request) -> JSONResponse:
        del request
        return JSONResponse({"status": "UP", "model_class": "jaxal"})

    routes = [
        Route("/", health),
        Route("/health", health),
        Route("/setup", endpoint(setup), methods=["POST"]),
        Route("/predict", endpoint(predict), methods=["POST"]),
        Route("/webhook", endpoint(webhook, 201), methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, access=access, limit=LIMIT)])


def read_controls(config: Any) -> Controls:
    """The choices in a labelling configuration.

    Raises:
      DataError: one line, where it has none.
    """
    if not isinstance(config, str) or "<!" in config.replace("<!--", ""):
        raise DataError("field label_config or schema: Label Studio's XML is expected, without declarations")
    try:
        root = xml.etree.ElementTree.fromstring(config)
    except xml.etree.ElementTree.ParseError as error:
        raise DataError(f"field label_config or schema: no XML ({error})") from None
    for control in root.iter("Choices"):
        names = [choice.get("value") or choice.text or "" for choice in control.iter("Choice")]
        return Controls(control.get("name", ""), control.get("toName", ""), names)
    raise DataError("field label_config or schema: it has no <Choices>, which is what jaxal can answer")


def _written(project: Project, body: dict[str, Any]) -> Summary:
    """Takes in annotations that were made or changed."""
    annotations, tasks = body.get("annotation"), body.get("task")
    several: list[Any] = annotations if isinstance(annotations, list) else [annotations]
    beside: list[Any] = tasks if isinstance(tasks, list) else [tasks] * len(several)
    if len(beside) != len(several) or not all(isinstance(task, dict) for task in beside):
        raise DataError("field task: the annotation's task is expected; let the webhook send its payload")
    names = Names(project.refresh())
    answers = []
    for annotation, task in zip(several, beside, strict=True):
        where = f"task {task.get('id')}"
        answer = label_studio.read_annotation(annotation, label_studio.find_file(task, names, where), where)
        answers += [] if answer is None else [answer]
    return record(project, answers, new_classes=True)


def _deleted(project: Project, body: dict[str, Any]) -> int:
    """Withdraws the answers of annotations that were deleted; how many there were."""
    given = body.get("annotations")
    ids = [item.get("id") for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    count = 0

    def decide(state: State) -> list[Entry]:
        nonlocal count
        entries = []
        for number in ids:
            image, who = state.sources.get(f"label-studio:{number}", (-1, ""))
            if image >= 0 and who in state.answers.get(image, {}):
                body = {"file": state.files[image], "origin": f"label-studio:{number} deleted"}
                entries.append(Entry(who, "withdrawn", body))
        count = len(entries)
        return entries

    project.write(decide)
    return count
