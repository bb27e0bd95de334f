"""`async with connect(url, queries=folder) as db`: a database and its files, from arguments or from settings."""

from __future__ import annotations

from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlwright.client.client import Client
    from sqlwright.client.opened import Opened
    from sqlwright.config import Settings


class connect:
    """A `Client` for the time of an `async with`.

    Settings come from the same places as those of the command line (SQLWRIGHT_… and DATABASE_URL, sqlwright.toml,
    pyproject.toml); `settings` replaces those, and what is given by keyword wins: `connect(url, tables="*")`.

    Raises `SettingsError` at once, `LoadError` when query files are wrong. The database may be down: its errors come
    with the calls.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        queries: str | PathLike[str] | None = None,
        settings: Settings | None = None,
        **settings_overrides: Any,
    ) -> None:
        from sqlwright.client.settings import settings_of

        given = {"database_url": url, "queries": queries, **settings_overrides}
        self._settings = settings_of(settings, given)
        self._opened: Opened | None = None

    async def __aenter__(self) -> Client:
        from sqlwright.client.client import Client
        from sqlwright.client.opened import Opened

        if self._opened is not None:
            raise RuntimeError("this connect() is open already: call connect() again for another one")
        opened = Opened(self._settings)
        await opened.open()
        self._opened = opened
        return Client(opened)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.database.close()
