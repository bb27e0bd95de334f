"""What comes back from PostgreSQL is what was stored: every built-in type, in the documented form."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from postgres_client import VALUE, WRITE, Client, make_query
from sqlwright.engines.postgres.types import array_literal
from sqlwright.query import Kind, Parameter, SqlType

pytestmark = pytest.mark.reliability(44, 45, 46, 47, engine="postgresql")

EchoOf = Callable[[str, Any], Any]


@pytest.fixture
def echo(postgresql_url: str) -> Iterator[EchoOf]:
    """`echo(type, value)`: the value goes in as a parameter of that type and comes back as JSON."""
    client = Client(postgresql_url)
    ready: dict[str, Any] = {}

    async def call(type: str, value: Any) -> Any:
        if type not in ready:
            query = make_query(f"SELECT :x::{type} AS x", VALUE)
            description = await client.describe(query)
            ready[type] = description.types["x"], client.engine.compile(query, description)
        told, program = ready[type]
        bound = client.engine.bind(Parameter("x"), told, value)
        async with client.database.lease(WRITE) as lease:
            result = await client.engine.run(lease, program, [bound], window=None, timeout_seconds=5)
        return json.loads(result.json, parse_float=Decimal, parse_int=Decimal)

    with asyncio.Runner() as runner:
        runner.run(client.database.open())
        yield lambda type, value: runner.run(call(type, value))
        runner.run(client.database.close())


bounded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@bounded
@given(st.integers(-(2**63), 2**63 - 1))
@example(-(2**63))
@example(2**63 - 1)
def test_integers(echo: EchoOf, value: int) -> None:
    assert echo("int8", value) == value
    assert echo("int8[]", [value, None, 0]) == [value, None, 0]
    assert echo("numeric", Decimal(value)) == value


@bounded
@given(st.decimals(allow_nan=False, allow_infinity=False, places=20))
@example(Decimal("0.1000"))
@example(Decimal("1E+400"))
@example(Decimal("-1.5E-300"))
def test_numerics_digit_for_digit(echo: EchoOf, value: Decimal) -> None:
    assert echo("numeric", value) == value
    assert echo("numeric[]", [value, None]) == [value, None]


def test_numerics_keep_their_scale(echo: EchoOf) -> None:
    assert str(echo("numeric", Decimal("1.10"))) == "1.10"
    assert str(echo("numeric(12,4)", Decimal(3))) == "3.0000"


@bounded
@given(st.floats())
@example(5e-324)
@example(1.7976931348623157e308)
@example(-0.0)
def test_floats(echo: EchoOf, value: float) -> None:
    got = echo("float8", value)
    if math.isnan(value):
        assert got == "NaN"
    elif math.isinf(value):
        assert got == ("Infinity" if value > 0 else "-Infinity")
    else:
        assert struct.pack("d", float(got)) == struct.pack("d", value)


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_comes_back_as_its_word(echo: EchoOf, word: str) -> None:
    assert echo("numeric", Decimal(word)) == word
    assert echo("float4", float(word)) == word
    assert echo("float8[]", [float(word), None]) == [word, None]


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@bounded
@given(TEXTS)
@example("\r\n\t\\\"'\u2028{}[],NULL")
@example("e\u0301 \U0001f388 \U0010ffff \ufffe")
@example("NULL")
def test_text_in_every_plane(echo: EchoOf, value: str) -> None:
    assert echo("text", value) == value
    assert echo("varchar[]", [value, None]) == [value, None]
    assert echo("jsonb", json.dumps({"a": value})) == {"a": value}


@bounded
@given(st.lists(st.none() | TEXTS, min_size=1))
def test_array_literals(echo: EchoOf, items: list[str | None]) -> None:
    # As `OTHER` types travel; text shows that every character survives the quoting.
    assert echo("text::text[]", array_literal(items)) == items


@bounded
@given(st.binary())
@example(bytes(range(256)) * 3)
def test_bytes(echo: EchoOf, value: bytes) -> None:
    form = base64.b64encode(value).decode()
    assert echo("bytea", value) == form
    assert echo("bytea[]", [value, None]) == [form, None]


def test_empty_and_null_arrays_of_bytes(echo: EchoOf) -> None:
    assert echo("bytea[]", []) == []
    assert echo("bytea[]", None) is None


@pytest.mark.parametrize(
    ("type", "value", "comes"),
    [
        ("date", "infinity", "infinity"),
        ("date", "0044-03-15 BC", "0044-03-15 BC"),
        ("date", "10000-01-01", "10000-01-01"),
        ("time", "24:00", "24:00:00"),
        ("time", "23:59:59.999999", "23:59:59.999999"),
        ("timetz", "12:00:00+05:30", "12:00:00+05:30"),
        ("timestamp", "2026-03-29T02:30:00", "2026-03-29T02:30:00"),
        ("timestamp", "-infinity", "-infinity"),
        ("timestamp", "0001-01-01 00:00:00 BC", "0001-01-01T00:00:00 BC"),
        ("timestamptz", "2026-10-25T02:30:00+02:00", "2026-10-25T00:30:00+00:00"),
        ("timestamptz", "294276-12-31T23:59:59.999999+00", "294276-12-31T23:59:59.999999+00:00"),
        ("timestamptz", "infinity", "infinity"),
        ("timestamptz[]", ["infinity", None], ["infinity", None]),
        ("interval", "1 year 2 mons -3 days 04:05:06.789", "1 year 2 mons -3 days +04:05:06.789"),
        ("interval", "178000000 years", "178000000 years"),
        ("uuid", "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000a"),
        ("uuid[]", [None, "00000000-0000-0000-0000-00000000000a"], [None, "00000000-0000-0000-0000-00000000000a"]),
        ("bool", False, False),
        ("bool[]", [True, None], [True, None]),
        ("int2", -32768, -32768),
        ("bpchar", "a  ", "a  "),
        ("char(3)", "a", "a  "),
        ('"char"', "a", "a"),
        ("name", "n", "n"),
        ("inet", "10.0.0.1/8", "10.0.0.1/8"),
        ("cidr", "2001:db8::/32", "2001:db8::/32"),
        ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
        ("int4range", "[1,5)", "[1,5)"),
        ("int4multirange", "{[1,3),[5,8)}", "{[1,3),[5,8)}"),
        ("bit(3)", "101", "101"),
        ("varbit", "1011", "1011"),
        ("money", "12.50", "$12.50"),
        ("point", "(1,2)", "(1,2)"),
        ("box[]", ["(1,1),(0,0)", "(2,2),(1,1)"], ["(1,1),(0,0)", "(2,2),(1,1)"]),
        ("tsvector", "'a' 'b'", "'a' 'b'"),
        ("pg_lsn", "16/B374D848", "16/B374D848"),
        ("oid", "42", "42"),
        ("regclass", "pg_class", "pg_class"),
        ("json", '{"a": 1.10,\r\n "b": "x\\ny"}', {"a": Decimal("1.10"), "b": "x\ny"}),
        ("json", '"scalar"', "scalar"),
        ("jsonb", "12345678901234567890.10", Decimal("12345678901234567890.10")),
        ("jsonb", "null", None),
        ("jsonb[]", ['{"a":"\\"}"}', None], [{"a": '"}'}, None]),
        ("json[]", ["[1,\n2]"], [[1, 2]]),
        ("int4[]", [[1, 2], [3, None]], [[1, 2], [3, None]]),
        ("date[]", [["infinity"], [None]], [["infinity"], [None]]),
        ("text", None, None),
        ("date", None, None),
    ],
)
def test_forms(echo: EchoOf, type: str, value: Any, comes: Any) -> None:
    got = echo(type, value)
    assert got == comes or str(got) == comes


async def test_json_columns_lose_only_their_line_breaks(postgresql_url: str) -> None:
    client = Client(postgresql_url)
    await client.database.open()
    query = make_query('SELECT E\'{"a" :\\n 1.0,\\r\\n"b":"x\\\\ny"}\'::json AS j', VALUE)
    assert (await client.result(query)).json == b'{"a" :  1.0,  "b":"x\\ny"}'
    await client.database.close()


def test_what_the_database_cannot_hold_is_refused_before_it_is_sent() -> None:
    bind = Client("postgresql://localhost/x").engine.bind
    for kind in (Kind.TEXT, Kind.OTHER):
        with pytest.raises(ValueError, match=r"U\+0000"):
            bind(Parameter("x"), SqlType("text", kind), "a\0b")
        with pytest.raises(ValueError, match=r"U\+0000"):
            bind(Parameter("x"), SqlType("text", kind, array=True), ["a", "a\0b"])
