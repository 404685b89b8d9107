"""What failed in a search, why, and where."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from markupsafe import Markup

from phylon.history import History
from phylon.progress import shorten
from phylon.record import Record
from phylon.report_candidates import host_of, percent
from phylon.report_section import Part, Section
from phylon.report_table import table

MOST_REASONS, MOST_NODES = 20, 3
_HEADINGS = ("failed", "reason", "first", "last", "where")


def failures_section(history: History) -> Section | None:
    """Return the failures by reason and by node; None if there are none and no worker was lost."""
    records = history.state.records.values()
    failed = [record for record in records if record.state == "failed"]
    parts = [*_reasons(failed), *_by_node(list(records), failed), *_again(list(records))]
    return Section("failures", "Failures", tuple(parts)) if parts else None


def _reasons(failed: Sequence[Record]) -> Iterator[Part]:
    if not failed:
        return
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in failed:
        groups[shorten(record.reason)].append(record)
    ranked = sorted(groups.items(), key=lambda item: (-len(item[1]), item[1][0].id))
    rows = [
        (len(group), reason, group[0].id, group[-1].id, _places(group))
        for reason, group in ranked[:MOST_REASONS]
    ]
    yield table(_HEADINGS, rows, numbers=("failed", "first", "last"))
    if rest := ranked[MOST_REASONS:]:
        words = "<p>And {} for {}: <code>phylon lineage</code> tells all.</p>"
        reasons = "another reason" if len(rest) == 1 else f"{len(rest)} other reasons"
        yield Markup(words).format(sum(len(group) for _, group in rest), reasons)


def _places(group: Sequence[Record]) -> str:
    """Return on which nodes candidates failed: ``node-1 (3), node-2``."""
    counts = Counter(host_of(record.node) for record in group if record.node)
    told = [
        f"{node} ({count})" if count > 1 else node for node, count in counts.most_common(MOST_NODES)
    ]
    rest = len(counts) - len(told)
    return ", ".join(told) + (f" and {rest} other{'s' * (rest > 1)}" if rest else "")


def _by_node(records: Sequence[Record], failed: Sequence[Record]) -> Iterator[Part]:
    """Say how often candidates failed on each node, if there are several."""
    ended = Counter(host_of(r.node) for r in records if r.state != "pending" and r.node)
    broken = Counter(host_of(r.node) for r in failed if r.node)
    if len(ended) > 1 and broken:
        shares = sorted(ended, key=lambda node: (-broken[node] / ended[node], node))
        rows = [
            (node, broken[node], ended[node], percent(broken[node] / ended[node]))
            for node in shares[:MOST_REASONS]
        ]
        yield Markup("<h3>By node</h3>")
        headings = ("node", "failed", "of", "share")
        yield table(headings, rows, numbers=headings[1:])


def _again(records: Sequence[Record]) -> Iterator[Part]:
    lost = sum(record.lost > 0 for record in records)
    outgrew = sum(bool(record.outgrew) for record in records)
    if lost:
        words = "<p>The worker of {} candidate{} died at least once; they were run again.</p>"
        yield Markup(words).format(lost, "s" * (lost != 1))
    if outgrew:
        words = "<p>{} candidate{} needed more memory than they had been given at first.</p>"
        yield Markup(words).format(outgrew, "s" * (outgrew != 1))
