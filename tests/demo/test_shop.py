"""The music shop, tested as its owners would: on one connection, with every test rolled back."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import AsyncClient

from sqlwright import Client
from sqlwright.errors import ForeignKeyViolation, UniqueViolation


async def test_an_artist_and_their_albums(db: Client) -> None:
    artist = await db.q.artists.get(artist_id=1)
    assert artist["name"] == "AC/DC"
    albums = await db.q.artists.albums(artist_id=1)
    assert [album["title"] for album in albums] == ["For Those About To Rock We Salute You", "Let There Be Rock"]


async def test_a_purchase(db: Client) -> None:
    async with db.transaction() as tx:
        invoice = await tx.q.invoices.create(customer_id=2)
        await tx.q.invoices.add_line(invoice_id=invoice["invoice_id"], track_id=1, quantity=2)
        await tx.q.invoices.update_total(invoice_id=invoice["invoice_id"])
    bought = await db.q.invoices.get(invoice_id=invoice["invoice_id"])
    assert str(bought["total"]) == "1.98"


async def test_what_the_test_before_bought_is_not_there(db: Client) -> None:
    assert await db.q.invoices.get(invoice_id=413) is None


async def test_a_failed_call_undoes_only_itself(db: Client) -> None:
    made = await db.q.artists.create(name="Nobody Knows")
    with pytest.raises(UniqueViolation):
        await db.q.artists.create(name="Nobody Knows")
    assert (await db.q.artists.get(artist_id=made["artist_id"]))["albums"] == 0


async def test_the_api_sees_what_the_test_has_written(db: Client, api: AsyncClient) -> None:
    made = await db.q.artists.create(name="Nobody Knows")
    answer = await api.get("/queries/artists/get", params={"artist_id": made["artist_id"]})
    assert answer.status_code == 200
    assert answer.json() == {"artist_id": made["artist_id"], "name": "Nobody Knows", "albums": 0}


async def test_the_test_sees_what_the_api_has_written(db: Client, api: AsyncClient) -> None:
    answer = await api.post("/queries/artists/create", json={"name": "Somebody"})
    found = await db.q.artists.search(name="somebody")
    assert [artist["artist_id"] for artist in found] == [answer.json()["artist_id"]]


async def test_seeding(db: Client, seed: Any) -> None:
    customers = await seed(
        "customers.create",
        [
            {"first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com", "country": "Atlantis"},
            {"first_name": "Alan", "last_name": "Turing", "email": "alan@example.com", "country": "Atlantis"},
        ],
    )
    found = await db.q.customers.in_countries(countries=["Atlantis"])
    assert [customer["customer_id"] for customer in found] == [customer["customer_id"] for customer in customers]


async def test_many_rows_at_once(db: Client, seed: Any) -> None:
    playlist = await db.q.playlists.create(name="Empty")
    key = {"playlist_id": playlist["playlist_id"]}
    assert await seed("playlists.add_tracks", [{**key, "track_id": track} for track in (1, 2, 3)]) == [3]
    assert len(await db.q.playlists.tracks(**key)) == 3
    with pytest.raises(ForeignKeyViolation):
        await seed("playlists.add_tracks", [{**key, "track_id": track} for track in (4, 99_999)])
    assert len(await db.q.playlists.tracks(**key)) == 3


READS = [
    ("albums/get", {"album_id": 1}),
    ("albums/longest", {}),
    ("albums/tracks", {"album_id": 1}),
    ("artists/search", {"name": "queen"}),
    ("catalog/genres", {}),
    ("catalog/media_types", {}),
    ("catalog/track_count", {"genre": "Rock"}),
    ("customers/find_by_email", {"email": "LUISG@embraer.com.br"}),
    ("customers/get", {"customer_id": 1}),
    ("customers/invoices", {"customer_id": 1}),
    ("customers/lapsed", {"since": "2025-01-01"}),
    ("customers/search", {"name": "luis"}),
    ("invoices/lines", {"invoice_id": 1}),
    ("playlists/all", {}),
    ("reports/best_customers", {}),
    ("reports/genre_share", {}),
    ("reports/never_sold", {"genre": "Opera"}),
    ("reports/revenue_by_country", {"skip": ["USA"]}),
    ("reports/revenue_by_month", {"year": 2023}),
    ("reports/sales_by_employee", {}),
    ("reports/staff", {}),
    ("reports/top_artists", {}),
    ("tracks/bought_with", {"track_id": 1}),
    ("tracks/by_ids", {"ids": [1, 2]}),
    ("tracks/get", {"track_id": 1}),
    ("tracks/search", {"name": "love"}),
]


@pytest.mark.parametrize(("path", "parameters"), READS, ids=[path for path, _ in READS])
async def test_every_read_is_served(api: AsyncClient, path: str, parameters: dict[str, Any]) -> None:
    answer = await api.get(f"/queries/{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    assert answer.json()


WRITES = [
    ("artists/rename", {"artist_id": 1, "name": "DC/AC"}),
    ("catalog/save_genre", {"name": "Rock"}),
    ("customers/set_email", {"customer_id": 1, "email": "new@example.com"}),
    ("invoices/delete", {"invoice_id": 1}),
    ("playlists/add_track", {"playlist_id": 2, "track_id": 1}),
    ("playlists/remove_track", {"playlist_id": 17, "track_id": 1}),
    ("tracks/create", {"album_id": 1, "name": "New", "milliseconds": 1000}),
    ("tracks/set_album_price", {"album_id": 1, "unit_price": 1.99}),
]


@pytest.mark.parametrize(("path", "parameters"), WRITES, ids=[path for path, _ in WRITES])
async def test_every_write_is_served(api: AsyncClient, path: str, parameters: dict[str, Any]) -> None:
    answer = await api.post(f"/queries/{path}", json=parameters)
    assert answer.status_code == 200, answer.text
    assert (await api.get(f"/queries/{path}", params=parameters)).status_code == 405


async def test_an_invoice_that_was_deleted_is_back_in_the_next_test(db: Client) -> None:
    assert len(await db.q.invoices.lines(invoice_id=1)) == 2
