"""What is printed, whatever the terminal can show; and what libraries have to say, which nobody asked for."""

import codecs
import logging
import os
import sys
import warnings

PLAIN = {"−": "-", "–": "-", "×": "x", "…": "...", "─": "-", "│": "|", "’": "'"}
"""What stands for a character where it cannot be shown."""
TALKATIVE = ("absl", "asyncio", "fontTools", "huggingface_hub", "jax", "matplotlib", "orbax", "PIL", "pydicom")
"""Loggers of libraries whose lines mean nothing to a user; what goes wrong is told in a line of our own."""


def prepare() -> None:
    """Makes the streams print what they cannot show in other characters, and libraries keep to themselves."""
    codecs.register_error("jaxal", _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="jaxal")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # XLA's alarms about slow compilation
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """How characters that the stream's encoding does not have are printed."""
    assert isinstance(error, UnicodeEncodeError)
    return "".join(PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


def close() -> None:
    """Where nobody reads any more, as behind `| head`: nothing may be printed from now on."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
