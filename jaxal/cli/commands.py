"""What the commands do: read, train, compare, write; with progress, and so that an interrupted run can go on."""

import dataclasses
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxal import seeds
from jaxal.build import check_room, classifier_for, resolved
from jaxal.cli import listing, plan, resumable, run_folders
from jaxal.cli.flags import Embed, Evaluate, List, Report, Request, Run
from jaxal.config import Config, InputsConfig, SettingError
from jaxal.data.dataset import DataError, Dataset, Embedded
from jaxal.data.splits import PARTS, SOURCE_PARTS, Split, check_parts, split_all
from jaxal.encoders.latents import Read, open_dataset, read, with_noise
from jaxal.experiment import labels_of_training, learners, results_of, sources_for
from jaxal.files import write_whole
from jaxal.report import pages, terminal
from jaxal.report.asked import Asked, begin, read_config
from jaxal.report.results import Results

FULL = ("RESOURCE_EXHAUSTED", "Out of memory")  # how XLA tells it, on GPUs and on CPUs
OUT_OF_MEMORY = (
    "out of memory; take less at once: with --classifier finetune smaller --finetune.episodes-at-once, .minibatch or "
    ".block (--plan says what they need), else smaller --seeds, --starts or --train.tasks"
)


def execute(request: Request, command: str) -> None:
    """Does what was asked for; `command` is how to ask for it again.

    Raises:
      ValueError, SettingError, OSError: one line, for whatever was given wrongly; nothing has been written then.
      KeyboardInterrupt: with a line on how to go on, where that is possible.
    """
    if isinstance(request, Report):
        make_report(request)
    elif isinstance(request, List):
        _run_plugins(request.plugins)
        print("\n".join(listing.lines(request.kind)))
    else:
        _compute(request, command)


def _compute(request: Run | Evaluate | Embed, command: str) -> None:
    """What needs a device, with JAX as jaxal works with it."""
    for setting in seeds.changed():
        terminal.notice(f"{setting} is ignored, so that results are the same wherever they are computed")
    try:
        with seeds.pinned():
            _run_plugins(request.plugins)
            if isinstance(request, Run):
                run(request, command)
            elif isinstance(request, Evaluate):
                evaluate(request, command)
            else:
                embed(request)
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        if isinstance(error, MemoryError) or any(words in str(error) for words in FULL):
            raise ValueError(OUT_OF_MEMORY) from None
        raise


def _run_plugins(plugins: Sequence[Path]) -> None:
    """Runs the user's own Python files, which register parts."""
    for path in plugins:
        if not path.is_file():
            raise ValueError(f"{path}: no such file; --plugins takes Python files")
        runpy.run_path(str(path), run_name=path.stem)


def run(request: Run, command: str) -> None:
    """Trains, compares and writes a run folder."""
    config = resolved(request.config)
    if request.plan:
        print("\n".join(plan.describe(request)))
        return
    target, splits = _read_and_split(request.dataset, config)
    named = [
        target if name == request.dataset else _read(name, config).embedded  # read once
        for name in request.train_on
    ]
    sources = named or [target]
    # a data set that is both trained on and tested keeps one split, so that no tested row is trained on
    cuts = [splits if s is target else split_all(config, s.dataset, train_only=True) for s in sources]
    source_splits = list(zip(*cuts, strict=True))
    for source, cut in ((target, splits), *zip(sources, cuts, strict=True)):
        check_parts(source.dataset, cut[0], PARTS if source is target else SOURCE_PARTS)
    check_room(config, target.dataset.name, len(target.dataset.classes), len(splits[0].pool))
    made = sources_for(config, sources, source_splits) if learners(config) else None
    if made is not None:
        smallest = int(np.min(np.sum(made.bank.pool_labels >= 0, -1)))
        check_room(config, "the smallest training task", made.bank.class_mask.shape[-1], smallest)
    plugins = tuple(map(str, request.plugins))
    asked = Asked(command, request.dataset, config, request.train_on, request.preset, plugins=plugins)
    folder = _folder(request, target.dataset.name, asked)
    with resumable.resumable():
        policies, training = ({}, {}) if made is None else resumable.learn(config, made, folder)
        learns = made is not None
        made = None  # its images leave the device, where the comparison's own are about to stand
        evaluation = resumable.compare(config, target, splits, policies, folder)
        trained_on = [source.dataset.name for source in sources] if learns else []
        results = results_of(
            config,
            evaluation,
            target,
            splits,
            trained_on=trained_on,
            labels_counted=labels_of_training(source_splits[0]) if learns else {},
            training=training,
            command=read_config(folder).command,
        )
        _finish(folder, results)


def evaluate(request: Evaluate, command: str) -> None:
    """Compares the policies of a saved run on a data set."""
    saved = read_config(request.policy)
    config = resolved(_overridden(saved.config, request))
    saved_learned = learners(resolved(saved.config))
    if "ddqn" not in config.evaluation.strategies:
        raise ValueError("--strategies must hold ddqn, the policy to be evaluated")
    for name in set(learners(config)) - set(saved_learned):
        raise ValueError(f"--strategies holds {name}, for which {request.policy} has no policy; leave it out")
    seeds, policies_saved = config.evaluation.seeds, saved.config.evaluation.seeds
    if seeds > policies_saved:
        fact = f"is {seeds}; it must be at most {policies_saved}, the number of seeds that {request.policy} holds "
        raise SettingError("evaluation", "seeds", fact + "policies of")
    if not (request.policy / "policy").is_dir():
        raise ValueError(f"{request.policy} holds no policy; give the folder of a finished `jaxal run`")
    target, splits = _read_and_split(request.dataset, config)
    check_parts(target.dataset, splits[0], PARTS)
    check_room(config, target.dataset.name, len(target.dataset.classes), len(splits[0].pool))
    policies = resumable.load_policies(config, request.policy, policies_saved, len(target.dataset.classes))
    policies = jax.tree.map(lambda x: x[:seeds], policies)
    asked = Asked(command, request.dataset, config, saved.train_on, saved.preset, str(request.policy))
    folder = _folder(request, f"{request.policy.resolve().name}-on-{target.dataset.name}", asked)
    with resumable.resumable():
        evaluation = resumable.compare(config, target, splits, policies, folder)
        results = results_of(
            config,
            evaluation,
            target,
            splits,
            trained_on=saved.train_on or [saved.dataset],
            command=read_config(folder).command,
        )
        _finish(folder, results)


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
    (dataset, latents, _), reader = _embedded(request.dataset, request.inputs)
    if reader is None:
        raise DataError(f"{dataset.name}: holds features, not images, so there is nothing to embed")
    optional = {"groups": dataset.groups, "split": dataset.official}
    arrays: dict[str, Any] = {name: array for name, array in optional.items() if array is not None}
    arrays |= {"X": latents, "y": dataset.labels, "class_names": np.array(dataset.classes)}
    write_whole(request.out, lambda file: np.savez(file, **arrays))
    print(request.out)


def _read_and_split(source: str, config: Config) -> tuple[Embedded, list[Split]]:
    """The data set that is compared on, and the split of each seed, its pools noisy where the config says so."""
    images = _read(source, config)
    splits = split_all(config, images.embedded.dataset)
    if config.inputs.noise:
        noisy, splits = with_noise(images, splits, config.inputs, config.evaluation.numbers)
        _tell(noisy.dataset, images.embedded.dataset)
        return noisy, splits
    return images.embedded, splits


def _folder(request: Run | Evaluate, name: str, asked: Asked) -> Path:
    """The folder that the command writes: a new one, or the one that it goes on with."""
    if request.resume:
        return run_folders.to_resume(request.out, name, asked)
    folder = run_folders.new(request.out, name)
    begin(folder, asked)
    return folder


def _read(source: str, config: Config) -> Read:
    """`latents.read`; what there is to say of the data is said at once, before anything can go wrong with it."""
    return _embedded(source, config.inputs, classifier_for(config).needs.images)


def _embedded(source: str, inputs: InputsConfig, keep_images: bool = False) -> Read:
    dataset = open_dataset(source, inputs)
    _tell(dataset)
    found = read(dataset, inputs, keep_images)
    _tell(found.embedded.dataset, dataset)
    return found


def _tell(dataset: Dataset, before: Dataset | None = None) -> None:
    """The notices of a data set, less those that it had before."""
    for notice in dataset.notices[len(before.notices) if before else 0 :]:
        terminal.notice(f"{dataset.name}: {notice}")


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


def _finish(folder: Path, results: Results) -> None:
    """Writes the results, the figure and the page, and prints the table that closes a run."""
    page = results.save(folder)
    resumable.clear(folder)
    terminal.show(folder.name, results.summary)
    print(page)
