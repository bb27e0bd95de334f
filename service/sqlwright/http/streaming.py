"""An answer of rows as they come from the database, for as long as its caller takes them.

What fails before the first byte is an ordinary problem: the first rows are fetched before the answer begins. Afterwards
NDJSON ends with a line that tells it, and CSV is broken off, so that its reader sees that it is incomplete.
"""

from __future__ import annotations

import asyncio
import math
import time

from sqlwright.errors import ClientLeft, DeadlineExceeded, ReaderTooSlow, SqlwrightError, TooManyStreams
from sqlwright.http.exchange import Exchange
from sqlwright.http.problems import problem
from sqlwright.http.responses import COMMON_HEADERS, VARY, standard_headers, timing_header
from sqlwright.http.row_formats import row_format
from sqlwright.http.service import Service
from sqlwright.plan import Plan
from sqlwright.query import Result
from sqlwright.streams import RowStream

CHUNK_ROWS = 256
CHUNK_BYTES = 64 * 1024
"""A piece has no more, but for large rows, so that nothing is held for longer than a few milliseconds."""


class StreamAnswer:
    """Opened before the answer begins, then sent; ended whatever happens."""

    def __init__(
        self, service: Service, exchange: Exchange, plan: Plan, media_type: str, rows_max: int | None = None
    ) -> None:
        self._service = service
        self._settings = service.settings
        self._exchange = exchange
        self._left = rows_max
        self._format = row_format(media_type, [column.name for column in plan.contract.columns])
        self._rows = RowStream(
            service.database,
            plan,
            chunk_rows=CHUNK_ROWS if rows_max is None else min(CHUNK_ROWS, rows_max),
            chunk_bytes=CHUNK_BYTES,
            held_bytes_max=plan.bytes_max,
            separator="\n",
            spent=exchange,
        )
        self._piece: Result | None = None
        self._counted = False
        self._begun = False

    async def open(self) -> None:
        """Take a connection and the first rows. Raises what a call raises, and `TooManyStreams`."""
        exchange = self._exchange
        if self._service.streams >= self._service.streams_max:
            raise TooManyStreams(f"{self._service.streams} streams are already sent")
        self._service.streams += 1
        self._counted = True
        try:
            exchange.rows = 0
            exchange.executing = True
            self._piece = await self._next()
            if exchange.method == "HEAD":
                await self.end()
        except BaseException as error:
            await self.end(error)
            raise

    async def send(self) -> None:
        """The whole answer. A caller that leaves cancels the task that runs this."""
        exchange = self._exchange
        try:
            try:
                async with asyncio.timeout(self._settings.stream_timeout_seconds) as limit:
                    await self._send()
            except TimeoutError:
                if not limit.expired():
                    raise
                seconds = self._settings.stream_timeout_seconds
                raise DeadlineExceeded(
                    f"the rows took longer than {seconds:g} s", hint="stream_timeout_seconds is the most"
                ) from None
        except Exception as error:
            await self.end(error)
            if isinstance(error, OSError):  # the server found the caller gone
                exchange.code = ClientLeft.code
            else:
                await self._fail(error)
        except BaseException as error:
            if exchange.left:
                exchange.code = ClientLeft.code
            await self.end(error)
            raise

    async def end(self, error: BaseException | None = None) -> None:
        """Give the connection and the place back."""
        if self._counted:
            self._counted = False
            self._service.streams -= 1
        await self._rows.end(error)

    async def _send(self) -> None:
        exchange = self._exchange
        await self._begin()
        if exchange.method != "HEAD":
            while self._piece is not None:
                begun = time.perf_counter()
                body = await self._format.write(self._piece.json)
                exchange.encode_seconds += time.perf_counter() - begun
                await self._put(body)
                assert exchange.rows is not None
                exchange.rows += self._piece.count
                self._piece = await self._next()
        await self.end()
        await self._put(b"" if exchange.method == "HEAD" else self._format.end(), more=False)

    async def _next(self) -> Result | None:
        """The next piece, cut where the caller wants no more rows."""
        if self._left == 0:
            return None
        piece = await self._rows.fetch()
        if piece is None or self._left is None:
            return piece
        if piece.count > self._left:
            rows = piece.json.split(b"\n", self._left)[: self._left]
            piece = Result(json=b"\n".join(rows), count=self._left)
        self._left -= piece.count
        return piece

    async def _begin(self) -> None:
        exchange = self._exchange
        exchange.ends_at = math.inf  # from here on it is a stream's time
        exchange.status = 200
        exchange.last = self._service.leaving and exchange.has_close
        headers = [*self._format.headers, VARY, timing_header(exchange), *standard_headers(exchange), *COMMON_HEADERS]
        assert exchange.send is not None
        await exchange.send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _put(self, body: bytes, *, more: bool = True) -> None:
        """Some of the body, once its reader has room for it. Raises `ReaderTooSlow`."""
        send = self._exchange.send
        assert send is not None
        try:
            async with asyncio.timeout(self._settings.send_timeout_seconds) as limit:
                await send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            if not limit.expired():
                raise
            raise ReaderTooSlow("nothing of the answer was taken for too long") from None

    async def _fail(self, error: Exception) -> None:
        """Tell it in the answer, or leave that incomplete: the server then breaks its connection off."""
        exchange = self._exchange
        if not isinstance(error, SqlwrightError):
            self._service.log.failure("unexpected exception", error, exchange.request_id)
        answer = problem(exchange, error, development=self._settings.development)
        line = self._format.failure(answer.body)
        if line is None or isinstance(error, ReaderTooSlow):
            return
        try:
            await self._put(line, more=False)
        except ReaderTooSlow:
            return  # who takes nothing is not told, either
