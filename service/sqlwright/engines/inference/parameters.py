"""Types of parameters from the columns they meet. Where nothing is sure, nothing is said."""

from __future__ import annotations

from collections.abc import Iterator

from sqlwright.engines.inference.catalogue import TEXT, TableColumn
from sqlwright.engines.inference.scope import Scope, agreed_type, target_at
from sqlwright.engines.inference.words import at, closing, opening, outermost, split
from sqlwright.query import Kind, Query, SqlType
from sqlwright.sql.lexer import PARAMETER

COMPARES = ("=", "==", "<=>", "<>", "!=", "<", ">", "<=", ">=", "is")
_PATTERNS = ("like", "glob", "regexp", "rlike", "match", "escape")
_ARITHMETIC = ("+", "-", "*", "/", "%", "||", "->", "->>", "&", "|", "^", "<<", ">>", "~", "div", "mod", "xor", "&&")
_FIRST_NOT_NULL = ("coalesce", "ifnull")


def parameter_types(query: Query, scope: Scope) -> dict[str, SqlType]:
    """Types by name, for parameters without a declared one."""
    asked = {p.name for p in query.parameters if p.type is None or p.type.kind is Kind.ANY}
    finder = _Finder(scope)
    found: dict[str, list[SqlType]] = {}
    for index, word in enumerate(scope.words):
        if word.kind is PARAMETER and word.text in asked:
            type = finder.type_of(index, index + 1)
            if type is not None:
                found.setdefault(word.text, []).append(type)
    agreed = {name: agreed_type(types) for name, types in found.items()}
    return {name: type for name, type in agreed.items() if type is not None}


class _Finder:
    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.words = scope.words
        self.targets = dict(_insert_targets(scope))
        """First word of a value → the column that an INSERT puts it into."""

    def type_of(self, start: int, end: int) -> SqlType | None:
        """The type that the operand `words[start:end]` must have where it stands."""
        before, after = at(self.words, start - 1), at(self.words, end)
        if before.says("limit", "offset") or (before.says(",") and at(self.words, start - 3).says("limit")):
            return self.scope.catalogue.integer
        if before.says("||", *_PATTERNS) or after.says("||", *_PATTERNS):
            return TEXT
        if after.says("not") and at(self.words, end + 1).says(*_PATTERNS):
            return TEXT
        if before.says("(") and at(self.words, start - 2).says("against"):
            return TEXT
        if before.says(*_ARITHMETIC) or after.says(*_ARITHMETIC):
            return None
        if start in self.targets and (after.says(",", ")", "from", "where", "on", "returning") or not after.text):
            return self.targets[start].type
        column = self._met_before(start) or self._met_after(end)
        if column is not None:
            return column.type
        return self._inside(start, end)

    def _met_before(self, start: int) -> TableColumn | None:
        """`column = …`, `column BETWEEN …`, `column BETWEEN x AND …`."""
        place = start - 1
        if at(self.words, place).says("and") and at(self.words, place - 2).says("between"):
            place -= 2
        if at(self.words, place).says("between"):
            return self._column_before(place - at(self.words, place - 1).says("not"))
        if at(self.words, place).says("from") and at(self.words, place - 1).says("distinct"):
            place -= 2  # IS [NOT] DISTINCT FROM
        if at(self.words, place).says("not") and at(self.words, place - 1).says("is"):
            place -= 1
        return self._column_before(place) if at(self.words, place).says(*COMPARES) else None

    def _column_before(self, end: int) -> TableColumn | None:
        column, start = self.scope.column_before(end)
        before = at(self.words, start - 1)
        on_duplicate = before.says("update") and at(self.words, start - 2).says("key")
        if before.says("set") or on_duplicate or (before.says(",") and column is None):
            # SET takes columns of the changed table only, whatever other tables have of that name.
            return self.scope.of_target(at(self.words, start).text) if end == start + 1 else column
        return None if before.says(*_ARITHMETIC) else column

    def _met_after(self, end: int) -> TableColumn | None:
        """`… = column`, `… BETWEEN column AND column`."""
        place = end + at(self.words, end).says("not")
        if not at(self.words, place).says("between", *COMPARES):
            return None
        if at(self.words, place).says("is"):
            place += at(self.words, place + 1).says("not")
            if at(self.words, place + 1).says("distinct") and at(self.words, place + 2).says("from"):
                place += 2
        column, after = self.scope.column_after(place + 1)
        return None if at(self.words, after).says("(", *_ARITHMETIC) else column

    def _inside(self, start: int, end: int) -> SqlType | None:
        """By what stands around the parentheses: `IN (…)`, `(a, b) = (…)`, `coalesce(…)`, `CAST(… AS type)`, `(…)`."""
        first = opening(self.words, start)
        if first < 0:
            return None
        last = closing(self.words, first)
        before = at(self.words, first - 1)
        if before.says("cast") and at(self.words, end).says("as"):
            return self.scope.catalogue.declared_type(" ".join(word.text for word in self.words[end + 1 : last]))
        items = split(self.words, first + 1, last)
        if (start, end) not in items:
            return None
        if before.says("in"):
            column = self._column_before(first - 1 - at(self.words, first - 2).says("not"))
            return column.type if column is not None else None
        if before.says(*_FIRST_NOT_NULL):
            columns = [self.scope.column(*item) for item in items]
            known = next((column.type for column in columns if column is not None), None)
            return known or self.type_of(first - 1, last + 1)
        if before.says(*COMPARES) and at(self.words, first - 2).says(")"):
            return self._row_value(items.index((start, end)), first - 2)
        if len(items) == 1 and (not before.is_name or before.says("and", "or", "not", "where", "on", "when", "then")):
            return self.type_of(first, last + 1)
        return None

    def _row_value(self, position: int, closed: int) -> SqlType | None:
        """The type of the n-th column of the `(a, b)` that ends at `closed`."""
        columns = split(self.words, opening(self.words, closed) + 1, closed)
        if position >= len(columns):
            return None
        column = self.scope.column(*columns[position])
        return column.type if column is not None else None


def _insert_targets(scope: Scope) -> Iterator[tuple[int, TableColumn]]:
    words = scope.words
    target = target_at(words)
    verb = next((word for word in words[:target] if word.says("insert", "replace", "update", "delete")), None)
    if target < 0 or verb is None or not verb.says("insert", "replace"):
        return
    place = target + (3 if at(words, target + 1).says(".") else 1)  # behind the table's name
    if at(words, place).says("as"):
        place += 2
    columns: list[TableColumn | None] = list(scope.target_columns())
    if at(words, place).says("("):
        last = closing(words, place)
        columns = [scope.of_target(at(words, first).text) for first, _ in split(words, place + 1, last)]
        place = last + 1
    for first, last in _value_lists(scope, place):
        for column, (start, _) in zip(columns, split(words, first, last), strict=False):
            if column is not None:
                yield start, column


def _value_lists(scope: Scope, place: int) -> Iterator[tuple[int, int]]:
    """The lists of values behind `INSERT INTO table (columns)`: each tuple of VALUES, or what a SELECT selects."""
    words = scope.words
    if at(words, place).says("values", "value"):
        while at(words, place + 1).says("("):
            last = closing(words, place + 1)
            yield place + 2, last
            place = last + 1
            if not at(words, place).says(","):
                return
    elif at(words, place).says("select"):
        first = place + 1 + at(words, place + 1).says("distinct", "all")
        yield first, outermost(words, first, len(words), "from", "where", "union", "on", "returning", "order", "limit")
