"""Many rows at once: POST /tables/{table}, bulk queries and steps of a transaction; and the same from Python."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from record_shop import assert_problem, run_script, running, write_files
from sqlwright import connect
from sqlwright.config import Settings
from sqlwright.errors import InvalidParameters, UniqueViolation

CASES = json.loads((Path(__file__).parent.parent / "cases" / "many_rows.json").read_text(encoding="utf-8"))["cases"]
COUNTED = {"sqlite": "integer", "postgresql": "serial", "mysql": "integer AUTO_INCREMENT"}
SCHEMA = """
CREATE TABLE item (
  id {counted} PRIMARY KEY, code varchar(20) NOT NULL UNIQUE, n integer DEFAULT 7 CHECK (n >= 0), note varchar(20)
);
CREATE TABLE loose (code varchar(20), price numeric(8,2));
"""
FILES = {
    "items.sql": """
-- name: clear!
DELETE FROM item;
-- name: add*!
-- @param note text?
INSERT INTO item (id, code, n, note) VALUES (:id, :code, :n, :note);
"""
}
FIRST = [{"id": 1, "code": "a", "n": 7, "note": None}, {"id": 2, "code": "b", "n": 5, "note": "old"}]


@pytest.fixture
async def client(database_url: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    dialect = database_url.partition(":")[0]
    script = SCHEMA.format(counted=COUNTED[dialect])
    if dialect == "postgresql":
        script += "ALTER SEQUENCE item_id_seq RESTART 100;"  # it does not look at the keys that there are
    await asyncio.to_thread(asyncio.run, run_script(database_url, script))
    queries = write_files(tmp_path / "queries", FILES)
    settings = Settings(database_url=database_url, queries=queries, log_calls=False, tables=("*",), bulk_items_max=2000)
    async with running(settings) as client:
        client.headers["x-test"] = dialect
        yield client


async def _rows(client: httpx.AsyncClient) -> list[list[Any]]:
    found = (await client.get("/tables/item?sort=code&limit=1000")).json()["data"]
    return [[row["code"], row["n"], row["note"]] for row in found]


async def _send(client: httpx.AsyncClient, case: dict[str, Any]) -> httpx.Response:
    headers = {"content-type": case.get("type", "application/json")}
    if "prefer" in case:
        headers["prefer"] = case["prefer"]
    content = case["text"] if "text" in case else json.dumps(case["body"])
    return await client.post("/tables/item", params=case.get("query"), content=content, headers=headers)


async def test_cases(client: httpx.AsyncClient) -> None:
    for case in CASES:
        assert (await client.post("/queries/clear")).status_code == 200
        assert (await client.post("/queries/add", json=FIRST)).json() == {"affected": 2}
        answer = await _send(client, case)
        if "code" in case:
            problem = assert_problem(answer, case["status"], case["code"])
            assert problem.get("index") == case.get("index"), (case, problem)
            if "errors" in case:
                told = [[fault["parameter"], fault["code"], fault.get("index")] for fault in problem["errors"]]
                assert told == case["errors"], (case, problem)
        else:
            affected = case.get(f"affected_{client.headers['x-test']}", case.get("affected"))
            assert answer.status_code == 201, (case, answer.text)
            assert answer.json() == case.get("row", {"affected": affected}), case
            assert answer.headers.get("preference-applied") == case.get("applied"), case
        expected = case.get("after", [[row["code"], row["n"], row["note"]] for row in FIRST])
        assert await _rows(client) == expected, (case, answer.text)


async def test_limits(client: httpx.AsyncClient) -> None:
    many = [{"code": f"c{n}"} for n in range(2001)]
    assert assert_problem(await client.post("/tables/item", json=many), 422, "invalid_parameters")["errors"][0][
        "code"
    ] == "length"  # fmt: skip
    answer = await client.post("/tables/item", json=many[:2000])
    assert answer.json() == {"affected": 2000}, answer.text
    long = {"code": "x", "note": "y" * 1024 * 1024}
    assert_problem(await client.post("/tables/item", json=long), 413, "body_too_large")
    answer = await client.post("/tables/item", json=[long, {}])  # one row may not be so large, many may
    assert_problem(answer, 422, "invalid_parameters")


async def test_a_table_without_a_key(client: httpx.AsyncClient) -> None:
    rows = [{"price": 1.5}, {"code": "x"}, {}, {"code": None, "price": None}]
    assert (await client.post("/tables/loose", json=rows)).json() == {"affected": 4}
    found = (await client.get("/tables/loose")).json()["data"]
    assert sorted(map(str, found)) == sorted(
        map(str, [{"code": None, "price": 1.5}, {"code": "x", "price": None}] + [{"code": None, "price": None}] * 2)
    )
    headers = {"prefer": "resolution=merge-duplicates"}
    problem = assert_problem(await client.post("/tables/loose", json=rows, headers=headers), 422, "invalid_parameters")
    assert problem["errors"][0]["parameter"] == "on_conflict"


async def test_so_many_sets_of_columns(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqlwright.crud.many.SHAPES_MAX", 1)
    rows = [{"code": "c"}, {"code": "d", "note": "x"}]  # the same set: a note that is not there is NULL
    assert (await client.post("/tables/item", json=rows)).json() == {"affected": 2}
    answer = await client.post("/tables/item", json=[{"code": "e"}, {"code": "f", "n": 1}])
    problem = assert_problem(answer, 422, "invalid_parameters")
    assert [(fault["parameter"], fault["code"]) for fault in problem["errors"]] == [("", "length")]


async def test_bulk_queries_take_csv_and_ndjson(client: httpx.AsyncClient) -> None:
    csv, ndjson = {"content-type": "text/csv"}, {"content-type": "application/x-ndjson"}
    body = "id,code,n,note\n1,a,2,\n2,b,3,x\n"
    assert (await client.post("/queries/add", content=body, headers=csv)).json() == {"affected": 2}
    body = '{"id":3,"code":"c","n":1,"note":null}\n{"id":4,"code":"d","n":-1,"note":null}'
    problem = assert_problem(await client.post("/queries/add", content=body, headers=ndjson), 422, "check_violation")
    assert problem["index"] == 1
    problem = assert_problem(
        await client.post("/queries/add", content="id,code,n\n1,a,x\n", headers=csv), 422, "invalid_parameters"
    )
    assert [(e["parameter"], e["code"], e.get("index")) for e in problem["errors"]] == [
        ("note", "missing", None),
        ("n", "format", 0),
    ]
    assert await _rows(client) == [["a", 2, None], ["b", 3, "x"]]


async def test_steps_of_a_transaction(client: httpx.AsyncClient) -> None:
    steps = [
        {"query": "add", "params": FIRST, "as": "first"},
        {"table": "item", "create": [{"code": "c"}, {"code": "d", "n": {"$result": "first.affected"}}]},
    ]
    answer = await client.post("/transaction", json={"steps": steps})
    assert answer.json() == {"results": [{"affected": 2}, {"affected": 2}]}, answer.text
    assert await _rows(client) == [["a", 7, None], ["b", 5, "old"], ["c", 7, None], ["d", 2, None]]
    steps = [{"query": "clear"}, {"table": "item", "create": [{"code": "x"}, {"code": "y", "n": 1}, {"code": "x"}]}]
    problem = assert_problem(await client.post("/transaction", json={"steps": steps}), 409, "unique_violation")
    assert (problem["step"], problem["index"]) == (1, 2)
    assert [fault["parameter"] for fault in problem["errors"]] == ["steps[1].create[2].code"]
    steps = [{"table": "item", "create": [{"code": "x"}, {"code": 1}]}]
    problem = assert_problem(await client.post("/transaction", json={"steps": steps}), 422, "invalid_parameters")
    assert [fault["parameter"] for fault in problem["errors"]] == ["steps[0].create[1].code"]
    assert len(await _rows(client)) == 4


async def test_from_python(client: httpx.AsyncClient, database_url: str, tmp_path: Path) -> None:
    async with connect(database_url, queries=tmp_path / "queries", tables=("*",)) as db:
        items, loose = db.table("item"), db.table("loose")
        assert await items.create_many({"code": f"c{n}"} for n in range(3)) == 3
        assert await items.create_many([]) == 0
        await items.create_many([{"code": "c1", "n": 1}, {"code": "new"}], duplicates="merge", on=["code"])
        await items.create_many([{"code": "c2", "n": 1}], duplicates="ignore", on=["code"])
        rows = [(row["code"], row["n"]) for row in await items.list(sort="code")]
        assert rows == [("c0", 7), ("c1", 1), ("c2", 7), ("new", 7)]
        with pytest.raises(UniqueViolation) as caught:
            await items.create_many([{"code": "x"}, {"code": "c1"}])
        assert (caught.value.index, caught.value.faults[0].index) == (1, 1)
        with pytest.raises(InvalidParameters) as refused:
            await items.create_many([{"code": "x"}, {"code": 1, "n": "y"}])
        assert {fault.index for fault in refused.value.faults} == {1}
        async with db.transaction() as tx:
            assert await tx.table("loose").create_many([{"price": Decimal("1.5")}, {"price": 2}]) == 2
        assert len(await loose.list()) == 2
