"""A purchase in the demo, an invoice with its lines and total, is one call: all or nothing, whatever happens to it."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import httpx
import pytest

import sqlwright
from server_process import start
from sqlwright.config import Settings
from sqlwright.demo import demo_queries, prepare_demo

SETTINGS = {"log_calls": "false", "tables": "invoice,invoice_line"}


def purchase(customer_id: int, *tracks: int, **more: Any) -> dict[str, Any]:
    invoice = {"$result": "invoice.invoice_id"}
    lines = [{"query": "invoices.add_line", "params": {"invoice_id": invoice, "track_id": track}} for track in tracks]
    first = {"query": "invoices.create", "params": {"customer_id": customer_id}, "as": "invoice"}
    last = {"query": "invoices.update_total", "params": {"invoice_id": invoice}}
    return {"steps": [first, *lines, last], **more}


@pytest.fixture
def shop(database_url: str) -> str:
    asyncio.run(prepare_demo(Settings(database_url=database_url)))
    return database_url


async def bought(shop: str) -> dict[int, list[tuple[Any, int]]]:
    """Lines and total of every invoice of the tests, by its key."""
    found: dict[int, list[tuple[Any, int]]] = {}
    async with sqlwright.connect(shop, queries=demo_queries(), tables="*") as db:
        for invoice in await db.table("invoice").list({"invoice_id__gt": 412}):
            lines = await db.table("invoice_line").list({"invoice_id": invoice["invoice_id"]})
            total = sum(line["unit_price"] * line["quantity"] for line in lines)
            assert invoice["total"] == total, "a purchase is whole"
            found[invoice["invoice_id"]] = [(line["track_id"], line["quantity"]) for line in lines]
    return found


def test_one_call_gives_the_whole_invoice(shop: str) -> None:
    with start("granian", shop, demo_queries(), **SETTINGS) as server:
        server.until("/readyz", 200)
        answer = httpx.post(f"{server.url}/transaction", json=purchase(2, 1, 2, 3))
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        assert results[-1] == {"invoice_id": results[0]["invoice_id"], "total": 2.97}
        wrong = httpx.post(f"{server.url}/transaction", json=purchase(2, 1, 99_999, 2))
        assert (wrong.status_code, wrong.json()["step"], wrong.json()["outcome"]) == (404, 2, "none")
        dry = httpx.post(f"{server.url}/transaction", json=purchase(2, 4, dry_run=True))
        assert (dry.status_code, dry.json()["dry_run"]) == (200, True)
    assert asyncio.run(bought(shop)) == {results[0]["invoice_id"]: [(1, 1), (2, 1), (3, 1)]}


def test_customers_that_collide_are_served_one_after_the_other(shop: str) -> None:
    async def rush(url: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            calls = [
                client.post("/transaction", json=purchase(n % 5 + 1, n + 1, isolation="serializable"))
                for n in range(24)
            ]
            return await asyncio.gather(*calls)

    # A conflict that lasts through every attempt is 503 with outcome none: a caller would repeat it.
    with start("granian", shop, demo_queries(), **SETTINGS) as server:
        server.until("/readyz", 200)
        answers = asyncio.run(rush(server.url))
        served = [answer for answer in answers if answer.status_code == 200]
        others = {(answer.status_code, answer.json()["outcome"]) for answer in answers if answer not in served}
    assert others <= {(503, "none")}
    assert len(served) >= len(answers) // 2
    made = {answer.json()["results"][0]["invoice_id"] for answer in served}
    assert set(asyncio.run(bought(shop))) == made
    assert len(made) == len(served)


@pytest.mark.parametrize("after", [3, 11])
def test_killed_midway_nothing_is_half_done(shop: str, after: int) -> None:
    acknowledged: set[int] = set()

    async def buy_until_it_dies(server: Any) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:

            async def customer(number: int) -> None:
                while True:
                    try:
                        answer = await client.post("/transaction", json=purchase(number, 1, 2, 3, 4, 5))
                    except httpx.TransportError:
                        return
                    if answer.status_code == 200:
                        acknowledged.add(answer.json()["results"][0]["invoice_id"])
                    if len(acknowledged) >= after:
                        server.process.send_signal(signal.SIGKILL)

            await asyncio.gather(*(customer(number) for number in range(1, 7)))

    with start("uvicorn", shop, demo_queries(), **SETTINGS) as server:
        server.until("/readyz", 200)
        asyncio.run(buy_until_it_dies(server))
    found = asyncio.run(bought(shop))
    assert acknowledged <= set(found), "what was acknowledged is kept"
    assert len(found) <= len(acknowledged) + 6, "at most one call of each customer was on its way"
    assert all(len(lines) == 5 for lines in found.values())
