"""Ray, MLflow and an object store on the hosts of a test."""

from __future__ import annotations

from tests.cluster.hosts import Host, wait_until

RAY_PORT = 6379
JOBS_PORT = 8265
MLFLOW_PORT = 5599
S3_PORT = 5000
_S3_KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
HEALTH_CHECKS = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "5",
}
_OBJECT_STORE_BYTES = 80 * 2**20


def start_ray(
    head: Host, *nodes: Host, cpus: float = 1, gpus: int = 0, dashboard: bool = False
) -> None:
    """Start a head and nodes that join it, each with so many logical CPUs and GPUs.

    Only with its dashboard does it take jobs. What is started later on these hosts
    finds the cluster by itself.
    """
    options = [f"--port={RAY_PORT}", f"--include-dashboard={dashboard}"]
    options += ["--dashboard-host=0.0.0.0"] * dashboard
    _start_nodes([head], "--head", *options, cpus=cpus, gpus=gpus)
    join_ray(head, *nodes, cpus=cpus, gpus=gpus)


def join_ray(head: Host, *nodes: Host, cpus: float = 1, gpus: int = 0) -> None:
    """Let hosts become nodes of a head's cluster."""
    _start_nodes(nodes, f"--address={head.ip}:{RAY_PORT}", cpus=cpus, gpus=gpus)
    for node in [head, *nodes]:
        node.env["RAY_ADDRESS"] = f"{head.ip}:{RAY_PORT}"


def jobs_address(head: Host) -> str:
    """Return where a head with its dashboard takes jobs."""
    return f"http://{head.ip}:{JOBS_PORT}"


def serve_mlflow(host: Host) -> str:
    """Start an MLflow server and return its address; its store is `mlflow.db` in `host.own`."""
    host.popen(
        "mlflow", "server", "--backend-store-uri", "sqlite:////mnt/mlflow.db",
        "--artifacts-destination", "/mnt/artifacts", "--host", "0.0.0.0", "--workers", "1",
        "--port", str(MLFLOW_PORT), log="mlflow.log", MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
    )  # fmt: skip
    wait_until(lambda: host.listens(MLFLOW_PORT), f"MLflow does not start: {host.own}/mlflow.log")
    return f"http://{host.ip}:{MLFLOW_PORT}"


def serve_s3(host: Host, *clients: Host) -> str:
    """Start an object store and return the URI of a place in it, which its clients may use."""
    for client in [host, *clients]:
        client.env.update(_S3_KEYS)
    host.popen("moto_server", "-H", "0.0.0.0", "-p", str(S3_PORT), log="s3.log")
    wait_until(lambda: host.listens(S3_PORT), f"moto does not start: {host.own}/s3.log")
    endpoint = f"http://{host.ip}:{S3_PORT}"
    put = f"urllib.request.Request('{endpoint}/bucket', method='PUT')"
    host.run("python", "-c", f"import urllib.request; urllib.request.urlopen({put})")
    return f"s3://bucket/studies?endpoint_override={endpoint}&region=us-east-1"


def _start_nodes(
    hosts: tuple[Host, ...] | list[Host], *options: str, cpus: float, gpus: int
) -> None:
    size = [f"--num-cpus={cpus}", f"--num-gpus={gpus}"]
    size.append(f"--object-store-memory={_OBJECT_STORE_BYTES}")
    starting = []
    for host in hosts:
        words = ["ray", "start", f"--node-ip-address={host.ip}", *options, *size]
        words.append("--disable-usage-stats")
        starting.append(host.popen(*words, log="ray.log", **HEALTH_CHECKS))
    for host, process in zip(hosts, starting, strict=True):
        assert process.wait(timeout=300) == 0, f"Ray on {host.name}:\n{host.log('ray.log')}"
