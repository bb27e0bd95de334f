"""Tokens → `query.Statement`: the text to send, in parts, and back: parts → text with an engine's placeholders."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlwright.query import Part, Slot, Statement, Text
from sqlwright.sql.lexer import BLOCK_COMMENT, COMMENT, ESCAPED_COLON, HINT, OPERATOR, PARAMETER, WORD, Token
from sqlwright.sql.structure import Structure, analyse


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text sent, and for every run of it where it begins in the text and in the file."""

    text: str
    sent_starts: tuple[int, ...]
    file_offsets: tuple[int, ...]
    moves: tuple[bool, ...]
    """Whether the run is text of the file, character by character; a placeholder is all one place."""

    def source_offset(self, sent_offset: int) -> int:
        """Where the character at `sent_offset` (from 0) of the text stands in the file."""
        if not self.sent_starts:
            return 0
        run = max(0, bisect_right(self.sent_starts, sent_offset) - 1)
        within = max(0, min(sent_offset, len(self.text)) - self.sent_starts[run])
        return self.file_offsets[run] + (within if self.moves[run] else 0)


def render(statement: Statement, slot: Callable[[Slot], str]) -> Rendered:
    """The statement with what `slot` writes for each use of a parameter.

    A blank stands before every placeholder: `LIMIT:n` sent as `LIMIT$1` would be an alias on PostgreSQL.
    """
    pieces: list[str] = []
    starts: list[int] = []
    offsets: list[int] = []
    moves: list[bool] = []
    length = 0
    for part in statement.parts:
        is_text = isinstance(part, Text)
        if isinstance(part, Text):
            piece = part.text
        else:
            blank = "" if pieces and pieces[-1][-1:].isspace() else " "
            piece = blank + slot(part)
        starts.append(length)
        offsets.append(part.offset)
        moves.append(is_text)
        pieces.append(piece)
        length += len(piece)
    return Rendered("".join(pieces), tuple(starts), tuple(offsets), tuple(moves))


def significant(tokens: Sequence[Token]) -> list[Token]:
    """Without comments and hints: what the database's parser sees on any engine."""
    return [token for token in tokens if token.kind not in (COMMENT, BLOCK_COMMENT, HINT)]


def build(text: str, tokens: Sequence[Token], scalars: Collection[str] = ()) -> tuple[Statement, Structure]:
    """The statement that `tokens` (no `;` at the end, comments among them) make of a file's `text`.

    `scalars` are the parameters whose declared type says that they are no list, so that `IN (:p)` stays as it is.
    """
    matter = significant(tokens)
    structure = analyse(matter)
    main_offset = matter[structure.main].start if structure.main < len(matter) else tokens[-1].end
    lists = _lists(matter, scalars)
    builder = _Builder(text, tokens[0].start)
    main = 0
    for token in tokens:
        if token.start < builder.position:
            continue  # inside the list just written
        if structure.main and token.start == main_offset:
            builder.text_until(token.start)
            main = len(builder.parts)
        if token.start in lists:
            slot, end = lists[token.start]
            builder.replace(token.start, end, slot)
        elif token.kind is PARAMETER:
            builder.replace(token.start, token.end, Slot(token.value, token.start))
        elif token.kind is ESCAPED_COLON:
            builder.replace(token.start, token.start + 1, None)
        elif token.kind is BLOCK_COMMENT:
            # A blank stays, or two words would become one; as the first character of the comment, it has its place.
            builder.replace(token.start, token.end, Text(" ", token.start))
        elif token.kind is COMMENT:
            builder.replace(token.start, token.end, None)
    builder.text_until(tokens[-1].end)
    statement = Statement(
        parts=tuple(builder.parts),
        verb=structure.verb,
        main=main,
        has_returning=structure.has_returning,
        writes_in_cte=structure.writes_in_cte,
        has_order_by=structure.has_order_by,
        has_limit=structure.has_limit,
        is_compound=structure.is_compound,
    )
    return statement, structure


class _Builder:
    def __init__(self, text: str, position: int) -> None:
        self.text = text
        self.position = position
        self.parts: list[Part] = []

    def text_until(self, end: int) -> None:
        if end > self.position:
            self.parts.append(Text(self.text[self.position : end], self.position))
            self.position = end

    def replace(self, start: int, end: int, part: Part | None) -> None:
        self.text_until(start)
        if part is not None:
            self.parts.append(part)
        self.position = end


def _lists(tokens: Sequence[Token], scalars: Collection[str]) -> dict[int, tuple[Slot, int]]:
    """`[NOT] IN (:p)` with exactly one parameter, or PugSQL's `IN :p`: start → its slot and where it ends."""
    found: dict[int, tuple[Slot, int]] = {}
    for index, token in enumerate(tokens[:-1]):
        if token.kind is not WORD or token.value != "in" or _in_position(tokens, index):
            continue
        first, *rest = tokens[index + 1 : index + 4]
        if first.kind is PARAMETER:
            parameter, end = first, first.end
        elif first.value == "(" and len(rest) == 2 and rest[0].kind is PARAMETER and rest[1].value == ")":
            parameter, end = rest[0], rest[1].end
            if parameter.value in scalars:
                continue
        else:
            continue
        before = tokens[index - 1] if index else None
        negated = before is not None and before.kind is WORD and before.value == "not"
        start = before.start if negated and before is not None else token.start
        found[start] = (Slot(parameter.value, start, negated), end)
    return found


def _in_position(tokens: Sequence[Token], index: int) -> bool:
    """The IN at `index` is the one of `position(a IN b)`."""
    depth = 0
    for place in range(index - 1, 0, -1):
        if tokens[place].kind is OPERATOR and tokens[place].value in (")", "("):
            depth += 1 if tokens[place].value == ")" else -1
            if depth < 0:
                return tokens[place - 1].value == "position"
    return False
