"""SQL text → tokens, by the lexical facts of a dialect. A hand-written scanner: one small anchored pattern per token.

The scanner decides one thing of ours: which `:name` is a parameter. It is none inside a quoted token or a comment, as
part of `::` or `:=`, and after an operand, where the colon belongs to a slice or to JSON_OBJECT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from sqlwright.sql.dialect import Dialect


class TokenKind(Enum):
    WORD = "word"
    NUMBER = "number"
    STRING = "string"
    IDENTIFIER = "identifier"
    PARAMETER = "parameter"
    OPERATOR = "operator"
    ESCAPED_COLON = "escaped colon"
    COMMENT = "comment"
    BLOCK_COMMENT = "block comment"
    HINT = "hint"


WORD, NUMBER, STRING, IDENTIFIER, PARAMETER, OPERATOR, ESCAPED_COLON, COMMENT, BLOCK_COMMENT, HINT = TokenKind


class Token(NamedTuple):
    """`text[start:end]` of a file. `value`: a word in lower case, a parameter's name, an operator; else empty."""

    kind: TokenKind
    start: int
    end: int
    value: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong at an offset; the loader makes a Diagnostic of it."""

    code: str
    offset: int
    message: str
    hint: str = ""
    length: int = 1


@dataclass(frozen=True, slots=True)
class Lexed:
    """Blanks are no tokens; comments and hints are. `complete` is False when the text ends inside a token."""

    tokens: list[Token]
    faults: list[Fault]
    complete: bool


# What every database calls a blank. Others (a no-break space) are letters of an identifier to them.
_BLANKS = re.compile(r"[ \t\r\n\f\v]*+")
_WORD = re.compile(r"[A-Za-z_\x80-\U0010ffff][\w$\x80-\U0010ffff]*+")
_NUMBER = re.compile(r"0[xXoObB][0-9a-fA-F_]++|(?:\d[\d_]*+(?:\.(?!\.)[\d_]*+)?|\.\d[\d_]*+)(?:[eE][+-]?\d++)?")
_NAME = re.compile(r"[^\W\d]\w*+")
_LINE_REST = re.compile(r"[^\n]*+")
_OURS_WITHOUT_BLANK = re.compile(r"--(?:name[ \t]*+:|:name[ \t]|:result[ \t]|@[a-z])")
SWALLOWED_HEADER = re.compile(r"\n[ \t]*+--[ \t]*+(?:name[ \t]*+:|:name[ \t])")
_DOLLAR_TAG = re.compile(r"\$(?:[A-Za-z_\x80-\U0010ffff][\w\x80-\U0010ffff]*+)?\$")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_NATIVE = {"?": re.compile(r"\?\d*+"), "$": re.compile(r"\$\w++"), "@": re.compile(r"@[^\W\d]\w*+")}
_NATIVE_NUMBERED = re.compile(r"\$\d++")
_HINT_PARAMETER = re.compile(r"(?<![:\w]):[^\W\d]\w*+|@")
_SQLC_CALL = re.compile(r"sqlc\s*+\.\s*+(?:n?arg|slice|embed)\s*+\(\s*+'?\"?(\w*+)[^)]*+\)?", re.IGNORECASE)

_OPERAND_AFTER = frozenset(
    """
    all and any as asc between by case collate cross desc distinct div else escape except exists fetch filter from
    full glob group having ilike in inner intersect interval into is isnull join lateral left like limit match mod
    natural not notnull offset on or order outer over overlaps partition regexp returning right rlike rows select
    set similar some symmetric then to union using values when where window with xor zone
    """.split()  # noqa: SIM905 -- eighty quoted words would fill a page
)
"""Keywords after which an operand begins, so that a colon there begins a parameter even inside `[ ]`."""


@lru_cache(maxsize=16)
def _quoted(quote: str, backslash: bool) -> re.Pattern[str]:
    """A quoted token in which the quote is doubled, or also escaped by a backslash. Possessive: it never re-reads."""
    if backslash:
        return re.compile(rf"{quote}[^{quote}\\]*+(?:(?:\\.|{quote}{quote})[^{quote}\\]*+)*+{quote}", re.DOTALL)
    return re.compile(rf"{quote}[^{quote}]*+(?:{quote}{quote}[^{quote}]*+)*+{quote}")


def lex(text: str, dialect: Dialect) -> Lexed:
    """All tokens of a file, in order. Faults do not stop the scanner, but for a token that is never closed."""
    scanner = _Scanner(text, dialect)
    scanner.run()
    return Lexed(scanner.tokens, scanner.faults, scanner.complete)


class _Scanner:
    def __init__(self, text: str, dialect: Dialect) -> None:
        self.text = text
        self.dialect = dialect
        self.position = 0
        self.tokens: list[Token] = []
        self.faults: list[Fault] = []
        self.complete = True
        self.previous: Token | None = None
        """The last token that is no comment."""
        self.open_brackets: list[str] = []
        self.escapes_continue_from = -1
        """Where an E'' string ended: a string after it, on another line, belongs to it."""

    def run(self) -> None:
        text, end = self.text, len(self.text)
        quotes = self.dialect.string_quotes
        identifier_quotes = self.dialect.identifier_quotes
        while True:
            position = _BLANKS.match(text, self.position).end()  # type: ignore[union-attr] # matches empty text too
            if position >= end:
                return
            self.position = position
            character = text[position]
            if character.isalpha() or character == "_" or character >= "\x80":
                self._word()
            elif character.isdigit() or (character == "." and text[position + 1 : position + 2].isdigit()):
                match = _NUMBER.match(text, position)
                self._add(NUMBER, match.end() if match else position + 1)
            elif character in quotes:
                self._string(character)
            elif character in identifier_quotes:
                self._closed(IDENTIFIER, _quoted(character, False), position, "identifier")
            elif not self._comment(character):
                self._symbol(character)

    def _add(self, kind: TokenKind, end: int, value: str = "") -> None:
        token = Token(kind, self.position, end, value)
        self.tokens.append(token)
        self.position = end
        if kind is not COMMENT and kind is not BLOCK_COMMENT and kind is not HINT:
            self.previous = token

    def _fault(self, code: str, offset: int, message: str, hint: str = "", length: int = 1) -> None:
        self.faults.append(Fault(code, offset, message, hint, length))

    def _never_closed(self, what: str, hint: str) -> None:
        self._fault("unterminated", self.position, f"this {what} is never closed", hint)
        self.position = len(self.text)
        self.complete = False

    def _closed(self, kind: TokenKind, pattern: re.Pattern[str], quote_at: int, what: str) -> None:
        match = pattern.match(self.text, quote_at)
        if match is None:
            quote = self.text[quote_at]
            self._never_closed(f"quoted {what}", f"add the closing {quote} ({quote}{quote} is one inside it)")
        else:
            self._add(kind, match.end())

    def _word(self) -> None:
        match = _WORD.match(self.text, self.position)
        assert match is not None
        value = match.group().lower()
        following = self.text[match.end() : match.end() + 1]
        if following == "'" and match.group() in self.dialect.escape_string_prefixes:
            self._closed(STRING, _quoted("'", True), match.end(), "string")
            self.escapes_continue_from = self.position
            return
        if value == "sqlc" and (call := _SQLC_CALL.match(self.text, self.position)):
            name = call.group(1) or "name"
            length = call.end() - self.position
            self._fault("sqlc_call", self.position, "sqlc's functions are not known here", f"write :{name}", length)
        self._add(WORD, match.end(), value)

    def _string(self, quote: str) -> None:
        backslash = self.dialect.backslash_in_strings
        if not backslash and self.escapes_continue_from >= 0:
            backslash = self._continues_escapes()
        self._closed(STRING, _quoted(quote, backslash), self.position, "string")
        self.escapes_continue_from = self.position if backslash and self.dialect.escape_string_prefixes else -1

    def _continues_escapes(self) -> bool:
        """PostgreSQL: strings with a newline between them are one; only line comments may stand there too."""
        if self.previous is None or self.previous.end != self.escapes_continue_from:
            return False
        since = [token for token in self.tokens[-8:] if token.start >= self.escapes_continue_from]
        blank = self.text[self.escapes_continue_from : self.position]
        return "\n" in blank and all(token.kind is COMMENT for token in since)

    # --- comments -----------------------------------------------------------------------------------------------

    def _comment(self, character: str) -> bool:
        """Scan a comment if one begins here."""
        text, position = self.text, self.position
        if character == "-" and text.startswith("--", position):
            if self.dialect.dash_comment_needs_blank and text[position + 2 : position + 3] > " ":
                # MySQL: 1--1 is a subtraction. A header without its blank is still one; it is never sent.
                at_line_start = text[position - 1 : position] in ("", "\n")
                if not (at_line_start and _OURS_WITHOUT_BLANK.match(text, position)):
                    return False
            self._line_comment()
        elif character == "#" and self.dialect.hash_comments:
            self._line_comment()
        elif character == "/" and text.startswith("/*", position):
            self._block_comment()
        else:
            return False
        return True

    def _line_comment(self) -> None:
        match = _LINE_REST.match(self.text, self.position)
        assert match is not None
        comment = match.group().rstrip("\r")
        if "\r" in comment:
            offset = self.position + comment.index("\r")
            self._fault(
                "carriage_return", offset, "a carriage return without a line feed in a comment",
                "end lines with LF or CRLF: databases disagree on where this comment ends",
            )  # fmt: skip
        self._add(COMMENT, self.position + len(comment))

    def _block_comment(self) -> None:
        text, start = self.text, self.position
        depth, position = 1, start + 2
        while depth:
            edge = _COMMENT_EDGE.search(text, position)
            if edge is None:
                # SQLite accepts it, but a query that disappears in it was not meant to.
                if self.dialect.open_comment_at_end and not SWALLOWED_HEADER.search(text, position):
                    return self._add(BLOCK_COMMENT, len(text))
                return self._never_closed("comment", "add the closing */")
            position = edge.end()
            if edge.group() == "*/":
                depth -= 1
            elif self.dialect.nested_comments:
                depth += 1
        if not text.startswith(("/*+", "/*!", "/*M!"), start):
            return self._add(BLOCK_COMMENT, position)
        for found in _HINT_PARAMETER.finditer(text[start:position]):
            self._fault(
                "parameter_in_hint", start + found.start(), f"{found.group()} stands inside a hint",
                "a /*+ */, /*! */ or /*M! */ comment is passed on as it is: no parameter and no @ can stand in it",
                len(found.group()),
            )  # fmt: skip
        return self._add(HINT, position)

    # --- the rest -----------------------------------------------------------------------------------------------

    def _symbol(self, character: str) -> None:
        text, position = self.text, self.position
        if character == ":":
            self._colon()
        elif character in "([":
            if character == "[" and self.dialect.bracket_identifiers:
                end = text.find("]", position)
                if end < 0:
                    self._never_closed("quoted identifier", "add the closing ]")
                else:
                    self._add(IDENTIFIER, end + 1)
                return
            is_operator_name = self.previous is not None and self.previous.value == "operator"
            self.open_brackets.append("operator(" if is_operator_name else character)
            self._add(OPERATOR, position + 1, character)
        elif character in ")]":
            opened = self.open_brackets.pop() if self.open_brackets else ""
            # OPERATOR(schema.+) is an operator, so an operand follows it.
            self._add(OPERATOR, position + 1, "operator()" if opened == "operator(" else character)
        elif character == "$" and self.dialect.dollar_quotes and (tag := _DOLLAR_TAG.match(text, position)):
            end = text.find(tag.group(), tag.end())
            if end < 0:
                self._never_closed("dollar-quoted string", f"add the closing {tag.group()}")
            else:
                self._add(STRING, end + len(tag.group()))
        elif character == "\\" and text.startswith("\\:", position):
            self._add(ESCAPED_COLON, position + 2)
        elif character == "\0":
            self._fault("nul", position, "a NUL character", "remove it: databases end the statement there")
            self._add(OPERATOR, position + 1, character)
        else:
            if character in self.dialect.native_parameters:
                self._native_parameter(character)
            self._add(OPERATOR, position + 1, character)

    def _native_parameter(self, character: str) -> None:
        numbered = character == "$" and self.dialect.dollar_quotes
        pattern = _NATIVE_NUMBERED if numbered else _NATIVE[character]
        if match := pattern.match(self.text, self.position):
            written = match.group()
            name = written[1:] if written[1:2].isalpha() else "name"
            message = f"{written} is a placeholder of the database; parameters have names here"
            self._fault("native_parameter", self.position, message, f"write :{name}", len(written))

    def _colon(self) -> None:
        text, position = self.text, self.position
        if text.startswith(("::", ":="), position):
            return self._add(OPERATOR, position + 2, text[position : position + 2])
        name = _NAME.match(text, position + 1)
        if self._after_operand():
            return self._add(OPERATOR, position + 1, ":")
        if name is not None:
            return self._parameter(name)
        following = text[position + 1 : position + 2]
        in_brackets = bool(self.open_brackets) and self.open_brackets[-1] == "["
        after_name = self.previous is not None and (
            self.previous.kind is IDENTIFIER
            or (self.previous.kind is WORD and self.previous.value not in _OPERAND_AFTER)
        )
        if following and following in "'\"0123456789" and not in_brackets and not after_name:
            self._fault("parameter_name", position, f":{following} begins no parameter", "write : and a name", 2)
        return self._add(OPERATOR, position + 1, ":")

    def _parameter(self, name: re.Match[str]) -> None:
        following = self.text[name.end() : name.end() + 2]
        if following[:1] == "." and (following[1:].isalpha() or following[1:] == "_"):
            attribute = _NAME.match(self.text, name.end() + 1)
            assert attribute is not None
            whole = f":{name.group()}.{attribute.group()}"
            hint = f"write :{name.group()}_{attribute.group()}"
            self._fault("parameter_attribute", self.position, f"{whole}: a parameter has no parts", hint, len(whole))
        self._add(PARAMETER, name.end(), name.group())

    def _after_operand(self) -> bool:
        previous = self.previous
        if previous is None:
            return False
        if previous.kind in (STRING, NUMBER) or (previous.kind is OPERATOR and previous.value in (")", "]")):
            return True
        if not self.open_brackets or self.open_brackets[-1] != "[":
            return False
        if previous.kind is WORD:
            return previous.value not in _OPERAND_AFTER
        return previous.kind in (IDENTIFIER, PARAMETER)
