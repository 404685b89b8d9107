"""Classes that differ in nothing but sizes are written once, with the sizes as arguments."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

_SIZE = re.compile(r'(?<![\w."-])\d+(?![\w."])')
_MOST = 4  # arguments; with more it is easier to read each class by itself
_INIT = "def __init__(self):"


def merged(classes: Mapping[str, str], main: str) -> dict[str, str]:
    """Return as few classes as do the same.

    Args:
        classes: What follows the name of each class, by that name, inner ones first. They are made
            without arguments; a blank line stands between the constructor and the forward.
        main: The one that stays as it is, but for what it is made of.
    """
    left = dict(classes)
    while family := next(_families(left, main), None):
        left = _join(left, family)
    return left


def _families(classes: Mapping[str, str], main: str) -> Iterator[list[str]]:
    """Yield the names of classes that differ in sizes only."""
    kin: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, text in classes.items():
        if name != main:
            init, _, forward = text.partition("\n\n")
            kin[_SIZE.sub("#", init), forward].append(name)
    for names in kin.values():
        if len(names) > 1 and len(_arguments(classes, names)) <= _MOST:
            yield names


def _arguments(classes: Mapping[str, str], names: list[str]) -> dict[tuple[str, ...], str]:
    """Return the sizes that differ, one of each class, and what they are called."""
    rows = [_SIZE.findall(classes[name].partition("\n\n")[0]) for name in names]
    columns = dict.fromkeys(column for column in zip(*rows, strict=True) if len(set(column)) > 1)
    called = ["size"] if len(columns) == 1 else [f"size_{i + 1}" for i in range(len(columns))]
    return dict(zip(columns, called, strict=True))


def _join(classes: Mapping[str, str], names: list[str]) -> dict[str, str]:
    """Return the classes with one instead of these."""
    arguments = _arguments(classes, names)
    rows = [_SIZE.findall(classes[name].partition("\n\n")[0]) for name in names]
    columns = iter(zip(*rows, strict=True))
    init, blank, forward = classes[names[0]].partition("\n\n")
    init = _SIZE.sub(lambda found: arguments.get(next(columns), found[0]), init)
    init = init.replace(_INIT, f"def __init__(self, {', '.join(arguments.values())}):")
    joined = {**classes, names[0]: init + blank + forward}
    for index, name in enumerate(names):
        call = f"{names[0]}({', '.join(column[index] for column in arguments)})"
        for user, text in joined.items():
            joined[user] = re.sub(rf"(?<![\w.]){name}\(\)", call, text)
    return {name: text for name, text in joined.items() if name not in names[1:]}
