"""The same work on the accelerator of this machine and on its processors, in one run.

Command:  python experiments/benchmarks/bench_device.py
Cost:     about three minutes with a GPU, most of it compilation; without one only the processors are timed.

Steps of the environment are those of `bench_steps.py` (pool 4,000, 2,048 latents, 8 to 60 labels by margin, a refit
and a score on 1,500 rows at every step), exact gains those of `bench_counterfactual.py` (32 candidates a state), and
images are encoded by a ResNet-50 at 224 px. Each platform has a process of its own; the best of three rounds counts.
Accuracies at 60 labels must agree. `--table FILE` writes the table as well.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

ROUNDS = 3
EPISODES = {"cpu": (16, 256), "gpu": (16, 256, 1024), "tpu": (16, 256, 1024)}
STATES = {"cpu": (1, 16), "gpu": (1, 16, 256), "tpu": (1, 16, 256)}
IMAGES = {"cpu": 32, "gpu": 256, "tpu": 256}


def main() -> None:
    """One process for each platform, and a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().here:
        print(json.dumps(measure()))
        return
    found = [run(platform) for platform in ("", "cpu")]
    if found[0]["platform"] == "cpu":
        print("no accelerator here: processors against processors")
    print(table(*found))
    scores = [each["accuracy"] for each in found]
    if abs(scores[0] - scores[1]) > 0.01:
        sys.exit(f"the accuracies differ: {scores[0]:.4f} and {scores[1]:.4f}; this is not the same work")


def run(platform: str) -> dict[str, Any]:
    """Measures in a process of its own; "" is whatever JAX takes by itself."""
    environment = {**os.environ, **({"JAX_PLATFORMS": platform} if platform else {})}
    command = [sys.executable, __file__, "--here"]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    print("\n".join(done.stdout.splitlines()[:-1]), flush=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure() -> dict[str, Any]:
    """Rates by what is done, of this process's platform."""
    import jax

    platform = jax.default_backend()
    rates: dict[str, float] = {}
    accuracy = steps(rates, EPISODES[platform])
    gains(rates, STATES[platform])
    for dtype in ("float32", "bfloat16"):
        encode(rates, dtype, IMAGES[platform])
    return {
        "platform": platform,
        "device": f"{jax.devices()[0].device_kind}, {os.cpu_count()} processors"
        if platform == "cpu"
        else jax.devices()[0].device_kind,
        "rates": rates,
        "accuracy": accuracy,
    }


def steps(rates: dict[str, float], sizes: tuple[int, ...]) -> float:
    """Environment steps a second; returns the mean accuracy at the end of the first 16 episodes."""
    from bench_steps import BUDGET, CLASSES, clusters, prepare_jaxal

    latents, labels = clusters(seed=0)
    curves = np.zeros((1, 1))
    for size in sizes:
        call, _, _ = prepare_jaxal(latents, labels, size)
        note(rates, f"environment steps, {size:,} episodes at once", size * (BUDGET - CLASSES) / best(call))
        curves = curves if curves.size > 1 else call()
    return float(curves[:, -1].mean())


def gains(rates: dict[str, float], sizes: tuple[int, ...]) -> None:
    """States a second of which 32 candidates are each labelled, refitted and scored."""
    import jax
    import jax.numpy as jnp
    from bench_counterfactual import CLASSES, labelled, make

    from jaxal.policies import counterfactual
    from jaxal.policies.gain_training import make_play
    from jaxal.presets import default

    play, task = make_play(default(), CLASSES), make()
    state = labelled(play, task)
    rows = jnp.flatnonzero(state.unlabelled).astype(jnp.int32)
    scores = jax.jit(jax.vmap(partial(counterfactual.scores, play), (None, 0, 0)))
    for size in sizes:
        shuffled = jax.vmap(lambda key: jax.random.permutation(key, rows))(jax.random.split(jax.random.key(0), size))
        states = jax.tree.map(lambda x, n=size: jnp.broadcast_to(x, (n, *x.shape)), state)
        tried = shuffled[:, : play.config.candidates]
        call = lambda states=states, tried=tried: jax.block_until_ready(scores(task, states, tried))
        note(rates, f"states with exact gains, {size:,} at once", size / best(call))


def encode(rates: dict[str, float], dtype: str, size: int) -> None:
    """Images a second."""
    from bench_resnet import jaxal_pass

    images = np.random.default_rng(0).standard_normal((size, 224, 224, 3), np.float32)
    note(rates, f"images through a ResNet-50, {dtype}", size / best(jaxal_pass(images, dtype)))


def note(rates: dict[str, float], name: str, rate: float) -> None:
    """Keeps a rate, and tells it at once: a machine on loan may be gone before the table."""
    rates[name] = rate
    print(f"{name}: {rate:,.0f} a second", file=sys.stderr, flush=True)


def best(call: Callable[[], Any]) -> float:
    """The least seconds of a call, after one that compiles."""
    call()
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def table(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """Markdown: rates a second; the ratio is to the processors' best for the same kind of work."""
    kind = lambda name: name.split(",")[0]
    highest = {kind(name): 0.0 for name in theirs["rates"]}
    for name, rate in theirs["rates"].items():
        highest[kind(name)] = max(highest[kind(name)], rate)
    lines = [f"| a second | {ours['device']} | {theirs['device']} | ratio to the latter's best |", "|---|---|---|---|"]
    for name, rate in ours["rates"].items():
        other = theirs["rates"].get(name)
        lines.append(
            f"| {name} | {rate:,.0f} | {'–' if other is None else f'{other:,.0f}'} | {rate / highest[kind(name)]:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
