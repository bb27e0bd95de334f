"""What SQLite says about a statement without running it: that it compiles, its columns, its parameters' types."""

from __future__ import annotations

import sqlite3

from sqlwright.engines.inference.invalid import check_columns
from sqlwright.engines.inference.parameters import parameter_types
from sqlwright.engines.inference.scope import Scope
from sqlwright.engines.inference.words import words_of
from sqlwright.engines.sqlite.catalogue import Catalogue
from sqlwright.engines.sqlite.columns import result_columns
from sqlwright.engines.sqlite.compile import SQLiteDescription, SQLiteProgram, compile_query, slots
from sqlwright.engines.sqlite.hop import Hop
from sqlwright.engines.sqlite.invalid import is_about_statement, refusal
from sqlwright.query import Query
from sqlwright.sql.dialect import SQLITE
from sqlwright.sql.statement import Rendered, render


def describe(raw: sqlite3.Connection, hop: Hop, query: Query) -> SQLiteDescription:
    """Raises `QueryInvalid` with a diagnostic in the query's file, or the driver's error for a passing trouble."""
    if query.statement.verb == "pragma":
        return SQLiteDescription({}, windows=False)  # it acts while it is compiled
    # Only a statement that runs notices that another session has changed the schema.
    hop.patiently(raw.execute, "SELECT 1 FROM sqlite_master").close()
    rendered = render(query.statement, slots(query))
    catalogue = Catalogue(raw)
    _compile(raw, hop, catalogue, query, rendered)
    if query.statement.verb == "explain":
        return SQLiteDescription({}, windows=False)
    scope = Scope(words_of(query.statement, SQLITE), catalogue)
    columns = result_columns(raw, query.statement, scope)
    gives_rows = query.statement.verb in ("select", "values") or query.statement.has_returning
    check_columns(query, columns, gives_rows=gives_rows)
    description = SQLiteDescription(parameter_types(query, scope), columns)
    if not query.is_paged or query.statement.has_limit:
        return description
    has_order = query.statement.has_order_by
    for windows, breaks_ties in [(True, True)] * has_order + [(True, False), (False, False)]:
        candidate = SQLiteDescription(description.types, columns, windows, breaks_ties)
        program = compile_query(query, candidate, big_numbers_as_text=False)
        if not windows or _compiles(raw, hop, program):
            return candidate
    return description


def _compile(raw: sqlite3.Connection, hop: Hop, catalogue: Catalogue, query: Query, rendered: Rendered) -> None:
    values = [None] * len(query.parameters)
    explain = "" if query.statement.verb == "explain" else "EXPLAIN "
    try:
        hop.patiently(raw.execute, explain + rendered.text, values).close()
    except sqlite3.Error as error:
        if is_about_statement(error):
            raise refusal(raw, catalogue, query, rendered, error) from error
        raise


def _compiles(raw: sqlite3.Connection, hop: Hop, program: SQLiteProgram) -> bool:
    values = [None] * (len(program.order) + 2)
    try:
        hop.patiently(raw.execute, f"EXPLAIN {program.windowed}", values).close()
    except sqlite3.Error as error:
        if is_about_statement(error):
            return False
        raise
    return True
