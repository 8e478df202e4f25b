"""Environment steps per second beside modAL with scikit-learn, on the same task, in one run.

Command:  python experiments/benchmarks/bench_steps.py
Cost:     1 to 3 minutes on 2 CPU cores; modAL is installed once into a virtual environment of its own.
Expected: at least 50 times modAL's best (97 on 2 shared CPU cores, 4,130 steps/s to 43).

The task is that of a ResNet-50's latents: pool 4,000, 1,530 other rows, 2,048 numbers each, 8 classes, from 8 to
60 labels by margin. A step chooses a point, adds its label, refits the classifier, predicts the other rows and
scores its accuracy. Both sides get the same standardised latents, the same initial sets and the same regularised
logistic regression. Accuracies must agree before the first step; at 60 labels only on average, since two solvers
break near-ties in their own ways.

jaxal runs 16 episodes at once; modAL runs one after another, with 1 and 2 BLAS threads and with its default
number, and the fastest counts. modAL is used as fast as it goes: float64 (float32 is slower there), fits started
from the last one, a pool that shrinks without copies, imports and the first fit not counted. The sides take turns,
and the median of the rounds is the rate. Compiling and computing the Gram matrix are timed apart.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path
from typing import Any

import numpy as np

POOL, STATE, HOLDOUT, SIZE, CLASSES, BUDGET, EPISODES = 4000, 30, 1500, 2048, 8, 60, 16
MODAL = ("modAL-python==0.4.2.1", "scikit-learn<1.6", "numpy<2")
THREADS = ("1", "2", "default")


def clusters(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents [n, D] float32 of overlapping clusters, sparse and positive as after a ReLU; labels [n]."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, POOL + STATE + HOLDOUT).astype(np.int32)
    inner = rng.standard_normal((CLASSES, 24))[labels] + 0.9 * rng.standard_normal((len(labels), 24))
    latents = inner @ rng.standard_normal((24, SIZE)) + rng.standard_normal((len(labels), SIZE))
    return np.maximum(latents, 0).astype(np.float32), labels


def modal_episode(file: str, start: int, limit: float) -> None:
    """One episode of modAL, `limit` seconds of it at most, in its own environment; prints a rate and accuracies."""
    from modAL.models import ActiveLearner  # pyright: ignore[reportMissingImports]
    from modAL.uncertainty import margin_sampling  # pyright: ignore[reportMissingImports]
    from sklearn.linear_model import LogisticRegression

    data = np.load(file)
    pool, others, labels, scores = data["pool"], data["others"], data["labels"], data["scores"]
    chosen = data["initial"][start]
    rest = np.setdiff1d(np.arange(len(pool)), chosen)
    # The constant 1 is among the latents, and regularised like the others.
    model = LogisticRegression(C=float(data["C"]), fit_intercept=False, max_iter=1000, warm_start=True)
    learner = ActiveLearner(model, margin_sampling, pool[chosen], labels[chosen])
    left, answers = pool[rest], labels[rest]
    accuracy = lambda: float(np.mean(learner.predict(others)[-len(scores) :] == scores))
    curve = [accuracy()]
    began = time.perf_counter()
    for size in range(len(left), len(left) - (BUDGET - len(chosen)), -1):
        pick = int(learner.query(left[:size])[0][0])
        learner.teach(left[pick : pick + 1], answers[pick : pick + 1])
        curve.append(accuracy())
        left[pick], answers[pick] = left[size - 1], answers[size - 1]
        if time.perf_counter() - began > limit:
            break
    rate = (len(curve) - 1) / (time.perf_counter() - began)
    print(json.dumps({"rate": rate, "accuracy": curve}))


def modal_python(folder: Path) -> Path:
    """The interpreter of an environment that holds modAL, made where there is none."""
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if subprocess.run([python, "-c", "import modAL"], capture_output=True).returncode if python.exists() else True:
        print(f"installing {', '.join(MODAL)} into {folder}")
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *MODAL], check=True)
    return python


def run_modal(python: Path, file: Path, start: int, threads: str) -> dict[str, Any]:
    """`modal_episode` in a process of its own; in full with one thread, of the others 20 seconds are enough."""
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        environment.pop(name, None)
        if threads != "default":
            environment[name] = threads
    command = [
        python,
        __file__,
        "--modal",
        str(file),
        "--start",
        str(start),
        "--limit",
        "inf" if threads == "1" else "20",
    ]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def prepare_jaxal(latents: np.ndarray, labels: np.ndarray, episodes: int = EPISODES):
    """(a call of compiled episodes that returns accuracies [episodes, T + 1], initial sets [episodes, C], l2)."""
    import jax
    import jax.numpy as jnp

    from jaxal.classifiers.linear_probe import linear_probe
    from jaxal.config import EnvironmentConfig, ProbeConfig
    from jaxal.mdp.environment import make_environment
    from jaxal.mdp.episode import rollout
    from jaxal.policies.hand_written import margin
    from jaxal.tasks.distances import DISTANCES
    from jaxal.tasks.task import Rows, Task, make_task, select

    settings, solver = EnvironmentConfig(budget=BUDGET), ProbeConfig()
    distance = DISTANCES[settings.distance]
    environment = make_environment(settings, linear_probe(solver, distance), CLASSES, BUDGET - CLASSES)

    def episode(bank: Task, initial: Any, key: jax.Array) -> jax.Array:
        first, rest = rollout(
            environment,
            margin,
            select(bank, jnp.int32(0)),
            initial,
            key,
            sequential=jnp.array(False),
            record_first=lambda state: state.value,
            record=lambda step: step.state.value,
        )
        return jnp.concatenate([first[None], rest])

    began = time.perf_counter()
    rows = Rows(*np.split(np.arange(len(labels)), [POOL, POOL + STATE]))
    bank = jax.block_until_ready(make_task(latents, labels, rows, distance=distance))
    print(f"jaxal: Gram matrix and distances of the pool in {time.perf_counter() - began:.1f} s")
    keys = jax.random.split(jax.random.key(0), episodes)
    initial = jax.vmap(environment.initial_set, (None, 0))(select(bank, jnp.int32(0)), keys)
    run = jax.jit(jax.vmap(episode, (None, 0, 0)))
    call = lambda: np.asarray(run(bank, initial, keys))
    began = time.perf_counter()
    call()
    print(f"jaxal: {episodes} episodes compiled and run once in {time.perf_counter() - began:.1f} s")
    return call, np.asarray(initial.rows), solver.l2


def main() -> None:
    """Time both sides in turn, and compare their accuracies."""
    parser = argparse.ArgumentParser(description="Environment steps per second beside modAL.")
    parser.add_argument("--rounds", type=int, default=3)
    default = Path(tempfile.gettempdir()) / "jaxal-bench-modal"
    parser.add_argument("--venv", type=Path, default=default, help="where modAL is, or is to be installed")
    parser.add_argument("--modal", help=argparse.SUPPRESS)
    parser.add_argument("--start", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.modal:
        return modal_episode(options.modal, options.start, options.limit)

    from jaxal.tasks.task import standardise

    python = modal_python(options.venv)
    latents, labels = clusters(seed=0)
    call, initial, l2 = prepare_jaxal(latents, labels)
    pool, others = (
        np.pad(part, ((0, 0), (0, 1)), constant_values=1).astype(np.float64)
        for part in standardise(*np.split(latents, [POOL]))
    )
    steps = BUDGET - CLASSES
    rates = {name: [] for name in ("jaxal", *THREADS)}
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "task.npz"
        scores = labels[-HOLDOUT:]
        np.savez(file, pool=pool, others=others, labels=labels[:POOL], scores=scores, initial=initial, C=1 / l2)
        for start in range(options.rounds):
            for threads in THREADS:
                result = run_modal(python, file, start, threads)
                rates[threads].append(result["rate"])
                if threads == "1":
                    theirs.append(result["accuracy"])
            began = time.perf_counter()
            curves = call()
            rates["jaxal"].append(EPISODES * steps / (time.perf_counter() - began))
            ours.append(curves[start])

    median = {name: float(np.median(values)) for name, values in rates.items()}
    for name, values in rates.items():
        label = name if name == "jaxal" else f"modAL, threads: {name}"
        rounds = ", ".join(f"{value:.1f}" for value in values)
        print(f"{label:24s} {median[name]:8.1f} steps/s, the median of {rounds}")
    for labelled in (CLASSES, 30, BUDGET):
        a, b = (np.mean([curve[labelled - CLASSES] for curve in side]) for side in (ours, theirs))
        print(f"accuracy at {labelled:2d} labels: jaxal {a:.4f}, modAL {b:.4f}")
    best = max(THREADS, key=lambda name: median[name])
    print(f"jaxal / modAL (threads: {best}) = {median['jaxal'] / median[best]:.0f}")
    gaps = np.subtract(ours, theirs)
    if np.max(np.abs(gaps[:, 0])) > 0.005 or abs(np.mean(gaps[:, -1])) > 0.02:
        sys.exit("the accuracies differ: this is not the same work")


if __name__ == "__main__":
    main()
