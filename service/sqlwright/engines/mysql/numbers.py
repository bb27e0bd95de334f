"""Where a number must not be sent as a number: MariaDB compares a text with a number as numbers, and every text that
does not begin with digits is 0, so `lower(token) = 0` finds every row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlwright.engines.inference.parameters import COMPARES
from sqlwright.engines.inference.words import Word, at
from sqlwright.query import Kind, Query, SqlType
from sqlwright.sql.lexer import NUMBER, PARAMETER


def uses_as_text(query: Query, words: Sequence[Word], types: Mapping[str, SqlType]) -> frozenset[int]:
    """Uses of parameters without a type, from 0, that are compared with something that may be text.

    A number that goes as text is still compared as a number with a number.
    """
    untyped = {p.name for p in query.parameters if (p.type is None or p.type.kind is Kind.ANY) and p.name not in types}
    uses = [index for index, word in enumerate(words) if word.kind is PARAMETER]
    return frozenset(
        number for number, index in enumerate(uses) if words[index].text in untyped and _is_compared(words, index)
    )


def _is_compared(words: Sequence[Word], index: int) -> bool:
    before, after = at(words, index - 1), at(words, index + 1)
    if after.says(*COMPARES, "between", "in"):
        return not _is_number(at(words, index + 2))
    if after.says("not") and at(words, index + 2).says("between", "in"):
        return not _is_number(at(words, index + 3))
    if before.says("when"):
        return True
    if before.says("between", *COMPARES):
        return not _is_number(at(words, index - 2))
    if before.says("and"):
        return at(words, index - 3).says("between") and not _is_number(at(words, index - 4))
    place = index
    while at(words, place - 1).says(",") and at(words, place - 2).kind in (PARAMETER, NUMBER):
        place -= 2
    return at(words, place - 1).says("(") and at(words, place - 2).says("in")


def _is_number(word: Word) -> bool:
    """Two parameters compared with each other are compared as what they are."""
    return word.kind is NUMBER or word.kind is PARAMETER
