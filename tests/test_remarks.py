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


def test_classes_that_cannot_be_tested_or_learned_are_named(tmp_path):
    files = by_split(("train",), "{split}/{c}/{k}.png", "abc") | by_split(("test",), "{split}/{c}/{k}.png", "abd")
    remarks = load(str(fill(tmp_path, files))).notices[1:]
    assert remarks == (
        "classes without a row in the test split: c (2)",
        "classes that stand in the test split alone: d (2)",
        "classes with too few rows for every part of a split: a (2), b (2), c (2)",
    )
    assert class_remarks(table([0] * 50 + [1] * 50 + [2] * 5)) == [
        "classes with too few rows for every part of a split: c (5)"
    ]
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
    remarks = split_remarks(rare, SplitConfig(), splits)
    lacking = [
        name
        for name in ("reward", "validation", "test")
        if any(rare.labels[getattr(p, name)].max() == 0 for p in splits)
    ]
    assert [remark.split()[4] for remark in remarks] == lacking
    assert all(remark.endswith("of some of the 3 seeds: b (8 rows in all)") for remark in remarks)
    assert split_remarks(table(np.arange(600) % 3), SplitConfig(), splits[:0]) == []


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
