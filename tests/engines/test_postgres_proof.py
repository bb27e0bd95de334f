"""What is proven of queries by their names, and what must not be: each case is a way to change something unseen."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from postgres_client import MANY, READ, WRITE, Client, make_query
from sqlwright.engines.postgres.names import names_in, only_reads
from sqlwright.sql.dialect import POSTGRESQL
from sqlwright.sql.lexer import lex
from sqlwright.sql.statement import significant
from sqlwright.sql.structure import analyse

CASES = json.loads((Path(__file__).parents[1] / "cases" / "proof_postgresql.json").read_text(encoding="utf-8"))


@pytest.fixture
async def client(postgresql_url: str) -> AsyncIterator[Client]:
    client = Client(postgresql_url)
    await client.database.open()
    await client.script(";\n".join(CASES["schema"]))
    yield client
    await client.database.close()


async def proven(client: Client, sql: str) -> str:
    """How much: the name of the list in which the case should stand."""
    access = READ if analyse(significant(lex(sql, POSTGRESQL).tokens)).reads else WRITE
    query = make_query(sql, MANY, access)
    description: Any = await client.describe(query)
    program = client.engine.compile(query, description)
    assert program.keeps_session == description.proof.keeps_session
    assert description.proof.independent or not program.many
    if description.proof.independent:
        return "independent"
    return "keeps_session" if description.proof.keeps_session else "nothing"


async def test_of_each_query_as_much_is_proven_as_can_be_and_no_more(client: Client) -> None:
    found = {
        sql: await proven(client, sql) for what in ("independent", "keeps_session", "nothing") for sql in CASES[what]
    }
    expected = {sql: what for what in ("independent", "keeps_session", "nothing") for sql in CASES[what]}
    assert {sql: what for sql, what in found.items() if expected[sql] != what} == {}


async def test_what_runs_without_a_name_is_seen(client: Client) -> None:
    for change, sql in CASES["nothing_after"]:
        assert await proven(client, sql.replace("abroad", "item").replace("parted", "item")) == "independent", sql
        await client.script(change)
        assert await proven(client, sql) == "nothing", change
        dropped = {"CREATE CAST": "DROP CAST (mood AS int)", "CREATE DOMAIN": "DROP DOMAIN odd",
                   "CREATE OPERATOR": "DROP OPERATOR = (text, pair)"}  # fmt: skip
        await client.script(next((undo for begins, undo in dropped.items() if change.startswith(begins)), "SELECT 1"))


async def test_extensions_that_are_known_are_believed(client: Client) -> None:
    await client.script("CREATE EXTENSION citext; CREATE EXTENSION pg_trgm; CREATE EXTENSION tablefunc")
    await client.script("CREATE TABLE word (id int, w citext)")
    assert await proven(client, "SELECT id FROM word WHERE w = :w AND similarity(w::text, :x) > 0.3") == "independent"
    assert await proven(client, "SELECT set_limit(:n)") == "nothing"
    assert await proven(client, "SELECT * FROM crosstab(:sql) AS t(a text, b text)") == "nothing"


async def test_names_and_views_of_other_schemas_count_where_the_path_or_the_text_says_so(client: Client) -> None:
    await client.script("CREATE SCHEMA far; CREATE VIEW far.price AS SELECT random() AS r")
    assert await proven(client, "SELECT price FROM item WHERE id = :id") == "independent"
    assert await proven(client, "SELECT price.r FROM far.price WHERE :id::int = 1") == "keeps_session"


def test_a_text_that_hides_names_is_not_legible() -> None:
    assert names_in('SELECT a FROM "b""c" WHERE D.e(1) <@> 2').words >= {"select", "a", 'b"c', "d", "e"}
    assert names_in('SELECT "F" (1), x.g, h').called == {"F", "g"}
    assert names_in("SELECT 1 <@>-2 + :a").operators == {"<@>-", "+"}
    assert names_in("SELECT É").words >= {"é", "É"}
    for hidden in (
        'SELECT U&"\\0061"',
        "SELECT u&'a'",
        f"SELECT {'x' * 64}",
        "SELECT 1 FROM t TABLESAMPLE x (1)",
        "SELECT 'a",
    ):
        assert not names_in(hidden).legible, hidden
    assert names_in("SELECT u & x, 'U&', \"u\"").legible


@pytest.mark.parametrize(
    ("body", "reads"),
    [
        ("SELECT 1", True),
        ("SELECT 1; SELECT 2;", True),
        ("BEGIN ATOMIC\n SELECT 1;\nEND", True),
        ("RETURN (a + 1)", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("SELECT 1; SET x = 1", False),
        ("INSERT INTO t VALUES (1)", False),
        ("WITH a AS (DELETE FROM t RETURNING 1) SELECT * FROM a", False),
        ("SELECT 1 FROM t FOR UPDATE", False),
        ("BEGIN ATOMIC SELECT 1; UPDATE t SET a = 1; END", False),
        ("SELECT 1 INTO t", False),
        ("CALL x()", False),
    ],
)
def test_a_body_that_only_reads(body: str, reads: bool) -> None:
    assert only_reads(body) is reads
