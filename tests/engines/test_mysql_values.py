"""What goes into MariaDB comes back as it is; what it would bend is refused; no value is ever read as SQL."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqlwright.engines.encode import float_text
from sqlwright.errors import InvalidParameters, InvalidValue
from sqlwright.query import Access

pytestmark = pytest.mark.reliability(44, 45, 46, 47, engine="mysql")

FEW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TYPES = {
    "flag": "BOOLEAN", "tiny": "TINYINT", "utiny": "TINYINT UNSIGNED", "small": "SMALLINT", "medium": "MEDIUMINT",
    "umedium": "MEDIUMINT UNSIGNED", "whole": "INT", "uwhole": "INT UNSIGNED", "big": "BIGINT",
    "ubig": "BIGINT UNSIGNED", "filled": "INT(8) ZEROFILL", "bit1": "BIT", "bits": "BIT(64)", "made": "YEAR",
    "price": "DECIMAL(10,3)", "large": "DECIMAL(65,30)", "zprice": "DECIMAL(8,2) ZEROFILL", "one": "DOUBLE",
    "single": "FLOAT",
    "day": "DATE", "moment": "DATETIME(6)", "instant": "TIMESTAMP(6) NULL", "second": "DATETIME", "clock": "TIME(6)",
    "code": "CHAR(10)", "name": "VARCHAR(200)", "body": "LONGTEXT", "latin": "VARCHAR(20) CHARACTER SET latin1",
    "raw": "VARBINARY(1000)", "fixed": "BINARY(4)", "photo": "LONGBLOB", "doc": "JSON", "mood": "ENUM('a','it''s')",
    "many": "SET('x','y')", "token": "UUID", "v6": "INET6", "v4": "INET4", "place": "POINT",
}  # fmt: skip
FILES = {
    "q.sql": "-- name: make#\nCREATE TABLE held (id INT AUTO_INCREMENT PRIMARY KEY, "
    + ", ".join(f"{name} {type}" for name, type in TYPES.items())
    + ");\n"
    + "".join(
        f"-- name: put_{name}!\n-- @param value = null\nINSERT INTO held ({name}) VALUES (:value);\n"
        f"-- name: find_{name}\nSELECT {name} AS value FROM held WHERE {name} = :value;\n"
        f"-- name: among_{name}\nSELECT {name} AS value FROM held WHERE {name} IN (:values);\n"
        for name in TYPES
    )
    + """
-- name: last
SELECT * FROM held ORDER BY id DESC LIMIT 1;
-- name: empty!
DELETE FROM held;
-- name: anything
SELECT :value AS value;
-- name: loose
SELECT name FROM held WHERE lower(name) = :value OR :value2 = lower(name);
-- name: loose_list
SELECT name FROM held WHERE lower(name) IN (:value);
-- name: loose_items
SELECT name FROM held WHERE lower(name) IN (:value, :value2) OR lower(name) BETWEEN :low AND :high;
-- name: per_cent$
SELECT count(*) FROM held WHERE name LIKE '%100\\%%' AND body LIKE '%s' AND :value % 2 = 1;
"""
}


@pytest.fixture
async def held(open_bench: Any, mysql_url: str) -> Any:
    bench = await open_bench(mysql_url, FILES)
    await bench.call("make")
    return bench


async def round_trip(bench: Any, column: str, value: object) -> str:
    """The JSON text that comes back for a value."""
    await bench.call(f"put_{column}", {"value": value})
    _, result = await bench.result("last")
    row = json.loads(result.json, parse_float=str, parse_int=str)
    return json.dumps(row[column], ensure_ascii=False) if not isinstance(row[column], str) else row[column]


INTEGERS = [
    ("tiny", -128), ("tiny", 127), ("utiny", 255), ("small", -32768), ("medium", 8388607), ("umedium", 16777215),
    ("whole", -(2**31)), ("uwhole", 2**32 - 1), ("big", -(2**63)), ("big", 2**63 - 1), ("ubig", 2**64 - 1), ("ubig", 0),
    ("filled", 42), ("filled", 0), ("bits", 2**64 - 1), ("bits", 0), ("made", 1901), ("made", 2155), ("made", 0),
]  # fmt: skip


async def test_integers(held: Any) -> None:
    for column, value in INTEGERS:
        assert await round_trip(held, column, value) == str(value), column
        assert {"value": value} in (await held.call(f"find_{column}", {"value": value}))["data"], column
        assert {"value": value} in (await held.call(f"among_{column}", {"values": [value]}))["data"], column


REFUSED: list[tuple[str, object]] = [
        ("tiny", 128), ("utiny", 256), ("utiny", -1), ("medium", 2**23), ("uwhole", 2**32), ("uwhole", -1),
        ("big", 2**63), ("ubig", 2**64), ("ubig", -1), ("bits", 2**64), ("made", 2156), ("made", 70), ("whole", 1.5),
        ("flag", 1), ("bit1", 1), ("whole", "1"), ("name", 0), ("body", 1.5), ("name", True), ("mood", 1), ("raw", "?"),
        ("token", "x"), ("price", "NaN"), ("one", "Infinity"), ("one", "NaN"), ("large", 10**35),
        ("price", Decimal("1e-40")), ("price", Decimal("1e300")), ("day", "infinity"), ("day", "10000-01-01"),
        ("day", "0001-01-01 BC"), ("moment", "-infinity"), ("moment", "2026-01-01T00:00:00Z"), ("clock", "839:00"),
        ("instant", "0001-01-01T00:00:00+02:00"), ("name", "\ud800"),
]  # fmt: skip


async def test_what_is_refused(held: Any) -> None:
    for column, value in REFUSED:
        with pytest.raises((InvalidParameters, InvalidValue)):
            pytest.fail(f"{column} took {value!r}: {await round_trip(held, column, value)}")
    assert (await held.call("last"))["data"] == []


KEPT: list[tuple[str, object, str]] = [
        ("flag", True, "true"), ("flag", False, "false"), ("bit1", True, "true"), ("bit1", False, "false"),
        ("price", Decimal("1.5"), "1.500"), ("price", Decimal("-0.001"), "-0.001"), ("price", 7, "7.000"),
        ("zprice", Decimal("1.5"), "1.50"), ("zprice", Decimal("0"), "0.00"),
        ("large", Decimal("12345678901234567890123456789012345.123456789012345678901234567890"),
         "12345678901234567890123456789012345.123456789012345678901234567890"),
        ("day", "2024-02-29", "2024-02-29"), ("day", "9999-12-31", "9999-12-31"), ("day", "0001-01-01", "0001-01-01"),
        ("moment", "2026-01-31T23:59:59.000001", "2026-01-31T23:59:59.000001"),
        ("moment", "2026-01-31 23:59", "2026-01-31T23:59:00"), ("moment", "2026-01-31", "2026-01-31T00:00:00"),
        ("moment", "2026-03-29T02:30:00.5", "2026-03-29T02:30:00.5"),
        ("instant", "2026-01-31T23:59:59.5Z", "2026-01-31T23:59:59.5+00:00"),
        ("instant", "2026-01-31T23:59:59.5+02:00", "2026-01-31T21:59:59.5+00:00"),
        ("instant", "2026-03-29T02:30:00", "2026-03-29T02:30:00+00:00"),
        ("second", "2026-01-31T23:59:59", "2026-01-31T23:59:59"),
        ("clock", "23:59:59.999999", "23:59:59.999999"), ("clock", "12:30", "12:30:00"), ("clock", "24:00", "24:00:00"),
        ("code", "a", "a"), ("latin", "é", "é"), ("mood", "it's", "it's"), ("many", "x,y", "x,y"), ("many", "", ""),
        ("token", "F3D2469E-E87B-11F1-B175-02FC00000001", "f3d2469e-e87b-11f1-b175-02fc00000001"),
        ("v6", "::1", "::1"), ("v4", "10.0.0.1", "10.0.0.1"),
        ("fixed", base64.b64encode(b"ab").decode(), base64.b64encode(b"ab\0\0").decode()),
]  # fmt: skip


async def test_what_comes_back(held: Any) -> None:
    for column, value, expected in KEPT:
        await held.call("empty")
        assert await round_trip(held, column, value) == expected, column
        if column != "fixed":
            found = (await held.call(f"find_{column}", {"value": value}))["data"]
            assert len(found) == 1, (column, value)
            assert (await held.call(f"among_{column}", {"values": [value, None]}))["data"] == found


async def test_null_and_an_empty_list(held: Any) -> None:
    for column in TYPES:
        assert await round_trip(held, column, None) == "null", column
        assert (await held.call(f"among_{column}", {"values": []}))["data"] == [], column


async def test_doubles(held: Any) -> None:
    run = in_loop()

    @FEW
    @given(st.floats(allow_nan=False, allow_infinity=False))
    def same(value: float) -> None:
        # MariaDB reads -0.0 as 0.
        assert run(round_trip(held, "one", Decimal(repr(value)))) == float_text(value or 0.0)

    await asyncio.to_thread(same)


SINGLES = [
    ("0.1", "0.1"), ("16777216", "1.6777216e+07"), ("-1.1754944e-38", "-1.1754944e-38"), ("1e-45", "1e-45"),
    ("3.4028235e38", "3.4028235e+38"), ("123456", "123456"), ("1234567", "1.234567e+06"), ("0", "0"), ("1.5", "1.5"),
]  # fmt: skip


async def test_single_floats_keep_all_their_digits(held: Any) -> None:
    held.write(
        {
            "single.sql": """
-- name: of_all
SELECT q.*, 'a%b' AS `x``%?` FROM held q WHERE id IN (:ids) ORDER BY single DESC, id;
-- name: of_one$
SELECT single FROM held WHERE single = :value LIMIT 1;
-- name: greatest$
SELECT max(single) FROM held;
"""
        }
    )
    for value, expected in SINGLES:
        assert await round_trip(held, "single", Decimal(value)) == expected
        _, result = await held.result("of_one", {"value": Decimal(value)})
        assert result.json.decode() == expected
        assert {"value": Decimal(expected)} in (await held.call("find_single", {"value": Decimal(value)}))["data"]
    rows: list[Any] = []
    token = None
    while token or not rows:
        page = await held.call("of_all", {"ids": list(range(99)), "limit": 2, **({"next": token} if token else {})})
        rows, token = [*rows, *page["data"]], page["next"]
    whole = await held.call("of_all", {"ids": list(range(99))}, paged=False)
    assert rows == whole["data"]
    assert [float(row["single"]) for row in rows] == sorted((float(value) for value, _ in SINGLES), reverse=True)
    assert rows[0]["x`%?"] == "a%b"
    assert await held.call("greatest") == {"value": Decimal("3.4028235e+38")}


def in_loop() -> Callable[[Awaitable[Any]], Any]:
    loop = asyncio.get_running_loop()
    return lambda work: asyncio.run_coroutine_threadsafe(work, loop).result()  # type: ignore[arg-type]  # a coroutine


async def test_decimals(held: Any) -> None:
    run = in_loop()

    @FEW
    @given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-9999999, max_value=9999999))
    def same(value: Decimal) -> None:
        assert Decimal(run(round_trip(held, "price", value))) == value
        assert run(held.call("find_price", {"value": value}))["data"]

    await asyncio.to_thread(same)


HOSTILE = [
    "", " ", "'", "''", '"', "\\", "\\'", "\\\\'", "' OR 1=1 -- ", "'; DROP TABLE held; -- ", "\\'; DROP TABLE held; #",
    "%", "%s", "%%", "%(a)s", "100% %s", "?", ":value", "\0", "a\0b", "\x1a", "\r\n\t", "/*! 1 */", "`", "${x}", "{}",
    "ÿ", "\ufeff", "漢字", "🎵", "\U0010ffff", "e\u0301", "\u00e9", "\u2028", "0x27", "0", "NULL", "--", "#",
    "\u00bf\u0027", "\u0115'",
]  # fmt: skip


async def test_texts(held: Any) -> None:
    for column in ("name", "body"):
        for value in HOSTILE:
            assert await round_trip(held, column, value) == value
            assert {"value": value} in (await held.call(f"find_{column}", {"value": value}))["data"]
            assert {"value": value} in (await held.call(f"among_{column}", {"values": ["no", value, "'"]}))["data"]
            assert (await held.call("anything", {"value": value}))["data"] == [{"value": value}]


async def test_any_text_is_stored_as_it_is(held: Any) -> None:
    run = in_loop()

    @FEW
    @given(st.text(max_size=100))
    def same(value: str) -> None:
        assert run(round_trip(held, "body", value)) == value

    await asyncio.to_thread(same)


async def test_texts_where_a_backslash_is_a_character(held: Any) -> None:
    """A proxy or an administrator may have switched its escapes off."""
    async with held.database.lease(Access.WRITE) as lease:
        session = lease.session
        for mode in ("", "NO_BACKSLASH_ESCAPES"):
            await session.fetch(f"SET sql_mode = '{mode}'")
            for value in HOSTILE:
                if "\0" in value and mode:
                    continue  # the server itself ends nothing there, but its parser warns
                rows = (await session.fetch("SELECT HEX(%s)", [value])).rows
                assert bytes.fromhex(rows[0][0]).decode() == value
            rows = (await session.fetch("SELECT %s", [bytes(range(256))])).rows
            assert rows == [(bytes(range(256)),)]


async def test_bytes(held: Any) -> None:
    run = in_loop()

    @FEW
    @given(st.binary(max_size=300))
    def same(value: bytes) -> None:
        text = base64.b64encode(value).decode()
        for column in ("raw", "photo"):
            assert run(round_trip(held, column, text)) == text
        assert {"value": text} in run(held.call("find_raw", {"value": text}))["data"]

    await asyncio.to_thread(same)
    assert await round_trip(held, "photo", base64.b64encode(bytes(range(256))).decode())


DOCUMENTS: list[object] = [
    {"a": [1, Decimal("2.50"), "x\n'\\"], "b": None}, [], "text", 7, True, Decimal("1.10"), {"😀": "\u2028"},
    Decimal("12345678901234567890.123456789012345678901"),
]  # fmt: skip


async def test_json(held: Any) -> None:
    for value in DOCUMENTS:
        await held.call("put_doc", {"value": value})
        (row,) = (await held.call("last"))["data"]
        assert row["doc"] == value
        _, result = await held.result("last")
        assert b"\n" not in result.json


async def test_json_with_line_breaks_and_many_digits(held: Any) -> None:
    held.write(
        {"raw.sql": """-- name: store!\nINSERT INTO held (doc) VALUES ('{"a":\\n 1.50,\\r\\n "b": 1e400}');\n"""}
    )
    await held.call("store")
    _, result = await held.result("last")
    assert b'"doc":{"a": 1.50, "b": 1e400}' in result.json or b'"doc":"{' in result.json
    assert b"\n" not in result.json


async def test_times_beyond_a_day(held: Any) -> None:
    held.write({"raw.sql": "-- name: store!\nINSERT INTO held (clock) VALUES ('-838:59:58.5'), ('100:00:00');\n"})
    await held.call("store")
    held.write({"raw.sql": "-- name: clocks\nSELECT clock FROM held ORDER BY clock;\n"})
    assert (await held.call("clocks"))["data"] == [{"clock": "-838:59:58.5"}, {"clock": "100:00:00"}]
    held.write({"raw.sql": "-- name: find_long\n-- @param t text\nSELECT clock FROM held WHERE clock = :t;\n"})
    assert (await held.call("find_long", {"t": "-838:59:58.5"}))["data"] == [{"clock": "-838:59:58.5"}]


async def test_zero_dates(held: Any) -> None:
    held.write(
        {
            "raw.sql": "-- name: store#\nSET sql_mode = '';\n"
            "INSERT INTO held (day, moment, instant, made) VALUES ('0000-00-00', '0000-00-00', '0000-00-00', 0);\n"
        }
    )
    await held.call("store")
    (row,) = (await held.call("last"))["data"]
    assert [row[name] for name in ("day", "moment", "instant", "made")] == [
        "0000-00-00", "0000-00-00T00:00:00", "0000-00-00T00:00:00", 0,
    ]  # fmt: skip


async def test_a_place(held: Any) -> None:
    held.write({"raw.sql": "-- name: store!\nINSERT INTO held (place) VALUES (point(1, 2));\n"})
    await held.call("store")
    (row,) = (await held.call("last"))["data"]
    assert base64.b64decode(row["place"])[4:5] == b"\x01"
    assert await round_trip(held, "place", row["place"]) == row["place"]


async def test_untyped_values_are_what_they_look_like(held: Any) -> None:
    for value, expected in [(1, "1"), (True, "1"), (Decimal("1.50"), "1.50"), ("1", '"1"'), (2**64, str(2**64))]:
        _, result = await held.result("anything", {"value": value})
        assert result.json.decode() == f'{{"value":{expected}}}'


async def test_a_number_never_finds_every_text(held: Any) -> None:
    for name in ("secret", "other", "5"):
        await held.call("put_name", {"value": name})
    for value in (0, Decimal("0.0"), False):
        assert (await held.call("loose", {"value": value, "value2": value}))["data"] == []
        assert (await held.call("loose_list", {"value": [value]}))["data"] == []
        items = {"value": value, "value2": value, "low": value, "high": value}
        assert (await held.call("loose_items", items))["data"] == []
        with pytest.raises(InvalidParameters):
            await held.call("find_name", {"value": value})
    assert (await held.call("loose", {"value": 5, "value2": 5}))["data"] == [{"name": "5"}]


async def test_per_cent_signs_of_the_file(held: Any) -> None:
    await held.call("put_name", {"value": "100%"})
    assert await held.call("per_cent", {"value": 1}) == {"value": 0}


async def test_big_numbers_as_text(open_bench: Any, mysql_url: str) -> None:
    bench = await open_bench(mysql_url, FILES, big_numbers="string")
    await bench.call("make")
    for column, value in [("ubig", str(2**64 - 1)), ("price", "-1.250"), ("bits", "7"), ("zprice", "0.50")]:
        await bench.call(f"put_{column}", {"value": value})
        assert (await bench.call("last"))["data"][0][column] == value
    await bench.call("put_filled", {"value": 42})
    assert (await bench.call("last"))["data"][0]["filled"] == 42


async def test_moments_of_the_present(held: Any) -> None:
    now = datetime.now(UTC)
    held.write({"raw.sql": "-- name: store!\nINSERT INTO held (instant, moment) VALUES (now(6), now(6));\n"})
    await held.call("store")
    (row,) = (await held.call("last"))["data"]
    assert abs(datetime.fromisoformat(row["instant"]) - now) < timedelta(minutes=1)
    assert abs(datetime.fromisoformat(row["moment"]).replace(tzinfo=UTC) - now) < timedelta(minutes=1)
