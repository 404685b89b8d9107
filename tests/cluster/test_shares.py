"""How much each candidate holds: what is predicted, and the ladder of shares."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phylon.cluster.executor import Share, Shares, Usage
from phylon.cluster.peaks import WORKER, PeakModel
from phylon.cluster.shares import FixedShares, PhasedShares, PlannedShares, part_of
from phylon.search import Architecture, Candidate

GIB = 2**30
bytes_ = st.integers(0, 200 * GIB)
measured = st.lists(st.tuples(bytes_, st.integers(1, 200 * GIB)), max_size=30)


def candidate(number: int, foreseen: int = 0) -> Candidate:
    return Candidate(number, Architecture({"number": number, "foreseen": foreseen}))


def foresee(candidate: Candidate) -> int:
    return int(candidate.architecture["foreseen"])


def model(measurements: list[tuple[int, int]]) -> PeakModel:
    peaks = PeakModel(foresee)
    for number, (foreseen, needed) in enumerate(measurements):
        peaks.learn(candidate(number, foreseen), needed)
    return peaks


def planned(whole: int = 64 * GIB, parts: int = 16, kind: str = "memory") -> PlannedShares:
    share = Share(1.0, 0.0, whole // parts) if kind == "memory" else Share(1.0, 1 / parts)
    return PlannedShares(kind, whole, FixedShares(share, whole), PeakModel(foresee))


# --- predictions


@given(measured, bytes_, bytes_)
def test_more_is_predicted_where_more_is_foreseen(
    measurements: list[tuple[int, int]], one: int, other: int
) -> None:
    peaks = model(measurements)
    assert peaks.bound(min(one, other)) <= peaks.bound(max(one, other))


@given(measured)
def test_a_network_gets_what_it_needed(measurements: list[tuple[int, int]]) -> None:
    peaks = model(measurements)
    for number, (foreseen, needed) in enumerate(measurements):
        assert peaks.predict(candidate(number, foreseen)) == needed


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 40 * GIB), min_size=8, max_size=30, unique=True),
    st.floats(0.5, 4.0),
    st.integers(0, 2 * GIB),
    st.integers(0, 40 * GIB),
)
def test_a_steady_relation_is_learned(
    foreseen: list[int], slope: float, worker: int, unseen: int
) -> None:
    peaks = model([(each, int(worker + slope * each)) for each in foreseen])
    within = max(foreseen[0], min(unseen, max(foreseen)))
    truth = worker + slope * within
    assert truth * 0.97 - WORKER <= peaks.bound(within) <= 1.6 * truth + 3 * WORKER


def test_before_anything_is_measured_twice_what_is_foreseen_is_predicted() -> None:
    assert PeakModel(foresee).bound(GIB) == pytest.approx(2.05 * (GIB + WORKER), rel=1e-6)


def test_without_foresight_the_largest_peak_so_far_is_predicted() -> None:
    peaks = model([(0, GIB), (0, 3 * GIB), (0, 2 * GIB)])
    assert 3 * GIB <= peaks.predict(candidate(9)) < 5 * GIB


def test_old_measurements_are_forgotten() -> None:
    peaks = PeakModel(foresee)
    for number in range(600):
        peaks.learn(candidate(number, GIB), 50 * GIB if number < 300 else 2 * GIB)
    assert peaks.bound(GIB) < 4 * GIB


# --- shares


@given(st.integers(1, 2**50), st.integers(0, 2**51))
def test_a_part_is_the_smallest_that_holds_what_is_needed(whole: int, need: int) -> None:
    part = part_of(whole, need)
    assert part == 1.0 or whole * part >= need
    if need > 0:
        assert part / 2 * whole < need
    assert (1 / part).is_integer()


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        (Share(1.0, 1 / 4), [Share(1.0, 1 / 2), Share(1.0, 1.0)]),
        (Share(1.0, 1 / 5), [Share(1.0, 1 / 2), Share(1.0, 1.0)]),
        (Share(1.0, 1 / 3), [Share(1.0, 1.0)]),
        (Share(1.0, 0.0, 3 * GIB), [Share(1.0, 0.0, 6 * GIB), Share(1.0, 0.0, 10 * GIB)]),
        (Share(0.5, 1 / 2, 8 * GIB), [Share(0.5, 1.0, 10 * GIB)]),
        (Share(2.0, 2.0), []),
        (Share(2.0), []),
    ],
)
def test_shares_double_up_to_the_whole(kind: Share, steps: list[Share]) -> None:
    shares = FixedShares(kind, 10 * GIB)
    climbed = []
    share = shares.larger(kind)
    while share:
        climbed.append(share)
        share = shares.larger(share)
    assert climbed == steps


@pytest.mark.parametrize("shares", [FixedShares(Share(1.0, 0.0, GIB), 64 * GIB), planned()])
def test_a_candidate_that_outgrew_its_share_gets_the_next_larger_one(shares: Shares) -> None:
    first, other = candidate(1), candidate(2)
    before = shares.of(first)
    assert before == shares.of(other)
    shares.learn(first, Usage(1.0, before), sufficed=False)
    assert shares.of(first).memory >= shares.larger(before).memory
    assert shares.of(first).cpus == before.cpus
    if isinstance(shares, FixedShares):
        assert shares.of(other) == before


@given(st.lists(st.tuples(bytes_, st.integers(1, 80 * GIB)), max_size=20))
def test_every_candidate_ends_in_a_share_that_holds_it_or_in_the_whole(
    needs: list[tuple[int, int]],
) -> None:
    shares = planned()
    for number, (foreseen, need) in enumerate(needs):
        each = candidate(number, foreseen)
        for _ in range(5):
            share = shares.of(each)
            assert share.memory >= shares.least.memory
            sufficed = need <= share.memory
            peak = need if sufficed else share.memory
            shares.learn(each, Usage(1.0, share, peak=peak), sufficed=sufficed)
            if sufficed or not shares.larger(share):
                break
            assert shares.of(each).memory > share.memory
        assert share.memory >= min(need, 64 * GIB)


def test_parts_of_a_gpu_are_planned_by_its_memory() -> None:
    shares = planned(16 * GIB, 8, "gpus")
    assert shares.of(candidate(0)) == Share(1.0, 1 / 8)
    assert shares.of(candidate(1, 3 * GIB)) == Share(1.0, 1 / 2)
    assert shares.of(candidate(2, 30 * GIB)) == Share(1.0, 1.0)
    for number in range(3, 30):
        shares.learn(
            candidate(number, number * GIB // 4), Usage(1.0, peak=GIB // 2 + number * GIB // 8),
            sufficed=True,
        )  # fmt: skip
    assert shares.of(candidate(99, 5 * GIB)) == Share(1.0, 1 / 4)
    assert shares.larger(Share(1.0, 1.0)) is None


# --- shared weights


def kinds_of_candidates() -> dict[str, Candidate]:
    architecture = Architecture({"foreseen": 0})
    return {
        "supernet": Candidate(0, architecture, phase="supernet"),
        "sampled": Candidate(1, architecture, phase="sample", epochs=0, inherit_from=0),
        "searched": Candidate(2, architecture, phase="search", epochs=0, inherit_from=0),
        "probe": Candidate(3, architecture, phase="probe"),
        "switched": Candidate(4, architecture, phase="search"),
        "extracted": Candidate(5, architecture, phase="final", epochs=9, inherit_from=0),
    }


def phased() -> PhasedShares:
    supernet = FixedShares(Share(1.0, 1 / 2, workers=2), largest=0)
    return PhasedShares(supernet, FixedShares(Share(0.5, 1 / 8), largest=0), planned(parts=8))


def test_each_kind_of_candidate_has_a_share_of_its_own() -> None:
    shares = phased()
    held = {name: shares.of(candidate) for name, candidate in kinds_of_candidates().items()}
    scoring, training = Share(0.5, 1 / 8), Share(1.0, 0.0, 8 * GIB)
    assert held == {
        "supernet": Share(1.0, 1 / 2, workers=2),
        "sampled": scoring,
        "searched": scoring,
        "probe": training,
        "switched": training,
        "extracted": training,
    }
    assert shares.least == scoring
    assert set(shares.kinds.values()) == set(held.values())
    assert shares.kinds["resources"] == training


def test_what_one_kind_needs_is_no_lesson_for_the_others() -> None:
    shares, candidates = phased(), kinds_of_candidates()
    for name in ("supernet", "sampled"):
        held = shares.of(candidates[name])
        shares.learn(candidates[name], Usage(1.0, held, peak=60 * GIB), sufficed=True)
    assert shares.of(candidates["probe"]).memory == 8 * GIB
    shares.learn(candidates["sampled"], Usage(1.0, Share(0.5, 1 / 8)), sufficed=False)
    assert shares.of(candidates["sampled"]) == Share(0.5, 1 / 4)
    assert shares.of(candidates["searched"]) == Share(0.5, 1 / 8)


def test_a_team_does_not_grow() -> None:
    shares = phased()
    assert shares.larger(Share(1.0, 1 / 2, workers=2)) is None
    assert shares.larger(Share(1.0, 1 / 2)) == Share(1.0, 1.0)
