"""What a bench measures: its numbers agree with the trajectories, and with its clock."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from phylon.bench_clock import MISSING, Trajectory
from phylon.bench_files import trajectories_table, write_files
from phylon.bench_results import Results
from phylon.bench_setup import Request, prepare
from phylon.bench_statistics import Mark
from phylon.bench_table import BenchTable, write_table
from phylon.search import Architecture, Cell, Choice, SearchSpace
from tests.phylon.bench_problems import request, run, small_table

EVOLUTION = "regularized_evolution,population=8,sample=3"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_table(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def results(table: Path) -> Results:
    return run(prepare(request(table, strategies=["random", EVOLUTION])))


def same(one: Trajectory, other: Trajectory) -> bool:
    """Whether two studies did the same; the strategy's seconds may differ."""
    fields = ("rows", "candidates", "ends")
    return one.unique == other.unique and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in fields
    )


def test_curves_agree_with_a_replay_by_hand(results: Results) -> None:
    data = results.bench.table
    search, true = data.column("search"), data.column("true")
    rows = {text: row for row, text in enumerate(data.texts)}
    best, last = -np.inf, None
    for line in trajectories_table(results).to_pylist():
        if (line["strategy"], line["seed"]) != last:
            best, last = -np.inf, (line["strategy"], line["seed"])
            report, count = np.nan, 0
        count += 1
        row = rows[line["architecture"]]
        if search[row] > best:
            best, report = search[row], true[row]
        assert line["evaluation"] == count
        assert line["candidate"] == count - 1
        assert line["objective"] == search[row]
        assert line["incumbent"] == best
        assert line["report"] == report
        assert line["regret"] == pytest.approx(search.max() - best)
        assert line["seconds"] == count


def test_regret_never_rises_nor_falls_below_nothing(results: Results) -> None:
    for series in results.series:
        for curves in series.curves:
            regret = curves.values["regret"]
            assert (np.diff(regret) <= 0).all()
            assert (regret >= 0).all()


def test_json_has_the_numbers_of_the_curves(results: Results) -> None:
    data = results.to_json()
    assert data["objective"] == "search"
    assert data["report"] == "true"
    assert data["table"] == results.bench.table.name
    random, evolution = data["strategies"]
    assert (random["name"], evolution["name"]) == ("random", EVOLUTION)
    assert evolution["params"] == {"population": 8, "sample": 3}
    assert random["seeds"] == 4
    assert list(random["at"]) == ["20", "50", "60"]
    assert set(random["at"]["50"]) == {"report", "regret"}
    reports = [curves.values["report"][49] for curves in results.series[0].curves]
    assert set(random["at"]["50"]["report"]) == {"mean", "std", "median", "q25", "q75"}
    assert random["at"]["50"]["report"]["mean"] == pytest.approx(np.mean(reports))
    assert random["at"]["50"]["report"]["q25"] == pytest.approx(np.percentile(reports, 25))
    assert (random["unique"], random["duplicates"], random["missing"]) == (60, 0, 0)
    assert random["strategy_seconds"] > 0


def test_the_others_are_compared_with_the_first(results: Results) -> None:
    comparisons = results.to_json()["comparisons"]
    assert [each["at"] for each in comparisons] == ["20", "50", "60"]
    for each in comparisons:
        assert (each["strategy"], each["against"]) == (EVOLUTION, "random")
        assert each["p"] <= each["p_holm"] <= 1
    at = Mark(60)
    first, second = (series.at[at]["report"] for series in results.series)
    assert comparisons[-1]["difference"] == pytest.approx((second - first).mean())


def test_studies_are_paired_by_seed(table: Path) -> None:
    # Both begin at random with the same draws; evolution's differ from the ninth on.
    both = run(prepare(request(table, strategies=["random", EVOLUTION])))
    for random, evolution in zip(*(series.trajectories for series in both.series), strict=True):
        assert random.rows[:8].tolist() == evolution.rows[:8].tolist()
        assert random.rows.tolist() != evolution.rows.tolist()
    starts = {tuple(each.rows[:8].tolist()) for each in both.series[0].trajectories}
    assert len(starts) == 4


def test_the_number_of_processes_does_not_matter(results: Results) -> None:
    threads = os.environ.get("OMP_NUM_THREADS")
    again = run(results.bench, processes=2)
    for one, other in zip(results.series, again.series, strict=True):
        assert all(map(same, one.trajectories, other.trajectories))
    assert os.environ.get("OMP_NUM_THREADS") == threads


def test_a_mistake_of_a_strategy_ends_the_bench(table: Path) -> None:
    bench = prepare(request(table))
    broken = dataclasses.replace(bench.contestants[0], params={"no": 1})
    bench = dataclasses.replace(bench, contestants=(broken,))
    with pytest.raises(ValueError, match="no such parameter"):
        run(bench, processes=2)


def test_one_worker_is_the_sequential_run(results: Results, table: Path) -> None:
    one = run(prepare(request(table, strategies=["random", EVOLUTION], workers=1)))
    for expected, found in zip(results.series, one.series, strict=True):
        assert all(map(same, expected.trajectories, found.trajectories))


def test_workers_bring_results_late_and_out_of_order(results: Results, table: Path) -> None:
    four = run(prepare(request(table, strategies=["random", EVOLUTION], workers=4)))
    random, evolution = (series.trajectories for series in four.series)
    for trajectory in (*random, *evolution):
        assert sorted(trajectory.candidates.tolist()) == list(range(60))
        assert trajectory.candidates.tolist() != list(range(60))
        assert (np.diff(trajectory.ends) >= 0).all()
        # 60 evaluations of .5 to 1.5, four at a time.
        assert 60 / 4 * 0.8 < trajectory.ends[-1] < 60 / 4 * 1.3
    alone = results.series
    for one, other in zip(alone[0].trajectories, random, strict=True):
        assert sorted(one.rows.tolist()) == sorted(other.rows.tolist())
    asked = [np.argsort(trajectory.candidates) for trajectory in evolution]
    for one, other, order in zip(alone[1].trajectories, evolution, asked, strict=True):
        assert one.rows.tolist() != other.rows[order].tolist()


def test_a_budget_of_seconds_is_spent_and_not_exceeded(table: Path) -> None:
    asked = request(table, budget=2000.0, time_column="seconds", workers=3)
    results = run(prepare(asked))
    seconds = results.bench.table.column("seconds")
    (series,) = results.series
    for trajectory in series.trajectories:
        busy = seconds[trajectory.rows].sum()
        assert trajectory.ends[-1] <= 2000
        assert 3 * (2000 - seconds.max()) < busy <= 3 * 2000
    data = results.to_json()["strategies"][0]
    shortest = min(len(trajectory.rows) for trajectory in series.trajectories)
    assert list(data["at"]) == [str(n) for n in (20, 50, 100, 150, 300) if n <= shortest]
    assert list(data["at_seconds"]) == ["500", "1000", "1500", "2000"]
    finals = [curves.values["report"][-1] for curves in series.curves]
    assert data["at_seconds"]["2000"]["report"]["mean"] == pytest.approx(np.mean(finals))


def test_one_slot_adds_up_the_seconds(table: Path) -> None:
    results = run(prepare(request(table, budget=500.0, time_column="seconds", seeds=1)))
    seconds = results.bench.table.column("seconds")
    trajectory = results.series[0].trajectories[0]
    assert trajectory.ends.tolist() == np.cumsum(seconds[trajectory.rows]).tolist()


def test_a_column_can_be_minimised(table: Path) -> None:
    results = run(prepare(request(table, objectives=["seconds:min"], report=None)))
    seconds = results.bench.table.column("seconds")
    for trajectory, curves in zip(
        results.series[0].trajectories, results.series[0].curves, strict=True
    ):
        lowest = np.minimum.accumulate(seconds[trajectory.rows])
        assert curves.values["report"].tolist() == lowest.tolist()
        assert curves.values["regret"].tolist() == (lowest - seconds.min()).tolist()
    assert results.to_json()["objective"] == "seconds:min"


def test_several_objectives_give_the_fraction_of_the_front(tmp_path: Path) -> None:
    space = SearchSpace(a=Choice(0, 1, 2, 3))
    architectures = [Architecture({"a": a}) for a in range(4)]
    columns = {"gain": [1.0, 2.0, 3.0, 1.0], "cost": [1.0, 2.0, 3.0, 3.0]}
    write_table(tmp_path / "t.parquet", space, architectures, columns)
    asked = request(
        tmp_path / "t.parquet", objectives=["gain", "cost:min"], report=None, budget=4,
        references=["gain=0", "cost=4"],
    )  # fmt: skip
    results = run(prepare(asked))
    # Corners (gain, 4 - cost) of (1, 3), (2, 2) and (3, 1): 6 unit squares in all.
    area = {frozenset(): 0, frozenset({0}): 3, frozenset({1}): 4, frozenset({2}): 3}
    area |= {frozenset({0, 1}): 5, frozenset({0, 2}): 5, frozenset({1, 2}): 5}
    area[frozenset({0, 1, 2})] = 6
    (series,) = results.series
    for trajectory, curves in zip(series.trajectories, series.curves, strict=True):
        seen: frozenset[int] = frozenset()
        for row, fraction in zip(trajectory.rows, curves.values["hypervolume"], strict=True):
            seen |= {int(row)}
            on_front = seen - {3}
            expected = area[on_front] if on_front else 1
            assert fraction == pytest.approx(expected / 6)
    data = results.to_json()
    assert data["objective"] == ["gain", "cost:min"]
    assert data["reference"] == {"gain": 0.0, "cost": 4.0}
    assert data["strategies"][0]["at"]["4"]["hypervolume"]["mean"] == pytest.approx(1)
    assert "regret" not in data["strategies"][0]["at"]["4"]


def test_a_small_space_ends_before_the_budget(tmp_path: Path) -> None:
    space = SearchSpace(a=Choice(0, 1, 2))
    architectures = [Architecture({"a": a}) for a in range(3)]
    write_table(tmp_path / "t.parquet", space, architectures, {"y": [1.0, 3.0, 2.0]})
    asked = request(tmp_path / "t.parquet", objectives=["y"], report=None, budget=30)
    data = run(prepare(asked)).to_json()["strategies"][0]
    assert data["unique"] == 3
    assert data["at"]["20"]["regret"]["mean"] == data["at"]["30"]["regret"]["mean"] == 0


def test_what_the_table_lacks_fails_and_counts(tmp_path: Path) -> None:
    space = SearchSpace(a=Choice(*range(20)))
    architectures = [Architecture({"a": a}) for a in range(0, 20, 2)]
    write_table(tmp_path / "t.parquet", space, architectures, {"y": list(range(10))})
    asked = request(tmp_path / "t.parquet", objectives=["y"], report=None, budget=20, seeds=2)
    results = run(prepare(asked))
    data = results.to_json()["strategies"][0]
    assert data["missing"] == 10
    assert data["unique"] == 20
    assert data["at"]["20"]["report"]["mean"] == 9
    lines = trajectories_table(results).to_pylist()
    odd = [line for line in lines if line["architecture"] == '{"a":1}']
    assert len(odd) == 2
    assert all(line["objective"] is None for line in odd)
    for trajectory in results.series[0].trajectories:
        assert (trajectory.rows == MISSING).sum() == len(trajectory.absent) == 10


def test_a_zero_cost_start_begins_with_what_proxies_rank_best(table: Path, tmp_path: Path) -> None:
    data = BenchTable.read([table])
    true = data.column("true")
    columns = {"synflow": true, "nwot": 2 * true, "jacov": true - 50}
    write_table(tmp_path / "p.parquet", data.notation.space, data.architectures, columns)
    asked = request(
        table,
        strategies=["regularized_evolution", "regularized_evolution,initial=zero_cost"],
        settings=["population=8"],
        proxies=tmp_path / "p.parquet",
    )
    bench = prepare(asked)
    assert [dict(each.params) for each in bench.contestants] == [{"population": 8}] * 2
    plain, primed = (series.trajectories for series in run(bench).series)
    best = np.sort(true)[-12]  # 3,000 draws meet nearly all of the 624 architectures
    alike = 0
    for usual, trajectory in zip(plain, primed, strict=True):
        assert (true[trajectory.rows[:4]] >= best).all()
        alike += int((usual.rows[4:8] == trajectory.rows[4:8]).sum())
    assert 12 <= alike <= 16  # the other half is as random as ever, but for what is there already


def test_networks_that_are_evaluated_again_are_duplicates(tmp_path: Path) -> None:
    space = SearchSpace(a=Choice(*range(4)))
    architectures = [Architecture({"a": a}) for a in range(4)]
    write_table(tmp_path / "t.parquet", space, architectures, {"y": list(range(4))})
    strategy = "regularized_evolution,population=4,sample=2,repeats=true"
    asked = request(
        tmp_path / "t.parquet", strategies=[strategy], objectives=["y"], report=None, budget=30
    )
    results = run(prepare(asked))
    data = results.to_json()["strategies"][0]
    different = [len(set(each.rows.tolist())) for each in results.series[0].trajectories]
    assert data["unique"] == np.mean(different)
    assert data["duplicates"] == 30 - np.mean(different)


def test_parameters_of_a_strategy_win_over_those_of_all(table: Path) -> None:
    strategies = ["regularized_evolution", "regularized_evolution,sample=3,crossover=0.5"]
    bench = prepare(request(table, strategies=strategies, settings=["sample=2"]))
    assert [dict(each.params) for each in bench.contestants] == [
        {"sample": 2},
        {"sample": 3, "crossover": 0.5},
    ]


def test_files(results: Results, tmp_path: Path) -> None:
    write_files(results, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"trajectories.parquet", "bench.png"}
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_random_search_on_nasbench201_is_what_others_measured() -> None:
    folder = os.environ.get("PHYLON_TABLES")
    path = Path(folder or "") / "nasbench201_cifar10.parquet"
    if not folder or not path.is_file():
        pytest.skip("set PHYLON_TABLES to a folder with nasbench201_cifar10.parquet")
    asked = Request(
        tables=[path], strategies=["random"], objectives=["val_accuracy_12"],
        report="test_accuracy_200", budget=50, seeds=200,
    )  # fmt: skip
    at = run(prepare(asked)).to_json()["strategies"][0]["at"]
    assert at["50"]["report"]["mean"] == pytest.approx(93.46, abs=0.08)


def test_a_table_may_hold_one_spelling_of_each_network(tmp_path: Path) -> None:
    space = SearchSpace(cell=Cell(3, ("none", "skip_connect", "conv")))
    spellings = {space.key(each): each for each in space.enumerate()}
    architectures = list(spellings.values())
    values = [float(place) for place in range(len(architectures))]
    assert len(architectures) < space.size
    write_table(tmp_path / "t.parquet", space, architectures, {"y": values})
    asked = request(tmp_path / "t.parquet", objectives=["y"], report=None, budget=27)
    results = run(prepare(asked)).to_json()["strategies"][0]
    assert results["missing"] == 0
    assert results["unique"] == len(architectures)
    apart = run(prepare(dataclasses.replace(asked, distinct=True))).to_json()["strategies"][0]
    assert apart["missing"] == 27 - len(architectures)
