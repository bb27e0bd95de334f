"""UPDATE … RETURNING on a database that has none: what only this engine must mind. What all give is in
`test_returning.py`."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from mariadb_server import execute
from sqlwright.errors import QueryInvalid, SerializationFailure, StatementFailed
from sqlwright.query import Access
from workbench import Bench

SCHEMA = """
CREATE TABLE plain (id int PRIMARY KEY, n int NOT NULL, note varchar(40), made timestamp(3) NULL);
CREATE TABLE word (word varchar(30) PRIMARY KEY, n int NOT NULL) COLLATE utf8mb4_general_ci;
CREATE TABLE raw (k varbinary(16) PRIMARY KEY, n int NOT NULL);
CREATE TABLE pair (a int unsigned NOT NULL, `b ``%` varchar(20) NOT NULL, n int, PRIMARY KEY (a, `b ``%`));
CREATE TABLE bits (k bit(40) PRIMARY KEY, n int);
CREATE TABLE days (k datetime(3) PRIMARY KEY, n int);
CREATE TABLE decimals (k decimal(30, 10) PRIMARY KEY, n int);
CREATE TABLE doubles (k double PRIMARY KEY, n int);
CREATE TABLE floats (k float PRIMARY KEY, n int);
CREATE TABLE kinds (k enum('a', 'b''c') PRIMARY KEY, n int);
CREATE TABLE coded (id int, code char(3) NOT NULL, n int, UNIQUE KEY (id), UNIQUE KEY code (code));
CREATE TABLE keyless (id int, n int, UNIQUE KEY (id));
CREATE TABLE old (id int PRIMARY KEY, n int) ENGINE=MyISAM;
CREATE TABLE turned (id int PRIMARY KEY, n int);
CREATE TRIGGER turn BEFORE UPDATE ON turned FOR EACH ROW SET NEW.id = OLD.id + 100;
CREATE VIEW seen AS SELECT id, n FROM plain;
INSERT INTO plain VALUES (1, 10, 'a', NULL), (2, 20, 'b', NULL), (3, 30, NULL, NULL);
INSERT INTO turned VALUES (1, 1);
INSERT INTO keyless VALUES (1, 1);
"""
Ask = Callable[..., Awaitable[Any]]


@pytest.fixture
async def bench(open_bench: Any, mysql_url: str) -> Bench:
    bench: Bench = await open_bench(mysql_url, {}, lock_timeout_seconds=5)
    bench.write({"schema.sql": f"-- name: create#\n{SCHEMA}"})
    await bench.call("create")
    return bench


@pytest.fixture
def ask(bench: Bench) -> Ask:
    """`await ask(sql, body)` writes one query and calls it."""

    async def ask(sql: str, body: object = None, *, header: str = "asked", **options: Any) -> Any:
        bench.write({"asked.sql": f"-- name: {header}\n{sql}\n;"})
        return await bench.call("asked", body, **options)

    return ask


KEYS = [
    ("word", "word", ["o'clock", 'dou"ble', "back\\slash", "Straße", "漢字 🎈", "UPPER", "%s %% :x", ""]),
    ("raw", "k", [base64.b64encode(bytes(k)).decode() for k in ([], [0], [39, 92, 0, 255], [195, 40])]),
    ("bits", "k", [0, 1, 2**40 - 1]),
    ("days", "k", ["2026-03-29T02:30:00", "2026-03-29T02:30:00.123", "1000-01-01T00:00:00"]),
    ("doubles", "k", [Decimal(text) for text in ("0.1", "-1e300", "1e-7", "123456789.12345679")]),
    ("kinds", "k", ["a", "b'c"]),
]


@pytest.mark.parametrize(("table", "key", "values"), KEYS)
async def test_rows_are_found_again_by_any_key(ask: Ask, table: str, key: str, values: list[object]) -> None:
    await ask(f"INSERT INTO {table} ({key}, n) VALUES (:k, 1)", [{"k": value} for value in values], header="asked*!")
    changed = await ask(f"UPDATE {table} SET n = n + 1 ORDER BY {key} DESC RETURNING {key}, n")
    ordered = await ask(f"SELECT {key}, n FROM {table} ORDER BY {key} DESC")
    assert changed["data"] == ordered["data"]
    assert len(changed["data"]) == len(values)
    assert {row["n"] for row in changed["data"]} == {2}
    for value in values:
        row = await ask(f"UPDATE {table} SET n = 7 WHERE {key} = :k RETURNING {key}", {"k": value}, header="asked<!")
        assert row == {key: value}


async def test_a_decimal_key(ask: Ask) -> None:
    await ask(
        "INSERT INTO decimals VALUES (12345678901234567890.0000000001, 1), (12345678901234567890, 1)", header="asked!"
    )
    rows = await ask("UPDATE decimals SET n = 2 WHERE k > 12345678901234567890 RETURNING k, n")
    assert [(str(row["k"]), row["n"]) for row in rows["data"]] == [("12345678901234567890.0000000001", 2)]


async def test_a_key_that_differs_in_case_is_the_same(ask: Ask) -> None:
    await ask("INSERT INTO word VALUES ('Straße', 1)", header="asked!")
    row = await ask("UPDATE word SET n = 2 WHERE word = :w RETURNING word, n", {"w": "STRASSE"}, header="asked :one?")
    other = await ask("UPDATE word SET n = 3 WHERE word = :w RETURNING word, n", {"w": "STRAßE"}, header="asked :one?")
    assert [row, other] == [None, {"word": "Straße", "n": 3}]


async def test_a_composite_key_with_odd_names(ask: Ask) -> None:
    pairs = [{"a": 1, "b": "x"}, {"a": 1, "b": "y'\\"}, {"a": 4294967295, "b": "x"}]
    await ask("INSERT INTO pair VALUES (:a, :b, 1)", pairs, header="asked*!")
    sql = (
        "UPDATE pair AS `p %` SET n = n + :by WHERE `p %`.a % 2 = 1 ORDER BY a DESC, `b ``%` LIMIT 2 RETURNING `p %`.*"
    )
    rows = (await ask(sql, {"by": 1}))["data"]
    assert rows == [{"a": 4294967295, "b `%": "x", "n": 2}, {"a": 1, "b `%": "x", "n": 2}]
    left = await ask("SELECT n FROM pair WHERE `b ``%` LIKE 'y%'", header="asked$")
    assert left == {"value": 1}


async def test_another_unique_key_where_the_first_one_changes(ask: Ask) -> None:
    await ask("INSERT INTO coded VALUES (1, 'a', 1), (NULL, 'b', 1), (NULL, 'c', 1)", header="asked!")
    rows = await ask("UPDATE coded SET id = ord(code) + n ORDER BY code DESC RETURNING code, id")
    assert rows["data"] == [{"code": "c", "id": 100}, {"code": "b", "id": 99}, {"code": "a", "id": 98}]


async def test_many_more_rows_than_go_at_once(ask: Ask) -> None:
    await ask("INSERT INTO plain SELECT seq, 1, NULL, NULL FROM seq_1000_to_3233", header="asked!")
    rows = await ask("UPDATE plain SET n = n + 1 WHERE id >= :low ORDER BY id DESC RETURNING id, n", {"low": 1000})
    assert rows["data"] == [{"id": number, "n": 2} for number in range(3233, 999, -1)]
    assert await ask("SELECT sum(n) FROM plain WHERE id >= 1000", header="asked$") == {"value": 2 * 2234}


async def test_a_subquery_in_set_sees_the_table_as_it_was(ask: Ask) -> None:
    await ask("INSERT INTO plain SELECT seq, 1, NULL, NULL FROM seq_1000_to_3233", header="asked!")
    total = "(SELECT sum(p.n) FROM plain p)"
    rows = await ask(f"UPDATE plain SET n = {total} WHERE id >= 1000 RETURNING n")
    assert {row["n"] for row in rows["data"]} == {60 + 2234}


async def test_the_place_of_parameters_in_every_part(ask: Ask) -> None:
    sql = """
UPDATE plain /* ? */ p -- :no
SET n = :n, note = concat(:note, '?%s', :n)
WHERE p.id IN (:ids) AND p.n NOT IN (:not) AND :yes = 'yes%' AND '%' <> ':x'
ORDER BY p.n = :first DESC, p.id LIMIT :most
RETURNING id, :more AS more, note, (SELECT count(*) FROM plain WHERE n = :n) AS same, :n + n AS twice, 'a%s' AS c"""
    body = {"n": 5, "note": "%", "ids": [1, 2, 3], "not": [20], "yes": "yes%", "first": 30, "most": 5, "more": "%d"}
    rows = (await ask(sql, body))["data"]
    expected = {"more": "%d", "note": "%?%s5", "same": 2, "twice": 10, "c": "a%s"}
    assert rows == [{"id": 3, **expected}, {"id": 1, **expected}]


async def test_a_number_is_compared_as_text_with_text_in_every_part(ask: Ask) -> None:
    sql = "UPDATE plain SET n = n + :n WHERE lower(note) = :note RETURNING id, lower(note) = :note AS same"
    assert (await ask(sql, {"n": 1, "note": 0}))["data"] == []


async def see_newer_rows(tx: Any) -> None:
    """As on MySQL, which lets a transaction change what its snapshot does not have."""
    async with tx.lease(Access.WRITE) as lease:
        await lease.session.fetch("SET innodb_snapshot_isolation = OFF")


async def test_what_did_not_change_is_read_as_it_is_now(bench: Bench, mysql_url: str) -> None:
    files = {
        "same.sql": "-- :result :returning\nUPDATE plain SET n = 77 WHERE id = 1 RETURNING n, note",
        "look.sql": "-- :result :value\nSELECT note FROM plain WHERE id = 1",
    }
    bench.write(files)
    async with bench.database.transaction(isolation="repeatable_read") as tx:
        await see_newer_rows(tx)
        assert await bench.call("look", where=tx) == {"value": "a"}
        execute(mysql_url, "UPDATE plain SET n = 77, note = 'new' WHERE id = 1")
        assert await bench.call("same", where=tx) == {"n": 77, "note": "new"}


async def test_who_waits_for_a_row_finds_it_as_it_is_then(bench: Bench) -> None:
    files = {
        "take.sql": "-- :result :many\nUPDATE plain SET note = :by WHERE n = 20 AND note = 'b' RETURNING id",
        "waits.sql": "-- :result :value\nSELECT max(trx_state = 'LOCK WAIT') FROM information_schema.innodb_trx",
    }
    bench.write(files)
    async with bench.database.transaction() as second:
        await see_newer_rows(second)
        async with bench.database.transaction() as first:
            assert (await bench.call("take", {"by": "first"}, where=first))["data"] == [{"id": 2}]
            late = asyncio.ensure_future(bench.call("take", {"by": "second"}, where=second))
            for _ in range(500):
                if (await bench.call("waits"))["value"]:
                    break
                await asyncio.sleep(0.01)
            else:
                pytest.fail("the second one does not wait")
        assert (await late)["data"] == []


async def test_what_a_subquery_in_where_no_longer_says_is_not_changed(bench: Bench, mysql_url: str) -> None:
    files = """
-- name: look$
SELECT count(*) FROM plain;
-- name: free<!
UPDATE plain SET n = 0 WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM coded WHERE code = 'x') RETURNING n
"""
    bench.write({"q.sql": files})

    async def free() -> None:
        async with bench.database.transaction() as tx:
            await see_newer_rows(tx)
            await bench.call("look", where=tx)
            execute(mysql_url, "INSERT INTO coded VALUES (1, 'x', 1)")
            await bench.call("free", where=tx)

    with pytest.raises(SerializationFailure):
        await free()
    await bench.assert_whole()


async def test_a_trigger_that_changes_the_key_is_told_and_undone(ask: Ask) -> None:
    with pytest.raises(StatementFailed, match="trigger"):
        await ask("UPDATE turned SET n = 5 WHERE id = 1 RETURNING id, n")
    assert (await ask("SELECT * FROM turned"))["data"] == [{"id": 1, "n": 1}]


async def test_a_deadlock_commits_nothing(bench: Bench) -> None:
    """Two calls lock many rows in opposite orders."""
    files = """
-- name: fill!
INSERT INTO plain SELECT seq, 0, NULL, NULL FROM seq_1000_to_2999;
-- name: up
UPDATE plain SET n = n + 1 WHERE id >= 1000 ORDER BY id RETURNING id;
-- name: down
UPDATE plain SET n = n + 1 WHERE id >= 1000 ORDER BY id DESC RETURNING id;
-- name: different
SELECT DISTINCT n FROM plain WHERE id >= 1000;
"""
    bench.write({"q.sql": files})
    await bench.call("fill")
    answers = await asyncio.gather(*(bench.call(n) for n in ("up", "down") * 4), return_exceptions=True)
    done = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert all(isinstance(a, SerializationFailure | dict) for a in answers)
    assert (await bench.call("different"))["data"] == [{"n": len(done)}]
    await bench.assert_whole()


async def test_exec_and_bulk_are_the_update_alone(ask: Ask, bench: Bench) -> None:
    sql = "UPDATE keyless SET n = :n WHERE id = :id RETURNING n, upper(:unused)"
    assert await ask(sql, {"n": 1, "id": 1, "unused": "x"}, header="asked!") == {"affected": 1}
    items = [{"n": 2, "id": 1, "unused": "x"}, {"n": 3, "id": 9, "unused": 0}]
    assert await ask(sql, items, header="asked*!") == {"affected": 1}
    contract = await bench.contracts.get(bench.registry["asked"])
    assert contract.program.sql.strip() == "UPDATE keyless SET n = ? WHERE id = ?"


REFUSED = [
    ("UPDATE keyless SET n = 1 RETURNING n", "RETURNING", "the table has none", "primary key"),
    ("UPDATE seen SET n = 1 RETURNING n", "RETURNING", "a view has none", "the table itself"),
    ("UPDATE floats SET n = 1 RETURNING n", "RETURNING", "the table has none", "primary key"),
    ("UPDATE old SET n = 1 RETURNING n", "RETURNING", "can be locked", "InnoDB"),
    ("UPDATE plain p SET n = 1, p.`ID` = id + 1 WHERE id = 1 RETURNING n", "`ID`", "this changes it", "of its own"),
    ("UPDATE coded SET code = 'x', n = 2 RETURNING n", "code =", "this changes it", "of its own"),
    ("UPDATE plain, word SET plain.n = 1 RETURNING plain.n", ", word", "one table", "subqueries"),
    ("UPDATE plain p JOIN word w ON w.n = p.n SET p.n = 1 RETURNING p.n", "JOIN", "one table", "subqueries"),
    ("WITH x AS (SELECT 1 AS a) UPDATE plain SET n = 1 RETURNING n", "WITH", "WITH list", "subqueries"),
    ("UPDATE IGNORE plain SET n = 1 RETURNING n", "IGNORE", "UPDATE IGNORE", "leave"),
    ("UPDATE plain SET n = 1 RETURNING n, max(n)", "max", "over several rows", "subquery"),
    ("UPDATE plain SET n = 1 RETURNING n, row_number() OVER () AS r", "OVER", "over several rows", "subquery"),
    ("UPDATE plain SET n = 1 RETURNING DISTINCT n", "DISTINCT", "syntax error near 'DISTINCT'", "list of expressions"),
    ("UPDATE plain SET n = 1 RETURNING nope", "nope", "Unknown column 'nope'", ""),
    ("UPDATE plain p SET n = 1 RETURNING plain.n", "plain.n", "Unknown column 'plain.n'", ""),
    ("UPDATE plain SET nope = 1 RETURNING n", "nope", "Unknown column 'nope'", ""),
    ("UPDATE nowhere SET n = 1 RETURNING n", "nowhere", "doesn't exist", ""),
    ("UPDATE plain SET n = 1 WHERE WHERE RETURNING n", "WHERE WHERE", "syntax error near 'WHERE'", ""),
    ("UPDATE plain SET n = 1 FROM word WHERE 1 RETURNING n", "FROM", "syntax error near 'FROM'", ""),
    ("UPDATE plain SET n = 1 WHERE id =\nRETURNING n", "=\n", "syntax error", "missing after this"),
    ("UPDATE plain SET n = 1 RETURNING", "RETURNING", "syntax error", ""),
]


@pytest.mark.parametrize(("sql", "place", "message", "hint"), REFUSED)
async def test_what_cannot_be_right_is_refused(ask: Ask, sql: str, place: str, message: str, hint: str) -> None:
    with pytest.raises(QueryInvalid) as refused:
        await ask(sql)
    found = refused.value.diagnostic
    assert found is not None
    assert message in found.message
    assert hint in found.hint
    assert f"{found.source}\n"[found.column - 1 :].startswith(place)


async def test_what_is_shown_is_what_is_sent(bench: Bench) -> None:
    sql = "UPDATE plain AS p SET n = :n WHERE p.id = :id AND p.n > (SELECT 0) ORDER BY p.n LIMIT 1 RETURNING *, :x AS x"
    bench.write({"q.sql": f"-- name: one<!\n{sql}"})
    program = (await bench.contracts.get(bench.registry["one"])).program
    assert program.order == ("id", "n", "id", "x")
    assert (
        program.sql
        == """\
SELECT p.`id`
FROM plain AS p
WHERE p.id = ? AND p.n > (SELECT 0) ORDER BY p.n LIMIT 1
FOR UPDATE;
UPDATE plain AS p SET n = ?
WHERE (p.id = ? AND p.n > (SELECT 0))
AND p.`id` IN (…)
ORDER BY p.n;
SELECT *, ? AS x, p.`id`
FROM plain AS p
WHERE p.`id` IN (…)
FOR UPDATE"""
    )


@pytest.mark.parametrize("analyze", [False, True])
@pytest.mark.parametrize(("low", "found"), [(1, 3), (9, 1)])
async def test_the_plan_of_every_statement(bench: Bench, low: int, found: int, *, analyze: bool) -> None:
    files = {
        "up.sql": "UPDATE plain SET n = n + 1 WHERE id >= :low RETURNING n",
        "sum.sql": "-- :result :value\nSELECT sum(n) FROM plain",
    }
    bench.write(files)
    program = (await bench.contracts.get(bench.registry["up"])).program
    async with bench.database.lease(Access.WRITE) as lease:
        explained = await bench.database.engine.explain(lease, program, [low], analyze=analyze, timeout_seconds=5)
    sent = program.sql.split(";\n")
    expected = sent[: found if analyze else 1]
    assert [step["sql"] for step in explained.plan] == expected
    assert all(step["plan"]["query_block"] for step in explained.plan)
    assert all(sql in explained.text for sql in sent)
    assert explained.text.count("by the keys") == 3 - len(expected)
    assert "table plain" in explained.text or low > 3
    assert await bench.call("sum") == {"value": 60}
    await bench.assert_whole()


SINGLE = """
CREATE TABLE single (id int AUTO_INCREMENT PRIMARY KEY, `a``%` float, b float unsigned, note text, h float INVISIBLE);
"""


@pytest.mark.parametrize(
    "items",
    [
        "`a``%`, b, note", "*", "single.*", "*, h", "'(' AS p, single.*, h AS x", "coalesce(b, `a``%`), b + 1 AS c",
        "`single`.`a``%` AS `x y`, b y, note, b + 1e0 AS s",
        "single.b , concat(note, ', (', :b) AS n, (SELECT max(q.id) FROM plain AS q) AS m, h /* , b */ -- end",
    ],
)  # fmt: skip
async def test_single_floats_keep_all_their_digits(bench: Bench, items: str) -> None:
    bench.write(
        {
            "single.sql": f"""-- name: schema#
{SINGLE}
-- name: insert
INSERT INTO single (`a``%`, b, note, h) VALUES (16777216, :b, 'x', 1234567) RETURNING {items}
;
-- name: update
UPDATE single SET note = 'x' WHERE b = :b RETURNING {items}
;
-- name: delete
DELETE FROM single WHERE b = :b RETURNING {items}
;
"""
        }
    )
    await bench.call("schema")
    value = {"b": Decimal("1234567")}
    made = (await bench.call("insert", value))["data"]
    numbers = {item for item in made[0].values() if isinstance(item, Decimal)}
    assert numbers
    assert numbers <= {Decimal("1234567"), Decimal("1234568"), Decimal("16777216")}
    assert made == (await bench.call("update", value))["data"] == (await bench.call("delete", value))["data"]
