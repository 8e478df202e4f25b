"""What the commands do: read, train, compare, write; with progress, and so that an interrupted run can go on."""

import dataclasses
import runpy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxal import seeds
from jaxal.build import allowed_strategies, classifier_for, learners, resolved, without_learners
from jaxal.cli import listing, plan, resumable, run_folders
from jaxal.cli.flags import Card, Embed, Evaluate, List, Report, Request, Run
from jaxal.config import PARTS, Config, SettingError
from jaxal.data.dataset import DataError, Dataset, Embedded
from jaxal.data.splits import Split
from jaxal.encoders.latents import Read, open_dataset, read, with_noise
from jaxal.experiment import check_memory, data_fingerprint, labels_of_training, results_of
from jaxal.files import write_whole
from jaxal.policies import pretrained
from jaxal.prepare import prepare
from jaxal.presets import default
from jaxal.report import pages, provenance, terminal
from jaxal.report.asked import Asked, read_config
from jaxal.report.results import Results
from jaxal.seals import fingerprint
from jaxal.tasks import memory

PRETRAINED = Path("pretrained")  # stands for the policy that comes with the package
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
    elif isinstance(request, Card):
        print("\n".join(pretrained.named(request.file).described()))
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
        if memory.ran_out(error):
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
    if request.no_train:
        config = without_learners(config)
    if request.plan:
        print("\n".join(plan.describe(request)))
        return
    run_folders.look(request.out, request.resume)
    target = _open(request.dataset, config)
    names = (request.train_on or (request.dataset,)) if learners(config) else ()
    opened = [target if name == request.dataset else _open(name, config, beside=True) for name in names]  # read once
    prepared = prepare(config, target, opened)
    config = prepared.config
    images = _embedded(_noted(target, prepared.notices), config)
    data, splits = _with_noise(images, prepared.splits, config)
    own = [source is target for source in opened]
    sources = [
        data if is_own else _embedded(_noted(source, notices), config).embedded
        for source, is_own, notices in zip(opened, own, prepared.source_notices, strict=True)
    ]
    cuts = zip(*prepared.source_splits, strict=True)
    source_cuts = [splits if is_own else list(cut) for is_own, cut in zip(own, cuts, strict=True)]
    source_splits = list(zip(*source_cuts, strict=True))
    takes = check_memory(prepared, data, sources)
    asked = Asked(
        command,
        request.dataset,
        config,
        request.train_on,
        request.preset,
        plugins=tuple(map(str, request.plugins)),
        fingerprints=_fingerprints({request.dataset: data, **dict(zip(names, sources, strict=True))}),
        code=provenance.code(request.plugins),
    )
    with _folder(request, target.name, asked) as folder, resumable.resumable():
        terminal.tell(takes)
        policies, training = resumable.learn(config, sources, source_splits, folder) if sources else ({}, {})
        evaluation = resumable.compare(config, data, splits, policies, folder)
        results = results_of(
            config,
            evaluation,
            data,
            splits,
            trained_on=[source.dataset.name for source in sources],
            labels_counted=labels_of_training(source_splits[0]) if sources else {},
            training=training,
            reader=images.reader,
            command=read_config(folder).command,
        )
        _finish(folder, results)


def evaluate(request: Evaluate, command: str) -> None:
    """Compares the policies of a saved run, or the package's, on a data set."""
    if request.policy == PRETRAINED and not request.policy.exists():
        config = _overridden(default(), request)
        same = {name: getattr(request, name) for name in ("dataset", "out", "resume", "plugins")}
        return run(Run(no_train=True, **same, **{part: getattr(config, part) for part in PARTS}), command)
    saved = read_config(request.policy)
    saved_learned = _learned_by(saved, request.policy)
    config = resolved(_overridden(saved.config, request))
    if not set(saved_learned) & set(config.evaluation.strategies):
        raise ValueError(f"--strategies must hold {' or '.join(saved_learned)}, the policy to be evaluated")
    for name in set(learners(config)) - set(saved_learned):
        raise ValueError(f"--strategies holds {name}, for which {request.policy} has no policy; leave it out")
    seeds_asked, seeds_saved = config.evaluation.seeds, saved.config.evaluation.seeds
    if seeds_asked > seeds_saved:
        fact = f"is {seeds_asked}; it must be at most {seeds_saved}, the number of seeds that {request.policy} holds "
        raise SettingError("evaluation", "seeds", fact + "policies of")
    if not (request.policy / "policy").is_dir():
        raise ValueError(f"{request.policy} holds no policy; give the folder of a finished `jaxal run`")
    run_folders.look(request.out, request.resume)
    target = _open(request.dataset, config)
    prepared = prepare(config, target, [])
    config = prepared.config
    policies = resumable.load_policies(config, request.policy, seeds_saved, len(target.classes))
    policies = jax.tree.map(lambda x: x[:seeds_asked], policies)
    images = _embedded(_noted(target, prepared.notices), config)
    data, splits = _with_noise(images, prepared.splits, config)
    check_memory(prepared, data, [])
    fingerprints = _fingerprints({request.dataset: data})
    _tell_changed(request, saved, fingerprints)
    asked = Asked(
        command,
        request.dataset,
        config,
        saved.train_on,
        saved.preset,
        str(request.policy),
        tuple(map(str, request.plugins)),
        fingerprints | {"the policy": fingerprint(*jax.tree.leaves(policies))},
        provenance.code(request.plugins),
    )
    with (
        _folder(request, f"{request.policy.resolve().name}-on-{target.name}", asked) as folder,
        resumable.resumable(),
    ):
        evaluation = resumable.compare(config, data, splits, policies, folder)
        results = results_of(
            config,
            evaluation,
            data,
            splits,
            trained_on=saved.train_on or [saved.dataset],
            reader=images.reader,
            command=read_config(folder).command,
        )
        _finish(folder, results)


def _learned_by(saved: Asked, folder: Path) -> list[str]:
    """Which policies a saved run trained. ValueError: its settings name what there is not, which no flag can mend."""
    try:
        return learners(resolved(saved.config))
    except SettingError as error:
        remedy = "if that is a part of your own, give its file by --plugins"
        raise ValueError(f"{folder / 'config.json'}: {error}; {remedy}") from None


def _fingerprints(data: Mapping[str, Embedded]) -> dict[str, str]:
    return {f"data set {name}": data_fingerprint(each) for name, each in data.items()}


def _tell_changed(request: Evaluate, saved: Asked, fingerprints: Mapping[str, str]) -> None:
    """Where the policy was trained on a data set of this name that held something else: splits differ then."""
    for name, now in fingerprints.items():
        if saved.fingerprints.get(name, now) != now:
            terminal.notice(
                f"{name} is not what it was when {request.policy} was trained on it (or has other latents): rows that "
                "it was trained on may be among those that judge it"
            )


def make_report(request: Report) -> None:
    """Writes pages from run folders."""
    if not request.runs:
        raise ValueError("no run folder is given; give at least one, such as runs/NAME")
    if request.out is not None and any((request.out / name).exists() for name in ("config.json", "results.json")):
        raise ValueError(f"--out is {request.out}, which holds a run; give another folder")
    if len(request.runs) == 1:
        written = pages.write_again(request.runs[0], request.out)
    elif request.out is None:
        raise ValueError("--out is missing; a page over several runs needs a folder of its own")
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
    opened = _introduced(open_dataset(request.dataset, request.inputs))
    found = read(opened, request.inputs)
    dataset, latents = found.embedded.dataset, found.embedded.latents
    _tell(dataset, opened)
    if found.reader is None:
        raise DataError(f"{dataset.name}: holds features, not images, so there is nothing to embed")
    optional = {"groups": dataset.groups, "split": dataset.official, "names": dataset.names}
    arrays: dict[str, Any] = {name: array for name, array in optional.items() if array is not None}
    arrays |= {"X": latents, "y": dataset.labels, "class_names": np.array(dataset.classes)}
    write_whole(request.out, lambda file: np.savez(file, **arrays))
    print(request.out)


def _open(source: str, config: Config, *, beside: bool = False) -> Dataset:
    """A data set before its images are embedded; what there is to say of it is said before anything can go wrong."""
    return _introduced(open_dataset(source, config.inputs, beside=beside))


def _introduced(dataset: Dataset) -> Dataset:
    """A data set that has just been read, after what it holds has been told, and then what is odd about it."""
    holds, *notices = dataset.notices
    terminal.tell(f"{dataset.name}: {holds}")
    _noted(dataclasses.replace(dataset, notices=()), notices)
    return dataset


def _noted(dataset: Dataset, notices: Sequence[str]) -> Dataset:
    """A data set with further notices, which are told."""
    noted = dataset.noting(*notices)
    _tell(noted, dataset)
    return noted


def _embedded(dataset: Dataset, config: Config) -> Read:
    """A data set with its latents."""
    found = read(dataset, config.inputs, classifier_for(config).needs.images)
    _tell(found.embedded.dataset, dataset)
    return found


def _with_noise(images: Read, splits: list[Split], config: Config) -> tuple[Embedded, list[Split]]:
    """The data set that is compared on, its pools noisy where the config says so, and its splits."""
    noisy, moved = with_noise(images, splits, config.inputs, config.evaluation.numbers)
    _tell(noisy.dataset, images.embedded.dataset)
    return noisy, moved


def _folder(request: Run | Evaluate, name: str, asked: Asked) -> AbstractContextManager[Path]:
    """The folder that the command writes: a new one, or the one that it goes on with; no other process may."""
    return (run_folders.to_resume if request.resume else run_folders.new)(request.out, name, asked)


def _tell(dataset: Dataset, before: Dataset) -> None:
    """The notices of a data set, less those that it had before."""
    for notice in dataset.notices[len(before.notices) :]:
        terminal.notice(f"{dataset.name}: {notice}")


def _overridden(config: Config, request: Evaluate) -> Config:
    given = {name: value for name, value in vars(request).items() if value is not None}
    environment = {n: given[n] for n in ("budget", "batch", "batch_selection", "classifier") if n in given}
    evaluation = {name: given[name] for name in ("seeds", "starts", "strategies") if name in given}
    changed = dataclasses.replace(
        config,
        inputs=request.inputs,
        probe=request.probe,
        finetune=request.finetune,
        environment=dataclasses.replace(config.environment, **environment),
    )
    saved = allowed_strategies(changed, config.evaluation.strategies)  # the classifier may be another one now
    settings = dataclasses.replace(config.evaluation, **{"strategies": saved, **evaluation})
    return dataclasses.replace(changed, evaluation=settings)


def _finish(folder: Path, results: Results) -> None:
    """Writes the results, the figure and the page, and prints the table that closes a run."""
    page = results.save(folder)
    resumable.clear(folder)
    terminal.show(folder.name, results.summary)
    print(page)
