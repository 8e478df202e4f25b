"""What is said of policies on data that they have not met is what the kept results hold."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from jaxal.config import CounterfactualConfig
from jaxal.policies import pretrained
from jaxal.policies.gain_network import linear_weights
from jaxal.policies.gain_training import NAMES

sys.path.append(str(Path(__file__).parents[1] / "experiments"))
import ablations
import leave_one_out
import trained_here
from leave_one_out import POLICY, Cell, Found
from pretraining import training
from pretraining.tasks import without
from pretraining.training import Gains


@pytest.fixture
def gains() -> Gains:
    """Random decisions; some candidates may not be chosen, and one state has a number that is not finite."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(40, 32, NAMES.size))
    mask = rng.random((40, 32)) < 0.9
    mask[:, 0] = True
    features[3, 5, 1] = np.inf
    summary = rng.normal(size=(40, len(NAMES.summaries)))
    return Gains(features.astype(np.float16), features.astype(np.float16), summary, rng.normal(size=(40, 32)), mask)


def test_the_tables_are_those_of_the_results():
    cells = [cell for cell in leave_one_out.CELLS if cell.path.exists()]
    names = [name for name in trained_here.SETS if trained_here.path_of(name).exists()]
    variants = [name for name in ablations.VARIANTS if ablations.path_of(name).exists()]
    pages = {
        leave_one_out: leave_one_out.tables(cells),
        trained_here: trained_here.table(names),
        ablations: ablations.table(variants),
    }
    for script, lines in pages.items():
        page = script.RESULTS.with_suffix(".md").read_text(encoding="utf-8")
        assert page == "\n".join(lines) + "\n", f"run {script.__file__} --table"


def test_kept_policies_have_not_met_what_their_names_say():
    assert len(leave_one_out.POLICIES) == 2
    for path in map(Path, leave_one_out.POLICIES):
        left_out = path.stem.removeprefix("without_").split("_")
        assert set(pretrained.load(path).card["data"]) == set(without(*left_out))
        assert leave_one_out.unmet(left_out[0], [str(path)]) == str(path)
    assert leave_one_out.unmet("digits", leave_one_out.POLICIES) == ""  # the package's own
    with pytest.raises(ValueError, match="every policy was trained on letter"):
        leave_one_out.unmet("letter", leave_one_out.POLICIES)


def test_penalties_are_those_of_paired_t_tests():
    rng = np.random.default_rng(1)
    names = (POLICY, "margin", "random", "entropy")
    found = []
    for _ in range(5):
        aulc = {name: 0.5 + 0.01 * i + 0.02 * rng.normal(size=(8, 3)) for i, name in enumerate(names)}
        found.append(Found(Cell("digits", 1, 60), aulc, {}, [*names[1:]]))
    lines = [line for line in leave_one_out.penalties(found) if line.startswith("| ")][1:-1]
    rows = {line.split(" | ")[1]: line.split(" | ")[2:] for line in lines}
    for name, row in rows.items():
        for other, said in zip(rows, row, strict=True):
            tests = [stats.ttest_rel(each.aulc[name].mean(1), each.aulc[other].mean(1)) for each in found]
            wins = np.mean([test.statistic > 0 and test.pvalue < 0.05 for test in tests])
            assert name == other or int(said.strip(" |")) == round(100 * wins)


def test_standard_errors_are_of_the_splits_means():
    values = np.random.default_rng(2).normal(size=(6, 4))
    mean, error = leave_one_out.clustered(values)
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(stats.sem(values.mean(1)))


def test_the_ridge_is_scikit_learns(gains):
    x, y, mask = training.centred(gains)
    assert len(x) == 39  # without the state that is not finite
    inputs, targets = x[mask], y[mask]
    model = Ridge(training.PENALTY * len(inputs), fit_intercept=False).fit(inputs, targets)
    np.testing.assert_allclose(linear_weights(training.fit([gains])), model.coef_, atol=1e-6)


def test_a_policy_makes_nothing_of_what_it_does_not_see(gains):
    features = [*NAMES.features, *NAMES.rules]
    weights = np.asarray(linear_weights(ablations.only("margin", "bait")([gains])))
    assert {features[i] for i in np.flatnonzero(weights)} == {"margin", "bait"}
    weights = np.asarray(linear_weights(ablations.all_but("margin", "bait")([gains])))
    assert {features[i] for i in np.flatnonzero(weights == 0)} == {"margin", "bait"}


def test_one_label_a_state_is_the_one_taken(gains):
    every, one = training.centred(gains), ablations.the_one_taken(gains)
    np.testing.assert_array_equal(one.inputs[:, 0], every.inputs[:, 0])
    assert one.gains.shape == one.mask.shape == (39, 1)


def test_variants_have_files_of_their_own_and_features_that_there_are():
    assert len({ablations.path_of(name) for name in ablations.VARIANTS}) == len(ablations.VARIANTS)
    groups = (ablations.PROBABILITIES, ablations.COVERAGE, ablations.VARIANCE, ablations.GEOMETRY)
    assert sorted(sum(groups, ()) + ablations.NEIGHBOURS) == sorted(NAMES.features)


def test_the_state_after_a_decision_is_the_next_of_its_episode(gains):
    config = CounterfactualConfig(gamma=0.9, records=10)
    found = ablations.decisions_of(gains, config)  # 4 episodes; state 3 is not finite, so 2 has no known successor
    kept = np.delete(np.arange(40), [2, 3])
    np.testing.assert_array_equal(found.sight.features, gains.features[kept])
    assert found.following is not None and np.isfinite(found.following.sight.features).all()
    np.testing.assert_array_equal(found.following.discount, np.where(kept % 10 == 9, 0, 1))
    inner = kept % 10 != 9
    np.testing.assert_array_equal(found.following.sight.features[inner], gains.features[kept[inner] + 1])
    np.testing.assert_array_equal(found.following.mask[inner], gains.mask[kept[inner] + 1])
    assert ablations.decisions_of(gains, replace(config, gamma=0.0)).following is None
