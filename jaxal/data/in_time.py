"""Threads whose work on each item may take so long and no longer."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
GLANCE = 1.0  # seconds between two looks at whether an item is late


def in_time(function: Callable[[Item], Result], items: Sequence[Item], seconds: float) -> Iterator[Result | None]:
    """`function` of every item, in order; None of one that takes longer than so many seconds.

    There are as many threads as processors. Nothing can stop a thread that is late: it is left behind, another takes
    its place, and the interpreter does not wait for it. What `function` raises is raised here.
    """
    left, lock = iter(range(len(items))), threading.Lock()
    results: list[Future[Result]] = [Future() for _ in items]
    began: dict[int, float] = {}

    def work() -> None:
        while True:
            with lock:
                place = next(left, None)
            if place is None:
                return
            began[place] = time.monotonic()
            with suppress(InvalidStateError):  # late: given up
                try:
                    results[place].set_result(function(items[place]))
                except Exception as error:
                    results[place].set_exception(error)
            if results[place].cancelled():
                return

    def start() -> None:
        threading.Thread(target=work, daemon=True).start()

    for _ in range(os.cpu_count() or 1):
        start()
    try:
        for place, result in enumerate(results):
            while not wait([result], min(GLANCE, seconds)).done:
                if place in began and time.monotonic() - began[place] > seconds and result.cancel():
                    start()
                    break
            yield None if result.cancelled() else result.result()
    finally:
        with lock:
            left = iter(())
