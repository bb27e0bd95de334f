"""A service asked in process by raw ASGI, as bytes that no HTTP client would send; every answer is checked.

Whatever is asked: a documented status, the problem's one shape, nothing told that should not be, and an end in time.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy

from json_schema import conforms
from record_shop import FILES, SCHEMA, run_script, write_files
from reliability import Tally
from sqlwright.config import Settings
from sqlwright.http.app import create_app

REFUSED = frozenset({400, 403, 404, 405, 406, 409, 413, 414, 415, 422})
"""What bad input is answered with (README). 5xx never."""
LEAK = re.compile(
    r"SELECT |INSERT |UPDATE |DELETE |Traceback|postgresql://|sqlite:///|mysql://|/tmp/|asyncpg|sqlite3\.|pymysql"
)
"""What no answer has that the caller has not sent."""
SECONDS_MAX = 10.0
LIMITS = {
    "header_timeout_seconds": 1,
    "request_timeout_seconds": 1,
    "statement_timeout_seconds": 0.5,
    "log_calls": "false",
}
"""Of servers that slow callers are tried on."""
BODY_BYTES_MAX = 20_000

TABLES = """
CREATE TABLE note (
  note_id integer PRIMARY KEY, small smallint, big bigint, word varchar(200), number numeric(10, 2), day date
);
CREATE TABLE label (word varchar(150) PRIMARY KEY, n integer);
INSERT INTO note VALUES (1, 1, 1, 'one', 1.5, '2024-01-01'), (2, 2, 2, 'two', 2.5, '2024-01-02');
"""
GOOD_FILES = {
    **{name: text for name, text in FILES.items() if name != "broken.sql"},
    "artists/queries.sql": FILES["artists/queries.sql"].replace("-- name: two^", "-- name: two"),
    "notes/queries.sql": """
-- name: by_word
SELECT note_id, word FROM note WHERE word = :word ORDER BY note_id;

-- name: write!
-- @param note_id integer
-- @param word text?
-- @param small smallint?
-- @param big bigint?
-- @param day date?
UPDATE note SET word = :word, small = :small, big = :big, day = :day WHERE note_id = :note_id;

-- name: pages
-- @param over integer = 0
SELECT note_id, word FROM note WHERE note_id > :over ORDER BY note_id;
""",
}
"""The queries of the record shop but for those that are made to fail."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])

    @property
    def faults(self) -> set[tuple[str, str]]:
        return {(fault["parameter"], fault["code"]) for fault in self.json["errors"]}


class Asker:
    def __init__(self, app: Any, document: dict[str, Any]) -> None:
        self._app = app
        self.document = document
        self._problem = document["components"]["schemas"]["Problem"]
        self.asked: Counter[str] = Counter()
        """By row of the table."""
        self.failed = self.hung = 0

    async def ask(
        self,
        row: int | str,
        method: str,
        path: str,
        query: bytes | str = b"",
        body: object = None,
        *,
        headers: Iterable[tuple[bytes, bytes]] = (),
        chunks: Iterable[bytes] = (),
    ) -> Answer:
        """`path` as it stands in a request line; `body` as bytes, or anything to be JSON."""
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given = dict(headers)
        if sent:
            given.setdefault(b"content-type", b"application/json")
            given.setdefault(b"content-length", b"%d" % len(sent))
        given.setdefault(b"host", b"localhost")
        self.asked[str(row)] += 1
        try:
            async with asyncio.timeout(SECONDS_MAX):
                answer = await self._call(method, path, query, list(given.items()), [sent, *chunks])
        except TimeoutError:
            self.hung += 1
            raise AssertionError(f"no answer: {method} {path} {query!r} {sent[:300]!r}") from None
        raw = query.encode("latin-1") if isinstance(query, str) else query
        self._check(answer, f"{method} {unescaped(path.encode('latin-1'))}?{unescaped(raw)} {sent!r}")
        return answer

    def tell(self, tally: Tally) -> None:
        for row, count in self.asked.items():
            tally.inputs(row, count)
        tally.inputs(1, 0, failed=self.failed, hung=self.hung)

    async def _call(
        self, method: str, path: str, query: bytes | str, headers: list[tuple[bytes, bytes]], chunks: list[bytes]
    ) -> Answer:
        raw = path.encode("latin-1")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": unescaped(raw), "raw_path": raw, "root_path": "", "headers": headers, "client": ("127.0.0.1", 1),
            "query_string": query.encode("latin-1") if isinstance(query, str) else query, "server": ("localhost", 80),
        }  # fmt: skip
        coming = iter([*({"type": "http.request", "body": c, "more_body": True} for c in chunks[:-1]),
                       {"type": "http.request", "body": chunks[-1], "more_body": False}])  # fmt: skip
        sent: list[Any] = []

        async def receive() -> Any:
            message = next(coming, None)
            if message is None:
                await asyncio.Event().wait()  # the caller stays until he has his answer
            return message

        async def send(message: Any) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        start, *rest = sent
        return Answer(start["status"], dict(start["headers"]), b"".join(part.get("body", b"") for part in rest))

    def _check(self, answer: Answer, asked: str) -> None:
        text = answer.body.decode("utf-8")
        if answer.status < 300:
            return
        if answer.status >= 500:
            self.failed += 1
        assert answer.status in REFUSED, (asked[:500], answer.status, text)
        assert answer.headers[b"content-type"] == b"application/problem+json", asked[:500]
        assert not text or conforms(answer.json, self._problem), (asked[:500], text)
        assert all(leak in asked for leak in LEAK.findall(text)), (asked[:500], text)


def unescaped(raw: bytes) -> str:
    """The path as servers give it: percent-escapes decoded, what is no UTF-8 replaced."""
    return unquote_to_bytes(raw).decode("utf-8", "replace")


@asynccontextmanager
async def asking(url: str, folder: Path, tally: Tally, **more: Any) -> AsyncIterator[Asker]:
    """The record shop with its tables, served."""
    await asyncio.to_thread(asyncio.run, run_script(url, SCHEMA + TABLES))
    queries = write_files(folder / "queries", GOOD_FILES)
    limits = {"body_bytes_max": BODY_BYTES_MAX, "bulk_body_bytes_max": 2 * BODY_BYTES_MAX, **more}
    app = create_app(Settings(database_url=url, queries=queries, tables="*", log_calls=False, **limits))
    async with app.router.lifespan_context(app):
        asker = Asker(app, {"components": {"schemas": {"Problem": {}}}})
        for _ in range(200):
            if (await asker._call("GET", "/readyz", b"", [(b"host", b"localhost")], [b""])).status == 200:
                break
            await asyncio.sleep(0.05)
        document = (await asker._call("GET", "/openapi.json", b"", [(b"host", b"localhost")], [b""])).json
        asker = Asker(app, document)
        try:
            yield asker
        finally:
            asker.tell(tally)
        await until_whole(asker)


async def until_whole(asker: Asker) -> None:
    """Every connection is idle again, within two seconds."""
    for _ in range(40):
        ready = (await asker._call("GET", "/readyz", b"", [(b"host", b"localhost")], [b""])).json
        pools = [pool for group in ready["database"]["pools"].values() for pool in group]
        if all(pool["idle"] == pool["size"] and not pool["waiting"] for pool in pools):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(ready)


def drawn(strategy: SearchStrategy[Any], count: int) -> list[Any]:
    """Up to `count` examples, the same in every run."""
    found: list[Any] = []

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def draw(example: Any) -> None:
        found.append(example)

    draw()
    return found
