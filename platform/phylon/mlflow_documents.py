"""A study in files that people read: the study file, and its search space in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from phylon import events
from phylon.config import StudyConfig
from phylon.errors import ConfigurationError, SpaceError
from phylon.mlflow_trouble import public
from phylon.search.blocks import Block
from phylon.search.graph import Graph
from phylon.search.node import Node
from phylon.search.space import SearchSpace

_COMPONENTS = ("task", "space", "strategy", "initial")


def study_file(created: events.Created) -> str:
    """Return a study file as a person would write it: what it leaves out is the default.

    So does it the password of the tracking URI. The configuration of another version of phylon,
    that this one does not understand, is written out whole.
    """
    told = shareable(created.config)
    try:
        config = StudyConfig.from_json(told)
    except ConfigurationError:
        return _yaml(told)
    whole = config.to_json()
    said = config.model_dump(mode="json", exclude_defaults=True)
    said["objectives"] = whole["objectives"]  # a direction is always said
    for name in _COMPONENTS:
        if name in said and said[name].keys() == {"name"}:
            said[name] = said[name]["name"]
    return _yaml(said)


def shareable(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as others may see it: without the password of the tracking URI."""
    tracking = dict(config.get("tracking") or {})
    if tracking.get("uri"):
        tracking["uri"] = public(tracking["uri"])
    return {**config, "tracking": tracking} if tracking else dict(config)


def _yaml(data: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=100)


def space_in_words(created: events.Created) -> str:
    """Return a search space as an indented tree with a line for each decision, or cell.

    That of another version of phylon, which this one does not understand, is written as it is.
    """
    try:
        space = SearchSpace.from_json(created.space)
    except SpaceError:
        return _yaml(created.space)
    size = f"{space.size:,}" if isinstance(space.size, int) else "infinitely many"
    lines = [f"{size} architectures, {space.width} decisions at most", ""]
    return "\n".join([*lines, *_lines(space.root, "")]) + "\n"


def _lines(node: Node[Any], indent: str) -> Iterator[str]:
    for name, child in node.children.items():
        label = "each" if name == "*" else name
        yield f"{indent}{label}:" + ("" if isinstance(child, Block) else f" {child}")
        if not isinstance(child, Graph):
            yield from _lines(child, f"{indent}  ")
