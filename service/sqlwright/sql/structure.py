"""What the tokens of one statement tell: its verb, where its main part begins, whether it reads or writes, how it ends.

Functions here take the tokens that matter (no comments, no hints) of one statement without its `;`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlwright.sql.lexer import IDENTIFIER, NUMBER, OPERATOR, PARAMETER, STRING, WORD, Token

READING_VERBS = frozenset(["select", "values", "table"])
CHANGING_VERBS = frozenset(["insert", "update", "delete", "merge", "replace"])
"""They give no rows without RETURNING."""

_LOCKS = (("update",), ("share",), ("no", "key", "update"), ("key", "share"))
_CLAUSES = frozenset(
    ["except", "fetch", "for", "intersect", "into", "limit", "lock", "offset", "order", "returning", "union"]
)
_COMPOUND = frozenset(["union", "intersect", "except"])
_NO_OFFSET_CLAUSE_AFTER = frozenset(
    [
        "select",
        "distinct",
        "all",
        "as",
        "where",
        "by",
        "and",
        "or",
        "not",
        "on",
        "having",
        "set",
        "when",
        "then",
        "else",
    ]
)


@dataclass(frozen=True, slots=True)
class Structure:
    """See `query.Statement` for the meaning of most; `main` is an index of a token here."""

    verb: str
    main: int = 0
    has_returning: bool = False
    writes_in_cte: bool = False
    has_order_by: bool = False
    has_limit: bool = False
    is_compound: bool = False
    locks: bool = False
    selects_into: bool = False

    @property
    def reads(self) -> bool:
        return self.verb in READING_VERBS and not (self.writes_in_cte or self.locks or self.selects_into)


def analyse(tokens: Sequence[Token]) -> Structure:
    main, writes_in_cte = _with_list(tokens)
    verb, nested_writes = _verb(tokens, main)
    clauses = [index for index, token in enumerate(tokens) if token.value in _CLAUSES]
    outer = [index for index in _outermost(tokens, main) if tokens[index].value in _CLAUSES]
    return Structure(
        verb=verb,
        main=main,
        has_returning=verb in CHANGING_VERBS and any(_is_clause(tokens, i, "returning") for i in outer),
        writes_in_cte=writes_in_cte or nested_writes,
        has_order_by=any(_is_clause(tokens, i, "order") and _word(tokens, i + 1) == "by" for i in outer),
        has_limit=any(_is_limit(tokens, i) or _is_lock(tokens, i) for i in outer),
        is_compound=any(_word(tokens, i) in _COMPOUND for i in outer),
        locks=any(_is_lock(tokens, i) for i in clauses),
        selects_into=verb in READING_VERBS and any(_is_clause(tokens, i, "into") for i in clauses),
    )


def closing(tokens: Sequence[Token], opening: int) -> int:
    """Index of the `)` that closes the `(` at `opening`; the last index where there is none."""
    depth = 0
    for index in range(opening, len(tokens)):
        if tokens[index].kind is OPERATOR:
            if tokens[index].value == "(":
                depth += 1
            elif tokens[index].value in (")", "operator()"):
                depth -= 1
                if depth == 0:
                    return index
    return len(tokens) - 1


def _word(tokens: Sequence[Token], index: int) -> str:
    """The word at `index`, or ''."""
    if 0 <= index < len(tokens) and tokens[index].kind is WORD:
        return tokens[index].value
    return ""


def _symbol(tokens: Sequence[Token], index: int) -> str:
    if 0 <= index < len(tokens) and tokens[index].kind is OPERATOR:
        return tokens[index].value
    return ""


def _is_clause(tokens: Sequence[Token], index: int, word: str) -> bool:
    """`word` stands at `index`, and not as the name of a column (`t.returning`)."""
    return _word(tokens, index) == word and _symbol(tokens, index - 1) != "."


def _verb(tokens: Sequence[Token], start: int) -> tuple[str, bool]:
    """The first word of the statement from `start` on, behind parentheses too, and whether a WITH in there writes."""
    index = start
    while _symbol(tokens, index) == "(":
        index += 1
    if index > start and _word(tokens, index) == "with":
        inner = tokens[index : closing(tokens, index - 1)]
        main, writes = _with_list(inner)
        verb, nested = _verb(inner, main)
        return verb, writes or nested
    return _word(tokens, index), False


def _with_list(tokens: Sequence[Token]) -> tuple[int, bool]:
    """Where the statement begins after its leading WITH list (0 without one), and whether a CTE changes data."""
    if _word(tokens, 0) != "with":
        return 0, False
    index = 2 if _word(tokens, 1) == "recursive" and _word(tokens, 2) != "as" else 1
    writes = False
    while index < len(tokens):
        index += 1  # the name
        if _symbol(tokens, index) == "(":
            index = closing(tokens, index) + 1
        while _word(tokens, index) in ("as", "not", "materialized"):
            index += 1
        if _symbol(tokens, index) != "(":
            break
        end = closing(tokens, index)
        writes = writes or _changes(tokens[index + 1 : end])
        index = _after_search_and_cycle(tokens, end + 1)
        if _symbol(tokens, index) != ",":
            break
        index += 1
    return min(index, len(tokens)), writes


def _changes(body: Sequence[Token]) -> bool:
    main, writes = _with_list(body)
    verb, nested = _verb(body, main)
    return writes or nested or verb in CHANGING_VERBS


def _after_search_and_cycle(tokens: Sequence[Token], index: int) -> int:
    """Behind PostgreSQL's `SEARCH … SET name` and `CYCLE … USING name`."""
    for opening, last in (("search", "set"), ("cycle", "using")):
        if _word(tokens, index) == opening:
            while index < len(tokens) and _word(tokens, index) != last:
                index += 1
            index += 2
    return index


def _outermost(tokens: Sequence[Token], start: int) -> list[int]:
    """Indexes from `start` on that stand outside all parentheses and brackets."""
    found: list[int] = []
    depth = 0
    for index in range(start, len(tokens)):
        token = tokens[index]
        if token.kind is OPERATOR and token.value in ("(", "["):
            depth += 1
        elif token.kind is OPERATOR and token.value in (")", "]", "operator()"):
            depth -= 1
        elif depth == 0:
            found.append(index)
    return found


def _is_lock(tokens: Sequence[Token], index: int) -> bool:
    word = _word(tokens, index)
    if word == "for":
        return any(all(_word(tokens, index + 1 + i) == expected for i, expected in enumerate(lock)) for lock in _LOCKS)
    return word == "lock" and [_word(tokens, index + i) for i in (1, 2, 3)] == ["in", "share", "mode"]


def _is_limit(tokens: Sequence[Token], index: int) -> bool:
    if _is_clause(tokens, index, "limit"):
        return True
    if _word(tokens, index) == "fetch":
        return _word(tokens, index + 1) in ("first", "next")
    if _word(tokens, index) != "offset" or index == 0 or index + 1 >= len(tokens):
        return False
    # A column may be called offset: the clause stands after an operand and before one.
    before, after = tokens[index - 1], tokens[index + 1]
    follows_operand = before.kind is not OPERATOR or before.value in (")", "]", "*")
    follows_operand = follows_operand and _word(tokens, index - 1) not in _NO_OFFSET_CLAUSE_AFTER
    is_operand = after.kind in (NUMBER, PARAMETER, STRING, IDENTIFIER) or _symbol(tokens, index + 1) in ("(", "-", "+")
    return follows_operand and (is_operand or _word(tokens, index + 1) not in ("", "from", "as", "in", "is", "between"))
