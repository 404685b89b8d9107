"""The manifests fit the schemas of those who read them, and the versions of this repository.

The fields of KubeRay's RayJob are those of its reference for v1.6,
https://docs.ray.io/en/master/cluster/kubernetes/references/api.html; KubeRay's own schema is not to
be had as a package.
"""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from phylon.config_file import load_config

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "cluster" / "manifests"
KUBERNETES = ("1.30", "1.37")
CLUSTER = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
JOB = {
    "entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
    "runtimeEnvYAML", "rayClusterSpec",
}  # fmt: skip
HEAD = {"rayStartParams", "template"}
GROUP = {"groupName", "replicas", "minReplicas", "maxReplicas", *HEAD}


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((MANIFESTS / name).read_text()))


def ray_job() -> dict[str, Any]:
    (job,) = (each for each in documents("rayjob.yaml") if each["kind"] == "RayJob")
    return job


def groups() -> list[dict[str, Any]]:
    cluster = ray_job()["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def objects() -> Iterator[dict[str, Any]]:
    """Yield all that Kubernetes itself knows, also what stands within a RayJob."""
    for each in (*documents("services.yaml"), *documents("rayjob.yaml")):
        if each["kind"] != "RayJob":
            yield each
    for i, group in enumerate(groups()):
        template = group["template"]
        meta = {"name": f"group-{i}"}
        yield {"apiVersion": "v1", "kind": "PodTemplate", "metadata": meta, "template": template}


def called(each: dict[str, Any]) -> str:
    return f"{each['kind']}-{each['metadata']['name']}"


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("each", [pytest.param(it, id=called(it)) for it in objects()])
def test_kubernetes_takes_it(each: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(each, version, strict=True)


def test_a_ray_job_has_only_fields_that_kuberay_knows() -> None:
    job = ray_job()
    assert job["apiVersion"] == "ray.io/v1"
    assert set(job["spec"]) == JOB
    cluster = job["spec"]["rayClusterSpec"]
    assert set(cluster) == CLUSTER
    assert cluster["authOptions"] == {"mode": "token"}
    assert set(cluster["headGroupSpec"]) == HEAD
    for group in cluster["workerGroupSpecs"]:
        assert set(group) == GROUP
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    for group in groups():
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    assert set(yaml.safe_load(job["spec"]["runtimeEnvYAML"])) == {"env_vars"}


def test_the_job_resumes_and_is_given_time_to_save() -> None:
    spec = ray_job()["spec"]
    assert spec["backoffLimit"] > 0
    assert spec["entrypoint"].startswith("phylon run ")
    assert spec["entrypoint"].endswith(" --resume")
    for group in groups():
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        command = container["lifecycle"]["preStop"]["exec"]["command"][-1]
        subprocess.run(["bash", "-n", "-c", command], check=True)
        (patience,) = re.findall(r"timeout (\d+)", command)
        assert int(patience) < pod["terminationGracePeriodSeconds"]


def test_the_study_of_the_job_is_one_and_lies_where_all_pods_see_it(tmp_path: Path) -> None:
    (study,) = (each["data"]["study.yaml"] for each in documents("rayjob.yaml") if "data" in each)
    (tmp_path / "study.yaml").write_text(study)
    config = load_config(tmp_path / "study.yaml")
    services = {each["metadata"]["name"] for each in documents("services.yaml")}
    assert config.tracking.uri == "http://mlflow:5000"
    assert "mlflow" in services
    for group in groups():
        mounts = {
            each["mountPath"] for each in group["template"]["spec"]["containers"][0]["volumeMounts"]
        }
        assert f"/{Path(str(config.storage)).parts[1]}" in mounts
        claims = [
            each.get("persistentVolumeClaim") for each in group["template"]["spec"]["volumes"]
        ]
        assert {claim["claimName"] for claim in claims if claim} <= services


def test_rays_launcher_takes_the_cluster() -> None:
    (config,) = documents("cluster.yaml")
    whole = prepare_config(config)
    validate_config(whole)
    assert whole["available_node_types"]["gpu"]["max_workers"] <= whole["max_workers"]


def test_a_misspelt_key_would_be_noticed() -> None:
    (config,) = documents("cluster.yaml")
    with pytest.raises(Exception, match="max_wokers"):
        validate_config(prepare_config({**config, "max_wokers": 1}))
    broken = next(objects())
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**broken, "sepc": {}}, KUBERNETES[0], strict=True)


def test_versions_are_those_of_this_repository() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = dict(
        line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line
    )
    texts = {path.name: path.read_text() for path in MANIFESTS.iterdir()}
    python = re.findall(r"\d+", project["requires-python"])
    base = f"FROM rayproject/ray:{pinned['ray']}-py{''.join(python)}\n"
    assert base in texts["Dockerfile"]
    assert ray_job()["spec"]["rayClusterSpec"]["rayVersion"] == pinned["ray"]
    for name, text in texts.items():
        found = set(re.findall(r"(?:/phylon:|phylon-)(\d[\d.]*\d)", text))
        assert found <= {project["version"]}, name
        images = set(re.findall(r"image: (\S+)", text))
        assert images <= {f"REGISTRY/phylon:{project['version']}", "postgres:17"}, name


def test_the_batch_script_is_a_script() -> None:
    subprocess.run(["bash", "-n", MANIFESTS / "slurm.sh"], check=True)
