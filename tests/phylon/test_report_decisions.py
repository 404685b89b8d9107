"""The report's section on decisions: numbers where there are some, and honest words elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bokeh.models import FactorRange
from bokeh.plotting import figure

from phylon.history import read_history
from phylon.report_decisions import decisions_section
from phylon.report_section import Section
from tests.phylon.big_study import big_study


def words(section: Section) -> str:
    return " ".join(part for part in section.parts if isinstance(part, str))


def test_decisions_are_ranked_for_each_objective_with_intervals_and_fit(tmp_path: Path) -> None:
    section = decisions_section(read_history(big_study(tmp_path, 150, objectives=2)))
    assert section is not None
    plots = [part for part in section.parts if isinstance(part, figure)]
    assert len(plots) == 2
    for plot in plots:
        assert isinstance(plot.y_range, FactorRange)
        assert plot.y_range.factors[-1] == "stages.count"  # the top bar, as bokeh counts upwards
        data = plot.renderers[0].data_source.data
        assert (np.diff(data["value"]) >= 0).all()
        assert all(low <= value <= high for low, value, high in zip(*bars(data), strict=True))
    text = words(section)
    assert "<h3>val_accuracy</h3>" in text
    assert "<h3>params</h3>" in text
    assert "different networks, each after 8 epochs" in text
    assert "The forest explains" in text


def bars(data: dict[str, list[float]]) -> tuple[list[float], ...]:
    return data["low"], data["value"], data["high"]


def test_too_few_results_give_words_instead_of_numbers(tmp_path: Path) -> None:
    section = decisions_section(read_history(big_study(tmp_path, 12)))
    assert section is not None
    assert not any(isinstance(part, figure) for part in section.parts)
    assert "Too little to tell" in words(section)


def test_noise_gives_words_instead_of_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tests.phylon.big_study.measures",
        lambda candidate: {
            "val_accuracy": candidate.seed % 1000 / 1000,
            "val_loss": 0.0,
            "params": 1.0,
            "macs": 1.0,
        },
    )
    section = decisions_section(read_history(big_study(tmp_path, 60)))
    assert section is not None
    assert not any(isinstance(part, figure) for part in section.parts)
    assert "Nothing can be told" in words(section)


def test_a_study_without_results_has_no_such_section(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 30))
    for record in history.state.records.values():
        record.state = "failed"
    assert decisions_section(history) is None
