"""The report in a real browser: it opens without complaint, tells on hovering, and highlights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


@dataclass
class Page:
    """A report that a browser shows."""

    chrome: webdriver.Chrome
    history: History
    file: Path

    def open(self) -> None:
        self.chrome.get(self.file.as_uri())
        eventually(
            lambda: self.chrome.execute_script("return document.body.dataset.drawn"), "figures"
        )
        self.tree = self.chrome.execute_script(_TREE)
        eventually(self.descent, "line of descent")

    def descent(self) -> list[int]:
        found: list[int] = self.chrome.execute_script(_DESCENT)
        return found

    def move_to(self, candidate: int) -> None:
        """Move the mouse to a candidate of the family tree."""
        x, y = self.chrome.execute_script(_PLACE_ON_SCREEN, self.tree, candidate)
        mouse = ActionBuilder(self.chrome)
        mouse.pointer_action.move_to_location(round(x) + 40, round(y))
        mouse.pointer_action.move_to_location(round(x), round(y))
        mouse.perform()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("report")
    history = read_history(big_study(folder, 60))
    file = folder / "report.html"
    file.write_text(build_report(history), encoding="utf-8")
    with chromium(folder / "profile") as chrome:
        page = Page(chrome, history, file)
        page.open()
        yield page


def test_opens_without_complaint(page: Page) -> None:
    assert complaints(page.chrome) == []
    assert page.chrome.find_elements(By.CSS_SELECTOR, "#family canvas") or page.tree


def test_hovering_a_candidate_tells_its_numbers(page: Page) -> None:
    record = next(r for r in page.history.state.ranking("search") if r.candidate.parents)
    page.move_to(record.id)
    said = eventually(lambda: page.chrome.execute_script(_TOOLTIPS), "tooltip")
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
    shades = page.chrome.execute_script(shown)
    for shade, record in zip(shades, page.history.state.records.values(), strict=True):
        expected = record.metrics["params"] if record.state == "completed" else None
        assert shade == (expected if expected is None else pytest.approx(expected))
    assert complaints(page.chrome) == []


def test_page_is_dark_for_who_likes_it_dark(page: Page) -> None:
    script = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    use_dark_mode(page.chrome, on=False)
    assert min(page.chrome.execute_script(script)) > 200
    use_dark_mode(page.chrome)
    assert max(page.chrome.execute_script(script)) < 60
    assert complaints(page.chrome) == []
