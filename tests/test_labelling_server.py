"""The page's server and the ML backend: who is let in, what is served, what is recorded."""

import socket
import threading
import time

import numpy as np
import pytest
from honest_chooser import HONEST, honest
from labelling_projects import make, tell
from PIL import Image

from jaxal.config import Reading
from jaxal.labelling import commands, label_studio
from jaxal.labelling.asking import ask
from jaxal.labelling.project import Project

TestClient = pytest.importorskip(
    "starlette.testclient", reason="no Starlette here: pip install 'jaxal[label]'"
).TestClient
backend, server, web = (pytest.importorskip(f"jaxal.labelling.{name}") for name in ("backend", "server", "web"))

TOKEN = "a-token-of-the-tests"
ACCESS = web.Access(TOKEN, frozenset({"localhost"}))


@pytest.fixture
def project(tmp_path):
    """40 small images of two kinds."""
    scans = tmp_path / "scans"
    scans.mkdir()
    rng = np.random.default_rng(0)
    for i in range(40):
        pixels = np.clip(rng.normal(60 if i % 2 else 180, 40, (12, 12, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(scans / (f"scan {i}.png" if i else "<i>0.tiff"))
    (tmp_path / "secret.png").write_bytes((scans / "scan 1.png").read_bytes())
    reading = Reading(encoder="pixels", image_size=8)
    commands.start(tmp_path / "project", images=scans, reading=reading, classes=("bright", "dark"), test_share=0.0)
    with Project(tmp_path / "project") as opened:
        yield opened


@pytest.fixture
def client(project):
    app = server.make_app(project, HONEST, 5, ACCESS, "server")
    with TestClient(app, base_url="http://127.0.0.1:8600") as opened:
        yield opened


def post(client, path, **body):
    return client.post(f"/{TOKEN}/api/{path}", json={"who": "anna", **body})


def get(client, path, **headers):
    return client.get(f"/{TOKEN}/{path}", headers=headers)


def test_the_page_and_its_parts(client):
    for path, media in (("", "text/html"), ("app.js", "text/javascript"), ("style.css", "text/css")):
        answer = get(client, path)
        assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, media)
    policy = get(client, "").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert get(client, "").headers["referrer-policy"] == "no-referrer"


def test_without_the_token_there_is_nothing(client):
    for path in ("/", "/app.js", "/image/0", "/wrong/", f"/{TOKEN}x/", f"/{TOKEN[:-1]}/", "//", f"/x/{TOKEN}/"):
        assert client.get(path).status_code == 404, path
    assert client.post("/wrong/api/next", json={"who": "anna"}).status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:8600"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"},
    ],
)
def test_other_pages_are_refused(client, project, headers):
    before = project.state.last
    body = {"who": "anna", "file": "scan 1.png", "label": "dark", "origin": "x"}
    assert client.post(f"/{TOKEN}/api/answer", json=body, headers=headers).status_code == 403
    assert get(client, "image/1", **headers).status_code == 403
    assert not [e for e in project._log.after(before) if e.kind != "asked"]


def test_our_own_page_is_not_refused(client):
    ours = {"origin": "http://127.0.0.1:8600", "sec-fetch-site": "same-origin"}
    assert client.post(f"/{TOKEN}/api/next", json={"who": "anna"}, headers=ours).status_code == 200
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}  # a link in a message that was clicked on
    assert get(client, "", **link).status_code == 200
    assert get(client, "", host="localhost:8600").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "image/../../secret.png",
        "image/..%2f..%2fsecret.png",
        "..%2fsecret.png",
        "image/999",
        "image/-1",
        "image/x",
        "image/",
    ],
)
def test_no_path_leaves_the_images(client, path):
    answer = client.get(f"/{TOKEN}/{path}")
    assert answer.status_code in (400, 404) and b"PNG" not in answer.content


def test_images_are_served_as_a_browser_shows_them(client, project):
    place = project.state.place
    answer = get(client, f"image/{place['scan 1.png']}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    answer = get(client, f"image/{place['<i>0.tiff']}")  # no browser shows a TIFF
    assert answer.headers["content-type"] == "image/png" and answer.content.startswith(b"\x89PNG")


def test_a_file_that_has_changed_is_not_handed_out(client, project, tmp_path):
    (tmp_path / "scans" / "scan 1.png").unlink()
    (tmp_path / "scans" / "scan 1.png").symlink_to("/etc/passwd")
    answer = get(client, f"image/{project.state.place['scan 1.png']}")
    assert answer.status_code == 400 and "has changed" in answer.json()["error"] and "root:" not in answer.text


def test_what_is_sent_is_limited(client):
    answer = client.post(f"/{TOKEN}/api/answer", content=b"x" * (server.LIMIT + 1))
    assert answer.status_code == 413
    chunks = (b"x" * 1000 for _ in range(1000))  # without a length
    assert client.post(f"/{TOKEN}/api/answer", content=chunks).status_code == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"no json",
        b"[" * 9000,
        b'{"who": 5}',
        b'{"who": ""}',
        b'{"who": "a\\nb"}',
        b'{"who": "a", "file": 1}',
    ],
)
def test_what_is_no_request_is_told(client, project, body):
    before = project.state.last
    answer = client.post(f"/{TOKEN}/api/answer", content=body)
    assert answer.status_code == 400 and "\n" not in answer.json()["error"]
    assert not [e for e in project._log.after(before) if e.kind != "asked"]


def test_answers_undo_skip_and_a_new_class(client, project):
    first, second, *_ = post(client, "next").json()["questions"]
    answer = post(client, "answer", file=first["file"], label="dark", origin="1").json()
    assert answer["questions"][0]["file"] == second["file"]
    assert {c["name"]: c["count"] for c in answer["summary"]["classes"]} == {"bright": 0, "dark": 1}
    again = post(client, "answer", file=first["file"], label="dark", origin="1").json()  # sent twice by a slow line
    assert again["summary"]["own"] == 1
    assert len([e for e in project._log.after(0) if e.kind in ("answered", "corrected")]) == 1
    post(client, "answer", file=second["file"], label="dark", origin="1b")
    undone = post(client, "undo", origin="2").json()
    assert undone["undone"] == second["file"] == undone["questions"][0]["file"]
    assert post(client, "undo", origin="2").json()["undone"] is None  # sent twice
    assert list(project.refresh().answers) == [project.state.place[first["file"]]]
    assert post(client, "undo", origin="3").json()["undone"] == first["file"]
    skipped = post(client, "skip", file=first["file"]).json()
    assert first["file"] not in [q["file"] for q in skipped["questions"]]
    assert post(client, "class", name="<b>new</b>").json()["summary"]["classes"][2]["name"] == "<b>new</b>"
    assert post(client, "class", name="<b>new</b>").status_code == 400
    assert post(client, "answer", file="nowhere.png", label="dark", origin="4").status_code == 400
    assert post(client, "answer", file=first["file"], label="nothing", origin="5").status_code == 400


def test_two_people_get_different_images(client):
    mine = {q["file"] for q in post(client, "next").json()["questions"]}
    theirs = {q["file"] for q in post(client, "next", who="ben").json()["questions"]}
    assert mine and theirs and not mine & theirs
    assert mine <= {q["file"] for q in post(client, "next").json()["questions"]}  # and keep them


def test_everything_is_labelled_by_two_at_once(client, project):
    def work(who: str) -> None:
        empty = 0
        for i in range(400):
            questions = post(client, "next", who=who).json()
            if not questions["questions"]:
                empty += 1
                if not questions["summary"]["left"] and empty > 3:
                    return
                continue
            question = questions["questions"][0]
            post(client, "answer", who=who, file=question["file"], label="bright", origin=f"{who} {i}")

    threads = [threading.Thread(target=work, args=(name,)) for name in ("anna", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    given = project.refresh().answers
    assert len(given) == 40 and all(len(said) == 1 for said in given.values())  # nobody did another's work
    assert {next(iter(said)) for said in given.values()} == {"anna", "ben"}


def test_the_next_batch_is_there_before_the_last_is_done(client, project):
    for i in range(8):
        until = time.monotonic() + 10
        while len(project.refresh().pending) < 5 and time.monotonic() < until:
            time.sleep(0.02)
        question = post(client, "next").json()["questions"][0]
        post(client, "answer", file=question["file"], label="bright" if i % 2 else "dark", origin=str(i))
    events = [e for e in project._log.after(0) if e.kind == "asked"]
    assert len(events) > 2
    assert events[-1].body["classifier"] != events[0].body["classifier"]


def test_the_page_sees_what_others_add_meanwhile(client, project, tmp_path):
    first = post(client, "next").json()
    table = tmp_path / "labels.csv"
    table.write_text("file,label\nscan 5.png,dark\nscan 6.png,bright\n")
    commands.add(project.folder, [table], who="by table")
    later = post(client, "next").json()
    assert later["summary"]["counts"]["labelled"] == first["summary"]["counts"].get("labelled", 0) + 2
    assert "by table" in later["summary"]["people"]
    assert not {"scan 5.png", "scan 6.png"} & {question["file"] for question in later["questions"]}


def test_disputed_images_come_back_with_what_was_said(client, project):
    file = post(client, "next").json()["questions"][0]["file"]
    tell(project, {file: "dark"}, "anna")
    tell(project, {file: "bright"}, "ben")
    seen = []
    for i in range(30):
        questions = post(client, "next", who="chris").json()["questions"]
        if questions:
            question = questions[0]
            seen.append(question)
            if question["file"] == file:
                break
            post(client, "answer", who="chris", file=question["file"], label="dark", origin=str(i))
    assert seen[-1]["file"] == file and seen[-1]["said"] == {"anna": "dark", "ben": "bright"}
    post(client, "answer", who="chris", file=file, label="bright", origin="last")
    assert project.refresh().standing[project.state.place[file]] == ("labelled", 0)


def test_an_error_of_the_strategy_is_told_and_answers_are_kept(project):
    def broken(*args, **kwargs):
        raise RuntimeError("out of memory, say")

    pending = ask(project, HONEST, 2, "server")
    app = server.make_app(project, HONEST._replace(suggest=broken), 5, ACCESS, "server")
    with TestClient(app, base_url="http://127.0.0.1:8600") as client:
        answer = post(client, "answer", file=pending[0].file, label="dark", origin="1").json()
        assert answer["summary"]["own"] == 1
        until = time.monotonic() + 10
        while not (answer := post(client, "next").json())["summary"]["problem"] and time.monotonic() < until:
            time.sleep(0.05)
        assert answer["summary"]["problem"] == "out of memory, say"


def test_a_bad_token_and_a_port_that_is_taken_are_told(project):
    with pytest.raises(ValueError, match="token must be"):
        commands.serve(project.folder, chooser_of=honest, port=0, token="short")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port}: Address already in use.*take another --port"):
            commands.serve(project.folder, chooser_of=honest, port=port)


def test_rows_without_pictures_have_no_page(tmp_path):
    with Project(make(tmp_path)) as project, pytest.raises(ValueError, match="rows without pictures"):
        server.make_app(project, HONEST, 5, ACCESS, "server")


# The ML backend


@pytest.fixture
def studio(project):
    with TestClient(backend.make_app(project, HONEST, ACCESS, "server"), base_url="http://127.0.0.1") as opened:
        yield opened


CONFIG = label_studio.configuration(["bright", "dark"])


def send(studio, path, status=200, **body):
    answer = studio.post(f"/{TOKEN}/{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def tasks_of(project):
    return [{"id": i, "data": {"file": file, "image": "x"}} for i, file in enumerate(project.state.files)]


def test_health_and_setup(studio, project):
    assert studio.get(f"/{TOKEN}/health").json()["status"] == "UP"
    assert studio.get("/health").status_code == 404
    schema = CONFIG.replace('<Choice value="dark"/>', '<Choice value="dark"/><Choice value="neither"/>')
    version = send(studio, "setup", project="1.1", schema=schema, extra_params={})["model_version"]
    assert version.startswith(HONEST.name) and project.refresh().classes == ["bright", "dark", "neither"]


def test_predictions_sorted_by_score_begin_with_what_is_asked(studio, project):
    tell(project, {"scan 1.png": "dark", "scan 2.png": "bright"})
    tasks = tasks_of(project)
    results = send(studio, "predict", tasks=tasks, label_config=CONFIG, project="1.1", params={})["results"]
    assert len(results) == len(tasks)
    order = sorted(range(len(tasks)), key=lambda i: results[i]["score"])
    asked = [e.body["questions"] for e in project._log.after(0) if e.kind == "asked"]
    assert [tasks[i]["data"]["file"] for i in order[:10]] == [question["file"] for question in asked[0]]
    assert all(0 <= result["score"] <= 1 for result in results)
    region = results[0]["result"][0]
    assert (region["from_name"], region["to_name"], region["type"]) == ("label", "image", "choices")


def test_annotations_come_in_by_webhook(studio, project):
    task = {"id": 3, "data": {"file": "scan 3.png"}}
    result = [{"type": "choices", "from_name": "label", "to_name": "image", "value": {"choices": ["dark"]}}]
    annotation = {"id": 11, "completed_by": 1, "result": result, "updated_at": "2026-01-01T00:00:00Z"}
    hook = {"action": "ANNOTATION_CREATED", "project": {"id": 1}, "task": task, "annotation": annotation}
    send(studio, "webhook", 201, **hook)
    send(studio, "webhook", 201, **hook)
    place = project.state.place["scan 3.png"]
    assert project.refresh().standing[place] == ("labelled", 1)
    result[0]["value"]["choices"] = ["bright"]
    annotation["updated_at"] = "2026-01-02T00:00:00Z"
    send(studio, "webhook", 201, **hook | {"action": "ANNOTATION_UPDATED"})
    assert project.refresh().standing[place] == ("labelled", 0)
    send(studio, "webhook", 201, action="ANNOTATIONS_DELETED", project={"id": 1}, annotations=[{"id": 11}, {"id": 99}])
    assert project.refresh().standing == {}
    assert [e.kind for e in project._log.after(0)][-3:] == ["answered", "corrected", "withdrawn"]
    send(studio, "webhook", 201, action="PROJECT_UPDATED", project={"id": 1})


@pytest.mark.parametrize(
    "path, body, told",
    [
        ("predict", {"tasks": 5, "label_config": CONFIG}, "field tasks"),
        ("predict", {"tasks": [], "label_config": "<View/>"}, "no <Choices>"),
        ("predict", {"tasks": [{"id": 1, "data": {"file": "none"}}], "label_config": CONFIG}, "no image 'none'"),
        ("setup", {"schema": "<View"}, "no XML"),
        ("setup", {"schema": '<!DOCTYPE x [<!ENTITY a "b">]><View/>'}, "without declarations"),
        ("webhook", {"action": "ANNOTATION_CREATED", "annotation": {}}, "field task"),
    ],
)
def test_what_label_studio_would_never_send_is_told(studio, path, body, told):
    assert told in send(studio, path, 400, **body)["error"]
