"""Tables as only MariaDB and MySQL have them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from sqlwright.body import render_body
from sqlwright.crud import Tables, perform
from sqlwright.errors import CheckViolation, InvalidParameters, NoRow, UniqueViolation
from workbench import Bench

SETUP = """-- name: setup#
CREATE TABLE odd (
  id int AUTO_INCREMENT PRIMARY KEY, mood ENUM('sad', 'ok'), doc json, small int unsigned, code varchar(5) NOT NULL,
  twice bigint AS (small * 2) VIRTUAL, changed timestamp DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP,
  n int CHECK (n <> 3), UNIQUE KEY `by.code` (code)
);
CREATE TABLE filled (id int AUTO_INCREMENT PRIMARY KEY, code varchar(5) NOT NULL);
CREATE TRIGGER fill BEFORE INSERT ON filled FOR EACH ROW SET NEW.code = 'made';
CREATE TABLE sqlwright_migrations (id int);
CREATE TABLE ticks (`a``b` varchar(20) PRIMARY KEY, ```` int NULL, UNIQUE KEY (````));
CREATE TABLE broken_line (`a
b` int PRIMARY KEY, c int);
"""


@pytest.fixture
async def bench(open_bench: Callable[..., Awaitable[Bench]], mysql_url: str) -> Bench:
    made: Bench = await open_bench(mysql_url, {"setup.sql": SETUP}, tables=("*",))
    await made.call("setup")
    return made


async def answer(bench: Bench, operation: Awaitable[Any]) -> bytes:
    return render_body(*await perform(bench.database, await operation))[0]


async def test_the_catalogue_tells_the_rest(bench: Bench) -> None:
    tables = Tables(bench.database, bench.settings)
    assert await tables.names() == ["filled", "odd", "ticks"]
    columns = (await tables.table("odd")).by_name
    assert columns["mood"].values == ("sad", "ok")
    assert columns["twice"].read_only
    assert columns["code"].length_max == 5
    assert columns["code"].required
    assert columns["id"].is_filled
    assert columns["doc"].type.kind == "json"


async def test_backticks_in_names(bench: Bench) -> None:
    tables = Tables(bench.database, bench.settings)
    table = await tables.table("ticks")
    assert (list(table.by_name), table.primary_key) == (["a`b", "`"], ("a`b",))
    assert await answer(bench, tables.create("ticks", {"a`b": "x", "`": 1})) == b'{"a`b":"x","`":1}'
    assert await answer(bench, tables.update("ticks", "x", {"`": 2})) == b'{"a`b":"x","`":2}'
    await answer(bench, tables.create("ticks", {"a`b": "y", "`": 3}))
    with pytest.raises(UniqueViolation) as twice:
        await answer(bench, tables.update("ticks", "y", {"`": 2}))
    assert [(f.parameter, f.code) for f in twice.value.faults] == [("`", "unique")]


async def test_values_and_errors(bench: Bench) -> None:
    tables = Tables(bench.database, bench.settings)
    body = await answer(bench, tables.create("odd", {"code": "a", "mood": "ok", "doc": {"x": 1}, "small": 2**32 - 1}))
    assert b'"mood":"ok"' in body
    assert b'"small":4294967295' in body
    for wrong, code in (({"small": -1}, "range"), ({"mood": "no"}, "not_allowed"), ({"twice": 1}, "read_only"),
                        ({"code": "longer"}, "length")):  # fmt: skip
        with pytest.raises(InvalidParameters) as error:
            await tables.create("odd", {"code": "y", **wrong})
        assert [(f.parameter, f.code) for f in error.value.faults] == [(next(iter(wrong)), code)]
    with pytest.raises(CheckViolation) as broken:
        await answer(bench, tables.create("odd", {"code": "b", "n": 3}))
    assert [fault.parameter for fault in broken.value.faults] == ["n"]
    with pytest.raises(UniqueViolation) as twice:
        await answer(bench, tables.create("odd", {"code": "a"}))
    assert [fault.parameter for fault in twice.value.faults] == ["code"]


async def test_a_trigger_may_fill_what_must_be_there(bench: Bench) -> None:
    assert await answer(bench, Tables(bench.database, bench.settings).create("filled", {})) == b'{"id":1,"code":"made"}'


async def test_an_update_reads_back_in_one_transaction(bench: Bench) -> None:
    """There is no UPDATE … RETURNING."""
    tables = Tables(bench.database, bench.settings)
    await answer(bench, tables.create("odd", {"code": "a"}))
    operation = await tables.update("odd", 1, {"n": 1})
    assert [plan.access for plan in operation.plans] == ["write", "read"]
    for _ in range(2):  # the second changes nothing, and yet the row is there
        assert b'"n":1' in (render_body(*await perform(bench.database, operation))[0])
    with pytest.raises(NoRow):
        await answer(bench, tables.update("odd", 2, {"n": 1}))
    await bench.assert_whole()


async def test_single_floats_are_answered_with_all_their_digits(bench: Bench) -> None:
    bench.write(
        {"floats.sql": "-- name: floats#\nCREATE TABLE floats (`a``%, b` float PRIMARY KEY, f float, g double);"}
    )
    await bench.call("floats")
    tables = Tables(bench.database, bench.settings)
    row = b'{"a`%, b":1.234567e+06,"f":1.6777216e+07,"g":0.1}'
    key, values = {"a`%, b": 1234567}, {"f": 16777216, "g": Decimal("0.1")}
    assert await answer(bench, tables.create("floats", {**key, **values})) == row
    assert row in await answer(bench, tables.list("floats"))
    assert await answer(bench, tables.update("floats", key, values)) == row
