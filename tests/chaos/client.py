"""HTTP/1.1 over a socket, as little of it as the load needs: one process must ask more than two workers can answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PATIENCE_SECONDS = 15.0
"""No answer takes longer than the service's own limits; one that takes this long never comes."""


class Broken(Exception):
    """The connection was refused, or ended before the whole answer was there."""


class Hung(Exception):
    """The connection stands and the answer does not come."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


def request(method: str, path: str, body: object = None) -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body is None:
        return f"{head}\r\n".encode("ascii")
    content = body if isinstance(body, bytes) else json.dumps(body).encode("ascii")
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode("ascii") + content


class Connection:
    """One connection, opened when it is needed, and again after it broke."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, method: str, path: str, body: object = None) -> Answer:
        """Raises `Broken`, `Hung`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.send(request(method, path, body))
                status, headers, content = await self._receive()
        except (OSError, EOFError) as error:
            self.abort()
            if isinstance(error, TimeoutError):
                raise Hung(f"{method} {path.partition('?')[0]}") from None
            raise Broken(f"{method} {path.partition('?')[0]}: {type(error).__name__}") from None
        except BaseException:
            self.abort()
            raise
        if headers.get("connection") == "close":
            self.abort()
        return Answer(status, headers, content, time.monotonic() - began)

    async def send(self, data: bytes) -> None:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(data)
        await self._writer.drain()

    async def read_some(self, size: int) -> bytes:
        assert self._reader is not None
        return await self._reader.read(size)

    async def _receive(self) -> tuple[int, dict[str, str], bytes]:
        assert self._reader is not None
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split(" ", 2)[1])
        length = int(headers.get("content-length", "0"))
        return status, headers, await self._reader.readexactly(length)

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None
