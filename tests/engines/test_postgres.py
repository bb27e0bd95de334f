"""The PostgreSQL engine on a real server: what is described, what is sent, what comes back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from postgres_client import EXEC, MANY, ONE, READ, RETURNING, VALUE, WRITE, Client, make_query
from sqlwright.errors import CheckViolation, InvalidValue, LockTimeout, MoreThanOneRow, QueryInvalid, StatementFailed
from sqlwright.query import Kind, Result, SqlType, Window


@pytest.fixture
async def client(postgresql_url: str) -> AsyncIterator[Client]:
    client = Client(postgresql_url, lock_timeout_seconds=0.3)
    await client.database.open()
    yield client
    await client.database.close()


SCHEMA = """
CREATE TABLE shelf (id int PRIMARY KEY, name text NOT NULL UNIQUE, size int CHECK (size > 0));
CREATE TABLE book (id int PRIMARY KEY, shelf_id int REFERENCES shelf ON DELETE RESTRICT, title varchar(20));
INSERT INTO shelf SELECT n, 'shelf ' || n, n FROM generate_series(1, 5) n;
"""


@pytest.fixture
async def shop(client: Client) -> Client:
    await client.script(SCHEMA)
    return client


# --- describe ----------------------------------------------------------------------------------------------------


async def test_types_come_from_the_context_and_columns_from_the_statement(shop: Client) -> None:
    query = make_query("SELECT id, name, size::numeric AS size FROM shelf WHERE id = :id AND name IN (:names)")
    description = await shop.describe(query)
    assert description.types == {
        "id": SqlType("integer", Kind.INT4),
        "names": SqlType("text", Kind.TEXT, array=True),
    }
    assert [(c.name, c.type.kind) for c in description.columns] == [
        ("id", Kind.INT4),
        ("name", Kind.TEXT),
        ("size", Kind.NUMERIC),
    ]


async def test_a_declared_type_helps_where_the_context_says_nothing_or_something_else(client: Client) -> None:
    moment = SqlType("timestamptz", Kind.TIMESTAMPTZ)
    query = make_query(
        "SELECT :a AS a, :b + :b AS b, num_nonnulls(:c) AS c", a=moment, b=SqlType("int", Kind.INT4), c=moment
    )
    description = await client.describe(query)
    assert {name: type.kind for name, type in description.types.items()} == {
        "a": Kind.TIMESTAMPTZ,
        "b": Kind.INT4,
        "c": Kind.TIMESTAMPTZ,
    }
    result = await client.result(query, "infinity", 4, None)
    assert json.loads(result.json) == {"a": "infinity", "b": 8, "c": 0}


async def test_a_use_that_tells_nothing_takes_its_type_from_another(shop: Client) -> None:
    optional = """SELECT id FROM shelf WHERE (:name IS NULL OR name = :name) AND (:low IS NULL OR size >= :low)
        AND (:ids IS NULL OR id = ANY(:ids)) ORDER BY id"""
    query = make_query(optional)
    types = (await shop.describe(query)).types
    assert {name: str(type) for name, type in types.items()} == {"name": "text", "low": "integer", "ids": "integer[]"}
    assert len(await shop.rows(optional, None, None, None)) == 5
    assert await shop.rows(optional, None, 3, [1, 3, 4]) == [{"id": 3}, {"id": 4}]
    assert await shop.rows(optional, "shelf 2", None, None) == [{"id": 2}]


async def test_types_that_asyncpg_cannot_read_do_not_matter(shop: Client) -> None:
    await shop.script("CREATE EXTENSION hstore; CREATE TABLE bag (id int, h hstore)")
    insert = make_query("INSERT INTO bag VALUES (:id, :h) RETURNING bag AS whole, h", RETURNING, WRITE)
    assert json.loads((await shop.result(insert, 1, '"a"=>"b"')).json) == {
        "whole": {"id": 1, "h": {"a": "b"}},
        "h": {"a": "b"},
    }
    pair = make_query("SELECT :whole::bag AS whole, ARRAY[:whole]::bag[] AS two", ONE)
    assert json.loads((await shop.result(pair, '(2,"a=>c")')).json)["whole"] == {"id": 2, "h": {"a": "c"}}


async def test_own_types_keep_their_names_and_domains_get_the_kind_of_their_base(client: Client) -> None:
    await client.script(
        "CREATE TYPE mood AS ENUM ('sad', 'so so'); CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0);"
        'CREATE DOMAIN tags AS text[]; CREATE SCHEMA "Odd"; CREATE TYPE "Odd"."T t" AS (a int, b text);'
        'CREATE TABLE t (m mood, ms mood[], c cents, cs cents[], g tags, o "Odd"."T t")'
    )
    insert = make_query("INSERT INTO t VALUES (:m, :ms, :c, :cs, :g, :o)", EXEC, WRITE)
    types = (await client.describe(insert)).types
    assert {name: (str(type), type.kind) for name, type in types.items()} == {
        "m": ("mood", Kind.OTHER),
        "ms": ("mood[]", Kind.OTHER),
        "c": ("cents", Kind.INT8),
        "cs": ("cents[]", Kind.INT8),
        "g": ("text[]", Kind.TEXT),
        "o": ('"Odd"."T t"', Kind.OTHER),
    }
    await client.result(insert, "so so", ["sad", None], 5, [1, None], ["a", 'b"\\,{}'], '(1,"x ""y""")')
    assert await client.rows("SELECT * FROM t") == [
        {"m": "so so", "ms": ["sad", None], "c": 5, "cs": [1, None], "g": ["a", 'b"\\,{}'], "o": {"a": 1, "b": 'x "y"'}}
    ]
    with pytest.raises(CheckViolation):
        await client.result(insert, None, None, -5, None, None, None)
    with pytest.raises(InvalidValue):
        await client.result(insert, "glad", None, None, None, None, None)


@pytest.mark.parametrize(
    ("sql", "points_at", "says"),
    [
        ("SELECT a,\n  nowhere FROM (SELECT 1 AS a) t", "nowhere", "nowhere"),
        ("SELECT *\nFROM missing", "missing", "missing"),
        ("SELECT :p::int FROM\n (SELECT 1) a WHEER", "WHEER", "WHEER"),
        ("SELECT num_nonnulls(:what)", ":what", "parameter :what"),
        ("SELECT 1 AS twin, 2 AS b, 3 AS twin", "SELECT", "twin"),
        ("SELECT 'ü', nowhere", "nowhere", "nowhere"),
        ("COPY pg_class TO STDOUT", "COPY", "stream"),
    ],
)
async def test_a_refused_statement_is_shown_in_its_file(client: Client, sql: str, points_at: str, says: str) -> None:
    with pytest.raises(QueryInvalid) as refused:
        await client.describe(make_query(sql))
    found = refused.value.diagnostic
    assert found is not None
    assert found.source[found.column - 1 :].startswith(points_at)
    assert says in found.message
    assert says not in str(refused.value)


async def test_a_type_that_the_statement_cannot_take_is_named_with_its_line(shop: Client) -> None:
    query = make_query("SELECT * FROM shelf WHERE size = :size AND name = :size", size=SqlType("point", Kind.OTHER))
    with pytest.raises(QueryInvalid):
        await shop.describe(query)
    query = make_query("SELECT * FROM shelf WHERE size = :size", size=SqlType("date", Kind.DATE))
    with pytest.raises(QueryInvalid) as refused:
        await shop.describe(query)
    assert "@param size date" in refused.value.diagnostic.hint  # type: ignore[union-attr]


async def test_two_types_for_one_parameter_ask_for_a_declaration(shop: Client) -> None:
    with pytest.raises(QueryInvalid) as refused:
        await shop.describe(make_query("INSERT INTO shelf VALUES (:x, :x)", EXEC, WRITE))
    hint = refused.value.diagnostic.hint  # type: ignore[union-attr]
    assert "integer versus text" in hint
    assert "-- @param x type" in hint


async def test_a_statement_without_rows_must_not_promise_them(shop: Client) -> None:
    with pytest.raises(QueryInvalid) as refused:
        await shop.describe(make_query("UPDATE shelf SET size = 3", MANY, WRITE))
    assert "RETURNING" in refused.value.diagnostic.hint  # type: ignore[union-attr]


async def test_trouble_while_describing_is_not_the_files_fault(shop: Client) -> None:
    async with shop.database.lease(WRITE) as lease:
        await lease.raw_connection.execute("BEGIN; LOCK TABLE shelf IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(LockTimeout):
            await shop.describe(make_query("SELECT * FROM shelf"))
    assert len(await shop.rows("SELECT * FROM shelf")) == 5


# --- compile -----------------------------------------------------------------------------------------------------


def test_without_a_description_the_plain_statement_is_shown() -> None:
    engine = Client("postgresql://localhost/x").engine
    program = engine.compile(make_query("SELECT * FROM t WHERE a = :a AND b NOT IN (:b) AND c=:a LIMIT:n"))
    assert program.sql == "SELECT * FROM t WHERE a = $1 AND b <> ALL ($2) AND c= $1 LIMIT $3"
    assert program.order == ("a", "b", "n")


# --- results -----------------------------------------------------------------------------------------------------


async def test_every_cardinality_of_a_read(shop: Client) -> None:
    assert await shop.rows("SELECT id FROM shelf WHERE id > :low ORDER BY id", 3) == [{"id": 4}, {"id": 5}]
    one = make_query("SELECT id FROM shelf WHERE id = :id", ONE)
    assert (await shop.result(one, 2)).json == b'{"id":2}'
    assert await shop.result(one, 9) == Result()
    with pytest.raises(MoreThanOneRow):
        await shop.result(make_query("SELECT id FROM shelf", ONE))
    assert await shop.value("SELECT name, id FROM shelf ORDER BY id DESC") == "shelf 5"
    assert await shop.value("SELECT name FROM shelf WHERE id = 9") is None
    assert await shop.value("SELECT NULL::int") is None
    assert (await shop.result(make_query("SELECT 1 FROM shelf", EXEC))).affected == 5


async def test_every_cardinality_of_a_write(shop: Client) -> None:
    assert await shop.execute("UPDATE shelf SET size = size + :n WHERE id <= 3", 1) == 3
    assert await shop.execute("INSERT INTO shelf VALUES (:id, :name, NULL)", 6, "six") == 1
    assert await shop.execute("DELETE FROM shelf WHERE id = :id RETURNING *", 6) == 1
    bigger = "UPDATE shelf SET size = size + 1 WHERE id >= :low RETURNING id, size"
    assert await shop.rows(bigger, 4, access=WRITE) == [{"id": 4, "size": 5}, {"id": 5, "size": 6}]
    assert json.loads((await shop.result(make_query(bigger, RETURNING, WRITE), 5)).json) == {"id": 5, "size": 7}
    assert (await shop.result(make_query(bigger, RETURNING, WRITE), 99)).count == 0
    assert await shop.value("DELETE FROM shelf WHERE id = 5 RETURNING name", access=WRITE) == "shelf 5"


async def test_a_second_row_undoes_the_write(shop: Client) -> None:
    twice = "UPDATE shelf SET size = 99 RETURNING id"
    for cardinality in (ONE, RETURNING, VALUE):
        with pytest.raises(MoreThanOneRow):
            await shop.result(make_query(twice, cardinality, WRITE))
    assert await shop.value("SELECT max(size) FROM shelf") == 5
    upsert = (
        "INSERT INTO shelf VALUES (1, 'a'), (1, 'b') ON CONFLICT (id) DO UPDATE SET name = excluded.name RETURNING id"
    )
    with pytest.raises(StatementFailed):
        await shop.result(make_query(upsert, RETURNING, WRITE))


async def test_a_with_list_takes_the_write_as_its_last_entry(shop: Client) -> None:
    moved = """WITH RECURSIVE few AS (SELECT id FROM shelf WHERE id <= :n),
      gone AS (DELETE FROM shelf USING few WHERE shelf.id = few.id RETURNING shelf.*)
    INSERT INTO shelf SELECT id + 100, name, size FROM gone WHERE :n > 0 RETURNING id"""
    assert await shop.rows(moved, 2, access=WRITE) == [{"id": 101}, {"id": 102}]
    read_after = "WITH gone AS (DELETE FROM shelf WHERE id > :n RETURNING id) SELECT count(*) FROM gone"
    assert await shop.value(read_after, 100, access=WRITE) == 2


async def test_a_select_may_have_side_effects(shop: Client) -> None:
    await shop.script("CREATE SEQUENCE s")
    assert await shop.rows("SELECT nextval('s') AS n FROM shelf", access=WRITE) == [{"n": n} for n in range(1, 6)]
    assert await shop.execute("SELECT nextval('s') FROM shelf") == 5
    assert await shop.value("SELECT nextval('s')", access=WRITE) == 11
    assert await shop.rows("SELECT id FROM shelf WHERE id = 1 FOR UPDATE", access=WRITE) == [{"id": 1}]
    assert await shop.value("SELECT pg_notify('a', 'b')", access=WRITE) == ""


async def test_statements_that_stand_in_no_other(shop: Client) -> None:
    assert await shop.rows("SHOW TimeZone") == [{"TimeZone": "UTC"}]
    assert list((await shop.rows("EXPLAIN SELECT 1"))[0]) == ["QUERY PLAN"]
    assert await shop.execute("CREATE TABLE made AS SELECT 1 AS a") == 1
    assert await shop.execute("CREATE INDEX ON made (a)") == 0
    assert await shop.execute("VACUUM made") == 0
    await shop.script("CREATE PROCEDURE add(n int) LANGUAGE sql AS 'INSERT INTO made VALUES (n)'")
    assert await shop.execute("CALL add(:n)", 5) == 0
    assert await shop.rows("VALUES (1, 'a')") == [{"column1": 1, "column2": "a"}]
    assert await shop.rows("TABLE made") == [{"a": 1}, {"a": 5}]


async def test_column_names_are_data(client: Client) -> None:
    names = ['a"b', "select", "ü 🎈", "t", "c1", "?column?", "r", "\\"]
    sql = "SELECT " + ", ".join(f"""{n} AS "{name.replace('"', '""')}" """ for n, name in enumerate(names))
    assert await client.rows(sql) == [{name: n for n, name in enumerate(names)}]
    sql += ", '\\x00ff'::bytea AS b"
    assert await client.rows(sql) == [{**{name: n for n, name in enumerate(names)}, "b": "AP8="}]


async def test_lists(shop: Client) -> None:
    some, others = "SELECT id FROM shelf WHERE id IN (:ids)", "SELECT id FROM shelf WHERE id NOT IN (:ids)"
    assert await shop.rows(some, [1, 2, 99]) == [{"id": 1}, {"id": 2}]
    assert await shop.rows(some, []) == []
    assert len(await shop.rows(others, [])) == 5
    assert len(await shop.rows(others, [1, 2])) == 3
    declared = make_query(some, ids=SqlType("bigint", Kind.INT8))
    assert (await shop.result(declared, [1, 3])).count == 2
    assert await shop.rows("SELECT 1 AS a WHERE '2020-01-01'::date IN (:days)", ["infinity", "2020-01-01"]) == [
        {"a": 1}
    ]


async def test_casts_and_subscripts_after_a_parameter(client: Client) -> None:
    dates = SqlType("date", Kind.DATE, array=True)
    query = make_query(
        "SELECT (:d)[2] AS a, :x::int + 1 AS b FETCH FIRST :n ROWS ONLY", d=dates, n=SqlType("int", Kind.INT4)
    )
    result = await client.result(query, ["2020-01-01", "2020-01-02"], 3, 1)
    assert json.loads(result.json) == {"a": "2020-01-02", "b": 4}


async def test_pages(shop: Client) -> None:
    query = make_query("SELECT id FROM shelf ORDER BY id -- the end")
    first = await shop.result(query, window=Window(2))
    assert (first.json, first.count, first.more) == (b'{"id":1},{"id":2}', 2, True)
    last = await shop.result(query, window=Window(2, 3))
    assert (last.json, last.more) == (b'{"id":4},{"id":5}', False)
    own = make_query("SELECT id FROM shelf ORDER BY id LIMIT 3")
    assert (await shop.result(own, window=Window(2))).more
    assert not (await shop.result(own, window=Window(3))).more


@pytest.mark.parametrize(
    "order",
    ["tie", "tie DESC NULLS LAST", "tie USING >", "2 DESC", 'tie COLLATE "C"', "length(tie), 2"],
)
async def test_pages_break_ties_the_same_way(client: Client, order: str) -> None:
    await client.script(
        "CREATE TABLE t AS SELECT n AS id, (n % 3)::text AS tie, NULL::json AS j, point(n, n) AS p"
        " FROM generate_series(1, 3000) n ORDER BY md5(n::text)"
    )
    query = make_query(f"SELECT id, tie, j, p, row(id, j) AS r FROM t ORDER BY {order}")
    program = client.engine.compile(query, await client.describe(query))
    for size in (7, 1000):
        seen: list[int] = []
        more = True
        async with client.database.lease(READ) as lease:
            while more:
                window = Window(size, len(seen))
                result = await client.engine.run(lease, program, (), window=window, timeout_seconds=5)
                seen += [row["id"] for row in json.loads(b"[" + result.json + b"]")]
                more = result.more
        assert sorted(seen) == list(range(1, 3001))


async def test_pages_of_unusual_statements(shop: Client) -> None:
    for sql in (
        "SELECT id FROM shelf UNION SELECT 7 ORDER BY id",
        "SELECT DISTINCT size FROM shelf ORDER BY size",
        "SELECT DISTINCT ON (size) size, name FROM shelf ORDER BY size, name",
        "SELECT size, count(*) FROM shelf GROUP BY size ORDER BY 2",
        "WITH a AS (SELECT 1 AS b) SELECT b FROM a ORDER BY b",
        "VALUES (1), (2) ORDER BY 1",
        "SELECT '[1]'::json AS j FROM shelf ORDER BY name",
    ):
        assert (await shop.result(make_query(sql), window=Window(1))).count == 1


async def test_big_numbers_as_text(postgresql_url: str) -> None:
    client = Client(postgresql_url, big_numbers="string")
    await client.database.open()
    sql = "SELECT 9007199254740993 AS a, 1.10 AS b, 3 AS c, ARRAY[1, NULL]::int8[] AS d, 'NaN'::numeric AS e"
    assert await client.rows(sql) == [{"a": "9007199254740993", "b": "1.10", "c": 3, "d": ["1", None], "e": "NaN"}]
    assert await client.value("SELECT count(*)") == "1"
    await client.database.close()
