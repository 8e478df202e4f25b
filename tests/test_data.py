"""Data sets: every bad value is repaired with a notice or refused in one line, and no held-out row leaks."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn import datasets
from sklearn.linear_model import LogisticRegression

from jaxal.data.arrays import from_arrays
from jaxal.data.dataset import DataError, fill_missing
from jaxal.data.load import BUNDLED, PUBLISHED, load
from jaxal.data.wording import printable

TEXTURE = Path(__file__).parents[2] / "shared/data/kather2016/texture80.npz"
N = 12
X = np.random.default_rng(0).standard_normal((N, 3)).astype(np.float32)
Y = np.arange(N) % 3
TILES = np.random.default_rng(1).integers(0, 256, (N, 5, 4, 3), np.uint8)


def changed(array, place, value):
    copy = array.astype(np.result_type(array.dtype, type(value)))
    copy[place] = value
    return copy


def save(path: Path, **arrays) -> str:
    np.savez_compressed(path, **arrays)
    return str(path)


def error_of(source, **options) -> str:
    with pytest.raises(DataError) as caught:
        load(str(source), **options)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    return message


# name: (what differs from a good file, what the message must hold)
REFUSED = {
    "infinities": (
        {"X": changed(changed(changed(X, (2, 1), np.inf), (5, 1), -np.inf), (0, 2), np.inf)},
        ["column 1", "2 infinite", "1 more column"],
    ),
    "beyond float32": ({"X": changed(X.astype(np.float64), (2, 0), 1e300)}, ["column 0", "1 infinite"]),
    "one-dimensional X": ({"X": X[:, 0]}, ["X has shape (12,)"]),
    "five-dimensional X": ({"X": np.zeros((N, 2, 2, 2, 2))}, ["X has shape"]),
    "no rows": ({"X": X[:0], "y": Y[:0]}, ["X has shape (0, 3)"]),
    "no columns": ({"X": X[:, :0]}, ["X has shape (12, 0)"]),
    "X of strings": ({"X": X.astype(str)}, ["X has type <U"]),
    "X complex": ({"X": X.astype(complex)}, ["X has type complex128"]),
    "X of objects": ({"X": X.astype(object)}, ["X holds Python objects"]),
    "y of objects": ({"y": np.array(["a", None] * 6, object)}, ["y holds Python objects"]),
    "nothing varies": ({"X": np.ones((N, 2))}, ["no column of X varies"]),
    "five channels": ({"X": np.zeros((N, 7, 6, 5), np.uint8)}, ["(12, 7, 6, 5)", "1, 3 or 4 channels, last or second"]),
    "images beyond 0..1": ({"X": TILES / 100.0}, ["float64 images", "fractions 0..1"]),
    "negative images": ({"X": TILES.astype(np.int16) - 5}, ["int16 images from -5"]),
    "images with NaN": ({"X": changed(TILES / 255.0, (0, 0, 0, 0), np.nan)}, ["images from nan"]),
    "short y": ({"y": Y[:-1]}, ["y has shape (11,)", "12 rows"]),
    "several labels a row": (
        {"y": np.eye(3)[Y] + np.eye(3)[np.minimum(Y + 1, 2)] > 0},
        ["y is one-hot, and 8 rows", "first: row 0, with 2"],
    ),
    "no class in a row": ({"y": changed(np.eye(3)[Y], 5, 0)}, ["1 rows have no class", "first: row 5, with 0"]),
    "probabilities as y": ({"y": np.full((N, 3), 1 / 3)}, ["y has shape (12, 3)", "one-hot columns of 0 and 1"]),
    "one-hot strings": ({"y": np.full((N, 3), "0")}, ["y has shape (12, 3)"]),
    "scalar y": ({"y": np.array(1)}, ["y has shape ()"]),
    "no labels": ({"y": np.full(N, np.nan)}, ["no row has a label (y is NaN)"]),
    "no labels but empty ones": ({"y": np.full(N, "")}, ["no row has a label (y is empty)"]),
    "one class and unlabelled rows": ({"y": np.array([1.0, np.nan] * 6)}, ["one class only (1)"]),
    "class names that are not UTF-8": (
        {"class_names": ["a", "b", "c\udcff"]},
        [r"'c\udcff' is no class name in UTF-8"],
    ),
    "short names": ({"names": ["a"]}, ["names has shape (1,)"]),
    "too few feature names": ({"feature_names": ["a"]}, ["feature_names has shape (1,)", "each of 3 columns"]),
    "fractional y": ({"y": changed(Y, 4, 0.5)}, ["y holds 0.5"]),
    "infinite y": ({"y": changed(Y, 4, np.inf)}, ["y holds inf"]),
    "dates as y": ({"y": np.arange(N).astype("datetime64[D]")}, ["y has type datetime64"]),
    "one class": ({"y": np.full(N, 7)}, ["one class only (7)"]),
    "a class of one row": ({"y": changed(Y, 0, 9)}, ["single row", "9"]),
    "y is an identifier": ({"y": np.arange(N)}, ["single row", "0, 1, 2, 3, 4 and 7 more"]),
    "too few class names": ({"class_names": ["a", "b"]}, ["2 names (a, b)", "3 classes"]),
    "class name twice": ({"class_names": ["a", "b", "a"]}, ["class_names has a name twice: a"]),
    "class names in a table": ({"class_names": [["a", "b", "c"]]}, ["class_names has shape (1, 3)"]),
    "class names that are fractions": ({"class_names": [0.5, 1.5, 2.5]}, ["class_names", "float64"]),
    "labels that are no class names": (
        {"y": np.array(["B", "M"] * 6), "class_names": ["malignant", "benign"]},
        ["names (malignant, benign)", "classes (B, M)"],
    ),
    "short groups": ({"groups": Y[:-2]}, ["groups has shape (10,)"]),
    "NaN in groups": ({"groups": changed(Y, 1, np.nan)}, ["groups is missing in 1 rows", "row 1"]),
    "one group": ({"groups": np.zeros(N)}, ["groups has one value only"]),
    "a group in train and test": (
        {"groups": Y, "split": np.array(["test"] + ["train"] * 11)},
        ["groups both in the test split and outside of it: 0"],
    ),
    "unknown split": ({"split": np.array(["train", "holdout"] * 6)}, ["split holds holdout", "train, val"]),
    "short split": ({"split": np.array(["train"])}, ["split has shape (1,)"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case, tmp_path):
    arrays, wanted = REFUSED[case]
    message = error_of(save(tmp_path / "bad.npz", **{"X": X, "y": Y, **arrays}))
    assert message.startswith(str(tmp_path / "bad.npz"))
    for text in wanted:
        assert text in message


# name: (what differs from a good file, the whole of the notices)
REPAIRED = {
    "nothing": ({}, []),
    "missing cells": (
        {"X": changed(changed(X, (3, 0), np.nan), (3, 2), np.nan)},
        ["2 missing values in 1 rows and 2 columns: filled with the pool's medians"],
    ),
    "a column without values": (
        {"X": changed(X, (slice(None), 1), np.nan)},
        [
            "12 missing values in 12 rows and 1 columns: filled with the pool's medians",
            "columns without any value, not used: 1",
        ],
    ),
    "a constant column": ({"X": changed(X, (slice(None), 2), 5)}, ["constant columns, not used: 2"]),
    "labels from 1": ({"y": Y + 1}, ["labels numbered: 1 is 0, 2 is 1, 3 is 2"]),
    "labels with a gap": ({"y": 2 * Y}, ["labels numbered: 0 is 0, 2 is 1, 4 is 2"]),
    "float labels": ({"y": Y.astype(np.float32)}, ["float32 labels read as whole numbers"]),
    "strings": (
        {"y": np.array(["b", "a", "c"] * 4)},
        ["labels numbered: a is 0, b is 1, c is 2"],
    ),
    "bytes": ({"y": np.array([b"b", b"a"] * 6)}, ["labels numbered: a is 0, b is 1"]),
    "a name without rows": (
        {"class_names": ["a", "b", "c", "d"]},
        ["classes without a row left out: d"],
    ),
    "another array": ({"weights": ["u", "v", "w"]}, ["not used in good.npz: weights"]),
    "feature names": (
        {"X": changed(X, (slice(None), 2), 5), "feature_names": ["u", "v", "w"]},
        ["constant columns, not used: w"],
    ),
    "one-hot y": ({"y": np.eye(3, dtype=bool)[Y]}, ["y is one-hot, read as the numbers of its columns"]),
    "channels first": (
        {"X": np.moveaxis(TILES.repeat(2, 2), -1, 1)},
        ["X has shape (12, 3, 5, 8): read as 3 channels of 5 x 8"],
    ),
    "opaque images": (
        {"X": np.concatenate([TILES, np.full_like(TILES[..., :1], 255)], -1)},
        ["the fourth channel, opacity, is 255 everywhere and was left out"],
    ),
    "transparent images": (
        {"X": np.concatenate([TILES, TILES[..., :1]], -1)},
        ["transparency laid on white (the fourth channel is opacity)"],
    ),
    "ten-bit images": ({"X": TILES.astype(np.uint16) * 4}, ["uint16 images brought to 8 bits (1023 is white)"]),
    "images": ({"X": TILES}, []),
    "deep images": (
        {"X": TILES.astype(np.uint16) * 16},
        ["uint16 images brought to 8 bits (4095 is white)"],
    ),
}


@pytest.mark.parametrize("case", REPAIRED)
def test_repaired_with_a_notice(case, tmp_path):
    arrays, notices = REPAIRED[case]
    dataset = load(save(tmp_path / "good.npz", **{"X": X, "y": Y, **arrays}))
    told = [notice for notice in dataset.notices[1:] if not notice.startswith("classes with too few rows")]
    assert told == notices
    assert dataset.name == "good"
    assert dataset.labels.dtype == np.int32
    assert set(dataset.labels) == set(range(len(dataset.classes)))


def test_missing_values_stay_until_there_is_a_pool(tmp_path):
    holed = changed(X, (3, 0), np.nan)
    dataset = load(save(tmp_path / "a.npz", X=holed, y=Y))
    np.testing.assert_array_equal(dataset.inputs, holed)
    assert dataset.inputs.dtype == np.float32


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.9))
def test_fill_is_the_median_of_the_pool_alone(seed, share):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((20, 4)).astype(np.float32)
    x[rng.random(x.shape) < share] = np.nan
    pool, others = np.split(rng.permutation(20), [8])
    before = x.copy()
    filled = fill_missing(x, pool)
    np.testing.assert_array_equal(x, before)
    for column in range(4):
        seen = sorted(value for value in x[pool, column] if value == value)
        middle = (seen[(len(seen) - 1) // 2] + seen[len(seen) // 2]) / 2 if seen else 0.0
        for row in range(20):
            expected = middle if np.isnan(x[row, column]) else x[row, column]
            assert filled[row, column] == pytest.approx(expected, rel=1e-6)
    x[others] = np.where(np.isnan(x[others]), np.nan, 1e6)
    np.testing.assert_array_equal(fill_missing(x, pool)[pool], filled[pool])


NUMBERS = st.integers(-5, 5).filter(lambda value: value != -1)  # which may stand for no label
LABELS = st.one_of(
    st.lists(NUMBERS, min_size=2, max_size=30),
    st.lists(NUMBERS.map(float), min_size=2, max_size=30),
    st.lists(st.text("ab\n é", min_size=1, max_size=3), min_size=2, max_size=30),
    st.lists(st.booleans(), min_size=2, max_size=30),
)


@settings(max_examples=100, deadline=None)
@given(LABELS)
def test_every_row_keeps_its_class(labels):
    y = np.array(labels + labels)  # so that no class has a single row
    x = np.arange(2.0 * len(y)).reshape(len(y), 2)
    if len(set(y.tolist())) < 2:
        with pytest.raises(DataError, match="one class only"):
            from_arrays("some", x, y)
        return
    dataset = from_arrays("some", x, y)
    assert set(dataset.labels) == set(range(len(dataset.classes)))
    for value, label in zip(y.tolist(), dataset.labels, strict=True):
        assert dataset.classes[label] == (f"{value:.0f}" if isinstance(value, float) else printable(str(value)))
    assert all("\n" not in notice for notice in dataset.notices)


UNLABELLED = {  # y, the rows with a label, the classes, the sign that is told
    "minus one": (np.array([0, 1, -1, 2] * 3), [0, 1, 3], ("0", "1", "2"), "y is -1"),
    "NaN": (np.array([0, 1, np.nan, 7] * 3), [0, 1, 3], ("0", "1", "7"), "y is NaN"),
    "empty": (np.array(["b", "", "a", "b"] * 3), [0, 2, 3], ("a", "b"), "y is empty"),
}


@pytest.mark.parametrize("case", UNLABELLED)
def test_unlabelled_rows_are_set_aside_and_counted(case, tmp_path):
    y, places, classes, sign = UNLABELLED[case]
    inside = np.isin(np.arange(N) % 4, places)
    patients = np.array(["p2", "p0", "p9", "p1"] * 3)
    dataset = load(save(tmp_path / "a.npz", X=X, y=y, groups=patients))
    assert dataset.classes == classes
    np.testing.assert_array_equal(dataset.inputs, X[inside])
    assert [dataset.classes[label] for label in dataset.labels] == [
        f"{v:.0f}" if case == "NaN" else str(v) for v in y[inside]
    ]
    assert dataset.names is not None and dataset.groups is not None
    assert dataset.names.tolist() == [f"row {row}" for row in np.flatnonzero(inside)]
    assert any(notice.startswith(f"3 rows without a label ({sign}") for notice in dataset.notices)
    others = dataset.unlabelled
    assert others is not None and len(others) == 3 and others.groups is not None
    np.testing.assert_array_equal(others.inputs, X[~inside])
    assert others.names.tolist() == [f"row {row}" for row in np.flatnonzero(~inside)]
    numbers = {"p0": 0, "p1": 1, "p2": 2, "p9": 3}  # of patients with and without labels together
    assert dataset.groups.tolist() == [numbers[p] for p in patients[inside]]
    assert others.groups.tolist() == [numbers[p] for p in patients[~inside]]
    part = dataset.take(np.array([2, 0]))
    assert part.unlabelled is others
    assert part.names is not None and part.names.tolist() == dataset.names[[2, 0]].tolist()


def test_minus_one_is_a_class_where_nothing_else_makes_sense():
    for y, names, classes in (
        (np.array([-1, 1] * 6), None, ("-1", "1")),
        (np.array([-2, -1, 1] * 4), None, ("-2", "-1", "1")),
        (np.array([-1, 0, 1] * 4), ["bad", "so so", "good"], ("bad", "so so", "good")),
        (np.array(["-1", "0", "1"] * 4), None, ("-1", "0", "1")),
    ):
        dataset = from_arrays("some", X, y, class_names=names)
        assert (dataset.classes, len(dataset), dataset.unlabelled) == (classes, N, None)
    named = from_arrays("some", X, np.array([-1, 0, 1] * 4), class_names=["a", "b"])
    assert (named.classes, len(named)) == (("a", "b"), 8)


def test_copies_of_unlabelled_images():
    images, y = TILES.copy(), np.array([0, 1] * 3 + [-1] * 6)
    y[2] = 2
    images[5] = images[1]
    images[7] = images[6]  # both without a label
    images[8] = images[0]  # a copy of one that has a label
    y = np.concatenate([y, [2]])
    images = np.concatenate([images, TILES[:1] // 2])
    dataset = from_arrays("some", images, y)
    np.testing.assert_array_equal(dataset.inputs, images[[0, 1, 2, 3, 4, 12]])
    assert dataset.unlabelled is not None
    assert dataset.unlabelled.names.tolist() == ["row 6", "row 9", "row 10", "row 11"]


def scored(X: np.ndarray, y: np.ndarray) -> float:
    """How a simulation's inputs do: logistic regression on the first half, scored on the second."""
    from jaxal.tasks.task import standardise

    inputs = from_arrays("some", X, y).inputs
    train, test = standardise(inputs[::2], inputs[1::2])
    return LogisticRegression(C=100).fit(train, y[::2]).score(test, y[1::2])


@pytest.mark.parametrize("form", [np.float64, np.float32])
@pytest.mark.parametrize("scale, offset", [(1e-13, 0), (1e-37, 0), (0.5, 1e6), (1e-3, -4e3), (1e30, 0)])
def test_features_of_any_scale_and_offset_do_alike(scale, offset, form):
    """The whole way to what a classifier sees: no column is lost, whatever units it is in."""
    data, y = datasets.load_wine(return_X_y=True)
    columns = data / data.std(0)
    straight = scored(columns, y)
    assert straight > 0.9
    again = scored((columns * scale + offset).astype(form), y)
    assert again >= straight - (0.02 if form is np.float64 else 0.1)


def test_columns_keep_their_values_where_float32_holds_them():
    wide = np.stack([X[:, 0], X[:, 1] * 1e-13, X[:, 2] + 1e3, 1e6 + X[:, 0], np.arange(N) + 1.7e9, X[:, 1] * 1e-40], 1)
    dataset = from_arrays("some", wide, Y, feature_names=np.array(["a", "b", "c", "d", "e", "f"]))
    np.testing.assert_array_equal(dataset.inputs[:, :3], wide[:, :3].astype(np.float32))
    expected = (wide - wide.min(0)) / (wide.max(0) - wide.min(0))
    np.testing.assert_allclose(dataset.inputs[:, 3:], expected[:, 3:], atol=1e-6)
    assert dataset.notices == ("columns brought to 0..1, since float32 cannot hold their differences: d, e, f",)
    holed = changed(wide, (4, 3), np.nan)
    assert np.isnan(from_arrays("some", holed, Y).inputs[4, 3])


def test_class_names_meet_their_labels():
    order = from_arrays("o", X, np.array(["lo", "mid", "hi"])[Y], class_names=np.array(["lo", "mid", "hi"]))
    assert order.classes == ("lo", "mid", "hi")
    np.testing.assert_array_equal(order.labels, Y)
    from_one = from_arrays("o", X, Y + 1, class_names=np.array([b"lo", b"mid", b"hi"]))
    assert from_one.classes == ("lo", "mid", "hi")
    np.testing.assert_array_equal(from_one.labels, Y)
    gap = from_arrays("o", X, np.array([0, 3])[Y % 2], class_names=np.array(["a", "b", "c", "d"]))
    assert gap.classes == ("a", "d")
    np.testing.assert_array_equal(gap.labels, Y % 2)


@pytest.mark.parametrize("form", [np.int8, np.uint16, np.float16, bool, np.float64])
def test_numbers_of_any_type_become_float32(form):
    values = (np.maximum(X, 0) * 3).astype(form)
    inputs = from_arrays("some", values, Y[:, None]).inputs
    assert inputs.dtype == np.float32
    np.testing.assert_array_equal(inputs, values.astype(np.float32))


def test_images_become_uint8():
    kept = from_arrays("some", TILES, Y)
    assert kept.inputs is TILES
    assert from_arrays("some", TILES[..., 0], Y).inputs.shape == (N, 5, 4, 1)
    deep = np.linspace(0, 65535, N * 20).astype(np.uint16).reshape(N, 5, 4)
    for images in (TILES / 255, TILES.astype(np.float32), TILES.astype(np.int64)):
        again = from_arrays("some", images, Y)
        np.testing.assert_array_equal(again.inputs, TILES)
        assert len(again.notices) == 1
    inputs = from_arrays("some", deep, Y).inputs
    assert inputs.dtype == np.uint8
    np.testing.assert_allclose(inputs[..., 0], deep / 257, atol=0.51)


def test_copies_among_images_are_dropped_and_said():
    images, labels = TILES.copy(), Y.copy()
    images[5], images[9] = images[2], images[0]  # of one class
    images[7] = images[3]  # of two
    official = np.array(["train"] * 9 + ["test"] * 3)
    dataset = from_arrays("some", images, labels, groups=np.arange(N) + 40, split=official)
    stay = [1, 2, 4, 6, 8, 9, 10, 11]  # the copy in test rather than that in train
    np.testing.assert_array_equal(dataset.inputs, images[stay])
    np.testing.assert_array_equal(dataset.labels, labels[stay])
    assert dataset.groups is not None and dataset.official is not None
    np.testing.assert_array_equal(dataset.groups, np.arange(len(stay)))
    assert dataset.official.tolist() == official[stay].tolist()
    assert dataset.notices == (
        "2 images left out as exact copies of others: row 0, row 5",
        "2 images left out: the same image with different labels: row 3, row 7",
    )
    deep = from_arrays("some", images.astype(np.uint16) * 256 + np.arange(N, dtype=np.uint16)[:, None, None, None], Y)
    assert len(deep.inputs) == N  # they differ below the 8 bits that are kept
    features = from_arrays("some", images.reshape(N, -1), Y)
    assert len(features.inputs) == N
    with pytest.raises(DataError, match=r"^some: 12 images left out: the same image with different labels: row 0,"):
        from_arrays("some", np.zeros_like(TILES), Y)


def test_groups_and_official_split(tmp_path):
    patients = np.array(["p9", "p1", "p5"])[Y]
    official = np.array(["training", "valid", "test"])[Y]
    dataset = load(save(tmp_path / "a.npz", X=X, y=Y[::-1], groups=patients, split=official))
    assert dataset.groups is not None and dataset.official is not None
    np.testing.assert_array_equal(dataset.groups, np.array([2, 0, 1])[Y])
    assert dataset.groups.dtype == np.int32
    assert dataset.official.tolist() == np.array(["train", "val", "test"])[Y].tolist()
    part = dataset.take(np.array([4, 2])).noting("two rows")
    assert part.official is not None and part.official.tolist() == ["val", "test"]
    assert part.notices[-1] == "two rows"


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled(name):
    bunch = getattr(datasets, BUNDLED[name])()
    dataset = load(name)
    np.testing.assert_allclose(dataset.inputs, bunch.data, rtol=1e-6)
    np.testing.assert_array_equal(dataset.labels, bunch.target)
    assert dataset.classes == tuple(map(str, bunch.target_names))
    assert dataset.name == name


@pytest.mark.parametrize(
    "source, wanted",
    [
        ("breast_cancer", "Did you mean breast-cancer?"),
        ("Digts", "Did you mean digits?"),
        ("kather-2016", "Did you mean kather2016?"),
        ("zzz", "Bundled are digits, breast-cancer, wine"),
        ("", "no such data set"),
        ("~nobody-of-this-name/x.npz", "no such file or folder"),
        ("no/such/file.npz", "no such file or folder"),
        ("x" * 5000, "no such data set"),
        ("a\0b", "no such data set"),
    ],
)
def test_unknown_names(source, wanted):
    with pytest.raises(DataError) as caught:
        load(source)
    assert wanted in str(caught.value)


def test_what_a_file_is_not(tmp_path):
    whole = Path(save(tmp_path / "whole.npz", X=X, y=Y)).read_bytes()
    for text, data in {
        "an empty file": b"",
        "cut short": whole[: len(whole) // 2],
        "no .npz file": b"x,y\n1,2\n" * 9,
    }.items():
        (tmp_path / "f.npz").write_bytes(data)
        assert text in error_of(tmp_path / "f.npz")
    assert "no array X; it has data, y" in error_of(save(tmp_path / "k.npz", data=X, y=Y))
    assert "no array X and no array y" in error_of(save(tmp_path / "n.npz", data=X))
    (tmp_path / "table.xls").write_text("1,2")
    assert "a .npz, .csv, .tsv or .parquet file, or a folder" in error_of(tmp_path / "table.xls")
    os.mkfifo(tmp_path / "pipe.npz")
    assert error_of(tmp_path / "pipe.npz") == f"{tmp_path}/pipe.npz: not a regular file"


def test_headers_that_lie(tmp_path):
    def packed(header: dict, body: bytes) -> Path:
        form, path = io.BytesIO(), tmp_path / "lie.npz"
        np.lib.format.write_array_header_1_0(form, header)
        np.savez(path, y=Y)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("X.npy", form.getvalue() + body)
        return path

    huge = packed({"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**6)}, b"\0" * 64)
    assert "4,000,000,000,000,000 bytes" in error_of(huge)
    short = packed({"descr": "<f4", "fortran_order": False, "shape": (N, 3)}, b"\0" * 64)
    assert "broken" in error_of(short)


def test_no_pickle_is_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    trap = np.array([Trap()] * N, object)
    assert "Python objects" in error_of(save(tmp_path / "trap.npz", X=X, y=trap))
    assert not (tmp_path / "sprung").exists()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_broken_bytes_never_raise_anything_else(tmp_path_factory, data):
    packed = io.BytesIO()
    np.savez_compressed(packed, X=X, y=Y, class_names=["a", "b", "c"])
    raw = bytearray(packed.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("broken") / "f.npz"
    path.write_bytes(raw[: data.draw(st.integers(1, len(raw)))] if data.draw(st.booleans()) else raw)
    try:
        dataset = load(str(path))
    except DataError as error:
        assert "\n" not in str(error)
    else:
        np.testing.assert_array_equal(dataset.inputs, X)  # only what nothing depends on was hit
        np.testing.assert_array_equal(dataset.labels, Y)


def test_folder_of_images(tmp_path, monkeypatch):
    for row, tile in enumerate(TILES):
        folder = tmp_path / "digits" / ("dark" if row % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(tile).save(folder / f"patient{row // 4}_{row}.png")
    dataset = load(str(tmp_path / "digits"), group_regex=r"(patient\d+)_")
    assert dataset.classes == ("dark", "light")
    assert dataset.groups is not None and len(set(dataset.groups)) == 3
    assert sorted(image.tobytes() for image in dataset.inputs) == sorted(tile.tobytes() for tile in TILES)
    (tmp_path / "digits" / "dark" / "broken.png").write_bytes(b"\x89PNG")
    assert "broken.png" in " ".join(load(str(tmp_path / "digits")).notices)
    assert "broken.png" in error_of(tmp_path / "digits", strict=True)
    monkeypatch.chdir(tmp_path)
    assert load("digits").inputs.shape == (1797, 64)
    assert len(load("./digits")) == N


def test_patterns_are_not_ignored_in_silence(tmp_path):
    assert "`groups`" in error_of(save(tmp_path / "a.npz", X=X, y=Y), group_regex="(.)")
    assert error_of("digits", label_regex="(.)") == "digits: --label-regex is for folders of images"
    assert error_of("digits", label_column="x") == "digits: --label-column is for tables and folders of images"


def test_tfds_names(tmp_path):
    from jaxal.data.tfds_builders import BUILDERS

    assert tuple(BUILDERS) == PUBLISHED
    assert "not_there" in error_of("tfds:not_there", data_dir=tmp_path)
    assert "no archive here" in error_of("kermany_pneumonia", data_dir=tmp_path)


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = "import sys, jaxal.data.load; print({'jax', 'sklearn', 'tensorflow_datasets'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


@pytest.mark.skipif(not TEXTURE.exists(), reason=f"needs {'/'.join(TEXTURE.parts[-4:])} beside the project")
def test_texture80():
    dataset = load(str(TEXTURE))
    assert dataset.notices[1] == ("202 missing values in 42 rows and 6 columns: filled with the pool's medians")
    assert np.bincount(dataset.labels).tolist() == [625] * 8
    assert np.isfinite(fill_missing(dataset.inputs, np.arange(0, 5000, 3))).all()
