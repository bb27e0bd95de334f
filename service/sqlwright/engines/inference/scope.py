"""Which tables a statement speaks of and under which names, so that a column in it can be found in the catalogue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlwright.engines.inference.catalogue import Catalogue, TableColumn
from sqlwright.engines.inference.words import Word, at, closing, outermost, split
from sqlwright.query import Kind, SqlType

_ENDS_FROM = (
    "where", "group", "having", "order", "limit", "offset", "window", "union", "intersect", "except", "returning",
    "set", "select", "values", "on", "using", ")",
)  # fmt: skip
_INTEGERS = {
    Kind.INT2: (-(2**15), 2**15 - 1),
    Kind.INT4: (-(2**31), 2**31 - 1),
    Kind.INT8: (-(2**63), 2**63 - 1),
}
_NO_ALIAS = (
    "as", "cross", "default", "except", "for", "force", "from", "full", "group", "having", "ignore", "indexed", "inner",
    "intersect", "into", "join", "left", "limit", "lock", "natural", "not", "on", "order", "outer", "partition",
    "returning", "right", "select", "set", "straight_join", "union", "use", "using", "value", "values", "where",
    "window",
)  # fmt: skip
_BEFORE_TARGET = (
    "abort", "delayed", "fail", "from", "high_priority", "ignore", "into", "low_priority", "or", "quick", "replace",
    "rollback",
)  # fmt: skip
"""What may stand between a changing statement's verb and its table."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`[schema.]table [AS] alias` in a statement; `after` is the index behind it."""

    table: str
    alias: str
    after: int


class Scope:
    """All tables of a statement at once, subqueries included: what differs between two of them is not known."""

    def __init__(self, words: Sequence[Word], catalogue: Catalogue) -> None:
        self.words = words
        self.catalogue = catalogue
        derived = set(_derived_names(words))
        self.derived = derived
        """CTEs and subqueries in FROM: they are no tables."""
        self.references = [r for r in _references(words) if r.table not in derived and catalogue.table(r.table)]
        self._derived_aliases = derived | {r.alias for r in _references(words) if r.table in derived}
        has_subquery = any(
            word.says("from", "join", ",") and at(words, i + 1).says("(") and at(words, i + 2).says("select", "with")
            for i, word in enumerate(words)
        )
        # A column of a CTE or of a subquery may have a table column's name and be something else.
        self._renamed = {words[index].text for index in naming(words)} if derived or has_subquery else set()
        self.target = _target(words)

    def column(self, start: int, end: int) -> TableColumn | None:
        """The column that `words[start:end]` names, if that is all they do and one thing is sure."""
        words = self.words[start:end]
        if len(words) >= 3 and words[-2].text == "." and words[-1].is_name and words[-3].is_name:
            if len(words) == 3 or (len(words) == 5 and words[1].text == "."):
                return self._qualified(words[-3].text, words[-1].text)
            return None
        if len(words) != 1 or not words[0].is_name:
            return None
        return self._unqualified(words[0].text)

    def column_before(self, end: int) -> tuple[TableColumn | None, int]:
        """The column whose name ends before `end`, and where the name begins."""
        if end >= 2 and at(self.words, end - 2).says("collate"):
            end -= 2
        start = end - 1
        while at(self.words, start - 1).says(".") and start >= 2:
            start -= 2
        return (self.column(start, end) if start >= 0 else None), start

    def column_after(self, start: int) -> tuple[TableColumn | None, int]:
        """The column whose name begins at `start`, and the index behind it."""
        end = start + 1
        while at(self.words, end).says("."):
            end += 2
        return self.column(start, end), end

    def target_columns(self) -> list[TableColumn]:
        """Columns that an INSERT without a list gives values to."""
        return [c for c in self.catalogue.table(self.target).values() if c.is_listed]

    def of_target(self, name: str) -> TableColumn | None:
        return self.catalogue.table(self.target).get(name)

    def _qualified(self, alias: str, name: str) -> TableColumn | None:
        if alias in self._derived_aliases:
            return None
        if alias == "excluded":
            return self.of_target(name)
        tables = [r.table for r in self.references if alias == r.alias]
        return _agreed(self.catalogue.table(table).get(name) for table in tables)

    def _unqualified(self, name: str) -> TableColumn | None:
        if name in self._renamed:
            return None
        tables = dict.fromkeys(r.table for r in self.references)
        found = [self.catalogue.table(table).get(name) for table in tables]
        return _agreed(column for column in found if column is not None)


def _agreed(columns: Iterator[TableColumn | None]) -> TableColumn | None:
    found = list(columns)
    first = found[0] if found else None
    if first is None or any(column is None or column.type != first.type for column in found):
        return None
    return first


def agreed_type(types: Sequence[SqlType]) -> SqlType | None:
    """The one type of several uses; None when they are of different kinds. Of integers it is the widest."""
    if not types:
        return None
    if all(type.kind in _INTEGERS for type in types):
        return max(types, key=lambda type: (type.bounds or _INTEGERS[type.kind])[1])
    return types[0] if len({type.kind for type in types}) == 1 else None


def target_at(words: Sequence[Word]) -> int:
    """Where the table stands that the statement changes; -1 where it changes none."""
    main = 0
    if at(words, 0).says("with"):
        main = outermost(words, 0, len(words), "insert", "replace", "update", "delete", "select", "values")
    if not at(words, main).says("insert", "replace", "update", "delete"):
        return -1
    place = main + 1
    while at(words, place).says(*_BEFORE_TARGET):
        place += 1
    return place


def _target(words: Sequence[Word]) -> str:
    place = target_at(words)
    found = reference(words, place) if place >= 0 else None
    return found.table if found is not None else ""


def reference(words: Sequence[Word], index: int) -> Reference | None:
    if not at(words, index).is_name or at(words, index).says(*_NO_ALIAS):
        return None
    last = index + 2 if at(words, index + 1).says(".") else index
    table = at(words, last).text
    if at(words, last + 1).says("("):
        last_of_call = closing(words, last + 1)
        # A list of columns after INTO, else a function that gives a table, whose columns nobody lists.
        if index != target_at(words) and not at(words, index - 1).says("into"):
            table, last = "", last_of_call
    after = last + 1
    alias = table
    if at(words, after).says("as") and at(words, after + 1).is_name:
        alias, after = at(words, after + 1).text, after + 2
    elif at(words, after).is_name and not at(words, after).says(*_NO_ALIAS):
        alias, after = at(words, after).text, after + 1
    return Reference(table, alias, after)


def _references(words: Sequence[Word]) -> Iterator[Reference]:
    for index, word in enumerate(words):
        if word.says("join", "straight_join", "into"):
            found = reference(words, index + 1)
            if found is not None:
                yield found
        elif word.says("insert", "replace", "update") and index < (target := target_at(words)):
            yield from _from_list(words, target)  # MySQL changes several tables at once
        elif word.says("from") and not at(words, index - 1).says("distinct"):
            yield from _from_list(words, index + 1)


def _from_list(words: Sequence[Word], start: int) -> Iterator[Reference]:
    for first, _ in split(words, start, outermost(words, start, len(words), *_ENDS_FROM)):
        place = first
        while at(words, place).says("("):
            place += 1
        found = reference(words, place)
        if found is not None:
            yield found


def _derived_names(words: Sequence[Word]) -> Iterator[str]:
    """Names of CTEs and of subqueries in FROM."""
    for index, word in enumerate(words):
        if word.says("("):
            place = index - 1
            while at(words, place).says("materialized", "not"):
                place -= 1
            if at(words, place).says("as") and at(words, index + 1).says("select", "with", "values", "insert"):
                name = place - 1
                if at(words, name).says(")"):
                    name = _opening_of(words, name) - 1
                if at(words, name).is_name:
                    yield at(words, name).text
            elif at(words, index + 1).says("select", "with", "values"):
                after = closing(words, index) + 1
                after += at(words, after).says("as")
                if at(words, after).is_name and not at(words, after).says(*_NO_ALIAS):
                    yield at(words, after).text


def _opening_of(words: Sequence[Word], closed: int) -> int:
    depth = 0
    for index in range(closed, -1, -1):
        depth += words[index].says(")") - words[index].says("(")
        if depth == 0:
            return index
    return 0


def naming(words: Sequence[Word]) -> Iterator[int]:
    """Where columns are given names: `AS name`, `expression name`, and the list after a CTE's name."""
    for index, word in enumerate(words):
        if not word.is_name:
            continue
        before, after = at(words, index - 1), at(words, index + 1)
        has_as = before.says("as") or (before.says("(", ",") and _in_cte_list(words, index))
        follows_item = (before.is_name or before.says(")")) and not before.says("select", "distinct", "all")
        if has_as or (follows_item and after.says(",", "from", ")")):
            yield index


def _in_cte_list(words: Sequence[Word], index: int) -> bool:
    while index < len(words) and (words[index].is_name or words[index].says(",")):
        index += 1
    return at(words, index).says(")") and at(words, index + 1).says("as")
