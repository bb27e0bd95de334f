"""Which INSERTs of one row can take many rows in one statement and mean the same as one statement a row.

The form is plain: `INSERT INTO table (columns) VALUES (…) [ON CONFLICT … | ON DUPLICATE KEY UPDATE …]`. What stands in
it depends on the row alone: parameters, literals, and functions that look at no table. What the table itself does (a
trigger, a key that is counted) only the database knows: each engine asks it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from sqlwright.engines.inference.words import Word, at, closing, split, words_of
from sqlwright.query import Part, Query, Slot, Statement, Text
from sqlwright.sql.dialect import Dialect
from sqlwright.sql.lexer import HINT, IDENTIFIER, NUMBER, OPERATOR, PARAMETER, STRING, WORD, lex

_FUNCTIONS = frozenset(
    {"abs", "ceil", "char_length", "coalesce", "concat", "current_timestamp", "floor", "greatest", "least", "left",
     "length", "localtimestamp", "lower", "ltrim", "md5", "mod", "now", "nullif", "replace", "right", "round", "rtrim",
     "substr", "substring", "trim", "upper"}
)  # fmt: skip
_VALUE_WORDS = frozenset(
    {"and", "as", "between", "case", "cast", "current_date", "current_time", "current_timestamp", "default", "else",
     "end", "false", "from", "in", "is", "like", "localtime", "localtimestamp", "not", "null", "or", "then", "true",
     "when"}
)  # fmt: skip
_BEFORE_PARENTHESIS = frozenset({"and", "case", "else", "in", "like", "not", "or", "then", "when"})
"""Keywords that a parenthesis can follow without being called."""
_TAILS = (("on", "conflict"), ("on", "duplicate", "key", "update"))
_NOT_IN_TAIL = frozenset({"select", "with", "table", "returning", "union"})
_TAIL_BEFORE_PARENTHESIS = _BEFORE_PARENTHESIS | {"conflict", "set", "where", "row"}


@dataclass(frozen=True, slots=True)
class PlainInsert:
    """An INSERT of one row in its parts."""

    table: str
    """As it is written."""
    name: tuple[str, ...]
    """The same in its parts, without quotes."""
    columns: tuple[str, ...]
    """As they are written; empty where the statement names none."""
    before: tuple[Part, ...]
    """Up to VALUES, without it."""
    values: tuple[tuple[Part, ...], ...]
    after: tuple[Part, ...]
    """What is done about a row that is there."""
    functions: frozenset[str]
    """What is called in it."""


def plain_insert(query: Query, dialect: Dialect, functions: Collection[str] = ()) -> PlainInsert | None:
    """The parts of a plain INSERT; None for any other statement. `functions`: those of the dialect that look at no
    table."""
    statement = query.statement
    if statement.verb != "insert" or statement.main or statement.has_returning or _has_hints(statement, dialect):
        return None
    words = words_of(statement, dialect)
    target = _target(words)
    if target is None:
        return None
    values_at = target
    columns: list[Word] = []
    if at(words, target).says("("):
        names = [words[first:last] for first, last in split(words, target + 1, closing(words, target))]
        if not all(len(name) == 1 and name[0].is_name for name in names):
            return None
        columns = [name[0] for name in names]
        values_at = closing(words, target) + 1
    opening = values_at + 1
    if not at(words, values_at).says("values", "value") or not at(words, opening).says("("):
        return None
    end = closing(words, opening)
    known = _FUNCTIONS | frozenset(functions)
    items = split(words, opening + 1, end)
    if not items or (columns and len(columns) != len(items)):
        return None
    called = _calls(words[opening + 1 : end], known, _BEFORE_PARENTHESIS)
    tail_called = _calls(words[end + 1 :], known, _TAIL_BEFORE_PARENTHESIS)
    if called is None or tail_called is None or not _depends_on_row_alone(words[opening + 1 : end]):
        return None
    if not _is_tail(words[end + 1 :]):
        return None
    text = query.source.text
    name = words[2:target]
    return PlainInsert(
        table="".join(text[word.start : word.end] for word in name),
        name=tuple(_unquoted(text[word.start : word.end]) for word in name if word.is_name),
        columns=tuple(text[word.start : word.end] for word in columns),
        before=tuple(parts_between(statement, words[0].start, words[values_at].start)),
        values=tuple(tuple(parts_between(statement, words[first].start, words[last].start)) for first, last in items),
        after=tuple(parts_between(statement, words[end + 1].start, words[-1].end)) if end + 1 < len(words) else (),
        functions=called | tail_called,
    )


def of_parts(query: Query, parts: Sequence[Part]) -> Query:
    """A query of the same parameters whose statement is made of these parts."""
    return replace(query, statement=Statement(tuple(parts), "insert"))


def _unquoted(written: str) -> str:
    quote = written[0]
    return written[1:-1].replace(quote * 2, quote) if quote in '"`' else written.strip("[]")


def _target(words: Sequence[Word]) -> int | None:
    """Index behind the table's name; None where something stands around it."""
    if not (at(words, 0).says("insert") and at(words, 1).says("into") and at(words, 2).is_name):
        return None
    index = 3
    while at(words, index).says(".") and at(words, index + 1).is_name:
        index += 2
    return index


def _has_hints(statement: Statement, dialect: Dialect) -> bool:
    texts = [part.text for part in statement.parts if isinstance(part, Text)]
    return any(token.kind is HINT for text in texts if "/*" in text for token in lex(text, dialect).tokens)


def _calls(words: Sequence[Word], known: frozenset[str], before: frozenset[str]) -> frozenset[str] | None:
    """The functions that are called; None where one is not known."""
    called = set()
    for index, word in enumerate(words):
        if not word.is_name or not at(words, index + 1).says("(") or (word.kind is WORD and word.text in before):
            continue
        if _is_type(words, index):
            continue
        if word.kind is IDENTIFIER or at(words, index - 1).says(".") or word.text not in known | {"cast"}:
            return None
        called.add(word.text)
    return frozenset(called - {"cast"})


def _depends_on_row_alone(words: Sequence[Word]) -> bool:
    for index, word in enumerate(words):
        if word.kind in (PARAMETER, NUMBER, STRING) or _is_type(words, index):
            continue
        if word.kind is OPERATOR:
            is_array = (word.says("[") and at(words, index + 1).says("]")) or (
                word.says("]") and at(words, index - 1).says("[")
            )
            if word.text in ("[", "]", "@", ":=", ":", "?", "$", "\\", ".") and not is_array:
                return False
        elif word.kind is not WORD or (word.text not in _VALUE_WORDS and not at(words, index + 1).says("(")):
            return False
    return any(word.kind is PARAMETER for word in words)


def _is_type(words: Sequence[Word], index: int) -> bool:
    """It is (part of) the name of a type: what stands behind `::`, or behind AS in a CAST."""
    place = index
    while place > 0 and (words[place].is_name or words[place].says(".")):
        before = words[place - 1]
        if before.says("::") or (before.says("as") and before.kind is WORD):
            return words[index].kind in (WORD, IDENTIFIER) or words[index].says(".")
        place -= 1
    return False


def _is_tail(words: Sequence[Word]) -> bool:
    """Nothing, or what to do about a row that is there, by that row and the new one alone."""
    if not words:
        return True
    if not any(all(at(words, i).says(text) for i, text in enumerate(tail)) for tail in _TAILS):
        return False
    return not any(
        word.kind is PARAMETER or word.text in ("@", ":=", "[") or (word.kind is WORD and word.text in _NOT_IN_TAIL)
        for word in words
    )


def parts_between(statement: Statement, start: int, end: int) -> Iterator[Part]:
    """The parts that stand between two places of the file."""
    for part in statement.parts:
        if isinstance(part, Slot):
            if start <= part.offset < end:
                yield part
            continue
        first, last = max(start, part.offset), min(end, part.offset + len(part.text))
        if first < last:
            yield Text(part.text[first - part.offset : last - part.offset], first)
