"""Run folders that something was changed in: never a traceback, never a hang, never a value of the wrong type."""

import dataclasses
import json
import types
import typing
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pytest
from mutations import mutated, places
from test_report import make_results

from jaxal.config import SettingError
from jaxal.presets import default, paper
from jaxal.report import tables
from jaxal.report.asked import Asked, begin, read_config
from jaxal.report.pages import write_again
from jaxal.report.summary import ReportError, read

CONFIGS, RESULTS, PAGES = 600, 400, 3


def is_a(value: Any, kind: Any) -> bool:
    """Whether a value is what an annotation says, to the letter."""
    if dataclasses.is_dataclass(kind):
        types_ = typing.get_type_hints(kind)
        return type(value) is kind and all(is_a(getattr(value, name), types_[name]) for name in types_)
    if get_origin(kind) is Literal:
        return value in get_args(kind) and type(value) is str
    if get_origin(kind) is tuple:
        return type(value) is tuple and all(is_a(each, get_args(kind)[0]) for each in value)
    if get_origin(kind) is dict:
        return type(value) is dict and all(is_a(each, get_args(kind)[1]) for each in value.values())
    assert not isinstance(kind, types.UnionType)
    return type(value) is kind


@pytest.mark.parametrize("preset", [default, paper], ids=["default", "paper"])
def test_configs(tmp_path, preset):
    asked = Asked("jaxal run", "wine", preset(), ("digits",), fingerprints={"data set wine": "1"}, code="jaxal 1")
    begin(tmp_path, asked)
    path, rng = tmp_path / "config.json", np.random.default_rng(0)
    document = json.loads(path.read_text())
    everything, read_as = places(document), []
    for _ in range(CONFIGS // 2):
        text = mutated(document, rng, everything)
        path.write_text(text)
        try:
            found = read_config(tmp_path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: not what `jaxal run` writes (") and "\n" not in str(error), text
        else:
            assert is_a(found, Asked), text
            read_as.append(found)
    assert 5 < len(read_as) < CONFIGS // 4
    with pytest.raises(SettingError):  # checks are not gone when a file is read
        dataclasses.replace(read_as[0].config.agent, gamma=7.0)


def test_results(tmp_path):
    path, rng = tmp_path / "results.json", np.random.default_rng(1)
    document = make_results(seeds=2)
    text = json.dumps(document)
    document = json.loads(text)
    everything = [place for place in places(document) if len(place) < 4 or rng.random() < 0.05]
    pages = good = 0
    for _ in range(RESULTS):
        path.write_text(text := mutated(document, rng, everything))
        try:
            found = read(tmp_path)
        except ReportError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error), text
            continue
        good += 1
        tables.headline(found)
        for table in (tables.strategy_table, tables.comparison_table, tables.quarter_table):
            assert all(len(row) == len(table(found).header) for row in table(found).rows)
        tables.run_table({"run": found})
        tables.area_table({"run": found})
        if pages < PAGES and rng.random() < 0.3:
            pages += 1
            assert write_again(tmp_path)
    assert pages == PAGES and 40 < good < RESULTS / 1.5
