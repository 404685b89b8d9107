"""The study file: what it may say, and what that means."""

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

from phylon.config import StudyConfig
from phylon.config_file import load_config
from phylon.config_resources import legal_gpus
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
Loader = Callable[..., StudyConfig]
EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.yaml"


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
    assert config.location.local == Path("studies/tiny").absolute()
    assert config.strategy.name == "surrogate"
    assert config.objectives == (Objective("val_accuracy", "maximize"),)
    assert config.final is None
    assert config.space is None
    assert (config.order, config.resources.cpus, config.resources.gpus) == ("free", 1.0, 0.0)


def test_components_are_named_barely_or_with_parameters(load: Loader) -> None:
    config = load(MINIMAL + "strategy: random\nspace: {name: macro, width: [8, 16]}\n")
    assert (config.strategy.name, config.strategy.params) == ("random", {})
    assert (config.space.name, config.space.params) == ("macro", {"width": [8, 16]})


def test_enas_brings_shared_weights_and_trains_the_best_from_both(load: Loader) -> None:
    config = load(MINIMAL + "strategy: enas\nfinal: {epochs: 9}\n")
    assert (config.evaluator, config.supernet.training) == ("supernet", "enas")
    assert config.final.weights == "both"
    told = load(
        MINIMAL + "strategy: {name: enas}\nsupernet: {epochs: 7}\n"
        "final: {epochs: 9, weights: fresh}\n"
    )
    assert (told.supernet.training, told.supernet.epochs) == ("enas", 7)
    assert told.final.weights == "fresh"
    assert load(MINIMAL + "strategy: enas\n").final is None
    for each in (config, told):
        assert StudyConfig.from_json(json.loads(json.dumps(each.to_json()))) == each


def test_any_strategy_can_search_with_shared_weights(load: Loader) -> None:
    config = load(
        MINIMAL + "evaluator: supernet\nsupernet: {rank_floor: 0.3, on_low_rank: switch}\n"
    )
    assert (config.strategy.name, config.supernet.training) == ("surrogate", "uniform")


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
    assert config.strategy.name == "surrogate"
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
    same = "space evaluator supernet training resources seed order window storage tracking"
    for key in same.split():
        assert getattr(config, key) == getattr(defaults, key), key


def test_the_example_loads() -> None:
    config = load_config(EXAMPLE)
    assert config.budget.candidates >= 24
    assert config.final.seeds > 1
