"""Names as MLflow takes them: legal keys, one for each name, and what they stand for."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import final

MAX_KEY = 230
"""MLflow takes 250; the tag that tells what a key stands for has the key in its own name."""


@final
class KeyNames:
    """Gives each name a key that MLflow takes, and no two names the same one.

    Which one depends on the order in which names come, and on nothing else.

    >>> keys = KeyNames(reserved=["seconds"])
    >>> keys["f1 (macro)"], keys["loss"], keys["f1 [macro]"], keys["seconds"]
    ('f1 _macro_', 'loss', 'f1 _macro_-47acb973', 'seconds-59f006d6')
    >>> keys["f1 (macro)"]
    'f1 _macro_'
    >>> keys.changed["f1 _macro_"]
    'f1 (macro)'

    Args:
        reserved: Keys that no name may have.

    Attributes:
        changed: Names by the key that they have, for those that are not their own key.
    """

    def __init__(self, reserved: Iterable[str] = ()) -> None:
        self._keys: dict[str, str] = {}
        self._taken = set(reserved)
        self.changed: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        key = self._keys.get(name)
        return self._new(name) if key is None else key

    def of(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return values by key instead of by name."""
        return {self[name]: value for name, value in values.items()}

    def _new(self, name: str) -> str:
        key = legal_key(name)
        if key in self._taken:
            key = _marked(key, name)
        self._keys[name] = key
        self._taken.add(key)
        if key != name:
            self.changed[key] = name
        return key


def legal_key(name: str) -> str:
    """Return the name itself if MLflow takes it, else the nearest that it does.

    >>> legal_key("stages.0.width"), legal_key("f1 (macro)")
    ('stages.0.width', 'f1 _macro_')
    """
    key = re.sub(r"[^\w.\- :/]", "_", name)
    if posixpath.normpath(key) != key or key.startswith((".", "/")):
        key = "_" + key.replace("/", "_")
    return _marked(key, name) if len(key) > MAX_KEY else key


def _marked(key: str, name: str) -> str:
    return f"{key[: MAX_KEY - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def flatten(value: object, path: str = "") -> dict[str, object]:
    """Return nested JSON data as a flat dict of scalars by dotted path.

    >>> flatten({"budget": {"candidates": 30}, "objectives": [{"metric": "accuracy"}]})
    {'budget.candidates': 30, 'objectives.0.metric': 'accuracy'}
    """
    if isinstance(value, Mapping):
        items: Iterator[tuple[object, object]] = iter(value.items())
    elif isinstance(value, list | tuple):
        items = iter(enumerate(value))
    else:
        return {path: value}
    return {
        name: leaf
        for key, child in items
        for name, leaf in flatten(child, f"{path}.{key}" if path else str(key)).items()
    }
