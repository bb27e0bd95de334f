"""UPDATE … RETURNING, the same on every engine, also where the database has none."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from sqlwright.errors import CheckViolation, MoreThanOneRow, NoRow, TransactionFailed, UniqueViolation
from workbench import Bench

SCHEMA = """
-- name: create#
CREATE TABLE account (
  id integer PRIMARY KEY,
  name varchar(40) NOT NULL UNIQUE,
  amount integer CHECK (amount >= 0),
  note varchar(40)
);
CREATE TABLE seat (hall varchar(20) NOT NULL, number integer NOT NULL, holder varchar(40), PRIMARY KEY (hall, number));
CREATE TABLE word (word varchar(40) PRIMARY KEY, seen integer NOT NULL);
CREATE TABLE digest (k BYTES PRIMARY KEY, seen integer NOT NULL);
"""
QUERIES = """
-- name: add*!
-- @param note text?
-- @param amount integer?
INSERT INTO account (id, name, amount, note) VALUES (:id, :name, :amount, :note);
-- name: all
SELECT id, amount FROM account ORDER BY id;
-- name: get^
SELECT * FROM account WHERE id = :id;
-- name: pay<!
-- @param by integer
UPDATE account SET amount = amount + :by WHERE id = :id RETURNING id, amount;
-- name: pay_maybe :one?
-- @param by integer
UPDATE account SET amount = amount + :by WHERE id = :id RETURNING id, amount;
-- name: pay_value$
-- @param by integer
UPDATE account SET amount = amount + :by WHERE id = :id RETURNING amount;
-- name: pay_counted!
-- @param by integer
UPDATE account SET amount = amount + :by WHERE id >= :id RETURNING id, amount;
-- name: pay_bulk*!
-- @param by integer
UPDATE account SET amount = amount + :by WHERE id = :id RETURNING id, amount;
-- name: pay_many :many
-- @param by integer
UPDATE account SET amount = amount + :by WHERE id IN (:ids) RETURNING id, amount;
-- name: pay_one^
-- @param by integer
UPDATE account SET amount = amount + :by WHERE id >= :low RETURNING id;
-- name: everything<!
-- @param note text?
UPDATE account AS a SET note = :note, amount = NULL WHERE a.id = :id RETURNING *;
-- name: computed<!
-- @param said text
UPDATE account SET note = :note -- the ':note' of the "account"
WHERE name = :name RETURNING id AS number, upper(note) AS loud, coalesce(:said, '') AS said,
  (SELECT count(*) FROM account b WHERE b.id < account.id) AS before_it;
-- name: unchanged<!
UPDATE account SET amount = amount WHERE id = :id RETURNING id, amount;
-- name: rename :many
UPDATE account SET name = :name WHERE id >= :low RETURNING id;
-- name: add_seats*!
INSERT INTO seat (hall, number) VALUES (:hall, :number);
-- name: take :many
-- @param holder text?
UPDATE seat SET holder = :holder WHERE hall = :hall AND holder IS NULL RETURNING hall, number, holder;
-- name: add_word!
INSERT INTO word (word, seen) VALUES (:word, 0);
-- name: see_word<!
UPDATE word SET seen = seen + 1 WHERE word = :word RETURNING word, seen;
-- name: see_words :many
UPDATE word SET seen = seen + 1 RETURNING word, seen;
-- name: add_digest!
INSERT INTO digest (k, seen) VALUES (:k, 0);
-- name: see_digest<!
UPDATE digest SET seen = seen + 1 WHERE k = :k RETURNING k, seen;
"""
WORDS = ["it's", 'say "hi"', "back\\slash", "50% off ?", "Straße", "漢字 🎈", ":name", ""]


@pytest.fixture
async def bench(open_bench: Any, database_url: str) -> Bench:
    files = {
        f"schema.{dialect}.sql": SCHEMA.replace("BYTES", type)
        for dialect, type in (("sqlite", "blob"), ("postgresql", "bytea"), ("mysql", "varbinary(40)"))
    }
    bench: Bench = await open_bench(database_url, {**files, "q.sql": QUERIES})
    await bench.call("create")
    names = enumerate(("ann", "bob", "cyd"), 1)
    await bench.call("add", [{"id": n, "name": name, "amount": 10 * n, "note": None} for n, name in names])
    return bench


async def amounts(bench: Bench) -> list[int]:
    return [row["amount"] for row in (await bench.call("all"))["data"]]


async def test_every_cardinality(bench: Bench) -> None:
    assert await bench.call("pay", {"id": 1, "by": 1}) == {"id": 1, "amount": 11}
    assert await bench.call("pay_maybe", {"id": 1, "by": 1}) == {"id": 1, "amount": 12}
    assert await bench.call("pay_maybe", {"id": 9, "by": 1}) is None
    assert await bench.call("pay_value", {"id": 1, "by": 1}) == {"value": 13}
    assert await bench.call("pay_value", {"id": 9, "by": 1}) == {"value": None}
    assert await bench.call("pay_counted", {"id": 2, "by": 1}) == {"affected": 2}
    items = [{"id": 1, "by": 1}, {"id": 9, "by": 1}, {"id": 1, "by": 1}]
    assert await bench.call("pay_bulk", items) == {"affected": 2}
    rows = (await bench.call("pay_many", {"ids": [1, 3, 9], "by": 1}))["data"]
    assert sorted(rows, key=lambda row: row["id"]) == [{"id": 1, "amount": 16}, {"id": 3, "amount": 32}]
    assert (await bench.call("pay_many", {"ids": [], "by": 1}))["data"] == []
    assert await bench.call("pay_one", {"low": 3, "by": 1}) == {"id": 3}
    assert await bench.call("unchanged", {"id": 3}) == {"id": 3, "amount": 33}
    with pytest.raises(NoRow):
        await bench.call("pay", {"id": 9, "by": 1})
    assert await amounts(bench) == [16, 21, 33]
    await bench.assert_whole()


async def test_two_rows_for_one_change_nothing(bench: Bench) -> None:
    with pytest.raises(MoreThanOneRow):
        await bench.call("pay_one", {"low": 2, "by": 1})
    assert await amounts(bench) == [10, 20, 30]
    await bench.assert_whole()


async def test_what_the_list_may_hold(bench: Bench) -> None:
    assert await bench.call("everything", {"id": 2, "note": None}) == {
        "id": 2,
        "name": "bob",
        "amount": None,
        "note": None,
    }
    expected = {"number": 3, "loud": "X%S", "said": "?", "before_it": 2}
    assert await bench.call("computed", {"note": "x%s", "name": "cyd", "said": "?"}) == expected
    columns = (await bench.contracts.get(bench.registry["everything"])).columns
    read = (await bench.contracts.get(bench.registry["get"])).columns
    assert [(column.name, column.type) for column in columns] == [(column.name, column.type) for column in read]


async def test_inside_of_a_transaction(bench: Bench) -> None:
    async with bench.database.transaction() as tx:
        assert await bench.call("pay", {"id": 1, "by": 5}, where=tx) == {"id": 1, "amount": 15}
        assert await bench.call("pay", {"id": 1, "by": 5}, where=tx) == {"id": 1, "amount": 20}
        with pytest.raises(NoRow):
            await bench.call("pay", {"id": 9, "by": 5}, where=tx)
        with pytest.raises(MoreThanOneRow):
            async with tx.savepoint():
                await bench.call("pay_one", {"low": 1, "by": 1}, where=tx)
        assert await bench.call("unchanged", {"id": 1}, where=tx) == {"id": 1, "amount": 20}
    assert await amounts(bench) == [20, 20, 30]


async def test_two_rows_inside_of_a_transaction_undo_it(bench: Bench) -> None:
    async def body() -> None:
        async with bench.database.transaction() as tx:
            await bench.call("pay", {"id": 1, "by": 5}, where=tx)
            with pytest.raises(MoreThanOneRow):
                await bench.call("pay_one", {"low": 1, "by": 1}, where=tx)

    with pytest.raises(TransactionFailed):
        await body()
    assert await amounts(bench) == [10, 20, 30]
    await bench.assert_whole()


async def test_a_refused_value_changes_nothing(bench: Bench) -> None:
    with pytest.raises(CheckViolation):
        await bench.call("pay_many", {"ids": [3, 2, 1], "by": -20})
    with pytest.raises(UniqueViolation):
        await bench.call("rename", {"name": "same", "low": 2})
    assert await amounts(bench) == [10, 20, 30]
    await bench.assert_whole()


async def test_concurrent_changes_of_one_row_lose_nothing(bench: Bench) -> None:
    answers = await asyncio.gather(*(bench.call("pay", {"id": 2, "by": 1}) for _ in range(40)))
    assert sorted(answer["amount"] for answer in answers) == list(range(21, 61))
    await bench.assert_whole()


async def test_a_free_row_is_given_to_one(bench: Bench) -> None:
    await bench.call("add_seats", [{"hall": hall, "number": n} for hall in ("h", "it's") for n in (1, 2, 3)])
    calls = [{"hall": "it's", "holder": f"holder {n}"} for n in range(12)]
    answers = await asyncio.gather(*(bench.call("take", call) for call in calls))
    taken = [row for answer in answers for row in answer["data"]]
    assert sorted((row["hall"], row["number"]) for row in taken) == [("it's", 1), ("it's", 2), ("it's", 3)]
    assert len({row["holder"] for row in taken}) == 1
    assert len((await bench.call("take", {"hall": "h", "holder": None}))["data"]) == 3


async def test_keys_of_any_text(bench: Bench) -> None:
    for word in WORDS:
        await bench.call("add_word", {"word": word})
        assert await bench.call("see_word", {"word": word}) == {"word": word, "seen": 1}
    rows = (await bench.call("see_words"))["data"]
    assert sorted((row["word"], row["seen"]) for row in rows) == sorted((word, 2) for word in WORDS)


@pytest.mark.parametrize("key", [b"", b"\0", b"'\\\"\xff\x80", bytes(range(32))])
async def test_binary_keys(bench: Bench, key: bytes) -> None:
    k = base64.b64encode(key).decode()
    await bench.call("add_digest", {"k": k})
    assert await bench.call("see_digest", {"k": k}) == {"k": k, "seen": 1}


async def test_a_cancelled_call_leaves_all_or_nothing(bench: Bench) -> None:
    for steps in range(60):
        before = await amounts(bench)
        call = asyncio.ensure_future(bench.call("pay_many", {"ids": [1, 2, 3], "by": 1}))
        for _ in range(steps):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait([call])
        await bench.assert_whole()
        after = await amounts(bench)
        assert after in (before, [amount + 1 for amount in before])
