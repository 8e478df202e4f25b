"""The experiments on the paper: what is kept, what is skipped, and that the page of results is the one of its files."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from experiments import beyond, questions, results, timing
from experiments.reproduction import cells, data, paper, tables
from experiments.reproduction.cells import LAL_RL, OURS, QUICK, Asked
from jaxal.policies import pretrained


@pytest.fixture
def asked(tmp_path) -> Asked:
    return Asked(QUICK, "", "", tmp_path / "no data", tmp_path)


def cell(*values: float) -> cells.Cell:
    """Of one strategy, constant in each of two seeds."""
    curves = np.tile(np.reshape(values, (-1, 1, 1)), (1, 2, 3)).tolist()
    return {"labels": [8, 10, 12], "accuracy": {OURS: curves, LAL_RL: curves, **dict.fromkeys(paper.TABLE_1, curves)}}


def test_the_page_is_the_one_of_its_files():
    assert results.TARGET.read_text() == results.render(cells.RESULTS), "run python -m experiments.results"


def test_the_pictures_of_the_page_are_there():
    page = results.TARGET.read_text()
    for line in page.splitlines():
        if line.startswith("!["):
            assert (results.TARGET.parent / line.split("(")[1].rstrip(")")).is_file(), line


def test_missing_data_is_one_line(asked, capsys):
    assert list(asked.each("cxr", "texture")) == []
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all("skipped" in line and "--data" in line for line in said)


def test_a_comparison_is_kept_and_not_made_again(asked, digits, monkeypatch, vmapped_keys):
    found = data.Sources("digits", digits, digits, "", {"ours": "digits", "lal_rl": "digits"})
    small = {"strategies": ["margin"], "seeds": 1, "starts": 2, "budget": 11}
    made = cells.compared(asked, "ours", found, "ours", **small)
    assert cells.at_labels(made, "margin", 11).shape == (1, 2)
    with monkeypatch.context() as patched:
        patched.setattr(cells.jaxal, "compare", None)
        assert cells.compared(asked, "ours", found, "ours", **small) == made
        with pytest.raises(TypeError):  # other settings are computed
            cells.compared(asked, "ours", found, "ours", **{**small, "starts": 3})


def test_changed_settings_keep_what_stands_beside_them():
    settings = {"train": {"iterations": 3, "patience": 1}, "seeds": 2}
    changed = cells.merged(settings, {"train": {"patience": 0}, "batch": 2})
    assert changed == {"train": {"iterations": 3, "patience": 0}, "seeds": 2, "batch": 2}


def test_lal_rl_is_as_regularised_as_scikit_learn(digits):
    found = data.Sources("digits", digits, digits, "", {})
    settings = cells.settings_of(QUICK, found, "lal-rl")
    assert settings["probe"]["l2"] == 1 / 64 and settings["preset"] == "lal-rl"


def test_rows_are_drawn_in_proportion(digits):
    rows = data.some_rows(digits, 600)
    assert abs(len(rows) - 600) <= 10 and len(set(rows)) == len(rows)
    shares = np.bincount(digits.labels[rows]) / np.bincount(digits.labels)
    np.testing.assert_allclose(shares, 600 / len(digits), atol=0.01)


def test_tables_have_the_papers_numbers_beside_ours():
    table = tables.table_1("tiles", {0.0: {name: cell(0.5, 0.7) for name in paper.TABLE_1}})
    assert "| LAL-RL | 0.600 ± " in table and "*0.315 ± 0.024*" in table
    timed = {**cell(0.5, 0.7), "training": {"seconds": 4.0, "compile_seconds": 9.0, "iterations_by_seed": [3, 3]}}
    assert (
        "| 7 | 0.600 ± " in (table := tables.table_2("texture", {7: timed})) and "| 1,255 |" in table and "2.0" in table
    )


def test_the_place_of_the_data_is_beside_the_repository():
    assert Path(__file__).parents[2] / "shared" / "data" == data.FOLDER


def test_answers_have_files_of_their_own():
    names = [
        *(questions.cell_name(1, each) for each in questions.VARIANTS),
        *(questions.cell_name(5, each) for each in questions.CASES),
        *(questions.tuning_name(n, c) for n in questions.NETWORKS for c in questions.CLASSIFIERS),
    ]
    assert len(set(names)) == len(names) and all(re.fullmatch(r"[\w-]+", name) for name in names)


def test_rare_classes_and_wrong_labels(digits):
    found = data.Sources("digits", digits, digits, "", {"ours": "digits", "lal_rl": "digits"})
    counts = np.bincount(data.imbalanced(found).ours.labels)
    assert counts[0] == (digits.labels == 0).sum() and counts[1] == (digits.labels == 1).sum() // 20
    noisy = data.mislabelled(found).ours
    wrong = noisy.labels != digits.labels
    assert noisy.official is not None and not wrong[noisy.official == "test"].any()
    assert abs(wrong[noisy.official == "train"].mean() - 0.1) < 0.02


@pytest.mark.slow
def test_a_policy_from_elsewhere_is_compared(asked, digits, wine, vmapped_keys):
    named = lambda each: data.Sources(each.name, each, each, "", {"ours": each.name, "lal_rl": each.name})
    small = {"seeds": 1, "starts": 2, "budget": 13}
    train = {"iterations": 1, "episodes": 2, "warm_start_episodes": 4, "updates": 1, "validation_episodes": 2}
    small = small | {"train": train, "split": {"state": 8}}
    learned = lambda: cells.trained(asked, named(wine), **small)
    found = cells.compared(asked, "q2", named(digits), "ours", learned=learned, strategies=["ddqn", "margin"], **small)
    assert found["data"]["train_on"] == [wine.name] and set(found["accuracy"]) == {OURS, "margin"}
    assert not found["training"]


def test_a_size_is_timed_once_for_the_same_settings(asked, digits, monkeypatch):
    found = data.Sources("digits", digits, digits, "", {})
    monkeypatch.setattr(cells.Asked, "each", lambda *_: [found])
    monkeypatch.setattr(timing, "measure", lambda found, pool, side: {"pool": pool, "side": side})
    first = timing.every(asked)
    monkeypatch.setattr(timing, "measure", None)
    assert timing.every(asked) == json.loads(json.dumps(first))
    monkeypatch.setattr(timing, "LABELS", 21)
    with pytest.raises(TypeError):  # other settings are measured
        timing.every(asked)


def test_beyond_takes_policies_that_have_not_met_the_data():
    met = {"texture": "texture80", "tiles": "texture80", "cxr": "cxr"}  # the tiles are those of the texture features
    for name, path in beyond.POLICIES.items():
        assert met[name] not in pretrained.load(Path(__file__).parents[1] / path).card["data"]


def test_areas_are_told_by_setting():
    columns = {"none": {"margin": cell(0.5, 0.7)}, "all": {"margin": cell(0.3, 0.5)}}
    columns = {title: {"random": cell(0.1, 0.1), **each} for title, each in columns.items()}
    table = tables.areas_table("tiles", columns)
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == ["| margin", "| random"]
    assert "| margin | 0.600 ± " in table and "| 0.400 ± " in table
