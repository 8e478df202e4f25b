"""The log under fire: killed processes, writers at once, a full disk, a folder that cannot be written."""

import json
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from honest_chooser import HONEST
from labelling_projects import make, tell
from labelling_writers import add_many, ask_some, write_until_killed

from jaxal.data.dataset import DataError
from jaxal.labelling import log
from jaxal.labelling.answers import Told, record
from jaxal.labelling.asking import advise, ask
from jaxal.labelling.project import Entry, Project


@pytest.fixture
def processes(monkeypatch):
    """Real processes that start quickly, without the threads of this one."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["labelling_writers"])
    return context


def test_the_log_is_appended_to_and_nothing_else(tmp_path):
    folder = make(tmp_path)
    connection = sqlite3.connect(folder / log.NAME)
    for statement in ("UPDATE events SET who = 'me'", "DELETE FROM events"):
        with pytest.raises(sqlite3.IntegrityError, match="only appended to"):
            connection.execute(statement)


def test_writing_is_synchronous_and_ahead(tmp_path):
    with log.Log(make(tmp_path)) as opened:
        assert opened._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert opened._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_a_project_at_rest_is_one_file(tmp_path):
    folder = make(tmp_path)
    with Project(folder) as project:
        tell(project, {project.state.files[0]: "A"})
    assert sorted(path.name for path in folder.iterdir()) == ["latents", log.NAME]


def test_a_project_is_made_once(tmp_path):
    folder = make(tmp_path)
    before = (folder / log.NAME).read_bytes()
    with pytest.raises(DataError, match="already"):
        log.create(folder, "me", [])
    assert (folder / log.NAME).read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["latents", log.NAME]


def test_what_is_no_project_is_told(tmp_path):
    with pytest.raises(DataError, match="no labelling project"):
        Project(tmp_path)
    (tmp_path / log.NAME).write_bytes(b"not a database, though long enough for one" * 100)
    with pytest.raises(DataError, match="no SQLite file, or a damaged one") as told:
        Project(tmp_path)
    assert "\n" not in str(told.value)


def test_a_block_that_raises_leaves_nothing(tmp_path):
    with Project(make(tmp_path)) as project:
        before = project.state.last

        def decide(state):
            del state
            yield Entry("me", "class_added", {"name": "half"})
            raise DataError("no")

        with pytest.raises(DataError):
            project.write(lambda state: list(decide(state)))
        assert project.refresh().last == before


def test_no_acknowledged_answer_is_lost_to_sigkill(tmp_path, processes):
    folder = make(tmp_path)
    rng = random.Random(0)
    told: set[str] = set()
    for number in range(20):
        receive, send = processes.Pipe(False)
        process = processes.Process(target=write_until_killed, args=(str(folder), number, send))
        process.start()
        send.close()
        told |= set(receive.recv())  # it is at work
        time.sleep(rng.uniform(0, 0.08))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        try:
            while True:
                told |= set(receive.recv())
        except (EOFError, OSError):
            pass
        with Project(folder) as project:
            assert told <= project.state.origins
            # pairs were written whole or not at all
            by_pair = {origin.rsplit(" ", 1)[0] for origin in project.state.origins}
            assert len(project.state.origins) == 2 * len(by_pair)
            first = advise(project, HONEST, 3)
        with Project(folder) as project:  # and what is next is what was next
            again = advise(project, HONEST, 3)
        assert first.version == again.version
        assert first.suggestion.rows.tolist() == again.suggestion.rows.tolist()
    assert len(told) > 40


def test_writers_at_once_lose_nothing(tmp_path, processes):
    folder = make(tmp_path)
    start = processes.Barrier(3)
    running = [processes.Process(target=add_many, args=(str(folder), name, start)) for name in ("x", "y", "z")]
    for process in running:
        process.start()
    for process in running:
        process.join()
        assert process.exitcode == 0
    with Project(folder) as project:
        given = [said for said in project.state.answers.values() if set(said) == {"x", "y", "z"}]
        assert len(given) == 25


def test_two_that_ask_at_once_are_given_different_images(tmp_path, processes):
    folder = make(tmp_path)
    start, pipes = processes.Barrier(2), [processes.Pipe(False) for _ in range(2)]
    running = [processes.Process(target=ask_some, args=(str(folder), start, send)) for _, send in pipes]
    for process in running:
        process.start()
    for process in running:
        process.join()
        assert process.exitcode == 0
    asked = [receive.recv() for receive, _ in pipes]
    assert [len(files) for files in asked] == [4, 4]
    assert not set(asked[0]) & set(asked[1])


def test_a_full_disk_is_told_in_a_line_and_loses_nothing(tmp_path):
    with Project(make(tmp_path)) as project:
        tell(project, {project.state.files[0]: "A"})
        before, origins = project.state.last, set(project.state.origins)
        pages = project._log._connection.execute("PRAGMA page_count").fetchone()[0]
        project._log._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(DataError, match="the disk is full; nothing was changed") as told:
            record(
                project, [Told(f, "B" * 90, "me", f"o {f}" * 50, "here") for f in project.state.files], new_classes=True
            )
        assert "\n" not in str(told.value)
        assert (project.refresh().last, project.state.origins) == (before, origins)
        project._log._connection.execute("PRAGMA max_page_count = 100000")
        tell(project, {project.state.files[1]: "B"})  # and it goes on, once there is room
        assert project.state.last > before


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from jaxal.labelling import commands
size = max(p.stat().st_size for p in Path(sys.argv[1]).rglob("*") if p.is_file() and "latents" not in str(p))
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    commands.change_classes(Path(sys.argv[1]), add=[f"class {i} " + "x" * 80 for i in range(500)], who="me")
except ValueError as error:
    print(error)
"""


def test_a_file_that_cannot_grow_is_told_in_a_line(tmp_path):
    folder = make(tmp_path)
    command = [sys.executable, "-c", LIMITED, str(folder), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1 and "nothing was changed" in done.stdout
    with Project(folder) as project:
        assert project.state.classes == ["A", "B"]


UNPRIVILEGED = """
import os, sys
from pathlib import Path
import jaxal.labelling.commands as commands
if os.geteuid() == 0:
    os.setuid(65534)
try:
    commands.change_classes(Path(sys.argv[1]), add=["C"], who="me")
except ValueError as error:
    print(error)
"""


def test_a_folder_that_cannot_be_written_is_told_in_a_line():
    # not one of pytest's folders, which are closed to other users; and root may write anything
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        folder = make(Path(above))
        before = (folder / log.NAME).read_bytes()
        folder.chmod(0o555)
        (folder / log.NAME).chmod(0o444)
        done = subprocess.run([sys.executable, "-c", UNPRIVILEGED, str(folder)], capture_output=True, text=True)
        folder.chmod(0o755)
        assert done.stdout.count("\n") == 1 and "nothing was changed" in done.stdout, done.stderr
        assert (folder / log.NAME).read_bytes() == before


def test_the_body_of_an_event_is_plain_json(tmp_path):
    folder = make(tmp_path)
    with Project(folder) as project:
        ask(project, HONEST, 2, "me")
    rows = sqlite3.connect(folder / log.NAME).execute("SELECT kind, body FROM events").fetchall()
    assert [kind for kind, _ in rows] == ["started", "class_added", "class_added", "images_added", "asked"]
    assert set(json.loads(rows[-1][1])) == {"policy", "classifier", "questions"}
