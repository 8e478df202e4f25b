"""Pictures and pages from run folders. Reads only `results.json`; pages need no network and no scripts.

`write` makes one run's `figure.png`, `figure.svg`, `report.html` and `report.md`; `compare_runs` one page
over several runs.
"""

import base64
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from jaxal.report.figures import (
    METRIC_NAMES,
    NARROW,
    WIDE,
    Results,
    curves,
    figure,
    label,
    metrics_figure,
    side_by_side,
    training_figure,
)
from jaxal.report.tables import (
    NO_VALUE,
    Table,
    area_table,
    comparison_table,
    episodes,
    headline,
    missing,
    quarter_table,
    run_table,
    strategy_table,
)

PARTS = {
    "source_pool": "unlabelled; the policy is trained here",
    "pool": "unlabelled; the strategies are compared here",
    "state": "predictions on them are the policy's state; their labels are never used",
    "reward": "labelled; give the rewards in training",
    "validation": "labelled; choose between the parameters seen in training",
    "test": "labelled; only ever reported",
}
KINDS = ("learned", "hand-written", "control")
OPTIONAL = {
    "comparisons": list,
    "labels_counted": dict,
    "training": dict,
    "environment": dict,
    "config": dict,
}
OPTIONAL_OF_DATASET = {"classes": list, "train_on": list, "notices": list}


class ReportError(ValueError):
    """A run folder that cannot be reported, in one line: which file, what is wrong, what would be right."""


class Picture(NamedTuple):
    """An inline picture for screens, one for phones, and the words for those who see neither."""

    wide: str  # data URI
    narrow: str
    alt: str


def read(folder: Path | str) -> Results:
    """The checked contents of `folder`/results.json.

    Raises:
      ReportError: the file is missing, is not JSON, or lacks what a report needs.
    """
    path = Path(folder) / "results.json"
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ReportError(f"{path}: no such file; give the folder of a finished `jaxal run`") from None
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ReportError(f"{path}: not a whole JSON file ({_one_line(error)}); run `jaxal run` again") from None
    try:
        return _checked(results)
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise ReportError(f"{path}: not what `jaxal run` writes: {_one_line(error)}; run it again") from None
    except KeyError as error:
        raise ReportError(f"{path}: not what `jaxal run` writes: the field {error} is missing; run it again") from None


def write(folder: Path | str) -> list[Path]:
    """Writes figure.png, figure.svg, report.html and report.md into a run's folder and returns their paths.

    Raises:
      ReportError: see `read`.
    """
    folder = Path(folder)
    results = read(folder)
    return _write(folder, figure(results), "report", {"title": _name(folder), **_page(results)})


def compare_runs(folders: Sequence[Path | str], out: Path | str) -> list[Path]:
    """Writes one page over several runs, and their figure, into the folder `out`, which is made if need be.

    Raises:
      ReportError: no folder is given, or see `read`.
    """
    folders = list(dict.fromkeys(map(Path, folders)))
    if not folders:
        raise ReportError("no run folder is given; give at least one, such as runs/NAME")
    runs = [read(folder) for folder in folders]
    names = [_name(folder) for folder in folders]
    names = [name if names.count(name) == 1 else str(f) for name, f in zip(names, folders, strict=True)]
    named = dict(zip(names, runs, strict=True))
    page = {
        "title": f"{len(runs)} run{'s' * (len(runs) != 1)}",
        "verdicts": run_table(named),
        "areas": area_table(named),
        "pictures": [(name, _accuracy_picture(run)) for name, run in named.items()],
        "headlines": [(name, headline(run)) for name, run in named.items()],
    }
    Path(out).mkdir(parents=True, exist_ok=True)
    return _write(Path(out), side_by_side(runs, names=names), "runs", page)


def _page(results: Results) -> dict[str, Any]:
    data = results["dataset"]
    spent = ", ".join(f"{use} {count}" for use, count in results["labels_counted"].items())
    pictures = []
    if all(metric in entry for entry in results["strategies"].values() for metric in METRIC_NAMES):
        alt = "Balanced accuracy, macro-F1 and AUROC against the number of labels; their ends are in the table."
        pictures.append(("Other metrics", _picture(metrics_figure, results, alt)))
    training = results["training"]
    if returns := training.get("returns"):
        first, last = np.mean(returns[0]), np.mean(returns[-1])
        alt = f"Mean return of an episode: {first:.3g} in iteration 1, {last:.3g} in iteration {len(returns)}."
        pictures.append(("Training", _picture(training_figure, results, alt)))
    return {
        "headline": headline(results),
        "curves": _accuracy_picture(results),
        "pictures": pictures,
        "strategies": strategy_table(results),
        "comparisons": comparison_table(results),
        "quarters": quarter_table(results),
        "summary": [
            ("data set", data["name"]),
            ("classes", ", ".join(map(str, data["classes"])) or NO_VALUE),
            ("policy trained on", ", ".join(map(str, data["train_on"])) or NO_VALUE),
            ("compared on", episodes(results)),
        ],
        "notices": [str(notice) for notice in data["notices"]],
        "parts": Table(
            ["part", "rows", "use"],
            [[part.replace("_", " "), str(data.get(part, NO_VALUE)), use] for part, use in PARTS.items()],
            f"Labels spent: {spent}." if spent else "",
        ),
        "training": [(k.replace("_", " "), _plain(v)) for k, v in training.items() if not isinstance(v, list)],
        "environment": [(key, _plain(value)) for key, value in results["environment"].items()],
        "config": json.dumps(results["config"], indent=2, ensure_ascii=False),
        "command": results.get("command"),
    }


def _accuracy_picture(results: Results) -> Picture:
    entries = results["strategies"]
    final = {name: curves(results, name)[..., -1].mean() for name in entries}
    ranked = ", ".join(f"{label(name)} {final[name]:.3f}" for name in sorted(final, key=lambda name: -final[name]))
    last = next(iter(entries.values()))["labels"][-1]
    alt = f"Test accuracy against the number of labels. At {last} labels: {ranked}. {headline(results)}"
    return _picture(figure, results, alt)


def _picture(draw: Callable[..., Figure], results: Results, alt: str) -> Picture:
    return Picture(_data_uri(draw(results, width=WIDE)), _data_uri(draw(results, width=NARROW)), alt)


def _data_uri(fig: Figure) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(_svg(fig)).decode()


def _svg(fig: Figure) -> bytes:
    out = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "jaxal"}):  # the same results give the same bytes
        fig.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _write(folder: Path, fig: Figure, template: str, page: dict[str, Any]) -> list[Path]:
    loader = jinja2.PackageLoader("jaxal.report")
    options: Any = {
        "loader": loader,
        "undefined": jinja2.StrictUndefined,
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    html = jinja2.Environment(autoescape=True, **options)
    markdown = jinja2.Environment(finalize=_markdown, **options)
    paths = [folder / name for name in ("figure.png", "figure.svg", "report.html", "report.md")]
    fig.savefig(paths[0], dpi=160)
    paths[1].write_bytes(_svg(fig))
    for path, environment in zip(paths[2:], (html, markdown), strict=True):
        text = environment.get_template(f"{template}{path.suffix}.jinja").render(page)
        path.write_text(text, encoding="utf-8")
    return paths


def _markdown(value: Any) -> Any:
    """Escapes Markdown, HTML and line ends in strings, except those that a template marks as safe."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    value = " ".join(value.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{character}" if character in r"\`*_[]|#~" else character for character in value)


def _checked(results: Any) -> Results:
    """Fills in what may be absent and raises for anything that a report cannot do without."""
    if not isinstance(results, dict):
        raise ValueError("the contents must be an object")
    for part, optional in ((results, OPTIONAL), (results["dataset"], OPTIONAL_OF_DATASET)):
        for key, kind in optional.items():
            if part.get(key) is None:
                part[key] = kind()
            if not isinstance(part[key], kind):
                raise ValueError(f"{key} must be {'a list' if kind is list else 'an object'}")
    results["dataset"]["name"] = str(results["dataset"]["name"])
    returns = results["training"].get("returns") or []
    if not np.isfinite(np.asarray(returns, float)).all() or not isinstance(returns, list):
        raise ValueError("training.returns must be a list of finite numbers, or of one such list an iteration")
    if not results["strategies"]:
        raise ValueError("strategies must hold at least one")
    for name, entry in results["strategies"].items():
        _check_strategy(f"strategies.{name}", entry, len(results["episodes"]["seed"]))
        curves(results, name)
    for entry in results["comparisons"]:
        if absent := {"a", "b", "p", "p_holm"} - set(entry):
            raise KeyError(f"comparisons.{min(absent)}")
        if not np.isfinite([entry["aulc_difference"], *entry["ci95"]]).all() or len(entry["ci95"]) != 2:
            raise ValueError("comparisons: aulc_difference and the two ends of ci95 must be finite")
        for value in (entry["p"], entry["p_holm"], entry.get("effect_size"), *(entry.get("quarters") or ())):
            missing(value)  # raises for what is neither a number nor null
    return results


def _check_strategy(where: str, entry: dict[str, Any], episodes: int) -> None:
    if entry["kind"] not in KINDS:
        raise ValueError(f"{where}.kind is {entry['kind']!r}; it must be one of {', '.join(KINDS)}")
    if not math.isfinite(entry["aulc_mean"]):
        raise ValueError(f"{where}.aulc_mean is {entry['aulc_mean']}; it must be finite")
    for metric in METRIC_NAMES:
        if metric != "accuracy" and metric not in entry:
            continue
        found, shape = np.asarray(entry[metric], float), (episodes, len(entry["labels"]))
        if found.shape != shape or not np.isfinite(found).all():
            raise ValueError(f"{where}.{metric} must be {shape[0]} x {shape[1]} finite numbers")
    for key in ("aulc_ci68", "aulc_ci95"):
        if entry.get(key) is not None and np.shape(np.asarray(entry[key], float)) != (2,):
            raise ValueError(f"{where}.{key} must be two numbers")
    target = entry.get("labels_to_target") or {"target": 0.0}
    for value in (target["target"], target.get("median"), target.get("reached"), entry.get("seconds")):
        missing(value)


def _name(folder: Path | str) -> str:
    return Path(folder).resolve().name


def _plain(value: Any) -> str:
    if value is None:
        return NO_VALUE
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
