"""From the study file and the cluster to what each candidate holds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from phylon.cluster.census import Node
from phylon.cluster.executor import Share, Shares, Usage
from phylon.cluster.peaks import REMEMBERED, PeakModel
from phylon.cluster.shares import FixedShares, PhasedShares, PlannedShares
from phylon.config import StudyConfig
from phylon.config_resources import Resources
from phylon.errors import ConfigurationError
from phylon.record import Record
from phylon.search.evaluation import Evaluator, MemoryForeseer

GIB = 2**30
MOST_PARTS = 512


def new_shares(
    config: StudyConfig,
    nodes: Sequence[Node],
    evaluator: Evaluator,
    records: Iterable[Record] = (),
) -> Shares:
    """Return what decides how much each candidate holds.

    Args:
        config: What the study file says.
        nodes: The living nodes of the cluster.
        evaluator: Foresees the memory of candidates, if it is a `MemoryForeseer`.
        records: The candidates so far: their peaks teach.

    Raises:
        ConfigurationError: ``gpus: auto`` where no node tells the memory of its GPUs.
    """
    records = list(records)
    trained = [record for record in records if _is_trained_alone(record)]
    training = _training(config.resources, nodes, evaluator, trained)
    if config.evaluator == "training":
        return training
    each, scores = config.supernet.resources, config.supernet.scoring
    scoring = Share(scores.cpus, scores.gpus)
    supernet = Share(each.cpus, each.gpus, workers=config.supernet.workers)
    if any(r.candidate.phase == "supernet" and r.state == "completed" for r in records):
        supernet = scoring  # shared weights that are trained need no room any more
    return PhasedShares(FixedShares(supernet, largest=0), FixedShares(scoring, largest=0), training)


def _is_trained_alone(record: Record) -> bool:
    return record.candidate.phase != "supernet" and not record.candidate.is_scored


def _training(
    resources: Resources, nodes: Sequence[Node], evaluator: Evaluator, records: Iterable[Record]
) -> Shares:
    """Return what decides for candidates that are trained on their own."""
    shares = _shares(resources, nodes, evaluator)
    for record in _instructive(records, resources):
        if record.outgrew and record.state == "pending":
            held = replace(Share.from_json(record.outgrew), cpus=resources.cpus)
            usage = Usage(record.seconds, held, record.node, record.peak)
            shares.learn(record.candidate, usage, sufficed=False)
        elif record.state == "completed":
            usage = Usage(record.seconds, node=record.node, peak=record.peak)
            shares.learn(record.candidate, usage, sufficed=True)
    return shares


def _instructive(records: Iterable[Record], resources: Resources) -> list[Record]:
    """Return the last candidates whose need was seen, of the memory that now counts."""

    def had_gpu(record: Record) -> bool:
        held = record.outgrew if record.state == "pending" else record.resources
        return held.get("gpus", 0.0) > 0

    has_gpu = resources.gpus != 0
    taught = [each for each in records if each.peak or each.outgrew]
    return [each for each in taught if had_gpu(each) == has_gpu][-REMEMBERED:]


def _shares(resources: Resources, nodes: Sequence[Node], evaluator: Evaluator) -> Shares:
    # The head may have the most memory, and no CPU for candidates.
    able = [node for node in nodes if _has_room(node, resources)]
    largest = max(able or nodes, key=lambda node: node.memory)
    foresee = evaluator.memory if isinstance(evaluator, MemoryForeseer) else lambda _: 0
    if resources.gpus == "auto":
        memory = int(GIB * resources.memory) if isinstance(resources.memory, float) else 0
        whole, parts = _gpu_to_share(nodes, resources.cpus)
        least = FixedShares(Share(resources.cpus, 1 / parts, memory), largest.memory)
        return PlannedShares("gpus", whole, least, PeakModel(foresee))
    if resources.memory == "auto":
        parts = _useful_parts(largest.cpus / resources.cpus)
        least = FixedShares(Share(resources.cpus, 0.0, largest.memory // parts), largest.memory)
        return PlannedShares("memory", largest.memory, least, PeakModel(foresee))
    memory = int(GIB * (resources.memory or 0.0))
    return FixedShares(Share(resources.cpus, resources.gpus, memory), largest.memory)


def _has_room(node: Node, resources: Resources) -> bool:
    """Whether a node can offer the CPUs and GPUs of a candidate."""
    has_gpus = node.gpus > 0 if resources.gpus == "auto" else node.gpus >= resources.gpus
    return node.cpus >= resources.cpus and has_gpus


def _gpu_to_share(nodes: Sequence[Node], cpus: float) -> tuple[int, int]:
    """Return the bytes of the smallest GPU, and into how many parts it is useful to share one."""
    with_gpus = [node for node in nodes if node.gpus and node.gpu_memory]
    if not with_gpus:
        raise ConfigurationError(
            "resources.gpus: auto plans by the memory of GPUs, but no node of the cluster has one "
            "that CUDA can read; name a part, such as gpus: 0.25, or gpus: 0"
        )
    whole = min(node.gpu_memory for node in with_gpus)
    return whole, _useful_parts(max(node.cpus / cpus / node.gpus for node in with_gpus))


def _useful_parts(candidates: float) -> int:
    """Return the least power of two, up to a bound, of parts for so many candidates at once."""
    doublings = math.ceil(math.log2(max(candidates, 1.0)))
    return min(1 << doublings, MOST_PARTS)
