"""A round with a real Label Studio. Slow: it takes a minute or two, and Label Studio in an environment of its own."""

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from honest_chooser import HONEST
from PIL import Image

from jaxal.config import Reading

EXECUTABLE = os.environ.get("LABEL_STUDIO") or shutil.which("label-studio")
if EXECUTABLE is None:
    where = "install it into an environment of its own, and let LABEL_STUDIO be its executable's path"
    pytest.skip(f"no Label Studio here: {where}", allow_module_level=True)
pytest.importorskip("uvicorn", reason="no uvicorn here: pip install 'jaxal[label]'")


@pytest.mark.slow
def test_a_round(tmp_path):
    path = Path(__file__).parent.parent / "experiments" / "label_studio.py"
    spec = importlib.util.spec_from_file_location("label_studio_round", path)
    assert spec is not None and spec.loader is not None and EXECUTABLE is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    scans = tmp_path / "scans"
    scans.mkdir()
    rng = np.random.default_rng(0)
    labels = {}
    for i in range(40):
        pixels = np.clip(rng.normal(60 if i % 2 else 180, 40, (12, 12, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(scans / f"scan {i}.png")
        labels[f"scan {i}.png"] = "<dark>" if i % 2 else "bright & clear"
    reading = Reading(encoder="pixels", image_size=8)
    lines = list(script.go_round(Path(EXECUTABLE), scans, labels, HONEST, reading))
    assert len(lines) == 10 and all(line.startswith("ok: ") for line in lines)
