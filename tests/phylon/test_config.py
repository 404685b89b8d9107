"""The study file: what it may say, and what it gets told when it says something else."""

import json
import math
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from phylon.config import StudyConfig, legal_gpus
from phylon.config_file import load_config, read_study_file
from phylon.errors import ConfigurationError
from phylon.search.objective import Objective

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
Loader = Callable[..., StudyConfig]
FIELDS: dict[str, Any] = yaml.safe_load(MINIMAL)
EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.yaml"


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


@pytest.fixture
def load(tmp_path: Path) -> Loader:
    def loaded(text: str, *overrides: str) -> StudyConfig:
        path = tmp_path / "study.yaml"
        path.write_text(text)
        return load_config(path, overrides)

    return loaded


# --- what is understood


def test_a_minimal_file_has_sensible_defaults(load: Loader) -> None:
    config = load(MINIMAL)
    assert config.folder == Path("studies/tiny")
    assert config.strategy.name == "regularized_evolution"
    assert config.objectives == (Objective("val_accuracy", "maximize"),)
    assert config.final is None
    assert config.space is None
    assert (config.order, config.resources.cpus, config.resources.gpus) == ("free", 1.0, 0.0)


def test_components_are_named_barely_or_with_parameters(load: Loader) -> None:
    config = load(MINIMAL + "strategy: random\nspace: {name: macro, width: [8, 16]}\n")
    assert (config.strategy.name, config.strategy.params) == ("random", {})
    assert (config.space.name, config.space.params) == ("macro", {"width": [8, 16]})


def test_yaml_means_what_it_looks_like(load: Loader) -> None:
    config = load(MINIMAL.replace("name: tiny", "name: no"), "budget.hours=1e-3")
    assert config.name == "no"
    assert config.budget.hours == 0.001


def test_overrides_reach_every_depth(load: Loader) -> None:
    config = load(
        MINIMAL,
        "budget.candidates=40",
        "objectives.0.metric=val_loss",
        "objectives.0.direction=minimize",
        "objectives.1.metric=params",
        "objectives.1.direction=minimize",
        "strategy.population=10",
        "final.epochs=9",
        "training={epochs: 2}",
        "task.path=some where",
    )
    assert config.budget.candidates == 40
    assert config.objectives == (Objective("val_loss", "minimize"), Objective("params", "minimize"))
    assert config.strategy.params == {"population": 10}
    assert config.strategy.name == "regularized_evolution"
    assert (config.final.epochs, config.training.epochs) == (9, 2)
    assert (config.task.name, config.task.params) == ("digits", {"path": "some where"})


@pytest.mark.parametrize(
    ("given", "meant"),
    [(0, 0), (2, 2), (0.5, 1 / 2), (0.33, 1 / 3), (0.333, 1 / 3), (0.17, 1 / 6), (0.16, 1 / 6)],
)
def test_gpu_shares_within_rounding_are_exact(given: float, meant: float) -> None:
    assert legal_gpus(given) == meant


@pytest.mark.parametrize(
    ("given", "nearest"),
    [
        (0.3, "0.25 (1/4) and 0.3333 (1/3)"),
        (0.34, "0.3333 (1/3) and 0.5 (1/2)"),
        (0.6, "0.5 (1/2) and 1"),
        (1.5, "1 and 2"),
        (-1, "nearest 0"),
        (math.nan, "nearest 0"),
        (1e-320, "0 and 0.001"),
    ],
)
def test_gpu_shares_that_do_not_fit_name_the_nearest(given: float, nearest: str) -> None:
    with pytest.raises(ValueError, match="allowed: 0, 1/k, or a whole number") as caught:
        legal_gpus(given)
    assert nearest in str(caught.value)


@given(st.integers(1, 1000))
def test_every_even_share_of_a_gpu_is_legal_and_stays_what_it_is(parts: int) -> None:
    assert legal_gpus(legal_gpus(1 / parts)) == 1 / parts


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_components = st.builds(
    lambda name, params: {**params, "name": name},
    st.text(min_size=1),
    st.dictionaries(st.text(min_size=1), _values, max_size=3),
)
_objectives = st.lists(
    st.builds(Objective, st.text(min_size=1), st.sampled_from(["maximize", "minimize"])),
    min_size=1,
    max_size=3,
    unique_by=lambda objective: objective.metric,
)


@given(task=_components, strategy=_components, objectives=_objectives, seed=st.integers(0, 2**63))
def test_json_round_trip(
    task: dict[str, Any], strategy: dict[str, Any], objectives: list[Objective], seed: int
) -> None:
    fields = {"name": "x", "budget": {"candidates": 1}, "resources": {"gpus": 0.33}}
    config = StudyConfig.build(
        **fields, task=task, strategy=strategy, objectives=objectives, seed=seed
    )
    assert StudyConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


# --- what is refused


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
        ("resources: {cpus: 0}", 8, "resources.cpus is 0; it must be at least 0.001"),
        ("resources: {cpus: .inf}", 8, "resources.cpus is '.inf'; it must be a number"),
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
        (7, "  hours: 1", "missing key `budget.candidates`"),
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
    (told,) = refusal(MINIMAL, "seed=3", override)
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


# --- what is shipped


def _keys(data: object) -> set[str]:
    if isinstance(data, list):
        return set().union(*map(_keys, data))
    return set(data).union(*map(_keys, data.values())) if isinstance(data, dict) else set()


def test_the_template_shows_every_key_with_its_default(load: Loader) -> None:
    text = files("phylon").joinpath("template.yaml").read_text()
    config = load(text)
    shown = yaml.safe_load(text)
    assert set(StudyConfig.model_fields) == set(shown)
    assert _keys(config.to_json()) <= _keys(shown)
    defaults = load(MINIMAL)
    for key in ("space", "training", "resources", "seed", "order", "window", "storage", "tracking"):
        assert getattr(config, key) == getattr(defaults, key), key


def test_the_example_loads() -> None:
    config = load_config(EXAMPLE)
    assert config.budget.candidates >= 24
    assert config.final.seeds > 1
