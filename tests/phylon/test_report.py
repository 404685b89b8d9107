"""The report's page: one file that needs nothing, whatever the study holds."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from phylon import Study, events
from phylon.cli import main
from phylon.cluster.location import Location
from phylon.history import read_history
from phylon.journal import JournalWriter
from phylon.report import build_report
from tests.cluster.store import Store
from tests.phylon.big_study import big_study
from tests.phylon.hostile_study import HOSTILE, hostile_study
from tests.phylon.toy import SPACE, Toy, run

ORDER = (
    "progress", "family", "network", "front", "decisions", "operators", "failures", "slots",
    "reproduce",
)  # fmt: skip


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._open = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, _tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open == "script":
            self.scripts[-1] += data
        elif self._open != "style":
            self.text += data

    def every(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def figures(self) -> list[Any]:
        pairs = zip(self.every("script"), self.scripts, strict=True)
        return [json.loads(text) for attributes, text in pairs if "data-figure" in attributes]


def page_of(location: Location) -> Page:
    return Page(build_report(read_history(location)))


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page_of(big_study(tmp_path_factory.mktemp("studies"), 60, objectives=2))


def test_the_page_asks_the_network_for_nothing(big: Page) -> None:
    asked = [
        value
        for _, attributes in big.elements
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "data", "action")
    ]
    assert asked
    links = {each["href"] for each in big.every("a")}  # followed by the reader alone
    assert all(value.startswith(("#", "data:")) for value in set(asked) - links), asked
    (policy,) = (m["content"] for m in big.every("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_every_section_is_in_the_contents_and_every_figure_has_its_place(big: Page) -> None:
    sections = [s["id"] for s in big.every("section")]
    assert [a["href"] for a in big.every("a")][: len(sections)] == [f"#{s}" for s in sections]
    assert sections == list(ORDER)
    places = [d["id"] for d in big.every("div") if d.get("class") == "figure"]
    assert [figure["target_id"] for figure in big.figures()] == places
    assert len(places) == len(set(places)) >= 4


def test_the_headline_tells_the_best_the_count_the_cost_and_the_state(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 30))
    state = history.state
    text = Page(build_report(history)).text
    winners = [r.metrics["val_accuracy"] for r in state.winners()]
    assert f"{sum(winners) / len(winners):.4f}" in text
    assert f"{state.completed:,}" in text
    assert "finished" in text
    hours = sum(r.seconds * r.resources["cpus"] for r in state.records.values()) / 3600
    assert f"{hours:.3g} CPU hours" in text


def test_of_several_objectives_the_headline_tells_the_values_of_one_network(big: Page) -> None:
    assert "Best val_accuracy" in big.text
    assert "Its params" in big.text
    assert "Best params" not in big.text


def test_a_study_without_a_completed_candidate_says_so(tmp_path: Path) -> None:
    study = Study(
        name="luckless",
        task=Toy(fails=True),
        space=SPACE,
        objectives=[{"metric": "y", "direction": "maximize"}],
        budget={"candidates": 3},
        storage=str(tmp_path),
        tracking={"uri": "none"},
    )
    run(study)
    page = page_of(study.location)
    assert "No candidate has completed yet" in page.text
    assert "3 failed" in page.text
    assert "no luck" in page.text


def test_a_study_that_only_just_began_has_a_report(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 5))
    location = Location(tmp_path / "begun")
    writer = JournalWriter(location.filesystem, (location / "journal").path)
    writer.append(events.Created.from_json(history.created.to_json()))
    writer.close()
    page = page_of(location)
    assert "No candidate has completed yet" in page.text
    assert "interrupted" in page.text


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    page = page_of(hostile_study(tmp_path))
    assert page.every("h1")
    assert HOSTILE in page.text
    assert not any("window.hacked" in script and "{" not in script for script in page.scripts)
    assert not page.every("b") or not any("onclick" in each for each in page.every("b"))
    assert any(
        HOSTILE in json.dumps(f, ensure_ascii=False).replace('\\"', '"') for f in page.figures()
    )


def test_names_are_no_formulas(tmp_path: Path) -> None:
    # Bokeh would fetch what draws formulas.
    axes = [text for f in page_of(hostile_study(tmp_path)).figures() for text in labels(f)]
    assert all(label["name"] == "PlainText" for label in axes)
    assert HOSTILE in [label["attributes"]["text"] for label in axes]


def labels(model: Any) -> list[Any]:
    """Return the labels of all axes in a figure's JSON."""
    if isinstance(model, list):
        return [label for each in model for label in labels(each)]
    if not isinstance(model, dict):
        return []
    own = [model["axis_label"]] if model.get("axis_label") else []
    return own + [label for each in model.values() for label in labels(each)]


def test_a_thousand_candidates_make_a_small_page(tmp_path: Path) -> None:
    html = build_report(read_history(big_study(tmp_path, 1000, objectives=2)))
    assert len(html.encode()) <= 5e6
    assert len(re.findall("<(tr|li|circle|path)", html.partition("<script")[0])) < 100


def test_a_report_is_written_into_the_study_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    location = big_study(tmp_path, 20)
    target = tmp_path / "big" / "report.html"
    for _ in range(2):
        assert main(["report", str(location)]) == 0
        assert capsys.readouterr().out.strip() == target.as_uri()
    assert Page(target.read_text(encoding="utf-8")).every("section")
    assert not list(target.parent.glob(".*partial"))


def test_other_files_are_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    location = big_study(tmp_path, 20)
    other = tmp_path / "thesis.html"
    foreign = build_report(read_history(hostile_study(tmp_path)))
    for content in ("my thesis", foreign):
        other.write_text(content, encoding="utf-8")
        assert main(["report", str(location), "--out", str(other)]) == 2
        assert other.read_text(encoding="utf-8") == content
        error = capsys.readouterr().err
        assert str(other) in error
        assert "no report of this study" in error
        assert "--out FILE" in error
    assert main(["report", str(location), "--out", str(tmp_path)]) == 2
    assert "name a file" in capsys.readouterr().err
    assert main(["report", str(location), "--out", str(tmp_path / "new" / "r.html")]) == 0
    assert (tmp_path / "new" / "r.html").is_file()


def test_no_study_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "is no study" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_study_in_an_object_store_has_its_report_here(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = big_study(tmp_path, 12)
    target = store.location("big") / "journal"
    for name in (source / "journal").names():
        (target / name).write((source / "journal" / name).read())
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(target.parent)]) == 0
    assert (tmp_path / "big-report.html").is_file()
