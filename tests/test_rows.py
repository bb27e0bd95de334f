"""JSON rows as Python values, rows as objects of classes, Python values as parameters: without a database."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import pytest
from pydantic import BaseModel
from sqlmodel import Field, SQLModel
from tortoise import fields
from tortoise.models import Model

from sqlwright.errors import RowMismatch
from sqlwright.parameters.refusal import Refused
from sqlwright.query import Column, Kind, SqlType
from sqlwright.rows import RowReader, fields_of, json_value, mapper_of

K = UUID("6f1c2c5e-0d3c-4a55-9f0e-3d1d0a1b2c3d")


def read(kind: Kind, json: str, *, array: bool = False, big_numbers_as_text: bool = False) -> Any:
    reader = RowReader([Column("c", SqlType("t", kind, array))], big_numbers_as_text=big_numbers_as_text)
    (row,) = reader.rows(f'{{"c":{json}}}'.encode())
    assert reader.value(json.encode()) == row["c"] or row["c"] != row["c"]
    return row["c"]


@pytest.mark.parametrize(
    ("kind", "json", "value"),
    [
        (Kind.INT4, "7", 7),
        (Kind.INT8, "9223372036854775807", 2**63 - 1),
        (Kind.NUMERIC, "0.10000000000000000000000001", Decimal("0.10000000000000000000000001")),
        (Kind.NUMERIC, "9.90", Decimal("9.90")),
        (Kind.NUMERIC, "3", Decimal(3)),
        (Kind.NUMERIC, "1" * 5000, Decimal("1" * 5000)),
        (Kind.NUMERIC, '"Infinity"', Decimal("Infinity")),
        (Kind.FLOAT8, "1", 1.0),
        (Kind.FLOAT8, "0.1", 0.1),
        (Kind.FLOAT4, '"-Infinity"', -math.inf),
        (Kind.BOOL, "true", True),
        (Kind.TEXT, '"é\\u0007"', "é\x07"),
        (Kind.BYTES, '"AP8="', b"\x00\xff"),
        (Kind.DATE, '"2024-02-29"', date(2024, 2, 29)),
        (Kind.TIME, '"23:59:59.5"', time(23, 59, 59, 500_000)),
        (Kind.TIMETZ, '"23:59:59+02"', time(23, 59, 59, tzinfo=timezone(timedelta(hours=2)))),
        (Kind.TIMESTAMP, '"2024-01-31T12:00:00.25"', datetime(2024, 1, 31, 12, 0, 0, 250_000)),
        (Kind.TIMESTAMPTZ, '"2024-01-31T12:00:00+00:00"', datetime(2024, 1, 31, 12, tzinfo=UTC)),
        (Kind.UUID, f'"{K}"', K),
        (Kind.JSON, '{"a":[1,2.5,null],"b":123456789012345678901234567890}',
         {"a": [1, 2.5, None], "b": 123456789012345678901234567890}),
        (Kind.INTERVAL, '"1 day 02:00:00"', "1 day 02:00:00"),
        (Kind.OTHER, '"[1,5)"', "[1,5)"),
        (Kind.ANY, "1.5", 1.5),
    ],
)  # fmt: skip
def test_values_have_the_type_of_their_column(kind: Kind, json: str, value: object) -> None:
    found = read(kind, json)
    assert found == value
    assert type(found) is type(value)
    assert read(kind, "null") is None
    assert read(kind, f"[{json},null,[{json}]]", array=kind is not Kind.ANY) == [value, None, [value]]


def test_nan_is_a_float_and_a_decimal() -> None:
    assert math.isnan(read(Kind.FLOAT8, '"NaN"'))
    assert read(Kind.NUMERIC, '"NaN"').is_nan()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.DATE, "infinity"),
        (Kind.DATE, "0044-03-15 BC"),
        (Kind.DATE, "10000-01-01"),
        (Kind.DATE, "2024-W01-1"),
        (Kind.TIME, "24:00:00"),
        (Kind.TIMESTAMP, "-infinity"),
        (Kind.TIMESTAMP, "2024-01-31T24:00:00"),
        (Kind.TIMESTAMPTZ, "10000-01-01T00:00:00+00:00"),
        (Kind.TIMESTAMPTZ, "0044-03-15T00:00:00+00:00 BC"),
        (Kind.NUMERIC, "1_000"),
        (Kind.FLOAT8, "1_0"),
        (Kind.UUID, "no uuid"),
        (Kind.BYTES, "no base64"),
    ],
)
def test_what_python_cannot_hold_stays_text(kind: Kind, text: str) -> None:
    assert read(kind, f'"{text}"') == text


def test_big_numbers_as_text_are_numbers_again() -> None:
    assert read(Kind.INT8, '"9223372036854775807"', big_numbers_as_text=True) == 2**63 - 1
    assert read(Kind.NUMERIC, '"1.50"', big_numbers_as_text=True) == Decimal("1.50")


def test_decimals_do_not_change_what_stands_beside_them() -> None:
    kinds = {"n": Kind.NUMERIC, "j": Kind.JSON, "f": Kind.FLOAT8, "a": Kind.ANY, "t": Kind.TEXT}
    reader = RowReader([Column(name, SqlType("t", kind)) for name, kind in kinds.items()])
    (row,) = reader.rows(b'{"n":1.10,"j":{"x":[1.10]},"f":1.10,"a":1.10,"t":"1.10"}')
    assert row == {"n": Decimal("1.10"), "j": {"x": [1.1]}, "f": 1.1, "a": 1.1, "t": "1.10"}
    assert [type(row["j"]["x"][0]), type(row["f"]), type(row["a"])] == [float, float, float]


def test_a_column_that_came_or_went_is_no_fault() -> None:
    reader = RowReader([Column("gone", SqlType("date", Kind.DATE))])
    assert reader.rows(b'{"new":"2024-01-01"},{"new":null}') == [{"new": "2024-01-01"}, {"new": None}]


# --- into= ------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    x: int
    y: int


class Pair(NamedTuple):
    x: int
    y: int = 0


class Typed(TypedDict):
    x: int
    y: NotRequired[int]


class PointModel(BaseModel):
    x: int
    y: int = 0


class PointTable(SQLModel, table=True):
    x: int = Field(primary_key=True)
    y: int = 0


class Spot(Model):
    x = fields.IntField(primary_key=True)
    height = fields.IntField(source_field="y")


@pytest.mark.parametrize("into", [Point, Frozen, Pair, PointModel, PointTable])
def test_rows_become_objects(into: Any) -> None:
    made = mapper_of(into).row("q", {"x": 1, "y": 2})
    assert type(made) is into
    assert (made.x, made.y) == (1, 2)


def test_a_tortoise_object_is_one_that_stands_in_the_database() -> None:
    made = mapper_of(Spot).row("q", {"x": 1, "y": 2})
    assert (type(made), made.x, made.height, made._saved_in_db) == (Spot, 1, 2, True)
    with pytest.raises(RowMismatch, match="rows of q do not fit Spot: it has no z"):
        mapper_of(Spot).check("q", ["x", "z"])


def test_functions_and_typed_dictionaries_take_the_row() -> None:
    row = {"x": 1, "y": 2}
    assert mapper_of(lambda row: row["x"] + row["y"]).row("q", row) == 3
    assert mapper_of(Typed).row("q", row) is row
    assert mapper_of(dict).row("q", row) == row


@pytest.mark.parametrize("into", [Point, Pair, Typed])
def test_missing_and_unknown_fields_are_all_named(into: Any) -> None:
    with pytest.raises(
        RowMismatch, match=f"rows of shop.all do not fit {into.__name__}: the rows have no x; it has no z"
    ):
        mapper_of(into).check("shop.all", ["y", "z"])


def test_what_a_class_says_about_a_row_is_told() -> None:
    def refuse(row: Any) -> None:
        raise ValueError("too small")

    with pytest.raises(RowMismatch, match=r"a row of q does not fit .*refuse: too small"):
        mapper_of(refuse).row("q", {})
    with pytest.raises(RowMismatch, match="PointModel"):
        mapper_of(PointModel).row("q", {"x": "one"})


def test_into_takes_only_what_can_be_called() -> None:
    with pytest.raises(TypeError, match="into="):
        mapper_of("Point")


# --- parameters -------------------------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("kind", "value", "json"),
    [
        (Kind.INT4, 1, 1),
        (Kind.INT4, Level.LOW, 1),
        (Kind.NUMERIC, Decimal("1.10"), Decimal("1.10")),
        (Kind.NUMERIC, 0.1, Decimal("0.1")),
        (Kind.FLOAT8, math.nan, "NaN"),
        (Kind.FLOAT8, -math.inf, "-Infinity"),
        (Kind.TEXT, Colour.RED, "red"),
        (Kind.TEXT, Name("a"), "a"),
        (Kind.BYTES, b"\x00\xff", "AP8="),
        (Kind.BYTES, bytearray(b"a" * 100), "YWFh" * 33 + "YQ=="),
        (Kind.DATE, date(2024, 2, 29), "2024-02-29"),
        (Kind.TIME, time(1, 2, 3), "01:02:03"),
        (Kind.TIMESTAMP, datetime(2024, 1, 31, 12), "2024-01-31T12:00:00"),
        (Kind.TIMESTAMPTZ, datetime(2024, 1, 31, 12, tzinfo=UTC), "2024-01-31T12:00:00+00:00"),
        (Kind.ANY, datetime(2024, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), "2024-01-31 10:00:00"),
        (Kind.INTERVAL, timedelta(days=-1, seconds=3, microseconds=4), "-1 days 3.000004 seconds"),
        (Kind.UUID, K, str(K)),
        (Kind.JSON, {"a": (1, 0.5, None, K, Colour.RED)}, {"a": [1, Decimal("0.5"), None, str(K), "red"]}),
        (Kind.JSON, {"p": Point(1, 2), "m": PointModel(x=1)}, {"p": {"x": 1, "y": 2}, "m": {"x": 1}}),
        (Kind.JSON, "text", "text"),
        (Kind.TEXT, None, None),
    ],
)
def test_python_values_have_json_values(kind: Kind, value: object, json: object) -> None:
    found = json_value(value, SqlType("t", kind))
    assert (found, type(found)) == (json, type(json))


@pytest.mark.parametrize(
    "make", [list, tuple, set, frozenset, dict.fromkeys, lambda items: dict.fromkeys(items, 0).keys()]
)
def test_collections_are_lists(make: Callable[[Any], Any]) -> None:
    value = make([date(2024, 1, 1)])
    if isinstance(value, dict):
        assert json_value(value, SqlType("date", Kind.DATE), is_list=True) == value  # for the validator to refuse
    else:
        assert json_value(value, SqlType("date", Kind.DATE), is_list=True) == ["2024-01-01"]
        assert json_value([value], SqlType("date", Kind.DATE, array=True)) == [["2024-01-01"]]


def cycle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.TIMESTAMPTZ, datetime(2024, 1, 31, 12)),
        (Kind.ANY, b"bytes"),
        (Kind.TEXT, b"bytes"),
        (Kind.ANY, math.nan),
        (Kind.TEXT, timedelta(1)),
        (Kind.JSON, math.nan),
        (Kind.JSON, {"a": Decimal("Infinity")}),
        (Kind.JSON, {1: 2}),
        (Kind.JSON, b"bytes"),
        (Kind.JSON, object()),
        (Kind.JSON, cycle()),
    ],
)
def test_what_has_no_json_value_is_refused(kind: Kind, value: object) -> None:
    with pytest.raises(Refused):
        json_value(value, SqlType("t", kind))


def test_what_is_of_another_type_is_left_to_the_validator() -> None:
    thing = object()
    assert json_value(thing, SqlType("int", Kind.INT4)) is thing
    assert json_value("x", SqlType("int", Kind.INT4)) == "x"


def test_fields_of_a_model_are_those_that_were_set() -> None:
    assert fields_of(PointModel(x=1)) == {"x": 1}
    assert fields_of(Point(1)) == {"x": 1, "y": 0}
    assert fields_of([1]) is None
    assert fields_of(Point) is None
