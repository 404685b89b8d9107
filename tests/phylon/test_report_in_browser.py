"""The report in a real browser: it tells on hovering, highlights, and takes no harm from names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from phylon.cli import main
from phylon.history import History, read_history
from phylon.report import build_report
from tests.phylon.big_study import big_study
from tests.phylon.browser import chromium, complaints, eventually, use_dark_mode
from tests.phylon.hostile_study import HOSTILE, hostile_study

_PLACE_ON_SCREEN = """
const view = Bokeh.index.find_one_by_id(arguments[0])
view.el.scrollIntoView({ behavior: "instant", block: "center" })
const family = view.model.document.get_model_by_name("family")
const row = family.data.id.indexOf(arguments[1])
const frame = view.frame
const box = view.canvas_view.el.getBoundingClientRect()
return [
  box.x + frame.x_scale.compute(family.data.x[row]),
  box.y + frame.y_scale.compute(family.data.y[row]),
]
"""
_TREE = """
return Bokeh.documents.map((each) => each.get_model_by_name("family-tree")).find(Boolean).id
"""
_DESCENT = """
const line = Bokeh.documents.map((each) => each.get_model_by_name("descent")).find(Boolean)
return Array.from(line.data.id)
"""
_TOOLTIPS = """
const texts = []
const walk = (root) => {
  for (const each of root.querySelectorAll("*")) {
    if (each.matches(".bk-tooltip-content")) texts.push(each.textContent)
    if (each.shadowRoot) walk(each.shadowRoot)
  }
}
walk(document)
return texts.join(" ")
"""

_TOOLTIP_BACKGROUND = """
const walk = (root) => {
  for (const each of root.querySelectorAll("*")) {
    if (each.shadowRoot?.querySelector(".bk-tooltip-content")) return each
    const found = each.shadowRoot && walk(each.shadowRoot)
    if (found) return found
  }
}
return getComputedStyle(walk(document)).backgroundColor
"""
_WALK = """
const found = []
const walk = (root) => {
  for (const each of root.querySelectorAll("*")) {
    if (each.matches(arguments[0])) found.push(each)
    if (each.shadowRoot) walk(each.shadowRoot)
  }
}
walk(document.querySelector(arguments[1]))
"""
_HAS_LINES = (
    _WALK
    + """
const colour = arguments[2].match(/\\d+/g).map(Number)
return found.some((canvas) => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height)
  for (let i = 0; i < data.length; i += 4) {
    const is_opaque = data[i + 3] > 250
    if (is_opaque && colour.every((part, j) => Math.abs(part - data[i + j]) < 3)) return true
  }
  return false
})
"""
)
_POINT = """
document.querySelector("#front .figure").scrollIntoView({ block: "center" })
const plots = Array.from(Bokeh.index).filter((view) => view.frame)
const view = plots.find((each) => each.model.below[0]?.axis_label?.text == arguments[0])
const source = view.model.renderers.at(-1).data_source
const box = view.canvas_view.el.getBoundingClientRect()
return [
  box.x + view.frame.x_scale.compute(source.data.x[0]),
  box.y + view.frame.y_scale.compute(source.data.y[0]),
]
"""


@dataclass
class Page:
    """A report that a browser shows."""

    chrome: webdriver.Chrome
    history: History
    file: Path

    def show(self) -> None:
        """Open the page, unless the browser shows it already."""
        if self.chrome.current_url != self.file.as_uri():
            use_dark_mode(self.chrome, on=False)
            self.chrome.get(self.file.as_uri())
            eventually(lambda: self.js("return document.body.dataset.drawn"), "figures")

    def js(self, code: str, *given: object) -> Any:
        return self.chrome.execute_script(code, *given)

    @property
    def tree(self) -> str:
        return str(self.js(_TREE))

    def descent(self) -> list[int]:
        found: list[int] = self.js(_DESCENT)
        return found

    def move_to(self, candidate: int) -> None:
        """Move the mouse to a candidate of the family tree."""
        x, y = self.js(_PLACE_ON_SCREEN, self.tree, candidate)
        mouse = ActionBuilder(self.chrome)
        mouse.pointer_action.move_to_location(round(x) + 40, round(y))
        mouse.pointer_action.move_to_location(round(x), round(y))
        mouse.perform()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Page]]:
    """Two reports, and the browser that shows one of them at a time."""
    folder = tmp_path_factory.mktemp("report")
    with chromium(folder / "profile") as chrome:
        made = {}
        for location in (big_study(folder, 60), hostile_study(folder)):
            history = read_history(location)
            file = folder / f"{location.name}.html"
            file.write_text(build_report(history), encoding="utf-8")
            made[location.name] = Page(chrome, history, file)
        yield made


@pytest.fixture
def page(pages: dict[str, Page]) -> Page:
    pages["big"].show()
    return pages["big"]


@pytest.fixture
def hostile(pages: dict[str, Page]) -> Page:
    """The report of a study whose names are hostile."""
    pages["hostile"].show()
    return pages["hostile"]


def test_opens_without_complaint(page: Page) -> None:
    assert complaints(page.chrome) == []
    assert page.tree


def test_hovering_a_candidate_tells_its_numbers(page: Page) -> None:
    record = next(r for r in page.history.state.ranking("search") if r.candidate.parents)
    page.move_to(record.id)
    said = eventually(lambda: page.js(_TOOLTIPS), "tooltip")
    assert f"{record.metrics['val_accuracy']:.4f}" in said
    assert record.candidate.operator in said
    assert ",".join(map(str, record.candidate.parents)) in said


def ancestry(page: Page, candidate: int, capsys: pytest.CaptureFixture[str]) -> list[int]:
    """Return the line of descent as the command line tells it."""
    capsys.readouterr()
    place = str(page.history.location)
    assert main(["lineage", place, "--ancestry", str(candidate), "--json"]) == 0
    return [row["id"] for row in json.loads(capsys.readouterr().out)]


def test_descent_of_the_best_is_highlighted_at_first(
    page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    best = page.history.state.best
    assert best is not None
    eventually(page.descent, "line of descent")
    assert page.descent() == ancestry(page, best.id, capsys)


def test_tapping_a_candidate_highlights_its_line_of_descent(
    page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    records = page.history.state.records.values()
    tapped = max(records, key=lambda record: (record.candidate.generation, -record.id)).id
    page.move_to(tapped)
    ActionChains(page.chrome).click().perform()
    eventually(lambda: page.descent()[-1] == tapped, "highlighted line")
    assert page.descent() == ancestry(page, tapped, capsys)


def test_naming_a_candidate_highlights_its_line_of_descent(
    page: Page, capsys: pytest.CaptureFixture[str]
) -> None:
    crossed = [r.id for r in page.history.state.records.values() if len(r.candidate.parents) > 1]
    field = page.chrome.find_element(By.ID, "family-of")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys(str(crossed[-1]), Keys.ENTER)
    eventually(lambda: page.descent()[-1] == crossed[-1], "highlighted line")
    assert page.descent() == ancestry(page, crossed[-1], capsys)


def test_colours_follow_the_chosen_number(page: Page) -> None:
    shown = "return Array.from(Bokeh.documents.map((d) => d.get_model_by_name('family'))"
    shown += ".find(Boolean).data.shade)"
    Select(page.chrome.find_element(By.ID, "family-by")).select_by_visible_text("params")
    shades = page.js(shown)
    for shade, record in zip(shades, page.history.state.records.values(), strict=True):
        expected = record.metrics["params"] if record.state == "completed" else None
        assert shade == (expected if expected is None else pytest.approx(expected))
    assert complaints(page.chrome) == []


@pytest.mark.parametrize("width", [1112, 820, 400])
def test_the_contents_are_in_sight_on_pages_of_any_width(page: Page, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wider = "const { scrollWidth, clientWidth } = document.querySelector('nav ul')\n"
    assert page.js(f"{wider}return scrollWidth - clientWidth") == 0
    whole = "return document.documentElement.scrollWidth"
    eventually(lambda: page.js(whole) <= width, "page that is no wider than the screen")
    page.chrome.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_hostile_names_are_shown_and_do_nothing(hostile: Page) -> None:
    assert complaints(hostile.chrome) == []
    assert hostile.js("return window.hacked ?? null") is None
    assert hostile.js("return document.querySelector('[onclick]')") is None
    assert hostile.js("return document.querySelector('h1').textContent").startswith(HOSTILE)
    assert hostile.js("return document.title").startswith(HOSTILE)


def test_hovering_tells_hostile_names_as_they_are(hostile: Page) -> None:
    x, y = hostile.js(_POINT, f"{HOSTILE}2")
    mouse = ActionBuilder(hostile.chrome)
    mouse.pointer_action.move_to_location(round(x) + 30, round(y) + 30)
    mouse.pointer_action.move_to_location(round(x), round(y))
    mouse.perform()
    said = eventually(lambda: hostile.js(_TOOLTIPS), "tooltip")
    assert f"{HOSTILE}: " in said
    assert f"operator: {HOSTILE}" in said
    assert hostile.js("return window.hacked ?? null") is None
    assert complaints(hostile.chrome) == []


@pytest.mark.parametrize("is_dark", [False, True])
def test_tooltips_are_as_light_or_dark_as_the_page(hostile: Page, is_dark: bool) -> None:
    use_dark_mode(hostile.chrome, on=is_dark)
    x, y = hostile.js(_POINT, f"{HOSTILE}2")
    mouse = ActionBuilder(hostile.chrome)
    mouse.pointer_action.move_to_location(round(x) + 30, round(y) + 30)
    mouse.pointer_action.move_to_location(round(x), round(y))
    mouse.perform()
    eventually(lambda: hostile.js(_TOOLTIPS), "tooltip")
    card = "return getComputedStyle(document.querySelector('.card')).backgroundColor"
    assert hostile.js(_TOOLTIP_BACKGROUND) == hostile.js(card)
    use_dark_mode(hostile.chrome, on=False)


def test_nothing_is_fetched(hostile: Page) -> None:
    fetched = "return performance.getEntriesByType('resource').map((each) => each.name)"
    assert [name for name in hostile.js(fetched) if not name.startswith("data:")] == []


def test_figures_follow_the_reader_into_the_dark_and_back(hostile: Page) -> None:
    colour = "return getComputedStyle(document.querySelector('.card')).borderTopColor"
    light = hostile.js(colour)
    assert hostile.js(_HAS_LINES, "canvas", "#progress", light)
    use_dark_mode(hostile.chrome)
    dark = hostile.js(colour)
    assert dark != light
    eventually(lambda: hostile.js(_HAS_LINES, "canvas", "#progress", dark), "dark figures")
    assert not hostile.js(_HAS_LINES, "canvas", "#progress", light)
    use_dark_mode(hostile.chrome, on=False)
    eventually(lambda: hostile.js(_HAS_LINES, "canvas", "#progress", light), "light figures")
