"""`phylon compare`: real studies over a few seeds, and made-up ones whose results are known."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from phylon.cli import main
from tests.phylon.compare_story import Result, studies
from tests.phylon.toy import SPACE, Toy, run

SEEDS, CANDIDATES = range(6), 10
PARAMETERS = {"random": {}, "regularized_evolution": {"population": 3, "sample": 2}}
Told = Callable[..., dict[str, Any]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Compare studies and return what is told as JSON."""

    def compare(*arguments: str) -> dict[str, Any]:
        assert main(["compare", *arguments, "--json"]) == 0
        data: dict[str, Any] = json.loads(capsys.readouterr().out)
        return data

    return compare


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Run studies of two strategies and return their folders."""
    from phylon import Study

    root = tmp_path_factory.mktemp("studies")
    folders: dict[str, list[str]] = {}
    for strategy in ("random", "regularized_evolution"):
        for seed in SEEDS:
            study = Study(
                task=Toy(),
                space=SPACE,
                name=f"{strategy}-{seed}",
                strategy={"name": strategy, **PARAMETERS[strategy]},
                seed=seed,
                objectives=[{"metric": "y", "direction": "maximize"}],
                budget={"candidates": CANDIDATES},
                tracking={"uri": "none"},
                storage=str(root),
            )
            run(study)
            folders.setdefault(strategy, []).append(str(study.folder))
    return folders


def values(folder: str, capsys: pytest.CaptureFixture[str]) -> list[float]:
    """Return what a toy study measured, in the order of its candidates."""
    assert main(["lineage", folder, "--json"]) == 0
    return [row["metrics"]["y"] for row in json.loads(capsys.readouterr().out)]


def test_real_studies_give_the_numbers_that_their_lineages_tell(
    real: dict[str, list[str]], told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {name: [values(each, capsys) for each in own] for name, own in real.items()}
    data = told(*real["regularized_evolution"], *reversed(real["random"]))
    assert [group["label"] for group in data["groups"]] == ["regularized_evolution", "random"]
    assert data["candidates"] == CANDIDATES
    bests = {name: [max(row) for row in own] for name, own in rows.items()}
    for group in data["groups"]:
        best = bests[group["label"]]
        assert group["best"]["values"] == best
        assert group["best"]["mean"] == pytest.approx(statistics.fmean(best))
        assert group["best"]["std"] == pytest.approx(statistics.stdev(best))
        assert [each["seed"] for each in group["studies"]] == list(SEEDS)
    halves = {name: sorted(best)[3] for name, best in bests.items()}  # half of six are as good
    assert data["target"] == min(halves.values())
    for group in data["groups"]:
        taken = [
            next((n for n, y in enumerate(row, start=1) if y >= data["target"]), math.inf)
            for row in rows[group["label"]]
        ]
        assert group["target"]["reached"] == sum(map(math.isfinite, taken)) >= 3
        assert group["target"]["candidates"] == sorted(taken)[2]
    (test,) = data["tests"]
    pairs = (bests["random"], bests["regularized_evolution"])
    assert test["pairs"] == len(SEEDS)
    assert test["p"] == test["p_holm"] == pytest.approx(stats.wilcoxon(*pairs).pvalue)
    paired = stats.ttest_rel(*pairs).confidence_interval(0.95)
    assert test["interval_95"] == pytest.approx([paired.low, paired.high])
    assert test["difference"] == pytest.approx(
        statistics.fmean(bests["random"]) - statistics.fmean(bests["regularized_evolution"])
    )


def test_costs_until_a_target_that_is_told(tmp_path: Path, told: Told) -> None:
    rows: list[list[Result]] = [[1.0, 5.0, 3.0], [None, 4.0, 6.0], [1.0, 2.0, 3.0]]
    slow = studies(tmp_path, [[0.0] * 3] * 3, name="slow", strategy="hill_climb")
    data = told(*studies(tmp_path, rows), *slow, "--target", "5")
    first, second = (group["target"] for group in data["groups"])
    # Two CPUs for an hour each: the first study is there after two candidates, the second after
    # three, the third never; so half of them, of three the median, after three.
    assert first == {"reached": 2, "candidates": 3, "cost": 6.0}
    assert second == {"reached": 0, "candidates": None, "cost": None}
    studied = data["groups"][0]["studies"]
    assert [each["candidates_to_target"] for each in studied] == [2, 3, None]
    assert [each["failed"] for each in studied] == [0, 1, 0]
    assert [each["cpu_hours"] for each in studied] == [6.0, 6.0, 6.0]
    assert (data["target"], data["cost_unit"]) == (5.0, "CPU hours")


def test_bests_are_compared_after_as_many_candidates_as_all_have(
    tmp_path: Path, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    short = list(studies(tmp_path, [[3.0, 4.0]], name="short", strategy="hill_climb"))
    long = list(studies(tmp_path, [[1.0, 2.0, 9.0]]))
    data = told(*short, *long)
    assert data["candidates"] == 2
    assert [group["best"]["mean"] for group in data["groups"]] == [4.0, 2.0]
    assert [group["studies"][0]["best_at_end"] for group in data["groups"]] == [4.0, 9.0]
    assert main(["compare", *short, *long]) == 0
    shown = capsys.readouterr().out
    assert "y ↑ after 2" in shown
    assert "at the end" in shown
    assert "too few pairs" in shown


def test_five_pairs_are_enough_and_each_test_is_corrected(tmp_path: Path, told: Told) -> None:
    rows = {"random": 0.0, "hill_climb": 1.0, "surrogate": -0.1}
    places = [
        place
        for name, shift in rows.items()
        for place in studies(
            tmp_path, [[shift * (n + 1)] for n in range(5)], name=name, strategy=name
        )
    ]
    data = told(*places)
    assert [test["against"] for test in data["tests"]] == ["random"] * 2
    assert [test["p"] for test in data["tests"]] == [0.0625, 0.0625]  # one sign: 2 of 32 cases
    assert [test["p_holm"] for test in data["tests"]] == [0.125, 0.125]
    fewer = told(*(place for place in places if not place.endswith("-4")))
    assert [(test["pairs"], test["p"]) for test in fewer["tests"]] == [(4, None)] * 2
    assert fewer["tests"][0]["difference"] == pytest.approx(2.5)


def test_groups_are_told_apart_by_what_differs(tmp_path: Path, told: Told) -> None:
    def labels(*settings: dict[str, Any]) -> list[str]:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        places = [
            place
            for number, each in enumerate(settings)
            for place in studies(root, [[1.0], [2.0]], name=f"s{number}", **each)
        ]
        return [group["label"] for group in told(*places)["groups"]]

    assert labels({"strategy": "random"}, {"strategy": "surrogate"}) == ["random", "surrogate"]
    two = {"training": {"epochs": 2}}, {"training": {"epochs": 4}}
    assert labels(*two) == ["training.epochs=2", "training.epochs=4"]
    evolution = {"name": "regularized_evolution", "population": 8}
    few = {"strategy": {**evolution, "sample": 2}}, {"strategy": {**evolution, "sample": 4}}
    assert labels(*few) == ["sample=2", "sample=4"]
    assert labels({"digest": "1"}, {"digest": "2"}) == ["s0-0 and 1 more", "s1-0 and 1 more"]
    assert labels({}) == ["s0-0 and 1 more"]


def test_studies_that_differ_in_their_seed_alone_are_told_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # folders are long
    assert main(["compare", *studies(tmp_path, [[1.0], [2.0]])]) == 0
    shown = capsys.readouterr().out.partition("All studies")[2].splitlines()
    rows = [line.partition("told-0 and 1 more")[2].split()[:3] for line in shown]
    assert [row for row in rows if row] == [["told-0", "0", "1.0000"], ["told-1", "1", "2.0000"]]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"digest": "4567"}, "The data differ"),
        ({"training": {"epochs": 9}}, "different numbers of epochs: told-0: 5; other-0: 9"),
        ({"space": {"width": {"choice": [1, 2]}}}, "The search spaces differ"),
        ({"constraints": [{"metric": "y", "at_most": 8}]}, "The constraints differ"),
        ({"is_finished": False}, "Study other-0 is not at its end"),
    ],
)
def test_what_makes_a_difference_hard_to_believe_is_said(
    tmp_path: Path,
    told: Told,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, Any],
    said: str,
) -> None:
    first = list(studies(tmp_path, [[1.0]], strategy="surrogate"))
    alike = list(studies(tmp_path, [[2.0]], name="alike"))
    assert told(*first, *alike)["notes"] == []
    other = list(studies(tmp_path, [[2.0]], name="other", strategy="surrogate", **settings))
    (note,) = told(*first, *other)["notes"]
    assert said.split(":", maxsplit=1)[0] in note
    assert main(["compare", *first, *other]) == 0
    assert said.split(":", maxsplit=1)[0] in " ".join(capsys.readouterr().out.split())


def test_a_study_without_results_is_shown_and_said(
    tmp_path: Path, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    good = list(studies(tmp_path, [[1.0, 2.0]]))
    bad = list(studies(tmp_path, [[None, None, None]], name="bad", strategy="surrogate"))
    data = told(*good, *bad)
    assert data["notes"] == ["Study bad-0 has no completed candidate of the search."]
    assert [group["best"] and group["best"]["mean"] for group in data["groups"]] == [2.0, None]
    assert data["groups"][1]["target"] == {"reached": 0, "candidates": None, "cost": None}
    assert data["groups"][1]["studies"][0]["failed"] == 3
    strict = studies(tmp_path, [[9.0]], name="s", constraints=[{"metric": "y", "at_most": 8}])
    data = told(*good, *strict)
    assert "No candidate of study s-0 meets its constraints." in data["notes"]
    assert data["groups"][1]["best"] is None
    worse = list(studies(tmp_path, [[None]], name="worse"))
    assert told(*bad, *worse)["target"] is None
    assert main(["compare", *bad, *worse]) == 0
    assert "no completed candidate" in capsys.readouterr().out
