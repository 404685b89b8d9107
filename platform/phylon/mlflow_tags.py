"""The tags of runs: what MLflow's lists can be searched and sorted by."""

from __future__ import annotations

import json

from phylon import events
from phylon.costs import share_of
from phylon.record import Record
from phylon.search.candidate import Candidate
from phylon.state import StudyState


def about_driver(event: events.Opened) -> dict[str, str]:
    """Return the tags of a study's run that say who runs it, on what, and from which code."""
    tags = {f"phylon.version.{name}": value for name, value in event.versions.items()}
    tags |= {
        "phylon.driver": f"{event.host}:{event.pid}",
        "phylon.budget": json.dumps(event.budget),
        "mlflow.source.name": "phylon",
        "mlflow.source.type": "LOCAL",
    }
    if machine := event.machine:
        tags |= {
            "phylon.machine.cpu": machine["cpu"],
            "phylon.machine.cores": str(machine["cores"]),
            "phylon.machine.memory": f"{machine['memory'] / 2**30:.4g} GiB",
            "phylon.machine.gpus": ", ".join(machine["gpus"]) or "none",
        }
    if event.revision:
        modified = " (modified)" if event.revision["modified"] else ""
        tags["phylon.revision"] = event.revision["commit"] + modified
        tags["mlflow.source.git.commit"] = event.revision["commit"]
    if event.slots:
        tags["phylon.slots"] = str(event.slots)
    return tags


def born(candidate: Candidate, study: str) -> dict[str, str]:
    """Return the tags of a candidate's run when it begins.

    Args:
        candidate: The candidate.
        study: The study's unique name.
    """
    tags = {
        "phylon.kind": "candidate",
        "phylon.study": study,
        "phylon.id": str(candidate.id),
        "phylon.parents": json.dumps(candidate.parents),
        "phylon.operator": candidate.operator,
        "phylon.generation": str(candidate.generation),
        "phylon.phase": candidate.phase,
        "phylon.key": candidate.architecture.key,
        "phylon.seed": str(candidate.seed),
        "phylon.state": "pending",
    }
    share = _inherited_share(candidate)
    if share is not None:
        tags["phylon.inherited_share"] = f"{share:.3g}"
    if candidate.continues is not None:
        tags["phylon.continues"] = str(candidate.continues)
    if candidate.inherit_from is not None:
        tags["phylon.inherit_from"] = str(candidate.inherit_from)
    return tags


def _inherited_share(candidate: Candidate) -> float | None:
    """Return the share of its weights that a candidate does not draw anew, from 0 to 1.

    None if that is not known before it began.
    """
    if candidate.is_scored or candidate.phase == "final" or candidate.continues is not None:
        return float(candidate.inherit_from is not None or candidate.continues is not None)
    return 0.0 if candidate.inherit_from is None else None


def ended(record: Record, state: StudyState) -> dict[str, str]:
    """Return the tags that a candidate's run gets when the candidate completed or failed."""
    tags = {"phylon.state": record.state, "phylon.node": record.node}
    share = share_of(record)
    if share is not None and record.candidate.continues is None:
        tags["phylon.inherited_share"] = f"{share:.3g}"
    if record.state == "failed":
        tags["phylon.reason"] = record.reason
    elif state.constraints and record.candidate.phase != "supernet":
        tags["phylon.violation"] = f"{state.violation(record):.6g}"
    return tags
