"""Parts of a user's own: one of each kind, from a script outside of the package, by the API and by the command line."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import jax
import pytest

from jaxal.cli import listing, main
from jaxal.config import Config, ProbeConfig, TrainConfig
from jaxal.presets import PRESETS, default
from jaxal.registry import Registry

PARTS = '''
import jax
import jax.numpy as jnp
import jaxal


def far_and_unsure(observation, key):
    candidates = observation.candidates
    return candidates.nearest_labelled * (1 - jax.nn.softmax(candidates.logits).max(-1))


def squared_score(candidates):
    return jnp.max(candidates.probabilities, -1) ** 2


def worst_class(logits, labels):
    """Recall of the class with the smallest recall."""
    classes = jnp.arange(logits.shape[-1])
    hits = (labels[:, None] == classes) & (jnp.argmax(logits, -1) == labels)[:, None]
    rows = jnp.sum(labels[:, None] == classes, 0)
    return jnp.min(jnp.where(rows > 0, jnp.sum(hits, 0) / jnp.maximum(rows, 1), 1.0))


def manhattan(x, y):
    return jnp.sum(jnp.abs(x[:, None] - y[None]), -1)


def nearest_mean(config, distance):
    """Nearest class mean."""

    def predict(latents, labelled, labels, classes):
        member = jax.nn.one_hot(jnp.where(labelled.mask, labels, -1), classes)
        means = member.T @ latents[labelled.rows] / jnp.maximum(member.sum(0), 1)[:, None]
        return -jnp.sum((latents[:, None] - means) ** 2, -1)

    return jaxal.on_frozen_latents(predict, distance)


def thumbnails(images):
    n, height, width, channels = images.shape
    return images.reshape(n, 4, height // 4, 4, width // 4, channels).mean((2, 4)).reshape(n, -1)


thumbnail = jaxal.stateless("thumbnail", thumbnails, image_size=8)
'''
BY_API = """
settings = dict(
    budget=14, seeds=1, starts=2, reward=worst_class, distance=manhattan, classifier=nearest_mean, encoder=thumbnail,
    action_features=["score", squared_score], split={"pool": 60, "source_pool": 60, "reward": 40, "test": 100},
    agent={"hidden": (8,), "minibatch": 8, "residual": "", "replay_capacity": 200},
    train={"iterations": 2, "updates": 2, "episodes": 2, "tasks": 1, "candidates": 8, "target_candidates": 8,
           "warm_start_episodes": 2, "validation_episodes": 2},
    cache_dir="cache", progress=False,
)
results = jaxal.compare("digits", ["ddqn", "margin", far_and_unsure], **settings)
print(results)
assert results.strategies == ("ddqn", "margin", "far_and_unsure")
assert results.curves("far_and_unsure").shape == (1, 2, 5)
assert results.curves("far_and_unsure")[..., -1].mean() > 0.2
assert results.picks("margin").shape == (1, 2, 4, 1)
config = results.summary["config"]
assert config["environment"]["reward"] == "worst_class" and config["environment"]["distance"] == "manhattan"
assert config["environment"]["classifier"] == "nearest_mean" and config["inputs"]["encoder"] == "thumbnail"
"""
REGISTER = """
jaxal.STRATEGIES.register("far_and_unsure", far_and_unsure)
jaxal.ACTION_FEATURES.register("squared_score", squared_score)
jaxal.REWARDS.register("worst_class", worst_class)
jaxal.DISTANCES.register("manhattan", manhattan)
jaxal.CLASSIFIERS.register("nearest_mean", nearest_mean)
jaxal.ENCODERS.register("thumbnail", thumbnail)
"""
FLAGS = """run --plugins mine.py --dataset digits --strategies ddqn margin far_and_unsure --reward worst_class
--distance manhattan --classifier nearest_mean --encoder thumbnail --action-features score squared_score --budget 14
--seeds 1 --starts 2 --split.pool 60 --split.source-pool 60 --split.reward 40 --split.test 100 --agent.hidden 8
--agent.minibatch 8 --agent.residual= --agent.replay-capacity 200 --train.iterations 2 --train.updates 2
--train.episodes 2 --train.tasks 1 --train.candidates 8 --train.target-candidates 8 --train.warm-start-episodes 2
--train.validation-episodes 2 --cache-dir cache --out run"""


def tiny() -> Config:
    """The default preset, for tests."""
    small = {"iterations": 2, "updates": 2, "episodes": 2, "tasks": 1, "candidates": 8, "target_candidates": 8}
    train = TrainConfig(**small, warm_start_episodes=2, validation_episodes=2)
    return replace(default(), train=train, probe=ProbeConfig(iterations=10))


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """A folder of its own, and registries that forget what was registered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(PRESETS, "default", tiny)
    for registry in listing.KINDS.values():
        if isinstance(registry, Registry):
            monkeypatch.setattr(registry, "_parts", dict(registry))
    with jax.debug_key_reuse(False):
        yield


def test_parts_of_ones_own_by_the_api():
    exec(compile(PARTS + BY_API, "mine.py", "exec"), {"__name__": "mine"})


def command_line(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["jaxal", *arguments])
    main.main(leave=sys.exit)


def test_parts_of_ones_own_by_the_command_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.py").write_text(PARTS + REGISTER)
    command_line(monkeypatch, *FLAGS.split())
    assert "far and unsure" in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert list(results["strategies"]) == ["ddqn", "margin", "far_and_unsure"]
    assert results["config"]["environment"]["classifier"] == "nearest_mean"
    command_line(monkeypatch, "list", "--plugins", "mine.py")
    listed = capsys.readouterr().out
    assert "nearest_mean" in listed and "Nearest class mean" in listed and "thumbnail" in listed


@pytest.mark.slow
def test_the_readmes_example_runs_as_printed(tmp_path, capsys):
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    code = readme.split("```python\n")[1].split("```")[0]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 15
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import", "from"))}
    assert imported <= {"jax", "jaxal", "numpy"}
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert "learned (DDQN)" in capsys.readouterr().out
    assert (tmp_path / "curves.png").is_file() and (tmp_path / "policy" / "policy").is_dir()
