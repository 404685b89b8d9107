"""What the pages of runs show in a real MLflow: the machine, and links that lead to runs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from phylon.cluster.location import Location
from phylon.mlflow_client import default_uri
from phylon.mlflow_extras import Extras
from phylon.mlflow_machine import MachineMeter
from phylon.tracker import Tracker, run_ids


def test_machine_is_measured_in_mlflows_own_words_until_the_last_time() -> None:
    meter = MachineMeter()
    meter.sample()
    assert meter.points(0.0) == []  # none is due yet
    meter.sample(is_last=True)
    points = {point.key: point for point in meter.points(since=1000.0)}
    assert 0 <= points["system/cpu_utilization_percentage"].value <= 100
    assert 0 < points["system/system_memory_usage_percentage"].value < 100
    assert all(0 <= p.time - 1_000_000 - 1000 * p.step < 1000 for p in points.values())
    meter.forget()
    meter.sample(is_last=True)
    assert meter.points(0.0) == []


def test_what_cannot_be_measured_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In some containers there is no network to be seen, or no disk."""

    def refuse(_: str) -> None:
        raise OSError("no such mount")

    monkeypatch.setattr("psutil.net_io_counters", lambda: None)
    monkeypatch.setattr("psutil.disk_usage", refuse)
    meter = MachineMeter()
    meter.sample(is_last=True)
    measured = {point.key for point in meter.points(0.0)}
    assert "system/cpu_utilization_percentage" in measured
    assert not [key for key in measured if "network" in key or "disk" in key]


def test_pages_of_runs_link_to_each_other_and_show_the_machine(
    tmp_path: Path, new_story: Callable[[Path], Any]
) -> None:
    story = new_story(tmp_path / "pages")
    story.create()
    story.run(0, 1, 2)  # each the parent of the next
    story.finish()
    uri, place = default_uri(tmp_path), Location(story.study)
    tracker = Tracker(place, uri, Extras(place, None, None), MachineMeter())
    tracker.start()
    assert tracker.close(120) == 0
    client, runs = MlflowClient(uri), run_ids(place)
    middle = client.get_run(runs[1])
    page = f"#/experiments/{middle.info.experiment_id}/runs/"
    links = re.findall(r"\[(.*?)\]\((.*?)\)", middle.data.tags["mlflow.note.content"])
    assert [(text, link.partition("?")[0]) for text, link in links] == [
        ("candidate 0", page + runs[0]),
        ("2", page + runs[2]),
    ]
    study = client.get_run(middle.data.tags["mlflow.parentRunId"])
    assert page + runs[2] in study.data.tags["mlflow.note.content"]
    assert study.data.metrics["search/failed"] == 0.0
    points = client.get_metric_history(study.info.run_id, "system/cpu_utilization_percentage")
    assert len(points) == 1
