"""One comparison, trained and run, as a small JSON file; what is there already is not computed again."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import jaxal
from experiments.reproduction.data import FOLDER, MissingDataError, Sources, some_rows, sources
from jaxal.files import write_text
from jaxal.policies.policy import Policy
from jaxal.report import statistics

RESULTS = Path(__file__).parents[1] / "results"
FIGURES = Path(__file__).parents[1] / "figures"
OURS, LAL_RL = "DDQN (the paper's)", "LAL-RL"
BASELINES = {
    "least_confidence": "uncertainty",
    "random": "random",
    "margin": "margin",
    "entropy": "entropy",
    "average_confidence": "average confidence",
}
"""modAL's strategies of the paper, and what the paper calls them."""

Cell = dict[str, Any]
"""{"settings", "data", "labels": [T + 1], "accuracy": {strategy: [seeds, starts, T + 1]}, "training", "environment"}"""


@dataclass(frozen=True)
class Scale:
    """How large the runs are."""

    quick: bool
    rows: int  # of a data set, at the most
    seeds: int
    starts: int
    iterations: int  # of training
    warm_start: int  # more random episodes before it, of the larger model
    budget: int
    pixels: int  # side of the images that LAL-RL is given

    @property
    def stem(self) -> str:
        """What the names of files begin with."""
        return "quick" if self.quick else "full"


QUICK = Scale(quick=True, rows=1500, seeds=2, starts=4, iterations=6, warm_start=128, budget=30, pixels=32)
FULL = Scale(quick=False, rows=3000, seeds=5, starts=8, iterations=30, warm_start=128, budget=60, pixels=64)
"""Less than there is (5,000 histology tiles, 5,840 X-rays, 40 iterations in the preset, 32 validation episodes where
this has 16), so that two cores take half an hour at most for a script."""


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    scale: Scale
    dataset: str
    encoder: str
    data: Path
    out: Path

    def each(self, *names: str) -> Iterable[Sources]:
        """The data set that was asked for, or these; a line for one that this machine does not have."""
        for name in (self.dataset,) if self.dataset else names:
            try:
                yield self.sources(name)
            except MissingDataError as error:
                told(str(error))

    def sources(self, name: str) -> Sources:
        """A data set, so many of its rows as the scale has."""
        found = sources(name, self.data, self.encoder)
        if len(found.ours) <= self.scale.rows:
            return found
        return found.take(some_rows(found.ours, self.scale.rows))


def asked(doc: str | None) -> Asked:
    """What the command line asks for, with the flags that all experiments have; `doc` is the script's."""
    return from_flags(flags(doc).parse_args())


def flags(doc: str | None) -> argparse.ArgumentParser:
    """The flags that all experiments have."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small runs, minutes on two cores")
    parser.add_argument("--dataset", default="", help="instead of the experiment's own: cxr, texture, tiles, or a path")
    parser.add_argument("--encoder", default="", help="of images, such as resnet50 with published weights")
    parser.add_argument("--data", type=Path, default=FOLDER, help="folder of the experiments' data")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results; what is there is kept")
    return parser


def from_flags(given: argparse.Namespace) -> Asked:
    """What was given for these flags."""
    return Asked(QUICK if given.quick else FULL, given.dataset, given.encoder, given.data, given.out)


def kept(path: Path, settings: Mapping[str, Any]) -> Cell | None:
    """What `path` holds, if it was made with these settings."""
    if not path.exists():
        return None
    found: Cell = json.loads(path.read_text())
    return found if found["settings"] == settings else None


def compared(
    asked: Asked,
    name: str,
    found: Sources,
    method: str,
    *,
    learned: Callable[[], Policy] | None = None,
    metric: str = "accuracy",
    **changed: Any,
) -> Cell:
    """A comparison under one of the paper's methods, from its file or made now.

    Args:
      asked: how large, and where the files are.
      name: of the file, behind the scale and the data set.
      found: the data set.
      method: "ours", the policy under the paper's settings with the five strategies of modAL; "ours-alone"; "lal-rl".
      learned: gives the policy, instead of one that is trained on the data set's own source pool.
      metric: what the curves are curves of, on the test rows.
      changed: settings of `jaxal.configure` that differ.
    """
    path = asked.out / f"{asked.scale.stem}-{found.name}-{name}.json"
    settings = merged(settings_of(asked.scale, found, method), changed)
    cell = kept(path, settings)
    if cell is not None:
        return cell
    told(f"{path.stem} ...")
    began = time.perf_counter()
    given: dict[str, Any] = dict(settings)
    if learned is not None:
        given["strategies"] = with_policy(settings["strategies"], learned())
    results = jaxal.compare(found.lal_rl if method == "lal-rl" else found.ours, **given, progress=False)
    names = {"ddqn": LAL_RL if method == "lal-rl" else OURS, **BASELINES}
    report = results.summary["training"]
    cell = {
        "settings": settings,
        "data": {
            "rows": len(found.ours),
            "given": found.said["lal_rl" if method == "lal-rl" else "ours"],
            **{k: v for k, v in results.summary["dataset"].items() if k not in ("notices", "classes", "name")},
        },
        "labels": results.labels.tolist(),
        "accuracy": {
            names.get(s, s): np.round(results.curves(s, metric).astype(float), 4).tolist() for s in results.strategies
        },
        "training": {
            k: report[k] for k in ("iterations_by_seed", "env_steps", "seconds", "compile_seconds") if k in report
        },
        "wall_seconds": round(time.perf_counter() - began, 1),
        "environment": results.summary["environment"],
    }
    write(path, cell)
    told(f"{path.stem}: {cell['wall_seconds']:.0f} s")
    return cell


def trained(asked: Asked, found: Sources, **changed: Any) -> Policy:
    """The policy of the paper's settings, trained on a data set."""
    told(f"training on {found.name} ...")
    return jaxal.train(found.ours, **merged(settings_of(asked.scale, found, "ours-alone"), changed), progress=False)


def with_policy(strategies: Iterable[str], policy: Policy) -> list[str | Policy]:
    """Strategies, a policy in the place of the one that would be trained."""
    return [policy if each == policy.name else each for each in strategies]


def write(path: Path, cell: Cell) -> None:
    """Keeps a cell; on one line, as its curves are long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(cell, allow_nan=False) + "\n")


def settings_of(scale: Scale, found: Sources, method: str) -> dict[str, Any]:
    """Settings of `jaxal.compare`; they can be written down as JSON."""
    few = len(found.ours) < 500
    shared = {
        "strategies": ["ddqn"] if method in ("lal-rl", "ours-alone") else ["ddqn", *BASELINES],
        "seeds": scale.seeds,
        "starts": scale.starts,
        "budget": scale.budget if not few else 25,
        "train": {"iterations": scale.iterations, "validation_episodes": 8 if scale.quick else 16},
        "split": {"protocol": "paper", "state": 8, "reward": 12, "validation": 8, "test": 24} if few else {},
    }
    if method != "lal-rl":
        return {"preset": "paper", **shared, **({"encoder": found.encoder} if found.encoder else {})}
    side, classes = scale.pixels, len(found.ours.classes)
    features = isinstance(found.lal_rl.inputs, np.ndarray) and found.lal_rl.inputs.ndim == 2
    size = found.lal_rl.inputs.shape[1] if features else 3 * side**2
    reading = {} if features else {"image_size": side}
    return {"preset": "lal-rl", **shared, **reading, "probe": {"l2": (2 if classes == 2 else 1) / size}}


def merged(settings: dict[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with changes, dictionaries among them setting by setting."""
    inside = {k: settings[k] | v for k, v in changed.items() if isinstance(v, Mapping) and k in settings}
    return {**settings, **changed, **inside}


def told(line: str) -> None:
    """A line of progress."""
    print(line, file=sys.stderr, flush=True)


def by_strategy(ours: Cell, lal_rl: Cell) -> dict[str, Cell]:
    """For each of the seven strategies the cell that its curve is in."""
    return {name: ours for name in ours["accuracy"]} | {LAL_RL: lal_rl}


def accuracy(cell: Cell, strategy: str) -> np.ndarray:
    """[seeds, starts, T + 1]."""
    return np.asarray(cell["accuracy"][strategy], float)


def at_labels(cell: Cell, strategy: str, labels: int) -> np.ndarray:
    """Accuracy [seeds, starts] with so many labels, or with the most below."""
    place = int(np.searchsorted(cell["labels"], labels, side="right")) - 1
    return accuracy(cell, strategy)[..., place]


def mean_and_spread(values: np.ndarray) -> tuple[float, float]:
    """Mean of [seeds, starts], and half of its 68% interval by a cluster bootstrap."""
    low, high = statistics.interval(values, 0.68)
    return float(values.mean()), float(high - low) / 2
