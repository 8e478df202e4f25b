"""What exact gains cost: states a second, beside the bare products that they need and beside one refit at a time.

Command:  python experiments/benchmarks/bench_counterfactual.py
Cost:     about a minute on 2 CPU cores.

At a state with 60 labels of 8 classes each of 32 candidates is labelled, the probe refitted, and scored on 600 rows.
"Products" are the matrix products of those refits alone, with nothing between them; "one at a time" labels a candidate
by a step of the environment, which refits from scratch, and scores it. The best of the rounds counts.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxal.classifiers.bordered import ITERATIONS
from jaxal.data.splits import Rows
from jaxal.mdp.environment import State
from jaxal.policies import counterfactual
from jaxal.policies.counterfactual import Play
from jaxal.policies.gain_training import make_play
from jaxal.presets import default
from jaxal.tasks.distances import DISTANCES
from jaxal.tasks.task import Task, make_task, select

POOL, HOLDOUT, SIZE, CLASSES, LABELS = 400, 600, 128, 8, 60


def main() -> None:
    """Times, and prints a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    play, task = make_play(default(), CLASSES), make()
    state = labelled(play, task)
    tried = jnp.flatnonzero(state.unlabelled)[: play.config.candidates].astype(jnp.int32)
    ways = {
        "bordered refits": jax.jit(partial(counterfactual.scores, play)),
        "their products alone": jax.jit(products),
        "one at a time": partial(one_at_a_time, jax.jit(play.environment.step)),
    }
    seconds = {name: best(partial(way, task, state, tried), rounds) for name, way in ways.items()}
    for name, taken in seconds.items():
        print(f"{name:22s} {1 / taken:8.1f} states a second, {taken / seconds['bordered refits']:6.2f} x the time")


def make() -> Task:
    """Overlapping clusters."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, POOL + 1 + HOLDOUT).astype(np.int32)
    latents = rng.normal(size=(CLASSES, SIZE))[labels] + 3 * rng.normal(size=(len(labels), SIZE))
    rows = Rows(*np.split(np.arange(len(labels)), [POOL, POOL + 1]))
    return select(make_task(latents.astype(np.float32), labels, rows, distance=DISTANCES["euclidean"]), jnp.int32(0))


def labelled(play: Play, task: Task) -> State:
    """A state with so many labels, at random."""
    environment, key = play.environment, jax.random.key(0)
    state = jax.jit(environment.reset)(task, environment.initial_set(task, key), key)
    step = jax.jit(environment.step)
    while int(jnp.sum(state.labelled.mask)) < LABELS:
        state, _ = step(task, state, jnp.flatnonzero(state.unlabelled)[-1:].astype(jnp.int32), key)
    return state


def products(task: Task, state: State, tried: jax.Array) -> jax.Array:
    """As many products, of matrices as large, as the refits need."""
    inverse = state.fitted.model.solver.inverse
    slots = len(inverse)
    alpha = jnp.broadcast_to(state.fitted.model.solver.alpha, (len(tried), slots, CLASSES))
    for _ in range(ITERATIONS):
        alpha = jnp.einsum("ab,kbc->kac", inverse, alpha)
    return jnp.einsum("sh,ksc->khc", state.fitted.model.columns[:, -HOLDOUT:], alpha)


def one_at_a_time(step: Callable[..., Any], task: Task, state: State, tried: jax.Array) -> list[jax.Array]:
    """The environment's own value after each candidate."""
    key = jax.random.key(0)
    return [step(task, state, row[None], key)[0].value for row in tried]


def best(run: Callable[[], Any], rounds: int) -> float:
    """The least seconds of a call, compilation apart."""
    jax.block_until_ready(run())
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        jax.block_until_ready(run())
        taken.append(time.perf_counter() - began)
    return min(taken)


if __name__ == "__main__":
    main()
