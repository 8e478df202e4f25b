"""The commands from a folder of images to predictions, and what they refuse."""

import csv
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from honest_chooser import honest
from labelling_projects import blobs, make, tell, truth
from PIL import Image

import jaxal
from jaxal.config import Reading, SettingError
from jaxal.data.dataset import DataError
from jaxal.data.load import load
from jaxal.labelling import commands
from jaxal.labelling.project import Project

PIXELS = Reading(encoder="pixels", image_size=8)
HOW = {"chooser_of": honest}


@pytest.fixture
def scans(tmp_path):
    """24 small images: bright ones and dark ones, some in a folder of their own, and a file that is none."""
    folder = tmp_path / "scans"
    (folder / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(24):
        level = 60 if i % 2 else 180
        pixels = np.clip(rng.normal(level, 40, (12, 12, 3)), 0, 255).astype(np.uint8)
        where = folder / "more" if i > 15 else folder
        Image.fromarray(pixels).save(where / f"scan {i}.png")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture
def project(tmp_path, scans):
    folder = tmp_path / "project"
    commands.start(folder, images=scans, reading=PIXELS, classes=("bright", "dark"), test_share=0.2)
    return folder


def kind(file: str) -> str:
    return "dark" if int(re.findall(r"\d+", file)[-1]) % 2 else "bright"


def fill_in(path):
    """A batch with the true labels."""
    rows = list(csv.DictReader(path.open()))
    answers = path.with_name("answers.csv")
    answers.write_text("file,label\n" + "".join(f"{row['file']},{kind(row['file'])}\n" for row in rows))
    return answers


def test_from_a_folder_to_predictions(tmp_path, scans, project):
    for _ in range(3):
        *lines, path = commands.next_(project, 4, **HOW)
        assert len(lines) == 4 and path == str(project / "next.csv")
        assert commands.add(project, [fill_in(project / "next.csv")])[0].endswith("4 new")
    said = "\n".join(commands.status(project, **HOW))
    assert (
        "24: 12 labelled, 12 open; 0 asked" in said and "accuracy" in said and said.splitlines()[-1].startswith("Go on")
    )
    out = tmp_path / "predictions.csv"
    commands.predict(project, out, **HOW)
    rows = list(csv.DictReader(out.open()))
    assert len(rows) == 12
    assert np.mean([row["predicted"] == kind(row["file"]) for row in rows]) > 0.8
    for row in rows:
        assert float(row["bright"]) + float(row["dark"]) == pytest.approx(1, abs=2e-4)
    # the saved classifier gives the same probabilities
    saved = np.load(tmp_path / "predictions.npz")
    with Project(project) as opened:
        latents = np.array([opened.latents()[opened.state.place[row["file"]]] for row in rows])
    logits = (latents @ saved["kernel"] + saved["bias"]) / saved["temperature"]
    chances = np.exp(logits - logits.max(-1, keepdims=True))
    chances /= chances.sum(-1, keepdims=True)
    np.testing.assert_allclose(chances[:, 1], [float(row[saved["class_names"][1]]) for row in rows], atol=2e-4)
    assert json.loads(str(saved["reading"]))["encoder"] == "pixels"
    # images of another folder, through the same encoder
    new = tmp_path / "new"
    new.mkdir()
    Image.fromarray(np.full((12, 12, 3), 200, np.uint8)).save(new / "unseen.png")
    commands.predict(project, out, images=new, **HOW)
    assert [(r["file"], r["predicted"]) for r in csv.DictReader(out.open())] == [("unseen.png", "bright")]


def test_what_cannot_be_read_is_told_and_what_is_added_is_found(project, scans):
    with Project(project) as opened:
        assert len(opened.state.files) == 24 and "more/scan 20.png" in opened.state.place
        before = opened.latents().copy()
    Image.fromarray(np.zeros((12, 12, 3), np.uint8)).save(scans / "late.png")
    Image.open(scans / "scan 1.png").save(scans / "copy.png", compress_level=9)
    (scans / "same.png").write_bytes((scans / "scan 1.png").read_bytes())
    said = "\n".join(commands.look_again(project))
    assert "same.png" in said and "notes.txt" in said and "late.png" in said.splitlines()[-1]
    with Project(project) as opened:
        assert opened.state.files[24:] == ["copy.png", "late.png"]
        np.testing.assert_array_equal(opened.latents()[:24], before)
    for path in (project / "latents").iterdir():
        path.unlink()
    with Project(project) as opened, pytest.raises(DataError, match="missing or damaged; `jaxal label images`"):
        opened.latents()
    assert commands.look_again(project)[-1].startswith("0 new images")
    with Project(project) as opened:
        np.testing.assert_allclose(opened.latents()[:24], before, atol=1e-6)


def test_files_that_cannot_be_read_stay_a_notice(project, scans):
    said = commands.look_again(project)  # the folder's only new file is notes.txt
    assert "notes.txt" in said[0] and said[-1] == "0 new images"


def test_a_start_that_was_interrupted_goes_on(tmp_path, scans, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(commands.starting.log, "create", interrupted)
        commands.start(tmp_path / "p", images=scans, reading=PIXELS)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "p" / "latents").iterdir()}
    commands.start(tmp_path / "p", images=scans, reading=PIXELS)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "p" / "latents").iterdir()} == made != {}


def test_without_a_project(tmp_path, scans, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = tmp_path / "labels.csv"
    labels.write_text("file,label\nscan 0.png,bright\nscan 1.png,dark\n" + f"{scans}/more/scan 20.png,bright\n")
    reading = Reading(encoder="pixels", image_size=8, cache_dir=str(tmp_path / "cache"))
    lines = commands.next_batch(scans, labels, 5, reading=reading, **HOW)
    assert lines[-1] == "next.csv"
    rows = list(csv.DictReader((tmp_path / "next.csv").open()))
    assert len(rows) == 5 and not {row["file"] for row in rows} & {"scan 0.png", "scan 1.png", "more/scan 20.png"}
    assert list((tmp_path / "cache").glob("*.npy"))
    assert commands.next_batch(scans, labels, 5, reading=reading, **HOW) == lines  # pure: the same again
    labels.write_text("file,label\nscan 0.png,birght\n")
    with pytest.raises(DataError, match="did you mean 'bright'"):
        commands.next_batch(scans, labels, 5, reading=reading, classes=("bright", "dark"), **HOW)


def test_the_sheet_holds_thumbnails_and_escapes_names(tmp_path, scans):
    (scans / "scan 0.png").rename(scans / "<img src=x onerror=alert(0)> 0.png")
    folder = tmp_path / "project"
    commands.start(folder, images=scans, reading=PIXELS, classes=("<b>a</b>", "b"))
    with Project(folder) as project:
        tell(project, {"scan 1.png": "<b>a</b>", "scan 2.png": "b"})
    commands.next_(folder, 24, format="html", **HOW)
    page = (folder / "next.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 22
    assert "<img src=x" not in page and "&lt;img src=x onerror=alert(0)&gt; 0.png" in page and "<b>a</b>" not in page


def test_tasks_for_label_studio(project):
    commands.next_(project, 3, format="label-studio", **HOW)
    tasks = json.loads((project / "next.json").read_text())
    assert len(tasks) == 3 and tasks[0]["data"]["image"].startswith("/data/local-files/?d=scans/")


def test_an_export_is_a_data_set_that_the_other_commands_read(tmp_path):
    folder = make(tmp_path, count=200, test_share=0.2, groups=[f"p{i // 2}" for i in range(200)])
    with Project(folder) as project:
        tell(project, {file: truth(file) for file in project.state.files[:120]})
        project.write(lambda state: [])
        aside = [i for i in range(120) if project.state.is_reserved(i)]
    commands.export(folder, tmp_path / "mine.npz")
    dataset = load(str(tmp_path / "mine.npz"))
    assert len(dataset) == 120 and dataset.classes == ("A", "B")
    np.testing.assert_array_equal(dataset.inputs, blobs(200)[0][:120])
    np.testing.assert_array_equal(dataset.labels, np.arange(120) % 2)
    assert np.flatnonzero(dataset.official == "test").tolist() == aside


def test_groups_by_a_pattern_in_the_names(tmp_path, scans):
    folder = tmp_path / "project"
    reading = Reading(encoder="pixels", image_size=8, group_regex=r"scan (\d)")
    commands.start(folder, images=scans, reading=reading)
    with Project(folder) as project:
        assert project.state.groups[project.state.place["scan 12.png"]] == "1"


def test_a_table_with_the_names_of_images(tmp_path, scans):
    files = [f"scan {i}.png" for i in range(10)]
    np.savez(tmp_path / "t.npz", X=blobs(10)[0], files=files, y=["never looked at"] * 10)
    folder = tmp_path / "project"
    commands.start(folder, images=scans, table=tmp_path / "t.npz", reading=Reading(), classes=("a", "b"))
    commands.next_(folder, 2, format="html", **HOW)
    with Project(folder) as project:
        assert project.state.files == files
    np.savez(tmp_path / "t.npz", X=blobs(10)[0], files=[*files[:9], "absent.png"])
    with pytest.raises(DataError, match=r"absent\.png"):
        commands.start(tmp_path / "other", images=scans, table=tmp_path / "t.npz", reading=Reading())


@pytest.mark.parametrize(
    "arrays, told",
    [
        ({"Y": np.zeros(3)}, "no array X"),
        ({"X": np.zeros((3, 2, 2))}, "shape"),
        ({"X": np.full((3, 2), np.inf)}, "infinite"),
        ({"X": np.ones((3, 2)), "files": ["a", "b"]}, "files has shape"),
        ({"X": np.ones((3, 2)), "files": ["a", "b", "a"]}, "twice"),
        ({"X": np.array([[object()]])}, "cannot be read"),
    ],
)
def test_bad_tables_are_named(tmp_path, arrays, told):
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(DataError, match=told) as error:
        commands.start(tmp_path / "project", images=None, table=tmp_path / "t.npz", reading=Reading())
    assert "\n" not in str(error.value) and not (tmp_path / "project" / "project.sqlite").exists()


def test_bad_requests_are_told_in_a_line(tmp_path, project, scans):
    (tmp_path / "empty").mkdir()
    for call, told in [
        (lambda: commands.start(project, images=scans, reading=PIXELS), "already"),
        (lambda: commands.start(tmp_path / "p", images=tmp_path / "no", reading=PIXELS), "no such folder"),
        (lambda: commands.start(tmp_path / "p", images=tmp_path / "empty", reading=PIXELS), "an empty folder"),
        (lambda: commands.start(tmp_path / "p", images=None, reading=PIXELS), "images is missing"),
        (lambda: commands.start(tmp_path / "p", images=scans, reading=PIXELS, classes=("a", "a")), "already"),
        (lambda: commands.start(tmp_path / "p", images=scans, reading=PIXELS, test_share=1.0), "test_share is 1.0"),
        (lambda: commands.start(tmp_path / "p", images=scans, reading=PIXELS, expire_hours=0), "expire_hours is 0"),
        (lambda: commands.next_(project, 0, **HOW), "n is 0"),
        (lambda: commands.next_(tmp_path / "none", 1, **HOW), "no labelling project"),
        (lambda: commands.export(project, tmp_path / "x.txt"), "must end in"),
        (lambda: commands.export(project, tmp_path / "x.npz"), "two classes with two labelled images"),
        (lambda: commands.predict(project, tmp_path / "x.csv", **HOW), "nothing is labelled yet"),
        (lambda: commands.predict(project, tmp_path / "x.npz", **HOW), "must end in .csv"),
        (lambda: commands.change_classes(project, rename=("none", "x")), "'none' is no class"),
    ]:
        with pytest.raises((ValueError, SettingError)) as error:
            call()
        assert told in str(error.value) and "\n" not in str(error.value)


def test_nothing_but_serving_imports_the_server():
    code = (
        "import jaxal.labelling.commands, sys; print([m for m in ('starlette', 'uvicorn', 'flax') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_batch_that_cannot_be_written_was_not_asked(tmp_path, project):
    (tmp_path / "in the way").write_text("a file")
    with pytest.raises(DataError, match="cannot be written"):
        commands.next_(project, 3, out=tmp_path / "in the way" / "next.csv", **HOW)
    with Project(project) as opened:
        assert opened.state.pending == {} == opened.state.asked


def test_the_simulated_labeller_finds_both_ways_identical(vmapped_keys):
    import importlib.util
    from pathlib import Path

    path = Path(__file__).parent.parent / "experiments" / "simulated_labeller.py"
    spec = importlib.util.spec_from_file_location("simulated_labeller", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    probe = {"iterations": script.COLD_ITERATIONS}
    config = jaxal.configure(budget=22, batch=4, seeds=1, starts=1, probe=probe)
    points, ties = zip(*script.compared(jaxal.load("digits"), "margin", config), strict=True)
    assert [point.labels for point in points] == [10, 14, 18, 22] and sum(ties) <= 1
    assert points[-1].accuracy > points[0].accuracy
