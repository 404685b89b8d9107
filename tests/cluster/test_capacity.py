"""Room on nodes that come and go, and its fair division."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon.cluster.capacity import GIB, Room, check_share, count_slots, ray_bundle
from phylon.cluster.executor import Share
from phylon.cluster.fairness import Demand, fair_slots
from phylon.errors import ConfigurationError

SMALL, LARGE = Share(1.0), Share(4.0)
TWO_NODES = {"a": {"CPU": 4.0}, "b": {"CPU": 4.0}}


def test_sevenths_of_a_node_are_seven_slots() -> None:
    assert count_slots({"a": {"CPU": 1.0, "GPU": 1.0}}, Share(1 / 7, 1 / 7)) == 7


def test_what_no_node_offers_is_refused_with_its_keys_and_the_largest_node() -> None:
    nodes = {"a": {"CPU": 2.0, "memory": 2.0 * GIB}, "b": {"CPU": 8.0, "memory": 4.0 * GIB}}
    check_share(nodes, Share(8.0, 0.0, 4 * GIB))
    with pytest.raises(ConfigurationError) as refused:
        check_share(nodes, Share(4.0, 0.5, 6 * GIB))
    assert str(refused.value) == (
        "resources.gpus, resources.memory: a candidate asks for 4 cpus, 0.5 gpus and 6 GiB, but "
        "the largest node has 8 cpus, 0 gpus and 4 GiB; ask for less, or "
        "wait until larger nodes have joined"
    )


def fill(room: Room, share: Share) -> int:
    booked = 0
    while room.fits(share):
        room.book(f"{share}-{booked}", share)
        booked += 1
    return booked


def test_nodes_that_come_and_go_change_the_room() -> None:
    room = Room()
    room.update({"a": {"CPU": 4.0}})
    assert fill(room, SMALL) == 4
    room.update(TWO_NODES)
    assert room.fits(SMALL)
    room.update({"b": {"CPU": 3.0}})
    assert not room.fits(SMALL)


def test_a_large_worker_waits_for_one_node_and_leaves_the_others_alone() -> None:
    room = Room()
    room.update(TWO_NODES)
    for name in "abcdefgh":
        room.book(name, SMALL)
        room.locate(name, ["a" if name in "abcd" else "b"])
    room.release("e")
    room.book("large", LARGE)
    assert [name for name in "abcdfgh" if room.is_overbooked(name)] == ["f", "g", "h"]
    assert not room.fits(SMALL)
    for name in "fgh":
        room.release(name)
    room.locate("large", ["b"])
    assert not any(room.is_overbooked(name) for name in ("a", "b", "c", "d", "large"))


def test_equals_share_equally_and_what_one_does_not_want_goes_to_the_others() -> None:
    def divide(*wanted: int) -> list[int]:
        demands = {str(i): Demand({"CPU": 1.0}, slots) for i, slots in enumerate(wanted)}
        return list(fair_slots({"CPU": 12.0}, demands).values())

    assert divide(99) == [12]
    assert divide(99, 99) == [6, 6]
    assert divide(99, 2, 99) == [5, 2, 5]
    assert divide(99, 1) == [11, 1]


def test_the_example_of_dominant_resource_fairness() -> None:
    """Ghodsi et al. 2011, section 4.1: 9 CPUs, 18 GB; users need (1, 4 GB) and (3, 1 GB)."""
    demands = {"a": Demand({"CPU": 1, "memory": 4}, 99), "b": Demand({"CPU": 3, "memory": 1}, 99)}
    assert fair_slots({"CPU": 9, "memory": 18}, demands) == {"a": 3, "b": 2}


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=6))
def test_nobody_could_have_more_without_taking_it_from_who_has_less(
    studies: list[tuple[int, int]],
) -> None:
    total = 16
    demands = {str(i): Demand({"CPU": cpus}, n) for i, (cpus, n) in enumerate(studies)}
    slots = fair_slots({"CPU": total}, demands)
    held = {name: slots[name] * demand.bundle["CPU"] for name, demand in demands.items()}
    assert sum(held.values()) <= total
    for name, demand in demands.items():
        assert slots[name] <= demand.slots
        more = held[name] + demand.bundle["CPU"]
        if slots[name] < demand.slots and sum(held.values()) + demand.bundle["CPU"] > total:
            most = max(held.values())
            assert held[name] == most or more > most - max(
                it.bundle["CPU"] for it in demands.values()
            )
        elif slots[name] < demand.slots:
            pytest.fail(f"{name} could have one more: {slots} of {demands}")


def test_bundles_are_cut_to_the_steps_of_ray() -> None:
    assert ray_bundle(Share(1 / 3, 1 / 7)) == {"CPU": 0.3333, "GPU": 0.1428}


def test_workers_stay_when_others_of_their_size_were_to_come_to_a_node_that_died() -> None:
    room = Room()
    room.update(TWO_NODES)
    for name in "abcdefgh":
        room.book(name, SMALL)
        if name in "abcd":
            room.locate(name, ["a"])
    room.update({"a": {"CPU": 4.0}})
    assert not [name for name in "abcd" if room.is_overbooked(name)]


# --- teams

TEAM = Share(2.0, workers=3)


def test_a_team_takes_its_room_wherever_it_is() -> None:
    assert count_slots({"a": {"CPU": 4.0}, "b": {"CPU": 3.0}}, TEAM) == 1
    room = Room()
    room.update({"a": {"CPU": 4.0}, "b": {"CPU": 3.0}})
    assert room.fits(TEAM)
    room.book("team", TEAM)
    assert not room.fits(TEAM)
    assert fill(room, SMALL) == 1
    room.locate("team", ["b", "a", "a"])
    room.release("team")
    assert fill(room, SMALL) == 6


def test_room_for_a_part_of_a_team_is_none_and_stays_for_others() -> None:
    room = Room()
    room.update({"a": {"CPU": 5.0}})
    assert not room.fits(TEAM)
    assert fill(room, SMALL) == 5


def test_more_workers_than_the_cluster_has_room_for_are_refused_with_how_many_fit() -> None:
    with pytest.raises(ConfigurationError) as refused:
        check_share(TWO_NODES, Share(2.0, workers=5), "supernet.resources")
    assert str(refused.value) == (
        "supernet.workers: 5 workers are asked for, each with 2 cpus and 0 gpus, but the cluster "
        "has room for 4; ask for 4 at most, for less for each, or wait until more nodes have joined"
    )


def test_what_no_node_offers_is_refused_with_the_section_that_asks_for_it() -> None:
    with pytest.raises(ConfigurationError, match=r"^supernet\.scoring\.gpus: a candidate asks for"):
        check_share(TWO_NODES, Share(0.5, 0.25), "supernet.scoring")
