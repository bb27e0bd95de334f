"""Tables as only PostgreSQL has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from sqlwright.body import render_body
from sqlwright.crud import Tables, perform
from sqlwright.errors import CheckViolation, InvalidParameters, InvalidValue
from sqlwright.query import Access
from workbench import Bench

SCHEMA = """
CREATE EXTENSION pg_stat_statements;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN positive AS integer NOT NULL DEFAULT 5 CONSTRAINT positive_value CHECK (VALUE > 0);
CREATE DOMAIN short AS varchar(3);
CREATE TABLE odd (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mood mood, moods mood[], place point, count positive, short short,
  code text NOT NULL, amount numeric(5, 2), plain json, at timestamptz DEFAULT now(), tags text[]
);
CREATE UNIQUE INDEX odd_code ON odd (lower(code));
CREATE UNIQUE INDEX odd_amount ON odd (amount);
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS 'begin new.code := ''made''; return new; end';
CREATE TABLE filled (id serial PRIMARY KEY, code text NOT NULL);
CREATE TRIGGER fill BEFORE INSERT ON filled FOR EACH ROW EXECUTE FUNCTION fill();
CREATE MATERIALIZED VIEW sums AS SELECT 1 AS one;
CREATE TABLE parts (a int, b int, PRIMARY KEY (b, a)) PARTITION BY RANGE (a);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (1) TO (10);
CREATE TABLE sqlwright_migrations (id int);
CREATE SCHEMA other;
CREATE TABLE other.elsewhere (id int PRIMARY KEY);
"""


@pytest.fixture
async def bench(open_bench: Callable[..., Awaitable[Bench]], postgresql_url: str) -> Bench:
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute(SCHEMA)
    await connection.close()
    return await open_bench(postgresql_url, tables=("*",))


async def answer(bench: Bench, operation: Awaitable[Any]) -> bytes:
    return render_body(*await perform(bench.database, await operation))[0]


async def test_what_is_served(bench: Bench) -> None:
    tables = Tables(bench.database, bench.settings)
    assert await tables.names() == ["filled", "odd", "parts", "sums"]
    assert (await tables.table("parts")).primary_key == ("b", "a")
    assert (await tables.table("sums")).operations == {"list"}
    named = Tables(bench.database, bench.settings.model_copy(update={"tables": ("parts_1", "pg_stat_statements")}))
    assert await named.names() == ["parts_1", "pg_stat_statements"]


async def test_the_catalogue_tells_the_rest(bench: Bench) -> None:
    columns = (await Tables(bench.database, bench.settings).table("odd")).by_name
    assert (columns["id"].read_only, columns["id"].required) == (True, False)
    assert columns["mood"].values == columns["moods"].values == ("sad", "ok")
    assert (columns["count"].nullable, columns["count"].default, columns["count"].required) == (False, "5", False)
    assert columns["short"].length_max == 3
    assert columns["code"].required
    assert columns["tags"].type.array


async def test_values_of_its_own_types(bench: Bench) -> None:
    tables = Tables(bench.database, bench.settings)
    values = {"mood": "ok", "moods": ["sad", None], "place": "(1,2)", "code": "x", "plain": {"a": 1}, "tags": ["a,b"]}
    body = await answer(bench, tables.create("odd", values))
    assert b'"mood":"ok","moods":["sad",null],"place":"(1,2)","count":5,"short":null' in body
    assert await answer(bench, tables.list("odd", {"mood": "ok", "tags": ["a,b"]})) != b'{"data":[],"next":null}'
    for wrong, code in (({"id": 3}, "read_only"), ({"mood": "no"}, "not_allowed"), ({"moods": ["no"]}, "not_allowed"),
                        ({"short": "long"}, "length"), ({"count": None}, "null")):  # fmt: skip
        with pytest.raises(InvalidParameters) as error:
            await tables.create("odd", {"code": "y", **wrong})
        assert [(f.parameter, f.code) for f in error.value.faults] == [(next(iter(wrong)), code)]
    for odd in ({"place": "(1,2)"}, {"place__in": ["(1,2)"]}):
        with pytest.raises(InvalidParameters) as error:
            await tables.list("odd", odd)
        assert error.value.faults[0].code == "operator"
    with pytest.raises(InvalidParameters):
        await tables.list("odd", sort=["place"])


async def test_errors_name_the_column(bench: Bench) -> None:
    tables = Tables(bench.database, bench.settings)
    with pytest.raises(CheckViolation) as broken:
        await answer(bench, tables.create("odd", {"code": "y", "count": -1}))
    assert [fault.parameter for fault in broken.value.faults] == ["count"]
    with pytest.raises(InvalidValue) as large:
        await answer(bench, tables.create("odd", {"code": "y", "amount": Decimal("99999.5")}))
    assert [fault.parameter for fault in large.value.faults] == ["amount"]


async def test_a_trigger_may_fill_what_must_be_there(bench: Bench) -> None:
    tables = Tables(bench.database, bench.settings)
    assert await answer(bench, tables.create("filled", {})) == b'{"id":1,"code":"made"}'


async def test_reflection_leaves_the_session_and_a_transaction_alone(bench: Bench) -> None:
    engine = bench.database.engine
    async with bench.database.transaction() as transaction, transaction.lease(Access.WRITE) as lease:
        await lease.raw_connection.execute("CREATE TABLE fresh (id int PRIMARY KEY, doc json)")
        await lease.raw_connection.execute("""INSERT INTO fresh VALUES (1, '{"a": 1}')""")
        metadata = await engine.reflect(lease, ["fresh"])
        assert list(metadata.tables) == ["fresh"]
        assert not lease.broken
        assert await lease.raw_connection.fetchval("SELECT doc FROM fresh") == '{"a": 1}'
    assert await Tables(bench.database, bench.settings).table("fresh")
    await bench.assert_whole()


async def test_a_composite_is_not_compared(bench: Bench) -> None:
    connection = await asyncpg.connect(bench.settings.database_url)
    await connection.execute(
        "CREATE TYPE place AS (x int, note text); CREATE DOMAIN spot AS place;"
        "CREATE TABLE found (id int PRIMARY KEY, p place, ps place[], spot spot, place point)"
    )
    await connection.close()
    tables = Tables(bench.database, bench.settings)
    for name in ("p", "ps", "spot"):
        for operator in ("", "__ne", "__lt", "__in", "__like"):
            with pytest.raises(InvalidParameters) as error:
                await tables.list_from_query_string("found", f"{name}{operator}=(1,a)".encode())
            assert [(f.parameter, f.code) for f in error.value.faults] == [(name + operator, "operator")]
        assert await answer(bench, tables.list_from_query_string("found", f"{name}__isnull=true".encode()))
