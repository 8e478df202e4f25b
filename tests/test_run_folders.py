"""The folder of a run: one process at a time, and whatever a killed one leaves can be begun again or resumed."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jaxal.cli import run_folders
from jaxal.config import Config
from jaxal.files import write_json
from jaxal.report.asked import Asked, read_config

ASKED = Asked("jaxal run", "wine", Config(), fingerprints={"data set wine": "1"}, code="jaxal 1")
HOLD = """
import sys, time
from pathlib import Path
from jaxal.cli import run_folders
with run_folders.locked(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other(tmp_path):
    """Another process that works in the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_told_and_a_killed_one_leaves_no_lock(tmp_path, other):
    run = tmp_path / "run"
    with (
        pytest.raises(ValueError, match=rf"run: another process \({other.pid}\) is at work there"),
        run_folders.new(run, "wine", ASKED),
    ):
        pass
    assert not (run / "config.json").exists()
    write_json(run / "config.json", {})
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    (run / "config.json").unlink()
    with run_folders.new(run, "wine", ASKED) as folder:
        assert read_config(folder) == ASKED
    with (
        run_folders.to_resume(run, "wine", ASKED),
        pytest.raises(run_folders.Taken),  # a lock is held once
        run_folders.to_resume(run, "wine", ASKED),
    ):
        pass


@pytest.mark.parametrize("left", [[".lock"], [".config.json.x8.tmp"], [".lock", "a.orbax-checkpoint-tmp"]])
def test_a_run_killed_before_its_config_was_whole_can_be_begun_again(tmp_path, left):
    run = tmp_path / "run"
    for name in left:
        (run / name).mkdir(parents=True) if "orbax" in name else (run.mkdir(exist_ok=True), (run / name).touch())
    with run_folders.new(run, "wine", ASKED) as folder:
        assert sorted(path.name for path in folder.iterdir()) == [".lock", "config.json"]


def test_leftovers_are_cleaned_when_a_run_is_resumed(tmp_path):
    with run_folders.new(tmp_path / "run", "wine", ASKED) as run:
        pass
    (run / "comparison").mkdir()
    for name in (".curves.npz.ab.tmp", "comparison/.margin.npz.cd.tmp"):
        (run / name).touch()
    (run / "checkpoint" / "3.orbax-checkpoint-tmp").mkdir(parents=True)
    with run_folders.to_resume(run, "wine", ASKED):
        left = sorted(str(path.relative_to(run)) for path in run.rglob("*"))
    assert left == [".lock", "checkpoint", "comparison", "config.json"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (replace(ASKED, dataset="digits"), "was begun with dataset = wine, not digits; resume with the same flags"),
        (replace(ASKED, code="jaxal 2"), "was begun with other code (jaxal 1; now it is jaxal 2); begin a new run"),
        (
            replace(ASKED, fingerprints={"data set wine": "2"}),
            "data set wine has changed since the run was begun; put back what it was, or begin a new run",
        ),
    ],
)
def test_what_a_run_was_not_begun_with_is_told(tmp_path, monkeypatch, asked, said):
    monkeypatch.chdir(tmp_path)
    with run_folders.new(None, "wine", ASKED) as run:
        pass
    for out in (None, run):
        with pytest.raises(ValueError) as error, run_folders.to_resume(out, "wine", asked):
            pass
        assert said in str(error.value) and "\n" not in str(error.value)
    with run_folders.to_resume(None, "wine", ASKED) as folder:
        assert folder == Path("runs/wine")
