"""What MariaDB says about a statement without running it: that it can be prepared, its columns; and what its words tell
of its parameters, of which the server knows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pymysql

from sqlwright.engines.inference.invalid import check_columns
from sqlwright.engines.inference.items import returning_list
from sqlwright.engines.inference.parameters import parameter_types
from sqlwright.engines.inference.scope import Scope, reference, target_at
from sqlwright.engines.inference.words import Word, lexed, words_of
from sqlwright.engines.mysql.catalogue import load_catalogue
from sqlwright.engines.mysql.columns import result_columns
from sqlwright.engines.mysql.compile import (
    MySQLDescription,
    compile_query,
    doubled,
    page_tail,
    placeholder,
    prepared_text,
)
from sqlwright.engines.mysql.errors import READ_ONLY, code_of
from sqlwright.engines.mysql.invalid import is_about_statement, is_unpreparable, refusal
from sqlwright.engines.mysql.keys import KeyColumn, load_keys
from sqlwright.engines.mysql.numbers import uses_as_text
from sqlwright.engines.mysql.prepare import Field, prepare
from sqlwright.engines.mysql.returning import (
    choose_key,
    gives_rows,
    is_ours,
    refuse,
    split_update,
    table_of,
    without_returning,
)
from sqlwright.engines.mysql.session import Session
from sqlwright.engines.mysql.singles import doubling, is_single
from sqlwright.engines.mysql.traces import leaves_nothing
from sqlwright.query import Access, Kind, Query, Slot, SqlType
from sqlwright.sql.dialect import MYSQL
from sqlwright.sql.statement import render

_ROWS_OF_THEIR_OWN = frozenset({"call", "execute", "check", "analyze", "optimize", "repair", "checksum", "help"})
"""Statements that give rows, of which a server may tell nothing before."""
_SAMPLES = {Kind.INT2: "0", Kind.INT4: "0", Kind.INT8: "0"}


async def describe(session: Session, query: Query, *, big_numbers_as_text: bool) -> MySQLDescription:  # noqa: ARG001
    """Raises `QueryInvalid` with a diagnostic in the query's file, or the driver's error for a passing trouble."""
    words = words_of(query.statement, MYSQL)
    catalogue = await load_catalogue(session, words)
    scope = Scope(words, catalogue)
    types = parameter_types(query, scope)
    reads_back = is_ours(query) and gives_rows(query)
    if reads_back:
        refuse(query)
    asked = replace(query, statement=without_returning(query)) if is_ours(query) else query
    rendered = render(asked.statement, placeholder)
    try:
        fields = await _ask(session, asked, types)
        if query.statement.has_returning:
            rendered = render(query.statement, placeholder)
            fields = await prepare(session, _returned(rendered.text))
    except pymysql.err.MySQLError as error:
        if is_unpreparable(error):
            return MySQLDescription(types)
        if is_about_statement(error):
            raise refusal(catalogue, query, rendered, error) from error
        raise
    columns = result_columns(query.statement, scope, catalogue, fields)
    check_columns(query, columns, gives_rows=bool(columns) or query.statement.verb in _ROWS_OF_THEIR_OWN)
    key = await _key(session, query) if reads_back else ()
    description = MySQLDescription(
        types,
        columns,
        as_text=uses_as_text(query, words, types),
        key=key,
        leaves_nothing=await leaves_nothing(session, query, catalogue),
    )
    if query.is_paged and not query.statement.has_limit:
        description = await _paged(session, query, description)
    return await _exact(session, query, description)


async def _ask(session: Session, query: Query, types: dict[str, SqlType]) -> Sequence[Field]:
    """Values are put in on this side, so they may stand where the server takes no `?`."""
    try:
        return await _prepare(session, prepared_text(query))
    except pymysql.err.MySQLError as error:
        if not is_about_statement(error) or not query.parameters:
            raise
        try:
            return await prepare(session, render(query.statement, lambda slot: _sample(slot, query, types)).text)
        except pymysql.err.MySQLError:
            raise error from None


async def _prepare(session: Session, sql: str) -> Sequence[Field]:
    """A session that only reads does not even read what writes. The session is reset after this."""
    try:
        return await prepare(session, sql)
    except pymysql.err.MySQLError as error:
        if code_of(error) not in READ_ONLY:
            raise
    await session.fetch("SET SESSION TRANSACTION READ WRITE")
    try:
        return await prepare(session, sql)
    except pymysql.err.MySQLError as error:
        if code_of(error) not in READ_ONLY:
            raise
        return []  # it has been parsed at least, on a replica or inside a transaction that reads


async def _key(session: Session, query: Query) -> tuple[KeyColumn, ...]:
    """By what the rows of an UPDATE are found again for its RETURNING."""
    split_update(query, ())
    return choose_key(query, await load_keys(session, *table_of(query)))


def _sample(slot: Slot, query: Query, types: dict[str, SqlType]) -> str:
    declared = next(parameter.type for parameter in query.parameters if parameter.name == slot.name)
    type = declared or types.get(slot.name)
    sample = _SAMPLES.get(type.kind, "''") if type is not None else "''"
    return sample if not slot.is_list else placeholder(slot).replace("?", sample)


def _returned(text: str) -> str:
    """A SELECT with the columns of a RETURNING. An item may call the table by its name or by its alias."""
    words = lexed(text, MYSQL)
    target = target_at(words)
    found = reference(words, target)
    last = _end_of_reference(words, target, found.after if found else target + 1)
    table = text[words[target].start : words[last - 1].end]
    items = text[words[returning_list(words)].end :]
    return f"SELECT {items}\nFROM {table}"


def _end_of_reference(words: Sequence[Word], target: int, after: int) -> int:
    """An INSERT's list of columns is no part of the table's name."""
    name = target + (3 if target + 1 < len(words) and words[target + 1].says(".") else 1)
    return name if name < len(words) and words[name].says("(") else after


async def _paged(session: Session, query: Query, description: MySQLDescription) -> MySQLDescription:
    """With the most that can follow the statement for a page of it."""
    ties = [len(description.columns)] if query.statement.has_order_by else []
    for count in [*ties, 0]:
        if await _is_taken(session, prepared_text(query) + page_tail(count, "?")):
            return replace(description, windows=True, ties=count)
    return description


async def _exact(session: Session, query: Query, description: MySQLDescription) -> MySQLDescription:
    """With what makes the server tell all digits of single floats, where it takes that."""
    if query.statement.has_returning:
        return await _doubled(session, query, description)
    if query.access is not Access.READ or query.statement.verb not in ("select", "values"):
        return description
    if not any(is_single(column) for column in description.columns):
        return description
    candidate = replace(description, in_frame=True)
    program = compile_query(query, candidate, big_numbers_as_text=False)
    return candidate if await _is_taken(session, program.sql) else description


async def _doubled(session: Session, query: Query, description: MySQLDescription) -> MySQLDescription:
    candidate = replace(description, doubling=doubling(query, description.columns))
    if not candidate.doubling:
        return description
    sql = _returned(render(doubled(query, candidate), placeholder).text)
    return candidate if await _is_taken(session, sql) else description


async def _is_taken(session: Session, sql: str) -> bool:
    try:
        await prepare(session, sql)
    except pymysql.err.MySQLError as error:
        if not is_about_statement(error):
            raise
        return False
    return True
