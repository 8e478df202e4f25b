"""Folders as people have them: what they mean is found, or said."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from test_images import error_of, fill, picture

from jaxal.data.folder import load_folder
from jaxal.data.layout import find_layout
from jaxal.data.load import load


def files(*names: str) -> dict[str, bytes]:
    return {name: picture(number) for number, name in enumerate(names)}


def each(pattern: str, **choices) -> list[str]:
    """`pattern` with all combinations of the choices for its places."""
    names = [pattern]
    for place, values in choices.items():
        names = [name.replace("{" + place + "}", str(value)) for name in names for value in values]
    return names


def layout(*names: str, folders: tuple[str, ...] = ()):
    split = lambda texts: [tuple(text.split("/")) for text in texts]
    return find_layout("root", split(names), split(folders), with_classes=True)


@pytest.mark.parametrize(
    "pattern",
    [
        "seg_{s}/seg_{s}/{c}/{k}.jpg",  # Intel's natural scenes
        "archive/seg_{s}/{c}/{k}.jpg",
        "a/b/{s}ing_set/{c}/{k}.jpg",
        "{s}_images/{c}/{k}.jpg",
        "brain/{s}/{c}/more/{k}.jpg",
        "kvasir-v2-{s}/{c}/{k}.jpg",
        "data/images-{s}/{c}/{k}.jpg",
    ],
)
def test_splits_under_other_names_and_further_down(pattern):
    found = layout("README.md", *each(pattern, s=("train", "test"), c="ab", k=range(2)))
    assert sorted(set(found.splits)) == ["test", "train"]
    assert found.labels == ["a", "a", "b", "b"] * 2
    assert found.notices[0] == "1 file outside the class folders left out: README.md"


def test_training_and_testing_within_one_more_folder(tmp_path):
    names = each("brain/{s}/{c}/{k}.png", s=("Training", "Testing"), c=("glioma", "none"), k=range(2))
    dataset = load_folder(fill(tmp_path / "mri", files(*names)))
    assert (dataset.name, dataset.classes) == ("mri", ("glioma", "none"))
    assert sorted(dataset.official.tolist()) == ["test"] * 4 + ["train"] * 4
    assert dataset.names.tolist() == sorted(names)


def test_images_beside_the_splits_without_classes_are_left_out():
    names = each("seg_{s}/seg_{s}/{c}/{k}.jpg", s=("train", "test"), c="ab", k=range(2))
    found = layout(*names, *each("seg_pred/seg_pred/{k}.jpg", k=range(5)))
    assert len(found.files) == 8
    assert found.notices[0].startswith("5 files outside the class folders left out: seg_pred/seg_pred/0.jpg")


@pytest.mark.parametrize(
    "classes",
    [("train", "car"), ("no test", "test positive"), ("valid", "invalid"), ("trainer", "contest"), ("test1", "test2")],
)
def test_classes_that_sound_like_splits_stay_classes(classes):
    found = layout(*each("{c}/{k}.png", c=classes, k=range(2)))
    assert set(found.labels) == set(classes)
    assert set(found.splits) == {""}


def test_single_folders_are_seen_through_and_one_class_is_not(tmp_path):
    assert layout(*each("x/y/{c}/{k}.png", c="ab", k=range(2))).labels == ["a", "a", "b", "b"]
    assert layout("x/0.png", "x/1.png").labels == ["x", "x"]
    loose = layout("cover.png", *each("x/{c}/{k}.png", c="ab", k=range(2)))
    assert set(loose.labels) == {"x"}  # there are images beside it: it is a class
    assert "one class only (x)" in error_of(fill(tmp_path, files("x/0.png", "x/1.png")))


def test_patients_above_or_below_the_classes_are_told_with_what_to_type(tmp_path):
    above = each("{p}/{c}/{k}.png", p=(8863, 8864, 9001), c="01", k=range(2))
    (notice,) = layout(*above).notices
    assert "the 3 class folders hold folders of the same names: 0, 1" in notice
    root = fill(tmp_path, files(*above))
    regexes = [text.split("'")[1] for text in notice.split("--")[1:]]
    dataset = load(str(root), label_regex=regexes[0], group_regex=regexes[1])
    assert dataset.classes == ("0", "1")
    assert dataset.groups is not None and len(set(dataset.groups)) == 3
    assert any("names of patients: 8863, 8864, 9001" in notice for notice in load(str(root)).notices)

    below = each("{c}/patient{p}/{k}.png", c="a", p=range(3), k=range(2))
    below += each("{c}/patient{p}/{k}.png", c="b", p=range(3, 6), k=range(2))
    (notice,) = layout(*below).notices
    assert "the class folders hold 6 folders: patient0, patient1" in notice
    dataset = load_folder(fill(tmp_path / "below", files(*below)), group_regex=notice.split("'")[1])
    assert len(set(dataset.groups)) == 6


def test_masks_beside_images_are_told():
    (notice,) = layout(*each("{c}/{m}/{k}.png", c=("covid", "normal"), m=("images", "masks"), k=range(2))).notices
    assert "hold folders of the same names: images, masks; files of all of them are read" in notice


def test_the_working_folder_has_its_name_and_runs_are_no_data(tmp_path, monkeypatch):
    root = fill(tmp_path / "scans", files(*each("{c}/{k}.png", c="ab", k=range(2))))
    asked = {"command": "jaxal run", "dataset": ".", "train_on": [], "config": {}}
    for run in ("runs/scans", "runs/scans-2"):
        fill(root / run, {"config.json": json.dumps(asked).encode(), "figure.png": picture(77)})
    monkeypatch.chdir(root)
    for dataset in (load("."), load("../scans/"), load(str(root / "a" / ".."))):
        assert (dataset.name, dataset.classes, len(dataset)) == ("scans", ("a", "b"), 4)
        assert dataset.notices[1] == "2 run folders left out: runs/scans, runs/scans-2"
        assert not any("class folders without images" in notice for notice in dataset.notices)
    fill(root / "runs", {"mine/config.json": b"{}", "mine/1.png": picture(78)})  # of something else
    assert load(".").classes == ("a", "b", "runs")


def test_images_without_a_class_are_kept_aside(tmp_path):
    root = fill(tmp_path, files(*each("{c}/{k}.png", c=("a", "b", "Unlabelled"), k=range(3))))
    (root / "Unlabelled" / "copy.png").write_bytes((root / "a" / "0.png").read_bytes())
    dataset = load_folder(root, group_regex=r"(\d|copy)\.png")
    assert (dataset.classes, len(dataset)) == (("a", "b"), 6)
    assert dataset.notices[-2:] == (
        "3 images without a label left out of the simulation",
        "1 image without a label left out as exact copies of others",
    )
    others = dataset.unlabelled
    assert others is not None
    assert others.names.tolist() == [f"Unlabelled/{k}.png" for k in range(3)]
    np.testing.assert_array_equal(others.groups, dataset.groups[:3])
    assert others.inputs[1].shape == (6, 7, 3)


def test_names_that_are_not_utf8_are_refused_before_an_image_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxal.data.folder.read_images", None)
    odd = fill(tmp_path / "odd", files("a/1.png", "b\udcff/1.png"))
    assert "'b\\udcff' is no name in UTF-8" in error_of(odd)
    root = fill(Path(f"{tmp_path}/data\udcff"), files("a/1.png", "b/1.png"))
    assert "'data\\udcff' is no name in UTF-8" in error_of(root)


def test_file_names_cannot_command_a_terminal(tmp_path):
    root = fill(tmp_path, {**files("a/1.png", "b/1.png"), "a/\x1b[2J\x1b]0;x\x07.png": b"words", "\x1b[1m.png": b""})
    dataset = load(str(root))
    assert dataset.notices[1] == r"1 file outside the class folders left out: \x1b[1m.png"
    assert r"a/\x1b[2J\x1b]0;x\x07.png (not an image)" in dataset.notices[2]
    assert all(notice.isprintable() for notice in dataset.notices)
    assert error_of(root, strict=True).isprintable()


def test_patients_by_file_name_are_known_in_one_data_set_alone(tmp_path):
    pacs = each("{c}/IM-{p}-{k}.png", c=("cat", "dog"), p=("0001", "0002"), k=("0001", "0002"))
    dataset = load_folder(fill(tmp_path / "pacs", files(*pacs)))
    assert dataset.groups is None
    (notice,) = dataset.notices
    assert notice.startswith("file names such as IM-0001-0001.png may name patients; if they do: --group-regex '")
    grouped = load_folder(tmp_path / "pacs", group_regex=notice.split("'")[1])
    assert len(set(grouped.groups)) == 2
    same_classes = each("{c}/IM-{p}-{k}.png", c=("NORMAL", "PNEUMONIA"), p=("0001", "0002"), k=("0001", "0002"))
    assert load_folder(fill(tmp_path / "other", files(*same_classes))).groups is None


def test_a_pipe_in_a_folder_does_not_hang(tmp_path):
    root = fill(tmp_path, files("a/1.png", "b/1.png"))
    os.mkfifo(root / "a" / "pipe.png")
    os.mkfifo(root / "config.json")
    assert "pipe.png (not a regular file)" in load_folder(root).notices[1]
