"""A statement as the words that a database's parser sees: comments cut, names unquoted, parameters as one word each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlwright.query import Slot, Statement, Text
from sqlwright.sql.dialect import Dialect
from sqlwright.sql.lexer import BLOCK_COMMENT, COMMENT, HINT, IDENTIFIER, OPERATOR, PARAMETER, WORD, TokenKind, lex

_LONGER_OPERATORS = frozenset({"<=", ">=", "<=>", "<>", "!=", "==", "||", "&&", "->", "->>", "<<", ">>"})


class Word(NamedTuple):
    """`text`: a word or name in lower case (names compare so), a parameter's name, an operator, else as written."""

    kind: TokenKind
    text: str
    start: int
    """In the text it comes from: the file for `words_of`."""
    end: int

    @property
    def is_name(self) -> bool:
        return self.kind is WORD or self.kind is IDENTIFIER

    def says(self, *texts: str) -> bool:
        """It is one of these keywords or operators."""
        return self.kind is not IDENTIFIER and self.kind is not PARAMETER and self.text in texts


NOTHING = Word(OPERATOR, "", 0, 0)


def words_of(statement: Statement, dialect: Dialect) -> list[Word]:
    """Words of a statement, with their places in the file."""
    words: list[Word] = []
    for part in statement.parts:
        if isinstance(part, Text):
            words += lexed(part.text, dialect, part.offset)
        else:
            words += _slot(part)
    return words


def _slot(slot: Slot) -> Iterator[Word]:
    name = Word(PARAMETER, slot.name, slot.offset, slot.offset + len(slot.name) + 1)
    if slot.negated is None:
        yield name
        return
    place = (slot.offset, slot.offset + 2)
    if slot.negated:
        yield Word(WORD, "not", *place)
    yield Word(WORD, "in", *place)
    yield Word(OPERATOR, "(", *place)
    yield name
    yield Word(OPERATOR, ")", *place)


def lexed(text: str, dialect: Dialect, offset: int = 0) -> list[Word]:
    words: list[Word] = []
    for token in lex(text, dialect).tokens:
        if token.kind in (COMMENT, BLOCK_COMMENT, HINT):
            continue
        written = text[token.start : token.end]
        word = Word(token.kind, _normal(token.kind, token.value, written), token.start + offset, token.end + offset)
        before = words[-1] if words else NOTHING
        if before.kind is OPERATOR and word.kind is OPERATOR and before.end == word.start:
            joined = before.text + word.text
            if joined in _LONGER_OPERATORS:
                words[-1] = Word(OPERATOR, joined, before.start, word.end)
                continue
        words.append(word)
    return words


def _normal(kind: TokenKind, value: str, written: str) -> str:
    if kind is IDENTIFIER:
        quote = written[0]
        inner = written[1:-1]
        return (inner if quote == "[" else inner.replace(quote * 2, quote)).lower()
    return value or written


def at(words: Sequence[Word], index: int) -> Word:
    return words[index] if 0 <= index < len(words) else NOTHING


def closing(words: Sequence[Word], opening: int) -> int:
    """Index of the `)` that closes the `(` at `opening`; the number of words where there is none."""
    depth = 0
    for index in range(opening, len(words)):
        if words[index].says("("):
            depth += 1
        elif words[index].says(")"):
            depth -= 1
            if depth == 0:
                return index
    return len(words)


def opening(words: Sequence[Word], index: int) -> int:
    """Index of the `(` that encloses the word at `index`; -1 where there is none."""
    depth = 0
    for place in range(index - 1, -1, -1):
        if words[place].says(")"):
            depth += 1
        elif words[place].says("("):
            if depth == 0:
                return place
            depth -= 1
    return -1


def split(words: Sequence[Word], start: int, end: int) -> list[tuple[int, int]]:
    """The items between commas of `words[start:end]`, parentheses respected."""
    items = []
    depth, first = 0, start
    for index in range(start, end):
        if words[index].says("("):
            depth += 1
        elif words[index].says(")"):
            depth -= 1
        elif depth == 0 and words[index].says(","):
            items.append((first, index))
            first = index + 1
    return [*items, (first, end)] if end > start else []


def outermost(words: Sequence[Word], start: int, end: int, *texts: str) -> int:
    """Index of the first of these keywords outside of parentheses; `end` where there is none."""
    depth = 0
    for index in range(start, end):
        if words[index].says("("):
            depth += 1
        elif words[index].says(")"):
            depth -= 1
        elif depth == 0 and words[index].says(*texts) and not at(words, index - 1).says("."):
            return index
    return end
