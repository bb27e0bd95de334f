"""Whether a statement orders its rows to the last: by the whole of a key of the one table that it reads.

Rows that an ORDER BY leaves equal come as the plan has them, and a LIMIT then takes those that come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlwright.engines.postgres.names import names_in
from sqlwright.engines.postgres.session import Session
from sqlwright.sql.dialect import POSTGRESQL
from sqlwright.sql.lexer import IDENTIFIER, OPERATOR, WORD, Token, lex
from sqlwright.sql.statement import significant

_FORBIDDEN = frozenset({"union", "intersect", "except", "group", "having", "distinct", "join", "with", "into"})
_END_OF_TABLE = frozenset({"where", "order"})
_END_OF_ORDER = frozenset({"limit", "offset", "fetch"})
_DIRECTION = frozenset({"asc", "desc", "nulls", "first", "last"})

_HAS_KEY = """
SELECT EXISTS (
  SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_index i ON i.indrelid = c.oid
  WHERE c.oid = to_regclass($1) AND (c.relkind IN ('p', 'm') OR c.relkind = 'r' AND NOT c.relhassubclass)
    AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
    AND NOT EXISTS (
      SELECT FROM generate_series(0, i.indnkeyatts - 1) AS k(n)
      JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[k.n]
      JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[k.n]
      WHERE NOT (a.attname = ANY ($2::name[]) AND a.attnotnull
        AND o.opcdefault AND a.attcollation = i.indcollation[k.n])
    )
) AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc WHERE proname = ANY ($3::name[]) AND proretset)
"""


async def orders_all(session: Session, text: str) -> bool:
    found = _Ordered.of(text)
    if found is None:
        return False
    called = sorted(names_in(text).called)
    return bool(await session.fetchval(_HAS_KEY, found.table, found.columns, called))


@dataclass(frozen=True, slots=True)
class _Ordered:
    """`SELECT … FROM one table [WHERE …] ORDER BY columns [LIMIT …]`."""

    table: str
    columns: list[str]

    @classmethod
    def of(cls, text: str) -> _Ordered | None:
        tokens = significant(lex(text, POSTGRESQL).tokens)
        outer = list(_outer_words(tokens))
        words = [word for word, _ in outer]
        places = dict(reversed(outer))
        if words[:1] != ["select"] or not {"from", "order"} <= places.keys() or _FORBIDDEN & places.keys():
            return None
        if words.count("from") != 1 or words.count("order") != 1 or places["order"] < places["from"]:
            return None
        end = min((places[word] for word in _END_OF_TABLE if word in places), default=len(tokens))
        table = tokens[places["from"] + 1 : end]
        name = _without_alias(text, table)
        if name is None:
            return None
        last = min((places[word] for word in _END_OF_ORDER if word in places), default=len(tokens))
        items = list(_split(tokens[places["order"] + 2 : last]))
        columns = {column for item in items if (column := _column(text, _without_direction(item))) is not None}
        selected = list(_split(tokens[1 : places["from"]]))
        columns = {column for column in columns if all(_leaves(text, item, column) for item in selected)}
        return cls(name, sorted(columns))


def _outer_words(tokens: Sequence[Token]) -> Iterator[tuple[str, int]]:
    depth = 0
    for place, token in enumerate(tokens):
        if token.kind is OPERATOR:
            depth += (token.value in ("(", "[")) - (token.value in (")", "]", "operator()"))
        elif token.kind is WORD and depth == 0:
            yield token.value, place


def _split(tokens: Sequence[Token]) -> Iterator[Sequence[Token]]:
    """By the commas outside of all parentheses."""
    depth = start = 0
    for place, token in enumerate(tokens):
        if token.kind is OPERATOR:
            depth += (token.value in ("(", "[")) - (token.value in (")", "]", "operator()"))
            if token.value == "," and depth == 0:
                yield tokens[start:place]
                start = place + 1
    yield tokens[start:]


def _name(text: str, token: Token) -> str | None:
    if token.kind is WORD:
        return token.value if token.value.isascii() else None
    return text[token.start + 1 : token.end - 1].replace('""', '"') if token.kind is IDENTIFIER else None


def _column(text: str, item: Sequence[Token]) -> str | None:
    """The column of `a` or `t.a`."""
    if len(item) == 3 and item[1].value == "." and _name(text, item[0]) is not None:
        return _name(text, item[2])
    return _name(text, item[0]) if len(item) == 1 else None


def _without_direction(item: Sequence[Token]) -> Sequence[Token]:
    while len(item) > 1 and item[-1].kind is WORD and item[-1].value in _DIRECTION:
        item = item[:-1]
    return item


def _without_alias(text: str, table: Sequence[Token]) -> str | None:
    """The table's name as it is written, in a FROM that says no more than `a.b AS c`."""
    rest = list(table)
    if len(rest) > 1 and rest[-1].kind in (WORD, IDENTIFIER) and rest[-2].value != ".":
        rest.pop()
        if len(rest) > 1 and rest[-1].value == "as":
            rest.pop()
    return text[rest[0].start : rest[-1].end] if rest and _column(text, rest) is not None else None


def _leaves(text: str, item: Sequence[Token], column: str) -> bool:
    """An item of the SELECT list leaves the name of the column to the column."""
    if _column(text, item) is not None or (item and item[-1].value == "*" and len(item) in (1, 3)):
        return True
    return len(item) > 2 and item[-2].value == "as" and _name(text, item[-1]) not in (None, column)
