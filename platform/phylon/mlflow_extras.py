"""What MLflow is given once for each study, beside its runs: documents, data, models, a report."""

from __future__ import annotations

import hashlib
import json

from phylon.cluster.location import Location
from phylon.mlflow_backlog import Backlog
from phylon.mlflow_documents import space_in_words, study_file
from phylon.mlflow_models import log_models
from phylon.mlflow_record import RunRecord
from phylon.mlflow_report import ReportArtifact
from phylon.mlflow_runs import StudyRuns
from phylon.mlflow_writes import fitted
from phylon.models import Models


class Extras:
    """Uploads that are done once, each under a name; and a report that is replaced as it grows.

    Args:
        study: Where the study lives.
        models: Yields the best networks of a finished study; None to leave them out.
        register: Name of the registered model that they become versions of; None for not.
    """

    def __init__(self, study: Location, models: Models | None, register: str | None) -> None:
        self._models = models
        self._register = register
        self._report = ReportArtifact(study)
        self._is_last_begun = False

    def missing(self, backlog: Backlog, record: RunRecord) -> list[str]:
        """Return the names of what should be in MLflow by now and is not."""
        projection = backlog.projection
        if projection.created is None:
            return []
        names = ["study.yaml", "space.txt", "space.json", "the data's name"]
        if projection.finished is not None and self._models:
            known_as = f" as `{self._register}`" if self._register else ""
            names.append(f"the best models at event {projection.finished}{known_as}")
        if projection.finished is not None:
            names.append(f"{_REPORT} at event {projection.finished}")
        return [name for name in names if name not in record.done]

    def send(self, name: str, runs: StudyRuns, backlog: Backlog, patience: float) -> bool:
        """Bring one of them to MLflow; harmless if it is there already.

        Args:
            name: Which.
            runs: Where to.
            backlog: How far the study is.
            patience: Seconds to wait for the report, at most.

        Returns:
            Whether it is there; otherwise it is in the making.

        Raises:
            Exception: MLflow, its artifact store, or torch's export does not take it.
        """
        created = backlog.projection.created
        assert created is not None, "what has not begun lacks nothing"
        match name:
            case "study.yaml":
                runs.client.log_text(runs.study, study_file(created), name)
            case "space.txt":
                runs.client.log_text(runs.study, space_in_words(created), name)
            case "space.json":
                runs.client.log_dict(runs.study, created.space, name)
            case "the data's name":
                _log_data(runs, created.fingerprint)
            case _ if name.startswith(_REPORT):
                return self._send_last_report(runs, backlog.ended, patience)
            case _:
                runs.adopt()  # The study is at its end: a last look for runs made twice.
                if self._models:
                    log_models(runs, self._models, self._register)
        return True

    def refresh(self, runs: StudyRuns, ended: int) -> None:
        """Bring a report to MLflow if one is due, and is built; never waits for it.

        Args:
            runs: Where to.
            ended: How many candidates have ended.

        Raises:
            Exception: MLflow does not take it, or it could not be built.
        """
        if self._report.is_due(ended):
            self._report.send(runs, ended, patience=0.0)

    def close(self) -> None:
        """End what is in the making."""
        self._report.close()

    def _send_last_report(self, runs: StudyRuns, ended: int, patience: float) -> bool:
        if not self._is_last_begun:
            self._report.drop()  # it does not show the end
            self._is_last_begun = True
        is_sent = self._report.send(runs, ended, patience)
        self._is_last_begun = not is_sent
        return is_sent


_REPORT = "the report"


def _log_data(runs: StudyRuns, fingerprint: dict[str, object]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if not fingerprint:
        return
    text = json.dumps(fingerprint, sort_keys=True)
    digest = str(fingerprint.get("digest") or hashlib.sha256(text.encode()).hexdigest())
    name = str(fingerprint.get("name") or "data")
    data = Dataset(fitted(name, 500), digest[:36], source_type="phylon", source=text, profile=text)
    tag = InputTag("mlflow.data.context", "training")
    runs.client.log_inputs(runs.study, datasets=[DatasetInput(data, [tag])])
