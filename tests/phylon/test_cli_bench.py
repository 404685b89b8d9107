"""The command `phylon bench`: what it prints, what it refuses, how it stops."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from phylon.bench_report import overview
from phylon.bench_setup import prepare
from phylon.cli import main
from tests.phylon.bench_problems import request, run, small_table

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_table(tmp_path_factory.mktemp("tables"))


def arguments(table: Path, *more: str, **options: Any) -> list[str]:
    given = {"strategy": "random", "objective": "search", "budget": 20, "seeds": 1, **options}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    return ["bench", f"--table={table}", *words, *more]


def test_json(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(table, "--json", report="true")) == 0
    output = capsys.readouterr()
    assert output.err == ""
    data = json.loads(output.out)
    assert {"table", "objective", "report", "strategies"} <= set(data)
    assert (data["table"], data["objective"], data["report"]) == (str(table), "search", "true")
    (strategy,) = data["strategies"]
    needed = {"name", "seeds", "at", "unique", "duplicates", "strategy_seconds"}
    assert needed <= set(strategy)
    numbers = {"mean", "std", "median", "q25", "q75"}
    assert {name: set(each) for name, each in strategy["at"]["20"].items()} == {
        "report": numbers,
        "regret": numbers,
    }


def test_tables_for_people(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    more = ["--strategy=regularized_evolution,population=8,sample=3", "--seeds=3"]
    assert main(arguments(table, *more)) == 0
    out = capsys.readouterr().out
    words = "624 architectures objective: search; report: search; studies: 3 of each"
    assert words in " ".join(out.split())  # where it breaks depends on the length of the path
    assert re.search(r"at +strategy +report ±std +median +quartiles +regret ±std +p", out)
    assert re.search(r"20 +random +[\d.]+±[\d.]+ +[\d.]+ +[\d.]+ to [\d.]+ +[\d.]+±", out)
    assert re.search(r"unique +duplicates +missing", out)
    assert "against random" in out
    assert max(map(len, out.splitlines())) <= 80


def test_no_number_is_cut_off(table: Path) -> None:
    first, second = "random", "regularized_evolution,population=8,sample=3"
    results = run(prepare(request(table, strategies=[first, second])))
    comparisons = [replace(each, p_holm=1.2e-5) for each in results.comparisons]
    results = replace(results, comparisons=comparisons)
    wide, narrow = StringIO(), StringIO()
    Console(file=wide, width=200).print(overview(results))
    Console(file=narrow, width=80).print(overview(results))
    numbers = re.compile(r"\d\S*\d")
    assert sorted(numbers.findall(wide.getvalue())) == sorted(numbers.findall(narrow.getvalue()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "serach"}, "no column `serach`; did you mean `search`? Known: search, se"),
        ({"report": "tru"}, "no column `tru`; did you mean `true`?"),
        ({"time_column": "second", "budget": 99}, "no column `second`; did you mean `seconds`?"),
        ({"strategy": "randm"}, "unknown strategy `randm`; did you mean `random`?"),
        ({"strategy": "random,size=3"}, "`random` has no such parameter"),
        ({"set": "size=3"}, "`random` has no such parameter"),
        ({"set": "seed=3"}, "--strategy random: strategy.seed: the study says that"),
        ({"set": "size"}, "--set size: not a key and a value"),
        ({"strategy": "regularized_evolution,population=x"}, "strategy.population is 'x'"),
        ({"strategy": "random,initial=zero_cost"}, "proxies are needed; give a table of them"),
        ({"strategy": "halving"}, "`halving` decides how many epochs"),
        ({"budget": 0}, "--budget is 0 evaluations; allowed: integers from 1 up"),
        ({"budget": 2.5}, "--budget is 2.5 evaluations"),
        ({"budget": "nan", "time_column": "seconds"}, "--budget is nan s"),
        ({"budget": 3, "time_column": "seconds"}, "the shortest evaluation in `seconds` takes 15"),
        ({"time_column": "search"}, "more than 0 seconds"),
        ({"seeds": 0}, "--seeds is 0; allowed: integers from 1 up"),
        ({"workers": 0}, "--workers is 0; allowed: integers from 1 up"),
        ({"reference": "search=3"}, "--reference is for several objectives"),
        ({"space": "mcaro"}, "--space mcaro: space: unknown"),
        ({"space": "nasbench201"}, "row 0: "),
        ({"proxies": "none.parquet"}, "there is no table none.parquet"),
    ],
)  # fmt: skip
def test_mistakes(
    table: Path, options: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if options.get("time_column") == "search":
        negative = pq.read_table(table)
        table = table.with_name("negative.parquet")
        column = pa.array([-1.0] * len(negative))
        pq.write_table(negative.set_column(1, "search", column), table)
    assert main(arguments(table, **options)) == 2
    output = capsys.readouterr()
    assert message in output.err
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert output.out == ""


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--objective=seconds:min", "--strategy=regularized_evolution"], "use one of: "),
        (["--objective=seconds:min", "--reference=true=3"], "one of the objectives: search, sec"),
        (["--objective=seconds:min", "--reference=seconds=x"], "allowed: COLUMN=NUMBER"),
        (["--objective=seconds:min", "--reference=seconds=1"], "give a worse one by --reference"),
        (["--objective=search:min"], "--objective search is given twice"),
        (["--strategy=random"], "--strategy random is given twice"),
        (["--out=/dev/null/x"], "--out /dev/null/x: Not a directory"),
    ],
)
def test_mistakes_of_several(
    table: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(table, *more)) == 2
    assert message in capsys.readouterr().err


def test_the_readme_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split("## Compare strategies")[1].split("```sh\n")[1].split("```")[0]
    write, bench = block.replace("\\\n", " ").strip().splitlines()
    monkeypatch.chdir(tmp_path)
    _, script, *rest = shlex.split(write, comments=True)
    monkeypatch.setattr(sys, "argv", [script, *rest])
    runpy.run_path(str(ROOT / script), run_name="__main__")
    words = shlex.split(bench, comments=True)
    folder = Path(words[words.index("--out") + 1])
    assert words[0] == "phylon"
    assert main(words[1:]) == 0
    assert pq.read_table(folder / "trajectories.parquet").num_rows > 0
    assert (folder / "bench.png").is_file()


@pytest.fixture
def long_bench(table: Path, tmp_path: Path) -> Iterator[Popen[str]]:
    """A bench that takes minutes, and has begun its processes."""
    words = arguments(table, budget=600, seeds=10000, out=tmp_path)
    command = "import sys; from phylon.cli import main; sys.exit(main())"
    with Popen(
        [sys.executable, "-c", command, *words], stderr=PIPE, stdout=PIPE, text=True,
        start_new_session=True,  # as a shell starts it: Ctrl-C goes to all its processes
    ) as process:  # fmt: skip
        wait_for(lambda: len(children(process)) > 1)
        yield process
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("seconds", [0, 3], ids=["while it begins", "while it runs"])
def test_ctrl_c_ends_it_and_its_processes(
    long_bench: Popen[str], seconds: float, tmp_path: Path
) -> None:
    time.sleep(seconds)
    pids = children(long_bench)
    os.killpg(long_bench.pid, signal.SIGINT)
    out, err = long_bench.communicate(timeout=60)
    assert (long_bench.returncode, out) == (130, "")
    assert err == "interrupted; nothing was written\n"
    assert not list(tmp_path.iterdir())
    wait_for(lambda: not any(map(is_running, pids)))


def test_its_processes_end_when_it_is_killed(long_bench: Popen[str]) -> None:
    time.sleep(3)
    pids = children(long_bench)
    long_bench.kill()
    wait_for(lambda: not any(map(is_running, pids)))


def children(process: Popen[str]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
