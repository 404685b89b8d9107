"""A study in MLflow's own pages, as people see it there: in a real browser, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.phylon.big_study import big_study
from tests.phylon.browser import chromium, complaints, eventually
from tests.phylon.tracking import Server, running, runs_of, track

pytestmark = pytest.mark.slow


@dataclass
class Pages:
    """MLflow's pages on a study that was sent there."""

    chrome: webdriver.Chrome
    place: str
    study: Run
    children: dict[int, Run]

    def open(self, path: str = "") -> None:
        self.chrome.get(f"{self.place}/runs{path}")

    def see(self, selector: str) -> WebElement:
        """Return the first element of a page, as soon as it is there."""
        return eventually(lambda: self.chrome.find_elements(By.CSS_SELECTOR, selector), selector)[0]

    def rows(self) -> set[str]:
        """Return the runs that the table of runs shows."""
        script = "return [...document.querySelectorAll('.ag-row')].map((each) => each.attributes"
        found: list[str] = self.chrome.execute_script(f"{script}['row-id'].value)")
        return set(found)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    folder = tmp_path_factory.mktemp("mlflow-pages")
    location = big_study(folder, 8)
    with running(Server(folder)) as server:
        track(location, server.uri)
        study, children = runs_of("big", MlflowClient(server.uri))
        place = f"{server.uri}/#/experiments/{study.info.experiment_id}"
        with chromium(folder / "profile") as chrome:
            yield Pages(chrome, place, study, children)


def test_candidates_are_nested_below_the_study(pages: Pages) -> None:
    study = pages.study.info.run_id
    pages.open()
    expand = pages.see(f".ag-row[row-id='{study}'] [col-id*='Run Name'] button")
    assert pages.rows() == {study}
    pages.chrome.execute_script("arguments[0].click()", expand)
    everyone = {study, *(run.info.run_id for run in pages.children.values())}
    eventually(lambda: pages.rows() == everyone, "nested runs")


def test_note_of_a_child_leads_to_its_parent(pages: Pages) -> None:
    child = next(run for run in pages.children.values() if run.data.tags["phylon.parents"] != "[]")
    parent = pages.children[int(child.data.tags["phylon.parents"].strip("[]").split(",")[0])]
    pages.open(f"/{child.info.run_id}")
    before = pages.chrome.current_window_handle
    link = pages.see(f"a[target='_blank'][href*='/runs/{parent.info.run_id}']")
    pages.chrome.execute_script("arguments[0].click()", link)
    eventually(lambda: len(pages.chrome.window_handles) > 1, "page of the parent")
    (new,) = set(pages.chrome.window_handles) - {before}
    pages.chrome.switch_to.window(new)
    name = f"candidate {parent.data.tags['phylon.id']}"
    page = f"/runs/{parent.info.run_id}?workflowType=machine_learning"
    assert pages.chrome.current_url.endswith(page)
    eventually(lambda: name in pages.see("body").text, name)
    pages.chrome.close()
    pages.chrome.switch_to.window(before)


def test_report_opens_in_the_viewer_of_artifacts(pages: Pages) -> None:
    complaints(pages.chrome)
    pages.open(f"/{pages.study.info.run_id}/artifacts/report.html")
    viewer = pages.see("iframe[src^='blob:']")
    report = viewer.get_attribute("src") or ""
    pages.chrome.switch_to.frame(viewer)
    drawn = "return document.body?.dataset.drawn"
    eventually(lambda: pages.chrome.execute_script(drawn), "figures")
    canvases = "return [...document.querySelectorAll('.figure')].map((each) => each.clientHeight)"
    heights = pages.chrome.execute_script(canvases)
    assert len(heights) > 4
    assert min(heights) > 60
    pages.chrome.switch_to.default_content()
    assert [said for said in complaints(pages.chrome) if report in said] == []
