"""What the reading of a statement needs to know of the tables that it names, asked for at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sqlwright.engines.inference.catalogue import JSON, TableColumn
from sqlwright.engines.inference.words import Word, at
from sqlwright.engines.mysql.session import Session
from sqlwright.engines.mysql.types import BIGINT, column_type
from sqlwright.query import Kind, SqlType
from sqlwright.sql.dialect import MYSQL

_TABLES_MAX = 64
"""Of one statement: a name too many is a table of which nothing is known."""
_NAMES = "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = DATABASE()"
_SCHEMAS = "SELECT schema_name FROM information_schema.schemata"
_COLUMNS = """
SELECT column_name, column_type, is_nullable, extra, collation_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position
"""
# MariaDB's JSON is a LONGTEXT with this rule; MySQL, which skips the comment, has a type of its own.
_JSON_RULES = """
SELECT check_clause FROM information_schema.check_constraints
WHERE constraint_schema = DATABASE() AND check_clause LIKE 'json_valid(%%' /*M! AND table_name = %s */
"""
_JSON_FUNCTIONS = (
    "json_array", "json_arrayagg", "json_array_append", "json_array_insert", "json_compact", "json_detailed",
    "json_extract", "json_insert", "json_keys", "json_loose", "json_merge", "json_merge_patch", "json_merge_preserve",
    "json_normalize", "json_object", "json_objectagg", "json_pretty", "json_query", "json_remove", "json_replace",
    "json_set",
)  # fmt: skip
_NOT_LISTED = ("invisible",)


class MySQLCatalogue:
    """The tables of the session's own database; names are compared in lower case."""

    dialect = MYSQL
    integer = BIGINT
    json_functions = _JSON_FUNCTIONS

    def __init__(
        self,
        kinds: Mapping[str, str],
        schemas: Iterable[str],
        tables: Mapping[str, Mapping[str, TableColumn]],
        views: Iterable[str],
    ) -> None:
        self._names = list(kinds)
        self._tables = tables
        self.views = frozenset(views)
        """Those that the statement names."""
        self.all_views = frozenset(name.lower() for name, kind in kinds.items() if _is_view(kind))
        self.schemas = frozenset(name.lower() for name in schemas)
        """All that this user sees."""

    def table(self, name: str) -> Mapping[str, TableColumn]:
        return self._tables.get(name.lower(), {})

    def names(self) -> Sequence[str]:
        return self._names

    def declared_type(self, declared: str) -> SqlType | None:
        type = column_type(declared)
        # CAST(… AS CHAR) is text of any length.
        return type if type is None or type.kind is not Kind.OTHER else None


async def load_catalogue(session: Session, words: Sequence[Word]) -> MySQLCatalogue:
    """Everything about the tables among a statement's words. Raises the driver's errors."""
    named, schemas = await session.fetch_many([session.encoded(_NAMES), session.encoded(_SCHEMAS)])
    kinds: dict[str, str] = dict(named.rows)
    wanted = {word.text for word in words if word.is_name} - _foreign(words, session)
    by_name: dict[str, list[str]] = {}
    for name in kinds:
        if name.lower() in wanted:
            by_name.setdefault(name.lower(), []).append(name)
    tables: dict[str, Mapping[str, TableColumn]] = {}
    views = []
    for key, found in by_name.items():
        # Of two that differ in case only, the words do not tell which is meant.
        if len(found) == 1 and len(tables) < _TABLES_MAX:
            is_view = _is_view(kinds[found[0]])
            tables[key] = await _columns(session, found[0], is_view=is_view)
            if is_view:
                views.append(key)
    return MySQLCatalogue(kinds, [name for (name,) in schemas.rows], tables, views)


def _is_view(kind: str) -> bool:
    return "view" in kind.lower()


def _foreign(words: Sequence[Word], session: Session) -> set[str]:
    """Tables that the statement takes from another database: `other.t`."""
    own = (session.db or "").lower()
    return {
        word.text
        for index, word in enumerate(words)
        if word.is_name
        and at(words, index - 1).says(".")
        and at(words, index - 2).text != own
        and at(words, index - 3).says("from", "join", "into", "update", ",")
    }


async def _columns(session: Session, table: str, *, is_view: bool) -> dict[str, TableColumn]:
    rows = (await session.fetch(_COLUMNS, [table])).rows
    json = await _json_columns(session, table, rows, is_view=is_view)
    columns = {}
    for name, declared, nullable, extra, _ in rows:
        type = JSON if name in json else column_type(declared)
        listed = not any(word in extra.lower() for word in _NOT_LISTED)
        columns[name.lower()] = TableColumn(name, type, nullable == "NO", listed)
    return columns


async def _json_columns(session: Session, table: str, rows: Sequence[tuple[str, ...]], *, is_view: bool) -> set[str]:
    texts = {name for name, declared, *_ in rows if declared == "longtext"}
    if not texts:
        return set()
    if is_view:
        # A view has no rules: JSON columns have this collation, which few others have.
        return {name for name, _, _, _, collation in rows if name in texts and collation == "utf8mb4_bin"}
    rules = {clause for (clause,) in (await session.fetch(_JSON_RULES, [table])).rows}
    return {name for name in texts if f"json_valid(`{name}`)" in rules}
