"""Name → Query: immutable, so that a swap of the whole is all that a reload is."""

from __future__ import annotations

import difflib
import os
import pickle
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlwright.diagnostic import Diagnostic
from sqlwright.errors import LoadError, UnknownQuery
from sqlwright.query import Query
from sqlwright.sql.dialect import Dialect
from sqlwright.sql.folder import parents
from sqlwright.sql.loader import load_folder

NEAR_NAMES_MAX = 3
COMPARED_NAMES_MAX = 500
_COMPARED_NAME_CHARACTERS_MAX = 200
"""A longer name from a request is no slip of the pen, and comparing it costs its length."""


class Registry:
    """Iterates over the queries in the order of their names."""

    __slots__ = ("_by_file", "_namespaces", "_queries")

    def __init__(self, queries: Iterable[Query] = ()) -> None:
        self._queries = {query.name: query for query in sorted(queries, key=lambda query: query.name)}
        found = {namespace for name in self._queries for namespace in parents(name)}
        self._namespaces = tuple(sorted(found))
        self._by_file: dict[str, list[str]] = {}
        for query in self._queries.values():
            namespace, dot, last = query.name.rpartition(".")
            stem = f"{namespace}{dot}{Path(query.file).name.partition('.')[0]}".lower()
            for mistaken in (stem, f"{stem}.{last.lower()}"):
                self._by_file.setdefault(mistaken, []).append(query.name)

    def __getitem__(self, name: str) -> Query:
        """Raises `UnknownQuery` with at most three near names."""
        query = self._queries.get(name)
        if query is None:
            raise UnknownQuery(name, self._near(name))
        return query

    def get(self, name: str) -> Query | None:
        return self._queries.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._queries

    def __iter__(self) -> Iterator[Query]:
        return iter(self._queries.values())

    def __len__(self) -> int:
        return len(self._queries)

    def __reduce__(self) -> tuple[type[Registry], tuple[tuple[Query, ...]]]:
        return Registry, (tuple(self._queries.values()),)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """All of them, inner ones too, sorted."""
        return self._namespaces

    def namespace(self, prefix: str) -> tuple[Query, ...]:
        """The queries in a namespace and in those inside it."""
        return tuple(query for name, query in self._queries.items() if name.startswith(prefix + "."))

    def called_by_file(self, name: str) -> list[str]:
        """The queries that `name`, of a query or of all of a file, means where the file is taken for a namespace."""
        return self._by_file.get(name.lower(), [])

    def _near(self, name: str) -> list[str]:
        name = name[:_COMPARED_NAME_CHARACTERS_MAX]
        lower = name.lower().replace("-", "_").replace("/", ".")
        same = [known for known in self._queries if known.lower() == lower or known.rpartition(".")[2].lower() == lower]
        same = same or self.called_by_file(lower)
        if same:
            return same[:NEAR_NAMES_MAX]
        known = list(self._queries)
        if len(known) > COMPARED_NAMES_MAX:  # comparing thousands would hold the event loop
            namespace = lower.rpartition(".")[0] + "."
            known = [other for other in known if other.lower().startswith(namespace)][:COMPARED_NAMES_MAX]
        return difflib.get_close_matches(lower, known, n=NEAR_NAMES_MAX)

    def dump(self, path: Path) -> None:
        """Write a snapshot that only this user can read. An older one is replaced as a whole."""
        temporary = path.with_name(path.name + ".new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            pickle.dump(self, file, protocol=pickle.HIGHEST_PROTOCOL)
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> Registry:
        """A snapshot that `dump` wrote: our own private file, never one from elsewhere."""
        with path.open("rb") as file:
            registry = pickle.load(file)  # noqa: S301 -- written by our parent process, mode 0600
        if not isinstance(registry, cls):
            raise TypeError(f"{path} holds no snapshot of queries")
        return registry


@dataclass(frozen=True, slots=True)
class Reload:
    """A new registry and how it differs from the old one, by names, sorted."""

    registry: Registry
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    kept: tuple[str, ...]
    """Their new text is wrong (see `diagnostics`), so the last good version stays."""
    diagnostics: tuple[Diagnostic, ...]


def load_registry(folder: Path, dialect: Dialect) -> tuple[Registry, tuple[Diagnostic, ...]]:
    """The registry and the warnings. Raises `LoadError` with every diagnostic when anything is wrong."""
    loaded = load_folder(folder, dialect)
    if loaded.errors:
        raise LoadError(loaded.diagnostics)
    return Registry(loaded.queries), loaded.diagnostics


def reload(old: Registry, folder: Path, dialect: Dialect) -> Reload:
    """Load the folder anew; a query whose new text is wrong keeps its last good version. Never raises LoadError."""
    loaded = load_folder(folder, dialect)
    before = {query.name: query for query in old}
    # What is the same stays the same object, by which its contract is known.
    queries = [before[query.name] if before.get(query.name) == query else query for query in loaded.queries]
    new = {query.name: query for query in queries}
    kept = [
        query
        for query in old
        if query.name not in new
        and (loaded.folder_failed or query.name in loaded.broken or query.file in loaded.unread)
    ]
    kept_names = {query.name for query in kept}
    return Reload(
        registry=Registry([*queries, *kept]),
        added=tuple(sorted(new.keys() - before.keys())),
        changed=tuple(sorted(name for name in new.keys() & before.keys() if _differs(new[name], before[name]))),
        removed=tuple(sorted(before.keys() - new.keys() - kept_names)),
        kept=tuple(sorted(kept_names)),
        diagnostics=loaded.diagnostics,
    )


def _differs(new: Query, old: Query) -> bool:
    """What the query means changed, and not only where it stands in its file."""
    return _meaning(new) != _meaning(old)


def _meaning(query: Query) -> tuple[object, ...]:
    parts = tuple((getattr(part, "text", None), getattr(part, "name", None)) for part in query.statement.parts)
    parameters = tuple(
        (p.name, p.type, p.nullable, p.default, p.rules, p.doc, p.is_list) for p in query.parameters
    )  # fmt: skip
    return (
        parts, parameters, query.cardinality, query.access, query.doc, query.timeout_seconds, query.page_rows,
        query.page_rows_max, query.file,
    )  # fmt: skip
