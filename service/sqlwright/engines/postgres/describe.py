"""What PostgreSQL says about a statement without running it: its parameters' types and its columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import asyncpg

from sqlwright.engines.postgres.batch import proven
from sqlwright.engines.postgres.compile import OBJECTS, PostgresDescription, compile_query, slots
from sqlwright.engines.postgres.errors import translate
from sqlwright.engines.postgres.session import Session
from sqlwright.engines.postgres.types import look_up
from sqlwright.errors import (
    DatabaseUnavailable,
    LockTimeout,
    QueryInvalid,
    SerializationFailure,
    SqlwrightError,
    StatementTimeout,
)
from sqlwright.query import Access, Cardinality, Column, Kind, Parameter, Query, Slot, SqlType, Text
from sqlwright.sql.report import syntax_hint
from sqlwright.sql.statement import Rendered, render

_PASSING = (DatabaseUnavailable, LockTimeout, SerializationFailure, StatementTimeout)
"""Troubles of the moment, which say nothing about the statement."""
_SYNTAX = "42601"
_UNTYPED = ("42P18", "42P08")
_MEANT = re.compile(r"""'(?:[^']|'')*'|:?(?:\w+|"(?:[^"]|"")*")(?:\.(?:\w+|"(?:[^"]|"")*"))*""")
"""What an error's position begins: a string, a parameter, a name with its qualifiers."""
_USES_MAX = 64
"""How many uses of parameters that tell no type are tried one after the other."""
_GIVES_ROWS = OBJECTS | {Cardinality.VALUE, Cardinality.INSERT}


@dataclass(frozen=True, slots=True)
class _Answer:
    types: dict[str, SqlType]
    columns: tuple[Column, ...]
    sortable: tuple[int, ...]


async def describe(session: Session, query: Query, *, big_numbers_as_text: bool) -> PostgresDescription:
    """Raises `QueryInvalid` with a diagnostic in the query's file, or what stands in `_PASSING`."""
    if query.statement.verb == "copy":
        raise _invalid(query, _start(query), "COPY needs a stream of its own", "use INSERT, or a bulk query: *!")
    answer, casts = await _answer(session, query)
    _check_columns(query, answer.columns)
    description = PostgresDescription(answer.types, answer.columns, frozenset(casts))
    description = await _framed(session, query, description, answer.sortable, big_numbers_as_text)
    return await proven(session, query, description, big_numbers_as_text)


async def _answer(session: Session, query: Query) -> tuple[_Answer, Mapping[str, SqlType]]:
    """What the database says, and the casts of parameters with which it has been asked."""
    declared = {p.name: type for p in query.parameters if (type := _declared(p)) is not None}
    first: asyncpg.PostgresError | None = None
    try:
        try:
            answer = await _ask(session, query, {})
            casts = {name: type for name, type in declared.items() if _contradicts(type, answer.types[name])}
        except asyncpg.PostgresError as error:
            first = error
            casts = declared
            if error.sqlstate in _UNTYPED:
                casts = {**await _types_of_single_uses(session, query), **declared}
            if not casts or isinstance(translate(error, Access.READ), _PASSING):
                raise _refusal(query, _rendered(query, {}), error) from error
        if casts:
            try:
                answer = await _ask(session, query, casts)
            except asyncpg.PostgresError as error:
                if first is not None:
                    raise _refusal(query, _rendered(query, {}), first) from error
                raise _refusal(query, _rendered(query, casts), error, casts) from error
        return answer, casts
    finally:
        first = None  # its trace leads here, and would keep itself


def _declared(parameter: Parameter) -> SqlType | None:
    if parameter.type is None or parameter.type.kind is Kind.ANY:
        return None
    return replace(parameter.type, array=parameter.type.array or parameter.is_list)


def _contradicts(declared: SqlType, told: SqlType) -> bool:
    """A type of the database's own (an enum, inet) says more than any declared one."""
    return told.kind is not Kind.OTHER and (declared.kind, declared.array) != (told.kind, told.array)


def _rendered(query: Query, casts: Mapping[str, SqlType]) -> Rendered:
    def write(name: str, number: int) -> str:
        return f"(${number}::{casts[name]})" if name in casts else f"${number}"

    return render(query.statement, slots(query, write))


async def _ask(session: Session, query: Query, casts: Mapping[str, SqlType]) -> _Answer:
    with session.opaque_types():
        prepared = await session.prepare(_rendered(query, casts).text)
        oids = [type.oid for type in prepared.get_parameters()]
        attributes = prepared.get_attributes()
    catalogue = await look_up(session, [*oids, *(attribute.type.oid for attribute in attributes)])
    return _Answer(
        {parameter.name: catalogue[oid].type for parameter, oid in zip(query.parameters, oids, strict=True)},
        tuple(Column(attribute.name, catalogue[attribute.type.oid].type) for attribute in attributes),
        tuple(n for n, attribute in enumerate(attributes, 1) if catalogue[attribute.type.oid].sortable),
    )


async def _types_of_single_uses(session: Session, query: Query) -> dict[str, SqlType]:
    """Types of parameters by asking about every use on its own.

    PostgreSQL refuses `:a IS NULL OR x = :a` because the first use tells nothing, though the second one does. Here a
    use that tells nothing becomes NULL; a parameter whose other uses agree has their type.
    """
    silent: set[Slot] = set()
    for _ in range(_USES_MAX):
        text, asked = _single_uses(query, silent)
        try:
            with session.opaque_types():
                oids = [type.oid for type in (await session.prepare(text)).get_parameters()]
        except asyncpg.PostgresError as error:
            number = (error.message or "").rpartition("$")[2]
            if error.sqlstate not in _UNTYPED or not number.isdigit() or int(number) > len(asked):
                return {}
            silent.add(asked[int(number) - 1])
            continue
        catalogue = await look_up(session, oids)
        told: dict[str, set[SqlType]] = {}
        for use, oid in zip(asked, oids, strict=True):
            told.setdefault(use.name, set()).add(catalogue[oid].type)
        return {name: types.pop() for name, types in told.items() if len(types) == 1}
    return {}


def _single_uses(query: Query, silent: set[Slot]) -> tuple[str, list[Slot]]:
    """The statement with a number of its own for every use that is not silent, and those uses in order."""
    asked: list[Slot] = []

    def write(use: Slot) -> str:
        value = "NULL"
        if use not in silent:
            asked.append(use)
            value = f"${len(asked)}"
        return f"= ANY ({value})" if use.is_list else value

    return render(query.statement, write).text, asked


def _check_columns(query: Query, columns: tuple[Column, ...]) -> None:
    if query.cardinality in _GIVES_ROWS and not columns:
        hint = "add RETURNING, or end the name with ! for a statement that only tells how many rows it changed"
        if query.statement.verb == "select":
            hint = "name a column behind SELECT; a SELECT INTO makes a table: use CREATE TABLE … AS, and :exec"
        raise _invalid(query, _start(query), "the statement gives no rows", hint)
    twice = [name for name, count in Counter(column.name for column in columns).items() if count > 1]
    if query.cardinality in OBJECTS and twice:
        names = ", ".join(twice)
        raise _invalid(query, _start(query), f"two columns are called {names}", "give each its own name with AS")


async def _framed(
    session: Session, query: Query, description: PostgresDescription, sortable: tuple[int, ...], as_text: bool
) -> PostgresDescription:
    """Prepare what will really be sent, with the most columns in a page's order that PostgreSQL takes."""
    last_error: asyncpg.PostgresError | None = None
    for ties in _tie_breakers(query, description, sortable):
        candidate = replace(description, ties=ties)
        program = compile_query(query, candidate, big_numbers_as_text=as_text)
        try:
            for text in filter(None, (program.page, program.sql)):
                await session.prepare(text)
        except asyncpg.PostgresError as error:
            last_error = error
        else:
            return candidate
    assert last_error is not None
    raise _refusal(query, None, last_error) from last_error


def _tie_breakers(
    query: Query, description: PostgresDescription, sortable: tuple[int, ...]
) -> Iterator[tuple[int, ...]]:
    if query.is_paged and query.statement.has_order_by and not query.statement.has_limit:
        yield sortable
        # A composite or an extension's type may not have an order; the types that everybody knows do.
        kinds = [column.type.kind if column.type else Kind.OTHER for column in description.columns]
        yield tuple(n for n in sortable if kinds[n - 1] is not Kind.OTHER)
    yield ()


def _refusal(
    query: Query, rendered: Rendered | None, error: asyncpg.PostgresError, casts: Mapping[str, SqlType] | None = None
) -> SqlwrightError:
    translated = translate(error, Access.READ)
    if isinstance(translated, _PASSING):
        return translated
    message, hint, name = error.message or str(error), error.hint or "", "name"
    place = _start(query)
    for number, parameter in reversed(list(enumerate(query.parameters, 1))):
        if f"${number}" in message:
            name = parameter.name
            message = message.replace(f"${number}", f":{name}")
            place = _first_use(query, name)
    if casts:
        said = ", ".join(f"`@param {name} {type}`" for name, type in casts.items())
        hint = f"the header says {said}, which is not the type that the statement has there"
    elif error.sqlstate in _UNTYPED:
        why = f"{error.detail}: " if error.detail else ""
        hint = hint or f"{why}say its type in the header: -- @param {name} type"
    if rendered is not None and (error.position or "").isdigit():
        place = rendered.source_offset(int(error.position) - 1)
    if error.sqlstate == _SYNTAX or query.source.text[place - 1 : place] == "@":
        line, column = query.source.locate(place)
        hint = hint or syntax_hint(query.source.line_text(line), column)
    return _invalid(query, place, message, hint)


def _invalid(query: Query, offset: int, message: str, hint: str) -> QueryInvalid:
    text = query.source.text
    meant = _MEANT.match(text, offset)
    length = len(meant.group()) if meant else 1
    diagnostic = query.source.diagnostic("query_invalid", offset, message, hint, length=length)
    return QueryInvalid(f"the database refuses the query {query.name}", diagnostic)


def _first_use(query: Query, name: str) -> int:
    return next(part.offset for part in query.statement.parts if isinstance(part, Slot) and part.name == name)


def _start(query: Query) -> int:
    """Where the statement itself begins in its file."""
    for part in query.statement.parts:
        if not isinstance(part, Text):
            return part.offset
        if part.text.strip():
            return part.offset + len(part.text) - len(part.text.lstrip())
    return query.offset
