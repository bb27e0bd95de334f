"""The Python API over real databases."""

# ruff: noqa: PT012 - what raises is a transaction's body or its end, so both stand inside of `pytest.raises`

from __future__ import annotations

import asyncio
import copy
import pickle
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import uvloop
from pydantic import BaseModel
from sqlmodel import Field, SQLModel

from record_shop import run_script, write_files
from sqlwright import Client, Settings, Transaction, connect
from sqlwright.errors import (
    DatabaseError,
    DatabaseUnavailable,
    InvalidParameters,
    LoadError,
    NoRow,
    ReadQueryWrote,
    RowMismatch,
    SettingsError,
    StatementTimeout,
    TransactionClosed,
    TransactionFailed,
    UniqueViolation,
    UnknownQuery,
    UnknownTable,
)
from sqlwright.query import Access

SCHEMA = """
CREATE TABLE item (
  item_id integer PRIMARY KEY, name varchar(40) NOT NULL UNIQUE, price numeric(12, 4), weight double precision,
  made date
);
CREATE TABLE part (item_id integer NOT NULL, number integer NOT NULL, note varchar(40), PRIMARY KEY (item_id, number));
INSERT INTO item VALUES (1, 'anvil', 12.3400, 80.5, '2024-02-29'), (2, 'bolt', 0.1000, 0.01, NULL);
"""
FILES = {
    "items/queries.sql": """
-- name: all
SELECT item_id, name, price, weight, made FROM item ORDER BY item_id;

-- name: get^
SELECT item_id, name, price, weight, made FROM item WHERE item_id = :item_id;

-- name: find :one?
SELECT item_id, name FROM item WHERE name = :name;

-- name: made_on
SELECT item_id FROM item WHERE made = :made;

-- name: some
SELECT item_id FROM item WHERE item_id IN (:ids) ORDER BY item_id;

-- name: how_many$
SELECT count(*) FROM item;

-- name: dearest$
SELECT price FROM item WHERE item_id = :item_id;

-- name: create<!
-- @param price numeric?
-- @param made date?
INSERT INTO item (item_id, name, price, made) VALUES (:item_id, :name, :price, :made)
RETURNING item_id, name, price, made;

-- name: load*!
-- @param price numeric?
INSERT INTO item (item_id, name, price) VALUES (:item_id, :name, :price);

-- name: rename!
UPDATE item SET name = :into WHERE item_id = :timeout;

-- name: self
SELECT item_id FROM item WHERE item_id = :self;

-- name: wipe#
DELETE FROM part;
DELETE FROM item;

-- name: slow$
SELECT count(*) FROM item a CROSS JOIN item b CROSS JOIN item c CROSS JOIN item d CROSS JOIN item e
WHERE a.price + b.price + c.price + d.price + e.price < 0;

-- name: limited
-- @isolation serializable
SELECT item_id FROM item;
""",
    "items/deep/er.sql": "-- :result :value\nSELECT count(*) AS n FROM part\n",
}


@dataclass
class Item:
    item_id: int
    name: str
    price: Decimal | None
    weight: float | None
    made: date | None


class ItemModel(BaseModel):
    item_id: int
    name: str
    price: Decimal | None = None


class ItemTable(SQLModel, table=True):
    item_id: int = Field(primary_key=True)
    name: str


@pytest.fixture
def shop_url(database_url: str) -> str:
    asyncio.run(run_script(database_url, SCHEMA))
    return database_url


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    return write_files(tmp_path / "queries", FILES)


@pytest.fixture
async def db(shop_url: str, queries: Path) -> AsyncIterator[Client]:
    async with opened(shop_url, queries) as db:
        yield db


@asynccontextmanager
async def opened(url: str, queries: Path, **settings: Any) -> AsyncIterator[Client]:
    """After whatever happened, every connection is idle again."""
    async with connect(url, queries=queries, **settings) as db:
        yield db
        for _ in range(200):
            pools = [pool for group in db.database.status().values() for pool in group]
            if all(pool.size == pool.idle and not pool.waiting and not pool.mending for pool in pools):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not whole: {db.database.status()}")


# --- results ----------------------------------------------------------------------------------------------------


async def test_each_cardinality_has_its_python_form(db: Client) -> None:
    assert await db.q.items.get(item_id=1) == {
        "item_id": 1, "name": "anvil", "price": Decimal("12.3400"), "weight": 80.5, "made": date(2024, 2, 29),
    }  # fmt: skip
    assert await db.q.items.get(item_id=99) is None
    assert await db.q.items.find(name="nothing") is None
    assert [row["item_id"] for row in await db.q.items.all()] == [1, 2]
    assert await db.q.items.how_many() == 2
    assert await db.q.items.dearest(item_id=2) == Decimal("0.1000")
    assert await db.q.items.dearest(item_id=99) is None
    created = await db.q.items.create(item_id=3, name="nut", price=Decimal("0.05"), made=date(2024, 3, 1))
    assert created == {"item_id": 3, "name": "nut", "price": Decimal("0.05"), "made": date(2024, 3, 1)}
    assert await db.run("items.rename", {"into": "new", "timeout": 3}) == 1
    assert await db.q.items.load([{"item_id": n, "name": f"n{n}", "price": 0.5} for n in range(10, 14)]) == 4
    assert await db.run("items.load", []) == 0
    assert await db.run("items.wipe") is None
    assert await db.q.items.deep.er() == 0
    assert await db.run("items.all") == []


async def test_all_rows_come_without_pages(db: Client) -> None:
    await db.run("items.load", ({"item_id": n, "name": f"n{n}", "price": None} for n in range(100, 2600)))
    assert len(await db.run("items.all")) == 2502
    for name in ("limit", "next"):
        with pytest.raises(InvalidParameters, match=f"not valid: {name}"):
            await db.run("items.all", {name: 1})


async def test_rows_and_row_say_what_they_give(db: Client) -> None:
    assert [item.name for item in await db.rows("items.all", into=Item)] == ["anvil", "bolt"]
    assert await db.row("items.get", {"item_id": 1}, into=Item) == Item(
        1, "anvil", Decimal("12.3400"), 80.5, date(2024, 2, 29)
    )
    assert await db.row("items.get", {"item_id": 9}, into=Item) is None
    with pytest.raises(TypeError, match=r"items.get does not give rows \(it is :one\): take row$"):
        await db.rows("items.get", {"item_id": 1})
    with pytest.raises(TypeError, match=r"does not give one row.*: take rows$"):
        await db.row("items.all")
    with pytest.raises(TypeError, match=r"does not give rows.*: take run$"):
        db.stream("items.how_many")


@pytest.mark.parametrize("into", [ItemModel, ItemTable, lambda row: ItemModel(**row)])
async def test_into_models(db: Client, into: Any) -> None:
    found = await db.run("items.find", {"name": "bolt"}, into=into)
    assert (type(found) in (ItemModel, ItemTable), found.item_id, found.name) == (True, 2, "bolt")


async def test_into_for_a_value(db: Client) -> None:
    assert await db.run("items.how_many", into=str) == "2"
    assert await db.run("items.dearest", {"item_id": 99}, into=str) is None


async def test_a_class_that_does_not_fit_is_told_before_anything_happens(db: Client) -> None:
    @dataclass
    class Other:
        item_id: int
        title: str

    with pytest.raises(
        RowMismatch, match=r"rows of items.create do not fit Other: the rows have no title; it has no name"
    ):
        await db.run("items.create", {"item_id": 5, "name": "x", "price": 1, "made": None}, into=Other)
    assert await db.q.items.how_many() == 2


async def test_a_write_that_stands_although_its_row_was_refused_says_so(db: Client) -> None:
    class Strict(BaseModel):
        name: int

    parameters = {"item_id": 5, "name": "x", "price": 1, "made": None}
    with pytest.raises(RowMismatch, match="Strict") as caught:
        await db.run("items.create", parameters, into=Strict)
    assert (caught.value.outcome, await db.q.items.how_many()) == ("applied", 3)
    with pytest.raises(RowMismatch) as caught:
        async with db.transaction() as tx:
            await tx.run("items.create", {**parameters, "item_id": 6, "name": "y"}, into=Strict)
    assert (caught.value.outcome, await db.q.items.how_many()) == ("none", 3)


async def test_big_numbers_as_strings_are_no_matter_of_python(shop_url: str, queries: Path) -> None:
    async with opened(shop_url, queries, big_numbers="string") as db:
        row = await db.q.items.get(item_id=1)
        assert (row["item_id"], row["price"]) == (1, Decimal("12.3400"))
        assert await db.q.items.how_many() == 2
        assert (await db.table("item").update(1, {"price": Decimal("1.5")}))["price"] == Decimal("1.5000")


# --- names and parameters ---------------------------------------------------------------------------------------


async def test_names_are_attributes(db: Client) -> None:
    assert hasattr(db.q, "items")
    assert not hasattr(db.q, "item")
    assert "all" in dir(db.q.items)
    assert {"deep", "get"} <= set(dir(db.q.items))
    with pytest.raises(AttributeError, match=r"no query 'items.al'; did you mean items.all"):
        _ = db.q.items.al
    with pytest.raises(UnknownQuery):
        _ = db.q.items.al
    with pytest.raises(UnknownQuery, match="items"):
        await db.q.items()
    with pytest.raises(UnknownQuery):
        await db.run("items.nothing")


async def test_names_can_be_copied_and_looked_at(db: Client) -> None:
    assert repr(copy.copy(db.q.items)) == "<queries items>"
    with pytest.raises((TypeError, AttributeError)):  # connections cannot be pickled; no endless recursion
        pickle.dumps(db.q)


async def test_any_name_is_a_parameter(db: Client) -> None:
    assert await db.q.items.self(self=1) == [{"item_id": 1}]
    assert await db.q.items.rename(into="renamed", timeout=1) == 1
    with pytest.raises(TypeError, match="by keyword"):
        await db.q.items.get(1)
    with pytest.raises(TypeError, match="bulk"):
        await db.q.items.load(item_id=1)


async def test_parameters_are_python_values(db: Client) -> None:
    assert await db.q.items.made_on(made=date(2024, 2, 29)) == [{"item_id": 1}]
    assert await db.q.items.some(ids={1, 2, 7}) == [{"item_id": 1}, {"item_id": 2}]
    assert await db.q.items.some(ids=range(2, 9)) == [{"item_id": 2}]
    found = await db.run(
        "items.create", ItemModel(item_id=8, name="z", price=Decimal("0.25")).model_dump() | {"made": None}
    )
    assert found["price"] == Decimal("0.25")


async def test_all_faults_of_a_call_are_told(db: Client) -> None:
    with pytest.raises(InvalidParameters) as caught:
        await db.run("items.create", {"item_id": b"1", "name": object(), "other": 1, "price": "1"})
    told = "".join(traceback.format_exception(caught.value))
    assert 'there is no parameter "other"' in told
    assert "price: " in told
    faults = {(fault.parameter, fault.code) for fault in caught.value.faults}
    assert faults == {
        ("item_id", "type"),
        ("name", "type"),
        ("price", "type"),
        ("made", "missing"),
        ("other", "unknown"),
    }
    with pytest.raises(InvalidParameters) as caught:
        await db.q.items.load([{"item_id": 1, "name": "a", "price": 1}, {"item_id": b"2", "name": "b"}, 3])
    assert "item 1, item_id: " in "".join(traceback.format_exception(caught.value))
    assert {(fault.index, fault.parameter) for fault in caught.value.faults} == {(1, "item_id"), (1, "price"), (2, "")}
    assert await db.q.items.how_many() == 2
    for wrong in ([1], "text", 5):
        with pytest.raises(TypeError, match="mapping"):
            await db.run("items.get", wrong)
    with pytest.raises(TypeError, match="list of parameter mappings"):
        await db.run("items.load", {"item_id": 1})


async def test_what_only_pages_take_is_not_offered(db: Client) -> None:
    with pytest.raises(InvalidParameters) as caught:
        await db.q.items.all(zzz=1)
    assert caught.value.faults[0].detail == 'there is no parameter "zzz"; it takes none'


async def test_calls_after_the_end_are_told(shop_url: str, queries: Path) -> None:
    async with connect(shop_url, queries=queries) as db:
        pass
    with pytest.raises(DatabaseUnavailable, match="`async with` of this database has ended"):
        await db.q.items.all()


async def test_more_items_than_allowed(shop_url: str, queries: Path) -> None:
    def endless() -> Any:
        while True:
            yield {"item_id": 1, "name": "a", "price": None}

    async with opened(shop_url, queries, bulk_items_max=3) as db:
        with pytest.raises(InvalidParameters):
            await db.run("items.load", endless())


# --- opening ----------------------------------------------------------------------------------------------------


async def test_settings_come_from_where_the_command_line_has_them(
    shop_url: str, queries: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", shop_url)
    (tmp_path / "sqlwright.toml").write_text('queries = "elsewhere"\npage_rows = 7\n')
    with pytest.raises(LoadError):
        async with connect():
            pass
    async with connect(queries=str(queries)) as db:
        assert await db.q.items.how_many() == 2
    async with connect(settings=Settings(database_url=shop_url, queries=queries)) as db:
        assert await db.q.items.how_many() == 2


def test_wrong_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(SettingsError, match="no database") as caught:
        connect()
    assert "\nhint: connect('sqlite:///" in "".join(traceback.format_exception(caught.value))
    with pytest.raises(SettingsError, match="argument page_row: there is no such setting"):
        connect("sqlite:///x.db", page_row=1)
    with pytest.raises(SettingsError, match="argument page_rows = 0"):
        connect("sqlite:///x.db", page_rows=0)
    with pytest.raises(SettingsError, match="argument page_rows = many"):
        connect(settings=Settings(database_url="sqlite:///x.db"), page_rows="many")


async def test_wrong_files_are_told(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "queries", {"a.sql": "SELECT ':x"})
    with pytest.raises(LoadError, match=r"a\.sql:1"):
        async with connect("sqlite:///:memory:", queries=folder):
            pass


async def test_the_database_may_be_away(queries: Path, unused_tcp_port: int) -> None:
    async with connect(f"postgresql://nobody@127.0.0.1:{unused_tcp_port}/nothing", queries=queries) as db:
        with pytest.raises(DatabaseUnavailable):
            await db.q.items.how_many()


def test_other_event_loops(shop_url: str, queries: Path) -> None:
    async def main() -> int:
        async with opened(shop_url, queries) as db:
            names = [item["name"] async for item in db.stream("items.all")]
            async with db.transaction() as tx:
                return len(names) + int(await tx.q.items.how_many())

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == 4


async def test_many_calls_at_once(db: Client) -> None:
    found = await asyncio.gather(*(db.q.items.get(item_id=1 + n % 2) for n in range(200)))
    assert {row["name"] for row in found} == {"anvil", "bolt"}


async def test_timeout_is_that_of_the_statement(db: Client) -> None:
    await db.q.items.load([{"item_id": n, "name": f"n{n}", "price": n} for n in range(10, 400)])
    with pytest.raises(StatementTimeout):
        await db.run("items.slow", timeout=0.05)


# --- transactions -----------------------------------------------------------------------------------------------


async def test_a_transaction_is_all_or_nothing(db: Client) -> None:
    async with db.transaction(isolation="serializable") as tx:
        assert isinstance(tx, Transaction)
        await tx.q.items.create(item_id=3, name="c", price=1, made=None)
        assert await tx.q.items.how_many() == 3
        assert await tx.q.items.get(item_id=99) is None  # no row is no failure
    assert await db.q.items.how_many() == 3
    with pytest.raises(ZeroDivisionError):
        async with db.transaction() as tx:
            await tx.q.items.rename(into="gone", timeout=3)
            raise ZeroDivisionError
    assert await db.q.items.find(name="gone") is None
    with pytest.raises(TransactionClosed):
        await tx.q.items.how_many()


async def test_savepoints_and_transactions_inside(db: Client) -> None:
    async with db.transaction() as tx:
        with pytest.raises(UniqueViolation):
            async with tx.savepoint():
                await tx.q.items.create(item_id=3, name="c", price=1, made=None)
                await tx.q.items.create(item_id=4, name="c", price=1, made=None)
        async with tx.transaction() as inner:
            await inner.q.items.create(item_id=5, name="e", price=1, made=None)
    assert await db.q.items.some(ids=[3, 4, 5]) == [{"item_id": 5}]


async def test_a_failure_that_was_caught_fails_the_transaction(db: Client) -> None:
    with pytest.raises(TransactionFailed):
        async with db.transaction() as tx:
            await tx.q.items.rename(into="gone", timeout=1)
            with pytest.raises(UniqueViolation):
                await tx.table("item").create({"item_id": 9, "name": "bolt"})
    assert await db.q.items.find(name="gone") is None


async def test_retry_gives_what_the_function_gives(db: Client) -> None:
    calls = []

    async def work(tx: Transaction) -> int:
        calls.append(1)
        await tx.q.items.rename(into="again", timeout=1)
        return 7

    assert await db.retry(work, isolation="serializable") == 7
    assert len(calls) == 1

    async def fail(tx: Transaction) -> None:
        await tx.q.items.rename(into="never", timeout=1)
        raise KeyError

    with pytest.raises(KeyError):
        await db.retry(fail)
    assert (await db.q.items.get(item_id=1))["name"] == "again"


async def test_concurrent_increments_all_arrive(db: Client) -> None:
    async def add(tx: Transaction) -> None:
        row = await tx.q.items.get(item_id=1)
        await tx.table("item").update(1, {"price": row["price"] + 1})

    await asyncio.gather(*(db.retry(add, isolation="serializable", attempts=20) for _ in range(5)))
    assert (await db.q.items.get(item_id=1))["price"] == Decimal("17.3400")


# --- tables -----------------------------------------------------------------------------------------------------


async def test_tables(db: Client) -> None:
    items = db.table("item")
    created = await items.create({"item_id": 3, "name": "cog", "price": 1.5, "made": date(2024, 1, 2)}, into=Item)
    assert created == Item(3, "cog", Decimal("1.5000"), None, date(2024, 1, 2))
    assert await items.get(3, into=Item) == created
    assert await items.get(99) is None
    assert (await items.update(3, ItemModel(item_id=3, name="wheel")))["price"] == Decimal("1.5000")
    assert await items.replace(3, {"name": "cog"}) == {
        "item_id": 3, "name": "cog", "price": None, "weight": None, "made": None,
    }  # fmt: skip
    with pytest.raises(NoRow):
        await items.update(99, {"name": "nobody"})
    with pytest.raises(NoRow):
        await items.replace(99, {"name": "nobody"})
    assert await items.delete(3) is True
    assert await items.delete(3) is False


async def test_lists_of_rows(db: Client) -> None:
    items = db.table("item")
    await db.run("items.load", [{"item_id": n, "name": f"n{n}", "price": Decimal(n)} for n in range(10, 310)])
    assert len(await items.list()) == 302
    assert [row["item_id"] for row in await items.list(sort="-item_id", limit=2)] == [309, 308]
    assert [row["item_id"] for row in await items.list({"made": date(2024, 2, 29)})] == [1]
    assert [row["item_id"] for row in await items.list({"price__in": {Decimal("12.34"), 20}}, sort=["item_id"])] == [
        1,
        20,
    ]
    assert [row["item_id"] for row in await items.list({"made__isnull": False})] == [1]
    assert [item.name for item in await items.list({"name__like": "anv%"}, into=Item)] == ["anvil"]
    with pytest.raises(InvalidParameters, match="colour"):
        await items.list({"colour": 1})
    with pytest.raises(InvalidParameters, match="price"):
        await items.list({"price": b"1"})


async def test_composite_keys(db: Client) -> None:
    parts = db.table("part")
    await parts.create({"item_id": 1, "number": 2, "note": "a"})
    assert (await parts.get((1, 2)))["note"] == "a"
    assert (await parts.update({"item_id": 1, "number": 2}, {"note": "b"}))["note"] == "b"
    with pytest.raises(InvalidParameters):
        await parts.get(1)
    assert await parts.delete((1, 2))


async def test_errors_of_tables_name_their_columns(db: Client) -> None:
    with pytest.raises(UniqueViolation) as caught:
        await db.table("item").create({"item_id": 7, "name": "bolt"})
    assert [(fault.parameter, fault.code) for fault in caught.value.faults] == [("name", "unique")]
    with pytest.raises(InvalidParameters, match="colour"):
        await db.table("item").create({"item_id": 7, "colour": 1})
    with pytest.raises(UnknownTable):
        await db.table("items").list()


async def test_settings_name_the_tables(shop_url: str, queries: Path) -> None:
    async with opened(shop_url, queries, tables="part") as db:
        assert await db.table("part").list() == []
        with pytest.raises(UnknownTable):
            await db.table("item").list()


# --- SQLAlchemy expressions ---------------------------------------------------------------------------------------

ITEM = sa.table("item", sa.column("item_id", sa.Integer), sa.column("name", sa.String))


async def test_core_expressions(db: Client) -> None:
    await db.execute(sa.insert(ITEM).values(item_id=5, name="five"))
    assert await db.fetch_one(sa.select(ITEM).where(ITEM.c.item_id == 5)) == {"item_id": 5, "name": "five"}
    assert len(await db.fetch_all(sa.select(ITEM.c.name))) == 3
    assert await db.fetch_one(sa.select(ITEM).where(ITEM.c.item_id == 9)) is None
    with pytest.raises(UniqueViolation):
        await db.execute(sa.insert(ITEM).values(item_id=6, name="five"))
    with pytest.raises(TypeError, match="query files"):
        await db.fetch_all("SELECT 1")
    async with db.lease() as lease:
        assert len(await lease.fetch_all(sa.select(ITEM))) == 3


async def test_core_expressions_in_a_transaction(db: Client) -> None:
    with pytest.raises(KeyError):
        async with db.transaction() as tx:
            await tx.execute(sa.update(ITEM).values(name="all").where(ITEM.c.item_id == 1))
            assert (await tx.fetch_one(sa.select(ITEM).where(ITEM.c.item_id == 1)) or {})["name"] == "all"
            raise KeyError
    assert await db.q.items.find(name="all") is None
    with pytest.raises(TransactionFailed):
        async with db.transaction() as tx:
            with pytest.raises(DatabaseError):
                await tx.execute(sa.insert(ITEM).values(item_id=1, name="again"))


async def test_a_select_cannot_write(db: Client) -> None:
    await db.fetch_all(sa.select(ITEM).with_for_update())  # locks, so it is not sent to a reader
    async with db.lease() as lease:
        with pytest.raises(Exception, match=r"(?i)read.?only") as caught:
            await lease.execute(sa.insert(ITEM).values(item_id=5, name="five"))
    assert isinstance(db.database.engine.translate(caught.value, Access.READ), ReadQueryWrote)
