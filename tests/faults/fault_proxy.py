"""A TCP proxy that can refuse, reject, freeze, forget, reset, and cut a stream after so many bytes or at some words."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

_PORTS = {"mysql": 3306}


class FaultProxy:
    """Stands before the server of `url`; `address` is the same database through the proxy."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._path = f"{parse_qs(parts.query).get('host', ['/tmp'])[0]}/.s.PGSQL.{parts.port or 5432}"
        self._scheme = parts.scheme
        self._target = (parts.hostname, parts.port or _PORTS.get(parts.scheme, 5432))
        self._login = (parts.username or "postgres") + (f":{parts.password}" if parts.password else "")
        self._name = parts.path
        self._server: asyncio.Server | None = None
        self._streams: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._forgotten: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.accepted = 0
        """Connections so far, those that were refused at once among them."""
        self.rejects = False
        """Reset whoever connects."""
        self.cut_after: int | None = None
        """Bytes from the server that still pass before every connection is reset."""
        self.cut_at: bytes | None = None
        """Words to the server around which every connection is reset, once."""
        self.cut_delivers = False
        """The words still reach the server, and it is its answer that is cut off."""

    @property
    def address(self) -> str:
        return f"{self._scheme}://{self._login}@127.0.0.1:{self.port}{self._name}"

    async def accept(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """No listener any more, and every connection reset."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    def forget(self) -> None:
        """As a firewall does with idle connections: nobody is told, and who sends something gets a reset."""
        self._forgotten |= self._streams

    def freeze(self) -> None:
        self._flows.clear()

    def thaw(self) -> None:
        self._flows.set()

    def reset(self) -> None:
        self._abort(list(self._streams))

    def _abort(self, streams: list[asyncio.StreamWriter]) -> None:
        linger = struct.pack("ii", 1, 0)  # a RST instead of a FIN
        for stream in streams:
            own = stream.get_extra_info("socket")
            if own is not None and own.fileno() >= 0:  # else it is closed already
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            stream.transport.abort()
            self._streams.discard(stream)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._streams.add(writer)
        if self.rejects:
            self._abort([writer])
            return
        try:
            if self._target[0]:
                there, back = await asyncio.open_connection(*self._target)
            else:
                there, back = await asyncio.open_unix_connection(self._path)
        except OSError:
            writer.transport.abort()
            return
        self._streams.add(back)
        said = asyncio.Event()  # the words at which this connection is to be cut
        await asyncio.gather(
            self._pump(reader, back, writer, self._asks, said), self._pump(there, writer, back, self._answers, said)
        )

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        other: asyncio.StreamWriter,
        passes: Callable[[bytes, asyncio.Event], bool],
        said: asyncio.Event,
    ) -> None:
        try:
            while chunk := await source.read(65536):
                await self._flows.wait()
                if sink in self._forgotten:
                    self._abort([sink, other])
                    return
                if not passes(chunk, said):
                    self.reset()
                    return
                if sink.is_closing():  # the other end is gone: uvloop would raise
                    return
                sink.write(chunk)
                await sink.drain()
        except OSError:
            pass  # one end is gone
        finally:
            sink.close()
            self._streams.discard(sink)
            self._forgotten.discard(sink)

    def _asks(self, chunk: bytes, said: asyncio.Event) -> bool:
        if self.cut_at is None or self.cut_at not in chunk:
            return True
        self.cut_at = None
        said.set()
        return self.cut_delivers

    def _answers(self, chunk: bytes, said: asyncio.Event) -> bool:
        if said.is_set():
            return False
        if self.cut_after is not None:
            self.cut_after -= len(chunk)
            if self.cut_after < 0:
                self.cut_after = None
                return False
        return True
