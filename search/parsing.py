"""Reading search spaces from plain JSON or YAML data.

A node is a mapping with one key that names it::

    width: {integer: {low: 8, high: 64, step: 8}}
    lr: {float: {low: 0.0001, high: 0.1, log: true}}
    dropout: {float: {low: 0, high: 0.4, levels: 5}}
    act: {choice: [relu, gelu]}
    block: {choice: {plain: {}, residual: {kernel: {choice: [3, 5]}}}}
    cell: {cell: {nodes: 4, operations: [none, skip_connect, conv]}}
    normal: {wired_cell: {nodes: 4, operations: [skip_connect, conv]}}
    stages: {repeat: {item: {block: {width: {choice: [16, 32]}}}, low: 1, high: 3}}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from phylon.search.errors import SpaceError, did_you_mean
from phylon.search.node import Node
from phylon.search.nodes import Block, Cell, Choice, Float, Graph, Integer, Repeat, WiredCell

N = TypeVar("N")
G = TypeVar("G", bound=Graph)


def parse_block(data: object, path: str) -> Block:
    """Return the block that a mapping of names to nodes describes.

    Args:
        data: Decoded JSON or YAML.
        path: Where it stands, for messages.

    Raises:
        SpaceError: Something is no node; the message begins with its place.
    """
    nodes = {name: parse(child, f"{path}.{name}") for name, child in _mapping(data, path).items()}
    return _build(Block, path, (), nodes)


def parse(data: object, path: str) -> Node[Any]:
    """Return the node that `data` describes; raises as `parse_block`."""
    node = _mapping(data, path)
    if len(node) != 1:
        raise SpaceError(
            f"`{path}` has the keys {list(node)}; allowed: one, of {', '.join(_READERS)}"
        )
    ((kind, content),) = node.items()
    if kind not in _READERS:
        raise SpaceError(f"`{path}`: unknown node `{kind}`; {did_you_mean(kind, _READERS)}")
    return _READERS[kind](content, path)


def _integer(content: object, path: str) -> Integer:
    return _build(Integer, path, (), _fields(content, path, ("low", "high"), ("step", "log")))


def _float(content: object, path: str) -> Float:
    return _build(Float, path, (), _fields(content, path, ("low", "high"), ("log", "levels")))


def _choice(content: object, path: str) -> Choice:
    if isinstance(content, list | tuple):
        return _build(Choice, path, content, {})
    branches = _mapping(content, path, "a list of constants or a mapping of branches")
    blocks = {name: parse_block(block, f"{path}.{name}") for name, block in branches.items()}
    return _build(Choice, path, (), blocks)


def _repeat(content: object, path: str) -> Repeat:
    fields = _fields(content, path, ("item", "low", "high"), ())
    return _build(Repeat, path, (), {**fields, "item": parse(fields["item"], f"{path}.*")})


def _cell(content: object, path: str) -> Cell:
    return _graph(Cell, content, path, ("zero", "identity", "distinct"))


def _wired_cell(content: object, path: str) -> WiredCell:
    return _graph(WiredCell, content, path, ("distinct",))


def _graph(kind: type[G], content: object, path: str, optional: tuple[str, ...]) -> G:
    fields = _fields(content, path, ("nodes", "operations"), optional)
    if not isinstance(fields["operations"], list | tuple):
        raise SpaceError(f"`{path}.operations` is {fields['operations']!r}; allowed: a list")
    return _build(kind, path, (), fields)


_READERS: Mapping[str, Callable[[object, str], Node[Any]]] = {
    "block": parse_block,
    "cell": _cell,
    "choice": _choice,
    "float": _float,
    "integer": _integer,
    "repeat": _repeat,
    "wired_cell": _wired_cell,
}


def _build(kind: Callable[..., N], path: str, args: Sequence[Any], fields: Mapping[str, Any]) -> N:
    try:
        return kind(*args, **fields)
    except SpaceError as error:
        raise SpaceError(f"`{path}`: {error}") from None


def _mapping(data: object, path: str, allowed: str = "a mapping") -> Mapping[str, Any]:
    if not isinstance(data, Mapping) or not all(isinstance(name, str) for name in data):
        raise SpaceError(f"`{path}` is {data!r}; allowed: {allowed} with text for keys")
    return data


def _fields(
    content: object, path: str, needed: tuple[str, ...], optional: tuple[str, ...]
) -> Mapping[str, Any]:
    fields = _mapping(content, path, f"a mapping of {', '.join(needed + optional)}")
    for name in fields:
        if name not in needed + optional:
            raise SpaceError(
                f"`{path}`: unknown key `{name}`; {did_you_mean(name, needed + optional)}"
            )
    for name in needed:
        if name not in fields:
            raise SpaceError(f"`{path}`: `{name}` is missing; needed: {', '.join(needed)}")
    return fields
