"""Calls end to end below HTTP, the same on every engine."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import Any

import pytest

from sqlwright.errors import (
    AcquireTimeout,
    ForeignKeyViolation,
    InvalidPageToken,
    InvalidParameters,
    MoreThanOneRow,
    NoRow,
    QueryInvalid,
    SqlwrightError,
    StatementTimeout,
    UniqueViolation,
)

SCHEMA = """
-- name: create#
CREATE TABLE shelf (shelf_id integer PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE book (
  book_id integer PRIMARY KEY,
  shelf_id integer NOT NULL REFERENCES shelf,
  title text NOT NULL,
  price numeric(8,2),
  added timestamp,
  lent boolean NOT NULL DEFAULT false
);
"""
QUERIES = """
-- name: add_shelf<!
INSERT INTO shelf (shelf_id, name) VALUES (:shelf_id, :name) RETURNING shelf_id, name;
-- name: shelf^
SELECT shelf_id, name FROM shelf WHERE shelf_id = :shelf_id;
-- name: shelf_or_null :one?
SELECT shelf_id, name FROM shelf WHERE shelf_id = :shelf_id;
-- name: all_as_one :one
SELECT shelf_id FROM shelf;
-- name: shelves
-- @limit 3 max 5
SELECT shelf_id, name FROM shelf ORDER BY name;
-- name: some
SELECT shelf_id FROM shelf WHERE shelf_id IN (:ids) ORDER BY shelf_id;
-- name: others
SELECT shelf_id FROM shelf WHERE shelf_id NOT IN (:ids) ORDER BY shelf_id;
-- name: count$
SELECT count(*) FROM shelf;
-- name: name_of$
SELECT name FROM shelf WHERE shelf_id = :shelf_id;
-- name: rename!
UPDATE shelf SET name = :name WHERE shelf_id = :shelf_id;
-- name: remove_many <!
DELETE FROM shelf WHERE shelf_id >= :low RETURNING shelf_id;
-- name: add_books*!
-- @param price numeric?
-- @param added timestamp?
INSERT INTO book (book_id, shelf_id, title, price, added) VALUES (:book_id, :shelf_id, :title, :price, :added);
-- name: book^
SELECT book_id, title, price, added, lent FROM book WHERE book_id = :book_id;
-- name: tied
-- @limit 7 max 1000
SELECT title, book_id FROM book ORDER BY title;
-- name: first_two
SELECT book_id FROM book ORDER BY book_id LIMIT 2;
-- name: missing_table
SELECT * FROM nowhere;
-- name: percent
SELECT name FROM shelf WHERE name LIKE 'a%' AND name <> ':not' ORDER BY name;
"""


@pytest.fixture
async def bench(open_bench: Any, database_url: str) -> Any:
    # A TIMESTAMP of MariaDB is a moment.
    schema = {"schema.sql": SCHEMA, "schema.mysql.sql": SCHEMA.replace("timestamp", "datetime")}
    bench = await open_bench(database_url, {**schema, "shop.sql": QUERIES}, lock_timeout_seconds=0.3)
    await bench.call("create")
    for number, name in enumerate(["attic", "barn", "cellar", "desk"], 1):
        await bench.call("add_shelf", {"shelf_id": number, "name": name})
    return bench


async def test_every_cardinality(bench: Any) -> None:
    assert await bench.call("add_shelf", {"shelf_id": 9, "name": "hall"}) == {"shelf_id": 9, "name": "hall"}
    assert await bench.call("shelf", {"shelf_id": 9}) == {"shelf_id": 9, "name": "hall"}
    assert await bench.call("shelf_or_null", {"shelf_id": 10}) is None
    assert await bench.call("count") == {"value": 5}
    assert await bench.call("name_of", {"shelf_id": 10}) == {"value": None}
    assert await bench.call("rename", {"shelf_id": 9, "name": "loft"}) == {"affected": 1}
    assert await bench.call("rename", {"shelf_id": 10, "name": "loft"}) == {"affected": 0}
    assert (await bench.call("percent"))["data"] == [{"name": "attic"}]
    with pytest.raises(NoRow):
        await bench.call("shelf", {"shelf_id": 10})
    with pytest.raises(MoreThanOneRow):
        await bench.call("all_as_one")


async def test_two_rows_for_one_roll_a_write_back(bench: Any) -> None:
    with pytest.raises(MoreThanOneRow):
        await bench.call("remove_many", {"low": 1})
    assert await bench.call("name_of", {"shelf_id": 1}) == {"value": "attic"}
    assert await bench.call("remove_many", {"low": 4}) == {"shelf_id": 4}


async def test_values_travel_exactly(bench: Any) -> None:
    book = {"book_id": 1, "shelf_id": 1, "title": "“ü” 🎈\n", "price": Decimal("12.50"), "added": "2026-03-29T02:30:00"}
    assert await bench.call("add_books", [book]) == {"affected": 1}
    del book["shelf_id"]
    assert await bench.call("book", {"book_id": 1}) == {**book, "lent": False}


async def test_bulk_is_all_or_nothing(bench: Any) -> None:
    def book(number: int, shelf: int = 1) -> dict[str, object]:
        return {"book_id": number, "shelf_id": shelf, "title": "t", "price": None, "added": None}

    assert await bench.call("add_books", [book(n) for n in range(1, 51)]) == {"affected": 50}
    assert await bench.call("add_books", []) == {"affected": 0}
    with pytest.raises(UniqueViolation):
        await bench.call("add_books", [book(51), book(1)])
    with pytest.raises(ForeignKeyViolation):
        await bench.call("add_books", [book(51), book(52, shelf=77)])
    with pytest.raises(InvalidParameters) as refused:
        await bench.call("add_books", [book(51), {"book_id": "x"}])
    assert {fault.index for fault in refused.value.faults} == {1}
    with pytest.raises(NoRow):
        await bench.call("book", {"book_id": 51})


async def test_lists(bench: Any) -> None:
    def ids(answer: Any) -> list[int]:
        return [row["shelf_id"] for row in answer["data"]]

    assert ids(await bench.call("some", {"ids": [1, 3, 99]})) == [1, 3]
    assert ids(await bench.call("some", {"ids": []})) == []
    assert ids(await bench.call("others", {"ids": [1, 3]})) == [2, 4]
    assert ids(await bench.call("others", {"ids": []})) == [1, 2, 3, 4]


async def test_pages_give_every_row_once_also_among_ties(bench: Any) -> None:
    books = [{"book_id": n, "shelf_id": 1, "title": f"t{n % 3}", "price": None, "added": None} for n in range(1, 2001)]
    random.Random(1).shuffle(books)
    await bench.call("add_books", books)
    for limit in (7, 100, 1000):
        seen, token = [], None
        while True:
            answer = await bench.call("tied", {"limit": limit, **({"next": token} if token else {})})
            seen += [row["book_id"] for row in answer["data"]]
            token = answer["next"]
            if token is None:
                break
        assert sorted(seen) == list(range(1, 2001))


async def test_a_page_token_is_for_its_own_call(bench: Any) -> None:
    first = await bench.call("shelves", {"limit": 2})
    assert [row["name"] for row in first["data"]] == ["attic", "barn"]
    second = await bench.call("shelves", {"limit": 2, "next": first["next"]})
    assert [row["name"] for row in second["data"]] == ["cellar", "desk"]
    assert second["next"] is None
    for query, body in (
        ("some", {"ids": [1], "next": first["next"]}),
        ("shelves", {"next": first["next"][:-1] + ("A" if first["next"][-1] != "A" else "B")}),
        ("shelves", {"next": "x"}),
        ("shelves", {"next": first["next"] + "="}),
        ("first_two", {"next": first["next"]}),
    ):
        with pytest.raises(InvalidPageToken):
            await bench.call(query, body)


async def test_page_size(bench: Any) -> None:
    assert len((await bench.call("shelves"))["data"]) == 3
    with pytest.raises(InvalidParameters, match="limit"):
        await bench.call("shelves", {"limit": 6})
    every = await bench.call("shelves", paged=False)
    assert (len(every["data"]), every["next"]) == (4, None)


async def test_a_statement_with_its_own_limit_pages_itself(bench: Any) -> None:
    books = [{"book_id": n, "shelf_id": 1, "title": "t", "price": None, "added": None} for n in range(1, 6)]
    await bench.call("add_books", books)
    assert await bench.call("first_two") == {"data": [{"book_id": 1}, {"book_id": 2}], "next": None}
    assert (await bench.call("first_two", {"limit": 1}))["data"] == [{"book_id": 1}]


async def test_what_the_database_refuses_is_the_files_fault_and_is_asked_again(bench: Any) -> None:
    with pytest.raises(QueryInvalid) as refused:
        await bench.call("missing_table")
    found = refused.value.diagnostic
    assert found is not None
    assert found.source[found.column - 1 :].startswith("nowhere")
    bench.write({"later.sql": "-- name: make_it#\nCREATE TABLE nowhere (a integer);"})
    await bench.call("make_it")
    await asyncio.sleep(1.05)
    assert await bench.call("missing_table") == {"data": [], "next": None}


async def test_cancellations_at_random_moments_leave_the_pools_whole(bench: Any) -> None:
    chance = random.Random(7)
    calls = [
        ("shelves", {}),
        ("count", {}),
        ("rename", {"shelf_id": 1, "name": "attic"}),
        ("add_shelf", {"shelf_id": 1, "name": "attic"}),
        ("remove_many", {"low": 99}),
    ]
    for _ in range(20):
        tasks = [asyncio.create_task(bench.call(*chance.choice(calls))) for _ in range(50)]
        for task in tasks:
            asyncio.get_running_loop().call_later(chance.random() * 0.02, task.cancel)
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, dict | SqlwrightError | asyncio.CancelledError), outcome
    await bench.assert_whole()
    assert await bench.call("count") == {"value": 4}
    assert await bench.call("rename", {"shelf_id": 2, "name": "barn"}) == {"affected": 1}


async def test_acquire_timeouts_leave_the_pools_whole(open_bench: Any, database_url: str) -> None:
    from sqlwright.query import Access

    files = {"one.sql": "-- name: one$\nSELECT 1 AS one;"}
    bench = await open_bench(database_url, files, reader_pool_size=1, acquire_timeout_seconds=0.05)
    await bench.call("one")
    async with bench.database.lease(Access.READ):
        refused = await asyncio.gather(*(bench.call("one") for _ in range(1000)), return_exceptions=True)
    assert {type(error) for error in refused} == {AcquireTimeout}
    await bench.assert_whole()
    assert await bench.call("one") == {"value": 1}


async def test_a_statement_stops_at_its_timeout(open_bench: Any, database_url: str) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    bench = await open_bench(database_url, {"endless.sql": f"-- name: endless$\n-- @timeout 200ms\n{endless};"})
    with pytest.raises(StatementTimeout):
        await bench.call("endless")
    await bench.assert_whole()
