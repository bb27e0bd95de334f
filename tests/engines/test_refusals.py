"""What a database refuses is told with a caret under the word that it is about («…» in the cases), and with a hint."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sqlwright.errors import QueryInvalid
from workbench import Bench

CASES = json.loads((Path(__file__).parent.parent / "cases" / "refusals.json").read_text(encoding="utf-8"))
_SCHEMA = "CREATE TABLE shelf (id int PRIMARY KEY, name text, loud text GENERATED ALWAYS AS (upper(name)) STORED);"


async def test_a_caret_stands_under_what_is_wrong(
    database_url: str, open_bench: Callable[..., Awaitable[Bench]]
) -> None:
    cases = CASES[database_url.partition(":")[0]]
    bench = await open_bench(database_url, {"make.sql": f"-- name: make#\n{_SCHEMA}"})
    await bench.call("make")
    for number, (marked, message, hint) in enumerate(cases):
        before, meant = marked.partition("»")[0].split("«")
        head = "" if "-- name:" in marked else "-- name: a :many\n"
        path = bench.folder / f"q{number}.sql"
        path.write_bytes((head + marked.replace("«", "").replace("»", "") + ";").encode())
        bench.load()
        path.unlink()
        with pytest.raises(QueryInvalid) as caught:
            await bench.contracts.get(bench.registry["a"])
        told = caught.value.diagnostic
        assert told is not None
        line = (head + before).count("\n") + 1
        column = len((head + before).rpartition("\n")[2]) + 1
        assert (told.line, told.column, told.length) == (line, column, len(meant)), told
        assert message in told.message, told
        assert hint in told.hint, told
