"""PostgreSQL sessions: how they are opened, lent, reset and ended. `databases` is the frame, the pool is ours.

Any SELECT can change its session (set_config, advisory locks), so a session is reset after use, by the pool's own task,
unless nothing has run in it but programs that are proven to leave nothing behind (`proof.py`). Who takes the session
out of its lease may have done anything. A proof holds for the functions as they were when a query was described, so
sessions in use are reset every `RESET_SECONDS` all the same. Measured with 1 and 16 callers: a reset is 52 and 66 µs of
CPU a call, and a round trip.

Behind a pooler in transaction mode nothing outlives a transaction: statements have no name, settings are local
(`Session.locals`), and there is nothing to reset.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import asyncpg
from databases import DatabaseURL
from databases.backends.postgres import PostgresBackend as StockBackend
from databases.backends.postgres import PostgresConnection as StockConnection

from sqlwright.address import each_host
from sqlwright.engines.base import Lease, Program, SessionOptions
from sqlwright.engines.connector import Connector
from sqlwright.engines.hosts import open_first
from sqlwright.engines.pool import Pool
from sqlwright.engines.postgres.errors import connection_refused
from sqlwright.engines.raised import raise_ours
from sqlwright.query import PlanMode

STATEMENTS_MAX = 1024
"""Prepared statements kept per session. Cycling through more than are kept prepares anew at every call."""

RESET_SECONDS = 1.0
"""How long a session is used without a reset, whatever is proven."""

# What DISCARD ALL does, but for the prepared statements, which are ours.
_RESET = """SET SESSION AUTHORIZATION DEFAULT;
CLOSE ALL;
UNLISTEN *;
SELECT pg_advisory_unlock_all();
DISCARD SEQUENCES;
DISCARD TEMP;
RESET ALL"""


# The arrays of `NATIVE_KINDS` by their OID, which is the same in every database, and the OID of their items.
_NATIVE_ARRAYS = {
    1000: 16, 1001: 17, 1003: 19, 1005: 21, 1007: 23, 1009: 25, 1014: 1042, 1015: 1043, 1016: 20, 1021: 700, 1022: 701,
    2951: 2950,
}  # fmt: skip


UNKNOWN = -1
_POOLERS_OWN = ("application_name", "TimeZone", "DateStyle", "standard_conforming_strings")
"""Settings that PgBouncer takes from whoever connects, and gives to each session that it lends."""


class Session(asyncpg.Connection):  # type: ignore[misc]
    """A connection with its prepared statements."""

    __slots__ = (
        "_types_are_opaque", "limit_ms", "locals", "plan_mode", "reads_only", "reset_at", "statements", "timeout_ms",
        "touched",
    )  # fmt: skip

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.statements: OrderedDict[str, Any] = OrderedDict()
        self._types_are_opaque = False
        self.timeout_ms = 0
        """The session's own statement_timeout."""
        self.limit_ms = 0
        """The statement_timeout that holds now, or UNKNOWN."""
        self.reads_only = False
        """In a savepoint of `transaction.keep_from_writing`."""
        self.locals = ""
        """Behind a pooler: what every transaction begins with."""
        self.touched = False
        """Something has run that is not proven to leave nothing behind, or may still run."""
        self.reset_at = time.monotonic()
        self.plan_mode: PlanMode | None = "auto"
        """How the server plans now; None where that is not known."""

    async def prepare(self, query: str, *, name: str | None = None, **options: Any) -> Any:
        """Behind a pooler without a name: the next transaction may be on a session that does not know it."""
        return await super().prepare(query, name="" if self.locals else name, **options)

    def kept(self, sql: str) -> Any:
        """The prepared statement of this text, None where there is none yet."""
        found = self.statements.get(sql)
        if found is not None:
            self.statements.move_to_end(sql)
        return found

    async def statement(self, sql: str) -> Any:
        """The prepared statement of this text, prepared now if it is not kept."""
        found = self.kept(sql)
        if found is not None:
            return found
        found = await self.prepare(sql)
        if self.locals:
            return found
        self.statements[sql] = found
        if len(self.statements) > STATEMENTS_MAX:
            self.statements.popitem(last=False)
        return found

    async def bind_execute(self, statement: Any, arguments: Sequence[Any]) -> tuple[list[Any], bytes]:
        """`statement.fetch`, without the ten functions that it goes through; the rows and the command's tag."""
        try:
            rows, tag, _ = await self._protocol.bind_execute(statement._state, arguments, "", 0, True, None)
        except asyncpg.OutdatedSchemaCacheError:
            await self.reload_schema_state()
            self.statements.clear()  # they know the types as they were
            raise
        return rows, tag

    @contextmanager
    def opaque_types(self) -> Iterator[None]:
        """Prepare statements only to look at them: types that asyncpg does not know need no codec then."""
        self._types_are_opaque = True
        try:
            yield
        finally:
            self._types_are_opaque = False
            if not self.is_closed():
                self._drop_local_type_cache()

    async def _introspect_types(self, typeoids: Iterable[int], timeout: float | None) -> Any:  # noqa: ASYNC109 - asyncpg's
        """Save asyncpg's large query about types that it meets first, and its refusal of some composites.

        What it must encode is always one of `NATIVE_KINDS` or an array of them: every other type is cast from text.
        """
        oids = set(typeoids)
        known = [_type_record(oid, _NATIVE_ARRAYS[oid]) for oid in oids if oid in _NATIVE_ARRAYS]
        unknown = [oid for oid in oids if oid not in _NATIVE_ARRAYS]
        if not unknown or self._types_are_opaque:
            return [*known, *(_type_record(oid) for oid in unknown)], SimpleNamespace(name="none")
        found, statement = await super()._introspect_types(unknown, timeout)
        return [*known, *found], statement

    def get_reset_query(self) -> str:
        return _RESET


def _type_record(oid: int, item: int = 0) -> dict[str, Any]:
    """A row as asyncpg's query gives it: an array of `item`, else an enum, which is the plainest type it knows."""
    nothing = ("range_subtype", "range_subtype_name", "attrtypoids", "attrnames", "basetype", "basetype_name")
    kind = b"b" if item else b"e"
    return {**dict.fromkeys(nothing), "oid": oid, "ns": "pg_catalog", "name": str(oid), "kind": kind,
            "elemtype": item, "elemtype_name": str(item), "elemdelim": ","}  # fmt: skip


@lru_cache(maxsize=256)
def milliseconds(seconds: float) -> int:
    """At least 1: for PostgreSQL 0 means no limit."""
    return max(1, math.ceil(round(seconds * 1000, 6)))  # 0.7 s are not a little more than 700 ms


async def reset(session: Session, *, read_only: bool) -> None:
    """End what is open and bring back the settings that the session began with; waits for a cancelled statement."""
    if session.is_in_transaction():
        await session.execute("ROLLBACK")
    session.limit_ms, session.reads_only, session.plan_mode = session.timeout_ms, False, "auto"
    session._top_xact = None  # asyncpg complains about a transaction of its own that it did not end itself
    await session.reset()
    if session.is_in_transaction():
        raise asyncpg.InterfaceError("a transaction is still open after the reset")
    # The server reports this setting since 14; where it does not, the reset has to be believed.
    reported = getattr(session.get_settings(), "default_transaction_read_only", None)
    if read_only and reported == "off":
        raise asyncpg.InterfaceError("the session is no longer read-only")
    session.reset_at = time.monotonic()


class PostgresConnector(Connector[Session]):
    def __init__(self, url: str, options: SessionOptions) -> None:
        self._urls = each_host(url)
        self._options = options
        self._settings = self._server_settings()
        self._locals = ""
        if options.pooled:
            local = {name: value for name, value in self._settings.items() if name not in _POOLERS_OWN}
            self._settings = {name: self._settings[name] for name in _POOLERS_OWN}
            self._locals = "".join(f"SET LOCAL {name} = '{value}'; " for name, value in local.items())

    async def open(self) -> Session:
        return await open_first(self._urls, self._open, self.terminate)

    async def _open(self, url: str) -> Session:
        options = self._options
        try:
            session: Session = await asyncpg.connect(
                url,
                timeout=options.connect_timeout_seconds,
                # Only a primary takes writes. For reading the URL may choose.
                target_session_attrs=None if options.read_only or options.pooled else "read-write",
                connection_class=Session,
                statement_cache_size=0 if options.pooled else STATEMENTS_MAX,
                max_cached_statement_lifetime=0,
                server_settings=self._settings,
            )
        except Exception as error:
            raise_ours(connection_refused(error), error)
        session.timeout_ms = session.limit_ms = milliseconds(options.statement_timeout_seconds)
        session.locals = self._locals
        return session

    def _server_settings(self) -> dict[str, str]:
        """Sent with the connection's first packet, so that RESET ALL brings them back."""
        options = self._options
        settings = {
            "application_name": "sqlwright",
            "TimeZone": "UTC",
            "DateStyle": "ISO, MDY",
            "IntervalStyle": "postgres",
            "bytea_output": "hex",
            "extra_float_digits": "1",
            "standard_conforming_strings": "on",
            "statement_timeout": str(milliseconds(options.statement_timeout_seconds)),
            "lock_timeout": str(milliseconds(options.lock_timeout_seconds)),
            "idle_in_transaction_session_timeout": str(milliseconds(options.server_idle_seconds)),
        }
        if options.read_only:
            if not options.pooled:  # there each transaction says so
                settings["default_transaction_read_only"] = "on"
            # A scan that joins another one's in mid-table would begin every page elsewhere.
            settings["synchronize_seqscans"] = "off"
        return settings

    def is_alive(self, connection: Session) -> bool:
        protocol = connection._protocol  # None once it is aborted; asyncpg's `is_closed` is the same in two functions
        return protocol is not None and protocol.is_connected()

    def is_clean(self, connection: Session) -> bool:
        protocol = connection._protocol
        if connection.touched or protocol is None or not protocol.is_connected() or protocol.is_in_transaction():
            return False
        return self._options.pooled or time.monotonic() - connection.reset_at < RESET_SECONDS

    async def mend(self, connection: Session) -> None:
        if self._options.pooled:
            connection._top_xact = None
            await connection.execute("ROLLBACK")  # waits for a cancelled statement, too
            connection.reads_only = False
            return
        await reset(connection, read_only=self._options.read_only)

    def terminate(self, connection: Session) -> None:
        connection.terminate()
        connection.statements.clear()  # they refer to the connection: a cycle

    async def close(self, connection: Session) -> None:
        try:
            await connection.close(timeout=1)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            pass  # asyncpg has ended it all the same
        connection.statements.clear()


class PostgresLease(StockConnection, Lease[Session]):
    """A session of the pool, from `acquire` to `release`."""

    def __init__(self, backend: PostgresBackend, dialect: Any) -> None:
        super().__init__(backend, dialect)
        self._backend = backend
        self.read_only = backend.options.read_only
        self.broken = False
        """Throw the session away at release."""

    @property
    def session(self) -> Session:
        """For those who know what they leave behind in it."""
        assert self._session is not None, "the lease is not held"
        return self._session

    @property
    def _connection(self) -> Session | None:
        """By this name the stock class gives it to anybody, for anything."""
        if self._session is not None:
            self._session.touched = True
        return self._session

    @_connection.setter
    def _connection(self, session: Session | None) -> None:
        self._session = session

    def distrust(self) -> None:
        """The server is no longer the one to talk to."""
        self.broken = True
        self._backend.running_pool.distrust()

    async def acquire(self, program: Program | None = None) -> None:
        assert self._session is None, "the lease is already held"
        fits = None if program is None else self._backend.chooser(program.query.plan_mode)
        self._session = await self._backend.running_pool.acquire(fits)
        self._session.touched = False
        self.broken = False

    async def release(self) -> None:
        """Never awaits, so that no cancellation comes between a caller and giving back."""
        session, self._session = self._session, None
        if session is not None:
            self._backend.running_pool.release(session, broken=self.broken)


class PostgresBackend(StockBackend):
    def __init__(self, database_url: DatabaseURL | str, *, options: SessionOptions) -> None:
        super().__init__(database_url)
        self.options = options
        self.pool: Pool[Session] | None = None
        self._modes_differ = False

    def chooser(self, mode: PlanMode | None) -> Callable[[Session], bool] | None:
        """Which session needs no setting for a query that is planned so; None as long as any does."""
        if mode is None and not self._modes_differ:
            return None
        self._modes_differ = True
        wanted = mode or "auto"
        return lambda session: session.plan_mode == wanted

    @property
    def running_pool(self) -> Pool[Session]:
        assert self.pool is not None, "the database is not open"
        return self.pool

    async def connect(self) -> None:
        self.pool = Pool(PostgresConnector(str(self._database_url), self.options), self.options.limits)

    async def disconnect(self) -> None:
        await self.running_pool.close()

    def connection(self) -> PostgresLease:
        return PostgresLease(self, self._dialect)
