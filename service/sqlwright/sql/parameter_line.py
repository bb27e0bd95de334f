"""`-- @param NAME [TYPE] [optional] [= LITERAL] {RULE} [- text]`, read from left to right."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NoReturn

from sqlwright.query import Kind, Literal, Parameter, Rules, SqlType
from sqlwright.sql.dialect import Dialect, bare_type
from sqlwright.sql.literals import check_rules
from sqlwright.sql.report import Report, near

_BLANKS = re.compile(r"[ \t]*+")
_NAME = re.compile(r"[^\W\d][\w-]*+")
_TYPE_WORD = re.compile(r'(?:[^\W\d][\w$]*+|"[^"]++")(?:\.(?:[^\W\d][\w$]*+|"[^"]++"))*+')
_TYPE_LENGTH = re.compile(r"[ \t]*+\(([ \t]*+\d++[ \t]*+(?:,[ \t]*+-?\d++[ \t]*+)?+)\)")
_ARRAY = re.compile(r"[ \t]*+\[[ \t]*+\d*+[ \t]*+\]")
_NUMBER = re.compile(r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?(?![\w.:-])")
_STRING = re.compile(r"'((?:[^']|'')*+)'")
_BAREWORD = re.compile(r"[\w.:+][\w.:+-]*+")
_NEGATIVE = re.compile(r"-[\w.][\w.:+-]*+")
_LENGTHS = re.compile(r"(\d++)[ \t]*+\.\.[ \t]*+(\d++)")
_MOMENTS = frozenset([Kind.DATE, Kind.TIME, Kind.TIMETZ, Kind.TIMESTAMP, Kind.TIMESTAMPTZ])
_DESCRIPTION = re.compile(r"-(?:[ \t]|$)")
_RULE_WORDS = ("in", "min", "max", "len", "pattern")
_TYPES_OF_SEVERAL_WORDS = frozenset(
    ["bit varying", "varying character", "native character", "long varchar", "unsigned big int", "int unsigned",
     "bigint unsigned", "smallint unsigned", "tinyint unsigned", "national character varying"]
)  # fmt: skip
_SLIPS = {
    "default": "a default follows `=`: `-- @param top int = 10`",
    "not null": "null is refused unless a ? follows the type: `-- @param note text?`",
    "null": "a ? behind the type allows null: `-- @param note text?`",
    "required": "a parameter without a default is required",
    "list": "a list is written `int[]`",
}
"""What people write into a `@param` line, as in other languages."""
_TYPE_ENDS = frozenset(["optional", *_RULE_WORDS])


class _Stop(Exception):
    pass


def parse_parameter(line: str, start: int, offset: int, dialect: Dialect, report: Report) -> Parameter | None:
    """What `line[start:]`, the text after `@param`, says; `offset` is where `line` stands. None after an error."""
    reader = _Reader(line, start, offset, dialect, report)
    errors = report.errors
    try:
        parameter = reader.read()
    except _Stop:
        return None
    return parameter if report.errors == errors else None


class _Reader:
    def __init__(self, line: str, start: int, offset: int, dialect: Dialect, report: Report) -> None:
        self.line = line.rstrip()
        self.position = start
        self.offset = offset
        self.dialect = dialect
        self.report = report

    def read(self) -> Parameter:
        name = self._take(_NAME)
        if name is None:
            hint = "write `-- @param artist_id int - the artist's key`"
            if self._at(":"):
                hint = f"its name stands here without the colon: `-- @param {self.line[self.position + 1 :]}`"
            self._stop("`-- @param` names no parameter", hint)
        name_at = self.position - len(name)
        sql_type, nullable = self._type()
        default, default_at = self._optional_and_default(name, sql_type)
        if default is not None and default.is_null and sql_type is None:
            nullable = True
        rules = self._rules(sql_type)
        doc = self._description()
        parameter = Parameter(
            name.replace("-", "_"), sql_type, nullable, default, rules, doc, offset=self.offset + name_at
        )
        for message, hint in check_rules(parameter):
            self.report.error(
                "param", self.offset + (default_at or name_at), message, hint, 1 if default_at else len(name)
            )
        return parameter

    # --- small steps --------------------------------------------------------------------------------------------

    def _skip(self) -> None:
        self.position = _BLANKS.match(self.line, self.position).end()  # type: ignore[union-attr] # matches empty text

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        self._skip()
        match = pattern.match(self.line, self.position)
        if match is None:
            return None
        self.position = match.end()
        return match.group()

    def _word(self) -> str:
        """The word that comes next, not taken."""
        self._skip()
        match = _TYPE_WORD.match(self.line, self.position)
        return match.group() if match else ""

    def _at(self, text: str) -> bool:
        self._skip()
        return self.line.startswith(text, self.position)

    def _stop(self, message: str, hint: str, length: int = 1) -> NoReturn:
        self.report.error("param", self.offset + min(self.position, len(self.line)), message, hint, length)
        raise _Stop

    # --- parts of the line --------------------------------------------------------------------------------------

    def _type(self) -> tuple[SqlType | None, bool]:
        self._skip()
        begin = self.position
        words: list[str] = []
        length = ""
        while (word := self._word()) and word.lower() not in _TYPE_ENDS:
            words.append(word)
            self.position += len(word)
            if match := _TYPE_LENGTH.match(self.line, self.position):
                length = "".join(match.group(1).split())
                words[-1] += f"({length})"
                self.position = match.end()
        if not words:
            return None, False
        array = False
        while match := _ARRAY.match(self.line, self.position):
            array, self.position = True, match.end()
        nullable = self._at("?")
        self.position += nullable
        name = " ".join(words)
        kind = self.dialect.kind(name)
        self._check_type(name, kind, begin)
        scale = None
        if kind is Kind.NUMERIC and length:
            scale = int(length.split(",")[1]) if "," in length else 0
        return SqlType(name, kind, array, scale, self.dialect.bounds.get(bare_type(name))), nullable

    def _check_type(self, name: str, kind: Kind, begin: int) -> None:
        """A type that the dialect does not know may be one that people made, but then it is one word."""
        bare = " ".join(re.sub(r"\([^)]*\)", " ", name.lower()).split())
        several_words = " " in bare and not bare.startswith("interval ")
        if bare in self.dialect.types or bare in _TYPES_OF_SEVERAL_WORDS:
            return
        # Affinity makes NUMERIC of any word, so a slip would go unseen.
        others = self.dialect.other_types
        slipped = (self.dialect.affinity and kind is Kind.NUMERIC) or (others is not None and bare not in others)
        if not several_words and not slipped:
            return
        self.position = begin
        hint = near(bare, self.dialect.types)
        if several_words:
            hint = "a description follows `- `: `-- @param NAME TYPE - description`"
            hint = next((mend for slip, mend in _SLIPS.items() if f" {slip}" in bare), hint)
        self._stop(
            f"{name!r} is no type of {self.dialect.name}", hint or "try int, numeric, text, boolean, date …", len(name)
        )

    def _optional_and_default(self, name: str, sql_type: SqlType | None) -> tuple[Literal | None, int]:
        optional_at = -1
        if self._word().lower() == "optional":
            optional_at = self.position
            self.position += len("optional")
        default, default_at = None, 0
        if self._at("="):
            self.position += 1
            self._skip()
            default_at = self.position
            default = self._literal("a default")
            if self._word().lower() == "optional":
                optional_at = self.position
                self.position += len("optional")
        if optional_at >= 0 and default is not None:
            message = f"{name} is optional and has a default, so it is never absent"
            self.position = optional_at
            self._stop(message, "keep one of the two", len("optional"))
        if optional_at >= 0:
            hint = f"give it a default: `-- @param {' '.join(filter(None, [name, str(sql_type or '')]))} = …`"
            at = self.offset + optional_at
            self.report.error("not_supported", at, "`optional` is not yet supported", hint, len("optional"))
        return default, default_at

    def _literal(self, what: str) -> Literal:
        self._skip()
        if self._at("'"):
            match = _STRING.match(self.line, self.position)
            if match is None:
                self._stop("this string is never closed", "add the closing '")
            self.position = match.end()
            return Literal(match.group(1).replace("''", "'"), quoted=True)
        text = self._take(_NUMBER) or (None if self._at("- ") else self._take(_NEGATIVE) or self._take(_BAREWORD))
        if text is None:
            self._stop(f"{what} is missing here", "a number, 'text', true, false, null, or a word without blanks")
        assert text is not None
        return Literal(text)

    def _rules(self, sql_type: SqlType | None) -> Rules:
        rules = Rules()
        seen: set[str] = set()
        while (word := self._word().lower()) in _RULE_WORDS:
            if word in seen:
                self._stop(f"the rule {word!r} stands here twice", "keep one of the two", len(word))
            seen.add(word)
            self.position += len(word)
            rules = self._rule(word, rules, sql_type)
        return rules

    def _rule(self, word: str, rules: Rules, sql_type: SqlType | None) -> Rules:
        if word == "in":
            return replace(rules, allowed=self._choices())
        if word == "len":
            self._skip()
            match = _LENGTHS.match(self.line, self.position)
            if match is None:
                self._stop("`len` needs two lengths", "write `len 1..20`")
            self.position = match.end()
            return replace(rules, length_min=int(match.group(1)), length_max=int(match.group(2)))
        if word == "pattern":
            if not self._at("'"):
                self._stop("`pattern` needs a regular expression in quotes", "write `pattern '[A-Z]{2}'`")
            return replace(rules, pattern=self._literal("a pattern").text)
        number = self._take(_NUMBER)
        if number is None and sql_type is not None and sql_type.kind in _MOMENTS:
            number = self._literal("a bound").text
        if number is None:
            self._stop(f"`{word}` needs a number", f"write `{word} 1`")
        return replace(rules, minimum=number) if word == "min" else replace(rules, maximum=number)

    def _choices(self) -> tuple[Literal, ...]:
        if not self._at("("):
            self._stop("`in` needs the allowed values in parentheses", "write `in (a, b, c)`")
        self.position += 1
        choices: list[Literal] = []
        while True:
            choices.append(self._literal("a value"))
            if self._at(")"):
                self.position += 1
                return tuple(choices)
            if not self._at(","):
                self._stop("a , or ) is missing here", "quote values with blanks: `in ('New York', Paris)`")
            self.position += 1

    def _description(self) -> str:
        self._skip()
        rest = self.line[self.position :]
        if not rest:
            return ""
        if _DESCRIPTION.match(rest) is None:
            word = rest.split()[0]
            misplaced = word.lower() in ("optional", "=") or self._word() == "optional"
            hint = "the order is NAME TYPE = DEFAULT rules - description" if misplaced else (
                near(word, [*_RULE_WORDS, "optional"]) or "a description follows `- `"
            )  # fmt: skip
            if word[0] == ":":
                hint = "no colon after the name: `-- @param NAME TYPE - description`"
            elif word[0] == "(":
                hint = "a length is closed by `)`; allowed values follow `in`: `-- @param status text in (open, paid)`"
            self._stop(f"{word!r} is not understood here", hint, len(word))
        return rest[1:].strip()
