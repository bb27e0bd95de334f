"""UPDATE … RETURNING where the server has none: the statements that together do the same, in one transaction.

1. `SELECT key FROM t WHERE … ORDER BY … LIMIT … FOR UPDATE` finds the rows and locks them;
2. `UPDATE t SET … WHERE key IN (…) ORDER BY …` changes exactly these: what the WHERE found, nobody else can change;
3. `SELECT list, key FROM t WHERE key IN (…) FOR UPDATE` reads them back as they now are. Without the lock, a row that
   already was what the UPDATE made of it would be read as this transaction's snapshot has it.

A WHERE with a subquery stays in the UPDATE as well, because nobody locks what a subquery only reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlwright.engines.inference.insert import parts_between
from sqlwright.engines.inference.invalid import OBJECTS, invalid
from sqlwright.engines.inference.items import AFTER_ITEMS, returning_list
from sqlwright.engines.inference.scope import reference, target_at
from sqlwright.engines.inference.words import Word, at, closing, outermost, split, words_of
from sqlwright.engines.mysql.keys import KeyColumn, TableKeys
from sqlwright.engines.mysql.singles import Edit, edited
from sqlwright.errors import QueryInvalid
from sqlwright.query import Cardinality, Part, Query, Statement, Text
from sqlwright.sql.dialect import MYSQL

_GIVES_ROWS = OBJECTS | {Cardinality.VALUE}
_NOT_IN_LIST = (*AFTER_ITEMS, "distinct", "for", "into", "lock", "procedure")
_OVER_MANY_ROWS = (
    "avg", "bit_and", "bit_or", "bit_xor", "count", "group_concat", "json_arrayagg", "json_objectagg", "max", "min",
    "std", "stddev", "stddev_pop", "stddev_samp", "sum", "var_pop", "var_samp", "variance",
)  # fmt: skip
_NO_ROWS = "or end the name with ! for a statement that only tells how many rows it changed"


@dataclass(frozen=True, slots=True)
class ReturningUpdate:
    """What is sent. A condition on keys comes between the two parts of `change` and of `read`."""

    lock: Statement
    change: tuple[Statement, Statement]
    read: tuple[Statement, Statement]
    at_once: bool
    """The change is one statement whatever the number of rows: a subquery in it may see what it changes."""


def is_ours(query: Query) -> bool:
    """The RETURNING is not for the server."""
    return query.statement.verb == "update" and query.statement.has_returning


def gives_rows(query: Query) -> bool:
    return query.cardinality in _GIVES_ROWS


def without_returning(query: Query) -> Statement:
    """The UPDATE alone, as the file has it."""
    words = words_of(query.statement, MYSQL)
    parts = parts_between(query.statement, words[0].start, words[returning_list(words) - 1].end)
    return Statement(tuple(parts), "update", query.statement.main)


def split_update(query: Query, key: Sequence[KeyColumn], edits: Sequence[Edit] = ()) -> ReturningUpdate:
    """The statements of an UPDATE of one table, with edits of its RETURNING. Raises `QueryInvalid` for any other."""
    statement = query.statement
    words = words_of(statement, MYSQL)
    target, set_at = _target(query, words)
    returning = returning_list(words)
    where, order, limit = (outermost(words, set_at, returning, word) for word in ("where", "order", "limit"))

    def cut(first: int, last: int) -> list[Part]:
        return list(parts_between(statement, words[first].start, words[last - 1].end)) if first < last else []

    ending = min(where, order, limit, returning)
    table, changed = cut(target, set_at), cut(0, ending)
    condition = cut(where + 1, min(order, limit, returning))
    tail = cut(order, min(limit, returning))
    items = list(edited(cut(returning + 1, len(words)), edits))
    place = words[returning].start

    def made(*parts: str | list[Part]) -> Statement:
        """Texts of ours stand where RETURNING does, for a message about them."""
        found: list[Part] = []
        for part in parts:
            found += [Text(part, place)] if isinstance(part, str) else part
        return Statement(tuple(found), "update")

    keys = ", ".join(_qualified(query, words, target, column) for column in key)
    has_subquery = any(word.says("select", "with") for word in words[set_at:returning])
    if condition and any(word.says("select", "with") for word in words[where:returning]):
        before = made(changed, "\nWHERE (", condition, ")\nAND ")
    else:
        before = made(changed, "\nWHERE ")
    return ReturningUpdate(
        lock=made(f"SELECT {keys}\nFROM ", table, "\n", cut(ending, returning), "\nFOR UPDATE"),
        change=(before, made("\n", tail) if tail else made()),
        read=(made("SELECT ", items, f", {keys}\nFROM ", table, "\nWHERE "), made("\nFOR UPDATE")),
        at_once=has_subquery,
    )


def condition(query: Query, key: Sequence[KeyColumn]) -> str:
    """What is compared with the keys of rows."""
    words = words_of(query.statement, MYSQL)
    names = [_qualified(query, words, target_at(words), column) for column in key]
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


def refuse(query: Query) -> None:
    """Raises `QueryInvalid` for what the server would take in the statements that are made, and means nothing here."""
    words = words_of(query.statement, MYSQL)
    if words[0].says("with"):
        message = "an UPDATE with RETURNING takes no WITH list here"
        raise _at(query, words[0], message, "write its queries as subqueries")
    place = returning_list(words) + 1
    if place == len(words):
        raise _at(query, words[-1], "syntax error", "something is missing after this")
    last = outermost(words, place, len(words), *_NOT_IN_LIST)
    if last < len(words):
        hint = "RETURNING takes a list of expressions, and nothing follows it"
        raise _at(query, words[last], f"syntax error near {_written(query, words[last])!r}", hint)
    while place < len(words):
        if words[place].says("(") and at(words, place + 1).says("select", "with"):
            place = closing(words, place)
        elif words[place].says("over") or (words[place].says(*_OVER_MANY_ROWS) and at(words, place + 1).says("(")):
            message = "RETURNING gives a row for each row that is changed: nothing in it is over several rows"
            raise _at(query, words[place], message, "a subquery may: (SELECT count(*) FROM …)")
        place += 1


def table_of(query: Query) -> tuple[str, str]:
    """The schema, empty for the session's own, and the name of the changed table, as they are written."""
    words = words_of(query.statement, MYSQL)
    target = target_at(words)
    if at(words, target + 1).says("."):
        return _name(query, words[target]), _name(query, words[target + 2])
    return "", _name(query, words[target])


def choose_key(query: Query, table: TableKeys) -> tuple[KeyColumn, ...]:
    """A key that the UPDATE leaves as it is. Raises `QueryInvalid` where there is none."""
    words = words_of(query.statement, MYSQL)
    returning = words[returning_list(words)]
    if table.is_view:
        message = "RETURNING needs the key of the changed rows, and a view has none"
        raise _at(query, returning, message, f"name the table itself, {_NO_ROWS}")
    if not table.keys:
        message = "RETURNING needs a key of the changed rows, and the table has none"
        hint = f"give the table a primary key, or a unique key of columns that are NOT NULL, {_NO_ROWS}"
        raise _at(query, returning, message, hint)
    if not table.is_transactional:
        message = "RETURNING needs rows that can be locked, which this table's storage engine cannot"
        raise _at(query, returning, message, f"make it an InnoDB table, {_NO_ROWS}")
    assigned = _assigned(words)
    for key in table.keys:
        if not any(column.name.lower() in assigned for column in key):
            return key
    word = next(assigned[column.name.lower()] for column in table.keys[0] if column.name.lower() in assigned)
    message = "RETURNING needs a key of the changed rows that the UPDATE leaves as it is, and this changes it"
    raise _at(query, word, message, f"change the key in a statement of its own, {_NO_ROWS}")


def _target(query: Query, words: Sequence[Word]) -> tuple[int, int]:
    """Where the table and where SET stands."""
    target = target_at(words)
    ignore = next((word for word in words[:target] if word.says("ignore")), None)
    if ignore is not None:
        message = "UPDATE IGNORE does not tell which rows it has changed, so it has no RETURNING"
        raise _at(query, ignore, message, "leave IGNORE or RETURNING out")
    found = reference(words, target)
    after = found.after if found is not None else target
    if not at(words, after).says("set"):
        message = "an UPDATE with RETURNING changes one table here, by its name"
        hint = "values of other tables come from subqueries: SET a = (SELECT …) WHERE EXISTS (SELECT …)"
        raise _at(query, at(words, after), message, hint)
    return target, after


def _assigned(words: Sequence[Word]) -> dict[str, Word]:
    """The columns that SET changes, in lower case, and where."""
    set_at = outermost(words, 0, len(words), "set")
    end = outermost(words, set_at, returning_list(words), "where", "order", "limit")
    names = (words[outermost(words, first, last, "=", ":=") - 1] for first, last in split(words, set_at + 1, end))
    return {name.text: name for name in names}


def _qualified(query: Query, words: Sequence[Word], target: int, column: KeyColumn) -> str:
    found = reference(words, target)
    assert found is not None, "the statement has been split"
    first = last = found.after - 1  # an alias, or the table's own name
    if found.alias == found.table and at(words, last - 1).says("."):
        first = target
    written = query.source.text[words[first].start : words[last].end]
    return f"{written}.`{column.name.replace('`', '``')}`"


def _name(query: Query, word: Word) -> str:
    written = _written(query, word)
    return written[1:-1].replace("``", "`") if written.startswith("`") else written


def _written(query: Query, word: Word) -> str:
    return query.source.text[word.start : word.end]


def _at(query: Query, word: Word, message: str, hint: str) -> QueryInvalid:
    return invalid(query, word.start, message, hint, length=max(1, word.end - word.start))
