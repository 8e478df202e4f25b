"""How images come into a project: at its start, and later."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from jaxal.config import Reading, SettingError
from jaxal.data.dataset import DataError
from jaxal.data.images import digest
from jaxal.labelling import images, log
from jaxal.labelling.answers import check_class
from jaxal.labelling.project import Entry, Project
from jaxal.labelling.state import State


class Added(NamedTuple):
    """Images that came in."""

    body: dict[str, Any]  # of the event
    classes: list[str]  # that their table names
    notices: list[str]


def start(
    folder: Path,
    *,
    image_folder: Path | None,
    table: Path | None,
    classes: Sequence[str],
    reading: Reading,
    strategy: str,
    test_share: float,
    expire_hours: float,
    seed: int,
    who: str,
    cache: Path | None = None,
) -> list[str]:
    """Makes a project of the images in a folder, or of the rows of a table, or of the images that a table has rows for.

    Interrupted while it embeds, it goes on from there when it is started again. `cache`: where latents are kept, by
    default in the project's folder. Returns notices.

    Raises:
      ValueError: one line, for whatever is wrong; there is no project then.
    """
    if not 0 <= test_share < 1:
        raise SettingError("", "test_share", f"is {test_share}; it must be at least 0 and below 1")
    if not expire_hours > 0:
        raise SettingError("", "expire_hours", f"is {expire_hours}; it must be greater than 0")
    if image_folder is not None and folder.resolve().is_relative_to(image_folder.resolve()):
        raise DataError(f"{folder}: inside the folder of images; give a folder for the project beside it")
    if (folder / log.NAME).exists():
        raise DataError(f"{folder}: a labelling project already; go on with `jaxal label next {folder}`")
    if reading.weights and Path(reading.weights).is_file():
        reading = replace(reading, weights=str(Path(reading.weights).resolve()))
    settings = {
        "images": str(image_folder.resolve()) if image_folder else "",
        "table": str(table.resolve()) if table else "",
        "reading": {} if table else asdict(reading),
        "strategy": str(Path(strategy).resolve()) if Path(strategy).is_dir() else strategy,
        "test_share": test_share,
        "expire_hours": expire_hours,
        "seed": seed,
    }
    cache = (cache or folder / images.LATENTS).resolve()
    added = _from_table(table, image_folder, cache) if table else _from_folder(image_folder, State(), reading, cache)
    if not added.body["files"]:
        raise DataError(f"{image_folder or table}: no images that can be used; {'; '.join(added.notices)}")
    names: list[str] = []
    for name in classes or added.classes:
        names.append(check_class(names, name, "classes"))
    events = [("started", settings), *(("class_added", {"name": name}) for name in names)]
    log.create(folder, who, [*events, ("images_added", added.body)])
    return added.notices


def look_again(project: Project, who: str) -> tuple[list[str], list[str]]:
    """Takes in the images that have been added to the folder since: their paths, and notices.

    Raises:
      ValueError: one line, for a project of a table, or images that cannot be embedded.
    """
    state = project.refresh()
    if state.settings.table:
        raise DataError(f"{project.folder}: a project of the rows of {state.settings.table}, which stay what they are")
    reading = Reading(**state.settings.reading)
    if project.image_folder is not None:
        _embed_missing(project.image_folder, state, reading, project.cache)
    added = _from_folder(project.image_folder, state, reading, project.cache)

    def decide(state: State) -> list[Entry]:
        if any(file in state.place and state.place[file] not in state.removed for file in added.body["files"]):
            raise DataError(f"{project.folder}: somebody else has added the same images meanwhile; look again")
        return [Entry(who, "images_added", added.body)] if added.body["files"] else []

    project.write(decide)
    return added.body["files"], added.notices


def _from_folder(folder: Path | None, state: State, reading: Reading, cache: Path) -> Added:
    if folder is None:
        raise SettingError("", "images", "is missing; a folder of images is expected, or else a --table of latents")
    found = images.find(folder, reading, state)
    latents, notices = "", found.notices
    if found.files:
        array, told = images.embed_images(found.images, reading, cache)
        path, notices = Path(cast(Any, array).filename), [*notices, *told]
        latents = str(path) if cache.name != images.LATENTS else path.name
    body = {
        "files": found.files,
        "digests": found.digests,
        "groups": found.groups,
        "latents": latents,
        "scales": found.scales,
    }
    return Added(body, [], notices)


def _from_table(table: Path, folder: Path | None, cache: Path) -> Added:
    rows = images.read_table(table)
    files, latents, groups, notices, scales = rows.files, rows.latents, rows.groups, [], {}
    if folder is None:
        digests = [digest(np.ascontiguousarray(row).tobytes()) for row in latents]
    else:
        found = images.find(folder, Reading())
        seen = dict(zip(found.files, found.digests, strict=True))
        absent = [file for file in files if file not in seen]
        if absent:
            raise DataError(f"{table}: files holds {absent[0]!r}, and {folder} has no such image, or it is a copy")
        digests = [seen[file] for file in files]
        notices, scales = found.notices, found.scales
    name = images.save_rows(latents, cache)
    body = {"files": files, "digests": digests, "groups": groups, "latents": name, "scales": scales}
    return Added(body, rows.classes, notices)


def _embed_missing(folder: Path, state: State, reading: Reading, cache: Path) -> None:
    """Makes files of latents that are gone again, under their old names."""
    end = 0
    for part in state.latents:
        start, end = end, end + part.images
        if not (cache / part.file).is_file():
            files, digests = state.files[start:end], state.digests[start:end]
            latents, _ = images.embed_images(images.lazy(folder, files, digests, state.scales), reading, cache)
            images.save_rows(np.asarray(latents), cache, part.file)
