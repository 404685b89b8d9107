"""The questions of the reproducibility sheet, and what a study's journal answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from phylon import rank_meter
from phylon.costs import LineCosts, line_of_weights
from phylon.errors import SpaceError
from phylon.history import History
from phylon.leaderboard import mean_and_spread
from phylon.progress import clock
from phylon.record import Record
from phylon.report_candidates import host_of, number, percent
from phylon.report_page import moment
from phylon.search.space import SearchSpace
from phylon.state import StudyState


class Answer(NamedTuple):
    """What a study says on an item, or, where it says nothing, what its author should."""

    item: str
    told: str
    is_missing: bool = False


def groups(history: History) -> Iterator[tuple[str, list[Answer]]]:
    """Yield all answers under their headings."""
    yield "Code and settings", list(_code(history))
    yield "Data", list(_data(history))
    yield "Search", list(_search(history))
    yield "Cost", list(_cost(history))
    yield "Results", list(_results(history))
    yield "Beyond one study", list(_beyond(history))


def _code(history: History) -> Iterator[Answer]:
    config = history.created.config
    versions = _each_once(_pairs(driver.versions) for driver in history.drivers)
    yield Answer("versions", versions or "say which packages ran", not versions)
    revisions = _each_once(_revision(driver.revision) for driver in history.drivers)
    cure = "say which code ran; a study that is started within a git repository records its commit"
    yield Answer("code of task and space", revisions or cure, not revisions)
    yield Answer("search space", _space(history))
    strategy = _component(config.get("strategy"))
    yield Answer("search strategy", f"{strategy}; what is not said is this version's default")
    initial = config.get("initial") or {}
    beginning = _component(initial if initial.get("name") == "zero_cost" else "random")
    if config.get("warm_start"):
        beginning += f"; learned from {', '.join(config['warm_start'])}"
    yield Answer("first candidates", beginning)
    final = config.get("final")
    yield Answer("training in the search", _pairs(config.get("training") or {}))
    if config.get("evaluator") == "supernet":
        yield Answer("shared weights", _pairs(config.get("supernet") or {}))
    yield Answer("final training", _pairs(final) if final else "none")
    order = config.get("order", "free")
    window = f", {config.get('window')} candidates ahead" if order == "strict" else ""
    seeds = "the training of candidate n from it and n; each is in the lineage"
    yield Answer("seeds", f"{config.get('seed', 0)} for the study, and {seeds}")
    yield Answer("order of results", f"{order}{window}")


def _revision(revision: Mapping[str, Any]) -> str:
    if not revision:
        return ""
    changed = ", with changes that were not committed" if revision.get("modified") else ""
    return f"git commit {revision['commit']}{changed}"


def _space(history: History) -> str:
    try:
        space = SearchSpace.from_json(history.created.space)
    except SpaceError:
        return "see below"
    count = "infinitely many"
    if isinstance(space.size, int):
        is_small = space.size < 1e6
        count = f"{space.size:,}" if is_small else f"about 10^{math.log10(space.size):.0f}"
    return f"{count} architectures, {space.width} decisions at most; see below"


def _data(history: History) -> Iterator[Answer]:
    config, fingerprint = history.created.config, history.created.fingerprint
    task = _component(config.get("task"))
    cure = "say which data it was; a task with a `fingerprint` would tell"
    yield Answer("task", task)
    yield Answer("data", _pairs(fingerprint) or cure, not fingerprint)
    seed = config.get("seed", 0)
    yield Answer("splits", f"made by the task, from the seed of the study ({seed})")
    yield Answer("test split", _use_of_test_split(history))


def _use_of_test_split(history: History) -> str:
    tested, times = history.state.tested, len(history.tests)
    if tested is None:
        never = "not met by any network of this study"
        return "met by an earlier winner of this study, which went on since" if times else never
    results = "; ".join(f"{m} {mean_and_spread(v)}" for m, v in tested.metrics.items())
    trainings = _count(len(tested.candidate_ids), "training")
    again = f"met {times} times, as the study went on after its end; the last time"
    met = "met once, when all was decided," if times == 1 else again
    return f"{met} by {trainings} of the winner: {results}"


def _search(history: History) -> Iterator[Answer]:
    state, config = history.state, history.created.config
    yield Answer("objectives", ", ".join(f"{o.direction} {o.metric}" for o in state.objectives))
    yield Answer("constraints", ", ".join(map(str, state.constraints)) or "none")
    budget = (state.opened.budget if state.opened else None) or config.get("budget") or {}
    yield Answer("budget", _pairs(budget))
    yield Answer("end", state.ending.reason if state.ending else "not reached yet")
    yield Answer("evaluations", _evaluations(state))
    lengths = Counter(r.epochs for r in _searched(state) if r.state == "completed")
    told = (
        f"{count:,} after {_count(n, 'epoch')}" if n else f"{count:,} scored with shared weights"
        for n, count in sorted(lengths.items())
    )
    yield Answer("length of each", ", ".join(told) or "none completed")
    yield Answer("duplicates", _duplicates(history))
    share = f" ({percent(state.failed / state.ended)} of all)" if state.failed else ""
    yield Answer("failures", f"{state.failed:,}{share}")
    if state.ranked:
        yield Answer("trust in shared weights", rank_meter.in_words(state.ranked))


def _searched(state: StudyState) -> list[Record]:
    return [r for r in state.records.values() if r.candidate.phase == "search"]


def _evaluations(state: StudyState) -> str:
    completed = Counter(
        record.candidate.phase for record in state.records.values() if record.state == "completed"
    )
    phases = (f"{phase}: {n:,} of {state.proposed[phase]:,}" for phase, n in completed.items())
    return f"{state.completed:,} completed ({', '.join(phases)})" if completed else "none completed"


def _duplicates(history: History) -> str:
    """Say how often a network was measured again that was measured before, for as long."""
    try:
        key = SearchSpace.from_json(history.created.space).key
    except SpaceError:
        return "not known: the space is of another version of phylon"
    seen = Counter(
        (key(record.candidate.architecture), record.candidate.epochs, record.candidate.inherit_from)
        for record in _searched(history.state)
        if record.state == "completed"
    )
    return (
        f"{seen.total() - len(seen):,} of {seen.total():,} repeat a network that was measured alike"
    )


def _cost(history: History) -> Iterator[Answer]:
    records = history.state.records.values()
    hours = [
        f"{number(spent / 3600)} {name} hours"
        for kind, name in (("gpus", "GPU"), ("cpus", "CPU"))
        if (spent := sum(r.seconds * r.resources.get(kind, 0.0) for r in records))
    ]
    what = "by all candidates, failed ones too; attempts that were lost are not counted"
    yield Answer(
        "computing", f"{' and '.join(hours)} {what}" if hours else "say how much", not hours
    )
    if (best := history.state.best) is not None:
        line = line_of_weights(history.state.records, best.id)
        by = f"candidate {best.id}"
        if len(line) > 1:
            by += f" and {_count(len(line) - 1, 'candidate')} whose training is in its weights"
        yield Answer("the best network", f"{LineCosts(history.state.records).line(best)}, by {by}")
    began = moment(history.created.time)
    drivers = _count(len(history.drivers), "driver")
    yield Answer(
        "time", f"{clock(history.state.seconds)} by the clock, with {drivers}, from {began}"
    )
    machines = _each_once(_machine(driver.machine) for driver in history.drivers)
    nodes = {host_of(record.node) for record in records if record.node}
    if len(nodes) > 1 and machines:
        machines += f"; that is the driver's machine, say what the {len(nodes)} nodes are, too"
    yield Answer("hardware", machines or "say which machines the networks ran on", not machines)
    slots = _each_once(str(driver.slots or "") for driver in history.drivers)
    if slots:
        yield Answer("candidates at once", slots)


def _machine(machine: Mapping[str, Any]) -> str:
    if not machine:
        return ""
    gpus = Counter(machine.get("gpus") or ())
    told = [f"{machine['cpu']}, {machine['cores']} cores, {machine['memory'] / 2**30:.0f} GiB"]
    told += [f"{count} x {name}" for name, count in gpus.items()] or ["no GPU"]
    return ", ".join(told)


def _results(history: History) -> Iterator[Answer]:
    state = history.state
    finals = state.final_groups()
    if not finals:
        yield Answer("final training", "none: the best is told by one training in the search")
    for group in finals:
        values = "; ".join(
            f"{o.metric} {mean_and_spread([r.metrics[o.metric] for r in group])}"
            for o in state.objectives
        )
        count, epochs = _count(len(group), "training"), _count(group[0].epochs, "epoch")
        item = f"candidate {group[0].candidate.parents[0]}, trained again"
        yield Answer(item, f"{values} ({count} of {epochs}, from seeds of their own)")


def _beyond(history: History) -> Iterator[Answer]:
    seed = history.created.config.get("seed", 0)
    yield Answer(
        "several runs",
        f"this is one run, with seed {seed}; repeat it with others, and `phylon compare` them",
        is_missing=True,
    )
    yield Answer(
        "comparison with random search",
        "run the same study with `strategy: random`, and `phylon compare` them",
        is_missing=True,
    )
    yield Answer(
        "ablations", "say what each part of the method adds, by leaving it out", is_missing=True
    )
    yield Answer(
        "tuning of the search itself",
        "say how its own settings were chosen, on which data, and at what cost",
        is_missing=True,
    )


def _component(given: Mapping[str, Any] | str | None) -> str:
    """Say which component was chosen, and with what: ``random`` or ``bananas (pool 100)``."""
    if given is None or isinstance(given, str):
        return given or "the task's own"
    params = _pairs({name: value for name, value in given.items() if name != "name"})
    return f"{given.get('name')} ({params})" if params else str(given.get("name"))


def _pairs(values: Mapping[str, Any]) -> str:
    """Say ``epochs 8, batch size 64``, without what is not set."""
    told = ((name.replace("_", " "), value) for name, value in values.items())
    return ", ".join(
        f"{name} ({_pairs(value)})" if isinstance(value, Mapping) else f"{name} {value}"
        for name, value in told
        if value is not None
    )


def _each_once(told: Iterator[str]) -> str:
    """Join what drivers say: mostly all the same."""
    return "; later: ".join(dict.fromkeys(filter(None, told)))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
