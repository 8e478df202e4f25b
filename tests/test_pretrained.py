"""Policy files: what is written is read, what is damaged is refused, and what a policy has met is said."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from worlds import load as load_data

import jaxal
from jaxal.config import CounterfactualConfig
from jaxal.policies import pretrained
from jaxal.policies.gain_network import make_gain_agent
from jaxal.policies.gain_training import NAMES
from jaxal.policies.pretrained import PolicyFileError
from jaxal.policies.sight import Sight
from jaxal.seals import fingerprint

HIDDEN = (8, 8)


@cache
def params() -> Any:
    agent = make_gain_agent(CounterfactualConfig(hidden=HIDDEN), NAMES)
    features = jax.random.normal(jax.random.key(1), (5, 4, NAMES.size))
    sights = Sight(features, features, jax.random.normal(jax.random.key(3), (5, len(NAMES.summaries))))
    return jax.device_get(agent.init(jax.random.key(4), sights, jnp.ones((5, 4), bool)).params)


def written(folder: Path, **data: str) -> Path:
    path = folder / "policy.npz"
    pretrained.save(path, params(), NAMES, HIDDEN, {"data": data, "seed": 0})
    return path


def test_what_is_written_is_read(tmp_path):
    found = pretrained.load(written(tmp_path))
    jax.tree.map(np.testing.assert_array_equal, found.params, params())
    assert (found.names, found.hidden) == (NAMES, HIDDEN)
    assert found.fingerprint == pretrained.load(written(tmp_path)).fingerprint
    assert "seed: 0" in found.described()


def test_what_a_policy_has_met_is_said(tmp_path):
    wine = load_data("wine")
    met = pretrained.load(written(tmp_path, wine=fingerprint(wine.inputs, wine.labels)))
    assert met.seen(wine.inputs, wine.labels) == "wine"
    assert met.seen(wine.inputs[1:], wine.labels[1:]) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: {**arrays, "more": np.zeros(3)},
        lambda arrays: {**arrays, "bomb": np.zeros(1 << 22)},
        lambda arrays: {name: array for name, array in list(arrays.items())[1:]},
        lambda arrays: (
            {name: array + (array.dtype == np.float32) for name, array in arrays.items() if array.ndim}
            | {"facts": arrays["facts"]}
        ),
        lambda arrays: {**arrays, "facts": np.array("{}")},
        lambda arrays: {**arrays, "facts": np.array({"names": 1}, object)},
        lambda arrays: {**arrays, "facts": np.array(json.dumps({**json.loads(str(arrays["facts"])), "hidden": [9]}))},
    ],
)
def test_other_numbers_are_refused(tmp_path, change):
    path = written(tmp_path)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez_compressed(path, **change(arrays))
    with pytest.raises(PolicyFileError, match=r"policy\.npz: ") as error:
        pretrained.load(path)
    assert "\n" not in str(error.value)


def test_flipped_bits_are_refused_or_harmless(tmp_path):
    path = written(tmp_path)
    whole, good = path.read_bytes(), pretrained.load(path)
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 60):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << int(rng.integers(8))]) + whole[place + 1 :])
        try:
            found = pretrained.load(path)
        except PolicyFileError:
            continue
        jax.tree.map(np.testing.assert_array_equal, found.params, good.params)


def test_the_package_has_one_that_knows_none_of_the_bundled_data():
    policy = pretrained.named()
    for name in ("digits", "wine", "breast_cancer"):
        dataset = load_data(name)
        assert policy.seen(dataset.inputs, dataset.labels) == ""
    assert not {"digits", "mnist", "wine", "breast-cancer"} & set(policy.card["data"])


@pytest.mark.usefixtures("vmapped_keys")
def test_it_is_a_strategy_like_any_other(wine):
    found = jaxal.compare(wine, ["pretrained", "random"], progress=False, budget=9, seeds=1, starts=2, batch=3)
    picks = found.picks("pretrained")
    assert picks.shape == (1, 2, 2, 3)
    assert all(len(np.unique(episode)) == 6 for episode in picks[0].reshape(2, 6))
