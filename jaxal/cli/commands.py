"""What the commands do: read, train, compare, write; with progress, and so that an interrupted run can go on."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxal.build import check_room, check_settings
from jaxal.cli import plan, results, resumable, run_folders, terminal
from jaxal.cli.flags import Embed, Evaluate, Report, Run
from jaxal.config import Config, InputConfig, from_dict
from jaxal.data.dataset import DataError, Dataset, Embedded
from jaxal.data.files import write_whole
from jaxal.data.splits import PARTS, Split, check_parts, split_all
from jaxal.encoders.latents import Read, open_dataset, read, with_noise
from jaxal.experiment import Evaluation
from jaxal.report import pages
from jaxal.tasks.banks import make_sources

OUT_OF_MEMORY = (
    "out of memory; take less at once: with --classifier finetune smaller --finetune.episodes-at-once, .batch-size or "
    ".block (--plan tells what they need), else smaller --seeds, --starts or --train.tasks"
)
SOURCE_PARTS = ("source_pool", "state", "reward", "validation")  # of a data set that is only trained on


def execute(request: Run | Evaluate | Report | Embed, command: str) -> None:
    """Does what was asked for; `command` is how to ask for it again.

    Raises:
      ValueError, OSError: one line, for whatever was given wrongly; nothing has been written then.
      KeyboardInterrupt: with a line on how to go on, where that is possible.
    """
    try:
        if isinstance(request, Run):
            run(request, command)
        elif isinstance(request, Evaluate):
            evaluate(request, command)
        elif isinstance(request, Embed):
            embed(request)
        else:
            make_report(request)
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise ValueError(OUT_OF_MEMORY) from None
        raise


def run(request: Run, command: str) -> None:
    """Trains, compares and writes a run folder."""
    config = request.config
    check_settings(config)
    if request.plan:
        print("\n".join(plan.describe(request)))
        return
    target, splits = _read_and_split(request.dataset, config)
    named = [
        target if name == request.dataset else _read(name, config.inputs, config.finetunes).embedded
        for name in request.train_on
    ]
    sources = named or [target]
    # a data set that is both trained on and tested keeps one split, so that no tested row is trained on
    cuts = [splits if s is target else split_all(config, s.dataset, train_only=True) for s in sources]
    source_splits = list(zip(*cuts, strict=True))
    for source, cut in ((target, splits), *zip(sources, cuts, strict=True)):
        check_parts(source.dataset, cut[0], PARTS if source is target else SOURCE_PARTS)
    check_room(config, target.dataset.name, len(target.dataset.classes), len(splits[0].pool))
    learned = {"ddqn", "linear_cem"} & set(config.evaluation.strategies)
    made = make_sources(config, sources, source_splits) if learned else None
    if made is not None:
        smallest = int(np.min(np.sum(made.bank.pool_labels >= 0, -1)))
        check_room(config, "the smallest training task", made.bank.class_mask.shape[-1], smallest)
    asked = {
        "command": command,
        "dataset": request.dataset,
        "train_on": list(request.train_on),
        "preset": request.preset,
        "config": dataclasses.asdict(config),
    }
    folder = _folder(request, target.dataset.name, asked)
    with resumable.resumable():
        policies, training = (None, {}) if made is None else resumable.learn(config, made, folder)
        made = None  # its images leave the device, where the comparison's own are about to stand
        evaluation = resumable.compare(config, target, splits, policies, folder)
        _finish(
            folder,
            config,
            evaluation,
            {
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
    asked = run_folders.read_config(request.policy)
    saved = from_dict(asked["config"])
    config = _overridden(saved, request)
    check_settings(config)
    if "ddqn" not in config.evaluation.strategies:
        raise ValueError("--strategies must hold ddqn, the policy to be evaluated")
    if "linear_cem" in config.evaluation.strategies and "linear_cem" not in saved.evaluation.strategies:
        raise ValueError(f"--strategies holds linear_cem, for which {request.policy} has no policy; leave it out")
    if config.evaluation.seeds > saved.evaluation.seeds:
        raise ValueError(
            f"--seeds is {config.evaluation.seeds}; it must be at most {saved.evaluation.seeds}, the number of seeds "
            f"that {request.policy} holds policies of"
        )
    if not (request.policy / "policy").is_dir():
        raise ValueError(f"{request.policy} holds no policy; give the folder of a finished `jaxal run`")
    target, splits = _read_and_split(request.dataset, config)
    check_parts(target.dataset, splits[0], PARTS)
    check_room(config, target.dataset.name, len(target.dataset.classes), len(splits[0].pool))
    policies = resumable.load_policies(config, request.policy, saved.evaluation.seeds, len(target.dataset.classes))
    policies = jax.tree.map(lambda x: x[: config.evaluation.seeds], policies)
    trained_on = asked["train_on"] or [asked["dataset"]]
    asked |= {"command": command, "dataset": request.dataset, "config": dataclasses.asdict(config)}
    asked["policy"] = str(request.policy)
    folder = _folder(request, f"{request.policy.resolve().name}-on-{target.dataset.name}", asked)
    with resumable.resumable():
        evaluation = resumable.compare(config, target, splits, policies, folder)
        _finish(
            folder,
            config,
            evaluation,
            {
                "dataset": results.describe_data(target.dataset, splits[0], trained_on),
                "labels_counted": {"budget": config.environment.budget},
                "training": {},
            },
        )


def make_report(request: Report) -> None:
    """Writes pages from run folders."""
    if not request.runs:
        raise ValueError("no run folder is given; give at least one, such as runs/NAME")
    if len(request.runs) == 1 and request.out is None:
        written = pages.write(request.runs[0])
    elif request.out is None:
        raise ValueError("--out is missing; a page over several runs needs a folder of its own")
    elif (request.out / "config.json").exists() or (request.out / "results.json").exists():
        raise ValueError(f"--out is {request.out}, which holds a run; give another folder")
    else:
        written = pages.compare_runs(request.runs, request.out)
    for path in written:
        print(path)


def embed(request: Embed) -> None:
    """Writes the latents of a data set of images to a .npz file that every command reads."""
    if request.out.suffix != ".npz":
        raise ValueError(f"--out is {request.out}; it must end in .npz")
    if request.inputs.noise:
        raise ValueError("--noise is for the pools of `jaxal run`; `jaxal embed` makes clean latents")
    if request.out.is_dir():
        raise ValueError(f"--out is {request.out}, a folder; give a file")
    request.out.parent.mkdir(parents=True, exist_ok=True)
    (dataset, latents, _), reader = _read(request.dataset, request.inputs)
    if reader is None:
        raise DataError(f"{dataset.name}: holds features, not images, so there is nothing to embed")
    optional = {"groups": dataset.groups, "split": dataset.official}
    arrays: dict[str, Any] = {name: array for name, array in optional.items() if array is not None}
    arrays |= {"X": latents, "y": dataset.labels, "class_names": np.array(dataset.classes)}
    write_whole(request.out, lambda file: np.savez(file, **arrays))
    print(request.out)


def _read_and_split(source: str, config: Config) -> tuple[Embedded, list[Split]]:
    """The data set that is compared on, and the split of each seed, its pools noisy where the config says so."""
    images = _read(source, config.inputs, config.finetunes)
    splits = split_all(config, images.embedded.dataset)
    if config.inputs.noise:
        noisy, splits = with_noise(images, splits, config.inputs, config.evaluation.first_seed)
        _tell(noisy.dataset, images.embedded.dataset)
        return noisy, splits
    return images.embedded, splits


def _folder(request: Run | Evaluate, name: str, asked: dict[str, Any]) -> Path:
    """The folder that the command writes: a new one, or the one that it goes on with."""
    if request.resume:
        return run_folders.to_resume(request.out, name, asked)
    folder = run_folders.new(request.out, name)
    run_folders.begin(folder, asked)
    return folder


def _read(source: str, inputs: InputConfig, keep_images: bool = False) -> Read:
    """`latents.read`; what there is to say of the data is said at once, before anything can go wrong with it."""
    dataset = open_dataset(source, inputs)
    _tell(dataset)
    found = read(dataset, inputs, keep_images)
    _tell(found.embedded.dataset, dataset)
    return found


def _tell(dataset: Dataset, before: Dataset | None = None) -> None:
    """The notices of a data set, less those that it had before."""
    for notice in dataset.notices[len(before.notices) if before else 0 :]:
        line = f"{dataset.name}: {notice}"
        terminal.console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def _overridden(config: Config, request: Evaluate) -> Config:
    given = {name: value for name, value in vars(request).items() if value is not None}
    environment = {n: given[n] for n in ("budget", "batch", "batch_selection", "classifier") if n in given}
    evaluation = {name: given[name] for name in ("seeds", "starts", "strategies") if name in given}
    return dataclasses.replace(
        config,
        inputs=request.inputs,
        probe=request.probe,
        finetune=request.finetune,
        environment=dataclasses.replace(config.environment, **environment),
        evaluation=dataclasses.replace(config.evaluation, **evaluation),
    )


def _finish(folder: Path, config: Config, evaluation: Evaluation, told: dict[str, Any]) -> None:
    """Writes the results, the figure and the page, and prints the table that closes a run."""
    command = run_folders.read_config(folder)["command"]
    summary = {"command": command, **told, "environment": results.describe_environment()}
    summary |= results.summarise(config, evaluation)
    results.write(folder, config, summary, evaluation)
    resumable.clear(folder)
    pages.write(folder)
    terminal.show(folder.name, pages.read(folder))
    print(folder / "report.html")
