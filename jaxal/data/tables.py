"""Tables with named columns, CSV or Parquet: which column is the label, which are features, what else there is."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxal.data.arrays import from_arrays
from jaxal.data.dataset import DataError, Dataset
from jaxal.data.layout import SPLITS
from jaxal.data.wording import few

PARQUET = (".parquet", ".pq")
SUFFIXES = (".csv", ".tsv", *PARQUET)
LABELS = ("label", "labels", "class", "target", "y", "diagnosis", "dx", "category")
GROUPS = ("group", "groups", "patient", "patientid", "subject", "subjectid", "caseid", "slideid", "personid")
NAMES = ("", "unnamed0", "index", "id", "rowid", "name", "file", "filename", "path", "image", "imageid", "rownames")
NO_NUMBER = ("", "NA", "N/A", "n/a", "NaN", "nan", "NAN", "null", "NULL", "None", "none", "?")  # in columns of numbers
NO_LABEL = ("NA", "NaN", "nan")  # as R and pandas write it; "none" may well be a class
DECIMAL_COMMA = re.compile(r"[-+]?\d+(,\d+)?")
MOST_VALUES = 50  # of a column of text that becomes features
LONGEST = 200  # letters of a label, a group or a name
EXPANDED, DENSEST = 1 << 28, 100  # bytes of a table that may come from a file of any size, else so many from each byte


@dataclass(frozen=True)
class Table:
    """Columns by name, each [n]: int64, float64 with NaN where a value is missing, or strings (object) with ""."""

    path: Path
    columns: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def without(self, *names: str | None) -> "Table":
        """The other columns."""
        return Table(self.path, {name: column for name, column in self.columns.items() if name not in names})

    def find(self, usual: tuple[str, ...]) -> list[str]:
        """The columns that have one of these names; case, spaces and underscores do not matter."""
        return [name for name in self.columns if re.sub(r"[^a-z0-9]", "", name.lower()) in usual]

    def choose(self, asked: str | None, usual: tuple[str, ...], what: str) -> str | None:
        """The column that was asked for, or the one with a usual name. DataError: there is no such, or several."""
        if asked is not None:
            if asked not in self.columns:
                raise DataError(f"{self.path}: no column {asked!r}; it has {few(self.columns, 12)}")
            return asked
        found = self.find(usual)
        if len(found) > 1:
            raise DataError(f"{self.path}: columns {few(found)} may each be the {what}; say which by --{what}-column")
        return found[0] if found else None

    def text(self, name: str) -> np.ndarray:
        """A column as strings [n], numbers as they are written (7, not 7.0), "" where a value is missing."""
        column = self.columns[name]
        if column.dtype.kind == "f":
            values = ["" if np.isnan(x) else f"{x:.0f}" if x == np.rint(x) else repr(float(x)) for x in column]
        else:
            values = [str(value) for value in column]
        if max(map(len, values)) > LONGEST:
            raise DataError(f"{self.path}: column {name!r} holds texts of more than {LONGEST} letters")
        return np.array(values)

    def labels(self, name: str) -> np.ndarray:
        """A column of labels [n]: whole numbers, or strings with "" where there is none."""
        column = self.columns[name]
        if column.dtype.kind == "O":
            text = self.text(name)
            return np.where(np.isin(text, NO_LABEL), "", text)
        whole = np.isfinite(column).all() and np.array_equal(column, np.rint(column))
        return column.astype(np.int64) if whole else column


def read_table(path: Path) -> Table:
    """A .csv, .tsv or Parquet file, with names in its first row.

    Raises:
      DataError: one line: no such file, no names, rows of different lengths, something else.
    """
    import pyarrow

    if not path.is_file():
        raise DataError(f"{path}: not a regular file")
    try:
        found = _read_parquet(path) if path.suffix.lower() in PARQUET else _read_csv(path)
        names = found.column_names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"{path}: several columns are called {few(map(repr, twice))}")
        if all(re.fullmatch(r"[-+]?\d[\d.eE+-]*", name) for name in names):
            raise DataError(f"{path}: the first row holds numbers ({few(names)}); it is to name the columns")
        if not len(found):
            raise DataError(f"{path}: a table without rows")
        return Table(path, {name: _column(path, name, found[name]) for name in names})
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise DataError(f"{path}: not a table that can be read ({reason})") from None


def _read_csv(path: Path) -> Any:
    from pyarrow import csv

    with path.open("rb") as file:
        head = file.readline(1 << 20)
    if not head.strip():
        raise DataError(f"{path}: an empty file, or an empty first row; it is to name the columns")
    delimiter = max(",;\t", key=lambda sign: head.count(sign.encode()))
    block = min(path.stat().st_size + 1, 1 << 30)  # types are told from the first block, so let it be all

    def read(**how: Any) -> Any:
        return csv.read_csv(
            str(path),
            read_options=csv.ReadOptions(block_size=block),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=csv.ConvertOptions(null_values=NO_NUMBER, **how),
        )

    table = read()
    return read(decimal_point=",") if delimiter == ";" and _has_decimal_commas(table) else table


def _has_decimal_commas(table: Any) -> bool:
    from pyarrow import types

    texts = (table[name].to_pylist() for name in table.column_names if types.is_string(table[name].type))
    return any(all(DECIMAL_COMMA.fullmatch(value) for value in column if value not in NO_NUMBER) for column in texts)


def _read_parquet(path: Path) -> Any:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        rows, columns, packed = file.metadata.num_rows, len(file.schema_arrow.names), path.stat().st_size
        if 8 * rows * columns > max(EXPANDED, DENSEST * packed):
            raise DataError(f"{path}: {rows:,} rows of {columns:,} columns in {packed:,} bytes, more than it can hold")
        return file.read()


def _column(path: Path, name: str, column: Any) -> np.ndarray:
    from pyarrow import types

    kind = column.type.value_type if types.is_dictionary(column.type) else column.type
    if types.is_nested(kind) or types.is_binary(kind):
        expected = "text in UTF-8" if types.is_binary(kind) else "numbers or strings"
        raise DataError(f"{path}: column {name!r} holds {kind}; {expected} is expected")
    if types.is_integer(kind) and not column.null_count:
        return column.to_numpy().astype(np.uint64 if kind == "uint64" else np.int64)
    values = column.to_pylist()
    number = types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
    if number or types.is_null(kind):
        return np.array([np.nan if value is None else float(value) for value in values])
    out = np.empty(len(values), object)
    out[:] = ["" if value is None else str(value).strip() for value in values]
    return out


def load_table(path: Path, label_column: str | None = None, group_column: str | None = None) -> Dataset:
    """A table as a `Dataset`: a row a case; every column that is nothing else is a feature.

    The label is the column that is asked for, or one with a usual name (`LABELS`); groups (patients) likewise
    (`GROUPS`). A column `split` of official splits, and one that names the rows (`NAMES`), are no features. A column of
    text with few values becomes one column a value; others are left out, which is said.

    Raises:
      DataError: one line: what cannot be read, no label, no feature.
    """
    table = read_table(path)
    label = table.choose(label_column, LABELS, "label")
    if label is None:
        raise DataError(no_label(table))
    rest = table.without(label)
    group = rest.choose(group_column, GROUPS, "group")
    split = next((name for name in rest.find(("split",)) if _is_split(rest.columns[name])), None)
    rest = rest.without(group, split)
    names = next((name for name in rest.find(NAMES) if len(np.unique(rest.columns[name])) == len(table)), None)
    features, feature_names, notices = _features(rest.without(names))
    if not feature_names:
        raise DataError(f"{path}: no column of numbers beside the label {label!r}; there is nothing to learn from")
    text = lambda name: None if name is None else table.text(name)
    roles = {"label": label, "groups": group, "official split": split, "names of the rows": names}
    used = ", ".join(f"{what} {name!r}" for what, name in roles.items() if name is not None)
    dataset = from_arrays(
        str(path),
        features,
        table.labels(label),
        groups=text(group),
        split=text(split),
        names=text(names),
        feature_names=np.array(feature_names),
    )
    return dataset.noting(f"columns of {path.name}: {used}; all others are features", *notices)


def no_label(table: Table) -> str:
    """What is said of a table without a column of labels."""
    there = few(table.columns, 12)
    return f"{table.path}: no column is called {' or '.join(LABELS[:4])}; say --label-column, one of {there}"


def _is_split(column: np.ndarray) -> bool:
    return {str(value).strip().lower() for value in column} <= SPLITS.keys()


def _features(table: Table) -> tuple[np.ndarray, list[str], list[str]]:
    """[n, D] float64, the names of the features, and notices."""
    made: dict[str, np.ndarray] = {}
    spread, dropped = [], []
    for name, column in table.columns.items():
        if column.dtype.kind != "O":
            made[name] = column.astype(np.float64)
            continue
        values = sorted({value for value in column if value})
        if not 1 < len(values) <= min(MOST_VALUES, len(column) // 2):
            dropped.append(f"{name} ({len(values):,} values)")
            continue
        spread.append(f"{name} ({len(values)})")
        if len(values) == 2:
            made[f"{name}={values[1]}"] = np.where(column == "", np.nan, column == values[1])
        else:
            made |= {f"{name}={value}": (column == value).astype(np.float64) for value in values}
    notices = [f"columns of text, as a column of 0 and 1 for each value: {few(spread)}"] if spread else []
    notices += [f"columns of text, not used: {few(dropped)}"] if dropped else []
    return np.stack([*made.values()], 1) if made else np.empty((len(table), 0)), list(made), notices
