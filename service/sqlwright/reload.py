"""Watching the query files: every save is loaded, swapped in and told, and no file can stop the watching."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from watchfiles import Change, awatch

from sqlwright.diagnostic import Diagnostic
from sqlwright.query import Access, Query
from sqlwright.registry import Registry, Reload, reload
from sqlwright.sql.dialect import Dialect

DEBOUNCE_MILLISECONDS = 400
"""Changes that come in a row are one reload, after at most this long."""
LOOK_MILLISECONDS = 250
"""How often the folder itself is looked at: its watch ends silently when it is deleted or replaced."""
RETRY_SECONDS = 0.25


Refusal = Callable[[Query], Awaitable[Diagnostic | None]]


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
    refusal: Refusal | None = None,
) -> None:
    """Reload `folder` whenever it changes, until `stop`. Errors are printed; only cancellation ends it early.

    `swap` gets every reload that changed a query or said something new about a file. `base_url` stands before the
    paths that are printed, as in `http://127.0.0.1:8000`. `refusal` asks the database what it has against a query: one
    that it refuses is told too, and keeps its last good version.
    """
    watcher = _Watcher(folder, dialect, current, swap, printer, base_url, refusal)
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
    refusal: Refusal | None
    told: frozenset[Diagnostic] | None = None
    kept: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
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
        moved = bool(result.added or result.changed or result.removed)
        told = self.told
        if told is None:
            # `dev` has told at its start what is wrong with files, unless that changed in the meantime.
            told = frozenset() if moved or result.kept else frozenset(result.diagnostics)
            result = await self._without_refused(result, [query.name for query in result.registry])
        else:
            again = [name for name in self.refused if name in result.registry]
            result = await self._without_refused(result, {*result.added, *result.changed, *again})
        found = frozenset(result.diagnostics)
        moved = bool(result.added or result.changed or result.removed)
        if moved or found != told or self.told is None:
            self.swap(result)
            for line in describe(result, told, self.kept, self.base_url):
                self.printer(line)
        self.told, self.kept = found, frozenset(result.kept)

    async def _without_refused(self, result: Reload, names: Iterable[str]) -> Reload:
        """What the database refuses gets a diagnostic, and its last good version back where there is one."""
        if self.refusal is None:
            return result
        refused = {}
        for name in sorted(names):
            diagnostic = await self.refusal(result.registry[name])
            if diagnostic is not None:
                refused[name] = diagnostic
        self.refused = frozenset(refused)
        back = {name: self.current()[name] for name in result.changed if name in refused}
        return replace(
            result,
            registry=Registry(back.get(query.name, query) for query in result.registry),
            changed=tuple(name for name in result.changed if name not in back),
            kept=tuple(sorted((*result.kept, *back))),
            diagnostics=(*result.diagnostics, *refused.values()),
        )


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_ours(_: Change, path: str) -> bool:
    """Query files, and folders (of which a deletion tells only the path)."""
    return path.endswith(".sql") or not Path(path).suffix


def describe(
    result: Reload, told: frozenset[Diagnostic], kept: frozenset[str] = frozenset(), base_url: str = ""
) -> Iterable[str]:
    """What a person is told of a reload: what is new, with the URL to call, and what is wrong with which file.

    `told` and `kept` are the diagnostics and the kept names of the reload before.
    """
    for verb, names in (("added", result.added), ("changed", result.changed)):
        for name in names:
            yield f"{verb} {name}  {call_of(result.registry[name], base_url)}"
    for name in result.removed:
        yield f"removed {name}"
    for diagnostic in result.diagnostics:
        if diagnostic not in told:
            yield str(diagnostic)
    for name in result.kept:
        if name not in kept:
            yield f"kept the last good version of {name}"
    if _errors(told) and not _errors(result.diagnostics):
        yield "all files are right again"


def _errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(diagnostic.severity == "error" for diagnostic in diagnostics)


def call_of(query: Query, base_url: str = "") -> str:
    """How to call a query: `GET http://…/queries/artists/albums?artist_id=`."""
    if query.access is Access.SCRIPT:
        return f"sqlwright run {query.name}"
    url = f"{base_url}/queries/{query.name.replace('.', '/')}"
    if query.access is not Access.READ:
        return f"POST {url}"
    needed = "&".join(f"{parameter.name}=" for parameter in query.parameters if parameter.required)
    return f"GET {url}?{needed}" if needed else f"GET {url}"
