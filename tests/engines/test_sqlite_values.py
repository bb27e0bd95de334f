"""What goes into SQLite comes back as it is, whatever stands in a column; and what it cannot hold is refused."""

from __future__ import annotations

import asyncio
import base64
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlwright.config import Settings
from sqlwright.engines.encode import float_text
from sqlwright.engines.sqlite.bind import bind
from sqlwright.engines.sqlite.encode import Encoder
from sqlwright.engines.sqlite.engine import SQLiteEngine
from sqlwright.errors import StatementFailed
from sqlwright.query import Column, Kind, SqlType

pytestmark = pytest.mark.reliability(44, 45, 46, 47, engine="sqlite")

MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
INT64 = st.integers(-(2**63), 2**63 - 1)
DECLARED = {
    "integer": "INTEGER", "numeric": "NUMERIC(20,4)", "real": "REAL", "bool": "BOOLEAN", "text": "TEXT", "blob": "BLOB",
    "date": "DATE", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMP WITH TIME ZONE", "json": "JSON", "none": "",
}  # fmt: skip
QUERIES = f"""
-- name: make#
CREATE TABLE kept (id INTEGER PRIMARY KEY, {", ".join(f'"{n}" {t}' for n, t in DECLARED.items())});
""" + "".join(
    f"""
-- name: put_{name} <!
INSERT INTO kept ("{name}") VALUES (:value) RETURNING id;
-- name: get_{name}$
SELECT "{name}" FROM kept WHERE id = :id;
-- name: has_{name}$
SELECT count(*) FROM kept WHERE id = :id AND "{name}" IN (:values);
"""
    for name in DECLARED
)


@dataclass
class Keep:
    """A database on disk with a loop of its own, because hypothesis calls plain functions."""

    bench: Any
    runner: asyncio.Runner

    def back(self, name: str, value: object, **parsing: Any) -> Any:
        """The value as its JSON says it after it was stored."""
        return self.runner.run(self._back(name, value, **parsing))

    async def _back(self, name: str, value: object, **parsing: Any) -> Any:
        key = (await self.bench.call(f"put_{name}", {"value": value}))["id"]
        _, result = await self.bench.result(f"get_{name}", {"id": key})
        return json.loads(result.json, **parsing)

    def has(self, name: str, value: object, values: list[object]) -> bool:
        async def ask() -> bool:
            key = (await self.bench.call(f"put_{name}", {"value": value}))["id"]
            return bool((await self.bench.call(f"has_{name}", {"id": key, "values": values}))["value"])

        return self.runner.run(ask())


@pytest.fixture(scope="module")
def keep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keep]:
    from workbench import Bench

    folder: Path = tmp_path_factory.mktemp("values")
    with asyncio.Runner() as runner:
        bench = Bench(f"sqlite:///{folder / 'kept.db'}", folder)
        runner.run(bench.database.open())
        bench.write({"kept.sql": QUERIES})
        runner.run(bench.call("make"))
        yield Keep(bench, runner)
        runner.run(bench.database.close())


@MANY
@given(INT64)
def test_integers(keep: Keep, value: int) -> None:
    assert keep.back("integer", value) == value
    assert keep.has("integer", value, [value])


@MANY
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats(keep: Keep, value: float) -> None:
    found = keep.back("real", Decimal(repr(value)))
    assert float(found) == value
    assert keep.has("real", Decimal(repr(value)), [Decimal(repr(value))])


@MANY
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_texts(keep: Keep, value: str) -> None:
    assert keep.back("text", value) == value
    if "\0" not in value:
        assert keep.has("text", value, ["x", value])


@MANY
@given(st.binary())
def test_bytes(keep: Keep, value: bytes) -> None:
    assert keep.back("blob", base64.b64encode(value).decode()) == base64.b64encode(value).decode()


@MANY
@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**10), max_value=10**10))
def test_decimals(keep: Keep, value: Decimal) -> None:
    found = keep.back("numeric", value, parse_float=Decimal, parse_int=Decimal)
    assert found == value
    assert found.as_tuple().exponent <= -4  # padded with zeros to the declared scale
    assert keep.has("numeric", value, [value])


@MANY
@given(st.datetimes())
def test_moments(keep: Keep, value: datetime) -> None:
    assert datetime.fromisoformat(keep.back("timestamp", value.isoformat())) == value
    assert keep.back("date", value.date().isoformat()) == value.date().isoformat()
    assert keep.has("timestamp", value.isoformat(" "), [value.isoformat("T")])


@MANY
@given(
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),
    st.integers(-15 * 60, 15 * 60),
)
def test_moments_with_an_offset(keep: Keep, value: datetime, minutes: int) -> None:
    sign = "-" if minutes < 0 else "+"
    text = f"{value.isoformat()}{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    found = datetime.fromisoformat(keep.back("timestamptz", text))
    assert found == (value - timedelta(minutes=minutes)).replace(tzinfo=UTC)
    assert found.utcoffset() == timedelta(0)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | INT64 | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=8,
)


@MANY
@given(JSON_VALUES.filter(lambda value: value is not None))
def test_json(keep: Keep, value: Any) -> None:
    # A JSON column has numeric affinity: the text of a number becomes the number, which is the same JSON.
    assert keep.back("json", value) == value


def test_json_keeps_its_digits_and_loses_its_line_breaks() -> None:
    encoder = Encoder([Column("doc", SqlType("json", Kind.JSON))])
    text = '{"a": 123456789012345678901234567890.10,\r\n "b": "x\\ny"}'
    assert encoder.rows([(text,)]) == b'{"doc":{"a": 123456789012345678901234567890.10, "b": "x\\ny"}}'
    assert encoder.rows([("{not json",)]) == b'{"doc":"{not json"}'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"), (-0.0, "-0"), (0.1 + 0.2, "0.30000000000000004"), (1e-4, "0.0001"), (1e-5, "1e-05"),
        (1e-7, "1e-07"), (123456789012345.0, "123456789012345"), (1e14, "100000000000000"), (1e15, "1e+15"),
        (1234567890123456.0, "1.234567890123456e+15"), (-1000000000000001.5, "-1.0000000000000015e+15"),
        (1e16, "1e+16"),
        (1e20, "1e+20"), (1.7976931348623157e308, "1.7976931348623157e+308"), (5e-324, "5e-324"),
    ],
)  # fmt: skip
def test_floats_are_written_as_postgresql_does(value: float, text: str) -> None:
    assert float_text(value) == text
    assert float(text) == value


SURPRISES = [
    0,
    1,
    2,
    -5,
    2**63 - 1,
    1.5,
    2.0,
    1e300,
    math.inf,
    -math.inf,
    "",
    "text",
    "2026-01-31 10:00:00",
    b"\xff",
    None,
]


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("as_text", [False, True])
def test_any_value_can_stand_in_any_column(kind: Kind, as_text: bool) -> None:
    encoder = Encoder(
        [Column("a", SqlType("bigint", kind, scale=2)), Column("b")],
        big_numbers_as_text=as_text,
    )
    rows = [(value, value) for value in SURPRISES]
    written = json.loads(b"[" + encoder.rows(rows) + b"]", parse_constant=pytest.fail)
    assert [row["b"] for row in written] == [
        0, 1, 2, -5, 2**63 - 1, 1.5, 2, 1e300, "Infinity", "-Infinity", "", "text", "2026-01-31 10:00:00", "/w==", None,
    ]  # fmt: skip
    digits = json.loads(b"[" + encoder.rows(rows) + b"]", parse_float=Decimal, parse_int=Decimal)
    for value, row, exact in zip(SURPRISES, written, digits, strict=True):
        assert json.loads(encoder.value((value, value))) == row["a"]
        if isinstance(value, int | float) and abs(value) != math.inf and kind is not Kind.BOOL:
            assert Decimal(exact["a"]) == Decimal(repr(value))


@pytest.mark.parametrize(
    ("type", "value", "text"),
    [
        (SqlType("boolean", Kind.BOOL), 1, b"true"),
        (SqlType("boolean", Kind.BOOL), 2, b"2"),
        (SqlType("numeric(10,2)", Kind.NUMERIC, scale=2), 5, b"5.00"),
        (SqlType("numeric(10,2)", Kind.NUMERIC, scale=2), 12.5, b"12.50"),
        (SqlType("numeric(10,2)", Kind.NUMERIC, scale=2), 0.125, b"0.125"),
        (SqlType("numeric(10,2)", Kind.NUMERIC, scale=2), 1e-7, b"0.0000001"),
        (SqlType("numeric", Kind.NUMERIC), 5.0, b"5"),
        (SqlType("numeric", Kind.NUMERIC), 1e22, b"10000000000000000000000"),
        (SqlType("timestamp", Kind.TIMESTAMP), "2026-01-31 10:00:00", b'"2026-01-31T10:00:00"'),
        (SqlType("timestamp", Kind.TIMESTAMP), "2026-01-31", b'"2026-01-31"'),
        (SqlType("timestamp", Kind.TIMESTAMP), "soon 10:00:00", b'"soon 10:00:00"'),
        (SqlType("timestamptz", Kind.TIMESTAMPTZ), "2026-01-31 10:00:00.5", b'"2026-01-31T10:00:00.5+00:00"'),
        (SqlType("timestamptz", Kind.TIMESTAMPTZ), "2026-01-31 10:00:00+02", b'"2026-01-31T10:00:00+02"'),
        (SqlType("date", Kind.DATE), "2026-01-31 10:00:00", b'"2026-01-31T10:00:00"'),
    ],
)  # fmt: skip
def test_declared_types_shape_what_is_written(type: SqlType, value: Any, text: bytes) -> None:
    assert Encoder([Column("a", type)]).value((value,)) == text


async def test_big_numbers_as_strings(open_bench: Any, sqlite_url: str) -> None:
    query = "-- name: big^\nSELECT id, many, price, few FROM t;"
    bench = await open_bench(sqlite_url, {"make.sql": "-- name: make#\nCREATE TABLE t (id INTEGER PRIMARY KEY, "
        "many BIGINT, price NUMERIC(10,2), few INTEGER); INSERT INTO t VALUES (1, 9007199254740993, 1.5, 3);"},
        big_numbers="string")  # fmt: skip
    await bench.call("make")
    bench.write({"big.sql": query})
    assert await bench.call("big") == {"id": 1, "many": "9007199254740993", "price": "1.50", "few": 3}


async def test_text_that_is_not_utf8(open_bench: Any, sqlite_url: str) -> None:
    bench = await open_bench(sqlite_url, {"bad.sql": "-- name: bad$\nSELECT CAST(x'ff' AS TEXT);"})
    with pytest.raises(StatementFailed, match="not valid UTF-8"):
        await bench.call("bad")
    await bench.assert_whole()


ANY = SqlType("", Kind.ANY)


@pytest.mark.parametrize(
    "value",
    [2**63, -(2**63) - 1, math.nan, Decimal("NaN"), Decimal("0.1234567890123456789"), Decimal(2**64), Decimal("1e999"),
     Decimal("1e-999"), Decimal("12345678901234567.5"), [b"x"], ["a\0b"]],
    ids=repr,
)  # fmt: skip
def test_what_cannot_be_kept_exactly_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="SQLite"):
        bind(ANY, value)


@pytest.mark.parametrize(
    ("value", "bound"),
    [
        (True, 1), (Decimal("5.00"), 5), (Decimal("0.1"), 0.1), (Decimal("1e18"), 10**18), (Decimal("-0"), 0),
        (Decimal("1e22"), 1e22), (Decimal("Infinity"), math.inf), (b"x", b"x"), (None, None), ([], "[]"),
        ([1, Decimal("0.5"), "é\"", None, True, -math.inf], '[1,0.5,"é\\"",null,1,-9e999]'),
    ],
)  # fmt: skip
def test_bound_values(value: Any, bound: Any) -> None:
    found = bind(ANY, value)
    assert (type(found), found) == (type(bound), bound)


@pytest.mark.parametrize(
    ("kind", "text", "bound"),
    [
        (Kind.TIMESTAMP, "2026-01-31T10:00:00", "2026-01-31 10:00:00"),
        (Kind.TIMESTAMP, "2026-01-31 10:00", "2026-01-31 10:00:00"),
        (Kind.TIMESTAMP, "2026-01-31", "2026-01-31 00:00:00"),
        (Kind.TIMESTAMP, "2026-01-31T10:00:00.500", "2026-01-31 10:00:00.5"),
        (Kind.TIMESTAMP, "infinity", "infinity"),
        (Kind.TIMESTAMPTZ, "2026-01-31T10:00:00Z", "2026-01-31 10:00:00"),
        (Kind.TIMESTAMPTZ, "2026-01-01T01:30:00.25+05:30", "2025-12-31 20:00:00.25"),
        (Kind.TIMESTAMPTZ, "2026-01-01T01:30:00-0530", "2026-01-01 07:00:00"),
        (Kind.DATE, "2026-01-31", "2026-01-31"),
    ],
)  # fmt: skip
def test_moments_are_bound_in_the_form_of_current_timestamp(kind: Kind, text: str, bound: str) -> None:
    assert bind(SqlType("", kind), text) == bound


def test_the_engine_binds_by_the_parameters_type() -> None:
    engine = SQLiteEngine(Settings(database_url="sqlite:///x.db"))
    from sqlwright.query import Parameter

    bound: Callable[..., Any] = engine.bind
    assert bound(Parameter("a"), SqlType("timestamp", Kind.TIMESTAMP), "2026-01-31T10:00:00") == "2026-01-31 10:00:00"
