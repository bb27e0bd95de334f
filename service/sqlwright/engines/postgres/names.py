"""Every name that an SQL text can mean: what it may call or read is among them, whatever its grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sqlwright.sql.dialect import POSTGRESQL
from sqlwright.sql.lexer import IDENTIFIER, OPERATOR, PARAMETER, STRING, WORD, Token, lex
from sqlwright.sql.statement import significant
from sqlwright.sql.structure import analyse

_NAME_BYTES_MAX = 63
"""PostgreSQL cuts a longer name, and so takes it for another one."""
_OPERATOR_CHARACTERS = frozenset("+-*/<>=~!@#%^&|`?")
_OF_A_BODY = frozenset({"begin", "atomic", "return", "end"})
_UPPER = re.compile("[A-Z]")


@dataclass(frozen=True, slots=True)
class Names:
    """`called` are those that a parenthesis follows or a dot precedes: `t.f` calls a function, too."""

    words: frozenset[str] = frozenset()
    called: frozenset[str] = frozenset()
    operators: frozenset[str] = frozenset()
    """Runs of operator characters, which may be several operators."""
    legible: bool = True
    """False where the text may mean other names than it shows, or reads a random part of a table."""


@lru_cache(maxsize=1024)
def names_in(text: str) -> Names:
    lexed = lex(text, POSTGRESQL)
    tokens = significant(lexed.tokens)
    words: set[str] = set()
    called: set[str] = set()
    legible = lexed.complete
    for index, token in enumerate(tokens):
        for name in _names(text, token):
            words.add(name)
            if _symbol(tokens, index + 1) == "(" or _symbol(tokens, index - 1) == ".":
                called.add(name)
            if len(name.encode()) > _NAME_BYTES_MAX or name == "tablesample" or _is_unicode_prefix(tokens, index):
                legible = False
    return Names(frozenset(words), frozenset(called), frozenset(_operators(text, tokens)), legible)


def together(found: Iterable[Names]) -> Names:
    all_of = list(found)
    return Names(
        frozenset().union(*(names.words for names in all_of)),
        frozenset().union(*(names.called for names in all_of)),
        frozenset().union(*(names.operators for names in all_of)),
        all(names.legible for names in all_of),
    )


@lru_cache(maxsize=1024)
def only_reads(body: str) -> bool:
    """Whether each statement in the body of a function of LANGUAGE sql is a SELECT that locks nothing."""
    statement: list[Token] = []
    statements = [statement]
    for token in significant(lex(body, POSTGRESQL).tokens):
        if token.kind is OPERATOR and token.value == ";":
            statement = []
            statements.append(statement)
        elif statement or token.kind is not WORD or token.value not in _OF_A_BODY:
            statement.append(token)
        elif token.value == "return":
            statement.append(token._replace(value="select"))
    return all(analyse(statement).reads for statement in statements if statement)


def _names(text: str, token: Token) -> tuple[str, ...]:
    if token.kind is IDENTIFIER:
        return (text[token.start + 1 : token.end - 1].replace('""', '"'),)
    if token.kind is WORD:
        # Beyond ASCII it depends on the database's encoding whether it knows a lower case.
        return (token.value, _UPPER.sub(lambda found: found.group().lower(), text[token.start : token.end]))
    return (token.value,) if token.kind is PARAMETER else ()


def _is_unicode_prefix(tokens: Sequence[Token], index: int) -> bool:
    """The U of `U&"d\\0061ta"`, which spells a name in another way."""
    return (
        tokens[index].value == "u"
        and _symbol(tokens, index + 1) == "&"
        and index + 2 < len(tokens)
        and tokens[index + 2].kind in (IDENTIFIER, STRING)
    )


def _symbol(tokens: Sequence[Token], index: int) -> str:
    return tokens[index].value if 0 <= index < len(tokens) and tokens[index].kind is OPERATOR else ""


def _operators(text: str, tokens: Sequence[Token]) -> Iterable[str]:
    run, end = "", -1
    for token in tokens:
        if token.kind is OPERATOR and text[token.start] in _OPERATOR_CHARACTERS:
            if token.start != end and run:
                yield run
                run = ""
            run += text[token.start : token.end]
            end = token.end
    if run:
        yield run
