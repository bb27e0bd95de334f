"""How sessions are opened, reset, stopped on the server and ended.

A session is reset after its use, because a statement may leave something behind: user variables, locks by GET_LOCK,
temporary tables, settings. The pool's own task does that after the caller has gone. It is not reset where only reads
ran that cannot do that (`traces.py`) and the server, which is told to watch its sessions, has not said otherwise; once
in a while it is all the same, because views may change.

A statement whose caller has left is stopped with KILL QUERY over a short connection of its own, at most `KILLERS_MAX`
at a time. What was left is then read to its end, and the session is as good as new.
"""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pymysql

from sqlwright.address import each_host
from sqlwright.engines import outage
from sqlwright.engines.base import SessionOptions
from sqlwright.engines.connector import Connector
from sqlwright.engines.hosts import open_first
from sqlwright.engines.mysql.errors import code_of, connection_refused
from sqlwright.engines.mysql.session import SESSION_TRACK, Session
from sqlwright.engines.raised import raise_ours
from sqlwright.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

RENEW_SECONDS = 10.0
KILLERS_MAX = 2
KILLS_WAITING_MAX = 100
KILL_SECONDS = 1.0
CLOSE_SECONDS = 1.0
_OWN_END_SECONDS = 0.005
"""Most statements whose caller leaves are through in a moment: only for others a connection is opened."""
_INTERRUPTED = 1317
_RECURSIONS_MAX = 2**32 - 1
_STREAM_WAIT_SECONDS = 600
"""How long the server waits for a reader of a stream that does not read on."""

SQL_MODE = (
    "STRICT_TRANS_TABLES", "STRICT_ALL_TABLES", "NO_ZERO_DATE", "NO_ZERO_IN_DATE", "ERROR_FOR_DIVISION_BY_ZERO",
    "NO_ENGINE_SUBSTITUTION",
)  # fmt: skip
"""What a column cannot hold is an error. Nothing that changes how text is read: `"` quotes strings, `||` is OR."""

# Settings that only some servers know, and what they are set to.
_READ_ONLY = ("tx_read_only", "transaction_read_only")  # MariaDB before 11.1; MySQL 8 and MariaDB since
_STATEMENT_TIME = "max_statement_time"  # MariaDB, seconds
_EXECUTION_TIME = "max_execution_time"  # MySQL, milliseconds, for SELECT alone
_SNAPSHOT = "innodb_snapshot_isolation"  # without it a repeatable read overwrites what it has not seen
_IDLE = "idle_transaction_timeout"  # MariaDB
_WATCH = "session_track_state_change"  # MariaDB since 10.2, MySQL since 5.7
_PACKET = "max_allowed_packet"
_USER_CONNECTIONS = "max_user_connections"
_RECURSIONS = (
    "max_recursive_iterations",
    "cte_max_recursion_depth",
)  # MariaDB gives the first 1,000 rounds as the whole
_ON = ("ON", "1", "NO_LOCK", "NO_LOCK_NO_ADMIN")
_SERVER_READS = ("read_only", "super_read_only", "innodb_read_only")
_OTHERS = (_STATEMENT_TIME, _EXECUTION_TIME, _SNAPSHOT, _IDLE, _PACKET, _USER_CONNECTIONS, _WATCH, *_SERVER_READS)


class MySQLConnector(Connector[Session]):
    def __init__(self, url: str, options: SessionOptions) -> None:
        self._urls = each_host(url)
        self._options = options
        self._killers = asyncio.Semaphore(KILLERS_MAX)
        self._ending: set[asyncio.Task[None]] = set()

    async def open(self) -> Session:
        return await open_first(self._urls, self._open, self.terminate)

    async def _open(self, url: str) -> Session:
        session: Session | None = None
        try:
            session = Session(url, **connect_options(url))
            async with asyncio.timeout(self._options.connect_timeout_seconds):
                await session._connect()
                await self._learn(session)
                await self._set_up(session)
        except BaseException as error:
            if session is not None:
                session.close()
            raise_ours(connection_refused(error), error)
        return session

    async def _learn(self, session: Session) -> None:
        """Which settings this server knows decides what is set: versions of two families tell less."""
        names = ", ".join(f"'{n}'" for n in (*_READ_ONLY, *_RECURSIONS, *_OTHERS))
        known: dict[str, str] = dict((await session.fetch(f"SHOW VARIABLES WHERE Variable_name IN ({names})")).rows)
        if not self._options.read_only and any(known.get(name) in _ON for name in _SERVER_READS):
            raise outage.read_only()  # also for who may write all the same: it is no primary
        session.user_connections = int(known.get(_USER_CONNECTIONS, 0))
        session.packet_max = int(known.get(_PACKET, session.packet_max))
        session.time_setting = next((name for name in (_STATEMENT_TIME, _EXECUTION_TIME) if name in known), "")
        options = self._options
        lock_seconds = max(1, math.ceil(options.lock_timeout_seconds))
        settings = [
            "NAMES utf8mb4",
            "autocommit = 1",
            "time_zone = '+00:00'",
            f"sql_mode = '{','.join(SQL_MODE)}'",
            f"innodb_lock_wait_timeout = {lock_seconds}",
            f"lock_wait_timeout = {lock_seconds}",
            f"net_write_timeout = {_STREAM_WAIT_SECONDS}",
        ]
        # What is cut off comes with a warning only: the statement's time and the packet are the bounds.
        settings.append(f"group_concat_max_len = {session.packet_max}")
        settings += [f"{name} = {_RECURSIONS_MAX}" for name in _RECURSIONS if name in known]
        if session.time_setting:
            settings.append(session.time_limit(options.statement_timeout_seconds))
        if _SNAPSHOT in known:
            settings.append(f"{_SNAPSHOT} = ON")
        if _WATCH in known:
            settings.append(f"{_WATCH} = ON")
        if _IDLE in known:
            settings.append(f"{_IDLE} = {math.ceil(options.server_idle_seconds)}")
        if options.read_only:
            settings.append(f"{next(name for name in _READ_ONLY if name in known)} = 1")
        session.settings = f"SET {', '.join(settings)}".encode()

    async def _set_up(self, session: Session) -> None:
        await session.renew()
        session.timeout_seconds = self._options.statement_timeout_seconds
        session.renewed_at = asyncio.get_running_loop().time()

    def is_alive(self, connection: Session) -> bool:
        return connection.is_open

    def is_clean(self, connection: Session) -> bool:
        if connection.used or not connection.is_open or connection.is_busy or connection.in_transaction:
            return False
        return asyncio.get_running_loop().time() - connection.renewed_at < RENEW_SECONDS

    async def mend(self, connection: Session) -> None:
        if connection.is_busy:
            await self.stop(connection)
        try:
            await self._set_up(connection)
        except pymysql.err.MySQLError as error:
            if code_of(error) != _INTERRUPTED:  # a KILL that came too late for its statement
                raise
            await self._set_up(connection)

    async def stop(self, session: Session) -> None:
        """End what still runs, and read its end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_OWN_END_SECONDS):
                await self._ended(session)
        if session.is_busy:
            await self._kill("QUERY", session)
            await self._ended(session)
        session.running = None

    @staticmethod
    async def _ended(session: Session) -> None:
        if session.running is not None:
            await asyncio.wait([session.running])
        await session.settle()

    async def _kill(self, what: str, session: Session) -> None:
        """KILL QUERY stops a statement, KILL CONNECTION the session too. The user's own ones need no right for it."""
        async with self._killers, asyncio.timeout(KILL_SECONDS):
            killer = Session(session.url, **connect_options(session.url))
            try:
                await killer._connect()
                await killer.fetch(f"KILL {what} {session.thread_id():d}")
            except pymysql.err.MySQLError as error:
                if code_of(error) != 1094:  # gone already
                    raise
            finally:
                killer.close()

    def terminate(self, connection: Session) -> None:
        if connection.is_busy and len(self._ending) < KILLS_WAITING_MAX:
            # The server would only notice at the end of the statement that nobody is there.
            task = asyncio.get_running_loop().create_task(self._kill_unheard(connection))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        if connection.running is not None:
            connection.running.cancel()
        connection.close()

    async def _kill_unheard(self, session: Session) -> None:
        try:
            await self._kill("CONNECTION", session)
        except (OSError, pymysql.err.MySQLError, DatabaseUnavailable):
            logger.debug("a statement could not be stopped: the server does not answer")

    async def close(self, connection: Session) -> None:
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await connection.ensure_closed()
        except (OSError, pymysql.err.MySQLError):
            self.terminate(connection)

    async def all_ended(self) -> None:
        """Wait for what is being stopped on the server, or a loop that closes would cut it off."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=CLOSE_SECONDS)


def connect_options(url: str) -> dict[str, Any]:
    """aiomysql's arguments for a URL as `address.py` leaves it."""
    parts = urlsplit(url)
    query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return {
        "host": parts.hostname or "localhost",
        "port": parts.port or 3306,
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password or ""),
        "db": unquote(parts.path.lstrip("/")) or None,
        "unix_socket": query.get("unix_socket"),
        "charset": "utf8mb4",
        "ssl": _ssl_context(query),
        "client_flag": pymysql.constants.CLIENT.FOUND_ROWS | SESSION_TRACK,
        "autocommit": None,
        "local_infile": False,
        "program_name": "sqlwright",
    }


def _ssl_context(query: dict[str, str]) -> ssl.SSLContext | None:
    """None without any `ssl…` option. The certificate is checked unless `ssl_verify_cert=false`."""
    if not any(key.startswith("ssl") for key in query) or query.get("ssl") == "false":
        return None
    context = ssl.create_default_context(cafile=query.get("ssl_ca"))
    if "ssl_cert" in query:
        context.load_cert_chain(query["ssl_cert"], query.get("ssl_key"))
    if query.get("ssl_verify_cert") == "false":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif query.get("ssl_verify_identity") == "false":
        context.check_hostname = False
    return context
