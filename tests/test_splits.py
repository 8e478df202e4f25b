"""Splits: disjoint, stratified, never through a group, reproducible."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxal.config import SplitConfig
from jaxal.data import splits
from jaxal.data.dataset import DataError, Dataset
from jaxal.data.splits import PARTS, split


def grouped(n: int = 600, size: int = 6, seed: int = 0) -> Dataset:
    """Groups of 1 to `size` rows; every group of one class."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n), rng.integers(1, size + 1, n))[:n].astype(np.int32)
    labels = (groups % 3 == 0).astype(np.int32)
    return Dataset("grouped", np.zeros((n, 2), np.float32), labels, ("a", "b"), groups)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["digits", "wine", "breast_cancer"])
def test_no_row_is_in_two_parts(name, seed, request):
    dataset = request.getfixturevalue(name)
    parts = split(dataset, SplitConfig(), seed)
    rows = np.concatenate(parts)
    assert len(np.unique(rows)) == len(rows) <= len(dataset)
    assert all(len(part) > 0 for part in parts)
    assert len(parts.state) == 30


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_every_part_has_each_class_in_proportion(name, request):
    dataset = request.getfixturevalue(name)
    shares = np.bincount(dataset.labels) / len(dataset)
    for part_name, part in zip(PARTS, split(dataset, SplitConfig(), 0), strict=True):
        counts = np.bincount(dataset.labels[part], minlength=len(shares))
        # Largest remainders put each class within one row of its share of what was left when the part was drawn.
        assert np.all(np.abs(counts - shares * len(part)) <= 2), part_name


def test_a_part_is_a_random_draw_not_the_first_rows(digits):
    parts = split(digits, SplitConfig(), 0)
    for part in parts:
        assert abs(np.mean(part) - len(digits) / 2) < 5 * len(digits) / np.sqrt(12 * len(part))


def test_same_seed_same_split_other_seed_other_split(digits):
    one, again, other = (split(digits, SplitConfig(), seed) for seed in (0, 0, 1))
    for name in PARTS:
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("seed", range(3))
def test_no_group_crosses_a_boundary(seed):
    dataset = grouped(seed=seed)
    parts = split(dataset, SplitConfig(), seed)
    assert dataset.groups is not None
    homes = [set(dataset.groups[part]) for part in parts]
    for i, one in enumerate(homes):
        for other in homes[i + 1 :]:
            assert not one & other


def test_groups_leave_sizes_and_classes_near_what_was_asked():
    dataset = grouped()
    wanted = splits.sizes(len(dataset), SplitConfig())
    for name, part in zip(PARTS, split(dataset, SplitConfig(), 0), strict=True):
        assert wanted[name] - 6 <= len(part) <= wanted[name], name
        share = np.mean(dataset.labels[part])
        assert abs(share - np.mean(dataset.labels)) < 6 / len(part) + 0.02, name


def test_the_paper_trains_and_compares_on_one_pool(digits):
    parts = split(digits, SplitConfig(protocol="paper"), 0)
    np.testing.assert_array_equal(parts.source_pool, parts.pool)
    rest = np.concatenate(parts[1:])
    assert len(np.unique(rest)) == len(rest)


def test_an_official_test_split_is_the_test_part(digits):
    official = np.where(np.arange(len(digits)) % 5 == 0, "test", "train")
    dataset = replace(digits, official=official)
    parts = split(dataset, SplitConfig(), 0)
    np.testing.assert_array_equal(parts.test, np.flatnonzero(official == "test"))
    for part in parts[:-1]:
        assert np.all(official[part] == "train")
    fewer = split(dataset, SplitConfig(test=100), 0).test
    assert len(fewer) == 100 and np.all(official[fewer] == "test")


def test_sizes_asked_for_are_sizes_given(digits):
    config = SplitConfig(source_pool=300, pool=200, state=25, reward=110, validation=90, test=150)
    assert [len(part) for part in split(digits, config, 0)] == [300, 200, 25, 110, 90, 150]


@given(st.integers(300, 6000))
@settings(max_examples=50, deadline=None)
def test_automatic_sizes_fit_and_are_sensible(n):
    found = splits.sizes(n, SplitConfig())
    assert sum(found.values()) <= n
    assert found["source_pool"] == found["pool"] <= 2000
    assert found["reward"] == found["validation"] <= 500 and found["test"] <= 1000
    assert min(found.values()) >= 30
    if n <= 4000:
        assert sum(found.values()) >= n - 1


def test_which_rows_each_task_uses(wine):
    parts = split(wine, SplitConfig(), 0)
    names = {"training": ("source_pool", "reward"), "validating": ("source_pool", "validation")}
    for role, (pool, holdout) in {**names, "testing": ("pool", "test")}.items():
        rows = getattr(parts, role)()
        np.testing.assert_array_equal(rows.pool, getattr(parts, pool))
        np.testing.assert_array_equal(rows.state, parts.state)
        np.testing.assert_array_equal(rows.holdout, getattr(parts, holdout))


def test_too_few_rows_is_one_clear_line(wine):
    with pytest.raises(DataError, match=r"wine: 500 rows asked for test, but only 178 of 178 are left") as error:
        split(wine, SplitConfig(test=500), 0)
    assert "\n" not in str(error.value)


def test_a_pool_without_some_class_is_refused():
    labels = np.zeros(300, np.int32)
    labels[7] = 1
    dataset = Dataset("rare", np.zeros((300, 2), np.float32), labels, ("a", "b"))
    with pytest.raises(DataError, match="rare: 1 of the 2 classes have no row in the") as error:
        split(dataset, SplitConfig(), 0)
    assert "\n" not in str(error.value)
