"""The product below HTTP, as tests use it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlwright.address import parse_address
from sqlwright.body import render_body
from sqlwright.config import Settings
from sqlwright.contract import Contracts
from sqlwright.database import Database
from sqlwright.execute import Where, execute
from sqlwright.plan import make_bulk_plan, make_plan, make_script_plan
from sqlwright.query import Cardinality
from sqlwright.registry import load_registry


class Bench:
    """The product below HTTP, over one database and a folder of query files made by the test."""

    def __init__(self, url: str, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.settings = Settings(database_url=url, queries=folder, **settings)
        self.dialect = parse_address(url).dialect
        self.database = Database(self.settings)
        self.contracts = Contracts(self.database, self.settings)
        self.registry: Any = None

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.load()

    def load(self) -> None:
        self.registry, _ = load_registry(self.folder, self.dialect)

    async def result(
        self, name: str, body: object = None, *, where: Where | None = None, **limits: Any
    ) -> tuple[Any, Any]:
        """Plan and result of one call; `body` is a JSON body (an array for a bulk query); `where` a transaction."""
        query = self.registry[name]
        contract = await self.contracts.get(query)
        if query.cardinality is Cardinality.SCRIPT:
            plan = make_script_plan(contract)
        elif query.cardinality is Cardinality.BULK:
            plan = make_bulk_plan(contract, contract.validator.bulk(body, 100_000))
        else:
            plan = make_plan(contract, contract.validator.from_json(body or {}), **limits)
        return plan, await execute(where or self.database, plan)

    async def call(self, name: str, body: object = None, **limits: Any) -> Any:
        """What the JSON body of a call says, with decimals as Decimal."""
        plan, result = await self.result(name, body, **limits)
        return json.loads(render_body(plan, result)[0], parse_float=Decimal)

    async def assert_whole(self) -> None:
        """After any fault: every open connection is idle again, and nobody waits."""
        for _ in range(200):
            pools = [status for group in self.database.status().values() for status in group]
            if all(p.size == p.idle and not p.waiting and not p.mending for p in pools):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not whole: {self.database.status()}")
