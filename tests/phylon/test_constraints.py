"""A study with constraints: what wins, what is shown, what is refused."""

import json
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from phylon import Candidate, Context, Measurement, Study
from phylon.cli import main
from phylon.config_file import load_config
from phylon.errors import ConfigurationError, StudyError
from phylon.journal import JournalWriter
from phylon.mlflow_plan import Projection
from phylon.mlflow_record import STUDY
from phylon.state import StudyState
from tests.phylon.toy import Toy, journal, run

NewStudy = Callable[..., Study]
SMALL = [{"metric": "y", "at_most": 1.0}]


class Forgetful(Toy):
    """Reports `z` in the end for every other candidate only."""

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        super().evaluate(candidate, context)
        left = {"y": 1.0, "z": 1.0} if candidate.id % 2 else {"y": 1.0}
        context.report(Measurement(3, left, 0.0))


def test_the_best_candidate_meets_the_constraints(new_study: NewStudy) -> None:
    state = run(new_study(budget={"candidates": 20}, constraints=SMALL))
    values = [record.metrics["y"] for record in state.ranking("search")]
    feasible = sorted((y for y in values if y <= 1), reverse=True)
    assert 0 < len(feasible) < 20
    assert values == feasible + sorted(y for y in values if y > 1)
    assert state.best.metrics["y"] == feasible[0]
    assert state.tested.candidate_ids == [state.best.id]


def test_the_final_phase_takes_what_is_feasible_first(new_study: NewStudy) -> None:
    study = new_study(constraints=SMALL, final={"top": 3, "epochs": 3, "seeds": 2})
    state = run(study)
    repeated = {group[0].candidate.parents[0] for group in state.final_groups()}
    assert repeated == {record.id for record in state.ranking("search")[:3]}
    feasible = [record.id for record in state.ranking("search") if record.metrics["y"] <= 1]
    assert set(feasible[:3]) <= repeated
    assert state.best.metrics["y"] <= 1
    assert (study.folder / "candidates" / str(state.best.id)).exists()


def test_evolution_goes_where_the_constraints_are_met(new_study: NewStudy) -> None:
    evolution = {"name": "regularized_evolution", "population": 6, "sample": 5}
    fields = {"budget": {"candidates": 40}, "strategy": evolution}
    tight = [{"metric": "y", "at_most": 0.2}]
    state = run(new_study(constraints=tight, **fields))
    free = run(new_study(name="free", **fields))

    def count(state: StudyState) -> int:
        return sum(record.metrics["y"] <= 0.2 for record in state.records.values())

    assert count(state) > count(free) + 10
    assert state.best.metrics["y"] <= 0.2


def test_a_study_resumes_with_its_constraints_and_only_with_them(new_study: NewStudy) -> None:
    whole = run(new_study(name="whole", budget={"candidates": 16}, constraints=SMALL))
    run(new_study(budget={"candidates": 5}, constraints=SMALL))
    for other in ([], [{"metric": "y", "at_most": 1.5}], [{"metric": "y", "at_least": 1.0}]):
        with pytest.raises(StudyError, match="`constraints` was"):
            run(new_study(budget={"candidates": 16}, constraints=other), resume=True)
    state = run(new_study(budget={"candidates": 16}, constraints=SMALL), resume=True)
    assert [r.candidate for r in state.records.values()] == [
        r.candidate for r in whole.records.values()
    ]
    assert state.best.id == whole.best.id


def test_a_journal_from_before_there_were_constraints_goes_on(new_study: NewStudy) -> None:
    study = new_study(budget={"candidates": 3})
    run(study)
    history = journal(study)
    del history[0].config["constraints"]
    shutil.rmtree(study.folder / "journal")
    with closing(JournalWriter(fs.LocalFileSystem(), str(study.folder / "journal"))) as writer:
        writer.append(*history)
    assert run(new_study(budget={"candidates": 5}), resume=True).completed == 5
    with pytest.raises(StudyError, match=r"`constraints` was \[\], is"):
        run(new_study(budget={"candidates": 6}, constraints=SMALL), resume=True)


def test_a_candidate_without_the_constrained_metric_fails(new_study: NewStudy) -> None:
    state = run(new_study(Forgetful(), constraints=[{"metric": "z", "at_most": 2.0}]))
    assert (state.completed, state.failed) == (4, 4)
    assert "constraint `z` was not reported" in state.records[0].reason


def test_what_misses_a_constraint_is_marked(
    new_study: NewStudy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = new_study(budget={"candidates": 8}, constraints=SMALL)
    state = run(study)
    misses = {r.id: r.metrics["y"] - 1 for r in state.records.values() if r.metrics["y"] > 1}
    assert 0 < len(misses) < 8
    folder = str(study.folder)

    main(["show", folder])
    shown = capsys.readouterr().out
    assert shown.count("infeasible") == len(misses)
    assert "No candidate meets" not in shown
    main(["lineage", folder])
    assert capsys.readouterr().out.count("infeasible") == len(misses)
    main(["show", folder, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["constraints"] == SMALL
    assert told["best"]["violation"] == 0
    main(["lineage", folder, "--json", "--export", str(tmp_path / "lineage.parquet")])
    rows = json.loads(capsys.readouterr().out)
    expected = pytest.approx([misses.get(number, 0.0) for number in range(8)])
    assert [row["violation"] for row in rows] == expected
    assert pq.read_table(tmp_path / "lineage.parquet")["violation"].to_pylist() == expected

    plan = Projection().plan(journal(study))
    assert [float(plan[n].tags["phylon.violation"]) > 0 for n in range(8)] == [
        n in misses for n in range(8)
    ]
    assert plan[STUDY].params["constraints.0.at_most"] == "1.0"
    best = [point.value for point in plan[STUDY].metrics if point.key == "best.y"]
    assert max(best) == state.best.metrics["y"]


def test_that_nothing_is_feasible_is_said(
    new_study: NewStudy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    study = new_study(constraints=[{"metric": "y", "at_least": 8}, {"metric": "z", "at_most": 0}])
    state = run(study)
    nearest = max(record.metrics["y"] for record in state.records.values())
    assert state.best.metrics["y"] == nearest
    main(["show", str(study.folder)])
    shown = capsys.readouterr().out
    assert "No candidate meets the constraints; this one comes nearest" in shown
    assert f"y at least 8, but is {nearest:.6g}" in shown
    assert "z at most" not in shown
    main(["list", str(study.folder.parent)])
    assert "infeasible" in capsys.readouterr().out


def test_a_constraint_that_is_not_reported_is_refused_before_anything(new_study: NewStudy) -> None:
    study = new_study(constraints=[*SMALL, {"metric": "yy", "at_least": 1}])
    with pytest.raises(ConfigurationError, match=r"constraints\.1\.metric: .*`yy`; did you mean"):
        run(study)
    assert not study.folder.parent.exists()


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("{metric: a}", "constraints.0 bounds `a` by neither `at_most` nor `at_least`; give one"),
        ("{metric: a, at_most: 1, at_least: 0}", "constraints.0 bounds `a` by both"),
        ("{metric: a, atmost: 1}", "unknown key `constraints.0.atmost`; did you mean `at_most`?"),
        ("{at_most: 1}", "missing key `constraints.0.metric`: a metric that the task reports"),
        ("{metric: a, at_most: few}", "constraints.0.at_most is 'few'"),
        ("params", "constraints.0 is 'params'; it must be a mapping with the keys metric, at_most"),
    ],
)
def test_mistakes_are_told_with_line_and_cure(tmp_path: Path, entry: str, complaint: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "name: n\ntask: digits\nobjectives: [{metric: a, direction: minimize}]\n"
        f"budget: {{candidates: 1}}\nconstraints:\n  - {entry}\n"
    )
    with pytest.raises(ConfigurationError) as caught:
        load_config(file)
    assert any(f"line 6: {complaint}" in line for line in str(caught.value).splitlines())
