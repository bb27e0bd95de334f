"""Watching the query files: every save is loaded, swapped in and told, and no file can stop the watching."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from watchfiles import Change, awatch

from sqlwright.errors import Diagnostic
from sqlwright.query import Access, Query
from sqlwright.registry import Registry, Reload, reload
from sqlwright.sql.dialect import Dialect

DEBOUNCE_MILLISECONDS = 400
"""Changes that come in a row are one reload, after at most this long."""
LOOK_MILLISECONDS = 1000
"""How often the folder itself is looked at: its watch ends silently when it is deleted or replaced."""
RETRY_SECONDS = 1.0


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def watch(
    folder: Path,
    dialect: Dialect,
    current: Callable[[], Registry],
    swap: Callable[[Reload], None],
    stop: asyncio.Event,
    *,
    printer: Callable[[str], None] = _to_stderr,
    base_url: str = "",
) -> None:
    """Reload `folder` whenever it changes, until `stop`. Errors are printed; only cancellation ends it early.

    `swap` gets every reload that changed a query or said something new about a file. `base_url` stands before the
    paths that are printed, as in `http://127.0.0.1:8000`.
    """
    watcher = _Watcher(folder, dialect, current, swap, printer, base_url)
    polling = False
    while not stop.is_set():
        try:
            await watcher.follow(stop, polling=polling)
        except Exception as error:  # whatever it was, the next save must be seen
            printer(f"watching {folder} failed, trying again: {type(error).__name__}: {error}")
            polling = True  # the system may be out of watches; looking at the files needs none
        if not stop.is_set():
            await _pause(stop)


async def _pause(stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(RETRY_SECONDS):
            await stop.wait()
    except TimeoutError:
        pass  # the usual end of a pause


@dataclass(slots=True)
class _Watcher:
    """What is remembered between reloads: which diagnostics have been told, and whether the folder is there."""

    folder: Path
    dialect: Dialect
    current: Callable[[], Registry]
    swap: Callable[[Reload], None]
    printer: Callable[[str], None]
    base_url: str
    told: frozenset[Diagnostic] | None = None
    missing: bool = False

    async def follow(self, stop: asyncio.Event, *, polling: bool) -> None:
        """Reload after each change. Returns when the folder is gone or replaced, and must be watched anew."""
        identity = _identity(self.folder)
        if identity is None:
            if not self.missing:
                self.printer(f"the folder {self.folder} is gone: its last queries are kept until it is back")
            self.missing = True
            return
        changes = awatch(
            self.folder,
            watch_filter=_is_ours,
            debounce=DEBOUNCE_MILLISECONDS,
            stop_event=stop,
            rust_timeout=LOOK_MILLISECONDS,
            yield_on_timeout=True,
            force_polling=polling or None,
        )
        # What was saved before the watch stood (while the server started, while the folder was away) is seen now.
        pending = True
        async for changed in changes:
            if changed or pending:
                await self._reload()
                pending = False
            if _identity(self.folder) != identity:
                return

    async def _reload(self) -> None:
        if _identity(self.folder) is None:
            return  # deleted this moment, perhaps to be put back: the queries stay
        self.missing = False
        result = await asyncio.to_thread(reload, self.current(), self.folder, self.dialect)
        found = frozenset(result.diagnostics)
        first, told = self.told is None, self.told or frozenset()
        self.told = found
        moved = bool(result.added or result.changed or result.removed)
        if not moved and found == told:
            return
        self.swap(result)
        if first and not moved:
            return  # `dev` has told these diagnostics at its start
        for line in describe(result, told, self.base_url):
            self.printer(line)


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_ours(_: Change, path: str) -> bool:
    """Query files, and folders (of which a deletion tells only the path)."""
    return path.endswith(".sql") or not Path(path).suffix


def describe(result: Reload, told: frozenset[Diagnostic], base_url: str) -> Iterable[str]:
    """What a person is told of a reload: what is new, with the URL to call, and what is wrong with which file."""
    for verb, names in (("added", result.added), ("changed", result.changed)):
        for name in names:
            yield f"{verb} {name}  {call_of(result.registry[name], base_url)}"
    for name in result.removed:
        yield f"removed {name}"
    for diagnostic in result.diagnostics:
        if diagnostic not in told:
            yield str(diagnostic)
    for name in result.kept:
        yield f"kept the last good version of {name}"
    if any(d.severity == "error" for d in told) and not any(d.severity == "error" for d in result.diagnostics):
        yield "all files are right again"


def call_of(query: Query, base_url: str = "") -> str:
    """How to call a query: `GET http://…/queries/artists/albums?artist_id=`."""
    if query.access is Access.SCRIPT:
        return f"sqlwright run {query.name}"
    url = f"{base_url}/queries/{query.name.replace('.', '/')}"
    if query.access is not Access.READ:
        return f"POST {url}"
    needed = "&".join(f"{parameter.name}=" for parameter in query.parameters if parameter.required)
    return f"GET {url}?{needed}" if needed else f"GET {url}"
