"""A folder of query files → all its queries, and everything that is wrong, at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlwright.diagnostic import Diagnostic
from sqlwright.query import Query, SourceFile
from sqlwright.sql.dialect import Dialect
from sqlwright.sql.folder import FolderWalk, QueryFile, parents, read_text
from sqlwright.sql.query_file import Outcome, read_queries


@dataclass(frozen=True, slots=True)
class Loaded:
    """`queries` are those that are right, by name; `broken` and `unread` say what a reload must keep."""

    queries: tuple[Query, ...]
    diagnostics: tuple[Diagnostic, ...]
    broken: frozenset[str] = frozenset()
    """Names of queries that stand in the files, but wrong."""
    unread: frozenset[str] = frozenset()
    """Files whose queries are not all known: the names in them could not be read."""
    folder_failed: bool = False
    """Part of the folder could not be listed, so that a missing file tells nothing."""

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        return tuple(diagnostic for diagnostic in self.diagnostics if diagnostic.severity == "error")


def load_folder(folder: Path, dialect: Dialect) -> Loaded:
    """Read every query file below `folder` that is for this dialect."""
    walk = FolderWalk(folder, dialect)
    files = walk.run()
    diagnostics = list(walk.diagnostics)
    unread = {diagnostic.file for diagnostic in diagnostics}
    outcomes: list[Outcome] = []
    for file, found in _without_overridden(files, dialect):
        for outcome in found:
            diagnostics += outcome.diagnostics
            if outcome.name is not None:
                outcomes.append(outcome)
            if outcome.hides_names:
                unread.add(str(file.path))
    if not files and not diagnostics:
        message = f"no query for {dialect.name} in this folder"
        diagnostics.append(Diagnostic("warning", str(folder), 1, 1, "empty", message, "add a .sql file"))
    clashes = _clashes([outcome for outcome in outcomes if outcome.query is not None])
    diagnostics += [diagnostic for found in clashes.values() for diagnostic in found]
    broken = {outcome.name for outcome in outcomes if outcome.name and outcome.query is None} | set(clashes)
    queries = [o.query for o in outcomes if o.query is not None and o.name not in broken]
    return Loaded(
        queries=tuple(sorted(queries, key=lambda query: query.name)),
        diagnostics=tuple(sorted(diagnostics, key=lambda d: (d.file, d.line, d.column))),
        broken=frozenset(broken),
        unread=frozenset(unread),
        folder_failed=walk.failed,
    )


def _without_overridden(files: Iterable[QueryFile], dialect: Dialect) -> list[tuple[QueryFile, list[Outcome]]]:
    """Outcomes by file. A query of `search.sqlite.sql` stands for the one of that name in `search.sql`."""
    read = [(file, _read(file, dialect)) for file in files]
    exact: dict[tuple[str, str], set[str]] = defaultdict(set)
    for file, outcomes in read:
        if file.variant:
            exact[file.namespace, file.stem] |= {outcome.name for outcome in outcomes if outcome.name}
    found = []
    for file, outcomes in read:
        names = set() if file.variant else exact[file.namespace, file.stem]
        found.append((file, [outcome for outcome in outcomes if outcome.name not in names]))
    return found


def _read(file: QueryFile, dialect: Dialect) -> list[Outcome]:
    text = read_text(file.path)
    if not isinstance(text, str):
        return [Outcome(None, None, text, hides_names=True)]
    source = SourceFile(str(file.path), text)
    try:
        return read_queries(source, file.namespace, file.stem, dialect)
    except RecursionError:
        message = "a statement in this file is nested too deeply"
        diagnostic = source.diagnostic("too_deep", 0, message, "write it with fewer WITH inside WITH")
        return [Outcome(None, None, (diagnostic,), hides_names=True)]


def _clashes(outcomes: Iterable[Outcome]) -> dict[str, list[Diagnostic]]:
    """Names that are not one query each: twice, in another case, or a query called as a namespace."""
    found: dict[str, list[Diagnostic]] = defaultdict(list)
    queries: dict[str, Query] = {}
    namespaces: dict[str, tuple[str, Query]] = {}
    loaded = sorted((o.query for o in outcomes if o.query is not None), key=lambda q: (q.file, q.offset))
    for query in loaded:
        first = queries.setdefault(query.name.lower(), query)
        if first is not query:
            how = "is there twice" if first.name == query.name else f"differs from {first.name} only in case"
            found[query.name].append(_clash(query, f"{query.name} {how}", first))
            found.setdefault(first.name, [])
        for namespace in parents(query.name):
            spelled, other = namespaces.setdefault(namespace.lower(), (namespace, query))
            if spelled != namespace:
                message = f"the namespace {namespace} differs from {spelled} only in case"
                found[query.name].append(_clash(query, message, other))
    for lower, (namespace, inside) in namespaces.items():
        query_of_that_name = queries.get(lower)
        if query_of_that_name is not None:
            message = f"{query_of_that_name.name} is a query, and {namespace} is a namespace"
            found[query_of_that_name.name].append(_clash(query_of_that_name, message, inside))
    return found


def _clash(query: Query, message: str, other: Query) -> Diagnostic:
    place = f"{other.file}:{other.line}"
    return query.source.diagnostic(
        "name_clash", query.offset, f"{message}; the other stands in {place}", "rename one of them"
    )
