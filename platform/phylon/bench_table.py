"""Tables of measured architectures: what `phylon bench` looks up instead of training.

A table is a Parquet file with a column `architecture`, of text as `Notation` reads it, and any
numeric columns. The schema's metadata may hold the search space as JSON under `phylon.space`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from phylon.bench_notation import Notation, infer_space
from phylon.errors import ConfigurationError, SpaceError, did_you_mean
from phylon.lineage import save
from phylon.search.architecture import Architecture
from phylon.search.space import SearchSpace

_ARCHITECTURE = "architecture"
_SPACE = b"phylon.space"
_SHOWN = 5


@final
class BenchTable:
    """Architectures of a space, and numbers of each; rows are counted from 0.

    Attributes:
        name: The files' names.
        notation: How architectures are written, and the space they are from.
        texts: The architecture of each row as the first file writes it.
        architectures: What these stand for.
        rows: The row of each architecture.
    """

    def __init__(
        self,
        name: str,
        notation: Notation,
        texts: Sequence[str],
        architectures: Sequence[Architecture],
        columns: Mapping[str, pa.ChunkedArray],
    ) -> None:
        self.name = name
        self.notation = notation
        self.texts = texts
        self.architectures = architectures
        self.rows = {architecture: row for row, architecture in enumerate(architectures)}
        self._columns = columns

    @classmethod
    def read(cls, paths: Sequence[Path], space: SearchSpace | None = None) -> BenchTable:
        """Read one table, or several of the same architectures as one.

        Args:
            paths: The files.
            space: Where the architectures are from; if None, what the first file stores, or else
                what its cells tell.

        Raises:
            ConfigurationError: A file is no such table, an architecture does not parse or stands
                there twice, or the tables do not fit together.
        """
        table = cls._read(paths[0], space)
        for path in paths[1:]:
            table = table._joined(cls._read(path, table.notation.space))
        return table

    def column(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers, shape ``(rows,)``.

        Raises:
            ConfigurationError: There is no such column, or it does not hold finite numbers only.
        """
        values = self.numbers(name)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise ConfigurationError(
                f"{self.name}: column `{name}` has no finite number in {_rows(bad.tolist())}; give "
                f"the table without these architectures"
            )
        return values

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column with NaN where it has no number; raises as `column` otherwise."""
        if name not in self._columns:
            hint = did_you_mean(name, self._columns)
            raise ConfigurationError(f"{self.name}: there is no column `{name}`; {hint}")
        column = self._columns[name]
        if not _is_numeric(column.type):
            numeric = (each for each, values in self._columns.items() if _is_numeric(values.type))
            raise ConfigurationError(
                f"{self.name}: column `{name}` holds {column.type}, not numbers; "
                f"numeric: {', '.join(sorted(numeric)) or 'none'}"
            )
        return _floats(column)

    @classmethod
    def _read(cls, path: Path, space: SearchSpace | None) -> BenchTable:
        data = _read_parquet(path)
        if _ARCHITECTURE not in data.column_names:
            names = ", ".join(data.column_names)
            raise ConfigurationError(
                f"{path}: there is no column `architecture`; there are {names}"
            )
        texts = data[_ARCHITECTURE].to_pylist()
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise ConfigurationError(
                    f"{path}, row {row}: the architecture is {text!r}, no text"
                )
        if not texts:
            raise ConfigurationError(f"{path} has no rows")
        notation = Notation(space or _stored_space(data, path) or infer_space(texts, str(path)))
        columns = {name: data[name] for name in data.column_names if name != _ARCHITECTURE}
        table = cls(str(path), notation, texts, _parsed(texts, notation, path), columns)
        table._refuse_duplicates()
        return table

    def _refuse_duplicates(self) -> None:
        if len(self.rows) == len(self.architectures):
            return
        seen: dict[Architecture, int] = {}
        pairs = [
            (seen.setdefault(architecture, row), row)
            for row, architecture in enumerate(self.architectures)
        ]
        again = [(first, row) for first, row in pairs if first != row]
        first, row = again[0]
        raise ConfigurationError(
            f"{self.name}: the architecture of row {row} stands in row {first} already, and "
            f"{len(again) - 1} more are doubled; keep one row of each"
        )

    def _joined(self, other: BenchTable) -> BenchTable:
        """Return this table with the columns of another one of the same architectures."""
        lost = [row for each, row in self.rows.items() if each not in other.rows]
        new = [row for each, row in other.rows.items() if each not in self.rows]
        if lost or new:
            raise ConfigurationError(
                f"{len(lost)} architectures of {self.name} are not in {other.name}"
                f"{f' ({_rows(lost)})' if lost else ''}, and {len(new)} the other way round"
                f"{f' ({_rows(new)})' if new else ''}; give tables of the same architectures"
            )
        order = pa.array([other.rows[architecture] for architecture in self.architectures])
        columns = {name: values.take(order) for name, values in other._columns.items()}
        for name in columns.keys() & self._columns.keys():
            self._refuse_clash(name, columns[name], other.name)
        joined = {**self._columns, **columns}
        name = f"{self.name} + {other.name}"
        return BenchTable(name, self.notation, self.texts, self.architectures, joined)

    def _refuse_clash(self, name: str, values: pa.ChunkedArray, other: str) -> None:
        mine = self._columns[name]
        if not _is_numeric(mine.type) or not _is_numeric(values.type):
            pairs = zip(mine.to_pylist(), values.to_pylist(), strict=True)
            clashes = [row for row, (a, b) in enumerate(pairs) if a != b]
        else:
            a, b = _floats(mine), _floats(values)
            clashes = np.flatnonzero((a != b) & ~(np.isnan(a) & np.isnan(b))).tolist()
        if clashes:
            raise ConfigurationError(
                f"{self.name} and {other} disagree about column `{name}` in {len(clashes)} rows "
                f"({_rows(clashes)}); rename or drop the column in one of them"
            )


def write_table(
    path: Path | str,
    space: SearchSpace,
    architectures: Sequence[Architecture],
    columns: Mapping[str, Sequence[float] | NDArray[Any]],
) -> None:
    """Write a table for `phylon bench`, with its space.

    Args:
        path: The file.
        space: Where the architectures are from.
        architectures: One per row.
        columns: Numbers by the name of the column, each of one per architecture.

    Raises:
        SpaceError: An architecture is not in the space.
        ConfigurationError: The file cannot be written there.
    """
    for architecture in architectures:
        space.validate(architecture)
    notation = Notation(space)
    texts = pa.array([notation.write(architecture) for architecture in architectures], pa.string())
    table = pa.table({_ARCHITECTURE: texts, **{k: pa.array(v) for k, v in columns.items()}})
    metadata = {_SPACE: json.dumps(space.to_json()).encode()}
    save(table.replace_schema_metadata(metadata), Path(path))


def _read_parquet(path: Path) -> pa.Table:
    if not path.is_file():
        raise ConfigurationError(f"there is no table {path}; check the name")
    try:
        data = pq.ParquetFile(path).read()
    except pa.ArrowInvalid as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"{path} is no Parquet file: {reason}") from None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from None
    for name, times in Counter(data.column_names).items():
        if times > 1:
            raise ConfigurationError(f"{path}: {times} columns are named `{name}`; rename them")
    return data


def _stored_space(data: pa.Table, path: Path) -> SearchSpace | None:
    text = (data.schema.metadata or {}).get(_SPACE)
    if text is None:
        return None
    try:
        return SearchSpace.from_json(json.loads(text))
    except (SpaceError, ValueError) as error:
        reason = f"the space stored under `{_SPACE.decode()}` cannot be read: {error}"
        raise ConfigurationError(f"{path}: {reason}") from None


def _parsed(texts: Sequence[str], notation: Notation, path: Path) -> list[Architecture]:
    architectures: list[Architecture] = []
    for row, text in enumerate(texts):
        try:
            architectures.append(notation.read(text))
        except SpaceError as error:
            raise ConfigurationError(f"{path}, row {row}: {error}") from None
    return architectures


def _is_numeric(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    numbers: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    return numbers


def _rows(rows: Sequence[int]) -> str:
    shown = ", ".join(map(str, rows[:_SHOWN]))
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more}"
