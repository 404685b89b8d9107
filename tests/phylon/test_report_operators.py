"""The report's section on operators: what the figure draws is what the table says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bokeh.models import FactorRange, HoverTool
from bokeh.plotting import figure

from phylon.history import read_history
from phylon.operator_gains import operator_gains
from phylon.report_operators import operators_section
from tests.phylon.big_study import big_study
from tests.phylon.heirs import heirs


def test_operators_are_told_with_intervals_for_each_objective(tmp_path: Path) -> None:
    history = read_history(big_study(tmp_path, 120, objectives=2))
    section = operators_section(history)
    assert section is not None
    plots = [part for part in section.parts if isinstance(part, figure)]
    text = " ".join(part for part in section.parts if isinstance(part, str))
    for objective, plot in zip(history.state.objectives, plots, strict=True):
        gains = operator_gains(history.state, objective)
        assert {each.operator for each in gains} == {"mutate", "crossover"}
        assert isinstance(plot.y_range, FactorRange)
        assert plot.y_range.factors == [each.operator for each in reversed(gains)]
        assert plot.x_range.start < 0 < plot.x_range.end  # a gain of nothing is in sight
        assert plot.select({"type": HoverTool})
        for each in gains:
            assert each.low is not None
            digits = "+,.0f" if abs(each.mean) >= 1000 else "+.3g"
            assert f"{each.mean:{digits}} (" in text


def test_without_parents_there_is_no_such_section(tmp_path: Path) -> None:
    assert operators_section(read_history(big_study(tmp_path, 4))) is None


def test_gains_of_heirs_are_said_to_be_of_more_training_too(tmp_path: Path) -> None:
    fresh = read_history(big_study(tmp_path, 60))
    for history, is_said in ((fresh, False), (replace(fresh, state=heirs().state), True)):
        section = operators_section(history)
        assert section is not None
        text = " ".join(part for part in section.parts if isinstance(part, str))
        assert ("and of the child's training, on top of the parent's" in text) == is_said
