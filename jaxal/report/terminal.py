"""What a command shows on the terminal while it works, and at its end."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from jaxal.report import tables


class _Console(Console):
    """One that tells when nobody reads any more, where rich would end the process with status 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


console = _Console(stderr=True)
CLOSING_COLUMNS = ("strategy", "AULC", "final accuracy", "68% interval", "labels to")  # the most telling first


@contextmanager
def progress(title: str, *, quiet: bool = False) -> Generator[Callable[[int, int, str], None]]:
    """A bar on the terminal; a line now and then where there is none; nothing if `quiet`."""
    if quiet:
        yield lambda done, total, note: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    first: tuple[int, float] | None = None  # what comes before it is compilation, and no measure of the rate
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, rate="", note="compiling")
        if not console.is_terminal:
            tell(f"{title}: compiling")

        def report(done: int, total: int, note: str) -> None:
            nonlocal first
            now = time.monotonic()
            first = first or (done, now)
            rate = (done - first[0]) / max(now - first[1], 1e-9)
            bar.update(task, completed=done, total=total, rate=f"{rate:.2f}/s" if rate else "", note=note)
            if not console.is_terminal and (done == total or done % max(1, total // 5) == 0):
                left = f", {rate:.2f}/s, {(total - done) / rate:.0f} s left" if rate else ""
                tell(f"{title} {done}/{total}{left}, {note}")

        yield report


def tell(line: str) -> None:
    """A line on the work under way."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def notice(line: str) -> None:
    """A line that a user should know of, among what else is told of the work under way."""
    console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def show(title: str, results: dict[str, Any]) -> None:
    """The table that closes a run, and its headline, on stdout; `results` as `summary.read` gives them.

    Where the terminal is narrow, columns are left out rather than cut: the page has them all.
    """
    out = _Console()
    content = tables.strategy_table(results)
    # headers may wrap, numbers may not
    width = lambda i: max(map(len, (*content.header[i].split(), *(row[i] for row in content.rows))))
    wanted = [i for start in CLOSING_COLUMNS for i, name in enumerate(content.header) if name.startswith(start)]
    shown: list[int] = []
    for i in wanted:
        if not shown or sum(width(j) + 2 for j in [*shown, i]) < out.width:
            shown.append(i)
    frame = box.SIMPLE if out.encoding.startswith("utf") else None
    table = Table(title=title, title_justify="left", box=frame, pad_edge=False, padding=(0, 1, 0, 0))
    for i in sorted(shown):
        table.add_column(content.header[i], width=width(i), justify="left" if i == shown[0] else "right")
    for number, row in enumerate(content.rows):
        table.add_row(*(row[i] for i in sorted(shown)), style="bold" if number in content.bold else None)
    out.print(table)
    out.print(tables.headline(results), markup=False, highlight=False)
