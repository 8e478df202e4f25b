"""Reports: what the page claims is what the curves say, whoever wins, and nothing in a run breaks it."""

import copy
import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest

from jaxal.report import pages, statistics
from jaxal.report.figures import figure, metrics_figure, side_by_side
from jaxal.report.interactive import chart, first_shown
from jaxal.report.pages import compare_runs, write_again
from jaxal.report.summary import ReportError, best_hand_written, curves, label, policy, read
from jaxal.report.tables import against, headline, quarter_table, strategy_table

KINDS = {
    "ddqn": "learned",
    "random": "hand-written",
    "margin": "hand-written",
    "typicality": "hand-written",
    "untrained_q": "control",
    "balanced_oracle": "control",
}
LABELS = {"ddqn": "learned (DDQN)", "untrained_q": "untrained Q", "balanced_oracle": "balanced oracle (cheats)"}
LIFT = {"ddqn": 0.04, "random": -0.05, "margin": -0.01, "untrained_q": -0.1, "balanced_oracle": 0.08}
NASTY = '<script>alert("x")</script> | `a` $x_{ **b** & [c](d)\n# e'


def make_results(lift=None, seeds=5, starts=2, noise=0.004):
    """Results as `jaxal run` stores them; `lift` is how far each strategy ends above typicality."""
    rng = np.random.default_rng(0)
    lift = {**LIFT, **(lift or {})}
    labels = list(range(10, 22))
    rise = np.linspace(0, 1, len(labels))
    shape = (seeds, starts, len(labels))
    measured = {
        name: 0.4 + rise * (0.3 + 2 * lift.get(name, 0.0)) + noise * rng.normal(size=(seeds, 1, 1)) * np.ones(shape)
        for name in KINDS
    }
    strategies = {}
    for name, values in measured.items():
        area, flat = statistics.aulc(values), values.reshape(-1, len(labels))
        summary = statistics.target_summary(statistics.labels_to_target(values, labels, 0.6))
        strategies[name] = {
            "kind": KINDS[name],
            "label": LABELS.get(name, ""),
            "cheats": name == "balanced_oracle",
            "labels": labels,
            "accuracy": flat.tolist(),
            "balanced_accuracy": (flat - 0.1).tolist(),
            "macro_f1": (flat - 0.2).tolist(),
            "auroc": (flat + 0.1).tolist(),
            "aulc_mean": float(area.mean()),
            "aulc_ci68": statistics.interval(area, 0.68).tolist(),
            "aulc_ci95": statistics.interval(area, 0.95).tolist(),
            "labels_to_target": {"target": 0.6, **summary._asdict()},
            "seconds": 1.25,
        }
    tested = [name for name in KINDS if name != "ddqn"]
    found = [statistics.compare(*map(statistics.aulc, (measured["ddqn"], measured[b]))) for b in tested]
    adjusted = statistics.holm([c.p for c in found])
    return {
        "command": "jaxal run --dataset cells.npz",
        "config": {"environment": {"budget": 21}},
        "environment": {"jaxal": "0.1.0", "device": "cpu", "git": None},
        "dataset": {
            "name": "cells.npz",
            "classes": ["a", "b"],
            "pool": 300,
            "test": 120,
            "notices": ["3 cells filled"],
        },
        "labels_counted": {"budget": 21, "reward": 100, "validation": 77},
        "episodes": {
            "seed": np.repeat(range(seeds), starts).tolist(),
            "start": np.tile(range(starts), seeds).tolist(),
        },
        "strategies": strategies,
        "comparisons": [
            {
                "a": "ddqn",
                "b": b,
                "aulc_difference": c.difference,
                "ci95": c.ci95,
                "p": c.p,
                "p_holm": p,
                "effect_size": c.effect_size,
                "quarters": statistics.quarters(measured["ddqn"], measured[b]).tolist(),
            }
            for b, c, p in zip(tested, found, adjusted, strict=True)
        ],
        "training": {
            "iterations": 3,
            "seconds": 9.5,
            "returns": [[0.1] * seeds, [0.2] * seeds, [0.4] * seeds],
        },
    }


def store(folder, results):
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return folder


class Page(HTMLParser):
    """Tags, attributes and the text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.images, self.words = [], [], [], []
        self.elements = []  # (tag, attributes)
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attrs = dict(attrs)
        self.elements.append((tag, attrs))
        self.links += [attrs[key] for key in ("src", "href", "srcset") if key in attrs]
        if tag == "img":
            self.images.append(attrs)

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = store(tmp_path_factory.mktemp("runs") / "cells", make_results())
    assert [file.name for file in write_again(path)] == ["figure.png", "figure.svg", "report.html", "report.md"]
    return path


def test_page_holds_itself(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.links[2] == "figure.png"  # beside it
    assert all(link.startswith("data:image/svg+xml;base64,") for link in page.links if link != "figure.png")
    assert not {"link", "iframe"} & set(page.tags)
    assert [attrs for tag, attrs in page.elements if tag == "script"] == [{}]
    assert not re.search(r"@import|url\(", text)
    assert all(image["alt"] for image in page.images) and len(page.images) == 3
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_page_says_everything(folder):
    results = read(folder)
    page = Page((folder / "report.html").read_text(encoding="utf-8"))
    wanted = [
        headline(results),
        "3 cells filled",
        "budget 21, reward 100, validation 77",
        "jaxal run --dataset cells.npz",
    ]
    wanted += [
        "0.1.0",
        "cells.npz",
        "300",
        f"{results['strategies']['ddqn']['aulc_mean']:.4f}",
        "labels to 60%",
    ]
    wanted += ["balanced oracle (cheats)", '"budget": 21', "final macro-F1", "last quarter", "9.5"]
    for text in wanted:
        assert text in page.text, text
    assert "None" not in page.text
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert "![Learning curves](figure.png)" in markdown and "balanced oracle (cheats)" in markdown
    assert f"{results['strategies']['margin']['aulc_mean']:.4f}" in markdown


def test_same_results_same_bytes(folder, tmp_path):
    again = store(tmp_path / "cells", make_results())
    for file in write_again(again)[1:]:
        assert file.read_bytes() == (folder / file.name).read_bytes()


@pytest.mark.parametrize(
    ("lift", "seeds", "noise", "says"),
    [
        (0.04, 5, 0.004, "The learned policy beats typicality"),
        (-0.04, 5, 0.004, "The learned policy loses to typicality"),
        (0.002, 5, 0.02, "No clear winner"),
        (0.04, 1, 0.004, "One seed only"),
        (
            -0.04,
            1,
            0.004,
            "One seed only, so no evidence beyond this split and this policy: the learned policy is behind",
        ),
    ],
)
def test_headline_says_who_won(lift, seeds, noise, says):
    assert headline(make_results({"ddqn": lift}, seeds, noise=noise)).startswith(says)


def test_headline_gives_the_numbers():
    results = make_results()
    areas = {name: entry["aulc_mean"] for name, entry in results["strategies"].items()}
    text = headline(results)
    assert f"mean AULC {areas['ddqn']:.4f} against {areas['typicality']:.4f}" in text
    assert f"difference +{areas['ddqn'] - areas['typicality']:.4f}" in text
    assert re.search(
        r"95% interval \+0\.\d{4} to \+0\.\d{4}; Holm-corrected p (= 0|< 0)\.\d{4}; 5 seeds × 2 starts", text
    )


def test_headline_admits_a_bad_end_and_a_better_control():
    text = headline(make_results({"ddqn": 0.01, "untrained_q": 0.02, "margin": 0.05}))
    assert "Also above the learned policy: untrained Q." in text
    assert re.search(r"In the last quarter of the labels it is 0\.\d{4} below margin", text)
    assert "Also above" not in headline(make_results())  # the oracle is above, but cheats
    assert "last quarter" not in headline(make_results())


def test_headline_says_where_the_lead_comes_from():
    results = make_results({"untrained_q": 0.03})
    for old, new in (("ddqn", "counterfactual"), ("untrained_q", "pretrained")):
        results["strategies"][new] = results["strategies"].pop(old)
        for entry in results["comparisons"]:
            entry.update({side: new for side in ("a", "b") if entry[side] == old})
    area = {name: entry["aulc_mean"] for name, entry in results["strategies"].items()}
    pattern = r"Of its (\S+) over margin, (\S+) is .* rule's, (\S+) comes .* and (\S+) with training on this data\.$"
    told = re.search(pattern, headline(results))
    ladder = [area[name] for name in ("margin", "typicality", "pretrained", "counterfactual")]
    wanted = [ladder[-1] - ladder[0], *(b - a for a, b in pairwise(ladder))]
    assert told is not None
    assert [float(x.replace("−", "-")) for x in told.groups()] == pytest.approx(wanted, abs=1e-4)
    assert "over margin" not in headline(make_results())


def test_headline_without_a_policy_or_a_test():
    results = make_results()
    untested = {**results, "comparisons": []}
    assert "not tested" in headline(untested)
    del results["strategies"]["ddqn"]
    assert headline(results).startswith("The largest mean AULC is balanced oracle (cheats)'s")


def test_comparison_stored_the_other_way_round_turns_its_signs():
    results = make_results()
    forward = against(results, "ddqn", "margin")
    backward = against(results, "margin", "ddqn")
    assert forward and backward
    assert forward["aulc_difference"] > 0 and forward["effect_size"] > 0 and forward["quarters"][-1] > 0
    assert backward["aulc_difference"] == -forward["aulc_difference"]
    assert backward["ci95"] == [-forward["ci95"][1], -forward["ci95"][0]]
    assert backward["effect_size"] == -forward["effect_size"] and backward["p"] == forward["p"]
    assert backward["quarters"] == [-q for q in forward["quarters"]]
    turned = copy.deepcopy(results)
    turned["comparisons"] = [against(results, entry["b"], "ddqn") for entry in results["comparisons"]]
    assert turned["comparisons"] != results["comparisons"] and None not in turned["comparisons"]
    assert headline(turned) == headline(results)
    assert quarter_table(turned) == quarter_table(results)
    assert against(results, "margin", "random") is None


def test_best_hand_written_is_neither_learned_nor_a_control():
    assert best_hand_written(make_results()) == "typicality"
    assert best_hand_written(make_results({"margin": 0.01})) == "margin"
    assert policy(make_results()) == "ddqn"


def test_curves_find_their_seed_and_start():
    results = make_results(noise=0.05)
    before = curves(results, "margin")
    order = np.random.default_rng(1).permutation(10)
    for key, values in results["episodes"].items():
        results["episodes"][key] = [values[i] for i in order]
    results["strategies"]["margin"]["accuracy"] = [results["strategies"]["margin"]["accuracy"][i] for i in order]
    np.testing.assert_array_equal(curves(results, "margin"), before)


def test_figure_draws_means_bands_and_the_signed_difference():
    results = make_results(noise=0.02)
    top, bottom = figure(results).axes
    ours, other = curves(results, "ddqn"), curves(results, "typicality")
    drawn = np.array([line.get_ydata() for line in top.lines])
    np.testing.assert_allclose(drawn, [curves(results, name).mean((0, 1)) for name in KINDS])
    zero, difference = (np.asarray(line.get_ydata()) for line in bottom.lines)
    np.testing.assert_array_equal(zero, [0, 0])
    np.testing.assert_allclose(difference, (ours - other).mean((0, 1)))
    assert difference[-1] > 0
    band = np.asarray(bottom.collections[0].get_paths()[0].vertices)[:, 1]
    low, high = statistics.interval(ours - other, 0.68)
    assert {*np.round(low, 9), *np.round(high, 9)} <= set(np.round(band, 9))


def test_figure_tells_strategies_apart():
    results = make_results()
    top = figure(results).axes[0]
    lines = dict(zip(KINDS, top.lines, strict=True))
    assert {name for name, line in lines.items() if line.get_linestyle() == "--"} == {
        "untrained_q",
        "balanced_oracle",
    }
    assert max(lines, key=lambda name: lines[name].get_linewidth()) == "ddqn"
    assert len({line.get_color() for line in lines.values()}) == len(KINDS)
    assert {text.get_text() for text in top.texts} == {label(results, name) for name in KINDS}


def test_bands_are_few_where_strategies_are_many():
    results = make_results()
    results["strategies"] |= {f"other_{i}": results["strategies"]["margin"] for i in range(9)}
    some, every = figure(results).axes[0], figure(make_results()).axes[0]
    assert len(every.collections) == len(KINDS) and "mean and 68% band" in every.get_title("left")
    assert len(some.lines) == len(KINDS) + 9
    assert len(some.collections) == 3 and "mean and 3 of the 68% bands" in some.get_title("left")


def many_strategies():
    """More than are shown at first: the paper's, two learned ones and some that nobody has asked for."""
    results = make_results(noise=0.02)
    entries = results["strategies"]
    names = ["entropy", "least_confidence", "average_confidence", NASTY, "other"]
    entries |= {name: {**entries["margin"], "aulc_mean": 0.1} for name in names}
    entries["pretrained"] = {**entries["ddqn"], "label": NASTY}
    return results


def test_few_strategies_are_all_shown_at_first():
    assert first_shown(make_results()) == set(KINDS)


def test_of_many_strategies_the_learned_the_papers_and_the_best_are_shown_at_first():
    results = many_strategies()
    papers = {"random", "margin", "entropy", "least_confidence", "average_confidence"}
    assert first_shown(results) == papers | {"ddqn", "pretrained", "typicality"}
    results["strategies"]["other"]["aulc_mean"] = 0.9
    assert first_shown(results) == papers | {"ddqn", "pretrained", "other"}
    controls = {f"control_{i}": results["strategies"]["untrained_q"] for i in range(9)}
    assert first_shown({**results, "strategies": controls}) == set(controls)


def test_the_interactive_figure_draws_means_and_bands():
    results = make_results(noise=0.02)
    drawn = chart(results)
    areas = [float(curve.area) for curve in drawn.curves]
    assert areas == sorted(areas, reverse=True) and {curve.name for curve in drawn.curves} == set(KINDS)
    assert {curve.name for curve in drawn.curves if curve.dashed} == {"untrained_q", "balanced_oracle"}
    assert [curve.name for curve in drawn.curves if curve.thick] == ["ddqn"]
    left, bottom, width, height = drawn.view
    assert (left, left + width) == (10, 21)
    for curve in drawn.curves:
        line, band = (np.array([p.split(",") for p in text.split()], float) for text in (curve.line, curve.band))
        values = curves(results, curve.name)
        np.testing.assert_allclose(line[:, 1], 100 * values.mean((0, 1)), atol=6e-4)
        low, high = 100 * statistics.interval(values, 0.68)
        np.testing.assert_allclose(band[:, 1], [*high, *low[::-1]], atol=6e-4)
        assert band[:, 1].min() > bottom and band[:, 1].max() < bottom + height
    for tick in drawn.up:
        assert float(tick.text.removesuffix("%")) == tick.value
        assert tick.share == pytest.approx(100 * (tick.value - bottom) / height, abs=1e-2)
    assert len(drawn.up) >= 3 and all(0 <= tick.share <= 100 for tick in drawn.up + drawn.across)


def test_curves_of_one_point_have_no_interactive_figure():
    results = make_results()
    for entry in results["strategies"].values():
        entry |= {"labels": [10], "accuracy": [row[:1] for row in entry["accuracy"]]}
    assert chart(results) is None


def test_the_page_shows_and_hides_without_a_script_and_names_are_text(tmp_path):
    results = many_strategies()
    html = write_again(store(tmp_path / "a", results))[2].read_text(encoding="utf-8")
    page = Page(html)
    drawn = {a["data-strategy"]: a for tag, a in page.elements if tag == "g" and "data-strategy" in a}
    buttons = {a["data-strategy"]: a for tag, a in page.elements if tag == "button" and "data-strategy" in a}
    assert page.tags.count("script") == 1 and page.tags.count("g") == 1 + len(drawn)
    assert list(buttons) == list(drawn)[::-1] and set(drawn) == set(results["strategies"])  # the best is drawn last
    shown = first_shown(results)
    assert {name for name, attrs in buttons.items() if attrs["aria-pressed"] == "true"} == shown
    assert {name for name, attrs in drawn.items() if "off" not in attrs["class"].split()} == shown
    assert all(set(attrs) == {"data-strategy", "class", "stroke"} for attrs in drawn.values())
    assert "Show all 12" in page.text and "Show the main 8" in page.text
    (figure_of_page,) = (attrs for _, attrs in page.elements if attrs.get("class") == "chart")
    still = next(attrs for tag, attrs in page.elements if tag == "details")
    assert "hidden" in figure_of_page and "open" in still  # until the script says otherwise


def test_where_policies_come_from(folder):
    def told(train_on, *strategies):
        results = make_results()
        results["dataset"]["train_on"] = train_on
        return pages._trained_on({**results, "strategies": dict.fromkeys([*KINDS, *strategies])})

    assert told(["wine", "digits"]) == "wine; digits"
    assert told([], "pretrained").startswith("other data, before this run")
    assert told([]) == "–"
    assert "labelled; the policy is trained here" in (folder / "report.html").read_text()


@pytest.mark.parametrize("width", [8.6, 4.4])
def test_names_at_the_ends_touch_neither_curves_nor_each_other(width):
    level = dict.fromkeys(KINDS, 0.0)
    fig = figure(make_results(level), width=width)  # all curves end in one place: the hardest case
    fig.draw_without_rendering()
    top = fig.axes[0]
    boxes = sorted((super(type(t), t).get_window_extent() for t in top.texts), key=lambda box: box.y0)
    assert all(upper.y0 >= lower.y1 - 1 for lower, upper in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= top.get_window_extent().x1
    assert max(box.x1 for box in boxes) <= fig.bbox.x1


def test_pictures_adapt_to_what_is_there():
    results = make_results()
    for entry in results["strategies"].values():
        del entry["auroc"]
    assert [ax.get_title(loc="left") for ax in metrics_figure(results).axes] == [
        "balanced accuracy",
        "macro-F1",
    ]
    assert "final AUROC" not in strategy_table(results).header
    only = {**results, "strategies": {"margin": results["strategies"]["margin"]}}
    assert len(figure(only).axes) == 1
    assert len(side_by_side([results, only]).axes) == 4


def test_strategy_table_is_in_order_and_marks_the_policy():
    results = make_results({"random": -0.2})
    table = strategy_table(results)
    areas = [float(row[2]) for row in table.rows]
    assert areas == sorted(areas, reverse=True) and len(table.rows) == len(KINDS)
    assert [table.rows[i][0] for i in table.bold] == ["learned (DDQN)"]
    rows = {row[0]: row for row in table.rows}
    assert rows["random"][-2] == "– (0%)" and rows["learned (DDQN)"][-2] == "16 (100%)"
    assert all(len(row) == len(table.header) for row in table.rows)


def test_nothing_in_a_run_breaks_the_page(tmp_path):
    results = make_results(seeds=1, starts=1)
    results["dataset"] |= {"name": NASTY, "classes": [NASTY], "notices": [NASTY], "train_on": [NASTY]}
    results["strategies"][NASTY] = {**results["strategies"]["margin"], "aulc_mean": 0.9}
    results |= {"command": NASTY, "config": {NASTY: NASTY}, "environment": {NASTY: NASTY}, "training": {}}
    html, markdown = write_again(store(tmp_path / "a", results))[2:]
    page = Page(html.read_text(encoding="utf-8"))
    assert page.tags.count("script") == 1 and page.text.count('<script>alert("x")</script>') >= 8
    lines = markdown.read_text(encoding="utf-8").splitlines()
    tables = [re.sub(r"\\\|", "", line) for line in lines if line.startswith("|")]
    headers = {line.count("|") for line in tables if "---" in line}
    assert {line.count("|") for line in tables} == headers
    prose = [line for line in lines if not line.startswith("    ")]
    assert not any("<script" in line or line.startswith("# e") for line in prose)


def damaged(change):
    results = make_results(seeds=2)
    change(results)
    return results


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r.pop("strategies"), "strategies: Field required"),
        (lambda r: r.pop("episodes"), "episodes: Field required"),
        (lambda r: r["dataset"].pop("name"), "dataset.name: Field required"),
        (lambda r: r["dataset"].update(notices="none"), "notices"),
        (lambda r: r.update(strategies={}), "at least one"),
        (lambda r: r.update(environment=[1]), "environment"),
        (lambda r: r["strategies"]["margin"].update(kind="best"), "strategies.margin.kind"),
        (lambda r: r["strategies"]["margin"].update(aulc_mean=float("nan")), "not a whole JSON file"),
        (lambda r: r["strategies"]["margin"].update(aulc_mean=None), "strategies.margin.aulc_mean"),
        (lambda r: r["strategies"]["margin"].update(aulc_mean=1.5), "strategies.margin: areas"),
        (lambda r: r["strategies"]["margin"].update(colour="red;}"), "strategies.margin.colour must be #RRGGBB"),
        (lambda r: r["strategies"]["margin"].update(labels=list(range(12))), "strategies.margin.labels differ"),
        (lambda r: r["strategies"]["margin"]["accuracy"][0].__setitem__(0, None), "strategies.margin.accuracy.0.0"),
        (lambda r: r["comparisons"][0].update(b="luck"), "comparisons: 'luck' is none of the strategies"),
        (lambda r: r["strategies"]["margin"]["accuracy"].pop(), "strategies.margin.accuracy"),
        (lambda r: r["strategies"]["margin"]["auroc"][0].pop(), "not what"),
        (lambda r: r["strategies"]["margin"]["macro_f1"][0].__setitem__(0, "a"), "macro_f1"),
        (lambda r: r["strategies"]["margin"].update(aulc_ci95=[0.1]), "aulc_ci95"),
        (lambda r: r["strategies"]["margin"].update(seconds="fast"), "not what"),
        (lambda r: r["episodes"]["start"].__setitem__(0, 1), "every start of every seed"),
        (lambda r: r["comparisons"][0].pop("p_holm"), "p_holm"),
        (lambda r: r["comparisons"][0].update(ci95=[1]), "ci95"),
        (lambda r: r["comparisons"][0].update(p="small"), "not what"),
        (lambda r: r["training"].update(returns=[[1, 2], [3]]), "not what"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, change, says):
    path = store(tmp_path / "a", damaged(change))
    with pytest.raises(ReportError) as error:
        read(path)
    message = str(error.value)
    assert says in message and str(path / "results.json") in message and "\n" not in message


@pytest.mark.parametrize("text", ["", "[1, 2]", "null", '{"strategies": {', "\x00\x01"])
def test_a_file_that_is_not_results_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ReportError) as error:
        write_again(tmp_path)
    assert "results.json" in str(error.value) and "\n" not in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["results.json"]


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ReportError, match="no such file"):
        read(tmp_path / "nothing")
    with pytest.raises(ReportError, match="no run folder"):
        compare_runs([], tmp_path)


def test_optional_fields_may_be_absent(tmp_path):
    results = make_results(seeds=2)
    for key in ("command", "config", "environment", "labels_counted", "training", "comparisons"):
        del results[key]
    for entry in results["strategies"].values():
        for key in (
            "balanced_accuracy",
            "macro_f1",
            "auroc",
            "aulc_ci68",
            "aulc_ci95",
            "labels_to_target",
            "seconds",
        ):
            del entry[key]
    results["dataset"] = {"name": "cells"}
    html = write_again(store(tmp_path / "a", results))[2].read_text(encoding="utf-8")
    assert "not tested" in html and "None" not in html and "nan" not in Page(html).text


def test_numbers_that_cannot_be_had_are_dashes(tmp_path):
    """As where the test rows of a split are of one class."""
    results = make_results(seeds=2)
    for entry in results["strategies"].values():
        entry["auroc"] = [[None] * len(row) for row in entry["auroc"]]
    html, markdown = write_again(store(tmp_path / "a", results))[2:]
    table = strategy_table(read(tmp_path / "a"))
    column = table.header.index("final AUROC")
    assert {row[column] for row in table.rows} == {"–"}
    for path in (html, markdown):
        assert "nan" not in Page(path.read_text(encoding="utf-8")).text.lower().split()
    assert [ax.get_title(loc="left") for ax in metrics_figure(read(tmp_path / "a")).axes] == [
        "balanced accuracy",
        "macro-F1",
    ]


def test_several_runs_on_one_page(folder, tmp_path):
    losing = make_results({"ddqn": -0.04})
    del losing["strategies"]["random"]
    losing["comparisons"] = [entry for entry in losing["comparisons"] if entry["b"] != "random"]
    other = store(tmp_path / "other", losing)
    html = compare_runs([folder, other, folder], tmp_path / "out")[2].read_text(encoding="utf-8")
    page = Page(html)
    assert "2 runs" in page.text  # a folder given twice is one run
    assert headline(read(folder)) in page.text and headline(read(other)) in page.text
    assert [attrs.get("class") for tag, attrs in page.elements if tag == "figure"] == ["chart", None] * 2
    assert len(page.images) == 2 and all(link.startswith("data:") for link in page.links)
    assert f"{losing['strategies']['ddqn']['aulc_mean']:.4f}" in page.text
    assert len((tmp_path / "out" / "report.md").read_text(encoding="utf-8")) > 500


def test_a_run_folder_of_version_0_1_0_is_read(tmp_path):
    """It had no labels and no colours of strategies."""
    results = make_results()
    for entry in results["strategies"].values():
        del entry["label"]
    path = store(tmp_path / "old", results)
    write_again(path)
    assert "untrained q" in (path / "report.md").read_text(encoding="utf-8").replace("\\", "")
    lines = figure(read(path)).axes[0].lines
    assert len({line.get_color() for line in lines}) == len(KINDS)
