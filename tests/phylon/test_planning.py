"""From the study file, the nodes and the candidates so far to what each candidate holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from phylon.cluster.census import Node
from phylon.cluster.executor import Share, Shares
from phylon.config import StudyConfig
from phylon.errors import ConfigurationError
from phylon.planning import new_shares
from phylon.record import Record
from phylon.search import Architecture, Candidate, Context

GIB = 2**30
NODES = [
    Node("a", "small", cpus=4.0, gpus=0.0, memory=16 * GIB),
    Node("b", "large", cpus=32.0, gpus=4.0, memory=256 * GIB, gpu_memory=80 * GIB),
    Node("c", "older", cpus=8.0, gpus=1.0, memory=64 * GIB, gpu_memory=24 * GIB),
]


class Blind:
    metrics = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None: ...


@dataclass
class Seer(Blind):
    asked: int = 0

    def memory(self, candidate: Candidate) -> int:
        self.asked += 1
        return int(candidate.architecture["gib"] * GIB)


def study(**fields: Any) -> StudyConfig:
    return StudyConfig.build(
        name="s",
        task="t:t",
        objectives=[{"metric": "y", "direction": "maximize"}],
        budget={"candidates": 10},
        **fields,
    )


def shares_for(
    records: list[Record] | None = None, blind: bool = False, **resources: Any
) -> Shares:
    evaluator = Blind() if blind else Seer()
    return new_shares(study(resources=resources), NODES, evaluator, records or [])


def candidate(number: int, gib: float) -> Candidate:
    return Candidate(number, Architecture({"gib": gib}))


@pytest.mark.parametrize(
    ("resources", "share"),
    [
        ({"cpus": 0.5}, Share(0.5)),
        ({"gpus": 0.33}, Share(1.0, 1 / 3)),
        ({"gpus": 2, "memory": 1.5}, Share(1.0, 2.0, 3 * GIB // 2)),
        ({"memory": "auto"}, Share(1.0, 0.0, 8 * GIB)),
        ({"memory": "auto", "cpus": 3}, Share(3.0, 0.0, 16 * GIB)),
        ({"gpus": "auto"}, Share(1.0, 1 / 8)),
        ({"gpus": "auto", "cpus": 0.25, "memory": 4}, Share(0.25, 1 / 32, 4 * GIB)),
    ],
)
def test_the_least_share_is_what_is_asked_for_or_worth_planning(
    resources: dict[str, Any], share: Share
) -> None:
    assert shares_for(**resources).least == share


def test_what_a_candidate_holds_follows_what_is_foreseen_of_it() -> None:
    by_memory = shares_for(memory="auto")
    assert by_memory.of(candidate(1, 6.0)).memory == 16 * GIB
    assert by_memory.of(candidate(2, 500.0)).memory == 256 * GIB
    by_gpu = shares_for(gpus="auto")  # of the smaller one: 24 GiB
    assert by_gpu.of(candidate(1, 5.0)).gpus == 1 / 2
    assert by_gpu.of(candidate(2, 500.0)).gpus == 1.0


def test_memory_that_is_named_doubles_up_to_the_largest_node() -> None:
    shares = shares_for(memory=100)
    assert shares.larger(shares.least) == Share(1.0, 0.0, 200 * GIB)
    assert shares.larger(Share(1.0, 0.0, 200 * GIB)) == Share(1.0, 0.0, 256 * GIB)
    assert shares.larger(Share(1.0, 0.0, 256 * GIB)) is None


@pytest.mark.parametrize("cpus", [0.0, 1.0])
def test_memory_counts_only_where_candidates_can_run(cpus: float) -> None:
    """A head without CPUs for candidates has memory that none of them will ever hold."""
    nodes = [Node("h", "head", cpus=cpus, gpus=0.0, memory=512 * GIB), *NODES]
    planned = new_shares(study(resources={"memory": "auto", "cpus": 2.0}), nodes, Seer())
    assert planned.least.memory == 16 * GIB
    fixed = new_shares(study(resources={"memory": 200, "gpus": 1}), nodes, Seer())
    assert fixed.larger(fixed.least) == Share(1.0, 1.0, 256 * GIB)


def test_what_no_node_tells_cannot_be_planned() -> None:
    told = r"^resources\.gpus: auto .* no node .* name a part, such as gpus: 0\.25"
    with pytest.raises(ConfigurationError, match=told):
        new_shares(study(resources={"gpus": "auto"}), NODES[:1], Seer())


def test_a_resumed_study_knows_what_candidates_needed() -> None:
    done = [
        Record(candidate(i, 1.0), "completed", peak=30 * GIB, resources={"cpus": 1.0, "gpus": 0.0})
        for i in range(9)
    ]
    held = {"cpus": 1.0, "gpus": 0.0, "memory": 32.0 * GIB}
    outgrown = Record(candidate(9, 0.0), peak=32 * GIB, outgrew=held)
    resumed = shares_for([*done, outgrown], memory="auto")
    assert shares_for(memory="auto").of(candidate(10, 1.0)).memory == 8 * GIB
    assert resumed.of(candidate(10, 1.0)).memory >= 32 * GIB
    assert resumed.of(outgrown.candidate).memory == 64 * GIB


def test_what_was_needed_of_another_memory_does_not_teach() -> None:
    on_gpus = {"cpus": 8.0, "gpus": 0.5}
    done = [
        Record(candidate(i, 1.0), "completed", peak=30 * GIB, resources=on_gpus) for i in range(9)
    ]
    outgrown = Record(candidate(9, 1.0), outgrew=on_gpus)
    without = shares_for([*done, outgrown], memory="auto")
    assert without.of(outgrown.candidate) == without.of(candidate(10, 1.0)) == without.least


def test_a_candidate_that_outgrew_its_share_has_the_cpus_of_now() -> None:
    outgrown = Record(candidate(0, 1.0), outgrew={"cpus": 8.0, "gpus": 0.25})
    assert shares_for([outgrown], gpus=0.25).of(outgrown.candidate) == Share(1.0, 0.5)


def test_of_an_evaluator_that_foresees_nothing_peaks_are_learned() -> None:
    assert shares_for(blind=True, memory="auto").of(candidate(0, 99.0)).memory == 8 * GIB
    done = [Record(candidate(i, 0.0), "completed", peak=(10 + i) * GIB) for i in range(3)]
    assert shares_for(done, blind=True, memory="auto").of(candidate(9, 0.0)).memory == 16 * GIB


def test_a_candidate_is_looked_at_once_however_often_it_is_handed_out() -> None:
    seer = Seer()
    shares = new_shares(study(resources={"memory": "auto"}), NODES, seer)
    assert len({shares.of(candidate(0, 3.0)) for _ in range(5)}) == 1
    assert seer.asked == 1


def test_a_study_with_shared_weights_has_a_share_for_each_kind() -> None:
    supernet = {
        "workers": 2,
        "resources": {"cpus": 2, "gpus": 0.5},
        "scoring": {"cpus": 0.25, "gpus": 0.125},
    }
    config = study(evaluator="supernet", supernet=supernet, resources={"memory": "auto"})
    scored = Record(replace(candidate(7, 1.0), epochs=0), "completed", peak=60 * GIB)
    shares = new_shares(config, NODES, Seer(), [scored])
    assert shares.kinds == {
        "supernet.resources": Share(2.0, 0.5, workers=2),
        "supernet.scoring": Share(0.25, 0.125),
        "resources": Share(1.0, 0.0, 8 * GIB),
    }
    assert shares.least == Share(0.25, 0.125)
    assert shares.of(candidate(8, 1.0)).memory == 8 * GIB  # what scoring took teaches nothing


def test_shared_weights_that_are_trained_need_no_room_for_their_team() -> None:
    """A study goes on with its search wherever there is room for that."""
    supernet = {"workers": 64, "resources": {"cpus": 4}, "scoring": {"cpus": 0.5}}
    config = study(evaluator="supernet", supernet=supernet)
    trained = Record(replace(candidate(0, 1.0), phase="supernet"), "completed")
    begun = replace(trained, state="pending")
    assert new_shares(config, NODES, Seer(), [begun]).kinds["supernet.resources"].workers == 64
    shares = new_shares(config, NODES, Seer(), [trained])
    assert shares.kinds["supernet.resources"] == Share(0.5)
