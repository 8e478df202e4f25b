"""Odd surroundings: terminals, homes, disks, users, devices, and JAX as others set it."""

import os
from collections.abc import Callable
from pathlib import Path

from odd.case import FINE, MISTAKE, UNREAD, Case, Done, Place
from odd.folders import PIXELS, filled, scans
from odd.tables import RUN, npz

COMMAND = f"{RUN} --dataset a.npz"
UNKNOWN = """
import pwd


def unknown(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")


pwd.getpwuid = unknown
"""


def surrounded(name: str, says: str = "mean AULC", status: int = FINE, **variables: str | None) -> Case:
    """A run of which only the environment variables are odd."""
    return Case(name, COMMAND, status, says, npz(), variables)


def _unread(place: Place) -> Done:
    """As `jaxal run | head -0`: nobody reads."""
    npz()(place)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return place.call(COMMAND, stdout=writer)
    finally:
        os.close(writer)


def _full(command: str) -> Callable[[Place], Done]:
    def play(place: Place) -> Done:
        npz()(place)
        with Path("/dev/full").open("w") as full:
            return place.call(command, stdout=full)

    return play


def _nobody(place: Place) -> None:
    npz()(place)
    place.write("sitecustomize.py", UNKNOWN)  # which Python imports when it starts


NOBODY = {"HOME": None, "USER": None, "LOGNAME": None, "PYTHONPATH": f".:{os.environ.get('PYTHONPATH', '')}"}
SURROUNDINGS = [
    surrounded("a terminal that knows ASCII alone", PYTHONIOENCODING="ascii", LC_ALL="C"),
    surrounded("a terminal of 40 columns", COLUMNS="40"),
    surrounded("a terminal of 12 columns", COLUMNS="12"),
    surrounded("no terminal to speak of", TERM="dumb", LANG="C"),
    surrounded("no HOME", HOME=None),
    surrounded("a HOME that is not there", HOME="/nonexistent/home"),
    Case("a user whom nobody knows", COMMAND, says="mean AULC", make=_nobody, environment=NOBODY),
    surrounded(
        "a GPU that is not there",
        "JAX finds no device to work on.*JAX_PLATFORMS is cuda",
        MISTAKE,
        JAX_PLATFORMS="cuda",
    ),
    surrounded("a platform that there is not", "JAX finds no device", MISTAKE, JAX_PLATFORMS="nonsense"),
    surrounded("numbers of 64 bits", "JAX_ENABLE_X64=True is ignored", JAX_ENABLE_X64="1"),
    surrounded("another generator of random numbers", "is ignored", JAX_DEFAULT_PRNG_IMPL="rbg"),
    surrounded("warnings as errors", PYTHONWARNINGS="error::UserWarning"),
    surrounded("Python's own optimisation", PYTHONOPTIMIZE="2"),
    Case("nobody reads", status=UNREAD, play=_unread),
    Case("a full disk for what is printed", status=MISTAKE, says="(?i)no space left", play=_full(COMMAND)),
    Case("a full disk for a list", status=MISTAKE, says="(?i)no space left", play=_full("list")),
    Case(
        "a folder for latents that is a file",
        f"{PIXELS} --cache-dir taken",
        MISTAKE,
        "taken",
        lambda place: (filled(scans())(place), place.write("taken", "")),
    ),
]
