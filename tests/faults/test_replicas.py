"""A replica that stops answering costs one call at a time, and comes back by itself."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from fault_proxy import FaultProxy

from sqlwright.query import Access
from workbench import Bench


async def test_a_replica_that_freezes_and_comes_back(postgresql_url: str, tmp_path: Path) -> None:
    proxy = FaultProxy(postgresql_url)
    await proxy.accept()
    bench = Bench(
        postgresql_url, tmp_path, read_urls=(proxy.address,), reader_pool_size=2,
        connect_timeout_seconds=0.4, statement_timeout_seconds=0.3, acquire_timeout_seconds=5,
    )  # fmt: skip
    await bench.database.open()
    bench.write({"one.sql": "-- name: one$\n-- @timeout 0.3s\nSELECT 1 AS one;"})
    replica, main = bench.database._readers
    await bench.call("one")
    await bench.assert_whole()
    assert replica.pool is not None
    assert replica.pool.status.idle == 1

    async def one() -> tuple[bool, float]:
        start = time.monotonic()
        answer = await asyncio.gather(bench.call("one"), return_exceptions=True)
        return answer == [{"value": 1}], time.monotonic() - start

    proxy.freeze()
    await one()  # finds out
    assert bench.database.candidates(Access.READ) == [main]
    slow = good = 0
    end = time.monotonic() + 2.2  # the replica is tried again in this time, and stays away
    while time.monotonic() < end:
        answers = await asyncio.gather(*(one() for _ in range(8)))
        good += sum(well for well, _ in answers)
        slow += sum(seconds > 0.3 for _, seconds in answers)
        assert all(well for well, _ in answers), "it was passed on to the main server"
        await asyncio.sleep(0.01)
    assert good > 50
    assert slow <= 4
    proxy.thaw()
    for _ in range(300):
        await one()
        if not replica.skip_until:
            break
        await asyncio.sleep(0.01)
    assert replica.skip_until == 0
    await bench.assert_whole()
    await bench.database.close()
    proxy.refuse()
