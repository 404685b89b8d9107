"""The runs of one study in one MLflow: found or made, and written to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from phylon import events
from phylon.mlflow_client import artifact_location, open_client
from phylon.mlflow_notes import render
from phylon.mlflow_record import STUDY, RunRecord
from phylon.mlflow_writes import MAX_PARAM, MAX_TAG, Birth, RunWrites, fitted

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger("phylon.tracker")

_REFUSALS = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE"}
# MLflow takes 100 params, 100 tags, 1000 metrics and 1000 of all together in one call.
_PARAMS, _TAGS, _METRICS = 100, 100, 800
_NOTE = "mlflow.note.content"
_KIND = {"mlflow.experimentKind": "custom_model_development"}


class RunsLostError(Exception):
    """MLflow no longer has the study's run; what was sent must be sent again."""

    def __init__(self) -> None:
        super().__init__("the study's run was deleted there; it is made again")


class StudyRuns:
    """Finds or makes the runs of a study, and writes to them. Every call may be repeated.

    Args:
        uri: Where MLflow is.
        record: What is known to be there; kept up to date.
        created: The study.

    Raises:
        RunsLostError: The study was in MLflow, and is not any more.
        Exception: MLflow cannot be reached, or refuses; of whatever type its client raises.
    """

    def __init__(self, uri: str, record: RunRecord, created: events.Created) -> None:
        self._record = record
        self._created = created
        self._made: set[int] = set()
        self.client = open_client(uri)
        if STUDY not in record.runs:
            name = created.config["name"]
            record.note_experiment(_experiment(self.client, name, artifact_location(uri)))
        self.experiment = record.experiment
        self._check_study()
        self.adopt()

    @property
    def study(self) -> str:
        """Id of the study's own run."""
        return self._record.runs[STUDY]

    def run_of(self, candidate_id: int) -> str:
        """Return the id of a candidate's run, which was written to before."""
        return self._record.runs[candidate_id]

    def begin(self, candidate_id: int, writes: RunWrites) -> None:
        """Make a run that is to be written to, if there is none, so that notes can link to it."""
        if not writes.birth or candidate_id in self._record.runs:
            return
        if candidate_id == STUDY:  # without it there is nothing that the others could belong to
            self._create(STUDY, writes.birth)
        else:
            self._allow(self._create, candidate_id, writes.birth)

    def write(self, candidate_id: int, writes: RunWrites) -> None:
        """Bring a candidate's run, or the study's (`STUDY`), up to date, once it has begun.

        What MLflow refuses for good is left out with a warning.

        Raises:
            RunsLostError: The study's run is gone.
        """
        if candidate_id in self._record.runs:
            self._allow(self._write, candidate_id, writes)

    def _allow(self, call: Callable[[int, Any], None], candidate_id: int, what: object) -> None:
        """Do something to a run, unless MLflow refuses it."""
        from mlflow.exceptions import MlflowException

        try:
            call(candidate_id, what)
        except MlflowException as error:
            if error.error_code not in _REFUSALS:
                raise
            self._check_study()
            who = "the study" if candidate_id == STUDY else f"candidate {candidate_id}"
            log.warning("MLflow refused what it was sent about %s: %s", who, error.message)

    def adopt(self) -> None:
        """Take note of runs that were made but not recorded, and delete those made twice.

        A run is recorded before it is written to, so only pending ones can be missing there, unless
        the record is late.
        """
        text = f"tags.`phylon.study` = '{self._created.uid}'"
        if STUDY in self._record.runs and not self._record.is_late:
            text += " AND tags.`phylon.state` LIKE '%ing'"  # pending candidates, a running study
        found = [
            (int(run.data.tags.get("phylon.id", STUDY)), run.info.run_id)
            for run in self._search(text)
        ]
        # The study's run comes last: once it is on record, the others are taken to be.
        for candidate_id, run_id in sorted(found, key=lambda pair: pair[0] == STUDY):
            known = self._record.runs.get(candidate_id)
            if known is None:
                self._record.note_run(candidate_id, run_id)
            elif known != run_id:
                self.client.delete_run(run_id)
        self._record.is_late = False

    def _search(self, text: str) -> Iterator[Run]:
        token: str | None = None
        while token != "":
            order = ["tags.`phylon.state` ASC", "attributes.start_time ASC"]
            page = self.client.search_runs(
                [self.experiment], text, max_results=1000, order_by=order, page_token=token
            )
            yield from page
            token = page.token or ""

    def _check_study(self) -> None:
        from mlflow.exceptions import MlflowException

        run_id = self._record.runs.get(STUDY)
        if run_id is None:
            return
        try:
            if self.client.get_run(run_id).info.lifecycle_stage == "active":
                return
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
        self._record.forget()
        raise RunsLostError

    def _write(self, candidate_id: int, writes: RunWrites) -> None:
        run_id = self._record.runs[candidate_id]
        tags = dict(writes.tags)
        if writes.birth and candidate_id not in self._made:
            tags = self._birth_tags(candidate_id, writes.birth) | tags
        if writes.note is not None:
            tags[_NOTE] = render(writes.note, self.experiment, self._record.runs)
        self._log(run_id, writes, tags)
        match writes.status:
            case ("RUNNING", _):
                self.client.update_run(run_id, status="RUNNING")
            case (status, time):
                self.client.set_terminated(run_id, status, end_time=time)

    def _create(self, candidate_id: int, birth: Birth) -> None:
        run = self.client.create_run(
            self.experiment,
            start_time=birth.time,
            tags=_fitted(self._birth_tags(candidate_id, birth), MAX_TAG),
            run_name=birth.name,
        )
        self._record.note_run(candidate_id, run.info.run_id)
        self._made.add(candidate_id)

    def _birth_tags(self, candidate_id: int, birth: Birth) -> dict[str, str]:
        if candidate_id == STUDY:
            return birth.tags
        return birth.tags | {"mlflow.parentRunId": self._record.runs[STUDY]}

    def _log(self, run_id: str, writes: RunWrites, tags: dict[str, str]) -> None:
        from mlflow.entities import Metric, Param, RunTag

        batches = zip_longest(
            _chunks([Metric(*point) for point in writes.metrics], _METRICS),
            _chunks([Param(*item) for item in _fitted(writes.params, MAX_PARAM).items()], _PARAMS),
            _chunks([RunTag(*item) for item in _fitted(tags, MAX_TAG).items()], _TAGS),
            fillvalue=(),
        )
        for metrics, params, tag_list in batches:
            # What is sent later, as the user's environment may ask for, would count as sent.
            self.client.log_batch(run_id, metrics, params, tag_list, synchronous=True)


def _experiment(client: MlflowClient, name: str, location: str | None) -> str:
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, location, tags=_KIND)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)  # Another study was quicker.
    if found is None or found.lifecycle_stage != "active":
        number = found.experiment_id if found else name
        raise RuntimeError(
            f"the experiment `{name}` was deleted there; bring it back with "
            f"`mlflow experiments restore --experiment-id {number}`"
        )
    return str(found.experiment_id)


def _fitted(texts: Mapping[str, str], most: int) -> dict[str, str]:
    return {key: fitted(text, most) for key, text in texts.items()}


def _chunks(items: list[Any], size: int) -> list[list[Any]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
