"""A load of raw connections that knows of every request whether it was answered.

Half of the callers open a connection for every request, half keep theirs as HTTP/1.1 allows. A request that was sent on
a connection that stood, and got no answer, is lost. A connection that is refused was never ours.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

FILES = {
    "items/queries.sql": """
-- name: all
-- @limit 100000 max 100000
SELECT n FROM item ORDER BY n;

-- name: add!
INSERT INTO item (n) VALUES (:n);

-- name: one$
SELECT 1 AS one;

-- name: slow$
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 200000) SELECT max(x) FROM c;
"""
}
ITEM = "CREATE TABLE item (n int PRIMARY KEY)"


class Lost(Exception):
    pass


class Load:
    def __init__(self, port: int, *, names: Sequence[str] = ("one", "add", "slow")) -> None:
        self.port = port
        self.names = names
        self.statuses: Counter[int] = Counter()
        self.refused = 0
        self.lost: list[str] = []
        self.acknowledged: list[int] = []
        self.doubtful: set[int] = set()
        self.closes = 0
        """Answers that said they were the last on their connection."""
        self._numbers = itertools.count()
        self._ends = False

    @asynccontextmanager
    async def running(self, callers: int = 8) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._call_on(kept=number % 2 == 0)) for number in range(callers)]
        try:
            yield
        finally:
            self._ends = True
            await asyncio.gather(*tasks)

    async def _call_on(self, *, kept: bool) -> None:
        for name in itertools.cycle(self.names):
            if self._ends:
                return
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                self.refused += 1
                await asyncio.sleep(0.02)
                continue
            try:
                while not self._ends and await self._call(name, reader, writer) and kept:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(0)
            except Lost as lost:
                self.lost.append(str(lost))
            finally:
                writer.close()

    async def _call(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be used again."""
        number = next(self._numbers)
        body = json.dumps({"n": number}) if name == "add" else ""
        head = f"{'POST' if body else 'GET'} /queries/items/{name} HTTP/1.1\r\nhost: localhost\r\n"
        if body:
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            self.doubtful.add(number)
        try:
            writer.write(f"{head}\r\n{body}".encode())
            await writer.drain()
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(answer.partition("content-length: ")[2].partition("\r\n")[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Lost(f"{name} {number}: {type(error).__name__}") from None
        status = int(answer.split()[1])
        self.statuses[status] += 1
        if body and status == 200:
            self.acknowledged.append(number)
        if body and status in (200, 503):
            self.doubtful.discard(number)
        last = "connection: close" in answer
        self.closes += last
        return not last
