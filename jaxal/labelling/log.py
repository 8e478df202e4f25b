"""The log of a project: one SQLite file that is only ever appended to.

Everything else about a project follows from its events (`state`). An append is one transaction, written through to
the disk before it returns (`synchronous=FULL`), so what was acknowledged survives a killed process and, as far as disk
and file system keep their word, a power cut. Writers wait for each other, and readers for nobody (WAL).
"""

import contextlib
import json
import os
import sqlite3
import tempfile
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxal.data.dataset import DataError

if TYPE_CHECKING:  # JAX is imported late
    from jaxal.pools import Head

NAME = "project.sqlite"
FORMAT = 1
PATIENCE = 30.0  # seconds that a writer waits for the others

SCHEMA = f"""
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  who TEXT NOT NULL,
  kind TEXT NOT NULL,
  body TEXT NOT NULL CHECK (json_valid(body))
) STRICT;
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'the log is only appended to'); END;
CREATE TRIGGER events_remain BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'the log is only appended to'); END;
CREATE TABLE classifiers (
  version TEXT PRIMARY KEY,
  at TEXT NOT NULL,
  labels INTEGER NOT NULL,
  classes INTEGER NOT NULL,
  head BLOB NOT NULL
) STRICT;
PRAGMA user_version = {FORMAT};
"""


class Event(NamedTuple):
    """One thing that happened. `state.KINDS` lists them, with their bodies."""

    id: int
    at: str  # UTC, ISO 8601
    who: str
    kind: str
    body: dict[str, Any]


class Classifier(NamedTuple):
    """A classifier that a project was asked by."""

    version: str
    labels: int  # that it was fitted to
    head: "Head"


class Log:
    """An open log. One thread at a time; every thread and every process opens its own.

    Raises:
      DataError: one line, wherever the file cannot be read or written; nothing has been changed then.
    """

    def __init__(self, folder: Path):
        self.path = folder / NAME
        if not self.path.is_file():
            raise DataError(f"{folder}: no labelling project; make one with `jaxal label start {folder} --images ...`")
        self._connection = _connect(self.path)
        with self._told():
            found = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if found != FORMAT:
            self.close()
            raise DataError(f"{self.path}: a project of format {found}, and this jaxal reads format {FORMAT}")

    def close(self) -> None:
        """Closes the file; the last one to do so leaves a single file behind."""
        self._connection.close()

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def after(self, last: int) -> list[Event]:
        """The events later than the one with the id `last` (0: all), in order."""
        with self._told():
            rows = self._connection.execute(
                "SELECT id, at, who, kind, body FROM events WHERE id > ? ORDER BY id", (last,)
            ).fetchall()
        return [Event(id, at, who, kind, json.loads(body)) for id, at, who, kind, body in rows]

    @contextlib.contextmanager
    def writing(self) -> Generator[Callable[[str, str, dict[str, Any]], Event]]:
        """Holds off other writers, and gives (who, kind, body) -> event, which appends.

        What is read inside stays true until the end. All that was appended is on the disk when the block has ended, or
        nothing is, where it raised.
        """
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._append
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself where the disk is full
                    self._connection.execute("ROLLBACK")
                raise

    def _append(self, who: str, kind: str, body: dict[str, Any]) -> Event:
        at = now()
        return Event(_insert(self._connection, at, who, kind, body), at, who, kind, body)

    def keep(self, classifier: Classifier) -> None:
        """Stores a classifier, inside `writing`, unless that version is there."""
        kernel, bias = classifier.head
        head = np.concatenate([kernel, bias[None]]).astype("<f4").tobytes()
        self._connection.execute(
            "INSERT OR IGNORE INTO classifiers VALUES (?, ?, ?, ?, ?)",
            (classifier.version, now(), classifier.labels, len(bias), head),
        )

    def classifiers(self) -> list[Classifier]:
        """All that were stored, oldest first."""
        with self._told():
            rows = self._connection.execute(
                "SELECT version, labels, classes, head FROM classifiers ORDER BY rowid"
            ).fetchall()
        return [_classifier(*row) for row in rows]

    def classifier(self, version: str) -> Classifier | None:
        """The one of that version, if it was stored."""
        with self._told():
            row = self._connection.execute(
                "SELECT version, labels, classes, head FROM classifiers WHERE version = ?", (version,)
            ).fetchone()
        return None if row is None else _classifier(*row)

    @contextlib.contextmanager
    def _told(self) -> Generator[None]:
        """SQLite's errors as lines."""
        try:
            yield
        except sqlite3.Error as error:
            raise DataError(_line(self.path, error)) from None


def create(folder: Path, who: str, events: list[tuple[str, dict[str, Any]]]) -> None:
    """Makes a project's log with its first events (kind, body), or nothing at all.

    Raises:
      DataError: one line: there is one already, or the folder cannot be written.
    """
    path = folder / NAME
    taken = f"{folder}: a labelling project already; go on with `jaxal label next {folder}`"
    if path.exists():
        raise DataError(taken)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=folder, prefix=f".{NAME}")
        os.close(handle)
        try:
            _write_first(beside, who, events)
            os.link(beside, path)  # at its place whole or not at all; and unlike a rename it takes nobody's place
        finally:
            os.unlink(beside)
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise DataError(taken) from None
    except sqlite3.Error as error:
        raise DataError(_line(path, error)) from None
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror or error}; nothing was changed") from None


def _write_first(path: str, who: str, events: list[tuple[str, dict[str, Any]]]) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # Ahead-logging from the start, as two that open a file cannot both change its mode.
        connection.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; BEGIN; {SCHEMA}")
        for kind, body in events:
            _insert(connection, now(), who, kind, body)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _insert(connection: sqlite3.Connection, at: str, who: str, kind: str, body: dict[str, Any]) -> int:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    cursor = connection.execute("INSERT INTO events (at, who, kind, body) VALUES (?, ?, ?, ?)", (at, who, kind, text))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def now() -> str:
    """The time of an event."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _connect(path: Path) -> sqlite3.Connection:
    try:
        # Threads of the server take turns under its lock.
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.Error as error:
        raise DataError(_line(path, error)) from None
    return connection


def _classifier(version: str, labels: int, classes: int, head: bytes) -> Classifier:
    from jaxal.pools import Head

    matrix = np.frombuffer(head, "<f4").reshape(-1, classes)
    return Classifier(version, labels, Head(matrix[:-1], matrix[-1]))


def _line(path: Path, error: sqlite3.Error) -> str:
    reasons = {
        "SQLITE_FULL": "the disk is full",
        "SQLITE_READONLY": "it cannot be written (read-only)",
        "SQLITE_CANTOPEN": "it cannot be opened for writing (is its folder read-only?)",
        "SQLITE_BUSY": f"other processes have been writing for {PATIENCE:.0f} s; try again",
        "SQLITE_IOERR": "the disk does not take what is written (full, or gone?)",
        "SQLITE_NOTADB": "no SQLite file, or a damaged one",
        "SQLITE_CORRUPT": "a damaged SQLite file",
    }
    name = getattr(error, "sqlite_errorname", "")
    reason = next((text for start, text in reasons.items() if name.startswith(start)), str(error))
    return f"{path}: {reason}; nothing was changed"
