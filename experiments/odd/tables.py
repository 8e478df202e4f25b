"""Odd tables: `.npz`, CSV and Parquet files as practitioners have them."""

import io
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from scipy import sparse

from odd.case import MISTAKE, QUICK, Case, Place

RUN = f"run {QUICK} --budget 6"
N = 120


def blobs(n: int = N, classes: int = 3, columns: int = 4, seed: int = 0) -> dict[str, Any]:
    """Rows that can be told apart: X [n, columns] float64 and y [n]."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return {"X": rng.normal(size=(n, columns)) + 2 * np.eye(classes, columns)[y], "y": y}


def npz(**changes: Any) -> Callable[[Place], None]:
    """Writes `blobs` with other arrays in their place, or without those that are None, as a.npz."""
    arrays = {name: array for name, array in {**blobs(), **changes}.items() if array is not None}
    return lambda place: np.savez(place.folder / "a.npz", **arrays)


def table(name: str, says: str, status: int = 0, flags: str = "", **changes: Any) -> Case:
    """A `.npz` file that a run takes."""
    return Case(name, f"{RUN} --dataset a.npz {flags}", status, says, npz(**changes))


def drawn(case: Case) -> Case:
    """The same, its figures and page drawn."""
    return replace(case, cold=True)


def refused(name: str, says: str, flags: str = "", **changes: Any) -> Case:
    """A `.npz` file that a run refuses."""
    return table(name, says, MISTAKE, flags, **changes)


def written(name: str, file: str, content: bytes | str, says: str, status: int = 0, flags: str = "") -> Case:
    """A file of this content."""
    return Case(
        name, f"{RUN} --dataset {file} {flags}", status, says, lambda place: place.write(file, content) and None
    )


def csv(columns: dict[str, Any], separator: str = ",") -> str:
    """A table as text."""
    rows = zip(*columns.values(), strict=True)
    return "\n".join(separator.join(map(str, row)) for row in [list(columns), *rows]) + "\n"


def measurements(**more: Any) -> dict[str, Any]:
    """Columns of `blobs`, and others."""
    found = blobs()
    return {f"m{i}": found["X"][:, i].round(4) for i in range(4)} | {"diagnosis": np.array([*"abc"])[found["y"]]} | more


def _replaced(array: np.ndarray, rows: Any, value: Any) -> np.ndarray:
    changed = array.copy()
    changed[rows] = value
    return changed


def _bomb(place: Place) -> None:
    with zipfile.ZipFile(place.folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 200)})
        archive.writestr("X.npy", header.getvalue() + bytes(1 << 30))
        labels = io.BytesIO()
        np.lib.format.write_array(labels, np.arange(10**6) % 2)
        archive.writestr("y.npy", labels.getvalue())


def _cut(place: Place) -> None:
    npz()(place)
    path = place.folder / "a.npz"
    path.write_bytes(path.read_bytes()[:-200])


def _sparse(**beside: np.ndarray) -> Callable[[Place], None]:
    def make(place: Place) -> None:
        sparse.save_npz(place.folder / "a.npz", sparse.csr_matrix(np.maximum(blobs()["X"], 0)))
        with zipfile.ZipFile(place.folder / "a.npz", "a") as archive:
            for name, array in beside.items():
                with archive.open(f"{name}.npy", "w") as file:
                    np.lib.format.write_array(file, array)

    return make


def _parquet(place: Place) -> None:
    pyarrow.parquet.write_table(pa.table(measurements(patient=np.arange(N) // 3)), place.folder / "a.parquet")


def _groups(size: int) -> np.ndarray:
    return np.arange(N) // size


FOUND = blobs()
X, Y = FOUND["X"], FOUND["y"]
HALVES = np.where(np.arange(N) % 4 == 3, "test", "train")
MANY = blobs(600, columns=8)
SLIDES = blobs(2000)
WHOLE = np.r_[np.zeros(250), np.arange(1, 51)].astype(int)
PICTURES = np.random.default_rng(1).integers(0, 200, (N, 8, 8), np.uint8)
PIXELS = "--encoder pixels"

TABLES = [
    drawn(table("features as they should be", r"120 rows of 4 features, 3 classes: 0 40, 1 40, 2 40")),
    table("features near zero", "columns brought to 0..1", X=X * 1e-33),
    table("features of 1e-13", "random", X=X * 1e-13),
    table("features around 1e6", "columns brought to 0..1.*: 0, 1, 2, 3", X=X * 0.5 + 1e6),
    table("a constant column", "constant columns, not used: 2", X=_replaced(X.T, 2, 7.0).T),
    table("a column without values", "columns without any value, not used: 1", X=_replaced(X.T, 1, np.nan).T),
    table("missing values", "2 missing values in 2 rows and 2 columns", X=_replaced(X, ([3, 5], [0, 2]), np.nan)),
    table("whole numbers beyond float32", "120 rows", X=(X * 1e18).astype(np.int64)),
    table("half precision", "120 rows", X=X.astype(np.float16)),
    table("yes and no", "120 rows", X=X > 0.5),
    table("one column", "120 rows of 1 features", X=X[:, :1] + 3 * Y[:, None]),
    table("many more columns than rows", "120 rows of 3,000 features", X=np.tile(X, 750)),
    table("-1 is unlabelled", "30 rows without a label .*-1.* left out", y=_replaced(Y, slice(0, 30), -1)),
    table("NaN is unlabelled", "30 rows without a label", y=_replaced(Y.astype(float), slice(0, 30), np.nan)),
    table("an empty label", "30 rows without a label", y=_replaced(np.array([*"abc"])[Y], slice(0, 30), "")),
    table("one-hot labels", "0 40, 1 40, 2 40", y=np.eye(3)[Y]),
    table("labels [n, 1]", "0 40, 1 40, 2 40", y=Y[:, None]),
    table("labels as floats", "float64 labels read as whole numbers", y=Y.astype(float)),
    table("labels that do not start at 0", "labels numbered", y=Y * 5 + 7),
    table("class names in bytes", "a 40, b 40, c 40", class_names=np.array([b"a", b"b", b"c"])),
    drawn(table("a class name that a terminal would obey", r"\\x1b\[31mred 40", class_names=["\x1b[31mred", "b", "c"])),
    table(
        "parts of a split",
        "official split: train 90, test 30",
        X=None,
        y=None,
        X_train=X[:90],
        y_train=Y[:90],
        X_test=X[90:],
        y_test=Y[90:],
    ),
    table("split in any case", "official split: train 90, test 30", split=np.char.upper(HALVES)),
    table(
        "keys of MedMNIST",
        "official split: train 60, val 30, test 30",
        0,
        PIXELS,
        X=None,
        y=None,
        train_images=PICTURES[:60],
        train_labels=Y[:60, None],
        val_images=PICTURES[60:90],
        val_labels=Y[60:90, None],
        test_images=PICTURES[90:],
        test_labels=Y[90:, None],
    ),
    table("images [n, channels, H, W]", "channel", 0, PIXELS, X=np.stack([PICTURES] * 3, 1)),
    table(
        "images with transparency",
        "the fourth channel, opacity, is 255 everywhere and was left out",
        0,
        PIXELS,
        X=np.concatenate([np.stack([PICTURES] * 3, -1), np.full((N, 8, 8, 1), 255, np.uint8)], -1),
    ),
    table("images from 0 to 1", "120 images", 0, PIXELS, X=PICTURES / 255),
    table("images of 16 bits", "120 images", 0, PIXELS, X=PICTURES.astype(np.uint16) * 20),
    table(
        "a class that the test rows lack",
        "no row in the test part",
        split=HALVES,
        y=np.where((HALVES == "test") & (Y == 2), 1, Y),
    ),
    table(
        "a class with two test rows",
        r"fewer than 5 rows in the test part: 2 \(2\)",
        split=HALVES,
        y=_replaced(np.where((HALVES == "test") & (Y == 2), 1, Y), [3, 7], 2),
    ),
    table("patients of five rows", "24 groups", groups=_groups(5)),
    table("patients of many sizes", "groups", **MANY, groups=np.random.default_rng(0).integers(0, 120, 600)),
    table("patients by name", "40 groups", groups=np.char.add("patient ", _groups(3).astype(str))),
    table(
        "slides of 100 rows", "20 groups of up to 100 rows leave parts smaller", **SLIDES, groups=np.arange(2000) // 100
    ),
    table("one patient with most rows", "groups", **blobs(300), groups=WHOLE),
    table("fifty rows", "50 rows", **blobs(50, 2)),
    refused("two patients", "2 groups of 60 to 60 rows cannot fill", groups=_groups(60)),
    refused("one patient", "groups has one value only", groups=np.zeros(N)),
    refused(
        "a patient in test and outside",
        "groups both in the test split and outside",
        groups=_groups(4),
        split=np.where(np.arange(N) % 3 == 0, "test", "train"),
    ),
    refused(
        "a patient that is not known", "groups is missing in 1 rows", groups=_replaced(_groups(3) * 1.0, 5, np.nan)
    ),
    refused("a patient for some rows", "groups has shape", groups=_groups(3)[:50]),
    refused("too few rows", "few|leave none|no row|single", **blobs(6, 2)),
    refused("one class", "one class only", y=np.zeros(N)),
    refused("no label at all", "no row has a label", y=np.full(N, np.nan)),
    refused("labels with fractions", "y holds 0.5", y=Y + 0.5),
    refused("several classes a row", "one-hot, and 1 rows have no class or several", y=_replaced(np.eye(3)[Y], 4, 1)),
    refused("as many labels as not rows", "y has shape", y=Y[:50]),
    refused("names for other classes", "class_names has 2 names", class_names=["a", "b"]),
    refused(
        "a class that stands in test alone",
        r"classes that stand in the test split alone: 2",
        split=HALVES,
        y=np.where((HALVES == "train") & (Y == 2), 1, Y),
    ),
    refused("words for splits that are none", "split holds fold1", split=np.array(["fold1", "fold2"])[Y % 2]),
    refused("infinite values", "column 1 of X has 1 infinite", X=_replaced(X, (3, 1), np.inf)),
    refused("nothing that varies", "no column of X varies", X=np.ones((N, 4))),
    refused("no rows", "X has shape", X=X[:0], y=Y[:0]),
    refused("complex numbers", "X has type complex128", X=X + 1j),
    refused("texts for features", "X has type", X=X.astype(str)),
    refused("objects, which would have to be run", "(?i)object|pickle", X=X.astype(object)),
    refused("no labels", "no array y", y=None),
    refused("images without an encoder", "name an --encoder", X=PICTURES),
    refused("noise in features", "--noise is for images", "--noise 0.5"),
    refused("patients by file name in a table", "--group-regex is for", "--group-regex x"),
    Case("a sparse matrix", f"{RUN} --dataset a.npz", 0, "120 rows of 4 features", _sparse(y=Y)),
    Case("a sparse matrix without labels", f"{RUN} --dataset a.npz", MISTAKE, "y", _sparse()),
    Case("an archive that fills the memory", f"{RUN} --dataset a.npz", MISTAKE, "bytes|memory", _bomb),
    Case("an archive that was cut", f"{RUN} --dataset a.npz", MISTAKE, "cut short|broken", _cut),
    Case(
        "a pipe",
        f"{RUN} --dataset a.npz",
        MISTAKE,
        "not a regular file",
        lambda place: os.mkfifo(place.folder / "a.npz"),
    ),
    Case("a device", f"{RUN} --dataset /dev/zero", MISTAKE, "not a regular file"),
    Case("nothing of that name", f"{RUN} --dataset a.npz", MISTAKE, "a.npz: no such file"),
    Case("nearly a name", f"{RUN} --dataset breast_cancer", MISTAKE, "Did you mean breast-cancer"),
    Case("no name at all", f"{RUN} --dataset ''", MISTAKE, "no such data set"),
    written("an empty archive", "a.npz", b"", "an empty file", MISTAKE),
    written("a text called .npz", "a.npz", "hello", "no .npz file", MISTAKE),
    written("a table in another format", "a.xlsx", "hello", ".npz, .csv, .tsv or .parquet", MISTAKE),
    written("a CSV", "a.csv", csv(measurements()), "a 40, b 40, c 40"),
    written(
        "a CSV with its columns named",
        "a.csv",
        csv(measurements(patient=_groups(3))),
        "40 groups",
        0,
        "--label-column diagnosis --group-column patient",
    ),
    written(
        "semicolons and decimal commas",
        "a.csv",
        csv({k: [str(x).replace(".", ",") for x in v] for k, v in measurements().items()}, ";"),
        "120 rows of 4 features",
    ),
    written("tabs", "a.tsv", csv(measurements(), "\t"), "120 rows of 4 features"),
    written("a byte order mark", "a.csv", "\ufeff" + csv(measurements()), "120 rows of 4 features"),
    written("Windows' line ends", "a.csv", csv(measurements()).replace("\n", "\r\n"), "120 rows of 4 features"),
    written("a column of words", "a.csv", csv(measurements(sex=np.array([*"mf"])[np.arange(N) % 2])), "sex"),
    written(
        "labels that are missing",
        "a.csv",
        csv(measurements(diagnosis=_replaced(np.array([*"abc"])[Y], slice(0, 9), ""))),
        "9 rows without a label",
    ),
    written(
        "no column of labels",
        "a.csv",
        csv({k: v for k, v in measurements().items() if k != "diagnosis"}),
        "label-column",
        MISTAKE,
    ),
    written(
        "a column that is not there",
        "a.csv",
        csv(measurements()),
        "no column 'grade'; it has",
        MISTAKE,
        "--label-column grade",
    ),
    written(
        "two columns that may be the label", "a.csv", csv(measurements(label=Y)), "say which by --label-column", MISTAKE
    ),
    written("two columns of one name", "a.csv", csv(measurements()).replace("m1", "m0", 1), "several columns", MISTAKE),
    written(
        "a CSV without names", "a.csv", csv(dict(zip("1234", X.T, strict=True))), "first row holds numbers", MISTAKE
    ),
    written("rows of different lengths", "a.csv", csv(measurements()) + "1,2\n", "not a table", MISTAKE),
    written(
        "a CSV in Latin-1",
        "a.csv",
        csv(measurements()).replace("a", "\u00e4").encode("latin-1"),
        "UTF-?8|not a table",
        MISTAKE,
    ),
    written("an empty CSV", "a.csv", "", "an empty file", MISTAKE),
    written("no Parquet", "a.parquet", "hello", "not a table that can be read", MISTAKE),
    Case("a Parquet", f"{RUN} --dataset a.parquet", 0, "40 groups", _parquet),
    Case(
        "columns of a data set that has none",
        f"{RUN} --dataset wine --label-column x",
        MISTAKE,
        "--label-column is for tables",
    ),
]
