"""What `jaxal next` and `jaxal label ...` do, as functions of what was asked for; each returns the lines to be printed.

Every one of them raises ValueError (DataError is one), SettingError or OSError with a message of one line; nothing that
was acknowledged before is lost then, and nothing half done is left. `chooser_of` finds strategies.
"""

import contextlib
import getpass
import json
import tempfile
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from jaxal.config import Reading, SettingError
from jaxal.data.dataset import DataError
from jaxal.data.wording import few
from jaxal.labelling import answers, exporting, label_studio, predicting, sheet, starting, tables
from jaxal.labelling.asking import ask
from jaxal.labelling.choosing import Chooser, ChooserOf, chooser_for
from jaxal.labelling.project import Entry, Project
from jaxal.labelling.state import Question, State
from jaxal.labelling.status import status as standing
from jaxal.presets import STRATEGY

Format = Literal["csv", "html", "label-studio"]
NAMES = {"csv": "next.csv", "html": "next.html", "label-studio": "next.json"}


def next_batch(
    images: Path,
    labels: Path | None,
    n: int,
    *,
    reading: Reading,
    classes: Sequence[str] = (),
    strategy: str = STRATEGY,
    format: Format = "csv",
    out: Path | None = None,
    image_prefix: str = "",
    chooser_of: ChooserOf = chooser_for,
) -> list[str]:
    """`jaxal next`: the n images of a folder to label next, given a table of labels, without a project.

    It is a project for as long as it takes, without test images; latents are kept in the cache of `reading`.
    """
    _at_least_one(n)
    chooser = chooser_of(strategy)
    with tempfile.TemporaryDirectory(prefix="jaxal-next-") as folder:
        notices = starting.start(
            Path(folder),
            image_folder=images,
            table=None,
            classes=classes,
            reading=reading,
            strategy=strategy,
            test_share=0.0,
            expire_hours=1.0,
            seed=0,
            who=person(""),
            cache=reading.cache,
        )
        with Project(Path(folder)) as project:
            if labels is not None:
                told = tables.read_answers(labels, project.state, person(""))
                answers.record(project, told, new_classes=not classes)
            file = out or Path(NAMES[format])
            deliver = partial(_write, project, chooser.name, format, file, image_prefix)
            questions = ask(project, chooser, n, person(""), deliver)
            return [*notices, *_said(questions, file)]


def start(
    project: Path,
    *,
    images: Path | None,
    reading: Reading,
    table: Path | None = None,
    classes: Sequence[str] = (),
    strategy: str = STRATEGY,
    test_share: float = 0.1,
    expire_hours: float = 72.0,
    seed: int = 0,
    who: str = "",
    chooser_of: ChooserOf = chooser_for,
) -> list[str]:
    """`jaxal label start`: makes a project; see `starting.start`."""
    chooser_of(strategy)
    notices = starting.start(
        project,
        image_folder=images,
        table=table,
        classes=classes,
        reading=reading,
        strategy=strategy,
        test_share=test_share,
        expire_hours=expire_hours,
        seed=seed,
        who=person(who),
    )
    with Project(project) as opened:
        state = opened.state
        aside = sum(map(state.is_reserved, state.live))
        told = f"{project}: {len(state.files):,} images, {aside:,} of them set aside by lot for testing"
        return [*notices, f"{told}; classes: {few(state.classes) or 'those that are met'}"]


def look_again(project: Path, *, remove: Sequence[str] = (), who: str = "") -> list[str]:
    """`jaxal label images`: takes in the images that were added to the folder, and takes `remove` out."""
    with Project(project) as opened:
        if remove:
            names = tables.Names(opened.state)
            files = [names.find(tables.Cell(name, "--remove")) for name in remove]
            opened.write(lambda state: [Entry(person(who), "images_removed", {"files": files})])
            return [f"removed: {few(files)}"]
        new, notices = starting.look_again(opened, person(who))
        return [*notices, f"{len(new):,} new images{': ' + few(new) if new else ''}"]


def change_classes(
    project: Path, *, add: Sequence[str] = (), rename: tuple[str, str] | None = None, who: str = ""
) -> list[str]:
    """`jaxal label classes`: new classes, or a new name for one; the labels given so far go with it."""
    with Project(project) as opened:

        def decide(state: State) -> list[Entry]:
            names = list(state.classes)
            entries = []
            for name in add:
                names.append(answers.check_class(names, name, "--add"))
                entries.append(Entry(person(who), "class_added", {"name": name}))
            if rename is not None:
                old, new = rename
                if old not in names:
                    raise DataError(f"--rename: {old!r} is no class; there are {few(names) or 'none'}")
                answers.check_class(names, new, "--rename")
                entries.append(Entry(person(who), "class_renamed", {"name": old, "to": new}))
            return entries

        opened.write(decide)
        return [f"classes: {few(opened.state.classes) or 'none'}"]


def next_(
    project: Path,
    n: int,
    *,
    strategy: str = "",
    who: str = "",
    format: Format = "csv",
    out: Path | None = None,
    image_prefix: str = "",
    chooser_of: ChooserOf = chooser_for,
) -> list[str]:
    """`jaxal label next`: asks about n images, and writes them to a table, a sheet or Label Studio tasks."""
    _at_least_one(n)
    with Project(project) as opened:
        file = out or project / NAMES[format]
        chooser = _chooser(opened, strategy, chooser_of)
        deliver = partial(_write, opened, chooser.name, format, file, image_prefix)
        questions = ask(opened, chooser, n, person(who), deliver)
        return _said(questions, file, len(opened.state.pending))


def add(project: Path, files: Sequence[Path], *, who: str = "", new_classes: bool = False) -> list[str]:
    """`jaxal label add`: takes in answers, from tables (.csv) or Label Studio's export (.json).

    Each file is taken whole or not at all; the same file again changes nothing.
    """
    if not files:
        raise ValueError("no file of answers is given; give a .csv table or a .json export of Label Studio")
    with Project(project) as opened:
        lines = []
        for path in files:
            state = opened.refresh()
            if path.suffix.lower() == ".json":
                told = label_studio.read_export(path, state)
            else:
                told = tables.read_answers(path, state, person(who))
            lines.append(f"{path}: {answers.record(opened, told, new_classes=new_classes)}")
        lines += [f"disputed: {dispute.file}" for dispute in answers.disputes(opened.state)]
        return lines


def status(project: Path, *, chooser_of: ChooserOf = chooser_for) -> list[str]:
    """`jaxal label status`: where the project stands, and whether to go on."""
    with Project(project) as opened:
        return standing(opened, _chooser(opened, "", chooser_of)).lines()


def export(project: Path, out: Path, *, image_prefix: str = "") -> list[str]:
    """`jaxal label export`: the answers, as a table (.csv), for Label Studio (.json) or for `jaxal run` (.npz)."""
    with Project(project) as opened:
        state = opened.state
        if out.suffix == ".csv":
            exporting.write_text(out, tables.answers_csv(state))
        elif out.suffix == ".json":
            prefix = image_prefix or label_studio.prefix_of(state.settings.images)
            exporting.write_text(out, json.dumps(label_studio.export(state, prefix), ensure_ascii=False, indent=1))
        elif out.suffix == ".npz":
            exporting.write_npz(out, opened)
        else:
            right = "it must end in .csv (table), .json (Label Studio) or .npz (`jaxal run`)"
            raise SettingError("", "out", f"is {out}; {right}")
    return [str(out)]


def predict(project: Path, out: Path, *, images: Path | None = None, chooser_of: ChooserOf = chooser_for) -> list[str]:
    """`jaxal label predict`: calibrated probabilities of new images, or of the project's own without a label.

    Writes a table to `out` (.csv) and, beside it, the classifier (.npz); see `predicting`.
    """
    if out.suffix != ".csv":
        raise SettingError("", "out", f"is {out}; it must end in .csv")
    with Project(project) as opened:
        return predicting.predict(opened, out, _chooser(opened, "", chooser_of), images)


def serve(
    project: Path,
    *,
    strategy: str = "",
    host: str = "127.0.0.1",
    port: int = 8600,
    token: str = "",
    batch: int = 5,
    who: str = "",
    chooser_of: ChooserOf = chooser_for,
) -> list[str]:
    """`jaxal label serve`: the page to label on, until it is interrupted; prints its address."""
    with _extra():
        from jaxal.labelling import server, web

    with Project(project) as opened:
        chooser = _chooser(opened, strategy, chooser_of)
        web.run(lambda access: server.make_app(opened, chooser, batch, access, person(who)), host, port, token)
    return [f"stopped; the answers are in {project}"]


def backend(
    project: Path,
    *,
    strategy: str = "",
    host: str = "127.0.0.1",
    port: int = 9090,
    token: str = "",
    who: str = "",
    chooser_of: ChooserOf = chooser_for,
) -> list[str]:
    """`jaxal label backend`: Label Studio's ML backend, until it is interrupted; prints its address."""
    with _extra():
        from jaxal.labelling import backend as application
        from jaxal.labelling import web

    with Project(project) as opened:
        chooser = _chooser(opened, strategy, chooser_of)
        make = lambda access: application.make_app(opened, chooser, access, person(who))
        web.run(make, host, port, token, application.HINT)
    return [f"stopped; the answers are in {project}"]


@contextlib.contextmanager
def _extra() -> Generator[None]:
    """Where what serving needs is imported; it may not be installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = str(error.name).split(".")[0]
        raise ValueError(f"{package} is not installed; to serve: pip install 'jaxal[label]'") from None


def person(who: str) -> str:
    """Who answers where nobody is named: whoever is logged in."""
    try:
        return answers.check_person(who or getpass.getuser(), "who")
    except (OSError, KeyError):  # an account without a name, in a container
        return "somebody"


def _chooser(project: Project, strategy: str, chooser_of: ChooserOf) -> Chooser:
    """That of a strategy, or of the one that the project was started with."""
    return chooser_of(strategy or project.state.settings.strategy)


def _at_least_one(n: int) -> None:
    if n < 1:
        raise SettingError("", "n", f"is {n}; it must be 1 or more")


def _write(
    project: Project,
    policy: str,
    format: Format,
    out: Path,
    image_prefix: str,
    questions: Sequence[Question],
    version: str,
) -> None:
    """A batch into a file."""
    if format == "html":
        text = sheet.render(project, questions, policy)
    elif format == "label-studio":
        prefix = image_prefix or label_studio.prefix_of(project.state.settings.images)
        text = json.dumps(label_studio.tasks(questions, version, prefix), ensure_ascii=False)
    else:
        text = tables.questions_csv(questions)
    exporting.write_text(out, text)


def _said(questions: Sequence[Question], out: Path, pending: int = 0) -> list[str]:
    """What is printed of a batch: the images in order, and the file."""
    if not questions:
        left = f"; {pending:,} are asked and not answered yet" if pending else ""
        return [f"nothing is left to ask{left}"]
    width = max(len(question.file) for question in questions)
    guess = lambda q: f"{q.predicted} {q.probability:.0%}" if q.predicted else ""
    return [*(f"{q.file:{width}}  {guess(q):24}  {tables.reason(q)}".rstrip() for q in questions), str(out)]
