"""The select list of a statement: which item a column comes from, and what the item tells by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlwright.engines.inference.catalogue import JSON, Catalogue, TableColumn
from sqlwright.engines.inference.scope import Scope, reference
from sqlwright.engines.inference.words import Word, at, closing, outermost, split
from sqlwright.query import SqlType

AFTER_ITEMS = ("from", "where", "group", "having", "window", "order", "limit", "union", "intersect", "except")
_AFTER_FROM = (*AFTER_ITEMS[1:], "returning")
Item = tuple[int, int]
"""Where an item begins and ends among the words."""


def item_of_column(words: Sequence[Word], items: list[Item], count: int) -> list[Item]:
    """One item for each of `count` columns; (0, 0) for one that comes from `*`, or whose item is not known."""
    stars = [number for number, (_, end) in enumerate(items) if words[end - 1].says("*")]
    if not stars:
        return items if len(items) == count else [(0, 0)] * count
    left, right = items[: stars[0]], items[stars[-1] + 1 :]
    if len(left) + len(right) > count:
        return [(0, 0)] * count
    return [*left, *[(0, 0)] * (count - len(left) - len(right)), *right]


def without_alias(words: Sequence[Word], start: int, end: int) -> int:
    if end - start >= 3 and words[end - 2].says("as"):
        return end - 2
    if end - start >= 2 and words[end - 1].is_name and (words[end - 2].is_name or words[end - 2].says(")")):
        return end if words[end - 1].says("end") else end - 1
    return end


def only_table(words: Sequence[Word], place: int, scope: Scope) -> Mapping[str, TableColumn]:
    """The columns of the one table that the rows come from; empty where there are several, or none that is known."""
    if not at(words, place).says("from"):
        return {}
    last = outermost(words, place + 1, len(words), *_AFTER_FROM)
    one = reference(words, place + 1)
    if one is None or one.after != last or one.table in scope.derived:
        return {}
    return scope.catalogue.table(one.table)


def gives_table_rows(words: Sequence[Word], place: int, items: list[Item]) -> bool:
    """False for an aggregate over everything: it gives a row where the table has none, with NULL in plain columns."""
    if outermost(words, place, len(words), "group") < len(words):
        return True
    has_call = any(words[i].says("(") for start, end in items for i in range(start, end))
    return not has_call and outermost(words, place, len(words), "having") == len(words)


def item_type(words: Sequence[Word], start: int, end: int, catalogue: Catalogue) -> SqlType | None:
    """What the expression of an item tells by itself."""
    if at(words, start).says("(") and closing(words, start) == end - 1:
        if at(words, start + 1).says("select"):
            last = outermost(words, start + 2, end - 1, *AFTER_ITEMS)
            items = split(words, start + 2, last)
            if len(items) != 1:
                return None
            return item_type(words, items[0][0], without_alias(words, *items[0]), catalogue)
        return item_type(words, start + 1, end - 1, catalogue)
    called = at(words, start)
    if not at(words, start + 1).says("(") or not ends_call(words, start + 1, end):
        return None
    last = closing(words, start + 1)
    if called.says(*catalogue.json_functions):
        return JSON
    if called.says("count"):
        return catalogue.integer
    if called.says("cast"):
        place = outermost(words, start + 2, last, "as")
        return catalogue.declared_type(" ".join(word.text for word in words[place + 1 : last]))
    if called.says("coalesce", "ifnull"):
        arguments = split(words, start + 2, last)
        return item_type(words, *arguments[0], catalogue) if arguments else None
    return None


def extreme_type(scope: Scope, start: int, end: int) -> SqlType | None:
    """`max(column)` and `min(column)` have the column's type."""
    words = scope.words
    if not at(words, start).says("max", "min") or not ends_call(words, start + 1, end):
        return None
    column = scope.column(start + 2, closing(words, start + 1))
    return column.type if column is not None else None


def ends_call(words: Sequence[Word], opening: int, end: int) -> bool:
    """The call whose `(` is at `opening` is all there is up to `end`, with a FILTER or OVER behind it at most."""
    place = closing(words, opening) + 1
    while place < end:
        if not at(words, place).says("filter", "over"):
            return False
        place = closing(words, place + 1) + 1 if at(words, place + 1).says("(") else place + 2
    return place == end


def is_count(words: Sequence[Word], start: int, end: int) -> bool:
    return at(words, start).says("count") and at(words, start + 1).says("(") and ends_call(words, start + 1, end)


def returning_list(words: Sequence[Word]) -> int:
    """Index of the RETURNING outside all parentheses; 0 where there is none."""
    depth, found = 0, 0
    for index, word in enumerate(words):
        depth += word.says("(") - word.says(")")
        if depth == 0 and word.says("returning"):
            found = index
    return found
