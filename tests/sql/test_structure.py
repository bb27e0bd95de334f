"""What the tokens of a statement tell: verb, access, clauses, lists, and where one statement ends."""

from __future__ import annotations

import pytest

from sqlwright.query import Access, Cardinality, Query, Slot, SourceFile, Statement, Text
from sqlwright.sql.dialect import MYSQL, POSTGRESQL, SQLITE, Dialect
from sqlwright.sql.lexer import lex
from sqlwright.sql.query_file import read_queries
from sqlwright.sql.statement import build, render


def _statement(sql: str, dialect: Dialect = POSTGRESQL) -> Statement:
    return build(sql, lex(sql, dialect).tokens)[0]


def _query(sql: str, dialect: Dialect = POSTGRESQL) -> Query:
    (outcome,) = read_queries(SourceFile("q.sql", sql), "", "q", dialect)
    assert outcome.query is not None, "\n".join(map(str, outcome.diagnostics))
    return outcome.query


READS = [
    "SELECT 1",
    "VALUES (1), (2)",
    "TABLE artist",
    "(SELECT 1) UNION ALL (SELECT 2)",
    "((SELECT 1))",
    "WITH a AS (SELECT 1), b (x, y) AS MATERIALIZED (SELECT 2) SELECT * FROM a, b",
    "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n FROM t) SEARCH DEPTH FIRST BY n, m SET o SELECT n FROM t",
    "WITH RECURSIVE t AS (SELECT 1) CYCLE n SET c USING p, u AS NOT MATERIALIZED (SELECT 1) SELECT 1",
    "WITH recursive AS (SELECT 1) SELECT * FROM recursive",
    "WITH a AS (SELECT 1) (SELECT 2)",
    "SELECT 'FOR UPDATE', \"into\" FROM t -- FOR UPDATE",
    "SELECT t.into, t.returning FROM t",
    "SELECT replace(a, 'b', 'c'), update_time FROM t",
    "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u) /* FOR UPDATE */",
    'WITH "delete" AS (SELECT 1) SELECT * FROM "delete"',
]
WRITES = [
    "INSERT INTO t VALUES (1) RETURNING a",
    "WITH a AS (INSERT INTO t VALUES (1) RETURNING a) SELECT * FROM a",
    "WITH a AS (SELECT 1), b AS (WITH c AS (SELECT 1) DELETE FROM t RETURNING a) SELECT * FROM b",
    "(WITH a AS (UPDATE t SET a = 1 RETURNING a) SELECT * FROM a)",
    "WITH a AS (SELECT 1) UPDATE t SET x = 1 RETURNING x",
    "SELECT * FROM t FOR UPDATE",
    "SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED",
    "SELECT * FROM (SELECT * FROM t FOR KEY SHARE) u",
    "SELECT * FROM t LOCK IN SHARE MODE",
    "SELECT a INTO TEMP b FROM t",
    "CALL p()",
    "CREATE TABLE t (a int)",
    "EXPLAIN SELECT 1",
    "-- @write\nSELECT f()",
]


@pytest.mark.parametrize("sql", READS)
def test_reads(sql: str) -> None:
    assert _query(sql).access is Access.READ


@pytest.mark.parametrize("sql", WRITES)
def test_everything_else_writes(sql: str) -> None:
    assert _query(sql).access is Access.WRITE


def test_a_script_is_neither() -> None:
    query = _query("-- :result :script\nCREATE TABLE t (a int); -- c\nSELECT 'x;y' ;\n\n;")
    assert (query.access, query.cardinality) == (Access.SCRIPT, Cardinality.SCRIPT)
    assert render(query.statement, lambda slot: "").text == "CREATE TABLE t (a int); \nSELECT 'x;y'"


@pytest.mark.parametrize(
    ("sql", "verb", "main"),
    [
        ("SELECT 1", "select", "SELECT 1"),
        ("WITH a AS (SELECT :x) INSERT INTO t SELECT * FROM a", "insert", "INSERT INTO t SELECT * FROM a"),
        ("WITH a AS (SELECT 1) /* c */ (SELECT 2)", "select", "(SELECT 2)"),
        ("WITH a AS (SELECT ')' AS \"(\") SELECT 2", "select", "SELECT 2"),
        ("(SELECT 1) UNION SELECT 2", "select", "(SELECT 1) UNION SELECT 2"),
        ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", "merge", None),
    ],
)
def test_the_main_part_stands_behind_the_with_list(sql: str, verb: str, main: str | None) -> None:
    statement = _statement(sql)
    assert statement.verb == verb
    text = "".join(
        part.text if isinstance(part, Text) else ":" + part.name for part in statement.parts[statement.main :]
    )
    assert text == (main or sql)


@pytest.mark.parametrize(
    ("sql", "flags"),
    [
        ("SELECT a FROM t ORDER BY a", "order"),
        ("SELECT a FROM t ORDER BY a LIMIT 5", "order limit"),
        ("SELECT a FROM t ORDER BY a OFFSET :n ROWS", "order limit"),
        ("SELECT a FROM t FETCH FIRST ROW ONLY", "limit"),
        ("SELECT a FROM t FOR UPDATE", "limit"),
        ("SELECT offset, t.limit, x AS offset FROM t WHERE offset > 5 AND fetch = 1", ""),
        ("SELECT a FROM t WHERE a > 1 OFFSET 5", "limit"),
        ("SELECT a FROM (SELECT b FROM t ORDER BY b LIMIT 1) u", ""),
        ("SELECT rank() OVER (ORDER BY a), array_agg(b ORDER BY c), x[(SELECT 1 LIMIT 1)] FROM t", ""),
        ("(SELECT a FROM t ORDER BY a LIMIT 1) UNION (SELECT 2 LIMIT 1)", "compound"),
        ("SELECT 1 UNION SELECT 2 ORDER BY 1", "order compound"),
        ("WITH a AS (SELECT 1 UNION SELECT 2 ORDER BY 1 LIMIT 3) SELECT * FROM a", ""),
        ("SELECT 1 EXCEPT SELECT 2", "compound"),
        ("INSERT INTO t SELECT 1 RETURNING *", "returning"),
        ("INSERT INTO t SELECT json_value(a, '$' RETURNING int)", ""),
        ("WITH a AS (INSERT INTO t VALUES (1) RETURNING b) SELECT * FROM a", "cte"),
        ("SELECT returning FROM t", ""),
    ],
)
def test_clauses_at_the_outermost_level(sql: str, flags: str) -> None:
    statement = _statement(sql)
    found = {
        "order": statement.has_order_by, "limit": statement.has_limit, "compound": statement.is_compound,
        "returning": statement.has_returning, "cte": statement.writes_in_cte,
    }  # fmt: skip
    assert {name for name, holds in found.items() if holds} == set(flags.split())


@pytest.mark.parametrize(
    ("sql", "slots"),
    [
        ("SELECT * FROM t WHERE a IN (:ids)", [("ids", False)]),
        ("SELECT * FROM t WHERE a not\n in(:ids)", [("ids", True)]),
        ("SELECT * FROM t WHERE a IN (:x, :y)", [("x", None), ("y", None)]),
        ("SELECT * FROM t WHERE a IN (:x::int)", [("x", None)]),
        ("SELECT * FROM t WHERE a = ANY(:ids)", [("ids", None)]),
        ("SELECT * FROM t WHERE a IN (SELECT :x)", [("x", None)]),
        ("SELECT * FROM t WHERE a IN (:ids) OR b IN (:ids)", [("ids", False), ("ids", False)]),
        ("-- @param ids int[]\nSELECT * FROM t WHERE a IN (:ids)", [("ids", False)]),
        ("-- @param id int\nSELECT * FROM t WHERE a IN (:id)", [("id", None)]),
        ("SELECT * FROM t WHERE a IN :ids OR b NOT IN:ids", [("ids", False), ("ids", True)]),
        (
            "SELECT position(:a IN :b), position(lower(:a) IN (:b))",
            [("a", None), ("b", None), ("a", None), ("b", None)],
        ),
    ],
)
def test_lists(sql: str, slots: list[tuple[str, bool | None]]) -> None:
    query = _query(sql)
    assert [(part.name, part.negated) for part in query.statement.parts if isinstance(part, Slot)] == slots
    assert [parameter.is_list for parameter in query.parameters] == [slots[0][1] is not None for _ in query.parameters]


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        (SQLITE, "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; DELETE FROM u; END"),
        (SQLITE, "CREATE TEMP TRIGGER IF NOT EXISTS x BEFORE UPDATE OF a ON t WHEN new.a BEGIN SELECT 1; END;"),
        (POSTGRESQL, "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;"),
        (POSTGRESQL, "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; SELECT 2; $$;"),
        (MYSQL, "CREATE PROCEDURE p() BEGIN IF 1 THEN SELECT 1; END IF; CASE 1 WHEN 1 THEN SELECT 2; END CASE; END"),
        (
            MYSQL,
            "CREATE DEFINER = a TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN LOOP SET @a = 1; END LOOP; END;;",
        ),
        (POSTGRESQL, "SELECT ';', \";\", $$;$$ -- ;\n /* ; */ ;;"),
    ],
)
def test_one_statement(dialect: Dialect, sql: str) -> None:
    query = _query(f"-- :result :exec\n{sql}", dialect)
    sent = render(query.statement, lambda slot: "").text
    assert sql.startswith(sent.split(" -- ")[0].split("  ")[0])


def test_what_follows_a_body_is_another_statement() -> None:
    sql = "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END; SELECT 2"
    (outcome,) = read_queries(SourceFile("q.sql", sql), "", "q", SQLITE)
    assert [(d.code, d.column) for d in outcome.diagnostics] == [("second_statement", sql.index("SELECT 2") + 1)]


def test_the_deepest_nesting_is_no_crash() -> None:
    depth = 20_000
    assert _statement("(" * depth + "SELECT 1" + ")" * depth).verb == "select"
