"""The page of `phylon compare`: what is on it, and where it may be written."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pytest

from phylon.cli import main
from tests.phylon.browser import chromium, complaints, eventually
from tests.phylon.compare_story import studies

WILD = "<b>[red]&amp;'$$x$$"


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    """Studies of two groups, one with a name that is no name for HTML."""
    wild = studies(tmp_path, [[1.0, 2.0], [3.0, 5.0]], name="wild", strategy=WILD)
    return [*wild, *studies(tmp_path, [[None, 4.0], [1.0, 1.0]], strategy="random")]


def test_the_page_holds_the_numbers_and_escapes_what_it_is_told(
    places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert main(["compare", *places, "--out", str(page)]) == 0
    told = capsys.readouterr()
    assert f"wrote {page}" in told.err
    assert WILD in told.out
    text = page.read_text(encoding="utf-8")
    assert WILD not in text
    assert escape(WILD, quote=False) in text.replace("&#39;", "'")
    assert "3.5000 ± 2.1213" in text  # of 2 and 5
    assert text.count("data-figure>") == 2


def test_a_browser_draws_the_page_and_has_nothing_to_complain_about(
    places: list[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert main(["compare", *places, "--out", str(page)]) == 0
    with chromium(tmp_path / "profile") as chrome:
        chrome.get(page.as_uri())
        eventually(lambda: chrome.execute_script("return document.body.dataset.drawn"), "figures")
        legend = chrome.execute_script("return document.querySelector('.legend').textContent")
        assert legend == f"{WILD}random"
        curves = "return Bokeh.documents.flatMap((d) => [...d._all_models.values()])" \
            ".filter((m) => m.type == 'Step').length"  # fmt: skip
        assert chrome.execute_script(curves) >= 4  # two groups, against candidates and cost
        assert complaints(chrome) == []


def test_a_file_that_is_there_is_not_written_over(
    places: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine", encoding="utf-8")
    assert main(["compare", *places, "--out", str(page)]) == 2
    assert "exists; move it away, or name another file" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "mine"
    assert main(["compare", *places, "--out", str(tmp_path / "no" / "page.html")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_studies_without_results_make_a_page_that_says_so(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    bad = studies(tmp_path, [[None], [None, None]])
    assert main(["compare", *bad, "--out", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "Study told-0 has no completed candidate of the search." in text
    assert "data-figure>" not in text
