"""Which INSERTs may be sent with many rows at once, and what PostgreSQL's catalogue says about their tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from postgres_client import BULK, WRITE, Client, make_query
from sqlwright.engines.inference.insert import plain_insert
from sqlwright.engines.postgres.bulk import MEANS_THE_SAME
from sqlwright.query import Access, Cardinality, Query, SourceFile
from sqlwright.sql.dialect import DIALECTS
from sqlwright.sql.lexer import lex
from sqlwright.sql.statement import build

CASES = json.loads((Path(__file__).parent.parent / "cases" / "plain_inserts.json").read_text(encoding="utf-8"))


def query_of(text: str, dialect: str) -> Query:
    statement, _ = build(text, lex(text, DIALECTS[dialect]).tokens)
    return Query("q", Cardinality.BULK, Access.WRITE, statement, (), SourceFile("q.sql", text), 0)


@pytest.mark.parametrize(("expected", "where", "text"), [
    (name == "plain", where, text) for name in ("plain", "not_plain") for where, text in CASES[name]
])  # fmt: skip
def test_plain_inserts(expected: bool, where: str | None, text: str) -> None:
    for dialect in [where] if where else DIALECTS:
        insert = plain_insert(query_of(text, dialect), DIALECTS[dialect], {"values"})
        assert (insert is not None) is expected, (dialect, insert)


SCHEMA = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE DOMAIN short AS varchar(3) CHECK (value <> 'bad');
CREATE TABLE plain (
  n int PRIMARY KEY, fixed char(3), short varchar(3), words text[], numbers int[], days date[], exact numeric(6,2),
  mood mood, short_domain short, at timestamptz, doc jsonb, raw bytea, id uuid, one "char", called name, host inet,
  single real, double double precision, span interval, yes boolean, small smallint
);
CREATE TABLE partitioned (n int) PARTITION BY RANGE (n);
CREATE TABLE low PARTITION OF partitioned FOR VALUES FROM (0) TO (100);
CREATE TABLE before_each (n int);
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n := NEW.n + 1; RETURN NEW; END';
CREATE TRIGGER change BEFORE INSERT ON before_each FOR EACH ROW EXECUTE FUNCTION change();
CREATE TABLE after_each (n int);
CREATE TRIGGER change AFTER INSERT ON after_each FOR EACH ROW EXECUTE FUNCTION change();
CREATE TABLE after_all (n int);
CREATE TRIGGER change AFTER INSERT ON after_all EXECUTE FUNCTION change();
CREATE TABLE after_delete (n int);
CREATE TRIGGER change AFTER DELETE ON after_delete FOR EACH ROW EXECUTE FUNCTION change();
CREATE TABLE tree (n int PRIMARY KEY, above int REFERENCES tree);
CREATE TABLE later (n int UNIQUE DEFERRABLE);
CREATE TABLE ruled (n int);
CREATE RULE nothing AS ON DELETE TO ruled DO INSTEAD NOTHING;
CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO tree VALUES (NEW.n);
CREATE TABLE watched (n int);
ALTER TABLE watched ENABLE ROW LEVEL SECURITY;
CREATE VIEW seen AS SELECT n FROM watched;
CREATE TABLE looked_at (n int, before_it bigint);
"""
LOOKS = """
CREATE FUNCTION looks() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM looked_at';
ALTER TABLE looked_at ALTER before_it SET DEFAULT looks();
"""


@pytest.fixture
async def client(postgresql_url: str) -> Any:
    client = Client(postgresql_url)
    await client.database.open()
    yield client
    await client.database.close()


async def test_values_of_every_kind(client: Client) -> None:
    await client.script(SCHEMA)
    row = [
        [1, "ab", "abc", ["a", None, 'q"\\,{}'], [[1, 2], [3, None]], '{"2024-01-01"}', "1.25", "glad", "ok",
         "2024-01-31 BC", "null", b"\0\1", "00000000-0000-0000-0000-00000000000a", "x", "y" * 60, "::1", 0.1, 1e300,
         "1 mon", True, -1],
        [2, "é", "", [], [], None, "NaN", "sad", None, "infinity", '{"a":[1]}', b"", None, "", "", "10.0.0.0/8", -0.0,
         float("inf"), "-1 day", False, 1],
    ]  # fmt: skip
    places = ", ".join(f":p{n}" for n in range(len(row[0])))
    statement = f"INSERT INTO plain VALUES ({places})"
    program = client.engine.compile(query := make_query(statement, BULK, WRITE), await client.describe(query))
    assert program.arrays is not None
    items = [[n, *row[n % 2][1:]] for n in range(20)]
    assert await client.bulk(statement, items) == 20
    together = await client.rows("SELECT * FROM plain ORDER BY n")
    await client.execute("DELETE FROM plain")
    for item in items:
        await client.bulk(statement, [item])
    assert together == await client.rows("SELECT * FROM plain ORDER BY n")


@pytest.mark.parametrize(("table", "same"), [
    ("plain", True), ("partitioned", True), ("before_each", True), ("after_delete", True), ("after_each", False),
    ("after_all", False), ("tree", False), ("later", False), ("ruled", False), ("watched", False), ("seen", False),
])  # fmt: skip
async def test_what_the_catalogue_says(client: Client, table: str, same: bool) -> None:
    await client.script(SCHEMA)
    assert await _means_the_same(client, table) is same


async def test_a_default_that_looks_at_the_table(client: Client) -> None:
    await client.script(SCHEMA)
    assert await _means_the_same(client, "looked_at")
    await client.script(LOOKS)
    assert not await _means_the_same(client, "looked_at")
    await client.bulk("INSERT INTO looked_at (n) VALUES (:n)", [[n] for n in range(20)])
    assert await client.rows("SELECT n FROM looked_at WHERE before_it <> n") == []


async def _means_the_same(client: Client, table: str) -> bool:
    query = make_query(f"INSERT INTO {table} (n) VALUES (:n)", BULK, WRITE)
    program = client.engine.compile(query, await client.describe(query))
    async with client.database.lease(WRITE) as lease:
        statement = await lease.raw_connection.statement(MEANS_THE_SAME)
        return bool(await statement.fetchval(program.arrays.table, []))
