"""Notes: what a run's page in MLflow says at its top, in Markdown, with links to other runs.

A note is planned before the runs have ids, so it holds links to candidates; `render` makes them
links to pages. All text that comes from a study is escaped, so that it shows as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from phylon.costs import share_of
from phylon.record import Record
from phylon.search.objective import Objective
from phylon.trainables.words import describe

MAX_NOTE = 8000  # characters that a tag holds
MOST_RELATIVES = 20
MOST_WORDS = 2000  # characters
TRAINING_MODE = "workflowType=machine_learning"
"""Query of a page's address, without which MLflow offers what is for language models around it."""

_MARKUP = re.compile(r"[\\`*_{}\[\]()#+!~|]")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Link(NamedTuple):
    """A link to a candidate's run."""

    candidate_id: int
    text: str


Note: TypeAlias = "tuple[str | Link, ...]"
"""Markdown, with links in between."""


def escape(text: str, most: int = MOST_WORDS) -> str:
    r"""Return text as Markdown that shows it as it is, in one line.

    >>> print(escape("<b>no ![picture](x)</b>"))
    &lt;b&gt;no \!\[picture\]\(x\)&lt;/b&gt;

    Args:
        text: Any text.
        most: Characters after which it is cut off.
    """
    line = " ".join(text.split())
    line = line if len(line) <= most else f"{line[: most - 3]}..."
    for character, entity in _HTML.items():
        line = line.replace(character, entity)
    line = _MARKUP.sub(r"\\\g<0>", line)
    line = line.replace("://", "&#58;//").replace("@", "&#64;")
    return re.sub(r"(www)\.", r"\1&#46;", line, flags=re.IGNORECASE)


def render(note: Note, experiment: str, runs: Mapping[int, str]) -> str:
    """Return a note as Markdown.

    Args:
        note: What to say.
        experiment: Id of the experiment of all runs.
        runs: Run ids by candidate id; who has none is named without a link.
    """
    text = "".join(_render(part, experiment, runs) for part in note)
    if len(text) <= MAX_NOTE:
        return text
    return text[: MAX_NOTE - 5].rpartition("\n\n")[0] + "\n\n..."


def _render(part: str | Link, experiment: str, runs: Mapping[int, str]) -> str:
    if isinstance(part, str):
        return part
    run = runs.get(part.candidate_id)
    if run is None:
        return part.text
    return f"[{part.text}](#/experiments/{experiment}/runs/{run}?{TRAINING_MODE})"


def candidate_note(
    record: Record,
    objectives: Sequence[Objective],
    violation: float,
    children: Sequence[int],
    count: int,
) -> Note:
    """Return what there is to say of a candidate; MLflow shows the first lines at once.

    Args:
        record: The candidate.
        objectives: The study's.
        violation: By how much it misses the constraints; 0 if it has no result.
        children: Ids of its first children.
        count: How many children it has.
    """
    return (
        *_origin(record),
        *_relatives(f"\n\n**Children** ({count:,}): ", children, count),
        f"\n\n**Result:** {_result(record, objectives, violation)}",
        *((f"\n\n**Note:** {escape(record.note, 500)}",) if record.note else ()),
        f"\n\n**Network:** {escape(describe(record.candidate.architecture)) or 'none'}",
    )


def _origin(record: Record) -> Iterator[str | Link]:
    candidate = record.candidate
    if candidate.phase == "supernet":
        yield "The weights that other candidates share."
        return
    yield f"**Made by:** {escape(candidate.operator, 100)}"
    yield from _relatives(" of ", candidate.parents, len(candidate.parents), "candidate ")
    if candidate.inherit_from is not None:
        yield ", with the weights of "
        yield Link(candidate.inherit_from, f"candidate {candidate.inherit_from}")
        share = share_of(record)
        yield "" if share is None else f" ({share:.0%} of its parameters)"
    yield f" · generation {candidate.generation} · {candidate.phase} phase"


def _relatives(
    heading: str, ids: Sequence[int], count: int, prefix: str = ""
) -> Iterator[str | Link]:
    for place, number in enumerate(ids[:MOST_RELATIVES]):
        yield ", " if place else heading
        yield Link(number, f"{prefix}{number}")
    if count > MOST_RELATIVES:
        yield f" and {count - MOST_RELATIVES:,} more"


def _result(record: Record, objectives: Sequence[Objective], violation: float) -> str:
    if record.state == "failed":
        return f"failed: {escape(record.reason, 500)}"
    if record.state == "pending":
        return "none yet"
    values = numbers(record, objectives)
    if record.candidate.phase == "supernet":
        return values or "trained"
    if record.candidate.is_scored:
        values += ", scored with shared weights"
    return f"{values}; misses the constraints by {violation:.2%}" if violation else values


def numbers(record: Record, objectives: Sequence[Objective]) -> str:
    """Return what a candidate reached in each objective, as Markdown."""
    found = {o.metric: record.metrics[o.metric] for o in objectives if o.metric in record.metrics}
    return ", ".join(f"{escape(name, 200)} **{_number(value)}**" for name, value in found.items())


def _number(value: float) -> str:
    is_count = float(value).is_integer() and abs(value) < 1e15
    return f"{int(value):,}" if is_count else f"{value:.5g}"
