"""What a study file that says something wrong gets told, and where."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from phylon.config import StudyConfig
from phylon.config_file import load_config, read_study_file
from phylon.errors import ConfigurationError

MINIMAL = """\
name: tiny
task: digits
objectives:
  - metric: val_accuracy
    direction: maximize
budget:
  candidates: 3
"""
Refusal = Callable[..., list[str]]
FIELDS: dict[str, Any] = yaml.safe_load(MINIMAL)


@pytest.fixture
def refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refusal:
    """Returns the lines that loading a text is refused with."""
    monkeypatch.chdir(tmp_path)

    def lines(text: str, *overrides: str) -> list[str]:
        Path("study.yaml").write_text(text)
        with pytest.raises(ConfigurationError) as caught:
            load_config("study.yaml", overrides)
        return str(caught.value).splitlines()

    return lines


@pytest.mark.parametrize(
    ("extra", "line", "complaint"),
    [
        ("stategy: random", 8, "unknown key `stategy`; did you mean `strategy`?"),
        ("training: {epoch: 3}", 8, "unknown key `training.epoch`; did you mean `epochs`?"),
        ("training:\n  epochs: many", 9, "training.epochs is 'many'; it must be a whole number"),
        ("training:\n  epochs: 2.5", 9, "training.epochs is 2.5; it must be a whole number"),
        ("seed: true", 8, "seed is true; it must be a whole number"),
        ("seed: -1", 8, "seed is -1; it must be at least 0"),
        ("order: loose", 8, "order is 'loose'; allowed: free or strict"),
        ("window: 0", 8, "window is 0; it must be greater than 0"),
        ("final: {top: 2}", 8, "missing key `final.epochs`: epochs of the longer training"),
        ("resources: {gpus: 0.3}", 8, "nearest 0.25 (1/4) and 0.3333 (1/3)"),
        ("resources: {gpus: half}", 8, "resources.gpus is 'half'; allowed: 0, 1/k, a whole number"),
        ("resources: {gpus: true}", 8, "resources.gpus is True; allowed: 0, 1/k, a whole number"),
        ("resources: {memory: 0}", 8, "resources.memory is 0; allowed: a number of GiB above 0"),
        ("resources: {memory: 2GB}", 8, "resources.memory is '2GB'; allowed: a number of GiB"),
        ("resources: {slots: 0}", 8, "resources.slots is 0; it must be greater than 0"),
        ("resources: {gpus: 1, memory: auto}", 8, "plan memory: auto together with gpus: 1.0, but"),
        ("resources: {cpus: 0}", 8, "resources.cpus is 0; it must be at least 0.001"),
        ("resources: {cpus: .inf}", 8, "resources.cpus is '.inf'; it must be a number"),
        ("evaluator: table", 8, "evaluator is 'table'; allowed: training or supernet"),
        ("supernet: {epochs: 9}", 8, "nothing would use; add `evaluator: supernet`"),
        ("supernet: {training: greedy}", 8, "allowed: uniform, fair or enas"),
        ("supernet: {calibration: -1}", 8, "supernet.calibration is -1; it must be at least 0"),
        ("supernet: {resources: {gpus: 0.3}}", 8, "supernet.resources.gpus is 0.3, which no GPU"),
        ("supernet: {resources: {gpus: auto}}", 8, "supernet.resources.gpus is 'auto'; allowed: 0"),
        ("supernet: {rank_floor: 2}", 8, "supernet.rank_floor is 2"),
        ("supernet: {rank_floor: 0.3, probes: 2}", 8, "takes at least 4 probes to tell"),
        ("supernet: {on_low_rank: stop}", 8, "stop without a floor; add a rank_floor, such as 0.3"),
        (
            "final: {epochs: 9, weights: both}",
            8,
            "weights: both, but without `evaluator: supernet`",
        ),
        ("strategy: enas\nevaluator: training", 9, "evaluator is training, but strategy `enas`"),
        ("strategy: enas\nsupernet: {training: fair}", 9, "supernet has training: fair, but strat"),
        ("constraints: [{metric: y, at_most: lots}]", 8, "at_most is 'lots'; it must be a number"),
        ("tracking: {uri: ./mlruns}", 8, "tracking.uri is './mlruns', which is not an MLflow"),
        ("tracking: {uri: 'file:///x'}", 8, "tracking.uri is 'file:///x', which is not an MLflow"),
        ("strategy: {population: 3}", 8, "missing key `strategy.name`"),
        ("strategy: 3", 8, "strategy is 3; it must be a name, or a mapping with a `name`"),
        ("training: 3", 8, "it must be a mapping with the keys epochs, batch_size"),
        ("name: again", 8, "the key `name` is given twice, first in line 1"),
        ("seed: &a 1\nwindow: *a", 9, "aliases (`*`) are not supported"),
        ("seed: [1", 9, "not valid YAML"),
        ("7: 1", 8, "the key `7` must be text"),
        ("task: !!python/object/apply:os.getcwd []", 8, "given twice"),
        ("seed: !!python/object/apply:os.getcwd []", 8, "not valid YAML"),
    ],
)
def test_mistakes_are_told_with_line_key_and_cure(
    refusal: Refusal, extra: str, line: int, complaint: str
) -> None:
    (told,) = refusal(f"{MINIMAL}{extra}\n")
    assert told.startswith(f"study.yaml, line {line}: ")
    assert complaint in told


@pytest.mark.parametrize(
    ("line", "replacement", "complaint"),
    [
        (1, "name: ../escape", "which cannot be a folder's name"),
        (1, "name: 7", "name is 7; it must be text (in quotes if it looks like a number)"),
        (5, "", "objectives.0 needs a direction; add `direction: maximize`"),
        (5, "    direction: up", "objectives.0.direction is 'up'; allowed: maximize or minimize"),
        (4, "  - objective: x", "missing key `objectives.0.metric`"),
        (7, "  candidates: 0", "budget.candidates is 0; it must be greater than 0"),
        (7, "  hours: null", "budget names no limit, so the search would never end; give at least"),
        (7, "  gpu_hours: -1", "budget.gpu_hours is -1; it must be greater than 0"),
    ],
)
def test_mistakes_in_what_every_file_needs(
    refusal: Refusal, line: int, replacement: str, complaint: str
) -> None:
    lines = MINIMAL.splitlines()
    lines[line - 1] = replacement
    told = refusal("\n".join(lines))
    assert any(complaint in each for each in told)
    assert all(each.startswith("study.yaml, line ") for each in told)


def test_all_mistakes_are_told_in_the_order_of_the_file(refusal: Refusal) -> None:
    told = refusal("task: 3\nobjectives: []\nbudget: 0\nseeed: 1\n")
    places = [line.split(":")[0] for line in told]
    assert places == ["study.yaml", *(f"study.yaml, line {n}" for n in (1, 2, 3, 4))]
    assert "missing key `name`" in told[0]
    assert "pydantic" not in "".join(told)


def test_the_same_metric_twice_is_refused(refusal: Refusal) -> None:
    twice = "{metric: a, direction: minimize}"
    (told,) = refusal(MINIMAL, f"objectives=[{twice}, {twice}]")
    assert "objectives name the metric `a` twice" in told


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "just text", "a: b: c", "a: \0"])
def test_files_that_are_no_study_are_refused(refusal: Refusal, text: str) -> None:
    (told,) = refusal(text)
    assert told.startswith("study.yaml, line 1: ")


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("budget.candidates=0", "budget.candidates is 0; it must be greater than 0"),
        ("budget.candidate=4", "unknown key `budget.candidate`; did you mean `candidates`?"),
        ("bugdet.candidates=4", "unknown key `bugdet`; did you mean `budget`?"),
        ("final.top=2", "missing key `final.epochs`"),
        ("space.width=8", "missing key `space.name`"),
        ("objectives.1.metric=x", "objectives.1 needs a direction"),
        ("objectives.5.metric=x", "`objectives` is a list of 1; `5` is not a position in it"),
        ("objectives.first=x", "`first` is not a position in it; use 0 to 1"),
        ("name.first=x", "`name` is 'tiny' and has no keys"),
        ("budget", "not a key and a value; write it as key=value"),
        ("=3", "not a key and a value"),
        ("seed=[1", "the value is not valid YAML"),
    ],
)
def test_mistakes_in_overrides_name_the_override(
    refusal: Refusal, override: str, complaint: str
) -> None:
    (told,) = refusal(f"{MINIMAL}final: null\n", "seed=3", override)
    assert told.startswith(f"--set {override}: ")
    assert complaint in told


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no study file .*`phylon init"):
        load_config(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigurationError, match=r"is a folder; .*`phylon resume"):
        load_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        load_config(tmp_path / "latin.yaml")


def test_python_gets_the_same_messages_without_a_file() -> None:
    with pytest.raises(ConfigurationError) as caught:
        StudyConfig.build(**FIELDS, sed=3, resources={"gpus": 0.3})
    told = str(caught.value).splitlines()
    assert any(line.startswith("unknown key `sed`; did you mean `seed`?") for line in told)
    assert any(line.startswith("resources.gpus is 0.3, which no GPU") for line in told)


def test_errors_found_later_still_get_their_place(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(MINIMAL)
    file = read_study_file(path, ["strategy.name=foo"])
    late = file.located(ConfigurationError("strategy.name: unknown strategy `foo`"))
    assert str(late) == "--set strategy.name=foo: strategy.name: unknown strategy `foo`"
    late = file.located(ConfigurationError("objectives.0.metric: not reported"))
    assert str(late) == f"{path}, line 4: objectives.0.metric: not reported"
    other = ConfigurationError("the disk is full")
    assert file.located(other) is other
