"""`jaxal next` and `jaxal label ...` as a user meets them: from flags to lines, and what a mistake costs."""

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from PIL import Image

from jaxal.cli import main
from jaxal.cli.label_flags import LABEL_COMMANDS

JAXAL = [sys.executable, "-c", "from jaxal.cli.main import main; main()"]
READING = "--encoder pixels --image-size 8"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Somebody's home, in which they are: 16 small images of two kinds, and a table of three labels."""
    (tmp_path / "scans").mkdir()
    rng = np.random.default_rng(0)
    for i in range(16):
        pixels = np.clip(rng.normal(60 if i % 2 else 180, 40, (12, 12, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "scans" / f"{i}.png")
    (tmp_path / "labels.csv").write_text("file,label\n0.png,bright\n1.png,dark\n2.png,bright\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def jaxal(monkeypatch, capfd):
    """(command) -> exit status, what was printed, and what was told beside it."""

    def call(command: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["jaxal", *shlex.split(command)])
        code = 0
        try:
            main.main(leave=sys.exit)
        except SystemExit as stop:
            code = stop.code or 0
        told = capfd.readouterr()
        return code, told.out, told.err

    return call


@pytest.mark.parametrize("command", ["next", "label", *(f"label {name}" for name in LABEL_COMMANDS)])
def test_every_command_tells_its_flags(command, jaxal):
    code, out, err = jaxal(f"{command} --help")
    assert (code, err) == (0, "") and out.startswith(f"usage: jaxal {command}")


def test_label_alone_lists_its_commands(jaxal):
    code, out, _ = jaxal("label")
    assert code == 2 and all(f"  {name} " in out for name in LABEL_COMMANDS)
    assert "label" in jaxal("--help")[1] and "next" in jaxal("--help")[1]


def test_from_a_folder_to_predictions(home, jaxal):
    code, out, _ = jaxal(f"label start ~/p --images=~/scans --classes bright dark {READING} --test-share 0.2")
    assert code == 0 and "16 images, " in out and "classes: bright, dark" in out
    code, out, _ = jaxal("label next p -n 6 --strategy margin --out=~/batch.csv")
    assert code == 0 and out.splitlines()[-1] == str(home / "batch.csv")
    rows = list(csv.DictReader((home / "batch.csv").open()))
    assert len(rows) == 6
    kind = lambda file: "dark" if int(file.removesuffix(".png")) % 2 else "bright"
    (home / "answers.csv").write_text("file,label\n" + "".join(f"{r['file']},{kind(r['file'])}\n" for r in rows))
    assert "6 new" in jaxal("label add p ~/answers.csv labels.csv --who anna")[1]
    assert "known already" in jaxal("label add p answers.csv --who anna")[1]
    assert "anna" in jaxal("label status p")[1]
    assert jaxal("label predict p --out=~/guesses.csv")[0] == 0
    assert {kind(r["file"]) == r["predicted"] for r in csv.DictReader((home / "guesses.csv").open())} == {True}
    assert jaxal("label export p --out=~/mine.npz")[0] == 0 and len(np.load("mine.npz")["y"]) >= 6
    assert "0 new images" in jaxal("label images p")[1]
    assert "bright, murky" in jaxal("label classes p --rename dark murky")[1]


def test_next_without_a_project(home, jaxal):
    code, out, _ = jaxal(f"next --images ~/scans --labels=~/labels.csv -n 4 --strategy margin {READING}")
    assert code == 0 and out.splitlines()[-1] == "next.csv" and out.count(".png") == 4
    assert jaxal(f"next --images scans -n 3 --format label-studio --out=~/t.json {READING}")[0] == 0
    assert len(json.loads((home / "t.json").read_text())) == 3


@pytest.mark.parametrize(
    "command, told",
    [
        ("label sort p", "unknown command 'label sort'; there are label start, "),
        ("label next p", "p: no labelling project; make one with `jaxal label start p --images ...`"),
        ("label status ~/p", "/p: no labelling project"),
        ("next --images nowhere", "nowhere: no such folder of images"),
        ("next --images scans -n 0", "--n is 0; it must be 1 or more"),
        ("next --images scans --strategy martin", "unknown strategy 'martin'"),
        ("next --images scans --strategy ddqn", "strategy 'ddqn' has to be trained; give a policy"),
        (f"next --images scans --labels none.csv {READING}", "none.csv: No such file or directory"),
        ("label start p --images scans --test-share 2", "--test-share is 2.0; it must be at least 0 and below 1"),
        ("label start scans/p --images scans", "scans/p: inside the folder of images"),
        ("label start p", "--images is missing"),
    ],
)
def test_a_mistake_costs_one_line(command, told, home, jaxal):
    before = sorted(home.rglob("*"))
    code, out, err = jaxal(command)
    *_, line = err.splitlines()
    assert (code, out) == (2, "") and line.startswith("jaxal: error: ") and told in line
    assert [path for path in sorted(home.rglob("*")) if ".cache" not in path.parts] == before


def test_what_serving_needs_is_told(home, jaxal):
    jaxal(f"label start p --images scans {READING}")
    for name in ("serve", "backend"):
        code = f"import sys; sys.modules['starlette'] = None; sys.argv = ['jaxal', 'label', '{name}', 'p']"
        command = [sys.executable, "-c", f"{code}\nfrom jaxal.cli.main import main; main()"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert done.stderr == "jaxal: error: starlette is not installed; to serve: pip install 'jaxal[label]'\n"


def test_the_page_is_served_until_it_is_interrupted(home, jaxal):
    pytest.importorskip("starlette", reason="no Starlette here: pip install 'jaxal[label]'")
    jaxal(f"label start p --images scans {READING}")
    command = [*JAXAL, "label", "serve", "p", "--port", "0", "--strategy", "margin"]
    # a background job of a shell ignores interruptions, and so would what it starts
    listening = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
    served = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ, preexec_fn=listening)
    assert served.stdout is not None
    try:
        address = served.stdout.readline().strip()
        with urllib.request.urlopen(address, timeout=30) as page:
            assert b"<!doctype html>" in page.read().lower()
    finally:
        served.send_signal(signal.SIGINT)
    assert served.communicate(timeout=60)[0] == "stopped; the answers are in p\n" and served.returncode == 0
