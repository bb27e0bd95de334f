"""Tables as only SQLite has them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from sqlwright.body import render_body
from sqlwright.crud import Tables, perform
from sqlwright.errors import CheckViolation, InvalidParameters, NoRow, QueryInvalid, UniqueViolation
from workbench import Bench

SETUP = """-- name: setup#
CREATE TABLE keyed (
  id INTEGER PRIMARY KEY, note text DEFAULT "it's", made text DEFAULT (strftime('%Y:%m', '2020-02-03'))
);
CREATE TABLE texts (code text PRIMARY KEY, n int CHECK (n <> 3));
CREATE TABLE pair (a text, b int, PRIMARY KEY (b, a)) WITHOUT ROWID;
CREATE TABLE strict (id INTEGER PRIMARY KEY, n INTEGER NOT NULL) STRICT;
CREATE TABLE "my.table, x" (id int PRIMARY KEY, "a.b, c" text, d text, UNIQUE ("a.b, c", d));
CREATE VIRTUAL TABLE words USING fts5(body);
CREATE TABLE sqlwright_migrations (id int);
"""
BREAK = """-- name: break#
CREATE TABLE gone (a int);
CREATE VIEW broken AS SELECT a FROM gone;
CREATE VIEW broken_too AS SELECT * FROM broken;
DROP TABLE gone;
"""


@pytest.fixture(params=["file", "memory"])
async def bench(request: pytest.FixtureRequest, open_bench: Callable[..., Awaitable[Bench]], sqlite_url: str) -> Bench:
    url = sqlite_url if request.param == "file" else "sqlite:///:memory:"
    made: Bench = await open_bench(url, {"setup.sql": SETUP}, tables=("*",))
    await made.call("setup")
    return made


async def answer(bench: Bench, operation: Awaitable[Any]) -> bytes:
    return render_body(*await perform(bench.database, await operation))[0]


async def test_what_is_served(bench: Bench) -> None:
    tables = Tables(bench.database, bench.settings)
    assert await tables.names() == ["keyed", "my.table, x", "pair", "strict", "texts", "words"]
    assert (await tables.table("pair")).primary_key == ("b", "a")
    assert (await tables.table("keyed")).by_name["id"].is_filled
    code = (await tables.table("texts")).by_name["code"]
    assert (code.nullable, code.required) == (False, True)  # SQLite would take NULL for such a key


async def test_a_view_of_something_that_is_gone_takes_no_other_with_it(bench: Bench) -> None:
    bench.write({"break.sql": BREAK})
    await bench.call("break")
    assert await Tables(bench.database, bench.settings).names() == [
        "keyed", "my.table, x", "pair", "strict", "texts", "words",
    ]  # fmt: skip


async def test_defaults_of_every_form(bench: Bench) -> None:
    tables = Tables(bench.database, bench.settings)
    row = b'{"id":1,"note":"it\'s","made":"2020:02"}'
    assert await answer(bench, tables.create("keyed", {})) == row
    assert await answer(bench, tables.update("keyed", 1, {"note": "x", "made": None})) != row
    assert await answer(bench, tables.replace("keyed", 1, {})) == row


async def test_errors_name_the_column(bench: Bench) -> None:
    tables = Tables(bench.database, bench.settings)
    with pytest.raises(CheckViolation) as broken:
        await answer(bench, tables.create("texts", {"code": "a", "n": 3}))
    assert [fault.parameter for fault in broken.value.faults] == ["n"]
    await answer(bench, tables.create("my.table, x", {"id": 1, "a.b, c": "1", "d": "2"}))
    with pytest.raises(UniqueViolation) as twice:
        await answer(bench, tables.create("my.table, x", {"id": 2, "a.b, c": "1", "d": "2"}))
    assert [fault.parameter for fault in twice.value.faults] == ["a.b, c", "d"]
    with pytest.raises(InvalidParameters):
        await tables.create("strict", {"n": "x"})


async def test_a_column_that_is_gone_is_no_string(bench: Bench) -> None:
    """SQLite reads "name" as a text where no column has that name: every row would have it."""
    tables = Tables(bench.database, bench.settings)
    await answer(bench, tables.create("texts", {"code": "a"}))
    bench.write({"rename.sql": "-- name: rename#\nALTER TABLE texts RENAME COLUMN n TO m;\n"})
    await bench.call("rename")
    with pytest.raises(QueryInvalid):  # until the schema is looked at again
        await answer(bench, tables.list("texts"))


TRIGGERS = """-- name: triggers#
CREATE TABLE stamped (id INTEGER PRIMARY KEY, a text, b text DEFAULT 'early');
CREATE TRIGGER stamp AFTER INSERT ON STAMPED BEGIN
  INSERT INTO keyed VALUES (1000 + new.id, 'x', 'x'); UPDATE stamped SET b = 'made' WHERE id = new.id;
END;
CREATE TRIGGER restamp AFTER UPDATE OF a ON stamped BEGIN UPDATE stamped SET b = 'changed' WHERE id = new.id; END;
CREATE TABLE bare (rowid text, a int, b text);
CREATE TRIGGER bare AFTER INSERT ON bare BEGIN
  INSERT INTO keyed VALUES (2000 + new.a, 'x', 'x'); UPDATE bare SET b = 'made' WHERE _rowid_ = new._rowid_;
END;
CREATE TABLE rowless (k text DEFAULT (hex(randomblob(4))), n int, b text, PRIMARY KEY (k, n)) WITHOUT ROWID;
CREATE TRIGGER rowless AFTER INSERT ON rowless BEGIN UPDATE rowless SET b = 'made' WHERE k = new.k; END;
CREATE TABLE inbox (id INTEGER PRIMARY KEY, a text);
CREATE TRIGGER inbox AFTER INSERT ON inbox BEGIN DELETE FROM inbox; INSERT INTO keyed VALUES (3000, new.a, ''); END;
CREATE TABLE loose (k int DEFAULT 'none' PRIMARY KEY, a text);
CREATE TRIGGER loose AFTER INSERT ON loose BEGIN UPDATE loose SET a = 'made'; END;
"""


async def test_a_row_is_answered_as_triggers_leave_it(bench: Bench) -> None:
    """RETURNING gives it before they run."""
    bench.write({"triggers.sql": TRIGGERS})
    await bench.call("triggers")
    tables = Tables(bench.database, bench.settings)
    await answer(bench, tables.create("keyed", {"id": 7}))
    for row in (b'{"id":1,"a":"x","b":"made"}', b'{"id":2,"a":"x","b":"made"}'):
        assert await answer(bench, tables.create("stamped", {"a": "x"})) == row
    assert await answer(bench, tables.update("stamped", 2, {"a": "y"})) == b'{"id":2,"a":"y","b":"changed"}'
    assert await answer(bench, tables.replace("stamped", 2, {"b": "z"})) == b'{"id":2,"a":null,"b":"changed"}'
    with pytest.raises(NoRow):
        await answer(bench, tables.update("stamped", 3, {"a": "y"}))
    for n in (1, 2):
        expected = b'{"rowid":null,"a":%d,"b":"made"}' % n
        assert await answer(bench, tables.create("bare", {"a": n})) == expected
    assert (await answer(bench, tables.create("rowless", {"n": 1}))).endswith(b'"n":1,"b":"made"}')


async def test_a_row_that_a_trigger_takes_away_is_answered_as_it_came(bench: Bench) -> None:
    bench.write({"triggers.sql": TRIGGERS})
    await bench.call("triggers")
    tables = Tables(bench.database, bench.settings)
    assert await answer(bench, tables.create("inbox", {"a": "x"})) == b'{"id":1,"a":"x"}'
    assert b'"note":"x"' in await answer(bench, tables.get("keyed", 3000))


async def test_a_row_whose_key_no_request_can_name_is_answered_as_it_came(bench: Bench) -> None:
    bench.write({"triggers.sql": TRIGGERS})
    await bench.call("triggers")
    tables = Tables(bench.database, bench.settings)
    assert await answer(bench, tables.create("loose", {"a": "x"})) == b'{"k":"none","a":"x"}'
    assert await answer(bench, tables.list("loose")) == b'{"data":[{"k":"none","a":"made"}],"next":null}'
