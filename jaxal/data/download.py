"""A published archive from its address to a file, verified."""

import glob
import hashlib
import http.client
import os
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from jaxal.data.dataset import DataError
from jaxal.files import HOUR, move_whole, sweep_old


@dataclass(frozen=True)
class Source:
    """A published archive, and what its bytes must be."""

    url: str
    size: int
    sha256: str


def fetch(source: Source, path: Path) -> None:
    """Download `source` to `path` unless it is there already; either way, verify its checksum.

    Raises DataError, one line, for a failed download, or bytes that are not the published ones.
    """
    if path.exists():
        return _verify(source, path)
    columns = (*Progress.get_default_columns()[:2], DownloadColumn(), TransferSpeedColumn())
    sweep_old(path.parent, f"{glob.escape(path.name)}.*.part", HOUR)  # of processes that were killed
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with (
            urllib.request.urlopen(source.url, timeout=60) as reply,
            part.open("wb") as file,
            Progress(*columns, console=Console(stderr=True)) as bar,
        ):
            task = bar.add_task(f"downloading {path.name}", total=source.size)
            while block := reply.read(1 << 20):
                file.write(block)
                bar.advance(task, len(block))
        _verify(source, part)
        move_whole(part, path)
    except (OSError, http.client.HTTPException) as error:
        reason = f"cannot be downloaded ({first_line(error)}); fetch it on another machine and put it at {path}"
        raise DataError(f"{source.url}: {reason}") from None
    finally:
        part.unlink(missing_ok=True)


def _verify(source: Source, path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        total = hashlib.file_digest(file, "sha256").hexdigest()
    if size < source.size:
        wrong = f"{size:,} of {source.size:,} bytes: the download broke off"
    elif total != source.sha256:
        wrong = f"SHA-256 {total[:12]}... is not the published {source.sha256[:12]}..."
    else:
        return
    raise DataError(f"{path}: {wrong}; download {source.url} again")


def first_line(error: Exception) -> str:
    """What an error says first, and its kind."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:150]}" if text else type(error).__name__
