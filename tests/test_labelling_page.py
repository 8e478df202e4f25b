"""The page in a real Chromium: by keyboard, by touch, on a phone, over a line that breaks."""

import re
import socket
import threading
import time

import numpy as np
import pytest
from honest_chooser import HONEST
from labelling_projects import tell
from PIL import Image

from jaxal.config import Reading
from jaxal.labelling import commands
from jaxal.labelling.project import Project

uvicorn = pytest.importorskip("uvicorn", reason="no uvicorn here: pip install 'jaxal[label]'")
server = pytest.importorskip("jaxal.labelling.server", reason="no Starlette here: pip install 'jaxal[label]'")
web = pytest.importorskip("jaxal.labelling.web")

TOKEN = "a-token-of-the-tests"
NASTY = "<img src=x onerror=document.title='hacked'> 1.png"


@pytest.fixture
def project(tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    rng = np.random.default_rng(0)
    for i in range(30):
        pixels = np.clip(rng.normal(60 if i % 2 else 180, 40, (48, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(scans / (NASTY if i == 1 else f"scan {i}.png"))
    reading = Reading(encoder="pixels", image_size=8)
    commands.start(
        tmp_path / "project", images=scans, reading=reading, classes=("bright", "<i>dark</i>"), test_share=0.2
    )
    with Project(tmp_path / "project") as opened:
        yield opened


@pytest.fixture
def address(project):
    app = server.make_app(project, HONEST, 5, web.Access(TOKEN, frozenset()), "server")
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=running.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/{TOKEN}/"
        running.should_exit = True
        thread.join()


@pytest.fixture
def visit(browser, address):
    """(name, width) -> a page on which that person labels; what goes wrong on it fails the test."""
    contexts, wrong = [], []

    def open_page(name="anna", width=1280, expected=()):
        context = browser.new_context(viewport={"width": width, "height": 800}, has_touch=width < 500)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        say = lambda text: wrong.append(text) if not any(word in text for word in expected) else None
        page.on("pageerror", lambda error: say(str(error)))
        page.on("console", lambda message: say(message.text) if message.type == "error" else None)
        page.goto(address)
        page.fill("#who input", name)
        page.press("#who input", "Enter")
        page.wait_for_selector("#image:not([hidden])")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def shown(page) -> str:
    page.wait_for_selector("#image:not([hidden])")
    return page.inner_text("#file")


def key_of(file: str) -> str:
    return "2" if int(re.findall(r"\d+", file)[-1]) % 2 else "1"


def wait(true, seconds=10.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "nothing of the kind has happened"
        time.sleep(0.02)


def test_by_keyboard_alone(visit, project):
    page = visit()
    given = []
    for _ in range(8):
        given.append(shown(page))
        page.keyboard.press(key_of(given[-1]))
    wait(lambda: len(project.refresh().answers) == 8)
    state = project.state
    for file in given:
        assert state.standing[state.place[file]] == ("labelled", int(key_of(file)) - 1)
    wait(lambda: page.inner_text("#own") == "8")

    page.keyboard.press("Backspace")  # the last answer is withdrawn, and its image shown again
    wait(lambda: page.inner_text("#file") == given[-1])
    wait(lambda: len(project.refresh().answers) == 7)
    page.keyboard.press("u")
    wait(lambda: project.refresh().standing.get(state.place[given[-1]]) == ("unsure", -1))
    skipped = shown(page)
    page.keyboard.press("s")
    wait(lambda: page.inner_text("#file") != skipped)
    unusable = shown(page)
    page.keyboard.press("x")
    wait(lambda: project.refresh().standing.get(state.place[unusable]) == ("unusable", -1))
    assert state.place[skipped] in project.state.pending


def test_a_key_held_down_is_one_answer(visit, project):
    page = visit()
    shown(page)
    page.keyboard.down("1")
    for _ in range(5):
        page.keyboard.down("1")  # what a keyboard sends while a key is held
    page.keyboard.up("1")
    page.wait_for_timeout(300)
    assert len(project.refresh().answers) == 1


def test_names_are_text_and_nothing_else(visit, project):
    page = visit()
    seen = set()
    for _ in range(30):
        if page.is_hidden("#image"):
            break
        seen.add(shown(page))
        page.keyboard.press("2")
        page.wait_for_timeout(60)
    assert NASTY in seen
    assert page.title() == "Label · jaxal" and page.query_selector("img[src='x']") is None
    assert page.inner_text("#classes button:nth-child(2) span") == "<i>dark</i>"
    assert page.inner_text("#last").startswith("<i>dark</i>")
    page.wait_for_selector("#finished:not([hidden])")
    assert page.inner_text("#done") == "30"


def test_a_line_that_breaks_loses_no_answer(visit, project):
    page = visit(expected=("Failed to load resource", "Failed to fetch", "ERR_"))
    page.route("**/api/answer", lambda route: route.abort())
    given = []
    for _ in range(3):
        given.append(shown(page))
        page.keyboard.press("1")
        wait(lambda: page.inner_text("#file") != given[-1])
    wait(lambda: "3 not saved yet" in page.inner_text("#saving"))
    assert not project.refresh().answers
    page.unroute("**/api/answer")
    page.reload()  # the tab is closed and opened again
    wait(lambda: {project.state.files[i] for i in project.refresh().answers} == set(given))
    kept = "() => Object.keys(localStorage).filter(key => key.includes('outbox')).length"
    wait(lambda: page.evaluate(kept) == 0)


def test_a_class_that_is_met_on_the_page(visit, project):
    page = visit()
    shown(page)
    page.keyboard.press("+")
    page.fill("#add input", "neither")
    page.press("#add input", "Enter")
    page.wait_for_selector("#classes button:nth-child(3):enabled")
    file = shown(page)
    page.keyboard.press("3")
    wait(lambda: project.refresh().standing.get(project.state.place[file]) == ("labelled", 2))


@pytest.mark.parametrize("width", [390, 1280])
def test_everything_is_within_reach(visit, width):
    page = visit(width=width)
    shown(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    for selector in ("#classes button:nth-child(1)", "#classes button:nth-child(2)", "#skip", "#undo"):
        box = page.locator(selector).bounding_box()
        assert box["height"] >= 44, selector  # large enough for a finger
        assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= 800, selector
    box = page.locator("#image").bounding_box()
    assert box["width"] * box["height"] > 0.35 * width * (800 if width > 500 else width)


def test_by_touch_on_a_phone(visit, project):
    page = visit(width=390)
    file = shown(page)
    page.tap("#classes button:nth-child(2)")
    wait(lambda: project.refresh().standing.get(project.state.place[file]) == ("labelled", 1))
    page.tap("#undo")
    wait(lambda: not project.refresh().answers)
    wait(lambda: page.inner_text("#file") == file)


def test_two_people_and_a_dispute(visit, project):
    anna, ben = visit("anna"), visit("ben")
    file = shown(anna)
    assert shown(ben) != file
    anna.keyboard.press("1")
    wait(lambda: project.refresh().answers)
    tell(project, {file: "<i>dark</i>"}, "chris")
    for _ in range(30):  # it comes back to those who have not seen it, with the next batch
        if shown(ben) == file:
            break
        ben.keyboard.press("1")
        ben.wait_for_timeout(100)
    assert shown(ben) == file
    banner = ben.inner_text("#banner")
    assert "anna says bright" in banner and "chris says <i>dark</i>" in banner
    ben.keyboard.press("2")
    wait(lambda: project.refresh().standing[project.state.place[file]] == ("labelled", 1))


def test_an_image_that_is_gone_is_told_and_the_next_one_shown(visit, project):
    page = visit(expected=("Failed to load resource",))
    ahead = list(project.refresh().pending)[4]  # not at hand yet
    file = project.state.files[ahead]
    (project.image_folder / file).unlink()
    for _ in range(12):
        if page.inner_text("#file") == file:
            break
        page.keyboard.press("1")
        page.wait_for_timeout(60)
    page.wait_for_selector("#broken:not([hidden])")
    assert "No such file" in page.inner_text("#broken-why")
    page.keyboard.press("x")
    wait(lambda: project.refresh().standing.get(ahead) == ("unusable", -1))
    page.wait_for_selector("#broken", state="hidden")
