"""What `jaxal next` and the commands of `jaxal label` are asked for: the flags, with their help, as dataclasses."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from jaxal.config import Reading
from jaxal.presets import STRATEGY

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
Count = Annotated[int, tyro.conf.arg(aliases=("-n",))]
Names = Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...", help_behavior_hint="(default: none)")]
Embedded = Annotated[Reading, tyro.conf.arg(name="")]  # its fields are flags without a prefix
Format = Literal["csv", "html", "label-studio"]


def _optional(default: str, metavar: str = "PATH") -> object:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {default})")


Who = Annotated[str, _optional("whoever is logged in", "NAME")]
Strategy = Annotated[str, _optional("the project's", "NAME")]
Prefix = Annotated[str, _optional("where Label Studio serves local files from", "ADDRESS")]
embed = partial(Reading, encoder="efficientnet-lite0")


@dataclass(frozen=True)
class Next:
    """Say which images of a folder to label next, from a table of the labels so far; no project is kept."""

    images: Path
    """folder of images"""
    labels: Annotated[Path | None, _optional("none so far", "FILE.csv")] = None
    """table with the columns file and label"""
    n: Count = 10
    """images to ask for"""
    format: Format = "csv"
    """csv: a table to be filled in; html: a sheet with thumbnails; label-studio: tasks to be imported"""
    out: Annotated[Path | None, _optional("next.csv, .html or .json")] = None
    """file to write"""
    classes: Names = ()
    """names that a label may have; by default those in the table"""
    strategy: str = STRATEGY
    """what chooses: a strategy by name (`jaxal list strategies`), or the folder of a saved policy"""
    image_prefix: Prefix = ""
    """with --format label-studio: what stands before the path of an image in its address"""
    reading: Embedded = field(default_factory=embed)


@dataclass(frozen=True)
class Start:
    """Make a project of the images in a folder, or of the rows of a table."""

    project: Folder
    """folder of the project, which is made"""
    images: Annotated[Path | None, _optional("none", "FOLDER")] = None
    """folder of images"""
    table: Annotated[Path | None, _optional("none", "FILE.npz")] = None
    """latents instead of an encoder: X [n, D], and perhaps files [n] (names below --images) and groups [n]"""
    classes: Names = ()
    """names that a label may have; by default those that are met"""
    strategy: str = STRATEGY
    """what chooses: a strategy by name (`jaxal list strategies`), or the folder of a saved policy"""
    test_share: float = 0.1
    """share of the images that is set aside by lot, asked for among the others, and only tested on"""
    expire_hours: float = 72.0
    """hours until an image that was asked for and not answered may be asked for again"""
    seed: int = 0
    """of the lot, and of strategies that draw at random"""
    who: Who = ""
    """who does this"""
    reading: Embedded = field(default_factory=embed)


@dataclass(frozen=True)
class Ask:
    """Ask for the labels of the next images: a table, a sheet or Label Studio tasks."""

    project: Folder
    """folder of the project"""
    n: Count = 10
    """images to ask for"""
    format: Format = "csv"
    """csv: a table to be filled in; html: a sheet with thumbnails; label-studio: tasks to be imported"""
    out: Annotated[Path | None, _optional("next.csv, .html or .json in the project's folder")] = None
    """file to write"""
    strategy: Strategy = ""
    """what chooses this time: a strategy by name, or the folder of a saved policy"""
    image_prefix: Prefix = ""
    """with --format label-studio: what stands before the path of an image in its address"""
    who: Who = ""
    """who asks"""


@dataclass(frozen=True)
class Add:
    """Take answers in: tables, or exports of Label Studio."""

    project: Folder
    """folder of the project"""
    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE ...")]
    """tables (.csv) with the columns file and label, and perhaps annotator; or .json exports of Label Studio"""
    new_classes: tyro.conf.FlagCreatePairsOff[bool] = False
    """a label that is no class yet becomes one"""
    who: Who = ""
    """whose answers they are, where the table has no annotator"""


@dataclass(frozen=True)
class Status:
    """Show how far the labels have come, how good the classifier is, and whether to go on."""

    project: Folder
    """folder of the project"""


@dataclass(frozen=True)
class Export:
    """Write the answers to a table, for Label Studio, or for `jaxal run`."""

    project: Folder
    """folder of the project"""
    out: Path
    """.csv: a table; .json: for Label Studio; .npz: latents, labels and test split for `jaxal run`"""
    image_prefix: Prefix = ""
    """for Label Studio: what stands before the path of an image in its address"""


@dataclass(frozen=True)
class Predict:
    """Predict images without a label, with calibrated probabilities, and save the classifier."""

    project: Folder
    """folder of the project"""
    out: Path
    """table to write (.csv); the classifier is written beside it (.npz)"""
    images: Annotated[Path | None, _optional("the project's own without a label", "FOLDER")] = None
    """folder of new images"""


@dataclass(frozen=True)
class Serve:
    """Serve the page to label on, to this computer, until it is interrupted."""

    project: Folder
    """folder of the project"""
    host: str = "127.0.0.1"
    """address to listen on; any other than the default is open to the network, unencrypted"""
    port: int = 8600
    """port to listen on; 0: any that is free"""
    token: Annotated[str, _optional("random", "TEXT")] = ""
    """the part of the page's address that others do not know: 8 or more letters and digits"""
    batch: int = 5
    """images that are chosen at a time, for each person"""
    strategy: Strategy = ""
    """what chooses: a strategy by name, or the folder of a saved policy"""
    who: Who = ""
    """who asks"""


@dataclass(frozen=True)
class Backend:
    """Serve Label Studio's ML backend, until it is interrupted."""

    project: Folder
    """folder of the project"""
    host: str = "127.0.0.1"
    """address to listen on; any other than the default is open to the network, unencrypted"""
    port: int = 9090
    """port to listen on; 0: any that is free"""
    token: Annotated[str, _optional("random", "TEXT")] = ""
    """the part of the backend's address that others do not know: 8 or more letters and digits"""
    strategy: Strategy = ""
    """what chooses: a strategy by name, or the folder of a saved policy"""
    who: Who = ""
    """who asks"""


@dataclass(frozen=True)
class Images:
    """Take in the images that were added to the folder, or take some out."""

    project: Folder
    """folder of the project"""
    remove: Names = ()
    """images to be taken out, by their paths below the folder"""
    who: Who = ""
    """who does this"""


@dataclass(frozen=True)
class Classes:
    """Add a class, or rename one; the labels given so far go with it."""

    project: Folder
    """folder of the project"""
    add: Names = ()
    """names of new classes"""
    rename: Annotated[tuple[str, str] | None, _optional("none", "OLD NEW")] = None
    """a class, and its new name"""
    who: Who = ""
    """who does this"""


LabelRequest = Next | Start | Ask | Add | Status | Export | Predict | Serve | Backend | Images | Classes
LABEL_COMMANDS: dict[str, type[LabelRequest]] = {
    "start": Start,
    "serve": Serve,
    "next": Ask,
    "add": Add,
    "status": Status,
    "predict": Predict,
    "export": Export,
    "backend": Backend,
    "images": Images,
    "classes": Classes,
}
"""The commands of `jaxal label`."""
