"""What cannot share weights is refused before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phylon import Choice, Float, SearchSpace, Study
from phylon.errors import ConfigurationError
from phylon.scoring import proxy_evaluator

CELLS = {"name": "nasbench201", "cells": 1, "channels": 4}


def study(folder: Path, **fields: Any) -> Study:
    settings = {
        "name": "s",
        "task": "digits",
        "space": CELLS,
        "objectives": [{"metric": "val_accuracy", "direction": "maximize"}],
        "budget": {"candidates": 3},
        "evaluator": "supernet",
        "storage": str(folder),
        **fields,
    }
    return Study(**settings)


def test_choices_that_cannot_be_shared_are_named_with_what_to_use_instead(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"learning_rate, weight_decay cannot be shared"):
        study(tmp_path, space=None).run()
    with pytest.raises(ConfigurationError, match="hyperparameters: false"):
        study(tmp_path, space={"name": "macro", "image_size": 8}).run()
    assert not any(tmp_path.iterdir())


def test_a_macro_space_without_hyperparameters_can_be_shared(tmp_path: Path) -> None:
    space = {"name": "macro", "image_size": 8, "hyperparameters": False}
    names = [name for name, _ in study(tmp_path, space=space).parts.space.root.nodes]
    assert names == ["activation", "dropout", "stages"]


def test_a_space_with_nothing_to_share_is_refused(tmp_path: Path) -> None:
    space = SearchSpace(x=Float(0.0, 1.0), kind=Choice("a", "b"))
    with pytest.raises(ConfigurationError, match="macro_space, which decides stages"):
        study(tmp_path, space=space).run()


def test_an_evaluator_has_no_weights_to_share(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="leaves no weights to share"):
        study(tmp_path, task="tests.phylon.toy:Toy", space="tests.phylon.toy:SPACE").run()


def test_strategies_that_decide_how_long_to_train_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="scored without any training"):
        study(tmp_path, strategy={"name": "halving", "of": "random"}).run()


@pytest.mark.parametrize("beginning", [{"initial": "zero_cost"}, {"warm_start": ["studies/s"]}])
def test_a_controller_alone_says_how_to_begin(tmp_path: Path, beginning: dict[str, Any]) -> None:
    (key,) = beginning
    with pytest.raises(ConfigurationError, match=f"{key}.* begins with what its controller"):
        study(tmp_path, strategy="enas", **beginning)


def test_a_search_on_scores_can_begin_with_untrained_networks(tmp_path: Path) -> None:
    begun = study(tmp_path, strategy="random", initial="zero_cost")
    assert proxy_evaluator(begun.parts.evaluator, begun.config).metrics


def test_a_controller_cannot_be_rewarded_for_what_is_only_counted(tmp_path: Path) -> None:
    objectives = [{"metric": "params", "direction": "minimize"}]
    with pytest.raises(ConfigurationError, match="cannot be rewarded"):
        study(tmp_path, strategy="enas", objectives=objectives).run()
