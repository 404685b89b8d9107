"""Architectures in words, for people."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from phylon.search.architecture import Architecture
from phylon.trainables.darts import wired_cell_of
from phylon.trainables.nasbench201 import cell_of

POOLINGS = {"max": "max pool", "avg": "average pool", "stride": "stride 2"}
STAGE = {"block", "depth", "width", "pooling"}


def describe(architecture: Architecture) -> str:
    """Return what a network is made of, in one line.

    Networks of the macro space are told stage by stage, others decision by decision, with cells in
    the notation of NAS-Bench-201:

    >>> describe(Architecture({"cells": 3, "rate": 0.00123, "op": {"type": "conv", "kernel": 3}}))
    'cells 3, op conv (kernel 3), rate 1.2e-3'
    """
    decisions = architecture.nested
    stages = decisions.get("stages")
    if not isinstance(stages, list) or not all(map(is_macro_stage, stages)) or not stages:
        return _block(decisions)
    rest = {name: value for name, value in decisions.items() if name != "stages"}
    told = "; ".join(map(_stage, stages))
    return f"{_count(len(stages), 'stage')}: {told}" + (f"; {_block(rest)}" if rest else "")


def is_macro_stage(stage: object) -> bool:
    """Whether a decision is a stage of the macro space."""
    return (
        isinstance(stage, Mapping)
        and stage.keys() == STAGE
        and isinstance(stage["block"], Mapping)
        and stage["block"].keys() == {"type", "kernel"}
        and stage["pooling"] in POOLINGS
    )


def _stage(stage: Mapping[str, Any]) -> str:
    """Say ``2 residual blocks of 32 channels, 3x3, max pool``."""
    kind, kernel = stage["block"]["type"], stage["block"]["kernel"]
    blocks = _count(stage["depth"], f"{kind} block")
    return f"{blocks} of {stage['width']} channels, {kernel}x{kernel}, {POOLINGS[stage['pooling']]}"


def _block(decisions: Mapping[str, Any]) -> str:
    return ", ".join(_decision(name, value) for name, value in decisions.items() if name != "type")


def _decision(name: str, value: object) -> str:
    name = name.replace("_", " ")
    if isinstance(value, list):
        return f"{_count(len(value), name)} ({'; '.join(_items(value))})" if value else f"no {name}"
    return f"{name} {spell(value)}"


def _items(values: list[object]) -> list[str]:
    """Spell the items of a repeat, equal neighbours once."""
    spelled = [(text, len(list(run))) for text, run in groupby(map(spell, values))]
    return [f"{count} times {text}" if count > 1 else text for text, count in spelled]


def spell(value: object) -> str:
    """Return a decision's value in words."""
    if isinstance(value, Mapping):
        if cell := cell_of(value) or wired_cell_of(value):
            return cell.write(dict(value))
        inner = _block(value)
        kind = value.get("type")
        return inner if kind is None else f"{kind} ({inner})" if inner else str(kind)
    if isinstance(value, list):
        return f"[{'; '.join(_items(value))}]"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    """Spell a float to two digits: ``0.25``, ``3.1e-3``."""
    if value and not 0.01 <= abs(value) < 1e4:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.2g}" if abs(value) < 1 else f"{value:.5g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun.removesuffix('s') if number == 1 else noun.removesuffix('s') + 's'}"
