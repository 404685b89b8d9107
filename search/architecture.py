"""The genotype: an immutable value that says which network to build, whatever the space."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, final

from phylon.search.errors import SpaceError

_encode = json.JSONEncoder(separators=(",", ":")).encode  # with `_decode`, half of all time here
_decode = json.JSONDecoder().raw_decode

_PLAIN = (str, int, type(None))

Scalar: TypeAlias = str | int | float | bool | None
Path: TypeAlias = tuple[str | int, ...]


def dotted(path: Path) -> str:
    """Return a path as people write it: ``stages.0.width``."""
    return ".".join(map(str, path))


@final
class Architecture(Mapping[str, Any]):
    """An immutable tree of decisions, equal to and hashed like its canonical JSON text.

    Made of plain data: a block is a mapping from identifiers (``count`` is reserved) to values, a
    repeat is a list, a decision is a string, number, boolean or None. Reading gives blocks back as
    `Architecture` and repeats as tuples, so the value can be indexed, unpacked and matched:

    >>> net = Architecture({"lr": 0.1, "stages": [{"width": 8}, {"width": 16}]})
    >>> net["stages"][1]["width"]
    16
    >>> net.flat
    {'lr': 0.1, 'stages.count': 2, 'stages.0.width': 8, 'stages.1.width': 16}
    >>> Architecture.from_flat(net.flat) == net
    True
    >>> str(net)
    'lr=0.1 stages=[(width=8), (width=16)]'

    The order in which decisions are written does not matter; 1, 1.0 and True are three values.

    Raises:
        SpaceError: The data is no such tree.
    """

    # The JSON text is all that is kept: a study may hold 100,000 of these.
    __slots__ = ("_text",)

    def __init__(self, decisions: Mapping[str, Any]) -> None:
        if not isinstance(decisions, Mapping):
            raise SpaceError(f"an architecture is made of named decisions, not {decisions!r}")
        self._text = _encode(_canonical_block(decisions, ()))

    @property
    def nested(self) -> dict[str, Any]:
        """The tree as a fresh plain dict, ready for JSON."""
        tree: dict[str, Any] = _decode(self._text)[0]
        return tree

    @property
    def flat(self) -> dict[str, Scalar]:
        """Decisions by dotted path; a repeat adds its length as ``<path>.count``."""
        return {dotted(path): value for path, value in _leaves(self.nested, ())}

    @classmethod
    def from_flat(cls, flat: Mapping[str, Scalar]) -> Architecture:
        """Undo `flat`.

        Raises:
            SpaceError: Paths contradict each other, or items of a repeat do not match its count.
        """
        tree: dict[str, Any] = {}
        for name, value in flat.items():
            *parents, last = name.split(".")
            block = tree
            for parent in parents:
                block = block.setdefault(parent, {})
                if not isinstance(block, dict):
                    raise SpaceError(f"`{name}` lies below `{parent}`, which is a value; drop one")
            if last in block:
                raise SpaceError(f"`{name}` is both a value and a block; drop one")
            block[last] = value
        return cls({name: _gather(value, (name,)) for name, value in tree.items()})

    @property
    def key(self) -> str:
        """16 hexadecimal digits that are the same in every process for equal architectures."""
        return hashlib.sha256(self._text.encode()).hexdigest()[:16]

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - decisions are of many types
        return _readable(self.nested[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self.nested)

    def __len__(self) -> int:
        return len(self.nested)

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Architecture) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Architecture({self.nested!r})"

    def __str__(self) -> str:
        return " ".join(f"{name}={_words(value)}" for name, value in self.nested.items())


def _canonical(value: object, path: Path) -> object:
    """Return `value` as plain data with one spelling per meaning, or raise `SpaceError`."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return float(value) + 0.0  # turns -0.0 into 0.0
    if isinstance(value, list | tuple):
        return [_canonical(item, (*path, index)) for index, item in enumerate(value)]
    if isinstance(value, (dict, Mapping)) and value:
        return _canonical_block(value, path)
    raise SpaceError(
        f"`{dotted(path)}` is {value!r} ({type(value).__name__}); an architecture holds strings, "
        "integers, finite floats, booleans, None, lists, and blocks that are not empty"
    )


def _canonical_block(block: Mapping[str, Any], path: Path) -> dict[str, object]:
    if isinstance(block, Architecture):
        return block.nested
    for name in block:
        if not isinstance(name, str) or not name.isidentifier() or name == "count":
            raise SpaceError(
                f"`{dotted((*path, name))}`: {name!r} cannot name a decision; allowed are "
                "identifiers other than `count`"
            )
    names = sorted(block)
    if "type" in block:
        names.remove("type")
        names.insert(0, "type")
    return {name: _canonical(block[name], (*path, name)) for name in names}


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Scalar]]:  # noqa: ANN401
    if isinstance(value, dict):
        for name, child in value.items():
            yield from _leaves(child, (*path, name))
    elif isinstance(value, list):
        yield (*path, "count"), len(value)
        for index, child in enumerate(value):
            yield from _leaves(child, (*path, index))
    else:
        yield path, value


def _gather(value: object, path: Path) -> object:
    """Turn every ``{"count": 2, "0": ..., "1": ...}`` below `value` into a list."""
    if not isinstance(value, dict):
        return value
    if "count" not in value:
        return {name: _gather(child, (*path, name)) for name, child in value.items()}
    items = {name: child for name, child in value.items() if name != "count"}
    if set(items) != set(map(str, range(len(items)))) or value["count"] != len(items):
        raise SpaceError(
            f"`{dotted(path)}.count` is {value['count']!r} but the items given are "
            f"{', '.join(items) or 'none'}; number them from 0 to count - 1"
        )
    return [_gather(items[str(index)], (*path, index)) for index in range(len(items))]


def _readable(value: object) -> object:
    """Return parsed JSON data as immutable values."""
    if isinstance(value, dict):
        return Architecture(value)
    return tuple(map(_readable, value)) if isinstance(value, list) else value


def _words(value: object) -> str:
    """Spell a value briefly, for reading: numbers to four digits, a branch as ``name(...)``."""
    if isinstance(value, dict):
        inner = ", ".join(f"{name}={_words(v)}" for name, v in value.items() if name != "type")
        return f"{value['type']}({inner})".removesuffix("()") if "type" in value else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(map(_words, value))}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
