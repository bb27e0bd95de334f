"""Whether all workers together may have the connections that they are told to have."""

from __future__ import annotations

import asyncio

from sqlwright.config import Settings, variable
from sqlwright.database import Database
from sqlwright.errors import DatabaseUnavailable, SettingsError, SqlwrightError
from sqlwright.http.log import Log
from sqlwright.query import Access

ASK_AGAIN_SECONDS = 1.0


def check_connections(settings: Settings) -> bool:
    """Ask the database once. False when it could not be asked in `connect_timeout_seconds`; raises `SettingsError`."""
    try:
        refusal = asyncio.run(_ask_alone(settings))
    except DatabaseUnavailable as error:
        if error.needs_setting:
            raise SettingsError(str(error)) from None
        return False
    except (SqlwrightError, TimeoutError):
        return False  # down or busy: the start does not wait for it
    if refusal is not None:
        raise refusal
    return True


async def _ask_alone(settings: Settings) -> SettingsError | None:
    database = Database(settings)
    if not database.engine.limits_connections:
        return None
    try:
        async with asyncio.timeout(settings.connect_timeout_seconds):
            await database.open()
            return await _refusal(database, settings)
    finally:
        await database.close()


async def warn_when_known(database: Database, settings: Settings, log: Log) -> None:
    """For a database that was down at the start: by now the service runs, so it is only told."""
    while True:
        try:
            refusal = await _refusal(database, settings)
        except SqlwrightError:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            continue
        if refusal is not None:
            log.event("warning", f"{refusal} ({refusal.hint}); calls will be refused when all are used")
        return


async def _refusal(database: Database, settings: Settings) -> SettingsError | None:
    async with database.lease(Access.WRITE) as lease:
        most = await database.engine.connections_max(lease)
    needed = settings.workers * sum(database.connections)
    if most is None or needed <= most.count:
        return None
    writing, reading = database.connections
    keys = {"workers": settings.workers, "reader_pool_size": reading, "writer_pool_size": writing}
    sum_of = f"workers {settings.workers} x (reader_pool_size {reading} + writer_pool_size {writing}) = {needed}"
    lower = " or ".join(variable(key) for key, value in keys.items() if value > 1) or variable("workers")
    return SettingsError(
        f"{sum_of} connections, and the database gives this user {most.count} ({most.reason})",
        hint=f"lower {lower}, or let the database give more",
    )
