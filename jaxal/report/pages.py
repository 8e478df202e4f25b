"""Pictures and pages from run folders. Reads only `results.json`; pages need no network, and are whole without scripts.

`write` makes one run's `figure.png`, `figure.svg`, `report.html` and `report.md`; `compare_runs` one page
over several runs.
"""

import base64
import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from jaxal.files import write_text, write_whole
from jaxal.report.figures import NARROW, WIDE, figure, metrics_figure, other_metrics, side_by_side, training_figure
from jaxal.report.interactive import chart
from jaxal.report.summary import METRIC_NAMES, ReportError, Summary, curves, label, read
from jaxal.report.tables import (
    NO_VALUE,
    Table,
    area_table,
    comparison_table,
    episodes,
    headline,
    quarter_table,
    run_table,
    strategy_table,
)

PARTS = {
    "source_pool": "labelled; the policy is trained here, by asking for these labels",
    "pool": "unlabelled; the strategies are compared here",
    "state": "predictions on them are the policy's state; their labels are never used",
    "reward": "labelled; give the rewards in training",
    "validation": "labelled; choose between the parameters seen in training",
    "test": "labelled; only ever reported",
}


class Picture(NamedTuple):
    """An inline picture for screens, one for phones, and the words for those who see neither."""

    wide: str  # data URI
    narrow: str
    alt: str


def write(folder: Path, summary: Summary, title: str = "") -> list[Path]:
    """Writes figure.png, figure.svg, report.html and report.md of a run into a folder and returns their paths.

    The title is the folder's name by default.
    """
    return _write(folder, figure(summary), "report", {"title": title or _name(folder), **_page(summary)})


def write_again(run: Path, out: Path | None = None) -> list[Path]:
    """`write` for the folder of a finished run, into that folder or into `out`, which is made if need be.

    Raises:
      ReportError: see `read`.
    """
    summary = read(run)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    return write(out or run, summary, _name(run))


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
        "pictures": [(name, _accuracy_picture(run), chart(run)) for name, run in named.items()],
        "headlines": [(name, headline(run)) for name, run in named.items()],
    }
    Path(out).mkdir(parents=True, exist_ok=True)
    return _write(Path(out), side_by_side(runs, names=names), "runs", page)


def _page(summary: Summary) -> dict[str, Any]:
    data = summary["dataset"]
    spent = ", ".join(f"{use} {count}" for use, count in summary["labels_counted"].items())
    pictures = []
    if others := other_metrics(summary):
        names = ", ".join(METRIC_NAMES[metric] for metric in others)
        alt = f"{names[0].upper()}{names[1:]} against the number of labels; their ends are in the table."
        pictures.append(("Other metrics", _picture(metrics_figure, summary, alt)))
    training = summary["training"]
    if returns := training.get("returns"):
        first, last = (np.nanmean(np.asarray(rows, float)) for rows in (returns[0], returns[-1]))
        alt = f"Mean return of an episode: {first:.3g} in iteration 1, {last:.3g} in iteration {len(returns)}."
        pictures.append(("Training", _picture(training_figure, summary, alt)))
    return {
        "headline": headline(summary),
        "curves": _accuracy_picture(summary),
        "chart": chart(summary),
        "pictures": pictures,
        "strategies": strategy_table(summary),
        "comparisons": comparison_table(summary),
        "quarters": quarter_table(summary),
        "summary": [
            ("data set", data["name"]),
            ("classes", ", ".join(map(str, data["classes"])) or NO_VALUE),
            ("policy trained on", _trained_on(summary)),
            ("compared on", episodes(summary)),
        ],
        "notices": [str(notice) for notice in data["notices"]],
        "parts": Table(
            ["part", "rows", "use"],
            [[part.replace("_", " "), str(data.get(part, NO_VALUE)), use] for part, use in PARTS.items()],
            f"Labels spent: {spent}." if spent else "",
        ),
        "training": [(k.replace("_", " "), _plain(v)) for k, v in training.items() if not isinstance(v, list)],
        "environment": [(key, _plain(value)) for key, value in summary["environment"].items()],
        "config": json.dumps(summary["config"], indent=2, ensure_ascii=False),
        "command": summary.get("command"),
    }


def _trained_on(summary: Summary) -> str:
    """Where the policies come from: data sets, or the package."""
    names = [str(name) for name in summary["dataset"]["train_on"]]
    if "pretrained" in summary["strategies"]:
        names.append("other data, before this run (`jaxal card` tells of the package's policy)")
    return "; ".join(names) or NO_VALUE


def _accuracy_picture(summary: Summary) -> Picture:
    entries = summary["strategies"]
    final = {name: curves(summary, name)[..., -1].mean() for name in entries}
    by_end = sorted(final, key=lambda name: -final[name])
    ranked = ", ".join(f"{label(summary, name)} {final[name]:.3f}" for name in by_end)
    last = next(iter(entries.values()))["labels"][-1]
    alt = f"Test accuracy against the number of labels. At {last} labels: {ranked}. {headline(summary)}"
    return _picture(figure, summary, alt)


def _picture(draw: Callable[..., Figure], summary: Summary, alt: str) -> Picture:
    return Picture(_data_uri(draw(summary, width=WIDE)), _data_uri(draw(summary, width=NARROW)), alt)


def _data_uri(fig: Figure) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(_svg(fig)).decode()


def _svg(fig: Figure) -> bytes:
    out = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "jaxal"}):  # the same summary give the same bytes
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
    write_whole(paths[0], lambda file: fig.savefig(file, dpi=160, format="png"))
    write_whole(paths[1], lambda file: file.write(_svg(fig)))
    for path, environment in zip(paths[2:], (html, markdown), strict=True):
        write_text(path, environment.get_template(f"{template}{path.suffix}.jinja").render(page))
    return paths


def _markdown(value: Any) -> Any:
    """Escapes Markdown, HTML and line ends in strings, except those that a template marks as safe."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    value = " ".join(value.split()).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{character}" if character in r"\`*_[]|#~" else character for character in value)


def _name(folder: Path | str) -> str:
    return Path(folder).resolve().name


def _plain(value: Any) -> str:
    if value is None:
        return NO_VALUE
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_plain(each)}" for name, each in value.items())
    if isinstance(value, list):
        return " ".join(map(_plain, value))
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"
    return f"{value:,}" if type(value) is int else str(value)
