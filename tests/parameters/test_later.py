"""Values that come later: they pass, and are validated when they are there."""

from __future__ import annotations

from typing import Any

import pytest

from sqlwright.engines.binder import Binder, as_it_is
from sqlwright.errors import InvalidParameters
from sqlwright.parameters import compile_validator
from sqlwright.parameters.later import Later
from sqlwright.parameters.refusal import Refused
from sqlwright.query import Access, Cardinality, Kind, Parameter, Query, Rules, SourceFile, SqlType, Statement

PARAMETERS = (
    Parameter("id", SqlType("integer", Kind.INT4)),
    Parameter("word", SqlType("text", Kind.TEXT), rules=Rules(length_max=3)),
    Parameter("note", SqlType("text", Kind.TEXT), nullable=True),
)
QUERY = Query(
    "q", Cardinality.EXEC, Access.WRITE, Statement((), "insert"), PARAMETERS, SourceFile("q.sql", ""), offset=0
)
VALIDATOR = compile_validator(
    QUERY, PARAMETERS, lambda _: Binder(as_it_is), page_rows_max=10, big_numbers_as_text=False
)


def later(name: str) -> Later:
    return Later(0, (name,), f"0.{name}", f"steps[1].params.{name}")


def resolve_from(values: dict[str, Any]) -> Any:
    def resolve(reference: Later) -> Any:
        if reference.path[0] not in values:
            raise Refused("no_value", "nothing there")
        return values[reference.path[0]]

    return resolve


def test_they_pass_and_are_filled_in() -> None:
    call = VALIDATOR.from_json({"id": later("a"), "word": "abc", "note": later("b")})
    assert VALIDATOR.fill(call.values, resolve_from({"a": 1, "b": None})) == (1, "abc", None)
    (item,) = VALIDATOR.bulk([{"id": 2, "word": later("a"), "note": None}], 10)
    assert VALIDATOR.fill(item, resolve_from({"a": "x"})) == (2, "x", None)


def test_what_comes_is_validated() -> None:
    call = VALIDATOR.from_json({"id": later("a"), "word": later("b"), "note": later("c")})
    with pytest.raises(InvalidParameters) as caught:
        VALIDATOR.fill(call.values, resolve_from({"a": "1", "b": "abcd"}))
    assert [(fault.parameter, fault.code) for fault in caught.value.faults] == [
        ("steps[1].params.a", "type"), ("steps[1].params.b", "length"), ("steps[1].params.c", "no_value"),
    ]  # fmt: skip
    with pytest.raises(InvalidParameters) as caught:
        VALIDATOR.fill(call.values, resolve_from({"a": None, "b": "x", "c": "x"}))
    assert [fault.code for fault in caught.value.faults] == ["null"]
