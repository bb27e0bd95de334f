"""What a client works with where no service runs: the parts of `connect`."""

from __future__ import annotations

from sqlwright.address import parse_address
from sqlwright.config import Settings
from sqlwright.contract import Contracts
from sqlwright.database import Database
from sqlwright.query import Query
from sqlwright.registry import load_registry


class Opened:
    """Raises `LoadError` when query files are wrong. To be opened by the owner, who closes its `database`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry, _ = load_registry(settings.queries, parse_address(settings.database_url).dialect)
        self.database = Database(settings)
        self.contracts = Contracts(self.database, settings)

    async def open(self) -> None:
        await self.database.open()
        self.database.on_return(self.contracts.forget_all)

    def doubt(self, query: Query) -> None:
        """The database refused a statement it had described: it is described again before the next call."""
        self.contracts.forget(query)
