"""Threads that wait no longer than they may."""

import subprocess
import sys
import threading
import time

import pytest

from jaxal.data import images
from jaxal.data.in_time import in_time


def test_results_come_in_order():
    def slowly(x: int) -> int:
        time.sleep(0.002 * (x % 3))
        return x * x

    assert list(in_time(slowly, range(100), 5.0)) == [x * x for x in range(100)]
    assert list(in_time(slowly, [], 5.0)) == []


def test_what_is_late_is_none_and_holds_up_nothing():
    """More items hang than there are threads."""
    ever = threading.Event()
    began = time.monotonic()
    found = list(in_time(lambda x: ever.wait() if x % 4 == 0 else x, range(40), 0.05))
    assert found == [None if x % 4 == 0 else x for x in range(40)]
    assert time.monotonic() - began < 10
    ever.set()


def test_an_error_is_raised():
    def fails(x: int) -> int:
        if x == 3:
            raise OSError("gone")
        return x

    found = in_time(fails, range(10), 5.0)
    assert [next(found) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="gone"):
        next(found)


def test_the_interpreter_does_not_wait_for_what_is_late():
    code = "import time; from jaxal.data.in_time import in_time; print(list(in_time(time.sleep, [0, 600], 0.1)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[None, None]\n" and done.returncode == 0


def test_an_image_that_hangs_is_skipped_by_name(monkeypatch):
    monkeypatch.setattr(images, "LONGEST", 0.2)
    monkeypatch.setattr(images, "look", lambda data: time.sleep(1.0) if data == b"slow" else images.Look())
    read, rows, notices = images.read_images(
        ["a", "b", "c"], {"a": b"1", "b": b"slow", "c": b"2"}.__getitem__, strict=False
    )
    assert rows == [0, 2] and len(read) == 2
    assert notices == ["skipped: 1 of 3 files cannot be read as images: b (not decoded within 60 seconds)"]
