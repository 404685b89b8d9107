"""The report's page in a real browser: hostile names, no network, and the reader's colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.actions.action_builder import ActionBuilder

from phylon.history import read_history
from phylon.report import build_report
from tests.phylon.browser import chromium, complaints, eventually, use_dark_mode
from tests.phylon.hostile_study import HOSTILE, hostile_study

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
_TEXTS = _WALK + "return found.map((each) => (each.shadowRoot ?? each).textContent).join(' ')"
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


@pytest.fixture(scope="module")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A browser that shows the report of a study whose names are hostile."""
    folder = tmp_path_factory.mktemp("report")
    file = folder / "report.html"
    file.write_text(build_report(read_history(hostile_study(folder))), encoding="utf-8")
    with chromium(folder / "profile") as browser:
        use_dark_mode(browser, on=False)
        browser.get(Path(file).as_uri())
        eventually(lambda: js(browser, "return document.body.dataset.drawn"), "figures")
        yield browser


def js(chrome: webdriver.Chrome, code: str, *given: object) -> Any:
    return chrome.execute_script(code, *given)


def test_hostile_names_are_shown_and_do_nothing(chrome: webdriver.Chrome) -> None:
    assert complaints(chrome) == []
    assert js(chrome, "return window.hacked ?? null") is None
    assert js(chrome, "return document.querySelector('[onclick]')") is None
    assert js(chrome, "return document.querySelector('h1').textContent").startswith(HOSTILE)
    assert js(chrome, "return document.title").startswith(HOSTILE)


def test_hovering_tells_hostile_names_as_they_are(chrome: webdriver.Chrome) -> None:
    x, y = js(chrome, _POINT, f"{HOSTILE}2")
    mouse = ActionBuilder(chrome)
    mouse.pointer_action.move_to_location(round(x) + 30, round(y) + 30)
    mouse.pointer_action.move_to_location(round(x), round(y))
    mouse.perform()
    said = eventually(lambda: js(chrome, _TEXTS, ".bk-Tooltip", "body"), "tooltip")
    assert f"{HOSTILE}: " in said
    assert f"operator: {HOSTILE}" in said
    assert js(chrome, "return window.hacked ?? null") is None
    assert complaints(chrome) == []


def test_nothing_is_fetched(chrome: webdriver.Chrome) -> None:
    fetched = "return performance.getEntriesByType('resource').map((each) => each.name)"
    assert [name for name in js(chrome, fetched) if not name.startswith("data:")] == []


def test_figures_follow_the_reader_into_the_dark_and_back(chrome: webdriver.Chrome) -> None:
    colour = "return getComputedStyle(document.querySelector('.card')).borderTopColor"
    light = js(chrome, colour)
    assert js(chrome, _HAS_LINES, "canvas", "#progress", light)
    use_dark_mode(chrome)
    dark = js(chrome, colour)
    assert dark != light
    eventually(lambda: js(chrome, _HAS_LINES, "canvas", "#progress", dark), "dark figures")
    assert not js(chrome, _HAS_LINES, "canvas", "#progress", light)
    use_dark_mode(chrome, on=False)
    eventually(lambda: js(chrome, _HAS_LINES, "canvas", "#progress", light), "light figures")
