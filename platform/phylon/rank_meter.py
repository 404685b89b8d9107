"""The rank meter: how well a study's shared weights rank networks, by those that were trained."""

from __future__ import annotations

from phylon import events
from phylon.search.rank_correlation import RankCorrelation, rank_correlation
from phylon.state import StudyState


def measure(state: StudyState) -> RankCorrelation:
    """Compare each trained probe with the score of the network that it repeats.

    The study's first objective is what counts; probes that failed, or are still being trained, do
    not.
    """
    objective = state.objectives[0]
    done = (r for r in state.records.values() if r.state == "completed")
    probes = [record for record in done if record.candidate.phase == "probe"]
    scored = [state.records[probe.candidate.parents[0]] for probe in probes]
    return rank_correlation(
        [objective.loss(record.metrics) for record in scored],
        [objective.loss(record.metrics) for record in probes],
    )


def in_words(ranked: events.Ranked) -> str:
    """Return a measured rank correlation in one line.

    >>> known = {"kendall_tau": 0.607, "low": 0.2, "high": 0.883, "top_half": 1 / 3, "probes": 8}
    >>> in_words(events.Ranked(**known, verdict="trusted"))
    'rank correlation 0.61 [0.20, 0.88], 0.33 in the better half, 8 probes: trusted'
    """
    words = f"rank correlation {_short(ranked.kendall_tau)}"
    if ranked.low is not None and ranked.high is not None:
        words += f" [{ranked.low:.2f}, {ranked.high:.2f}]"
    if ranked.top_half is not None:
        words += f", {ranked.top_half:.2f} in the better half"
    words += f", {ranked.probes} probe{'s' * (ranked.probes != 1)}"
    return f"{words}: {ranked.verdict}" if ranked.verdict else words


def _short(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f}"


def is_low(state: StudyState) -> bool:
    """Return whether shared weights rank worse than the study asks for, as far as is known."""
    ranked = state.ranked
    if ranked is None or state.created is None:
        return False
    if ranked.verdict:
        return ranked.verdict not in ("measured", "trusted")
    floor = state.created.config.get("supernet", {}).get("rank_floor")
    tau = ranked.kendall_tau
    return floor is not None and tau is not None and tau < floor
