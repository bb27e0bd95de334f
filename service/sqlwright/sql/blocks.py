"""One file's tokens → blocks: a header, the comments under it, and the SQL up to the next header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlwright.sql.header import is_header
from sqlwright.sql.lexer import BLOCK_COMMENT, COMMENT, HINT, OPERATOR, WORD, Token

_ROUTINES = frozenset(["trigger", "function", "procedure", "event"])
_ROUTINE_WITHIN_WORDS = 12
"""CREATE OR REPLACE DEFINER = x TEMPORARY … TRIGGER: the kind of thing created is said early."""
_ENDED_BY_TWO_WORDS = frozenset(["if", "loop", "while", "repeat"])


@dataclass(slots=True)
class Block:
    """`tokens` begin with the first one of the SQL and hold its comments and `;` too."""

    header: Token | None
    comments: list[Token] = field(default_factory=list)
    """Between the header and the SQL."""
    tokens: list[Token] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    """Indexes of the `;` that end statements."""
    body_open_at: int | None = None
    """Where a BEGIN stands that nothing ends."""

    @property
    def offset(self) -> int:
        if self.header is not None:
            return self.header.start
        first = next((t for t in self.tokens if t.kind is not COMMENT and t.kind is not BLOCK_COMMENT), None)
        return first.start if first is not None else 0

    def statements(self) -> list[list[Token]]:
        """Tokens of each statement, without its `;` and the comments around it; empty ones are left out."""
        found: list[list[Token]] = []
        begin = 0
        for end in [*self.ends, len(self.tokens)]:
            statement = without_outer_comments(self.tokens[begin:end])
            begin = end + 1
            if any(token.kind is not HINT for token in statement):
                found.append(statement)
        return found

    def script(self) -> list[Token]:
        """All statements as one text, without the `;` at its end."""
        tokens = without_outer_comments(self.tokens)
        while tokens and tokens[-1].kind is OPERATOR and tokens[-1].value == ";":
            tokens = without_outer_comments(tokens[:-1])
        return tokens

    @property
    def is_terminated(self) -> bool:
        """A `;` stands behind the last statement."""
        return not without_outer_comments(self.tokens[self.ends[-1] + 1 if self.ends else 0 :])


def without_outer_comments(tokens: Sequence[Token]) -> list[Token]:
    begin, end = 0, len(tokens)
    while begin < end and tokens[begin].kind in (COMMENT, BLOCK_COMMENT):
        begin += 1
    while end > begin and tokens[end - 1].kind in (COMMENT, BLOCK_COMMENT):
        end -= 1
    return list(tokens[begin:end])


def begins_line(text: str, offset: int) -> bool:
    """Only blanks stand before `offset` on its line."""
    while offset and text[offset - 1] in " \t\r\f\v":
        offset -= 1
    return offset == 0 or text[offset - 1] == "\n"


def split(text: str, tokens: Sequence[Token]) -> list[Block]:
    """The blocks of a file. The first has no header: it is a headerless file's whole, else what stands above."""
    block = Block(None)
    blocks = [block]
    body = _Body()
    for token in tokens:
        if token.kind is COMMENT or token.kind is BLOCK_COMMENT:
            if (
                token.kind is COMMENT
                and not body.depth
                and is_header(text[token.start : token.end])
                and begins_line(text, token.start)
            ):
                block, body = Block(token), _Body()
                blocks.append(block)
            else:
                (block.tokens if block.tokens else block.comments).append(token)
            continue
        block.tokens.append(token)
        body.feed(token)
        if token.value == ";" and not body.depth and token.kind is OPERATOR:
            block.ends.append(len(block.tokens) - 1)
            body = _Body()
    if body.depth:
        block.body_open_at = body.opened_at
    return blocks


class _Body:
    """Follows BEGIN … END of CREATE TRIGGER and of routines, inside which `;` ends no statement of ours."""

    __slots__ = ("after_end", "creates", "depth", "opened_at", "previous", "words")

    def __init__(self) -> None:
        self.depth = 0
        self.opened_at = 0
        self.words = 0
        self.creates: bool | None = None
        """Whether it creates a routine; None while that is open."""
        self.after_end = False
        self.previous = ""

    def feed(self, token: Token) -> None:
        if self.creates is False:
            return
        word = token.value if token.kind is WORD and self.previous != "." else ""
        self.previous = token.value
        if self.creates is None:
            self._decide(word)
        elif self.depth or self.after_end:
            self._inside(word)
        elif word == "begin":
            self.depth, self.opened_at = 1, token.start

    def _decide(self, word: str) -> None:
        self.words += 1
        if (self.words == 1 and word != "create") or self.words > _ROUTINE_WITHIN_WORDS:
            self.creates = False
        elif word in _ROUTINES:
            self.creates = True

    def _inside(self, word: str) -> None:
        if self.after_end:
            self.after_end = False
            if word in _ENDED_BY_TWO_WORDS:
                self.depth += 1  # END IF ends what was not counted
            if word in _ENDED_BY_TWO_WORDS or word == "case":
                return
        if word in ("begin", "case"):
            self.depth += 1
        elif word == "end":
            self.depth -= 1
            self.after_end = True
