"""Compressed bodies: the limit holds for what they become, a bomb costs nothing, broken ones are told."""

from __future__ import annotations

import asyncio
import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from record_shop import assert_problem, running
from reliability import Tally
from sqlwright.config import Settings
from sqlwright.http.calls import BODY_BYTES_ON_LOOP_MAX

JSON = {"content-type": "application/json"}
PATH = "/queries/artists/get"
GOOD = b'{"artist_id":1}'
LIMIT = 1_000_000


@pytest.fixture
async def client(sqlite_url: str, queries: Path, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with running(settings.model_copy(update={"body_bytes_max": LIMIT, "bulk_body_bytes_max": LIMIT})) as client:
        yield client


@pytest.fixture
def shop_url(sqlite_url: str) -> str:
    """One engine is enough: a body is JSON before the database hears of it."""
    from record_shop import SCHEMA, run_script

    asyncio.run(run_script(sqlite_url, SCHEMA))
    return sqlite_url


async def send(client: httpx.AsyncClient, body: bytes, coding: str, path: str = PATH) -> httpx.Response:
    return await client.post(path, content=body, headers={**JSON, "content-encoding": coding})


def filled(size: int) -> bytes:
    return GOOD + b" " * (size - len(GOOD))


@pytest.mark.parametrize(
    ("coding", "compress"),
    [("gzip", gzip.compress), ("GZip", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)],
)
async def test_taken(client: httpx.AsyncClient, coding: str, compress: object) -> None:
    # Inflated on the loop, in a thread, and up to the last byte that is allowed.
    for body in (GOOD, filled(BODY_BYTES_ON_LOOP_MAX), filled(BODY_BYTES_ON_LOOP_MAX + 1), filled(LIMIT)):
        answer = await send(client, compress(body), coding)  # type: ignore[operator]
        assert answer.json()["name"] == "AC/DC"
    assert (await send(client, b"", coding, "/queries/artists/all")).status_code == 200


async def test_everywhere(client: httpx.AsyncClient) -> None:
    steps = {"steps": [{"query": "artists.get", "params": {"artist_id": 1}}]}
    for path, body in (("/queries/artists/add_many", []), ("/transaction", steps)):
        answer = await send(client, gzip.compress(json.dumps(body).encode()), "gzip", path)
        assert answer.status_code == 200


@pytest.mark.reliability(5)
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_over_the_limit(client: httpx.AsyncClient, tally: Tally, coding: str) -> None:
    compress = gzip.compress if coding == "gzip" else zlib.compress
    bomb = compress(b" " * 200_000_000)
    incompressible = b"".join(zlib.compress(bytes([n % 256]) * 20) for n in range(LIMIT // 10))
    bodies = [compress(filled(LIMIT + 1)), bomb, incompressible]
    for body in bodies:
        tracemalloc.start()
        assert_problem(await send(client, body, coding), 413, "body_too_large")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5 * LIMIT
    tally.inputs(5, len(bodies))


@pytest.mark.reliability(5)
async def test_broken(client: httpx.AsyncClient, tally: Tally) -> None:
    whole = gzip.compress(GOOD)
    large = gzip.compress(filled(LIMIT))
    bodies = [
        *(whole[:length] for length in range(1, len(whole))), whole + b"x", whole + whole, GOOD, zlib.compress(GOOD),
        large[:-1], large + b"x",
        *(whole[:place] + b"\xff\xff" + whole[place + 2 :] for place in (0, 2, 12, len(whole) - 9)),
        whole[:-8] + b"\0" * 8,
    ]  # fmt: skip
    for body in bodies:
        assert_problem(await send(client, body, "gzip"), 400, "malformed_request")
    raw = zlib.compressobj(wbits=-15)
    assert_problem(await send(client, raw.compress(GOOD) + raw.flush(), "deflate"), 400, "malformed_request")
    tally.inputs(5, len(bodies) + 1)


@pytest.mark.reliability(6)
@pytest.mark.parametrize(
    "coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, identity", "gzip;q=1", "é", "x" * 9000]
)
async def test_other_codings(client: httpx.AsyncClient, tally: Tally, coding: str) -> None:
    body = gzip.compress(gzip.compress(GOOD))
    headers = httpx.Headers([*JSON.items(), ("content-encoding", coding.encode("latin-1"))])  # type: ignore[list-item]
    answer = await client.post(PATH, content=body, headers=headers)
    assert_problem(answer, 415, "unsupported_content_coding")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    tally.inputs(6, 1)


async def test_a_large_one_leaves_the_loop_free(settings: Settings) -> None:
    """Few bytes that become many are inflated in a thread."""
    body = gzip.compress(b"[" + b" " * 15_000_000 + b"]")
    assert len(body) < BODY_BYTES_ON_LOOP_MAX
    async with running(settings) as client:
        large = asyncio.create_task(send(client, body, "gzip", "/queries/artists/add_many"))
        answered = 0
        while not large.done():
            await client.get("/livez")
            await asyncio.sleep(0)
            answered += 1
        assert (await large).json() == {"affected": 0}
        assert answered > 3
