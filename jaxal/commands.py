"""What the commands do: read, train, compare, write; with progress, and so that an interrupted run can go on."""

import dataclasses
import itertools
import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from jaxal import checkpoint, report, results, tables
from jaxal.cli import Evaluate, Report, Run
from jaxal.config import Config, from_dict
from jaxal.data import DataError, Dataset, load
from jaxal.experiment import (
    Embedded,
    Evaluation,
    Policies,
    compare_strategies,
    make_sources,
    policy_shapes,
    split_all,
    train_policies,
)
from jaxal.splits import Split
from jaxal.train import Snapshot, Sources

console = Console(stderr=True)
SAVE_EVERY = 30.0  # seconds between two checkpoints
CLOSING_COLUMNS = ("strategy", "AULC", "68% interval", "final accuracy", "final AUROC")


def execute(request: Run | Evaluate | Report, command: str) -> None:
    """Does what was asked for; `command` is how to ask for it again.

    Raises:
      ValueError, OSError: one line, for whatever was given wrongly.
    """
    if isinstance(request, Run):
        run(request, command)
    elif isinstance(request, Evaluate):
        evaluate(request, command)
    else:
        make_report(request)


def run(request: Run, command: str) -> None:
    """Trains, compares and writes a run folder."""
    config = request.config
    target = read_data(request.dataset)
    sources = [read_data(name) for name in request.train_on] or [target]
    splits = split_all(config, target.dataset)
    if request.train_on:
        source_splits = list(zip(*(split_all(config, s.dataset, train_only=True) for s in sources), strict=True))
    else:
        source_splits = [(parts,) for parts in splits]
    asked = {
        "command": command,
        "dataset": request.dataset,
        "train_on": list(request.train_on),
        "preset": request.preset,
        "config": dataclasses.asdict(config),
    }
    folder = run_folder(request.out, target.dataset.name, request.resume, asked)
    policies, training = None, {}
    if {"ddqn", "linear_cem"} & set(config.evaluation.strategies):
        made = make_sources(config, sources, source_splits)
        policies, training = _learn(config, made, folder)
    evaluation = _compare(config, target, splits, policies)
    _finish(
        folder,
        config,
        evaluation,
        {
            "command": command,
            "environment": results.describe_environment(),
            "dataset": results.describe_data(target.dataset, splits[0], list(request.train_on)),
            "labels_counted": {
                "budget": config.environment.budget,
                "source_pool": sum(len(parts.source_pool) for parts in source_splits[0]),
                "reward": sum(len(parts.reward) for parts in source_splits[0]),
                "validation": sum(len(parts.validation) for parts in source_splits[0]),
            },
            "training": training,
        },
    )


def evaluate(request: Evaluate, command: str) -> None:
    """Compares the policies of a saved run on a data set."""
    asked = _read_config(request.policy)
    config = _overridden(from_dict(asked["config"]), request)
    if "ddqn" not in config.evaluation.strategies:
        raise ValueError("strategies must hold ddqn, the policy to be evaluated")
    saved = asked["config"]["evaluation"]["seeds"]
    if config.evaluation.seeds > saved:
        raise ValueError(f"seeds is {config.evaluation.seeds}; {request.policy} holds the policies of {saved} seeds")
    target = read_data(request.dataset)
    splits = split_all(config, target.dataset)
    policies = _load_policies(config, request.policy, saved, len(target.dataset.classes))
    policies = jax.tree.map(lambda x: x[: config.evaluation.seeds], policies)
    name = f"{request.policy.resolve().name}-on-{target.dataset.name}"
    folder = run_folder(request.out, name, False, {**asked, "command": command, "dataset": request.dataset})
    evaluation = _compare(config, target, splits, policies)
    trained_on = asked["train_on"] or [asked["dataset"]]
    _finish(
        folder,
        config,
        evaluation,
        {
            "command": command,
            "environment": results.describe_environment(),
            "dataset": results.describe_data(target.dataset, splits[0], trained_on),
            "labels_counted": {"budget": config.environment.budget},
            "training": {},
        },
    )


def make_report(request: Report) -> None:
    """Writes pages from run folders."""
    if len(request.runs) == 1 and request.out is None:
        written = report.write(request.runs[0])
    else:
        if request.out is None:
            raise ValueError("--out is missing; a page over several runs needs a folder of its own")
        written = report.compare_runs(request.runs, request.out)
    for path in written:
        print(path)


def read_data(source: str) -> Embedded:
    """A data set and its latents: features as they are, and the pixels of arrays of images."""
    dataset = load(source)
    for notice in dataset.notices:
        console.print(f"{dataset.name}: {notice}", style="yellow", markup=False, highlight=False)
    return Embedded(dataset, _latents(dataset))


def _latents(dataset: Dataset) -> np.ndarray:
    if not isinstance(dataset.inputs, np.ndarray):
        raise DataError(f"{dataset.name}: images need an encoder; make latents with `jaxal embed` first")
    flat = dataset.inputs.reshape(len(dataset), -1)
    return flat.astype(np.float32)


def run_folder(out: Path | None, name: str, resume: bool, asked: dict[str, Any]) -> Path:
    """The folder of a run, made, with its config.json.

    Raises:
      ValueError: when it holds another run, or none to resume.
    """
    plain = re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "run"
    candidates = [out] if out else (Path("runs") / (plain + (f"-{i}" if i > 1 else "")) for i in itertools.count(1))
    for folder in candidates:
        exists = (folder / "config.json").is_file()
        finished = (folder / "results.json").is_file()
        if resume and exists and not (finished and out is None):
            _check_same(folder, asked)
            return folder
        if resume and not exists:
            raise ValueError(f"{folder}: nothing to resume; leave out --resume, or name the run's folder with --out")
        if not exists:
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                if out is None:
                    continue
                raise ValueError(f"{folder} is there and holds something else; give another folder")
            folder.mkdir(parents=True, exist_ok=True)
            results.write_json(folder / "config.json", asked)
            return folder
        if out is not None:
            raise ValueError(f"{folder} holds a run already; give another folder, or --resume to go on with it")
    raise AssertionError("unreachable")


def _check_same(folder: Path, asked: dict[str, Any]) -> None:
    """That a run is resumed with the settings that it was started with."""
    before, now = _read_config(folder), json.loads(json.dumps(asked))
    for part in ("dataset", "train_on", *(f"config.{name}" for name in now["config"])):
        old, new = (_lookup(x, part) for x in (before, now))
        if old != new:
            field = next((k for k in new if old.get(k) != new[k]), "") if isinstance(new, dict) else ""
            where = f"{part}.{field}" if field else part
            then, this = (x[field] if field else x for x in (old, new))
            raise ValueError(f"{folder} was started with {where} = {then}, not {this}; resume with the same flags")


def _lookup(tree: dict[str, Any], path: str) -> Any:
    for name in path.split("."):
        tree = tree.get(name, {}) if isinstance(tree, dict) else {}
    return tree


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    try:
        asked = json.loads(path.read_text(encoding="utf-8"))
        asked["config"]["evaluation"]["seeds"], asked["dataset"], asked["train_on"]
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; give a folder that `jaxal run` wrote") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: not what `jaxal run` writes; give a folder that it wrote") from None
    return asked


def _overridden(config: Config, request: Evaluate) -> Config:
    asked = {name: getattr(request, name) for name in ("budget", "batch", "seeds", "starts", "strategies")}
    given = {name: value for name, value in asked.items() if value is not None}
    environment = {name: given[name] for name in ("budget", "batch") if name in given}
    evaluation = {name: given[name] for name in ("seeds", "starts", "strategies") if name in given}
    return dataclasses.replace(
        config,
        environment=dataclasses.replace(config.environment, **environment),
        evaluation=dataclasses.replace(config.evaluation, **evaluation),
    )


def _learn(config: Config, sources: Sources, folder: Path) -> tuple[Policies, dict[str, Any]]:
    """Trained policies and what is to be told of the training; read from the folder where they are there already."""
    told = folder / "training.json"
    if told.is_file():
        classes = sources.bank.class_mask.shape[-1]
        return _load_policies(config, folder, config.evaluation.seeds, classes), json.loads(
            told.read_text(encoding="utf-8")
        )
    snapshots = folder / "checkpoint"
    last_saved = time.monotonic()

    def save(snapshot: Snapshot) -> None:
        nonlocal last_saved
        if time.monotonic() - last_saved > SAVE_EVERY:
            checkpoint.save(snapshots, snapshot)
            last_saved = time.monotonic()

    def resume(like: Snapshot) -> Snapshot | None:
        return checkpoint.load(snapshots, like) if snapshots.is_dir() else None

    with _progress("training") as progress:
        training = train_policies(config, sources, progress=progress, resume=resume, save=save)
    checkpoint.save(folder / "policy", training.policies._asdict())
    told_training = results.describe_training(training)
    results.write_json(told, told_training)
    shutil.rmtree(snapshots, ignore_errors=True)
    return training.policies, told_training


def _load_policies(config: Config, folder: Path, seeds: int, classes: int) -> Policies:
    return Policies(**checkpoint.load(folder / "policy", policy_shapes(config, seeds, classes)._asdict()))


def _compare(config: Config, target: Embedded, splits: Sequence[Split], policies: Policies | None) -> Evaluation:
    with _progress("comparing") as progress:
        return compare_strategies(config, target, splits, policies, progress=progress)


def _finish(folder: Path, config: Config, evaluation: Evaluation, told: dict[str, Any]) -> None:
    """Writes the results, the figure and the page, and prints the table that closes a run."""
    summary = {**told, **results.summarise(config, evaluation)}
    results.write(folder, config, summary, evaluation)
    report.write(folder)
    read = report.read(folder)
    content = tables.strategy_table(read)
    shown = [i for i, name in enumerate(content.header) if name in CLOSING_COLUMNS]
    table = Table(*(content.header[i] for i in shown), title=folder.name, title_justify="left", box=box.SIMPLE)
    for number, row in enumerate(content.rows):
        table.add_row(*(row[i] for i in shown), style="bold" if number in content.bold else None)
    Console().print(table)
    print(tables.headline(read))
    print(f"{folder / 'report.html'}")


@contextmanager
def _progress(title: str) -> Iterator[Any]:
    """A bar on the terminal; a line now and then where there is none."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    began = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, rate="", note="compiling")

        def progress(done: int, total: int, note: str) -> None:
            rate = done / max(time.monotonic() - began, 1e-9)
            bar.update(task, completed=done, total=total, rate=f"{rate:.2f}/s", note=note)
            if not console.is_terminal and (done == total or done % max(1, total // 5) == 0):
                left = (total - done) / rate
                console.print(f"{title} {done}/{total}, {rate:.2f}/s, {left:.0f} s left, {note}", highlight=False)

        yield progress
