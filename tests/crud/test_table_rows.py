"""One row: created, read, updated, replaced and deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest
from table_facade import ODD, Facade

from sqlwright.crud import PathKey
from sqlwright.errors import InvalidParameters, MethodNotAllowed, NoRow, UnknownTable
from sqlwright.parameters.later import Later

OpenFacade = Callable[..., Awaitable[Facade]]


def faults(error: pytest.ExceptionInfo[InvalidParameters]) -> list[tuple[str, str, str]]:
    return [(fault.place, fault.parameter, fault.code) for fault in error.value.faults]


async def test_a_created_row_has_what_was_sent_and_the_databases_own(facade: Facade) -> None:
    row = await facade.answer(facade.tables.create("artist", {"name": "Abba"}))
    assert row.pop("added") is not None
    assert row == {
        "artist_id": 1, "name": "Abba", "rating": None, "leader": None, "shout": "ABBA", "price": Decimal("2.00")
    }  # fmt: skip
    assert await facade.answer(facade.tables.get("artist", 1)) == {
        **row,
        "added": (await facade.rows("artist"))[0]["added"],
    }


async def test_an_empty_object_is_a_row_of_defaults(facade: Facade) -> None:
    assert await facade.answer(facade.tables.create("visit", {})) == {"seen": None, "place": None}


async def test_null_is_not_the_default(facade: Facade) -> None:
    row = await facade.answer(facade.tables.create("artist", {"name": "Abba", "added": None}))
    assert row["added"] is None


async def test_a_key_may_be_given(facade: Facade) -> None:
    assert await facade.location(facade.tables.create("artist", {"artist_id": 40, "name": "x"})) == "40"


async def test_update_changes_what_was_sent_only(facade: Facade) -> None:
    before, _ = await facade.create("artist", {"name": "Abba", "rating": 3}, {"name": "Other"})
    after = await facade.answer(facade.tables.update("artist", PathKey("1"), {"rating": None, "artist_id": 1}))
    assert after == {**before, "rating": None}
    assert await facade.answer(facade.tables.update("artist", 1, {})) == after
    assert await facade.answer(facade.tables.update("artist", 1, {"rating": None})) == after  # matched, not changed
    assert (await facade.rows("artist", "name=Other"))[0]["rating"] is None


async def test_replace_gives_the_rest_its_defaults(facade: Facade) -> None:
    await facade.create("artist", {"name": "Abba", "rating": 3, "price": 5, "added": "2001-02-03T04:05:06"})
    row = await facade.answer(facade.tables.replace("artist", 1, {"name": "Zappa"}))
    assert row.pop("added") not in (None, "2001-02-03T04:05:06")
    assert row == {
        "artist_id": 1, "name": "Zappa", "rating": None, "leader": None, "shout": "ZAPPA", "price": Decimal("2.00")
    }  # fmt: skip
    with pytest.raises(InvalidParameters) as error:
        await facade.tables.replace("artist", 1, {"rating": 3})
    assert faults(error) == [("body", "name", "missing")]


async def test_a_row_that_is_not_there(facade: Facade) -> None:
    await facade.create("artist", {"name": "Abba"})
    for operation in (
        facade.tables.get("artist", 2),
        facade.tables.update("artist", 2, {"name": "x"}),
        facade.tables.update("artist", 2, {}),
        facade.tables.replace("artist", 2, {"name": "x"}),
        facade.tables.delete("artist", 2),
    ):
        with pytest.raises(NoRow):
            await facade.answer(operation)
    assert [row["name"] for row in await facade.rows("artist")] == ["Abba"]


async def test_delete_takes_one_row(facade: Facade) -> None:
    await facade.create("artist", {"name": "A"}, {"name": "B"})
    assert await facade.answer(facade.tables.delete("artist", 1)) == {"affected": 1}
    assert [row["name"] for row in await facade.rows("artist")] == ["B"]


@pytest.mark.parametrize("name", ["a,b/c", "100%", "ü 日本", "a+b&c=d", "", '"', "%2C"])
async def test_a_composite_key_is_split_first_and_decoded_after(facade: Facade, name: str) -> None:
    other = {"country": "de", "name": "other"}
    await facade.create("label", other)
    place = await facade.location(facade.tables.create("label", {"country": "s,e", "name": name}))
    assert place.count(",") == 1
    assert "/" not in place
    row = await facade.answer(facade.tables.get("label", PathKey(place)))
    assert (row["country"], row["name"]) == ("s,e", name)
    for key in ({"country": "s,e", "name": name}, (name, "s,e"), [name, "s,e"]):  # the key's order is name, country
        assert await facade.answer(facade.tables.update("label", key, {"note": "x", "name": name})) == {
            **row,
            "note": "x",
        }
    await facade.answer(facade.tables.delete("label", PathKey(place)))
    assert [row["name"] for row in await facade.rows("label")] == ["other"]


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        (PathKey("a"), ("path", "name,country", "key")),
        (PathKey("a,b,c"), ("path", "name,country", "key")),
        (PathKey("a,%zz"), ("path", "country", "format")),
        (PathKey("a,%ff"), ("path", "country", "format")),
        (("a",), ("body", "name,country", "key")),
        ("a", ("body", "name,country", "key")),
        ({"name": "a"}, ("body", "country", "missing")),
        ({"name": "a", "country": "b", "note": "c"}, ("body", "note", "unknown")),
        (("a", None), ("body", "country", "null")),
        (("a", 3), ("body", "country", "type")),
    ],
)
async def test_a_key_of_another_shape(facade: Facade, key: object, fault: tuple[str, str, str]) -> None:
    with pytest.raises(InvalidParameters) as error:
        await facade.tables.get("label", key)
    assert faults(error) == [fault]
    if fault[2] == "key":
        assert "name, country" in error.value.faults[0].detail


async def test_a_key_of_another_type_is_refused_as_the_path(facade: Facade) -> None:
    with pytest.raises(InvalidParameters) as error:
        await facade.tables.delete("artist", PathKey("x"))
    assert faults(error) == [("path", "artist_id", "format")]


async def test_a_row_keeps_its_key(facade: Facade) -> None:
    await facade.create("artist", {"name": "Abba"})
    for change in (facade.tables.update, facade.tables.replace):
        with pytest.raises(InvalidParameters) as error:
            await change("artist", PathKey("1"), {"artist_id": 2, "name": "x"})
        assert faults(error) == [("body", "artist_id", "key")]
        with pytest.raises(InvalidParameters) as error:
            await change("artist", 1, {"artist_id": "1", "name": "x"})
        assert faults(error) == [("body", "artist_id", "type")]


async def test_all_that_is_wrong_with_the_values_is_told_at_once(facade: Facade) -> None:
    wrong = {"nam": "x", "shout": "X", "rating": "5", "price": None}
    with pytest.raises(InvalidParameters) as error:
        await facade.tables.create("artist", wrong)
    assert set(faults(error)) == {
        ("body", "nam", "unknown"), ("body", "shout", "read_only"), ("body", "rating", "type"),
        ("body", "price", "null"), ("body", "name", "missing"),
    }  # fmt: skip
    assert "did you mean name" in next(f.detail for f in error.value.faults if f.code == "unknown")
    with pytest.raises(InvalidParameters) as error:
        await facade.tables.update("artist", PathKey("x"), wrong)
    assert ("path", "artist_id", "format") in faults(error)
    assert ("body", "rating", "type") in faults(error)


@pytest.mark.parametrize("values", [None, [], "x", 3, [{"name": "x"}]])
async def test_values_that_are_no_object(facade: Facade, values: object) -> None:
    with pytest.raises(InvalidParameters) as error:
        await facade.tables.create("artist", values)
    assert faults(error) == [("body", "", "type")]


async def test_a_key_that_clients_take_for_a_folder(open_facade: OpenFacade, database_url: str) -> None:
    facade = await open_facade(database_url, {"s.sql": "-- name: setup#\nCREATE TABLE t (k varchar(9) PRIMARY KEY);\n"})
    for key, segment in ((".", "%2E"), ("..", "%2E%2E"), ("...", "...")):
        assert await facade.location(facade.tables.create("t", {"k": key})) == segment
        assert await facade.answer(facade.tables.get("t", PathKey(segment))) == {"k": key}


async def test_any_name_can_be_a_tables_or_a_columns(facade: Facade) -> None:
    table = await facade.tables.table(ODD)
    group, quoted, size, p1, naive = (column.name for column in table.columns)
    row = await facade.answer(facade.tables.create(ODD, {group: 1, quoted: "x", p1: 2, naive: 3}))
    assert row == {group: 1, quoted: "x", size: 7, p1: 2, naive: 3}
    assert await facade.answer(facade.tables.update(ODD, 1, {quoted: "?:p1'%s", p1: None})) == {
        **row, quoted: "?:p1'%s", p1: None
    }  # fmt: skip
    found = await facade.answer(facade.tables.list(ODD, {quoted: "?:p1'%s", f"{size}__gt": 6}, sort=[f"-{naive}"]))
    assert len(found["data"]) == 1
    assert (await facade.answer(facade.tables.replace(ODD, 1, {size: 1})))[quoted] is None
    assert await facade.answer(facade.tables.delete(ODD, PathKey("1"))) == {"affected": 1}


async def test_values_of_every_kind_come_back(facade: Facade) -> None:
    row = {
        "id": 1, "big": 2**63 - 1, "exact": Decimal("12345678.1250"), "raw": "AAH/", "doc": {"a": [1, None, "ü"]},
        "day": "2026-02-28", "at": "2026-01-31T12:00:00+00:00", "flag": True, "ratio": Decimal("0.5"),
    }  # fmt: skip
    created = await facade.answer(facade.tables.create("kinds", row))
    assert {**created, "at": created["at"][:19]} == {**row, "at": row["at"][:19]}
    assert await facade.answer(facade.tables.get("kinds", 1)) == created
    for column in ("big", "exact", "raw", "day", "at", "flag", "ratio"):
        found = await facade.answer(facade.tables.list("kinds", {column: row[column]}))
        assert [one["id"] for one in found["data"]] == [1], column
    empty = await facade.answer(facade.tables.replace("kinds", 1, {}))
    assert empty == {**dict.fromkeys(row), "id": 1}


async def test_a_view_is_listed_and_no_more(facade: Facade) -> None:
    await facade.create("artist", {"name": "A", "rating": 1}, {"name": "B"})
    assert await facade.rows("rated") == [{"artist_id": 1, "name": "A", "rating": 1}]
    assert (await facade.tables.table("rated")).operations == {"list"}
    for operation in (facade.tables.create("rated", {}), facade.tables.get("rated", 1)):
        with pytest.raises(MethodNotAllowed):
            await operation


async def test_a_table_without_a_key_takes_and_lists_rows(facade: Facade) -> None:
    await facade.create("visit", {"seen": 2, "place": "b"}, {"seen": 1, "place": "a"})
    assert (await facade.tables.table("visit")).operations == {"list", "create"}
    assert [row["place"] for row in await facade.rows("visit", "sort=place")] == ["a", "b"]
    with pytest.raises(MethodNotAllowed):
        await facade.tables.delete("visit", 1)


async def test_operations_join_a_transaction(facade: Facade) -> None:
    class Undone(Exception): ...

    async def work() -> None:
        async with facade.bench.database.transaction() as transaction:
            await facade.answer(facade.tables.create("artist", {"name": "A"}), transaction)
            await facade.answer(facade.tables.update("artist", 1, {"rating": 4}), transaction)
            with pytest.raises(NoRow):
                await facade.answer(facade.tables.update("artist", 2, {"rating": 4}), transaction)
            assert (await facade.answer(facade.tables.get("artist", 1), transaction))["rating"] == 4
            raise Undone

    with pytest.raises(Undone):
        await work()
    assert await facade.rows("artist") == []
    await facade.bench.assert_whole()


async def test_what_is_not_listed_is_not_there(open_facade: OpenFacade, database_url: str) -> None:
    facade = await open_facade(database_url, tables=("artist", "rated", "nowhere"))
    assert await facade.tables.names() == ["artist", "rated"]
    assert await facade.tables.missing() == ["nowhere"]
    for name in ("label", "nowhere", "sqlite_master", "pg_class", ""):
        with pytest.raises(UnknownTable):
            await facade.tables.table(name)
    with pytest.raises(UnknownTable) as error:
        await facade.tables.get("artst", 1)
    assert error.value.near == ("artist",)
    closed = await open_facade(database_url, {"setup.sql": "-- name: setup#\nSELECT 1;\n"}, tables=())
    assert await closed.tables.names() == []


async def test_a_value_that_comes_later_passes_validation(facade: Facade) -> None:
    later = Later(0, ("artist_id",), "artist.artist_id", "steps[1].create.leader")
    operation = await facade.tables.create("artist", {"name": "x", "leader": later})
    assert later in operation.plans[0].values
    assert later in (await facade.tables.update("artist", later, {"name": "x", "artist_id": later})).plans[0].values
    with pytest.raises(InvalidParameters):
        await facade.tables.update("artist", 1, {"name": "x", "artist_id": later})


async def test_many_columns(open_facade: OpenFacade, database_url: str) -> None:
    names = [f"c{number}" for number in range(60)]
    columns = ", ".join(f"{name} int" for name in names)
    facade = await open_facade(
        database_url, {"setup.sql": f"-- name: setup#\nCREATE TABLE wide (id int PRIMARY KEY, {columns});\n"}
    )
    row = {"id": 1, **{name: number for number, name in enumerate(names)}}
    assert await facade.create("wide", row) == [row]
    assert await facade.answer(facade.tables.replace("wide", 1, {"c59": 0})) == {
        **dict.fromkeys(row),
        "id": 1,
        "c59": 0,
    }
    assert await facade.rows("wide", "&".join(f"{name}__isnull=true" for name in names[:59])) != []


async def test_two_who_change_one_row_do_not_lose_it(facade: Facade) -> None:
    await facade.create("artist", {"name": "A"})
    changes = [facade.answer(facade.tables.update("artist", 1, {"rating": number})) for number in range(1, 11)]
    answers = await asyncio.gather(*changes)
    assert sorted(answer["rating"] for answer in answers) == list(range(1, 11))  # each sees what it wrote itself
    await facade.bench.assert_whole()
