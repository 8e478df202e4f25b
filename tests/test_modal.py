"""The strategies that the paper takes from modAL pick what modAL itself picks.

modAL 0.4.2.1 does not run beside a current scikit-learn, so it has an environment of its own:

    python3 -m venv ENV && ENV/bin/pip install 'modAL-python==0.4.2.1' 'scikit-learn<1.6' 'numpy<2'
    JAXAL_MODAL_PYTHON=ENV/bin/python pytest -m slow tests/test_modal.py
"""

import json
import os
import subprocess
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import softmax

from jaxal.mdp.observation import Candidates, Observation
from jaxal.policies import STRATEGIES

PYTHON = os.environ.get("JAXAL_MODAL_PYTHON", "")
POOLS = {
    (classes, seed): np.random.default_rng(seed).normal(0, 2, (300, classes))
    for classes in (2, 3, 8)
    for seed in (0, 1)
}


@pytest.fixture(scope="module")
def modal(tmp_path_factory):
    """modAL's picks, by strategy, array and number."""
    if not PYTHON:
        pytest.skip("modAL has an environment of its own; name its interpreter in JAXAL_MODAL_PYTHON")
    arrays = {f"softmax {c} {s}": softmax(logits) for (c, s), logits in POOLS.items()}
    arrays |= {f"sigmoid {c} {s}": 1 / (1 + np.exp(-logits)) for (c, s), logits in POOLS.items()}
    path = tmp_path_factory.mktemp("modal") / "probabilities.npz"
    np.savez(path, **arrays)
    script = Path(__file__).parent / "goldens" / "modal_picks.py"
    done = subprocess.run([PYTHON, str(script), str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def utilities(strategy: str, logits: np.ndarray) -> np.ndarray:
    """Ours, of a pool."""
    blank = jnp.ones(len(logits))
    candidates = Candidates(jnp.asarray(logits, jnp.float32), *[blank] * 5)
    seen = Observation(jnp.zeros(1), blank[:, None], candidates, blank > 0, jnp.int32(0))
    return np.asarray(STRATEGIES[strategy].utility(None, seen, jax.random.key(0)))


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("strategy", ["least_confidence", "margin", "entropy"])
def test_the_same_probabilities_give_the_same_picks(modal, strategy, pool):
    order = np.argsort(-utilities(strategy, POOLS[pool]))
    for n in (1, 5):
        assert set(modal[strategy]["softmax {} {}".format(*pool)][str(n)]) == set(order[:n].tolist())


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
def test_average_confidence_on_one_vs_rest_probabilities(modal, pool):
    order = np.argsort(-utilities("average_confidence", POOLS[pool]))
    for n in (1, 5):
        assert set(modal["average_confidence"]["sigmoid {} {}".format(*pool)][str(n)]) == set(order[:n].tolist())


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
def test_modals_average_confidence_on_softmax_is_decided_by_rounding(modal, pool):
    probabilities = softmax(POOLS[pool])
    means = probabilities.mean(1)
    np.testing.assert_allclose(means, 1 / pool[0], atol=1e-15)
    picked = modal["average_confidence"]["softmax {} {}".format(*pool)]["1"]
    assert means[picked] == means.max()  # by less than 1e-15


def test_with_two_classes_ours_is_as_degenerate():
    half = np.random.default_rng(0).normal(0, 2, 300)
    np.testing.assert_allclose(utilities("average_confidence", np.stack([half, -half], 1)), 0.5, atol=1e-6)
