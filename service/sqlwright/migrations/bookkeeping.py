"""The history in the database: named queries of our own, run on one held connection."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlwright.config import Settings
from sqlwright.contract import Contract, make_contract
from sqlwright.engines.base import Engine
from sqlwright.migrations.history import Record
from sqlwright.query import Cardinality
from sqlwright.registry import Registry, load_registry
from sqlwright.sql.dialect import DIALECTS

_FOLDER = Path(__file__).parent / "sql"


@lru_cache(maxsize=8)
def _queries(dialect: str) -> Registry:
    return load_registry(_FOLDER, DIALECTS[dialect])[0]


class Bookkeeping:
    """On one lease, which may have a transaction open: these statements join it."""

    def __init__(self, engine: Engine, lease: Any, settings: Settings) -> None:
        self.engine = engine
        self.lease = lease
        self.control_seconds = settings.statement_timeout_seconds
        """How long a BEGIN, a COMMIT or a row of the history may take."""
        self._settings = settings
        self._contracts: dict[str, Contract] = {}

    async def initialise(self) -> bool:
        """Make what is not there yet. True when something was made.

        Looked up first: who may use a schema need not have the right to make one.
        """
        if await self.is_initialised():
            return False
        program = self.engine.compile(_queries(self.engine.dialect.name)["init"])
        await self.engine.run_script(self.lease, program, timeout_seconds=self.control_seconds)
        return True

    async def is_initialised(self) -> bool:
        return bool(await self._call("is_initialised"))

    async def lock(self) -> bool:
        """True when it is ours."""
        return bool(await self._call("lock"))

    async def unlock(self) -> None:
        await self._call("unlock")

    async def records(self) -> dict[int, Record]:
        rows = await self._call("history")
        found = [Record(**{**row, "number": int(row["number"]), "steps_done": int(row["steps_done"])}) for row in rows]
        return {record.number: record for record in found}

    async def record_applied(self, number: int, name: str, checksum: str, steps_done: int) -> None:
        await self._call("record_applied", number=number, name=name, checksum=checksum, steps_done=steps_done)

    async def record_started(self, number: int, name: str, checksum: str) -> None:
        await self._call("record_started", number=number, name=name, checksum=checksum)

    async def record_step(self, number: int, steps_done: int) -> None:
        await self._call("record_step", number=number, steps_done=steps_done)

    async def record_finished(self, number: int) -> None:
        await self._call("record_finished", number=number)

    async def forget(self, number: int) -> None:
        await self._call("forget", number=number)

    async def _call(self, name: str, /, **values: object) -> Any:
        contract = self._contracts.get(name) or await self._describe(name)
        call = contract.validator.from_strings([(key, str(value)) for key, value in values.items()])
        result = await self.engine.run(
            self.lease, contract.program, call.values, window=None, timeout_seconds=contract.timeout_seconds
        )
        if contract.query.cardinality is Cardinality.MANY:
            return json.loads(b"[%b]" % result.json)
        return json.loads(result.json) if result.json else None

    async def _describe(self, name: str) -> Contract:
        query = _queries(self.engine.dialect.name)[name]
        description = await self.engine.describe(self.lease, query)
        contract = make_contract(query, description, self.engine, self._settings)
        self._contracts[name] = contract
        return contract
