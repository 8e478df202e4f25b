"""Splits of grouped rows: exact sizes, no group on two sides, whatever the mix of group sizes."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxal.config import SplitConfig
from jaxal.data import group_splits, splits
from jaxal.data.dataset import DataError, Dataset
from jaxal.data.splits import PARTS, split


def grouped(sizes, labels=None, classes: int = 2, seed: int = 0) -> Dataset:
    """One group of each of `sizes` rows; the rows in random order, their classes drawn."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes)).astype(np.int32)
    labels = rng.integers(0, classes, len(groups)) if labels is None else labels(groups)
    names = tuple(f"c{k}" for k in range(classes))
    return Dataset("grouped", np.zeros((len(groups), 2), np.float32), labels.astype(np.int32), names, groups)


def check(dataset: Dataset, parts: splits.Split, one_pool: bool = False) -> None:
    """What holds of every split: no row and no group in two parts, every pool with every class."""
    assert dataset.groups is not None
    disjoint = parts[1:] if one_pool else parts
    rows = np.concatenate(disjoint)
    assert len(np.unique(rows)) == len(rows)
    owners = np.concatenate([np.unique(dataset.groups[part]) for part in disjoint])
    assert len(np.unique(owners)) == len(owners)
    for pool in (parts.source_pool, parts.pool):
        assert len(np.unique(dataset.labels[pool])) == len(dataset.classes)


MIXES = st.one_of(
    st.lists(st.integers(1, 12), min_size=40, max_size=150),  # patients
    st.lists(st.integers(50, 150), min_size=8, max_size=30),  # slides
    st.builds(lambda a, b: [a, *[1] * b], st.integers(50, 400), st.integers(60, 200)),  # one that is nearly all
    st.lists(st.sampled_from([1, 1, 1, 2, 30, 200]), min_size=60, max_size=120),
)


@settings(max_examples=150, deadline=None)
@given(MIXES, st.integers(0, 2**31), st.sampled_from(["disjoint", "paper"]))
def test_every_mix_of_groups_is_split_with_exactly_the_rows_asked_for(sizes, seed, protocol):
    dataset = grouped(sizes, seed=seed % 1000)
    config = SplitConfig(state=10, protocol=protocol)
    try:
        parts = split(dataset, config, seed)
    except DataError as error:  # a class of random rows may be missing in a pool of a few
        assert "no row of c" in str(error)
        return
    wanted = splits.sizes(len(dataset), config)
    if protocol == "paper":
        np.testing.assert_array_equal(parts.pool, parts.source_pool)
    check(dataset, parts, one_pool=protocol == "paper")
    assert len(parts.state) == 10
    for name in wanted:
        assert 1 <= len(getattr(parts, name)) <= wanted[name]
    # With groups of one row to fill every gap, the automatic parts have all of their rows, too.
    if sizes.count(1) >= len(wanted) * max(sizes):
        assert all(len(getattr(parts, name)) == wanted[name] for name in wanted)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=80, max_size=120), st.integers(0, 2**31), st.data())
def test_sizes_asked_for_are_sizes_given(sizes, seed, data):
    dataset = grouped(sizes, seed=seed % 1000)
    asked = {name: data.draw(st.integers(5, len(dataset) // 12), label=name) for name in PARTS}
    parts = split(dataset, SplitConfig(**{"state": 30, **asked}), seed)
    assert [len(part) for part in parts] == list(asked.values())
    check(dataset, parts)


def test_patients_of_the_issue_fill_exactly_the_state_rows():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 120, 600).astype(np.int32)
    labels = rng.integers(0, 3, 600).astype(np.int32)
    dataset = Dataset("issue", rng.normal(size=(600, 8)).astype(np.float32), labels, ("a", "b", "c"), groups)
    wanted = splits.sizes(600, SplitConfig(state=30))
    for seed in range(10):
        parts = split(dataset, SplitConfig(state=30), seed)
        check(dataset, parts)
        assert {name: len(getattr(parts, name)) for name in PARTS} == wanted
        for part in parts:  # stratified: no class is off by more than a group's rows
            counts = np.bincount(labels[part], minlength=3)
            assert np.abs(counts - len(part) * np.bincount(labels) / 600).max() <= np.bincount(groups).max()


@pytest.mark.parametrize("of_one_class", [False, True])
def test_slides_of_a_hundred_rows_work(of_one_class):
    dataset = grouped([100] * 20, (lambda groups: groups % 2) if of_one_class else None)
    assert dataset.groups is not None
    tested = set()
    for seed in range(5):
        parts = split(dataset, SplitConfig(state=30), seed)
        check(dataset, parts)
        assert len(parts.state) == 30
        assert min(len(part) for part in parts) >= 30
        assert len(np.concatenate(parts)) >= 1700  # of 2,000; 70 are the rest of the slide of the state rows
        for part in (parts.test, parts.reward, parts.validation):
            assert len(np.unique(dataset.labels[part])) == 2
        tested.add(frozenset(dataset.groups[parts.test]))
    assert len(tested) > 1, "seeds test on different slides"


def test_uneven_slides_differ_between_seeds():
    sizes = np.random.default_rng(0).integers(60, 140, 12)
    dataset = grouped(sizes, lambda groups: groups % 2)
    assert dataset.groups is not None
    tested = {frozenset(dataset.groups[split(dataset, SplitConfig(state=30), seed).test]) for seed in range(8)}
    assert len(tested) > 3


def test_a_group_that_is_nearly_everything_works_and_one_part_has_it():
    dataset = grouped([250] + [1] * 50)
    assert dataset.groups is not None
    parts = split(dataset, SplitConfig(state=30), 0)
    check(dataset, parts)
    assert len(parts.state) == 30
    assert min(map(len, parts)) >= 8
    assert sum(0 in dataset.groups[part] for part in parts) <= 1


def test_groups_are_named_where_they_leave_no_way():
    def error_of(dataset, **config) -> str:
        with pytest.raises(DataError) as caught:
            split(dataset, SplitConfig(**{"state": 30, **config}), 0)
        message = str(caught.value)
        assert "\n" not in message
        return message

    message = error_of(grouped([50] * 5))
    assert "5 groups of 50 to 50 rows cannot fill 6 parts (test, reward, validation, state, sou" in message
    assert "give at least 6 groups, or --split.protocol paper" in message
    split(grouped([50] * 5), SplitConfig(state=30, protocol="paper"), 0)

    tens = grouped([10] * 7)
    message = error_of(tens)
    assert "cannot fill state (30 rows)" in message and "--split.state 20 would do" in message
    split(tens, SplitConfig(state=20), 0)

    message = error_of(grouped([40] * 9), test=150, state=60)
    assert "cannot fill test (150 rows), state (60 rows)" in message
    assert "--split.test 120 or --split.state 40 would do" in message

    rare = grouped([5] * 60, lambda groups: groups == 7)
    assert "no row of c1 (5 rows); they stand in 1 groups, and a group in one part alone" in error_of(rare)
    assert "500 rows asked for test, but only 300 of 300 are left" in error_of(rare, test=500)


def possible(sizes: tuple[int, ...], need: tuple[int, ...]) -> bool:
    """Whether whole groups can cover all needs, by trying everything."""

    @functools.cache
    def go(at: int, left: tuple[int, ...]) -> bool:
        if not any(left):
            return True
        if at == len(sizes) or sum(left) > sum(sizes[at:]):
            return False
        ways = ((*left[:p], max(left[p] - sizes[at], 0), *left[p + 1 :]) for p in range(len(left)) if left[p])
        return any(go(at + 1, tuple(sorted(way))) for way in ways)

    return go(0, tuple(sorted(need)))


def test_a_way_is_nearly_always_found_where_there_is_one():
    rng = np.random.default_rng(0)
    found = ways = 0
    for _ in range(1000):
        sizes = np.sort(rng.integers(1, rng.choice([3, 8, 30]), rng.integers(3, 11)))[::-1]
        need = rng.integers(1, max(2, int(sizes.sum() / 3)), rng.integers(2, 5))
        if need.sum() <= sizes.sum():
            way, ours = possible(tuple(sizes.tolist()), tuple(need.tolist())), group_splits._fits(sizes, need)
            assert way or not ours
            ways, found = ways + way, found + ours
    assert found >= 0.99 * ways > 500


def test_an_official_test_split_keeps_whole_groups():
    dataset = grouped([4] * 100)
    assert dataset.groups is not None
    official = np.where(dataset.groups % 4 == 0, "test", "train")
    dataset = Dataset(*[getattr(dataset, name) for name in ("name", "inputs", "labels", "classes", "groups")], official)
    parts = split(dataset, SplitConfig(state=30), 0)
    check(dataset, parts)
    np.testing.assert_array_equal(parts.test, np.flatnonzero(official == "test"))
    fewer = split(dataset, SplitConfig(state=30, test=51), 0)
    assert len(fewer.test) == 51 and np.all(official[fewer.test] == "test")
