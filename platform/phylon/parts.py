"""What a study is put together from: the names in its configuration, looked up and checked."""

from __future__ import annotations

from dataclasses import dataclass

from phylon.config import StudyConfig
from phylon.config_fit import check_strategy
from phylon.errors import ConfigurationError, did_you_mean
from phylon.search.evaluation import Evaluator
from phylon.search.registry import check_parameters, make_strategy
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy
from phylon.trainables.evaluator import LightningEvaluator
from phylon.trainables.registry import load_space, load_task
from phylon.trainables.sharing import Sharing
from phylon.trainables.task import Task
from phylon.trainables.training import Training


@dataclass(frozen=True, slots=True)
class Parts:
    """A study's evaluator and space."""

    evaluator: Evaluator
    space: SearchSpace


def assemble(
    config: StudyConfig, task: Task | Evaluator | None, space: SearchSpace | None
) -> Parts:
    """Look up what `config` names, unless it is given, and check that it fits together.

    Raises:
        ConfigurationError: A name is unknown, there is no space, the metric of an objective or
            constraint is not reported, or strategy, evaluator and budget do not go together.
    """
    if task is None and config.task.name.startswith("__main__:"):
        raise ConfigurationError(
            f"task: the study `{config.name}` was begun in a script or notebook, with a task of "
            f"its own; go on with it there, by Study(...).run(resume=True)"
        )
    task = task or load_task({"name": config.task.name, **config.task.params})
    space = space or _space(config, task)
    strategy = new_strategy(config, space)
    check_strategy(config, strategy, is_trained=isinstance(task, Task))
    evaluator = _evaluator(task, config, space, inherits=strategy.inherits)
    needed = {f"objectives.{i}": each.metric for i, each in enumerate(config.objectives)}
    needed |= {f"constraints.{i}": each.metric for i, each in enumerate(config.constraints)}
    for key, metric in needed.items():
        if metric not in evaluator.metrics:
            raise ConfigurationError(
                f"{key}.metric: the task `{config.task.name}` does not report `{metric}`; "
                f"{did_you_mean(metric, evaluator.metrics)}"
            )
    return Parts(evaluator, space)


def new_strategy(config: StudyConfig, space: SearchSpace) -> Strategy:
    """Return the strategy at its beginning."""
    check_parameters(config.strategy.params)
    return make_strategy(
        config.strategy.name,
        space,
        objectives=len(config.objectives),
        seed=config.seed,
        epochs=config.training.epochs,
        candidates=config.budget.candidates,
        **config.strategy.params,
    )


def _evaluator(
    task: Task | Evaluator, config: StudyConfig, space: SearchSpace, *, inherits: bool
) -> Evaluator:
    if not isinstance(task, Task):
        if config.evaluator == "supernet":
            raise ConfigurationError(
                f"evaluator: the task `{config.task.name}` measures candidates in its own way, "
                f"which leaves no weights to share; leave `evaluator` out, or bring a phylon.Task"
            )
        return task
    training = Training(
        epochs=config.training.epochs,
        batch_size=config.training.batch_size,
        checkpoint_every=config.training.checkpoint_every,
    )
    trained = LightningEvaluator(task, training, seed=config.seed, inherits=inherits)
    return _sharing(trained, config, space) if config.evaluator == "supernet" else trained


def _sharing(trained: LightningEvaluator, config: StudyConfig, space: SearchSpace) -> Evaluator:
    import torch

    from phylon.trainables.supernet_evaluator import SupernetEvaluator

    if config.budget.candidates is None:
        raise ConfigurationError(
            "budget.candidates is missing, but with `evaluator: supernet` candidates are scored in "
            "no time, and cost no epochs; say how many networks to try"
        )
    with torch.device("meta"):  # whether the space can be shared shows when it is built
        trained.task.supernet(space)
    sharing = Sharing(
        training=config.supernet.training,
        epochs=config.supernet.epochs,
        calibration=config.supernet.calibration,
        samples=config.budget.candidates,
    )
    return SupernetEvaluator(trained, space, sharing, config.objectives[0])


def _space(config: StudyConfig, task: Task | Evaluator) -> SearchSpace:
    if config.space:
        return load_space({"name": config.space.name, **config.space.params})
    if isinstance(task, Task) and task.space is not None:
        return task.space
    raise ConfigurationError(
        f"space: the task `{config.task.name}` brings no space of its own; name one, e.g. "
        f"`space: my_module:space`"
    )
