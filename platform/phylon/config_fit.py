"""Whether the strategy of a study file goes with what else it says."""

from __future__ import annotations

from phylon.config import StudyConfig
from phylon.errors import ConfigurationError
from phylon.search.strategy import Strategy


def check_strategy(config: StudyConfig, strategy: Strategy, *, is_trained: bool) -> None:
    """Refuse a strategy that does not go with the evaluator, or with the budget.

    Args:
        config: What the study file says.
        strategy: Made from it.
        is_trained: Whether the task is a network that phylon trains, with weights to inherit.

    Raises:
        ConfigurationError: It does not; the message says what would.
    """
    name = config.strategy.name
    if config.evaluator == "supernet" and strategy.epochs is not None:
        raise ConfigurationError(
            f"strategy.name: `{name}` decides how long candidates train, but with "
            f"`evaluator: supernet` they are scored without any training; name another strategy"
        )
    if strategy.inherits and (config.evaluator == "supernet" or not is_trained):
        is_asked = "inherit" in config.strategy.params
        key, cure = ("inherit", "drop it") if is_asked else ("name", "name another strategy")
        why, other = (
            ("with `evaluator: supernet` all are scored with the same ones", "drop `evaluator`")
            if config.evaluator == "supernet"
            else (
                f"the task `{config.task.name}` measures them in its own way, which leaves none",
                "bring a phylon.Task",
            )
        )
        raise ConfigurationError(
            f"strategy.{key}: with `{name}` candidates begin with the weights of their parents, "
            f"but {why}; {cure}, or {other}"
        )
    _check_budget(config, strategy)


def _check_budget(config: StudyConfig, strategy: Strategy) -> None:
    budget, each = config.budget, config.training.epochs
    if budget.model_dump(exclude_none=True).keys() == {"gpu_hours"} and not config.resources.gpus:
        raise ConfigurationError(
            f"budget.gpu_hours is {budget.gpu_hours:g}, but with resources.gpus: 0 none are ever "
            f"spent; give candidates GPUs, or another limit beside it"
        )
    if config.strategy.name != "pbt" or budget.epochs is None:
        return
    if (steps := budget.epochs // each) < strategy.initial:
        raise ConfigurationError(
            f"strategy.population is {strategy.initial}, but budget.epochs is {budget.epochs}, "
            f"which is {steps} candidates of {each} each, so not every member would train; raise "
            f"the budget to {strategy.initial * each} or more, or lower the population"
        )
