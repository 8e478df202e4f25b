"""The terminal as it may be: ASCII, narrow, gone; and no home folder."""

import io
import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_report import make_results

from jaxal.cli import main, streams
from jaxal.files import expanded
from jaxal.report import terminal

JAXAL = Path(sys.executable).with_name("jaxal")


def test_what_an_encoding_lacks_is_printed_in_other_characters(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", None)
    streams.prepare()
    print("2 seeds × 3 starts: −0.1 – “naïve”…")
    print("nothing", file=sys.stderr)  # closed by whoever started us
    out.flush()
    assert out.buffer.getvalue().decode("ascii") == "2 seeds x 3 starts: -0.1 - ?na?ve?...\n"


@pytest.mark.parametrize("columns", [36, 46, 80, 120])
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_the_closing_table_is_never_cut(monkeypatch, columns, encoding):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("COLUMNS", str(columns))
    streams.prepare()
    results = make_results()
    terminal.show("run", results)
    out.flush()
    text = out.buffer.getvalue().decode(encoding)
    assert "…" not in text and max(map(len, text.splitlines())) <= columns
    for name, entry in results["strategies"].items():
        assert f"{entry['aulc_mean']:.4f}" in text, name
    assert ("68% interval" in text) == (columns >= 80)


@pytest.mark.parametrize("arguments", [["list"], ["run", "--help"], ["--version"]])
def test_nobody_reads(arguments):
    """As behind `| head`, when it has seen enough."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([JAXAL, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (main.UNREAD, "")


def test_nobody_reads_the_closing_table(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", closefd=False) as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(BrokenPipeError):
            terminal.show("run", make_results())
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # what is left to write, when it is closed
    os.close(writer)


def test_an_interruption_while_jax_is_imported_is_one_line():
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "run"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=30)[1]
    assert (process.returncode, told) == (main.INTERRUPTED, "jaxal: interrupted\n")


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it

class Finder:
    def find_spec(self, name, *rest):
        if name == "jax":
            print("importing", flush=True)
            try:
                time.sleep(60)
            except BaseException:
                pass  # as an extension might, while it is loaded

sys.meta_path.insert(0, Finder())
from jaxal.cli.main import main
main()
"""


def test_home_folders(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/a") == tmp_path / "a"
    assert expanded("b/~") == Path("b/~")
    with pytest.raises(ValueError, match="~nosuchuser/a: there is no such home folder; give the path in full"):
        expanded("~nosuchuser/a")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", lambda number: {}[number])
    with pytest.raises(ValueError, match="~/a: there is no such home folder"):
        expanded("~/a")
    for arguments in (["report", "~nosuchuser/a"], ["run", "--out", "~nosuchuser/a"], ["evaluate", "--policy=~no/a"]):
        monkeypatch.setattr(sys, "argv", ["jaxal", *arguments])
        with pytest.raises(SystemExit) as stop:
            main.main(leave=sys.exit)
        told = capfd.readouterr().err
        assert stop.value.code == main.MISTAKE
        assert (
            told
            == f"jaxal: error: {arguments[-1].split('=')[-1]}: there is no such home folder; give the path in full\n"
        )
