"""A study as its users hold it: configure, run, resume, and look at it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from phylon.cluster.location import Location
from phylon.config import Component, StudyConfig
from phylon.errors import StudyError
from phylon.events import Finished
from phylon.journal import JournalReader
from phylon.lock import is_held
from phylon.search.evaluation import Evaluator
from phylon.search.space import SearchSpace
from phylon.state import StudyState

if TYPE_CHECKING:
    from phylon.parts import Parts
    from phylon.trainables.task import Task

Status = Literal["running", "finished", "interrupted"]
JOURNAL = "journal"
_OWN_SPACE = f"{SearchSpace.__module__}:{SearchSpace.__qualname__}"


class Study:
    """A search for a network: what is searched, how candidates are measured, and for how long.

    Everything that happens is kept in ``<storage>/<name>``, a folder or a place in an object store;
    a study that was interrupted, by whatever, goes on where it stopped with ``run(resume=True)``.

    Args:
        task: What is learned: the name of a built-in task, ``package.module:object``, a mapping
            with a name and parameters, or a `Task` or `Evaluator` of your own.
        space: The networks to choose from, by name or as a `SearchSpace`; None for the task's own.
        **fields: The other keys of a study file: ``name``, ``objectives``, ``budget``, ...

    Raises:
        ConfigurationError: A field is missing, unknown or has a value that is not allowed.
    """

    def __init__(
        self,
        *,
        task: str | dict[str, Any] | Task | Evaluator,
        space: str | dict[str, Any] | SearchSpace | None = None,
        **fields: Any,  # noqa: ANN401 - checked by StudyConfig
    ) -> None:
        self._task = None if isinstance(task, str | dict) else task
        self._space = space if isinstance(space, SearchSpace) else None
        self.config = StudyConfig.build(
            task=task if self._task is None else import_name(self._task),
            space=space if self._space is None else import_name(self._space),
            **fields,
        )

    @classmethod
    def from_config(cls, config: StudyConfig) -> Study:
        """Make a study from what a study file says."""
        fields = dict(config)
        task, space = fields.pop("task"), fields.pop("space")
        return cls(task=_spec(task), space=space and _spec(space), **fields)

    @classmethod
    def open(cls, folder: str | Path) -> Study:
        """Take up a study by its folder, or the URI of its place in an object store.

        Raises:
            StudyError: There is no study.
            JournalError: Its journal is damaged.
        """
        location = Location(folder).resolved()
        state = read_state(location)
        if state.created is None:
            raise StudyError(
                f"{location} is no study: it has no journal; `phylon list ROOT` shows the studies "
                f"of a folder, `phylon run STUDY.yaml` begins one"
            )
        fields = {
            **state.created.config,
            **_latest_settings(state),
            "storage": str(location.parent),
        }
        study = cls.from_config(StudyConfig.from_json(fields))
        if study.config.space and study.config.space.name == _OWN_SPACE:
            study._space = SearchSpace.from_json(state.created.space)
        if study.location != location:
            raise StudyError(
                f"{location} holds the study `{study.config.name}`: rename the folder to that name"
            )
        return study

    @property
    def location(self) -> Location:
        """Where the study lives."""
        return self.config.location.resolved()

    @property
    def folder(self) -> Path:
        """The folder where the study lives.

        Raises:
            StudyError: It lives in an object store.
        """
        if self.location.local is None:
            raise StudyError(f"study {self.location} is in no folder; use its `location`")
        return self.location.local

    @cached_property
    def parts(self) -> Parts:
        """The evaluator and space that the configuration names."""
        from phylon.parts import assemble

        return assemble(self.config, self._task, self._space)

    def run(
        self, *, resume: bool = False, in_process: bool = False, show_progress: bool = True
    ) -> StudyState:
        """Search until the budget is spent, then train, choose and test the best.

        Ctrl-C and SIGTERM stop it with everything saved; the state then ends with `Interrupted`.

        Args:
            resume: Go on with the study if it exists; otherwise an existing one is an error.
            in_process: Measure one candidate after another in this process, to debug a task.
            show_progress: Draw the progress on the terminal.

        Raises:
            ConfigurationError: Something that was asked for cannot be done; nothing was written.
            StudyError: The study exists, is held by another driver, or does not fit to its past.
            JournalError: The storage failed.
        """
        from phylon.session import run_study

        return run_study(self, resume=resume, in_process=in_process, show_progress=show_progress)

    def state(self) -> StudyState:
        """Return all candidates and how far the study is, read from its journal."""
        return read_state(self.location)

    def status(self, state: StudyState | None = None) -> Status:
        """Return whether a driver runs the study, or it is at its end, or neither.

        Args:
            state: The study's state, if it was just read.
        """
        return status_of(self.location, state or self.state())

    def run_ids(self) -> dict[int, str]:
        """Return the MLflow run of each candidate that has one."""
        from phylon.tracker import run_ids

        return run_ids(self.location)


def read_state(location: Location) -> StudyState:
    """Return the state of the study that lives there; one without `created` if there is none."""
    journal = location / JOURNAL
    return StudyState(JournalReader(journal.filesystem, journal.path).read())


def status_of(location: Location, state: StudyState) -> Status:
    """Return whether a driver runs the study that lives there, or it is at its end, or neither."""
    if isinstance(state.ending, Finished):
        return "finished"
    return "running" if is_held(location) else "interrupted"


def _latest_settings(state: StudyState) -> dict[str, Any]:
    """Return the settings that may change from driver to driver, as the last one had them."""
    opened = state.opened
    if opened is None:
        return {}
    settings = {key: getattr(opened, key) for key in ("budget", "resources", "tracking")}
    return {key: value for key, value in settings.items() if value}


def import_name(thing: object) -> str:
    """Return ``package.module:Class`` of an object that was handed over from Python."""
    return f"{type(thing).__module__}:{type(thing).__qualname__}"


def _spec(component: Component) -> dict[str, Any]:
    return {"name": component.name, **component.params}
