"""Many rows: filters, order, pages."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from table_facade import Facade

from sqlwright.body import render_body
from sqlwright.crud import perform
from sqlwright.errors import InvalidPageToken, InvalidParameters
from sqlwright.parameters import FAULTS_MAX

ARTISTS = [("Abba", 5), ("accept", 3), ("Björk", None), ("100% pure", 3), ("10_0", 1)]


@pytest.fixture
async def artists(facade: Facade) -> Facade:
    await facade.create("artist", *({"name": name, "rating": rating} for name, rating in ARTISTS))
    return facade


async def ids(facade: Facade, query: str) -> list[int]:
    return [row["artist_id"] for row in await facade.rows("artist", query)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("rating=3", [2, 4]),
        ("rating__eq=3", [2, 4]),
        ("rating__ne=3", [1, 5]),  # NULL is neither equal nor different, as in SQL
        ("rating__lt=3", [5]),
        ("rating__lte=3", [2, 4, 5]),
        ("rating__gt=3", [1]),
        ("rating__gte=3&rating__lt=5", [2, 4]),
        ("rating__in=1&rating__in=5", [1, 5]),
        ("rating__in=7", []),
        ("rating__isnull=true", [3]),
        ("rating__isnull=false&name__ne=Abba", [2, 4, 5]),
        ("name=Bj%C3%B6rk", [3]),
        ("name__like=" + quote("A%"), None),
        ("name__like=" + quote(r"10\_%"), [5]),
        ("name__like=" + quote(r"100\% %"), [4]),
        ("name=x'%20OR%201=1%20--", []),
        ("sort=-artist_id", [5, 4, 3, 2, 1]),
        ("sort=rating,-artist_id", [5, 4, 2, 1, 3]),  # NULL counts as the greatest
        ("sort=-rating", [3, 1, 2, 4, 5]),
    ],
)
async def test_filters_and_orders(artists: Facade, query: str, expected: list[int] | None) -> None:
    found = await ids(artists, query)
    if expected is None:  # whether LIKE looks at the case is the database's
        assert found[:1] == [1]
    else:
        assert found == expected


async def test_filters_from_json(artists: Facade) -> None:
    async def found(*arguments: Any, **options: Any) -> list[int]:
        answer = await artists.answer(artists.tables.list("artist", *arguments, **options))
        return [row["artist_id"] for row in answer["data"]]

    assert await found() == [1, 2, 3, 4, 5]
    assert await found({"rating": None}) == [3]
    assert await found({"rating__ne": None}, sort=["-artist_id"]) == [5, 4, 2, 1]
    assert await found({"rating__in": [1, 5], "name__isnull": False}) == [1, 5]
    assert await found({"rating__in": []}) == []
    assert await found(limit=2, paged=False) == [1, 2]


async def test_a_column_with_a_name_of_ours_can_be_reached(facade: Facade) -> None:
    await facade.create(
        "label",
        {"country": "a", "name": "1", "limit": 1, "sort": 5, "a": 1, "a__lt": 8},
        {"country": "a", "name": "2", "limit": 2, "sort": 4, "a": 2, "a__lt": 9},
    )
    for query in ("limit__eq=2", "sort__lt=5", "a__lt__eq=9", "a__gt=1", "limit=1&sort=limit&limit__gt=1"):
        assert [row["name"] for row in await facade.rows("label", query)] == ["2"], query
    assert [row["name"] for row in await facade.rows("label", "a__lt=2")] == ["1"]
    answer = await facade.answer(facade.tables.list("label", {"limit": 2, "sort__in": [4]}))
    assert [row["name"] for row in answer["data"]] == ["2"]


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ("nam=x", [("nam", "unknown", "did you mean name")]),
        ("rating__less=1", [("rating__less", "unknown", "no operator")]),
        ("rating=x", [("rating", "format", "integer")]),
        ("rating=1&rating=2", [("rating", "repeated", "")]),
        ("rating__isnull=maybe", [("rating__isnull", "format", "true or false")]),
        ("rating__isnull=true&rating__isnull=false", [("rating__isnull", "repeated", "")]),
        ("rating__like=1", [("rating__like", "operator", "text")]),
        ("sort=nam", [("sort", "unknown", "name")]),
        ("sort=name,-name", [("sort", "repeated", "name")]),
        ("sort=name&sort=rating", [("sort", "repeated", "")]),
        ("sort=", [("sort", "unknown", "")]),
        ("limit=0", [("limit", "limit", "")]),
        ("name=%ff&rating=%zz", [("name", "format", "UTF-8"), ("rating", "format", "%")]),
        ("=1", [("", "unknown", "")]),
        (
            "nam=x&sort=y&rating=z&limit=q",
            [("nam", "unknown", ""), ("sort", "unknown", ""), ("limit", "format", ""), ("rating", "format", "")],
        ),
    ],
)
async def test_what_cannot_be_asked_is_told_at_once(
    facade: Facade, query: str, faults: list[tuple[str, str, str]]
) -> None:
    with pytest.raises(InvalidParameters) as error:
        await facade.tables.list_from_query_string("artist", query.encode())
    assert [(f.place, f.parameter, f.code) for f in error.value.faults] == [("query", n, c) for n, c, _ in faults]
    for fault, (_, _, words) in zip(error.value.faults, faults, strict=True):
        assert words in fault.detail


async def test_of_many_faults_the_first_are_looked_for(facade: Facade, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that are near take long to find in a wide table, and a caller may send very many."""
    looked = 0

    def count(*_: object, **__: object) -> list[str]:
        nonlocal looked
        looked += 1
        return []

    monkeypatch.setattr("difflib.get_close_matches", count)
    wrong = [f"wrong{number}" for number in range(3 * FAULTS_MAX)]
    for ask in (
        facade.tables.list_from_query_string("artist", "&".join(wrong).encode()),
        facade.tables.list_from_query_string("artist", b"sort=" + ",".join(wrong).encode()),
        facade.tables.list("artist", dict.fromkeys(wrong, 1)),
        facade.tables.list("artist", sort=wrong),
    ):
        looked = 0
        with pytest.raises(InvalidParameters) as error:
            await ask
        assert len(error.value.faults) == FAULTS_MAX
        assert looked <= FAULTS_MAX * 2  # once more when the table may have changed


async def test_json_is_not_compared(facade: Facade) -> None:
    for query in ("doc=1", "sort=doc", "doc__in=1"):
        with pytest.raises(InvalidParameters) as error:
            await facade.rows("kinds", query)
        assert error.value.faults[0].code == "operator"
    assert await facade.rows("kinds", "doc__isnull=true") == []


@pytest.mark.parametrize("query", ["sort=rating", "sort=-rating", "rating__isnull=false&sort=rating,name", ""])
@pytest.mark.parametrize("table", ["artist", "rated", "visit"])
async def test_pages_have_every_row_once(facade: Facade, table: str, query: str) -> None:
    if table == "visit":
        query = query.replace("rating", "seen").replace("name", "place")
        await facade.create(table, *({"seen": number // 10, "place": str(number)} for number in range(25)))
    else:
        await facade.create("artist", *({"name": str(number), "rating": 1 + number // 10} for number in range(25)))
    whole = await facade.rows(table, query)
    found: list[Any] = []
    token = None
    while True:
        raw = query + "&limit=4" + (f"&next={quote(token)}" if token else "")
        plan, result = await perform(
            facade.bench.database, await facade.tables.list_from_query_string(table, raw.encode())
        )
        assert result.count <= 4
        body, token = render_body(plan, result)
        found += json.loads(body)["data"]
        if token is None:
            break
    assert len(found) == 25
    assert found == json.loads(json.dumps(whole, default=float))


@pytest.mark.reliability(10)
async def test_a_page_token_belongs_to_its_list(artists: Facade) -> None:
    operation = await artists.tables.list_from_query_string("artist", b"limit=2&sort=rating")
    token = render_body(*await perform(artists.bench.database, operation))[1]
    assert token
    for raw in (f"next={token}", f"next={token}&sort=-rating", f"next={token}&sort=rating&rating__gt=1"):
        with pytest.raises(InvalidPageToken):
            await artists.tables.list_from_query_string("artist", raw.encode())
    again = await artists.answer(artists.tables.list("artist", sort=["rating"], next=token, limit=2))
    assert len(again["data"]) == 2
