"""A whole round with a real Label Studio on this machine: tasks out, annotations in, by webhook and by export.

    python3 -m venv /tmp/studio && /tmp/studio/bin/pip install label-studio
    python experiments/label_studio.py FOLDER --label-studio /tmp/studio/bin/label-studio

FOLDER has one subfolder a class, from which the annotations are made. Label Studio runs on a port of loopback, with its
data in a folder that is thrown away. One to three minutes, most of which Label Studio needs to start. Expected: every
line of the report begins with "ok".
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import uvicorn

from jaxal.config import Reading
from jaxal.labelling import backend, commands, label_studio
from jaxal.labelling.choosing import Chooser, chooser_for
from jaxal.labelling.project import Project
from jaxal.labelling.state import State
from jaxal.labelling.web import Access
from jaxal.presets import STRATEGY

TOKEN = "0123456789abcdef0123456789abcdef01234567"  # of the user that Label Studio makes, for this round alone


def main() -> None:
    """Copies some images, and goes the round."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--label-studio", type=Path, required=True, help="the executable of another environment")
    parser.add_argument("--count", type=int, default=60, help="images")
    parser.add_argument("--encoder", default="efficientnet-lite0")
    parser.add_argument("--strategy", default=STRATEGY, help="by name, or the folder of a saved policy")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="jaxal-studio-") as above:
        scans = Path(above) / "scans"
        scans.mkdir()
        labels = {}
        found = sorted(options.folder.rglob("[!.]*.*"))
        for path in found[:: max(len(found) // options.count, 1)][: options.count]:
            shutil.copy(path, scans)
            labels[path.name] = path.parent.name
        chooser, reading = chooser_for(options.strategy), Reading(encoder=options.encoder)
        for line in go_round(options.label_studio, scans, labels, chooser, reading):
            print(line, flush=True)


def go_round(
    executable: Path, scans: Path, labels: dict[str, str], chooser: Chooser, reading: Reading
) -> Iterator[str]:
    """Tells of each thing that was found as it should be; AssertionError at the first that was not.

    labels: the true class of each file in `scans`, whose parent folder is used for everything else.
    """
    folder, classes = scans.parent / "project", sorted(set(labels.values()))
    commands.start(folder, images=scans, reading=reading, classes=classes[:1], test_share=0.1)
    with Project(folder) as project, _label_studio(executable, scans.parent) as call:
        yield "ok: Label Studio is up"
        with _served(project, chooser) as address:
            config = label_studio.configuration(classes)
            body = {"title": "round", "label_config": config, "sampling": "Uncertainty sampling"}
            studio = call("POST", "/api/projects", body)["id"]
            connected = call("POST", "/api/ml", {"url": address, "project": studio, "title": "jaxal"})
            assert project.refresh().classes == classes, project.state.classes
            yield f"ok: backend connected ({connected['state']}); /setup brought the classes that were missing"

            prefix = label_studio.prefix_of(str(scans))
            storage = {"path": str(scans), "project": studio, "use_blob_urls": True}
            call("POST", "/api/storages/localfiles", storage)
            plain = [{"data": {"image": label_studio.address(file, prefix), "file": file}} for file in labels]
            call("POST", f"/api/projects/{studio}/import", plain)
            tasks = {task["data"]["file"]: task["id"] for task in _tasks(call, studio)}
            assert set(tasks) == set(labels)
            picture = call("GET", plain[0]["data"]["image"])
            assert picture == (scans / plain[0]["data"]["file"]).read_bytes()
            yield f"ok: {len(tasks)} tasks in, and their images shown"

            retrieve = f"/api/dm/actions?id=retrieve_tasks_predictions&project={studio}"
            call("POST", retrieve, {"selectedItems": {"all": True, "excluded": []}})
            # As a person does under Settings, Model; before, it looks for predictions by the backend's title.
            version = call("GET", f"/api/ml/{connected['id']}")["model_version"]
            call("PATCH", f"/api/projects/{studio}", {"model_version": version})
            ordered = [task["data"]["file"] for task in _tasks(call, studio, "tasks:predictions_score")]
            asked = _asked(project.refresh())
            assert ordered[: len(asked)] == asked, (ordered[: len(asked)], asked)
            first = call("GET", f"/api/projects/{studio}/next")
            assert first["data"]["file"] == asked[0]
            yield f"ok: {len(asked)} asked; sorted by prediction score, and in the labelling stream, in that order"

            numbers = {}
            for file in asked:
                result = [label_studio.choice(labels[file])]
                numbers[file] = call("POST", f"/api/tasks/{tasks[file]}/annotations", {"result": result})["id"]
            _wait(lambda: len(project.refresh().answers) == len(asked))
            assert _labels(project.state) == {file: labels[file] for file in asked}
            yield f"ok: {len(asked)} annotations came in by webhook"

            other = next(name for name in classes if name != labels[asked[0]])
            call("PATCH", f"/api/annotations/{numbers[asked[0]]}", {"result": [label_studio.choice(other)]})
            _wait(lambda: _labels(project.refresh())[asked[0]] == other)
            call("DELETE", f"/api/annotations/{numbers[asked[1]]}")
            _wait(lambda: asked[1] not in _labels(project.refresh()))
            yield "ok: a corrected and a deleted annotation too"

            call("PATCH", f"/api/annotations/{numbers[asked[0]]}", {"result": [label_studio.choice(labels[asked[0]])]})
            _wait(lambda: _labels(project.refresh())[asked[0]] == labels[asked[0]])

        # without the backend: annotations by the export, the next batch by an import
        late = asked[1]
        call("POST", f"/api/tasks/{tasks[late]}/annotations", {"result": [label_studio.choice(labels[late])]})
        export = scans.parent / "export.json"
        export.write_text(json.dumps(call("GET", f"/api/projects/{studio}/export?exportType=JSON")))
        said = commands.add(folder, [export])[0]
        assert f"1 new, {len(asked) - 1} known already" in said, said
        said = commands.add(folder, [export])[0]
        assert said.endswith(f"{len(asked)} known already"), said
        yield "ok: the export brought the one that the webhook had not, and twice changes nothing"

        commands.next_(folder, 8, chooser_of=lambda _: chooser, format="label-studio")
        batch = json.loads((folder / "next.json").read_text())
        second = call("POST", "/api/projects", {"title": "second", "label_config": config})["id"]
        call("POST", f"/api/projects/{second}/import", list(reversed(batch)))
        ordered = [task["data"]["file"] for task in _tasks(call, second, "tasks:predictions_score")]
        assert ordered == [task["data"]["file"] for task in batch]
        assert not set(ordered) & set(asked)
        yield f"ok: the next {len(batch)} images imported as tasks, in jaxal's order by their score"
        yield f"ok: model version {version!r} in Label Studio"

        commands.export(folder, scans.parent / "answers.json")
        third = call("POST", "/api/projects", {"title": "third", "label_config": config})["id"]
        call("POST", f"/api/projects/{third}/import", json.loads((scans.parent / "answers.json").read_text()))
        kept = {task["data"]["file"]: task["annotations"][0]["result"] for task in _tasks(call, third)}
        assert {file: result[0]["value"]["choices"][0] for file, result in kept.items()} == _labels(project.refresh())
        yield f"ok: {len(kept)} answers exported, and imported into Label Studio"


@contextlib.contextmanager
def _label_studio(executable: Path, root: Path) -> Generator[Callable[..., Any]]:
    """A Label Studio that can be called as (method, path, body) -> JSON, or bytes of a picture."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = root / "label-studio"
    command = [str(executable), "start", "--no-browser", "--data-dir", str(data), "--port", str(port)]
    command += ["--internal-host", "127.0.0.1", "--agree-fix-sqlite", "--enable-legacy-api-token"]
    command += ["--username", "round@example.org", "--password", "a password of the round", "--user-token", TOKEN]
    # Label Studio does not call this machine unless it is told that it may.
    settings = {"SSRF_PROTECTION_ENABLED": "false", "ML_BLOCK_LOCAL_IP": "false", "COLLECT_ANALYTICS": "false"}
    settings |= {"LOCAL_FILES_SERVING_ENABLED": "true", "LOCAL_FILES_DOCUMENT_ROOT": str(root)}

    def call(method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                content = answer.read()
                return json.loads(content) if "json" in answer.headers.get("content-type", "") else content
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from None

    with (root / "label-studio.log").open("wb") as log:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait(lambda: _answers(call) or process.poll() is not None, 240)
            assert process.poll() is None, (root / "label-studio.log").read_text()[-2000:]
            yield call
        finally:
            process.terminate()
            process.wait(30)


def _answers(call: Callable[..., Any]) -> bool:
    try:
        call("GET", "/api/projects")
    except (OSError, AssertionError):
        return False
    return True


@contextlib.contextmanager
def _served(project: Project, chooser: Chooser) -> Generator[str]:
    """The backend in a thread; its address."""
    app = backend.make_app(project, chooser, Access("a-token-of-the-round", frozenset()), "round")
    running = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/a-token-of-the-round"
        finally:
            running.should_exit = True
            thread.join()


def _tasks(call: Callable[..., Any], project: int, order: str = "tasks:id") -> list[dict[str, Any]]:
    """All tasks of a Label Studio project, as its data manager sorts them."""
    view = {"project": project, "data": {"title": order, "ordering": [order]}}
    number = call("POST", f"/api/dm/views/?project={project}", view)["id"]
    found = call("GET", f"/api/tasks?view={number}&page_size=1000&fields=all")
    return found["tasks"]


def _asked(state: State) -> list[str]:
    return [state.files[image] for image in state.pending]


def _labels(state: State) -> dict[str, str]:
    return {
        state.files[image]: state.classes[standing.label]
        for image, standing in state.standing.items()
        if standing.kind == "labelled"
    }


def _wait(true: Callable[[], Any], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, f"waited {seconds:.0f} s in vain"
        time.sleep(0.2)


if __name__ == "__main__":
    main()
