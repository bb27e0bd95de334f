"""Headers in three spellings, directives, and every message about a wrong one (golden texts in cases/messages)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqlwright.diagnostic import Diagnostic
from sqlwright.query import Cardinality, Kind, Literal, Parameter, Query, SourceFile, SqlType
from sqlwright.sql.dialect import DIALECTS, MYSQL, POSTGRESQL, SQLITE, Dialect
from sqlwright.sql.header import SIGILS, WORDS
from sqlwright.sql.loader import load_folder
from sqlwright.sql.query_file import read_queries

MESSAGES = Path(__file__).parent.parent / "cases" / "messages"


def _read(sql: str, dialect: Dialect = SQLITE) -> tuple[dict[str, Query], list[Diagnostic]]:
    outcomes = read_queries(SourceFile("q.sql", sql), "", "q", dialect)
    queries = {outcome.query.name: outcome.query for outcome in outcomes if outcome.query}
    return queries, [diagnostic for outcome in outcomes for diagnostic in outcome.diagnostics]


def _one(sql: str, dialect: Dialect = SQLITE) -> Query:
    queries, diagnostics = _read(sql, dialect)
    assert [str(diagnostic) for diagnostic in diagnostics] == []
    (query,) = queries.values()
    return query


def _parameter(line: str, dialect: Dialect = POSTGRESQL) -> Parameter:
    (parameter,) = _one(f"-- @param p {line}\nSELECT :p", dialect).parameters
    return parameter


@pytest.mark.parametrize("dialect", [SQLITE, MYSQL], ids=lambda dialect: dialect.name)
def test_a_slip_in_a_type_is_told_where_people_cannot_make_types(dialect: Dialect) -> None:
    _, (diagnostic,) = _read("-- @param p bolean\nSELECT :p", dialect)
    assert (diagnostic.line, diagnostic.column) == (1, 13)
    assert "did you mean boolean" in diagnostic.hint
    assert _parameter("mood", POSTGRESQL).type == SqlType("mood", Kind.OTHER)
    assert _parameter("inet6", MYSQL).type == SqlType("inet6", Kind.OTHER)


@pytest.mark.parametrize("path", sorted(MESSAGES.glob("*.sql")), ids=lambda path: path.stem)
def test_a_wrong_file_is_told_where_and_how_to_mend_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("queries").mkdir()
    Path("queries", path.name).write_bytes(path.read_bytes())
    variant = path.stem.partition(".")[2]
    loaded = load_folder(Path("queries"), DIALECTS[variant or "sqlite"])
    told = "\n\n".join(map(str, loaded.diagnostics)) + "\n"
    assert told == path.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "header",
    [
        "-- name: get_it", "--name:get_it", "--  name :  get_it", "-- name: get-it", "-- name: get_it()",
        "-- :name get_it",
        "--:name get-it", "-- name: get_it :many", "-- name: get_it(  )  :many  ", "  -- name: get_it",
        "-- :name get_it :*", "-- name: get_it\r",
    ],
)  # fmt: skip
@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda dialect: dialect.name)
def test_headers_in_three_spellings(header: str, dialect: Dialect) -> None:
    query = _one(f"{header}\nSELECT 1", dialect)
    assert (query.name, query.cardinality, query.line) == ("get_it", Cardinality.MANY, 1)


@pytest.mark.parametrize(("written", "cardinality"), [*SIGILS.items(), *((":" + w, c) for w, c in WORDS.items())])
def test_every_sigil_and_word(written: str, cardinality: Cardinality) -> None:
    sql = "INSERT INTO t VALUES (1) RETURNING a"
    expected = Cardinality.RETURNING if cardinality is Cardinality.INSERT else cardinality
    for header in (f"-- name: x {written}", f"-- :name x {written}", f"-- name: x()  {written}"):
        assert _one(f"{header}\n{sql}").cardinality is expected
    if written[0] == ":":
        assert _one(f"-- :result {written}\n{sql}").cardinality is expected
        assert _one(f"--:result {written[1:]}\n{sql}").cardinality is expected
    else:
        assert _one(f"-- name: x{written}\n{sql}").cardinality is expected


@pytest.mark.parametrize(
    ("word", "elsewhere"),
    [("<!", None), (":returning", None), (":insert", Cardinality.EXEC), (":execlastid", Cardinality.EXEC)],
)
def test_an_insert_without_returning_gives_its_key_where_the_engine_tells_it(
    word: str, elsewhere: Cardinality | None
) -> None:
    sql = f"-- name: a {word}\nINSERT INTO t VALUES (1)"
    assert _one(sql, SQLITE).cardinality is Cardinality.INSERT
    assert _one(sql, MYSQL).cardinality is Cardinality.INSERT
    queries, (diagnostic,) = _read(sql, POSTGRESQL)
    assert [query.cardinality for query in queries.values()] == ([elsewhere] if elsewhere else [])
    assert diagnostic.severity == ("warning" if elsewhere else "error")
    assert "RETURNING" in diagnostic.hint


def test_headers_count_only_on_lines_of_their_own_outside_strings_and_bodies() -> None:
    queries, diagnostics = _read(
        "-- name: a\nSELECT '\n-- name: no\n', 1 -- name: no\n;\n/*\n-- name: no\n*/\n"
        "-- name: b!\nCREATE TRIGGER x AFTER INSERT ON t BEGIN\n-- name: no\nSELECT CASE WHEN 1 THEN 2 END;\nEND;\n"
        "-- name: c\nSELECT 1;\n"
    )
    assert not diagnostics
    assert [(name, query.line) for name, query in queries.items()] == [("a", 1), ("b", 9), ("c", 14)]


def test_the_doc_is_what_is_no_directive() -> None:
    query = _one(
        "-- name: a\n--   First line.\n-- @timeout 1m\n--\n-- Second: it's 100%.\n/* Third. */\nSELECT 1 -- no\n;"
    )
    assert query.doc == "First line.\n\nSecond: it's 100%.\nThird."
    assert query.timeout_seconds == 60


def test_directives() -> None:
    query = _one("-- name: a\n-- @timeout 500ms\n--@limit 50  max 500\nSELECT 1")
    assert (query.timeout_seconds, query.page_rows, query.page_rows_max) == (0.5, 50, 500)
    assert _one("-- @write\nSELECT 1").access == "write"
    assert _one("-- @limit 5\nSELECT 1").page_rows_max is None


@pytest.mark.parametrize(
    ("line", "expected", "nullable"),
    [
        ("int", SqlType("int", Kind.INT4), False),
        ("text?", SqlType("text", Kind.TEXT), True),
        ("int[]", SqlType("int", Kind.INT4, True), False),
        ("int[]?", SqlType("int", Kind.INT4, True), True),
        ("numeric(10,2)", SqlType("numeric(10,2)", Kind.NUMERIC, False, 2), False),
        ("numeric( 10 , 2 ) ?", SqlType("numeric(10,2)", Kind.NUMERIC, False, 2), True),
        ("numeric(10)", SqlType("numeric(10)", Kind.NUMERIC, False, 0), False),
        ("timestamp with time zone", SqlType("timestamp with time zone", Kind.TIMESTAMPTZ), False),
        ("timestamp(3) with time zone?", SqlType("timestamp(3) with time zone", Kind.TIMESTAMPTZ), True),
        ("double precision[]", SqlType("double precision", Kind.FLOAT8, True), False),
        ("varchar(20) - a name", SqlType("varchar(20)", Kind.TEXT), False),
        ("public.mood", SqlType("public.mood", Kind.OTHER), False),
    ],
)
def test_types(line: str, expected: SqlType, nullable: bool) -> None:
    parameter = _parameter(line)
    assert (parameter.type, parameter.nullable) == (expected, nullable)


@pytest.mark.parametrize(
    ("line", "default", "nullable"),
    [
        ("int", None, False),
        ("int = 5", Literal("5"), False),
        ("int = -5 - a number", Literal("-5"), False),
        ("int? = null", Literal("null"), True),
        ("= null", Literal("null"), True),
        ("text='it''s'", Literal("it's", quoted=True), False),
        ("text = 'null'", Literal("null", quoted=True), False),
        ("date = 2009-01-01 - from then on", Literal("2009-01-01"), False),
        ("timestamptz = 2009-01-01T00:00:00+00:00", Literal("2009-01-01T00:00:00+00:00"), False),
        ("boolean = true", Literal("true"), False),
        ("numeric = .5", Literal(".5"), False),
        ("= some_word", Literal("some_word"), False),
        ("int[] = 5", Literal("5"), False),
        ("timestamp = '2009-01-01 12:00'", Literal("2009-01-01 12:00", quoted=True), False),
        ("date = '0044-03-15 BC'", Literal("0044-03-15 BC", quoted=True), False),
        ("date = infinity", Literal("infinity"), False),
        ("time = 23:59", Literal("23:59"), False),
        ("json = '{\"a\": 1}'", Literal('{"a": 1}', quoted=True), False),
        ("text = Äh pattern '\\p{L}+'", Literal("Äh"), False),
    ],
)
def test_defaults(line: str, default: Literal | None, nullable: bool) -> None:
    parameter = _parameter(line)
    assert (parameter.default, parameter.nullable) == (default, nullable)


def test_rules_and_description() -> None:
    parameter = _parameter(
        "text = USA in (USA, 'New York', Côte_d.Or) len 1 .. 20 pattern '[A-Z''].*' - where - it goes"
    )
    assert [literal.text for literal in parameter.rules.allowed] == ["USA", "New York", "Côte_d.Or"]
    assert (parameter.rules.length_min, parameter.rules.length_max) == (1, 20)
    assert parameter.rules.pattern == "[A-Z'].*"
    assert parameter.doc == "where - it goes"
    parameter = _parameter("date min 2009-01-01 max '2010-01-01'")
    assert (parameter.rules.minimum, parameter.rules.maximum) == ("2009-01-01", "2010-01-01")
    parameter = _parameter("min -1 max 1e3")
    assert (parameter.type, parameter.rules.minimum, parameter.rules.maximum) == (None, "-1", "1e3")


def test_sqlite_knows_a_slip_in_a_type_from_a_type() -> None:
    queries, (diagnostic,) = _read("-- @param p bolean\nSELECT :p", SQLITE)
    assert not queries
    assert "boolean" in diagnostic.hint
    assert _parameter("unsigned big int", SQLITE).type is not None


def test_messages_count_lines_and_columns_in_characters() -> None:
    _, (diagnostic,) = _read("-- 漢字\r\nSELECT '😀é',\t? \r\n")
    assert (diagnostic.line, diagnostic.column, diagnostic.source) == (2, 14, "SELECT '😀é',\t? ")
    assert str(diagnostic).splitlines()[2].endswith("|             \t^")


def test_a_wrong_result_word_is_told_once() -> None:
    _, diagnostics = _read("-- name: a :execute\nDELETE FROM t")
    assert [diagnostic.code for diagnostic in diagnostics] == ["header"]


def test_one_wrong_query_leaves_the_others_of_its_file() -> None:
    queries, diagnostics = _read("-- name: a\nSELECT ?;\n-- name: b\nSELECT 1;\n-- name: c\n-- @foo\nSELECT 1;")
    assert list(queries) == ["b"]
    assert [(d.code, d.line) for d in diagnostics] == [("native_parameter", 2), ("unknown_directive", 6)]


def test_the_number_of_messages_is_bounded() -> None:
    _, diagnostics = _read("SELECT " + "?, " * 100_000 + "1")
    assert 1 <= len(diagnostics) <= 50
    assert sum(len(diagnostic.source) for diagnostic in diagnostics) < 100_000


_LINES = st.sampled_from(
    """
    -- name: a|-- name: b(x)^|-- :name c :one|-- name:|-- @param x int = 5 - d|-- @param|-- @if x|-- @end|-- @timeout 2s
    |-- @sort a|-- :result :exec|/* @if x */|/* name: y */|-- doc|;|(|)|SELECT :x|SELECT 'a|' -- b|/*|*/|WITH a AS (
    |INSERT INTO t VALUES (:x) RETURNING y|IN (:x)|CREATE TRIGGER t BEGIN|END;|ORDER BY 1|LIMIT :n|FOR UPDATE|[|]|$$
    |E'\\'|# @if x|\\:|?|\0|\r|-- @write|-- @flag x|TABLE|INTO|:p.q
    """.replace("\n    ", "").split("|")
)


@given(
    st.lists(_LINES, max_size=12),
    st.sampled_from(list(DIALECTS.values())),
    st.sampled_from(["\n", "\r\n", " ", "\n  "]),
)
@settings(max_examples=100, deadline=None)
def test_any_file_gives_queries_or_messages(lines: list[str], dialect: Dialect, separator: str) -> None:
    """Each query of a file is either there or wrong with at least one error; places are inside the file."""
    text = separator.join(lines)
    outcomes = read_queries(SourceFile("q.sql", text), "", "q", dialect)
    for outcome in outcomes:
        errors = [diagnostic for diagnostic in outcome.diagnostics if diagnostic.severity == "error"]
        if outcome.name is not None:
            assert (outcome.query is None) == bool(errors)
        for diagnostic in outcome.diagnostics:
            assert 1 <= diagnostic.line <= text.count("\n") + 1
            assert 1 <= diagnostic.column <= len(diagnostic.source) + 1
            assert diagnostic.message
            assert diagnostic.hint


def test_files_of_other_tools_load_unchanged() -> None:
    aiosql = """-- Blog queries, see aiosql's documentation.

-- name: get_all_blogs
-- Fetch all fields for every blog in the database.
select * from blogs;

-- name: publish-blog(userid, title, content)<!
insert into blogs (userid, title, content) values (:userid, :title, :content) returning blogid, title;

-- name: bulk_publish*!
insert into blogs (userid, title) values (:userid, :title);

-- name: create_schema#
create table users (userid integer not null primary key);
create table blogs (blogid integer not null primary key, published date not null default '2018-01-01');

-- name: count_blogs$
select count(*) from blogs;
"""
    pugsql = """-- :name find_user :one
select * from users where user_id = :user_id;

-- :name upsert_user :insert
insert into users (user_id) values (:user_id);

-- :name delete_users
-- :result :affected
delete from users where username in (:names);
"""
    sqlc = """-- name: GetAuthor :one
SELECT * FROM authors
WHERE id = :id LIMIT 1;

-- name: DeleteAuthor :exec
DELETE FROM authors
WHERE id = :id;
"""
    found = {}
    for text in (aiosql, pugsql, sqlc):
        queries, diagnostics = _read(text)
        assert not diagnostics
        found |= {name: str(query.cardinality) for name, query in queries.items()}
    assert found == {
        "get_all_blogs": "many", "publish_blog": "returning", "bulk_publish": "bulk", "create_schema": "script",
        "count_blogs": "value", "find_user": "one", "upsert_user": "insert", "delete_users": "exec",
        "GetAuthor": "one", "DeleteAuthor": "exec",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "level"),
    [
        ("serializable", "serializable"),
        ("repeatable_read", "repeatable_read"),
        ("Repeatable  Read", "repeatable_read"),
        ("READ COMMITTED", "read_committed"),
    ],
)
def test_isolation_is_spelled_as_in_the_interfaces_or_as_in_sql(written: str, level: str) -> None:
    assert _one(f"-- @isolation {written}\nSELECT 1").isolation == level
    assert _one("SELECT 1").isolation is None
