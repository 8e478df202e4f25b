"""The command line over the zoo of odd inputs: no traceback, no hang, no silent change."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "experiments" / "odd_inputs.py"


@pytest.mark.slow
@pytest.mark.skipif("JAXAL_ZOO" not in os.environ, reason="takes a quarter of an hour; set JAXAL_ZOO=1 to run it")
def test_every_odd_input_is_told_as_it_should_be(tmp_path):
    command = [sys.executable, str(SCRIPT), "--workers", "2", "--keep", str(tmp_path / "zoo")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, "\n".join(line for line in done.stdout.splitlines() if "| **" in line) + done.stderr
