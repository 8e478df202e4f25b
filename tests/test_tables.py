"""CSV and Parquet: what a column is, beside images too; every mistake is one line."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from sklearn import datasets
from test_images import fill, picture

from jaxal.config import InputsConfig
from jaxal.data.dataset import DataError
from jaxal.data.load import load
from jaxal.encoders.latents import open_dataset

N = 24
RNG = np.random.default_rng(0)
AGE, SIZE = RNG.normal(50, 10, N), RNG.integers(0, 9, N)
KIND = np.array(["benign", "malignant", "none"])[np.arange(N) % 3]
WHO = np.array([f"p{row // 4}" for row in range(N)])


def csv(path: Path, columns: dict, sign: str = ",") -> Path:
    lines = [sign.join(columns), *(sign.join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def error_of(path: Path, **options) -> str:
    with pytest.raises(DataError) as caught:
        load(str(path), **options)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 400
    return message


PLAIN = {"age": AGE, "size": SIZE, "label": KIND}


@pytest.mark.parametrize("ending, sign", [(".csv", ","), (".csv", ";"), (".tsv", "\t"), (".CSV", ",")])
def test_a_table_of_text(tmp_path, ending, sign):
    dataset = load(str(csv(tmp_path / f"cases{ending}", PLAIN, sign)))
    assert (dataset.name, dataset.classes) == ("cases", ("benign", "malignant", "none"))  # none is a class
    np.testing.assert_array_equal(dataset.inputs, np.stack([AGE, SIZE], 1).astype(np.float32))
    np.testing.assert_array_equal(dataset.labels, np.arange(N) % 3)
    assert dataset.notices[0] == f"{N} rows of 2 features, 3 classes: benign 8, malignant 8, none 8"
    assert dataset.groups is None and dataset.names is None and dataset.unlabelled is None


def test_csv_and_parquet_say_the_same(tmp_path):
    columns = {"id": np.arange(N) + 100, "age": AGE, "patient_id": WHO, "diagnosis": KIND, "ok": SIZE > 4}
    one = load(str(csv(tmp_path / "a.csv", {**columns, "ok": [str(x).lower() for x in columns["ok"]]})))
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    other = load(str(tmp_path / "a.parquet"))
    for name in ("inputs", "labels", "groups", "names"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.inputs.shape == (N, 2)
    assert one.groups is not None and one.groups.tolist() == [row // 4 for row in range(N)]
    assert one.names is not None and one.names[0] == "100"
    assert "columns of a.csv: label 'diagnosis', groups 'patient_id', names of the rows 'id'" in one.notices[2]
    bunch = datasets.load_wine()
    columns = dict(zip(bunch.feature_names, bunch.data.T, strict=True)) | {"target": bunch.target}
    parquet.write_table(pa.table(columns), tmp_path / "wine.pq")
    wine = load(str(tmp_path / "wine.pq"))
    np.testing.assert_array_equal(wine.inputs, bunch.data.astype(np.float32))
    np.testing.assert_array_equal(wine.labels, bunch.target)


def test_the_columns_that_are_asked_for(tmp_path):
    path = csv(tmp_path / "a.csv", {**PLAIN, "class": SIZE % 2, "ward": WHO})
    assert "columns label, class may each be the label; say which by --label-column" in error_of(path)
    dataset = load(str(path), label_column="class", group_column="ward")
    assert dataset.classes == ("0", "1")
    assert dataset.groups is not None and len(set(dataset.groups)) == 6
    assert dataset.inputs.shape == (N, 2 + 3)  # label became a feature, one column a value
    assert "no column 'nowhere'; it has age, size, label, class, ward" in error_of(path, label_column="nowhere")
    without = csv(tmp_path / "b.csv", {"age": AGE, "kind": KIND})
    assert "no column is called label or labels or class or target; say --label-column, one of age, kind" in error_of(
        without
    )
    assert load(str(without), label_column="kind").classes == ("benign", "malignant", "none")


def test_missing_values_labels_and_words(tmp_path):
    age = [*("NA", "", "nan", "?"), *AGE[4:]]
    kind = [*("NA", ""), *KIND[2:]]
    sex = np.array(["f", "m", ""])[np.arange(N) % 3]
    site = np.array(["arm", "leg", "back", ""])[np.arange(N) % 4]
    note = [f"seen on day {k}" for k in range(N)]
    split = np.array(["Train", "test"])[np.arange(N) // 4 % 2]
    columns = {"age": age, "sex": sex, "site": site, "note": note, "split": split, "target": kind}
    dataset = load(str(csv(tmp_path / "a.csv", columns)))
    assert len(dataset) == N - 2
    assert dataset.unlabelled is not None and dataset.unlabelled.names.tolist() == ["row 0", "row 1"]
    assert np.isnan(dataset.inputs[:2, 0]).all() and not np.isnan(dataset.inputs[2:, 0]).any()
    expected = np.where(sex == "", np.nan, sex == "m")[2:]
    np.testing.assert_array_equal(dataset.inputs[:, 1], expected.astype(np.float32))
    for column, value in enumerate(("arm", "back", "leg")):
        np.testing.assert_array_equal(dataset.inputs[:, 2 + column], (site == value)[2:])
    assert dataset.official is not None and dataset.official.tolist() == [text.lower() for text in split[2:]]
    told = " ".join(dataset.notices)
    assert "columns of text, as a column of 0 and 1 for each value: sex (2), site (3)" in told
    assert f"columns of text, not used: note ({N} values)" in told
    assert "2 rows without a label (y is empty)" in told


def test_decimal_commas(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "age;size;y\n" + "".join(f"{a:.2f};{s};{s % 2}\n".replace(".", ",") for a, s in zip(AGE, SIZE, strict=True))
    )
    np.testing.assert_allclose(load(str(path)).inputs[:, 0], AGE, atol=0.01)


def test_whole_numbers_keep_all_digits(tmp_path):
    ids = 2**60 + np.arange(N) // 4
    path = csv(tmp_path / "a.csv", {"x": AGE, "subject": ids, "y": SIZE % 2})
    dataset = load(str(path))
    assert dataset.groups is not None and dataset.groups.tolist() == [row // 4 for row in range(N)]


BROKEN = {
    "empty": (b"", "an empty file"),
    "no names": (b"1.5,2\n3,4\n", "the first row holds numbers (1.5, 2)"),
    "names alone": (b"a,label\n", "a table without rows"),
    "short row": (b"a,label\n1,x\n2\n", "Expected 2 columns, got 1"),
    "two of a name": (b"a,a,label\n1,2,x\n", "several columns are called 'a'"),
    "not UTF-8": (b"a,label\n1,\xff\xfe\n2,x\n", "column 'label' holds binary; text in UTF-8"),
    "no features": (
        b"note,label\n" + b"".join(b"w%d,%d\n" % (k, k % 2) for k in range(9)),
        "no column of numbers beside",
    ),
    "fractions": (b"a,label\n1,0.5\n2,1\n3,0\n", "y holds 0.5"),
    "long label": (b"a,label\n1," + b"x" * 300 + b"\n2,y\n", "column 'label' holds texts of more than 200 letters"),
    "infinite": (b"a,label\n1,0\ninf,1\n2,0\n3,1\n", "column a of X has 1 infinite"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_tables_that_cannot_be_used_give_one_line(tmp_path, case):
    (tmp_path / "a.csv").write_bytes(BROKEN[case][0])
    message = error_of(tmp_path / "a.csv")
    assert message.startswith(str(tmp_path / "a.csv"))
    assert BROKEN[case][1] in message


def test_parquet_that_cannot_be_used(tmp_path):
    path = tmp_path / "a.parquet"
    for data in (b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"):
        path.write_bytes(data)
        assert "not a table that can be read" in error_of(path)
    parquet.write_table(pa.table({"x": [[1.0], [2.0]], "y": [0, 1]}), path)
    assert "column 'x' holds list" in error_of(path)
    many = pa.table({"x": pa.array(np.zeros(60_000_000, np.int8)), "y": pa.array(np.zeros(60_000_000, np.int8))})
    parquet.write_table(many, path)
    assert path.stat().st_size < 1 << 20
    assert "60,000,000 rows of 2 columns in" in error_of(path)
    os.mkfifo(tmp_path / "pipe.csv")
    assert error_of(tmp_path / "pipe.csv") == f"{tmp_path / 'pipe.csv'}: not a regular file"


# ---- a table beside images ----


def folder(root: Path, names: list[str]) -> Path:
    return fill(root, {name: picture(number) for number, name in enumerate(names)})


@pytest.mark.parametrize(
    "place, written",
    [("{k}.png", "{k}.png"), ("{k}.png", "{k}"), ("images/{k}.png", "{k}.png"), ("images/{k}.png", "images/{k}.png"),
     ("a/b/{k}.png", "./a/b/{k}.png"), ("ISIC_{k}.jpg", "ISIC_{k}")],
)  # fmt: skip
def test_labels_from_a_table_beside_the_images(tmp_path, place, written):
    names = [place.format(k=f"{k:03}") for k in range(N)]
    root = folder(tmp_path / "scans", names)
    columns = {"image_id": [written.format(k=f"{k:03}") for k in range(N)], "dx": KIND, "patient": WHO}
    csv(root / "labels.csv", columns)
    dataset = load(str(root))
    assert dataset.names is not None and dataset.names.tolist() == names
    assert [dataset.classes[label] for label in dataset.labels] == KIND.tolist()
    assert dataset.groups is not None and dataset.groups.tolist() == [row // 4 for row in range(N)]
    assert dataset.notices[1] == "labels.csv: files in 'image_id', labels in 'dx', groups in 'patient'"


def test_a_table_within_a_single_folder(tmp_path):
    root = folder(tmp_path, [f"archive/images/{k}.png" for k in range(N)])
    csv(root / "archive" / "meta.csv", {"image": [f"images/{k}.png" for k in range(N)], "label": KIND})
    csv(root / "archive" / "other.csv", {"city": ["x", "y"], "label": [1, 2]})
    dataset = load(str(root))
    assert dataset.classes == ("benign", "malignant", "none")
    assert "1 file beside the images left out: archive/other.csv" in dataset.notices


def test_images_and_rows_that_do_not_meet(tmp_path):
    root = folder(tmp_path, [f"{k}.png" for k in range(N)])
    kinds = KIND[:20].copy()
    kinds[3] = ""
    csv(root / "truth.csv", {"file": [f"{k}.png" for k in range(18)] + ["lost.png", "gone.png"], "stage": kinds})
    (root / "readme.txt").write_text("hello")
    dataset = load(str(root))
    assert len(dataset) == 17  # the only other column is the label
    assert dataset.unlabelled is not None
    assert dataset.unlabelled.names.tolist() == ["18.png", "19.png", "20.png", "21.png", "22.png", "23.png", "3.png"]
    assert "2 rows of truth.csv without their image left out" in dataset.notices
    assert "1 file beside the images left out: readme.txt" in dataset.notices
    assert "7 images without a label left out of the simulation" in dataset.notices


def test_labels_as_columns_of_ones(tmp_path):
    root = folder(tmp_path, [f"{k}.png" for k in range(N)])
    ones = {kind: (kind == KIND).astype(float) for kind in ("none", "malignant", "benign")}
    csv(root / "truth.csv", {"image": np.arange(N), **ones})
    dataset = load(str(root))
    row = {name: place for place, name in enumerate(dataset.names.tolist())}
    assert all(dataset.classes[dataset.labels[row[f"{k}.png"]]] == KIND[k] for k in range(N))


def test_tables_beside_images_that_cannot_be_used(tmp_path):
    root = folder(tmp_path, [f"{k}.png" for k in range(N)])
    names = [f"{k}.png" for k in range(N)]
    csv(root / "a.csv", {"file": names, "this": KIND, "that": KIND})
    assert "no column is called label" in error_of(root)
    assert load(str(root), label_column="that").classes == ("benign", "malignant", "none")
    csv(root / "b.csv", {"file": names, "label": KIND})
    assert "a.csv, b.csv name its images; leave one of them there" in error_of(root)
    (root / "b.csv").unlink()
    csv(root / "a.csv", {"file": [names[0], *names[1:-1], names[0]], "label": KIND})
    assert "column 'file' names files twice: 0.png" in error_of(root)
    csv(root / "a.csv", {"file": [f"x{k}" for k in range(N)], "label": KIND})
    assert "but no class folders" in error_of(root)
    assert error_of(root).endswith("or correct a.csv, in which fewer than half of the images are named")
    assert "no .csv or .parquet file in it names its images" in error_of(root, label_column="label")


def test_a_table_beside_class_folders_is_pointed_to(tmp_path):
    names = [f"part_{k % 2}/{k}.png" for k in range(N)]
    root = folder(tmp_path, names)
    csv(root / "meta.csv", {"image": [f"{k}" for k in range(N)], "dx": KIND})
    dataset = load(str(root))
    assert dataset.classes == ("part_0", "part_1")
    assert any(
        notice.startswith(
            "meta.csv names the images in 'image'; to take labels from it instead of folders: --label-column"
        )
        for notice in dataset.notices
    )
    assert load(str(root), label_column="dx").classes == ("benign", "malignant", "none")


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("written")
    columns = {"age": AGE.round(2), "kind": KIND, "patient": WHO, "label": SIZE % 2}
    parquet.write_table(pa.table(columns), folder / "a.parquet")
    return [csv(folder / "a.csv", columns), folder / "a.parquet"]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 1), st.data())
def test_broken_tables_never_raise_anything_else(written, which, data):
    whole = written[which]
    raw = bytearray(whole.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[place] ^= data.draw(st.integers(1, 255))
    path = whole.with_name(f"broken{whole.suffix}")
    path.write_bytes(raw)
    try:
        load(str(path))
    except DataError as error:
        assert str(error).isprintable()


def test_columns_are_settings_that_must_suit_the_data_set(tmp_path):
    path = csv(tmp_path / "a.csv", PLAIN | {"grade": KIND, "who": WHO})
    inputs = InputsConfig(label_column="grade", group_column="who")
    dataset = open_dataset(str(path), inputs)
    assert dataset.classes == ("benign", "malignant", "none")
    assert dataset.groups is not None and len(np.unique(dataset.groups)) == N // 4
    with pytest.raises(DataError, match="wine: --label-column is for tables and folders of images"):
        open_dataset("wine", inputs)
    assert len(open_dataset("wine", inputs, beside=True)) == 178
