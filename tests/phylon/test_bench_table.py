"""Tables of measured architectures: written, read, joined, and refused."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.tables import quality, synthetic_space, synthetic_table
from phylon.bench_proxies import read_proxies
from phylon.bench_table import BenchTable, write_table
from phylon.errors import ConfigurationError, SpaceError
from phylon.search import Architecture, Choice, Float, SearchSpace
from phylon.trainables.nasbench201 import from_string, nasbench201_space

CELLS = [
    "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|avg_pool_3x3~2|",
    "|nor_conv_1x1~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|avg_pool_3x3~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
]


def write(path: Path, architectures: list[Any], **columns: list[Any]) -> Path:
    pq.write_table(pa.table({"architecture": architectures, **columns}), path)
    return path


def test_what_is_written_is_read_with_its_space(tmp_path: Path) -> None:
    space = SearchSpace(width=Choice(8, 16), lr=Float(0.0, 1.0))
    architectures = [Architecture({"width": 8, "lr": 0.5}), Architecture({"width": 16, "lr": 1.0})]
    write_table(tmp_path / "t.parquet", space, architectures, {"y": [1, 2], "z": [0.5, -1.0]})
    table = BenchTable.read([tmp_path / "t.parquet"])
    assert table.notation.space == space
    assert table.architectures == architectures
    assert table.rows == {architectures[0]: 0, architectures[1]: 1}
    assert table.column("y").tolist() == [1.0, 2.0]
    assert table.column("z").tolist() == [0.5, -1.0]


def test_architectures_of_another_space_are_not_written(tmp_path: Path) -> None:
    space = SearchSpace(width=Choice(8, 16))
    with pytest.raises(SpaceError, match="`width` is 9"):
        write_table(tmp_path / "t.parquet", space, [Architecture({"width": 9})], {"y": [1]})
    assert not list(tmp_path.iterdir())


def test_cells_of_nasbench201_are_known_by_their_strings(tmp_path: Path) -> None:
    table = BenchTable.read([write(tmp_path / "t.parquet", CELLS, y=[1.0, 2.0, 3.0])])
    assert table.notation.space == nasbench201_space()
    assert table.architectures == [from_string(text) for text in CELLS]
    assert [table.notation.write(each) for each in table.architectures] == CELLS


def test_a_written_table_of_cells_holds_strings(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    write_table(file, nasbench201_space(), [from_string(CELLS[0])], {"y": [1.0]})
    assert pq.read_table(file)["architecture"].to_pylist() == CELLS[:1]
    assert BenchTable.read([file]).architectures == [from_string(CELLS[0])]


def test_cells_with_other_operations_and_nodes_are_inferred(tmp_path: Path) -> None:
    texts = [
        f"|{a}~0|+|{b}~0|{c}~1|" for a, b, c in itertools.product(("up", "down", "none"), repeat=3)
    ]
    table = BenchTable.read([write(tmp_path / "t.parquet", texts, y=list(range(27)))])
    assert table.notation.space.size == 27
    assert set(table.notation.space.enumerate()) == set(table.rows)


def test_tables_are_joined_by_architecture(tmp_path: Path) -> None:
    a = write(tmp_path / "a.parquet", CELLS, index=[0, 1, 2], y=[1.0, 2.0, 3.0])
    b = write(tmp_path / "b.parquet", CELLS[::-1], index=[2, 1, 0], z=[30.0, 20.0, 10.0])
    table = BenchTable.read([a, b])
    assert table.column("y").tolist() == [1.0, 2.0, 3.0]
    assert table.column("z").tolist() == [10.0, 20.0, 30.0]


def test_tables_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    a = write(tmp_path / "a.parquet", CELLS, y=[1.0, 2.0, 3.0])
    fewer = write(tmp_path / "fewer.parquet", CELLS[:1], z=[1.0])
    with pytest.raises(ConfigurationError, match=r"2 architectures .* \(rows 1, 2\), and 0 the"):
        BenchTable.read([a, fewer])
    other = write(tmp_path / "other.parquet", CELLS, y=[1.0, 2.5, 3.0])
    with pytest.raises(ConfigurationError, match=r"disagree about column `y` in 1 rows \(row 1\)"):
        BenchTable.read([a, other])


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([CELLS[0], CELLS[1], CELLS[0]], "the architecture of row 2 stands in row 0 already"),
        ([CELLS[0], "|conv~0|" + CELLS[1][16:], CELLS[2]], "row 1: .*'conv~0' at position 1; all"),
        ([CELLS[0], CELLS[1], CELLS[2][:-1]], "row 2: .*is not what comes into node 3"),
        ([CELLS[0], None], "row 1: the architecture is None, no text"),
        ([CELLS[0], CELLS[1], '{"cell": 3'], r"row 2: .*not valid JSON: .* at position \d+"),
        ([1, 2], "row 0: the architecture is 1, no text"),
        (['{"a": 1}', '{"a": 2}'], "does not tell its space"),
        ([], "has no rows"),
    ],
)
def test_bad_architectures_are_told_by_row(tmp_path: Path, texts: list[Any], message: str) -> None:
    file = write(tmp_path / "t.parquet", texts, y=list(range(len(texts))))
    with pytest.raises(ConfigurationError, match=message) as caught:
        BenchTable.read([file])
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_json_that_is_not_in_the_space_is_told_by_row(tmp_path: Path) -> None:
    file = write(tmp_path / "t.parquet", ['{"a":1}', '{"a":3}'], y=[0.0, 1.0])
    with pytest.raises(ConfigurationError, match=r"row 1: `a` is 3; allowed"):
        BenchTable.read([file], SearchSpace(a=Choice(1, 2)))


def test_bad_columns_are_refused_when_they_are_used(tmp_path: Path) -> None:
    numbers = [1.0, float("nan"), None]
    file = write(tmp_path / "t.parquet", CELLS, good=[1, 2, 3], bad=numbers, text=["a", "b", "c"])
    table = BenchTable.read([file])
    assert table.column("good").tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(ConfigurationError, match="column `bad` has no finite number in rows 1, 2"):
        table.column("bad")
    with pytest.raises(ConfigurationError, match="holds string, not numbers; numeric: bad, good"):
        table.column("text")
    with pytest.raises(ConfigurationError, match=r"did you mean `good`\? Known: bad, good, text"):
        table.column("godo")


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no table"):
        BenchTable.read([tmp_path / "none.parquet"])
    text = tmp_path / "text.parquet"
    text.write_text("architecture,y\n")
    with pytest.raises(ConfigurationError, match="is no Parquet file"):
        BenchTable.read([text])
    pq.write_table(pa.table({"arch": CELLS}), text)
    with pytest.raises(ConfigurationError, match="no column `architecture`; there are arch"):
        BenchTable.read([text])
    twins = pa.Table.from_arrays([pa.array(CELLS)] * 3, names=["architecture", "y", "y"])
    pq.write_table(twins, text)
    with pytest.raises(ConfigurationError, match="2 columns are named `y`"):
        BenchTable.read([text])
    metadata = {"phylon.space": json.dumps({"a": {"chioce": [1]}})}
    pq.write_table(pa.table({"architecture": CELLS}, metadata=metadata), text)
    with pytest.raises(ConfigurationError, match="did you mean `choice`"):
        BenchTable.read([text])


def test_proxies_of_cells_with_dead_edges_are_found(tmp_path: Path) -> None:
    # In the third cell only the edge from 0 to 3 is alive.
    live = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    dead = "|nor_conv_1x1~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    table = BenchTable.read([write(tmp_path / "t.parquet", [live, dead], y=[1.0, 2.0])])
    scores = {"synflow": [3.0], "nwot": [float("nan")], "jacov": [5.0]}
    proxies = read_proxies(write(tmp_path / "p.parquet", [live], **scores), table)
    assert [proxies[each]["jacov"] for each in table.architectures] == [5.0, 5.0]
    with pytest.raises(ConfigurationError, match="no proxies for 1 of the 2 architectures"):
        read_proxies(write(tmp_path / "q.parquet", [dead], **scores), table)


def test_the_synthetic_table_has_one_optimum_and_deceives(tmp_path: Path) -> None:
    synthetic_table(tmp_path / "a.parquet", groups=1)
    synthetic_table(tmp_path / "b.parquet", groups=1)
    table = BenchTable.read([tmp_path / "a.parquet"])
    assert (
        table.column("search").tolist()
        == BenchTable.read([tmp_path / "b.parquet"]).column("search").tolist()
    )
    assert len(table.texts) == 39 * 16
    true, search = table.column("true"), table.column("search")
    assert np.sort(true)[-2] < 100 == true.max()
    assert search.argmax() == true.argmax()
    best = table.architectures[int(true.argmax())]
    worse = best.nested
    for bit in ("bit0", "bit1", "bit2"):  # away from the optimum: first a step down, then up
        worse["group0"][bit] = 0
    one_wrong = best.nested
    one_wrong["group0"]["bit0"] = 0
    assert quality(Architecture(one_wrong)) < quality(Architecture(worse)) < 100
    assert synthetic_space(2).size == 9984
