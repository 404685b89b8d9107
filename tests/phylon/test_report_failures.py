"""The report's section on failures: all are counted, by reason and by node."""

from __future__ import annotations

import re
from pathlib import Path

from phylon import events
from phylon.history import History, read_history
from phylon.report_failures import MOST_REASONS, failures_section
from phylon.state import StudyState
from tests.phylon.big_study import big_study
from tests.phylon.test_operator_gains import Family


def story(*reasons: str, nodes: tuple[str, ...] = ("n1/0", "n2/0")) -> Family:
    family = Family()
    for number, reason in enumerate(reasons):
        parent = (number - 1,) if number else ()
        family.add(0.5 if not reason else None, parent)
        record = family.state.records[number]
        record.reason, record.node = reason, nodes[number % len(nodes)]
    return family


def shown(state: StudyState, tmp_path: Path) -> str | None:
    read = read_history(big_study(tmp_path, 4))
    history = History(read.location, state, {}, read.drivers, [], read.created)
    section = failures_section(history)
    return section and "\n".join(str(part) for part in section.parts)


def rows(text: str) -> list[list[str]]:
    found = re.findall(r"<tr>(.*?)</tr>", text)
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in found if "<td" in row]


def test_failures_are_grouped_by_the_first_line_of_their_reason(tmp_path: Path) -> None:
    text = shown(story("nan\ntrace 1", "", "oom", "nan\ntrace 2", "", "", "nan").state, tmp_path)
    assert text is not None
    assert rows(text)[:2] == [
        ["3", "nan", "0", "6", "n1 (2), n2"],
        ["1", "oom", "2", "2", "n1"],
    ]
    assert "trace" not in text
    assert rows(text)[2:] == [["n1", "3", "4", "75 %"], ["n2", "1", "3", "33 %"]]


def test_reasons_are_escaped_and_cut(tmp_path: Path) -> None:
    text = shown(story("<script>alert(1)</script> **bold**", "x" * 5000).state, tmp_path)
    assert text is not None
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "x" * 100 not in text


def test_of_very_many_reasons_the_rest_is_counted(tmp_path: Path) -> None:
    text = shown(story(*(f"reason {n}" for n in range(MOST_REASONS + 7))).state, tmp_path)
    assert text is not None
    assert "And 7 for 7 other reasons" in text


def test_lost_workers_and_want_of_memory_are_told(tmp_path: Path) -> None:
    family = story("", "")
    family.state.apply(events.Lost(candidate_id=0, reason="gone"))
    family.state.apply(events.Outgrew(candidate_id=1, resources={"cpus": 1.0}))
    text = shown(family.state, tmp_path)
    assert text is not None
    assert "The worker of 1 candidate died" in text
    assert "1 candidate needed more memory" in text


def test_where_nothing_failed_there_is_no_such_section(tmp_path: Path) -> None:
    assert shown(story("", "").state, tmp_path) is None
