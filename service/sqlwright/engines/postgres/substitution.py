"""Whether it makes a difference to a statement that columns stand in the places of its parameters."""

from __future__ import annotations

from collections.abc import Sequence

from sqlwright.query import Query, Slot
from sqlwright.sql.dialect import POSTGRESQL
from sqlwright.sql.lexer import IDENTIFIER, OPERATOR, PARAMETER, WORD, Token, lex
from sqlwright.sql.statement import render, significant

_BEGINS_AN_ITEM = frozenset({"select", "distinct", "all"})
_ENDS_SELECT_LIST = frozenset({"from", "where", "group", "having", "order", "limit", "values", "on", "using", "by"})
_BY_PREFIX = frozenset({"like", "ilike", "similar", "~", "^", "starts_with"})
_ENDS_AN_ITEM = frozenset(
    {"from", "where", "group", "having", "order", "limit", "offset", "fetch", "window", "union", "except", "intersect",
     "collate"}
)  # fmt: skip


def minds_columns(query: Query) -> bool:
    """True where a name, a LIMIT or a plan may be another then."""
    return query.plan_mode == "custom" or _minds_columns(_tokens(query))


def _minds_columns(tokens: Sequence[Token]) -> bool:
    return _names_a_column(tokens) or _limits_by_chance(tokens) or _is_planned_by_value(tokens)


def _names_a_column(tokens: Sequence[Token]) -> bool:
    """Whether a column of a query inside the statement has no name but what a bare parameter gives it."""
    return any(token.kind is PARAMETER and _is_bare_item(tokens, index) for index, token in enumerate(tokens))


def _limits_by_chance(tokens: Sequence[Token]) -> bool:
    """Whether a LIMIT may be null for other reasons than that a value is: see `batch.batch_key`."""
    words = [_value(token) for token in tokens]
    behind = min((words.index(word) for word in ("limit", "fetch") if word in words), default=len(words))
    return not {"nullif", "case", "select"}.isdisjoint(words[behind:])


def _is_planned_by_value(tokens: Sequence[Token]) -> bool:
    """Whether an index may serve only who knows the value: `LIKE 'a%'` reads a range of it, `LIKE` of a column all."""
    return not {_value(token) for token in tokens}.isdisjoint(_BY_PREFIX)


def _tokens(query: Query) -> list[Token]:
    return significant(lex(render(query.statement, _as_parameter).text, POSTGRESQL).tokens)


def _as_parameter(slot: Slot) -> str:
    return f"= ANY (:{slot.name})" if slot.is_list else f":{slot.name}"


def _is_bare_item(tokens: Sequence[Token], index: int) -> bool:
    first, last = index, index
    while _at(tokens, first - 1) == "(" and _at(tokens, last + 1) == ")":
        first, last = first - 1, last + 1
    after = _at(tokens, last + 1)
    if after not in ("", ",", ")", "[") and after not in _ENDS_AN_ITEM:
        return False
    before = _at(tokens, first - 1)
    if before != "," and before not in _BEGINS_AN_ITEM and before != ")":
        return False
    depth = 0
    for place in range(first - 1, -1, -1):
        value = _at(tokens, place)
        if value in (")", "]", "operator()"):
            depth += 1
        elif value in ("(", "["):
            depth -= 1
            if depth < 0:
                return False
        elif depth == 0 and value == "select":
            return _is_inside(tokens, place)
        elif depth == 0 and value in _ENDS_SELECT_LIST and value != "on":
            return False
    return False


def _is_inside(tokens: Sequence[Token], place: int) -> bool:
    depth = 0
    for outer in range(place):
        value = _at(tokens, outer)
        depth += (value in ("(", "[")) - (value in (")", "]", "operator()"))
    return depth > 0


def _at(tokens: Sequence[Token], index: int) -> str:
    return _value(tokens[index]) if 0 <= index < len(tokens) else ""


def _value(token: Token) -> str:
    return token.value if token.kind in (WORD, OPERATOR) else "name" if token.kind in (IDENTIFIER, PARAMETER) else "?"
