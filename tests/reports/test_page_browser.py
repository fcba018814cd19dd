"""The report in a real browser: wide and narrow, light and dark, on screen and on paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from reports import run_history
from reports.page import write_report
from tests.support.results import judged_run
from tests.support.thorough import times

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on PATH: install the package chromium"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
LOOKS: list[tuple[int, Literal["light", "dark"]]] = [
    (390, "dark"), (1280, "light"), (390, "light"), (1280, "dark"),
]  # fmt: skip
A4_PX = 718  # at 96 dots an inch, without margins of a centimetre

# Elements with text of their own that reach beyond the page, or beyond a box that hides the rest.
CUT = """() => [...document.querySelectorAll("main *")].filter((element) => {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility()) return false;
    const hides = getComputedStyle(element).overflowX !== "visible";
    const box = element.getBoundingClientRect();
    return box.left < 0 || box.right > document.documentElement.clientWidth + 0.5
        || (hides && element.scrollWidth > element.clientWidth + 1);
}).map((element) => element.textContent.trim().slice(0, 60))"""
PAINTED = """() => [...document.querySelectorAll(".plot")].filter((plot) => {
    const figure = plot.querySelector("*")?.shadowRoot;
    return figure && figure.querySelector("canvas, .bk-Canvas, .bk-CanvasPanel");
}).length"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run with failed requests, more of them than are drawn."""
    path = tmp_path_factory.mktemp("browser") / "run"
    judged_run(path, "requests fail")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_history.read_history, "__defaults__", (3000,))
        return write_report(path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


def opened(browser: Browser, report: Path, width: int, theme: Literal["light", "dark"]) -> Page:
    """The page with its timelines drawn; nothing was said on its console but what is usual."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    said: list[str] = []
    page.on("console", lambda line: said.append(f"{line.type}: {line.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.goto(report.as_uri())
    page.wait_for_function("window.Bokeh && Bokeh.documents.length")
    page.wait_for_function("Bokeh.documents.every((one) => one.is_idle)")
    assert [line for line in said if not line.startswith(("log:", "info:"))] == []
    return page


@pytest.mark.parametrize(("width", "theme"), LOOKS[: times(2, len(LOOKS))])
def test_it_is_drawn_without_a_warning_and_nothing_is_cut(
    browser: Browser, report: Path, width: int, theme: Literal["light", "dark"]
) -> None:
    page = opened(browser, report, width, theme)

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CUT) == []
    assert page.evaluate("Bokeh.documents[0].roots().length") == 4 * (1 + 6)
    paper = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[theme]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    end = "[...Bokeh.documents[0].all_models].find((one) => one.name === 'time').end"
    of_a_round = page.evaluate(end)
    every_round = page.get_by_role("button", name="all rounds")
    every_round.click()
    assert page.evaluate(end) == float(every_round.get_attribute("data-to") or "nan") > of_a_round
    if width > 1000:
        assert_it_is_printed(page)
    page.close()


def assert_it_is_printed(page: Page) -> None:
    """On white paper, without what only a screen can do, and nothing is cut."""
    page.set_viewport_size({"width": A4_PX, "height": 1000})
    page.emulate_media(media="print")

    assert page.evaluate("document.documentElement.scrollWidth") <= A4_PX
    assert page.evaluate(CUT) == []
    assert not page.get_by_role("button", name="all rounds").is_visible()
    white = "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == white
    assert page.pdf(format="A4").startswith(b"%PDF")
