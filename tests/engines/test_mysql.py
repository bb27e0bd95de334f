"""The MariaDB engine: what only it does. What is the same on every engine is tested there."""

# ruff: noqa: PT012 - what raises is a transaction's body or its end, so both stand inside of `pytest.raises`

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import pymysql
import pytest

from mariadb_server import connect, execute
from sqlwright.engines.mysql.errors import translate
from sqlwright.errors import (
    CheckViolation,
    DatabaseError,
    DatabaseUnavailable,
    ForeignKeyViolation,
    InvalidValue,
    LockTimeout,
    MoreThanOneRow,
    NotNullViolation,
    OutcomeUnknown,
    PermissionDenied,
    ProgramLimitExceeded,
    QueryInvalid,
    RaisedByStatement,
    ReadQueryWrote,
    SerializationFailure,
    SqlwrightError,
    StatementFailed,
    StatementTimeout,
    TransactionFailed,
    UniqueViolation,
)
from sqlwright.query import Access
from workbench import Bench

SCHEMA = """
CREATE TABLE maker (maker_id int AUTO_INCREMENT PRIMARY KEY, name varchar(20) NOT NULL, UNIQUE KEY maker_name (name));
CREATE TABLE thing (
  thing_id int AUTO_INCREMENT PRIMARY KEY,
  maker_id int NOT NULL,
  size tinyint unsigned,
  made date,
  kind enum('a', 'b'),
  CONSTRAINT thing_maker FOREIGN KEY (maker_id) REFERENCES maker (maker_id),
  CONSTRAINT thing_size CHECK (size < 200)
);
CREATE TABLE counter (n int);
CREATE SEQUENCE tickets;
INSERT INTO maker VALUES (1, 'acme'), (2, 'bolt');
CREATE FUNCTION counted() RETURNS int MODIFIES SQL DATA BEGIN INSERT INTO counter VALUES (1); RETURN 1; END;
"""
FILES = {
    "q.sql": """
-- name: add :insert
-- @param size int?
INSERT INTO thing (maker_id, size) VALUES (:maker_id, :size);
-- name: add_maker!
-- @param name text?
INSERT INTO maker (name) VALUES (:name);
-- name: add_maker_or_not :insert
INSERT IGNORE INTO maker (name) VALUES (:name);
-- name: add_nameless!
INSERT INTO maker (maker_id) VALUES (9);
-- name: rename!
UPDATE maker SET name = :name WHERE maker_id = :maker_id;
-- name: make_it_that!
-- @param made text
UPDATE thing SET made = :made, maker_id = maker_id;
-- name: remove_maker!
DELETE FROM maker WHERE maker_id = :maker_id;
-- name: remove<!
DELETE FROM thing WHERE maker_id = :maker_id RETURNING thing_id;
-- name: makers
SELECT maker_id, name FROM maker ORDER BY maker_id;
-- name: count$
SELECT COUNT(*) FROM thing;
-- name: counting$
SELECT counted();
-- name: counting_openly$
-- @write
SELECT counted();
-- name: ticket$
SELECT NEXTVAL(tickets);
-- name: counter$
SELECT COUNT(*) FROM counter;
-- name: complain!
CALL complain();
-- name: sorted_by_hand$
SELECT COUNT(*) FROM (SELECT DISTINCT name FROM maker ORDER BY name LIMIT 1) m;
-- name: long$
-- @timeout 300ms
SELECT COUNT(*) FROM seq_1_to_1000000 a, seq_1_to_1000000 b WHERE a.seq + b.seq = -1;
-- name: deep$
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT COUNT(*) FROM n;
-- name: joined$
SELECT LENGTH(GROUP_CONCAT(REPEAT('x', 1000))) FROM seq_1_to_3000;
-- name: drop_it!
DROP TABLE counter;
-- name: rename_many*!
UPDATE maker SET name = :name WHERE maker_id = :maker_id;
-- name: end_it!
CALL end_it();
-- name: load*!
INSERT INTO maker (name) VALUES (:name);
""",
}


@pytest.fixture
async def bench(open_bench: Any, mysql_url: str) -> Bench:
    bench: Bench = await open_bench(mysql_url, {}, lock_timeout_seconds=1)
    bench.write({"schema.sql": f"-- name: create#\n{SCHEMA}"})
    await bench.call("create")
    bench.write(FILES)
    return bench


async def fails(bench: Bench, name: str, body: object = None) -> DatabaseError:
    with pytest.raises(DatabaseError) as refused:
        await bench.call(name, body)
    return refused.value


async def test_the_key_of_an_inserted_row(bench: Bench) -> None:
    assert await bench.call("add", {"maker_id": 1, "size": 3}) == {"value": 1}
    assert await bench.call("add", {"maker_id": 1, "size": None}) == {"value": 2}
    assert await bench.call("add_maker_or_not", {"name": "acme"}) == {"value": None}


async def test_affected_counts_the_rows_that_match(bench: Bench) -> None:
    assert await bench.call("rename", {"maker_id": 1, "name": "acme"}) == {"affected": 1}
    assert await bench.call("rename", {"maker_id": 9, "name": "acme"}) == {"affected": 0}


@pytest.mark.parametrize(
    ("name", "body", "cause", "about"),
    [
        ("add_maker", {"name": "acme"}, UniqueViolation, ("maker_name", ())),
        ("add_maker", {"name": None}, NotNullViolation, ("", ("name",))),
        ("add_nameless", {}, NotNullViolation, ("", ("name",))),
        ("add_maker", {"name": "x" * 21}, InvalidValue, ("", ("name",))),
        ("add", {"maker_id": 77, "size": 1}, ForeignKeyViolation, ("thing_maker", ("maker_id",))),
        ("add", {"maker_id": 1, "size": 222}, CheckViolation, ("thing_size", ())),
    ],
)
async def test_what_is_refused_says_what_it_is_about(
    bench: Bench, name: str, body: object, cause: type[DatabaseError], about: tuple[str, tuple[str, ...]]
) -> None:
    error = await fails(bench, name, body)
    assert (type(error), error.constraint, error.columns) == (cause, *about)
    assert error.outcome == "none"


@pytest.mark.parametrize(
    ("code", "read", "write"),
    [
        (1290, StatementFailed, StatementFailed),  # an option, and the message does not say that it is --read-only
        (1792, ReadQueryWrote, DatabaseUnavailable),
        (2006, DatabaseUnavailable, OutcomeUnknown),
        (2013, DatabaseUnavailable, OutcomeUnknown),
        (1040, DatabaseUnavailable, DatabaseUnavailable),
        (1045, DatabaseUnavailable, DatabaseUnavailable),
        (1049, DatabaseUnavailable, DatabaseUnavailable),
        (1053, DatabaseUnavailable, DatabaseUnavailable),
        (1114, DatabaseUnavailable, DatabaseUnavailable),
        (1020, SerializationFailure, SerializationFailure),
        (1213, SerializationFailure, SerializationFailure),
        (1205, LockTimeout, LockTimeout),
        (1317, StatementTimeout, StatementTimeout),
        (1969, StatementTimeout, StatementTimeout),
        (3024, StatementTimeout, StatementTimeout),
        (1690, InvalidValue, InvalidValue),
        (1142, PermissionDenied, PermissionDenied),
        (1153, ProgramLimitExceeded, ProgramLimitExceeded),
        (1146, StatementFailed, StatementFailed),
        (9999, StatementFailed, StatementFailed),
    ],
)
def test_error_numbers(code: int, read: type[SqlwrightError], write: type[SqlwrightError]) -> None:
    error = pymysql.err.OperationalError(code, "secret")
    for access, cause in ((Access.READ, read), (Access.WRITE, write)):
        found = translate(error, access)
        assert type(found) is cause
        assert "secret" not in str(found)


def test_what_is_not_the_drivers_is_left_alone() -> None:
    assert translate(KeyError("x"), Access.READ) is None
    assert isinstance(translate(ConnectionResetError(), Access.READ), DatabaseUnavailable)
    assert isinstance(translate(ConnectionResetError(), Access.WRITE), OutcomeUnknown)


async def test_a_row_that_is_referred_to_stays(bench: Bench) -> None:
    await bench.call("add", {"maker_id": 1, "size": 1})
    error = await fails(bench, "remove_maker", {"maker_id": 1})
    assert (type(error), error.constraint) == (ForeignKeyViolation, "thing_maker")


async def test_what_somebody_raises_is_shown(bench: Bench, mysql_url: str) -> None:
    signal = "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not on a Sunday'"
    execute(mysql_url, f"CREATE PROCEDURE complain() BEGIN {signal}; END")
    error = await fails(bench, "complain")
    assert (type(error), str(error)) == (RaisedByStatement, "not on a Sunday")


async def test_a_second_row_undoes_the_write(bench: Bench) -> None:
    for _ in range(2):
        await bench.call("add", {"maker_id": 1, "size": 1})
    with pytest.raises(MoreThanOneRow):
        await bench.call("remove", {"maker_id": 1})
    assert await bench.call("count") == {"value": 2}


@pytest.mark.parametrize("name", ["counting", "ticket"])
async def test_a_read_that_writes_is_refused_alone_and_in_a_transaction(bench: Bench, name: str) -> None:
    with pytest.raises(ReadQueryWrote):
        await bench.call(name)
    with pytest.raises(ReadQueryWrote):
        async with bench.database.transaction() as tx:
            await bench.call("rename", {"maker_id": 1, "name": "kept?"}, where=tx)
            await bench.call("makers", where=tx)
            await bench.call("sorted_by_hand", where=tx)
            await bench.call(name, where=tx)
    assert await bench.call("counter") == {"value": 0}
    assert (await bench.call("makers"))["data"][0]["name"] == "acme"
    assert await bench.call("counting_openly") == {"value": 1}


async def test_a_statement_that_would_commit_is_refused_in_a_transaction(bench: Bench) -> None:
    with pytest.raises(StatementFailed, match="DROP would commit"):
        async with bench.database.transaction() as tx:
            await bench.call("rename", {"maker_id": 1, "name": "kept?"}, where=tx)
            await bench.call("drop_it", where=tx)
    assert (await bench.call("makers"))["data"][0]["name"] == "acme"


async def test_nothing_is_cut_off_with_a_mere_warning(bench: Bench) -> None:
    assert await bench.call("deep") == {"value": 5000}
    assert await bench.call("joined") == {"value": 3_002_999}


async def test_the_server_stops_what_takes_too_long(bench: Bench) -> None:
    await bench.contracts.get(bench.registry["long"])
    await bench.assert_whole()
    opened = bench.database.opened
    error = await fails(bench, "long")
    assert (type(error), error.native_code) == (StatementTimeout, "1969")
    await bench.assert_whole()
    assert bench.database.opened == opened


async def test_a_lock_is_waited_for_and_then_given_up(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        await bench.call("rename", {"maker_id": 1, "name": "mine"}, where=tx)
        error = await fails(bench, "rename", {"maker_id": 1, "name": "yours"})
        assert type(error) is LockTimeout
    assert (await bench.call("makers"))["data"][0]["name"] == "mine"


async def test_a_deadlock_ends_the_transaction_whole(bench: Bench) -> None:
    both = asyncio.Barrier(2)

    async def cross(first: int, second: int) -> None:
        async with bench.database.transaction() as tx:
            await bench.call("rename", {"maker_id": first, "name": f"by {first}"}, where=tx)
            await both.wait()
            async with tx.savepoint():
                await bench.call("rename", {"maker_id": second, "name": f"also by {first}"}, where=tx)

    outcomes = await asyncio.gather(cross(1, 2), cross(2, 1), return_exceptions=True)
    failed = [outcome for outcome in outcomes if outcome is not None]
    assert [type(outcome) for outcome in failed] == [SerializationFailure]
    names = [row["name"] for row in (await bench.call("makers"))["data"]]
    assert names in (["by 1", "also by 1"], ["also by 2", "by 2"])


async def test_a_deadlock_that_is_swallowed_in_a_savepoint_keeps_nothing(bench: Bench) -> None:
    both = asyncio.Barrier(2)

    async def cross(first: int, second: int) -> None:
        async with bench.database.transaction() as tx:
            await bench.call("rename", {"maker_id": first, "name": f"by {first}"}, where=tx)
            await both.wait()
            try:
                async with tx.savepoint():
                    await bench.call("rename", {"maker_id": second, "name": f"also by {first}"}, where=tx)
            except SerializationFailure:
                pass

    outcomes = await asyncio.gather(cross(1, 2), cross(2, 1), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [TransactionFailed]


async def test_a_repeatable_read_does_not_overwrite_what_it_has_not_seen(bench: Bench) -> None:
    with pytest.raises(SerializationFailure):
        async with bench.database.transaction(isolation="repeatable_read") as tx:
            await bench.call("makers", where=tx)
            await bench.call("rename", {"maker_id": 1, "name": "theirs"})
            await bench.call("rename", {"maker_id": 1, "name": "ours"}, where=tx)
    assert (await bench.call("makers"))["data"][0]["name"] == "theirs"


async def test_a_bulk_call_that_fails_in_the_middle_changes_nothing(bench: Bench) -> None:
    items = [{"name": f"m{n}"} for n in range(600)]
    items[300] = {"name": "acme"}
    assert type(await fails(bench, "load", items)) is UniqueViolation
    assert len((await bench.call("makers"))["data"]) == 2
    del items[300]
    assert await bench.call("load", items) == {"affected": 599}


async def test_what_was_sent_behind_a_deadlock_is_not_kept(bench: Bench, mysql_url: str) -> None:
    """The items of a bulk call are sent before the answers to those before them have come."""
    await bench.call("load", [{"name": f"m{n}"} for n in range(50)])
    ids = [row["maker_id"] for row in (await bench.call("makers"))["data"]]
    items = [{"maker_id": number, "name": f"n{number}"} for number in ids]
    with closing(connect(mysql_url)) as other, other.cursor() as cursor:
        # The one that has changed less is given up.
        cursor.execute("BEGIN; INSERT INTO counter SELECT seq FROM seq_1_to_1000")
        cursor.execute(f"UPDATE maker SET name = 'theirs' WHERE maker_id = {ids[1]}")

        async def rename_all() -> None:
            async with bench.database.transaction() as tx:
                await bench.call("rename_many", items, where=tx)

        renaming = asyncio.create_task(rename_all())
        waiting = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        for _ in range(6):
            await asyncio.sleep(0.15)  # who looks more often is shown what was seen before
            if execute(mysql_url, waiting) != [(0,)]:
                break
        await asyncio.to_thread(cursor.execute, f"UPDATE maker SET name = 'x' WHERE maker_id = {ids[0]}")
        with pytest.raises(SerializationFailure):
            await renaming
        cursor.execute("ROLLBACK")
    assert [row["name"] for row in (await bench.call("makers"))["data"]][2:4] == ["m0", "m1"]


async def test_a_procedure_that_ends_the_transaction_is_told(bench: Bench, mysql_url: str) -> None:
    execute(mysql_url, "CREATE PROCEDURE end_it() BEGIN COMMIT; END")
    with pytest.raises(StatementFailed, match="ended the transaction"):
        async with bench.database.transaction() as tx:
            await bench.call("rename", {"maker_id": 1, "name": "kept"}, where=tx)
            await bench.call("end_it", where=tx)


async def test_a_killed_connection_tells_what_is_known(bench: Bench, mysql_url: str) -> None:
    async def kill_soon(what: str) -> None:
        for _ in range(200):
            found = execute(mysql_url, f"SELECT id FROM information_schema.processlist WHERE info LIKE '{what}%'")
            if found:
                execute(mysql_url, f"KILL CONNECTION {found[0][0]}")
                return
            await asyncio.sleep(0.01)

    bench.write(
        {"slow.sql": "-- name: slow$\nSELECT SLEEP(3);\n-- name: slow_write!\nUPDATE maker SET name = SLEEP(3);"}
    )
    killing = asyncio.create_task(kill_soon("UPDATE maker"))
    assert isinstance(await fails(bench, "slow_write"), DatabaseUnavailable | OutcomeUnknown)
    await killing
    killing = asyncio.create_task(kill_soon("SELECT SLEEP"))
    assert await bench.call("slow") == {"value": 0}  # a read is tried once more, on another connection
    await killing
    await bench.assert_whole()
    assert (await bench.call("makers"))["data"][0]["name"] == "acme"


async def test_a_script_stops_where_it_is_wrong_and_points_there(bench: Bench) -> None:
    text = "-- name: wrong#\nINSERT INTO counter VALUES (7);\n\nINSERT INTO counter\n  VALEUS (8);\n"
    bench.write({"wrong.sql": text})
    with pytest.raises(QueryInvalid) as refused:
        await bench.call("wrong")
    assert refused.value.diagnostic is not None
    assert refused.value.diagnostic.line == 5
    assert await bench.call("counter") == {"value": 0}


async def test_who_may_not_is_told_so(bench: Bench, open_bench: Any, mysql_url: str) -> None:
    from servers import with_user

    name = mysql_url.rpartition("/")[2]
    execute(mysql_url, f"CREATE USER {name}; GRANT SELECT ON {name}.* TO {name}")
    try:
        other = await open_bench(with_user(mysql_url, name), FILES)
        assert len((await other.call("makers"))["data"]) == 2
        with pytest.raises((PermissionDenied, QueryInvalid)):
            await other.call("rename", {"maker_id": 1, "name": "x"})
        await other.database.close()
    finally:
        execute(mysql_url, f"DROP USER {name}")


async def test_rows_come_in_pieces_and_who_leaves_early_leaves_nothing(bench: Bench) -> None:
    bench.write(
        {"all.sql": "-- name: everything\nSELECT seq, REPEAT('x', 200) AS x FROM seq_1_to_100000 ORDER BY seq;"}
    )
    contract = await bench.contracts.get(bench.registry["everything"])
    engine = bench.database.engine
    async with bench.database.lease(Access.READ) as lease:
        pieces = engine.stream(lease, contract.program, [], chunk_rows=3000, timeout_seconds=5)
        counts = [piece.count async for piece in pieces]
    assert (sum(counts), counts[0], len(counts)) == (100_000, 3000, 34)
    async with bench.database.lease(Access.READ) as lease:
        pieces = engine.stream(lease, contract.program, [], chunk_rows=10, timeout_seconds=5)
        async for piece in pieces:
            assert piece.count == 10
            break
    await bench.assert_whole()
    await pieces.aclose()
    assert len((await bench.call("makers"))["data"]) == 2


async def test_plans(bench: Bench) -> None:
    async def explained(name: str, values: list[Any], *, analyze: bool) -> Any:
        contract = await bench.contracts.get(bench.registry[name])
        async with bench.database.lease(contract.query.access) as lease:
            return await bench.database.engine.explain(
                lease, contract.program, values, analyze=analyze, timeout_seconds=5
            )

    plan = await explained("makers", [], analyze=False)
    assert "maker" in plan.text
    assert "query_block" in plan.plan
    plan = await explained("rename", ["x", 1], analyze=True)
    assert plan.analyzed
    assert "r_rows" in plan.text
    plan = await explained("makers", [], analyze=True)
    assert "r_rows" in plan.text
    assert (await bench.call("makers"))["data"][0]["name"] == "acme"
    with pytest.raises(ReadQueryWrote):
        await explained("counting", [], analyze=True)
