"""What is said of a data set before anything is computed: counts, and what will be missing."""

import numpy as np
import pytest
from test_images import by_split, fill

from jaxal.config import SplitConfig
from jaxal.data.dataset import Dataset
from jaxal.data.load import load
from jaxal.data.remarks import class_remarks, facts, split_remarks
from jaxal.data.splits import split


def table(labels, columns: int = 2, **fields) -> Dataset:
    labels = np.asarray(labels, np.int32)
    names = tuple("abcdefghijklmnopqrstuvwxyz"[: labels.max() + 1])
    inputs = np.random.default_rng(0).standard_normal((len(labels), columns)).astype(np.float32)
    return Dataset("table", inputs, labels, fields.pop("classes", names), **fields)


def test_facts(tmp_path):
    plain = table([0, 0, 1, 2] * 300)
    assert facts(plain) == "1,200 rows of 2 features, 3 classes: a 600, b 300, c 300"
    official = np.array(["train", "test", "val", "train"] * 300)
    grouped = table(plain.labels, official=official, groups=np.arange(1200) // 4)
    assert facts(grouped) == f"{facts(plain)}; official split: train 600, val 300, test 300; 300 groups"
    many = table(np.arange(52) % 26)
    assert facts(many).endswith("k 2, l 2 and 14 more")
    images = load(str(fill(tmp_path / "pets", by_split(("train",), "{split}/{c}/{k}.png", "abc"))))
    assert images.notices[0] == "6 images, 3 classes: a 2, b 2, c 2; official split: train 6"


def test_classes_that_stand_in_the_test_split_alone_are_named(tmp_path):
    files = by_split(("train",), "{split}/{c}/{k}.png", "abc") | by_split(("test",), "{split}/{c}/{k}.png", "abd")
    remarks = load(str(fill(tmp_path, files))).notices[1:]
    assert remarks == ("classes that stand in the test split alone: d (2)",)
    assert class_remarks(table([0] * 50 + [1] * 6)) == []


def test_names_that_look_like_something_else():
    labels = np.arange(60) % 3
    assert (
        "names of splits: seg_train, Test set"
        in class_remarks(table(labels, classes=("cats", "seg_train", "Test set")))[0]
    )
    assert (
        "names of patients: patient_1, Case 17, 10253"
        in class_remarks(table(labels, classes=("patient_1", "Case 17", "10253")))[0]
    )
    for innocent in (("0", "1", "2"), ("contest", "trainer", "valid"), ("grade 1", "grade 2", "grade 3")):
        expected = 1 if "valid" in innocent else 0  # a word for a split, after all
        assert len(class_remarks(table(labels, classes=innocent))) == expected


def test_what_splits_lack():
    rare = table([0] * 280 + [1] * 8)
    splits = [split(rare, SplitConfig(), seed) for seed in range(3)]
    counts = {p: [np.sum(rare.labels[getattr(s, p)] == 1) for s in splits] for p in ("reward", "validation", "test")}
    lacking = {part: sum(n == 0 for n in by_seed) for part, by_seed in counts.items()}
    remarks = [line for line in split_remarks(rare, SplitConfig(), splits) if line.startswith("no row")]
    assert [line.split()[4] for line in remarks] == [part for part, n in lacking.items() if n]
    for line in remarks:
        assert ("of some of the 3 seeds" in line) == (lacking[line.split()[4]] < 3)
        assert ": b (8 rows in all)" in line
    assert split_remarks(table(np.arange(600) % 3), SplitConfig(), splits[:0]) == []


def test_what_the_test_rows_cannot_tell_is_named():
    official = np.where(np.arange(360) < 300, "train", "test")
    labels = np.arange(360) % 3

    def said(labels):
        data = table(labels, official=official)
        return split_remarks(data, SplitConfig(), [split(data, SplitConfig(), seed) for seed in range(2)])

    assert said(labels) == []
    few = np.where((official == "test") & (labels == 2), 0, labels)
    few[[300, 301]] = 2
    assert said(few) == ["fewer than 5 rows in the test part: c (2); averages over the classes are coarse"]
    metrics = "balanced accuracy, macro-F1 and AUROC are"
    none = np.where(official == "test", labels % 2, labels)
    assert said(none) == [f"no row in the test part: c (100 rows in all); {metrics} means over the other 2"]
    one = np.where(official == "test", 0, labels)
    rows = "b (100 rows in all), c (100 rows in all)"
    assert said(one) == [f"no row in the test part: {rows}; {metrics} not to be had"]


def test_columns_that_stand_still_in_a_pool_are_named():
    dataset = table(np.arange(600) % 3, columns=4)
    parts = split(dataset, SplitConfig(), 0)
    dataset.inputs[:, 2] = 7
    dataset.inputs[parts.test, 2] = 8
    dataset.inputs[:, 3] = 5  # everywhere, which was said when it was read
    assert split_remarks(dataset, SplitConfig(), [parts]) == [
        "columns that are constant in a pool, where they are not used: 2"
    ]


@pytest.mark.parametrize("size", [1, 100])
def test_parts_that_groups_leave_smaller_are_named(size):
    dataset = table(np.arange(2000) % 2, groups=(np.arange(2000) // size).astype(np.int32))
    config = SplitConfig(state=30)
    splits = [split(dataset, config, seed) for seed in range(2)]
    remarks = split_remarks(dataset, config, splits)
    if size == 1:
        assert remarks == []
    else:
        (remark,) = remarks
        assert remark.startswith("20 groups of up to 100 rows leave parts smaller")
        assert f"pool {min(len(parts.pool) for parts in splits)} of 485" in remark
