"""What Ray Train is told, so that it starts the workers of a team and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import psutil
import ray
from ray.train import Result
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.api.config import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
from ray.train.v2.torch.torch_trainer import TorchTrainer
from typing_extensions import override

from phylon.cluster.capacity import ray_bundle
from phylon.cluster.executor import Share

_TRAIN_SETTINGS = {
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "1e8",  # the bridge sees to it that there is room
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # there is none on other nodes
}


def new_trainer(work: Callable[[], None], share: Share, name: str, scratch: str) -> TorchTrainer:
    """Return what starts the workers of a team, joined to a process group.

    Args:
        work: What each of them does.
        share: What each of them holds, and how many they are.
        name: The team's.
        scratch: A folder where nothing is kept.
    """
    os.environ.update(_TRAIN_SETTINGS)
    return _TeamTrainer(
        work,
        torch_config=_TeamConfig(backend=_backend(share)),
        scaling_config=_scaling(share),
        run_config=_run(share, name, scratch),
    )


def _scaling(share: Share) -> ScalingConfig:
    bundle = {name: need for name, need in ray_bundle(share).items() if need}
    return ScalingConfig(
        num_workers=share.workers, use_gpu=bool(share.gpus), resources_per_worker=bundle
    )


def _run(share: Share, name: str, scratch: str) -> RunConfig:
    return RunConfig(
        name=name,
        storage_path=scratch,
        failure_config=FailureConfig(  # the study runs again what was lost
            max_failures=0, controller_failure_limit=0, max_preemption_failures=0
        ),
        logging_config=LoggingConfig(log_level="CRITICAL"),  # the study says what failed
        worker_runtime_env={} if share.gpus else {"env_vars": {"CUDA_VISIBLE_DEVICES": ""}},
    )


def _backend(share: Share) -> str:
    """Return what joins the workers. NCCL refuses two of them on one GPU; Gloo does not."""
    return "nccl" if share.gpus >= 1 else "gloo"


class _TeamTrainer(TorchTrainer):
    """Starts nothing but workers: no data sets, and no actors that outlive the driver."""

    @override
    def _create_default_callbacks(self) -> list[Any]:
        needless = (DatasetsCallback, PlacementGroupCleanerCallback)  # see `_Mailbox.keep`
        return [it for it in super()._create_default_callbacks() if not isinstance(it, needless)]

    @override
    def _initialize_and_run_controller(self, **parts: Any) -> Result:
        parts["scaling_policy"] = _Fixed(parts["scaling_policy"].scaling_config)
        return super()._initialize_and_run_controller(**parts)


class _Fixed(FixedScalingPolicy):
    """Asks no autoscaler for nodes: a study uses those that there are."""

    @override
    def _send_resource_request(self) -> None: ...

    @override
    def _maybe_send_resource_request(self) -> None: ...

    @override
    def _cancel_resource_request(self) -> None: ...


class _TeamBackend(_TorchBackend):
    """Joins workers over the network that Ray uses."""

    @override
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(_use_the_network_of_ray)
        super().on_start(worker_group, backend_config)


class _TeamConfig(TorchConfig):
    @property
    @override
    def backend_cls(self) -> type[_TeamBackend]:
        return _TeamBackend


def _use_the_network_of_ray() -> None:
    """Have Gloo listen where Ray does.

    By itself it takes the address that the host's name stands for, which may be one that others do
    not reach, or 127.0.1.1 as on Debian.
    """
    address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    for interface, addresses in psutil.net_if_addrs().items():
        if address in (each.address for each in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
