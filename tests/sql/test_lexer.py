"""Which `:name` is a parameter, and that no text is ever changed. The cases are in cases/lexing.json."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlwright.query import Slot, Statement
from sqlwright.sql.dialect import DIALECTS, MYSQL, POSTGRESQL, SQLITE, Dialect
from sqlwright.sql.lexer import IDENTIFIER, PARAMETER, STRING, TokenKind, lex
from sqlwright.sql.statement import build, render

CASES = json.loads((Path(__file__).parent.parent / "cases" / "lexing.json").read_text(encoding="utf-8"))


def _statement(sql: str, dialect: Dialect) -> Statement:
    lexed = lex(sql, dialect)
    assert not lexed.faults
    return build(sql, lexed.tokens)[0]


def _colon(slot: Slot) -> str:
    return f"IN (:{slot.name})" if slot.is_list else ":" + slot.name


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['dialect']}: {case['sql']}"[:70])
def test_parameters_are_found(case: dict[str, object]) -> None:
    lexed = lex(str(case["sql"]), DIALECTS[str(case["dialect"])])
    found = list(dict.fromkeys(token.value for token in lexed.tokens if token.kind is PARAMETER))
    assert found == case["parameters"]
    assert lexed.faults == []
    assert lexed.complete


@pytest.mark.parametrize(
    ("dialect", "sql", "offset"),
    [
        (POSTGRESQL, "SELECT 'a, :b", 7),
        (POSTGRESQL, "SELECT 'it''s", 7),
        (POSTGRESQL, "SELECT E'a\\', :b", 7),
        (POSTGRESQL, "SELECT U&'a", 9),
        (POSTGRESQL, 'SELECT 1, "a', 10),
        (POSTGRESQL, "SELECT $$ a", 7),
        (POSTGRESQL, "SELECT $x$ a $$ $y$", 7),
        (POSTGRESQL, "SELECT 1 /* /* */", 9),
        (SQLITE, "SELECT [a", 7),
        (SQLITE, "SELECT `a", 7),
        (MYSQL, "SELECT 'a\\'", 7),
        (MYSQL, "SELECT 1 /* a", 9),
    ],
)
def test_what_is_never_closed_is_an_error_at_its_opening(dialect: Dialect, sql: str, offset: int) -> None:
    lexed = lex(sql, dialect)
    assert [(fault.code, fault.offset) for fault in lexed.faults] == [("unterminated", offset)]
    assert not lexed.complete


@pytest.mark.parametrize(
    ("dialect", "sql", "code", "hint"),
    [
        (POSTGRESQL, "SELECT $1", "native_parameter", "write :name"),
        (SQLITE, "SELECT ?", "native_parameter", "write :name"),
        (SQLITE, "SELECT ?12", "native_parameter", "write :name"),
        (SQLITE, "SELECT @x", "native_parameter", "write :x"),
        (SQLITE, "SELECT $x", "native_parameter", "write :x"),
        (MYSQL, "SELECT ?", "native_parameter", "write :name"),
        (POSTGRESQL, "SELECT sqlc.arg(artist)", "sqlc_call", "write :artist"),
        (POSTGRESQL, "SELECT sqlc.narg('artist')", "sqlc_call", "write :artist"),
        (POSTGRESQL, "SELECT :p.name", "parameter_attribute", "write :p_name"),
        (POSTGRESQL, "SELECT :'name'", "parameter_name", "write : and a name"),
        (SQLITE, "SELECT :1", "parameter_name", "write : and a name"),
        (POSTGRESQL, "SELECT /*+ a(:b) */ 1", "parameter_in_hint", "passed on"),
        (MYSQL, "SELECT /*! @b */ 1", "parameter_in_hint", "passed on"),
        (MYSQL, "SELECT /*M! :b */ 1", "parameter_in_hint", "passed on"),
        (POSTGRESQL, "SELECT 1 -- a\rb\n", "carriage_return", "LF"),
        (POSTGRESQL, "SELECT 1\0", "nul", "remove"),
    ],
)
def test_what_is_refused_says_what_to_write(dialect: Dialect, sql: str, code: str, hint: str) -> None:
    (fault,) = lex(sql, dialect).faults
    assert fault.code == code
    assert hint in fault.hint


@pytest.mark.parametrize(
    ("sql", "sent"),
    [
        ("SELECT a/* c */b", "SELECT a b"),
        ("SELECT a -- c\n, b", "SELECT a \n, b"),
        ("SELECT 1 -- c", "SELECT 1 "),
        ("SELECT a</* c */-1", "SELECT a< -1"),
        ("LIMIT:n", "LIMIT :n"),
        ("SELECT :a::int", "SELECT :a::int"),
        ("SELECT a\\:\\:int", "SELECT a::int"),
        ("SELECT /*+ h */ 1 /*! x */", "SELECT /*+ h */ 1 /*! x */"),
        ("SELECT 1 WHERE a NOT  IN ( /* c */ :ids)AND b", "SELECT 1 WHERE a IN (:ids)AND b"),
    ],
)
def test_what_is_sent(sql: str, sent: str) -> None:
    assert render(_statement(sql, POSTGRESQL), _colon).text.rstrip() == sent.rstrip()


def test_a_place_in_the_sent_text_leads_back_to_the_file() -> None:
    sql = "SELECT /* comment */ a, -- more\n :longname + missing FROM t WHERE b IN (:ids) AND wrong"
    rendered = render(_statement(sql, POSTGRESQL), lambda slot: "= ANY($2)" if slot.is_list else "$1")
    for word in ("SELECT", "a,", "+", "missing", "FROM", "wrong"):
        assert rendered.source_offset(rendered.text.index(word)) == sql.index(word)
    assert rendered.source_offset(rendered.text.index("$1") + 1) == sql.index(":longname")
    assert rendered.source_offset(rendered.text.index("ANY")) == sql.index("IN (")
    assert rendered.source_offset(10_000) == len(sql)


# --- properties ---------------------------------------------------------------------------------------------------

_ANY_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
_TROUBLE = st.text(st.sampled_from("'\"`:abc-/*#$\\;[]() \n?@"), max_size=12)
_CONTENT = st.one_of(_ANY_TEXT, _TROUBLE)


def _quoted(text: str, quote: str) -> str:
    return quote + text.replace(quote, quote * 2) + quote


@given(st.sampled_from([POSTGRESQL, SQLITE]), st.lists(_CONTENT, max_size=4), _TROUBLE)
@settings(max_examples=100, deadline=None)
def test_text_in_strings_never_changes(dialect: Dialect, texts: list[str], comment: str) -> None:
    comment = comment.replace("\n", " ")
    literals = [_quoted(text, "'") for text in texts] + [_quoted("i" + text, '"') for text in texts]
    sql = f"SELECT :first, {', '.join(literals) or '1'} -- {comment}\n, :last"
    lexed = lex(sql, dialect)
    sent = render(build(sql, lexed.tokens)[0], _colon).text
    again = lex(sent, dialect)

    def quoted(kinds: tuple[TokenKind, ...], text: str, tokens: list) -> list[str]:  # type: ignore[type-arg]
        return [text[token.start : token.end] for token in tokens if token.kind in kinds]

    assert quoted((STRING, IDENTIFIER), sql, lexed.tokens) == literals
    assert quoted((STRING, IDENTIFIER), sent, again.tokens) == literals
    assert [token.value for token in again.tokens if token.kind is PARAMETER] == ["first", "last"]


@given(
    st.text(max_size=60) | st.text(st.sampled_from("'\"$a:[](;-/*\\\n ?@#E"), max_size=60),
    st.sampled_from(list(DIALECTS.values())),
)
@settings(max_examples=100, deadline=None)
def test_any_text_is_lexed_whole(text: str, dialect: Dialect) -> None:
    """Tokens are in order, do not overlap, and only blanks stand between them."""
    position = 0
    lexed = lex(text, dialect)
    for token in lexed.tokens:
        assert not text[position : token.start].strip(" \t\r\n\f\v")
        assert token.end > token.start >= position
        position = token.end
    if lexed.complete:
        assert not text[position:].strip(" \t\r\n\f\v")
    else:
        assert lexed.faults


_PIECE = st.one_of(
    st.tuples(st.just("literal"), _CONTENT),
    st.tuples(st.just("parameter"), _CONTENT),
    st.tuples(st.just("identifier"), _CONTENT),
    st.tuples(st.just("integer"), st.integers(0, 1 << 62).map(str)),
)
_NOISE = st.one_of(
    st.just(" "), st.just("\r\n\t"),
    _TROUBLE.map(lambda text: "/*" + text.replace("*", "").replace("/", "") + " */"),
    _TROUBLE.map(lambda text: "--" + text.replace("\n", "") + "\n"),
)  # fmt: skip


@given(st.lists(st.tuples(_NOISE, _PIECE), min_size=1, max_size=8))
@settings(max_examples=100, deadline=None)
def test_the_statement_sent_means_what_the_file_says(pieces: list[tuple[str, tuple[str, str]]]) -> None:
    """On a real SQLite: every column of a SELECT made of literals, names and parameters gives what was written."""
    columns, names, values, expected = [], [], {}, []
    for number, (noise, (kind, text)) in enumerate(pieces):
        if kind == "literal":
            columns.append(noise + _quoted(text, "'"))
        elif kind == "identifier":
            name = f"i{number}{text}"
            names.append(f"{number} AS {_quoted(name, chr(34))}")
            columns.append(noise + _quoted(name, '"'))
        elif kind == "integer":
            columns.append(noise + text)
        else:
            values[f"p{number}"] = text
            columns.append(f"{noise}:p{number}")
        expected.append({"identifier": number, "integer": int(text) if kind == "integer" else 0}.get(kind, text))
    source = f" FROM (SELECT {', '.join(names)})" if names else ""
    sql = f"SELECT{','.join(' ' + column for column in columns)}{source}"
    order: list[str] = []

    def placeholder(slot: Slot) -> str:
        order.append(slot.name)
        return "?"

    sent = render(_statement(sql, SQLITE), placeholder).text
    connection = sqlite3.connect(":memory:")
    try:
        (row,) = connection.execute(sent, [values[name] for name in order]).fetchall()
    finally:
        connection.close()
    assert list(row) == expected


@pytest.fixture(scope="module")
def postgresql_row(postgresql_server: str) -> Iterator[Callable[[str, Sequence[str]], list[object]]]:
    """Runs a statement on one open connection."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(postgresql_server, statement_cache_size=0))
        yield lambda sql, values: list(runner.run(connection.fetchrow(sql, *values)))
        runner.run(connection.close())


_SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: _quoted(text, "'"),
    "escapes": lambda text: "E" + _quoted(text.replace("\\", "\\\\"), "'"),
    "escaped quotes": lambda text: "e'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
    "continued": lambda text: "E'' -- ' :no\n '' \n '" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
    "unicode": lambda text: "U&" + _quoted(text.replace("\\", "\\\\"), "'"),
    "dollar": lambda text: f"$q_1${text}$q_1$",
}
_POSTGRESQL_NOISE = st.sampled_from(["", " ", "/* a /* ' */ :no \" $$ */", "-- ' :no $$ /*\r\n", "/*+ ' */"])


@given(
    st.lists(
        st.tuples(_POSTGRESQL_NOISE, st.sampled_from(["parameter", *_SPELLINGS]), _CONTENT), min_size=1, max_size=8
    )
)
@settings(max_examples=100, deadline=None)
def test_the_statement_sent_means_what_the_file_says_on_postgresql(
    postgresql_row: Callable[[str, Sequence[str]], list[object]], pieces: list[tuple[str, str, str]]
) -> None:
    columns, values = [], {}
    for number, (noise, spelling, text) in enumerate(pieces):
        if spelling == "parameter":
            values[f"p{number}"] = text
            columns.append(f"{noise}:p{number}::text{noise}")
        else:
            columns.append(f"{noise} {_SPELLINGS[spelling](text)}{noise}")
    sql = f"SELECT {', '.join(columns)}, (ARRAY[1,2,3])[:lo::int:2]::text"
    order: list[str] = []

    def placeholder(slot: Slot) -> str:
        order.append(slot.name)
        return f"${len(order)}"

    sent = render(_statement(sql, POSTGRESQL), placeholder).text
    given_values = [values.get(name, 1) for name in order]
    assert postgresql_row(sent, given_values) == [*(text for _, _, text in pieces), "{1,2}"]
