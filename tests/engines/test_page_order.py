"""Pages give every row exactly once, in the order of the one page that holds them all."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from workbench import Bench

OpenBench = Callable[..., Awaitable[Bench]]

_SCHEMA = {
    "postgresql": """
        CREATE TABLE reading (id int PRIMARY KEY, kind int, note text, doc json);
        INSERT INTO reading SELECT n, n % 3, 'n' || n % 7, ('{"n":' || n || '}')::json FROM generate_series(1, 300) n;
        CREATE TABLE station (id int PRIMARY KEY, name text);
        INSERT INTO station SELECT -n, 's' || n % 5 FROM generate_series(-40, 0) n;
        ANALYZE;
    """,
    "sqlite": """
        CREATE TABLE reading (id int PRIMARY KEY, kind int, note text, doc json);
        INSERT INTO reading SELECT value, value % 3, 'n' || value % 7, '{"n":' || value || '}'
          FROM generate_series(1, 300);
        CREATE TABLE station (id int PRIMARY KEY, name text);
        INSERT INTO station SELECT -value, 's' || value % 5 FROM generate_series(-40, 0);
    """,
    "mysql": """
        CREATE TABLE reading (id int PRIMARY KEY, kind int, note text, doc json);
        INSERT INTO reading SELECT value, value % 3, concat('n', value % 7), concat('{"n":', value, '}')
          FROM generate_series(1, 300) s;
        CREATE TABLE station (id int PRIMARY KEY, name text);
        INSERT INTO station SELECT -value, concat('s', value % 5) FROM generate_series(-40, 0) s;
    """,
}
_QUERIES = {
    "ties": "SELECT kind, note FROM reading ORDER BY kind",
    "json_in_ties": "SELECT kind, doc FROM reading ORDER BY kind",
    "json_alone": "SELECT doc FROM reading ORDER BY note DESC",
    "not_selected": "SELECT doc, note FROM reading ORDER BY -kind",
    "no_order": "SELECT id, count(*) AS n FROM reading GROUP BY id",
    "with_list": "WITH k AS (SELECT kind, doc FROM reading) SELECT doc FROM k ORDER BY kind",
    "distinct": "SELECT DISTINCT kind, note FROM reading ORDER BY note",
    "groups": "SELECT note, count(*) AS n FROM reading GROUP BY note ORDER BY count(*)",
    "union": "SELECT note AS x FROM reading UNION SELECT name FROM station ORDER BY x DESC",
}


def _generate_series(sql: str) -> str:
    for low, high in ((1, 300), (-40, 0)):
        numbers = f"WITH RECURSIVE g(value) AS (SELECT {low} UNION ALL SELECT value + 1 FROM g WHERE value < {high})"
        sql = sql.replace(f"generate_series({low}, {high})", f"({numbers} SELECT value FROM g)")
    return sql


@pytest.mark.parametrize("name", _QUERIES)
async def test_every_row_once(database_url: str, open_bench: OpenBench, name: str) -> None:
    dialect = database_url.partition(":")[0]
    schema = _SCHEMA[dialect] if dialect == "postgresql" else _generate_series(_SCHEMA[dialect])
    files = {"make.sql": f"-- name: make#\n{schema}", f"{name}.sql": _QUERIES[name]}
    bench = await open_bench(database_url, files)
    await bench.call("make")
    whole = (await bench.call(name, {"limit": 1000}))["data"]
    unpaged = (await bench.call(name, paged=False))["data"]
    assert sorted(map(json.dumps, whole)) == sorted(map(json.dumps, unpaged))
    for limit in (1, 7):
        got: list[Any] = []
        page: dict[str, Any] = {"next": None}
        while page["next"] or not got:
            token = {"next": page["next"]} if page["next"] else {}
            page = await bench.call(name, {"limit": limit, **token})
            got += page["data"]
        assert got == whole
