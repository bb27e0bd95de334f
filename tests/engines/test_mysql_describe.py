"""What MariaDB and a statement's own words tell before anything runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sqlwright.errors import QueryInvalid
from sqlwright.query import Access

CASES = json.loads((Path(__file__).parent.parent / "cases" / "mysql_describe.json").read_text(encoding="utf-8"))


@pytest.fixture
async def describe(open_bench: Any, mysql_url: str) -> Callable[..., Any]:
    script = "-- name: make#\n" + ";\n".join(CASES["schema"]) + ";"
    bench = await open_bench(mysql_url, {"schema.sql": script})
    await bench.call("make")

    async def contract(sql: str) -> Any:
        returning = "returning" in sql.lower() or sql.startswith(("SELECT", "VALUES", "WITH", "SHOW"))
        bench.write({"asked.sql": f"-- name: asked{'' if returning else '!'}\n{sql}\n;"})
        return await bench.contracts.get(bench.registry["asked"])

    return contract


@pytest.fixture
def database(mysql_url: str) -> str:
    return mysql_url.rpartition("/")[2]


@pytest.mark.parametrize(("sql", "expected"), CASES["parameters"])
async def test_types_of_parameters(describe: Any, sql: str, expected: dict[str, str]) -> None:
    found = {p.name: str(p.type.kind) for p in (await describe(sql)).parameters}
    assert found == {name: expected.get(name, "any") for name in found}
    assert set(expected) <= set(found)


@pytest.mark.parametrize(("sql", "expected"), CASES["columns"])
async def test_columns(describe: Any, database: str, sql: str, expected: list[str]) -> None:
    found = []
    for column in (await describe(sql)).columns:
        scale = f".{column.type.scale}" if column.type and column.type.scale is not None else ""
        kind = f"{column.type.kind}{scale}" if column.type else "-"
        found.append(f"{column.name} {kind}{'' if column.nullable else ' !'}")
    assert found == [text.replace("DATABASE", database) for text in expected]


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case[0])
async def test_a_refusal_points_at_the_word_it_is_about(describe: Any, database: str, case: list[str]) -> None:
    sql, place, message, hint = case
    with pytest.raises(QueryInvalid) as refused:
        await describe(sql)
    found = refused.value.diagnostic
    assert found is not None
    assert (found.message, found.hint) == (message.replace("DATABASE", database), hint)
    assert found.source[found.column - 1 :].startswith(place)
    assert message not in str(refused.value)


async def test_what_gives_no_rows(open_bench: Any, mysql_url: str) -> None:
    bench = await open_bench(mysql_url, {"q.sql": "-- name: asked\nSET @a = 1;\n-- name: done!\nSET @a = 1;\n"})
    assert (await bench.contracts.get(bench.registry["done"])).columns == ()
    with pytest.raises(QueryInvalid) as refused:
        await bench.contracts.get(bench.registry["asked"])
    assert refused.value.diagnostic is not None
    assert refused.value.diagnostic.message == "the statement gives no rows"


async def test_describing_runs_nothing(open_bench: Any, mysql_url: str) -> None:
    files = {
        "q.sql": """
-- name: make#
CREATE SEQUENCE seq;
CREATE TABLE t (a INT);
CREATE FUNCTION wrote() RETURNS INT BEGIN INSERT INTO t VALUES (1); RETURN 1; END;
-- name: asked
-- @write
SELECT nextval(seq) AS n, wrote() AS w, (SELECT wrote()) AS v FROM (SELECT wrote() AS x) d WHERE sleep(60) = :a;
-- name: drop!
DROP TABLE t;
-- name: into!
INSERT INTO t SELECT wrote();
-- name: left$
SELECT count(*) FROM t;
-- name: next$
-- @write
SELECT nextval(seq);
"""
    }
    bench = await open_bench(mysql_url, files)
    await bench.call("make")
    for name in ("asked", "drop", "into"):
        await bench.contracts.get(bench.registry[name])
    assert await bench.call("left") == {"value": 0}
    assert await bench.call("next") == {"value": 1}


async def test_a_reader_stays_one_after_describing_a_write(open_bench: Any, mysql_url: str) -> None:
    files = {"q.sql": "-- name: make#\nCREATE TABLE t (a INT);\n-- name: add!\nINSERT INTO t VALUES (:a);\n"}
    bench = await open_bench(mysql_url, files, reader_pool_size=1)
    await bench.call("make")
    await bench.contracts.get(bench.registry["add"])
    await bench.assert_whole()
    async with bench.database.lease(Access.READ) as lease:
        (row,) = (await lease.session.fetch("SELECT @@tx_read_only")).rows
    assert row == ("1",)


async def test_tables_of_another_database_are_not_ours(open_bench: Any, mysql_url: str) -> None:
    files = {
        "q.sql": """
-- name: make#
CREATE TABLE user (user INT, host INT);
-- name: mine
SELECT user FROM user WHERE user = :a;
-- name: other
SELECT user FROM mysql.user WHERE user = :a;
"""
    }
    bench = await open_bench(mysql_url, files)
    await bench.call("make")
    kinds = [(await bench.contracts.get(bench.registry[n])).parameters[0].type.kind for n in ("mine", "other")]
    assert [str(kind) for kind in kinds] == ["int4", "any"]


async def test_columns_that_come_after_the_description(open_bench: Any, mysql_url: str) -> None:
    files = {
        "q.sql": """
-- name: make#
CREATE TABLE t (a INT, d JSON);
INSERT INTO t VALUES (1, '{"x":  1.50}');
-- name: all
SELECT * FROM t;
-- name: alter#
ALTER TABLE t ADD COLUMN z DECIMAL(5, 1) DEFAULT 2.5 FIRST, MODIFY a VARCHAR(10);
"""
    }
    bench = await open_bench(mysql_url, files)
    await bench.call("make")
    _, before = await bench.result("all")
    assert before.json == b'{"a":1,"d":{"x":  1.50}}'
    await bench.call("alter")
    _, after = await bench.result("all")
    assert after.json == b'{"z":2.5,"a":"1","d":{"x":  1.50}}'
