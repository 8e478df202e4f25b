"""The report in a real Chromium: strategies are hidden, shown and pointed at; it fits a phone and needs no script."""

import pytest
from test_report import NASTY, curves, many_strategies, store, write_again

LONG = "W" * 300  # has no place to break at


@pytest.fixture(scope="module")
def results():
    results = many_strategies()
    results["strategies"]["entropy"]["label"] = LONG
    return results


@pytest.fixture(scope="module")
def address(tmp_path_factory, results):
    return write_again(store(tmp_path_factory.mktemp("page") / "run", results))[2].as_uri()


@pytest.fixture
def visit(browser, address):
    """(settings of the browser) -> the page, without a network; what goes wrong on it fails the test."""
    contexts, wrong = [], []

    def open_page(width=1280, **settings):
        context = browser.new_context(viewport={"width": width, "height": 900}, offline=True, **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def named(page, name, tag="button"):
    """The button, or the curve, of a strategy."""
    numbers = page.eval_on_selector_all(f"{tag}[data-strategy]", "all => all.map(one => one.dataset.strategy)")
    return page.locator(f"{tag}[data-strategy]").nth(numbers.index(name))


def drawn(page, name, part="polyline"):
    return named(page, name, "g").locator(part).is_visible()


def opacity(page, name):
    return float(named(page, name, "g").evaluate("one => getComputedStyle(one).opacity"))


def test_strategies_are_hidden_and_shown(visit, results):
    page = visit()
    assert drawn(page, "margin") and not drawn(page, "other")
    named(page, "margin").click()
    assert named(page, "margin").get_attribute("aria-pressed") == "false" and not drawn(page, "margin")
    assert "(hidden)" in page.inner_text(".told")
    named(page, "other").focus()
    page.keyboard.press("Space")
    assert named(page, "other").get_attribute("aria-pressed") == "true" and drawn(page, "other")
    page.click("[data-show=all]")
    assert all(drawn(page, name) for name in results["strategies"])
    page.click("[data-show=first]")
    assert drawn(page, "margin") and not drawn(page, "other")
    page.click("[data-show='']")
    assert not any(drawn(page, name) for name in results["strategies"])


def test_one_is_emphasised_by_pointer_and_by_keyboard(visit, results):
    page = visit()
    idle = page.inner_text(".told")
    named(page, "margin").hover()
    area = results["strategies"]["margin"]["aulc_mean"]
    assert page.inner_text(".told") == f"marginmean AULC {area:.4f}"
    assert drawn(page, "margin", "polygon") and not drawn(page, "ddqn", "polygon")
    assert opacity(page, "margin") == 1 > 0.5 > opacity(page, "ddqn")
    page.mouse.move(5, 5)
    assert page.inner_text(".told") == idle and opacity(page, "ddqn") == 1
    named(page, "pretrained").focus()
    assert page.inner_text(".told bdi") == " ".join(NASTY.split())  # is text and nothing else
    page.evaluate("document.activeElement.blur()")
    assert page.inner_text(".told") == idle


def test_pointing_at_a_curve_reads_it(visit, results):
    page = visit()
    box = named(page, "random", "g").locator("polyline").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 1)  # its end is its top
    end = 100 * curves(results, "random")[..., -1].mean()
    assert page.inner_text(".told").startswith("random") and f"; {end:.1f}% at 21 labels" in page.inner_text(".told")
    assert drawn(page, "random", "polygon")


def test_a_phone_has_room_and_fingers_do(visit):
    page = visit(390, has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.eval_on_selector_all(
        ".chart span, .chart bdi, .chart small, .chart p", "all => all.map(one => getComputedStyle(one).fontSize)"
    )
    assert min(float(size.removesuffix("px")) for size in sizes) >= 12
    named(page, "margin").tap()
    assert not drawn(page, "margin")
    box = named(page, "random", "g").locator("polyline").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] - 1, box["y"] + 1)
    assert page.inner_text(".told").startswith("random")
    page.click(".still summary")
    assert page.is_visible(".still img")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_a_script_the_still_picture_is_there(visit):
    page = visit(java_script_enabled=False)
    assert page.is_visible(".still img") and page.is_hidden(".chart")
