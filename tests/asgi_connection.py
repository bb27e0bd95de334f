"""An application called as a server calls it, without one."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI


class Connection:
    """What a server gives an application."""

    def __init__(self, path: str, *messages: dict[str, Any], query_string: bytes = b"") -> None:
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query_string,
            "headers": [(b"host", b"localhost")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8000),
            "state": {},
        }
        self.messages = list(messages)
        self.asked = 0
        self.left = asyncio.Event()
        self.sent: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        if self.messages:
            return self.messages.pop(0)
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    def call(self, app: FastAPI) -> asyncio.Task[None]:
        async def call() -> None:
            await app({**self.scope, "app": app}, self.receive, self.send)

        return asyncio.create_task(call())


EMPTY = {"type": "http.request", "body": b"", "more_body": False}
