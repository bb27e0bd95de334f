"""The same value comes back as it was stored, digit for digit, by every way in and every way out.

What is stored is what the database itself says, asked beside us. The values stand in `cases/values_*.json`: JSON as it
is sent, as it comes (the same where nothing is said), and the text that the database has for it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

import mariadb_server
from record_shop import run_script, running, until, write_files
from sqlwright import Client, connect
from sqlwright.config import Settings
from sqlwright.lines import cell, members

CASES = Path(__file__).parent / "cases"
TYPES = {
    "postgresql": """
CREATE TYPE mood AS ENUM ('sad', 'o''k', 'é');
CREATE TYPE pair AS (a int, b text, c numeric);
CREATE DOMAIN positive AS int CHECK (value > 0);
"""
}
QUERIES = """
-- name: put!
INSERT INTO {table} (id, value) VALUES (:id, :value);

-- name: make!
INSERT INTO {table} (id) VALUES (:id);

-- name: put_many*!
INSERT INTO {table} (id, value) VALUES (:id, :value);

-- name: put_back<!
INSERT INTO {table} (id, value) VALUES (:id, :value) RETURNING value;

-- name: change<!
UPDATE {table} SET value = :value WHERE id = :id RETURNING id, value;

-- name: every
SELECT id, value FROM {table} ORDER BY id;

-- name: one^
SELECT id, value FROM {table} WHERE id = :id;

-- name: just$
SELECT value FROM {table} WHERE id = :id;
"""
JSON = {"content-type": "application/json"}
Stored = Callable[[str], Awaitable[dict[int, str]]]
"""What the database says of the values of a table, by key."""


@dataclass(frozen=True)
class Case:
    type: str
    sent: str
    comes: str
    stored: str | None


def cases_of(engine: str) -> list[tuple[str, list[Case]]]:
    content = json.loads((CASES / f"values_{engine}.json").read_text(encoding="utf-8"))
    return [(entry["type"], [_case(entry["type"], *value) for value in entry["values"]]) for entry in content]


def refused_of(engine: str) -> dict[str, list[str]]:
    content = json.loads((CASES / f"values_{engine}.json").read_text(encoding="utf-8"))
    return {entry["type"]: entry.get("refused", []) for entry in content}


def _case(type: str, sent: str, comes: str | None = None, stored: str | None = None) -> Case:
    return Case(type, sent, comes or sent, stored)


def exactly(text: str) -> Any:
    """JSON, with numbers that equal only those written with the same digits."""
    return json.loads(text, parse_float=lambda n: ("number", n), parse_int=lambda n: ("number", n))


@dataclass
class Ways:
    """All ways of one table. What is wrong is collected, so that one run tells all of it."""

    http: httpx.AsyncClient
    db: Client
    table: str
    faults: list[str] = field(default_factory=list)
    keys: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))

    async def call(self, case: Case, method: str, path: str, body: str) -> Any:
        answer = await self.http.request(method, path, content=body.encode(), headers=JSON)
        if answer.status_code >= 300:
            self.fault(case, f"{method} {path}", answer.text)
            return None
        return exactly(answer.text)

    def fault(self, case: Case, way: str, what: object) -> None:
        self.faults.append(f"{case.type} {case.sent[:60]}: {way}: {str(what)[:300]}")

    def expect(self, case: Case, way: str, found: Any) -> None:
        if found != exactly(case.comes):
            self.fault(case, way, f"{found!r} came, not {exactly(case.comes)!r}")

    # Each way in gives the keys of the rows that it has written, and looks at what it is answered.

    async def put(self, case: Case) -> list[int]:
        first, second, third, fourth = (next(self.keys) for _ in range(4))
        query = f"/queries/{self.table}"
        await self.call(case, "POST", f"{query}/put", row(first, case.sent))
        await self.call(case, "POST", f"{query}/put_many", f"[{row(second, case.sent)}]")
        back = await self.call(case, "POST", f"{query}/put_back", row(third, case.sent))
        self.expect(case, "returning", back and back["value"])
        await self.call(case, "POST", f"{query}/make", f'{{"id": {fourth}}}')
        changed = await self.call(case, "POST", f"{query}/change", row(fourth, case.sent))
        self.expect(case, "update returning", changed and changed["value"])
        return [first, second, third, fourth]

    async def through_tables(self, case: Case) -> list[int]:
        first, second, third = (next(self.keys) for _ in range(3))
        table = f"/tables/{self.table}"
        made = await self.call(case, "POST", table, row(first, case.sent))
        self.expect(case, "create", made and made["value"])
        for key, method in ((second, "PATCH"), (third, "PUT")):
            await self.call(case, "POST", table, f'{{"id": {key}}}')
            changed = await self.call(case, method, f"{table}/{key}", f'{{"value": {case.sent}}}')
            self.expect(case, method, changed and changed["value"])
        return [first, second, third]

    async def in_a_transaction(self, case: Case) -> list[int]:
        first, second, third, fourth = (next(self.keys) for _ in range(4))
        reference = '{"$result": "r.value"}'
        steps = [
            f'{{"query": "{self.table}.put", "params": {row(first, case.sent)}}}',
            f'{{"query": "{self.table}.one", "params": {{"id": {first}}}, "as": "r"}}',
            f'{{"query": "{self.table}.put", "params": {row(second, reference)}}}',
            f'{{"table": "{self.table}", "create": {row(third, reference)}}}',
            f'{{"query": "{self.table}.put_many", "params": [{row(fourth, reference)}]}}',
        ]
        answer = await self.call(case, "POST", "/transaction", f'{{"steps": [{", ".join(steps)}]}}')
        if answer:
            self.expect(case, "a step's row", answer["results"][1]["value"])
            self.expect(case, "a table's step", answer["results"][3]["value"])
        return [first, second, third, fourth]

    async def refuse(self, type: str, sent: str) -> None:
        body = row(next(self.keys), sent).encode()
        answer = await self.http.post(f"/queries/{self.table}/put", content=body, headers=JSON)
        if answer.status_code != 422:
            self.faults.append(f"{type} {sent}: not refused, but {answer.status_code} {answer.text}")

    async def from_python(self, case: Case, source: int) -> list[int]:
        """What was read goes in again."""
        keys = [next(self.keys) for _ in range(4)]
        try:
            found = await self.db.row(f"{self.table}.one", {"id": source})
            assert found is not None
            value = found["value"]
            async with self.db.stream(f"{self.table}.every") as rows:
                streamed = next(r["value"] for r in [r async for r in rows] if r["id"] == source)
            listed = await self.db.table(self.table).get(source)
            for other in (streamed, listed and listed["value"]):
                if repr(other) != repr(value):
                    self.fault(case, "Python", f"{other!r} and {value!r}")
            as_sent = json.loads(case.sent, parse_float=Decimal)
            if case.type.lower().startswith("json") and not is_whole(as_sent):
                return []  # a document is made of Python's own numbers there: its fractions are doubles
            await self.db.run(f"{self.table}.put", {"id": keys[0], "value": value})
            await self.db.run(f"{self.table}.put_many", [{"id": keys[1], "value": value}])
            await self.db.table(self.table).create({"id": keys[2], "value": value})
            await self.db.run(f"{self.table}.put", {"id": keys[3], "value": as_sent})
        except Exception as error:
            self.fault(case, "Python", f"{error!r} {getattr(error, '__notes__', '')}")
        return keys

    async def look(self, case: Case, key: int) -> None:
        """Every way out."""
        for way, path in (("one", f"one?id={key}"), ("value", f"just?id={key}")):
            found = await self.call(case, "GET", f"/queries/{self.table}/{path}", "")
            self.expect(case, way, found and found["value"])
        found = await self.call(case, "GET", f"/tables/{self.table}/{key}", "")
        self.expect(case, "get", found and found["value"])

    async def look_at_all(self, known: dict[int, Case]) -> None:
        case = next(iter(known.values()))
        for way, path in (("rows", f"/queries/{self.table}/every"), ("list", f"/tables/{self.table}")):
            rows: list[Any] = []
            url = f"{path}?limit=7" + ("&sort=id" if way == "list" else "")
            token = ""
            while True:
                page = await self.call(case, "GET", url + token, "")
                if page is None:
                    break
                rows += page["data"]
                if page["next"] is None:
                    break
                token = f"&next={page['next']}"
            for found in rows:
                self.expect(known[int(found["id"][1])], way, found["value"])
            if len(rows) != len(known):
                self.fault(case, way, f"{len(rows)} rows, not {len(known)}")
            await self.look_at_streams(path, known)

    async def look_at_streams(self, path: str, known: dict[int, Case]) -> None:
        case = next(iter(known.values()))
        lines = (await self.http.get(path, headers={"accept": "application/x-ndjson"})).text.split("\n")
        rows = [exactly(line) for line in lines[:-1]]
        for found in rows:
            self.expect(known[int(found["id"][1])], f"lines of {path}", found["value"])
        if len(rows) != len(known) or lines[-1]:
            self.fault(case, path, f"{len(rows)} lines, not {len(known)}")
        table = (await self.http.get(path, headers={"accept": "text/csv"})).text
        cells = list(csv.reader(io.StringIO(table, newline="")))
        expected = [["id", "value"], *([cell(text) or "" for _, text in members(line)] for line in lines[:-1])]
        if cells != expected:
            wrong = [(a, b) for a, b in zip(cells, expected, strict=False) if a != b]
            self.fault(case, f"CSV of {path}", wrong or f"{len(cells)} lines, not {len(expected)}")


def is_whole(value: Any) -> bool:
    """There is no fraction in it."""
    if isinstance(value, dict | list):
        return all(map(is_whole, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, Decimal)


def row(key: int, value: str) -> str:
    return f'{{"id": {key}, "value": {value}}}'


@asynccontextmanager
async def beside(url: str, type: str) -> AsyncIterator[Stored]:
    """The database itself, asked without us."""
    scheme = urlsplit(url).scheme
    if scheme == "postgresql":
        connection = await asyncpg.connect(url)

        async def postgresql(table: str) -> dict[int, str]:
            await connection.execute("SET TimeZone = 'UTC'")
            return dict(await connection.fetch(f"SELECT id, value::text FROM {table}"))

        try:
            yield postgresql
        finally:
            await connection.close()
    elif scheme == "mysql":
        is_bytes = type.startswith(("LONGBLOB", "VARBINARY", "BIT"))
        value = "HEX(value)" if is_bytes else "HEX(CAST(value AS CHAR CHARACTER SET utf8mb4))"

        async def mysql(table: str) -> dict[int, str]:
            rows = mariadb_server.execute(url, f"SET time_zone = '+00:00'; SELECT id, {value} FROM {table}")
            return {key: found if is_bytes else bytes.fromhex(found or "").decode() for key, found in rows}

        yield mysql
    else:
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as raw:

            async def sqlite(table: str) -> dict[int, str]:
                return {
                    key: f"{kind} {value!r}"
                    for key, kind, value in raw.execute(f"SELECT id, typeof(value), value FROM {table}")
                }

            yield sqlite


def is_stored(found: str, expected: str, engine: str) -> bool:
    if engine == "sqlite":
        kind, _, value = found.partition(" ")
        return value == (repr(expected) if kind == "text" else expected)
    return found == expected


@pytest.mark.reliability(44, 45, 46, 47)
async def test_every_way_in_and_out(database_url: str, tmp_path: Path) -> None:
    engine = urlsplit(database_url).scheme
    types, refused = cases_of(engine), refused_of(engine)
    nullable = " NULL" if engine == "mysql" else ""
    tables = {f"t{number}": type for number, (type, _) in enumerate(types)}
    script = TYPES.get(engine, "") + "".join(
        f"CREATE TABLE {table} (id integer PRIMARY KEY, value {type}{nullable});\n" for table, type in tables.items()
    )
    await run_script(database_url, script)
    files = {f"{table}/queries.sql": QUERIES.format(table=table) for table in tables}
    queries = write_files(tmp_path / "queries", files)
    faults: list[str] = []
    settings = Settings(database_url=database_url, queries=queries, tables=("*",), log_calls=False)
    async with running(settings) as http, connect(database_url, queries=queries, tables=("*",)) as db:
        for _ in range(3):  # many queries to describe
            with contextlib.suppress(AssertionError):
                await until(http, "/readyz", 200)
        for number, (type, values) in enumerate(types):
            ways = Ways(http, db, f"t{number}")
            known: dict[int, Case] = {}
            async with beside(database_url, type) as stored:
                for case in values:
                    keys = [*await ways.put(case), *await ways.through_tables(case), *await ways.in_a_transaction(case)]
                    keys += await ways.from_python(case, keys[0])
                    await ways.look(case, keys[0])
                    known |= dict.fromkeys(keys, case)
                    found = await stored(f"t{number}")
                    texts = {found.get(key) for key in keys}
                    if len(texts) != 1 or None in texts:
                        ways.fault(case, "stored", [(key, found.get(key)) for key in keys])
                    elif case.stored is not None and not is_stored(str(found[keys[0]]), case.stored, engine):
                        ways.fault(case, "stored", f"{found[keys[0]]!r}, not {case.stored!r}")
            await ways.look_at_all(known)
            for sent in refused[type]:
                await ways.refuse(type, sent)
            faults += ways.faults
    assert not faults, "\n".join([f"{len(faults)} faults", *faults[:400]])
