"""JSON Schema (2020-12, as OpenAPI 3.1 uses it) of parameters and columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson

from sqlwright.http.negotiation import CSV, NDJSON
from sqlwright.parameters.arguments import UNTYPED
from sqlwright.query import Column, Kind, Literal, Parameter, SqlType

Schema = dict[str, Any]

PROBLEM = {"$ref": "#/components/responses/Problem"}
"""The response of whatever goes wrong."""
ROW_SCHEMAS: dict[str, Schema] = {
    "Ndjson": {
        "type": "string",
        "description": "all rows, a JSON object a line; what fails on the way is a last line with the one key error",
    },
    "Csv": {"type": "string", "description": "all rows (RFC 4180), values as they are stored; broken off on failure"},
}
ROW_CONTENT = {
    NDJSON: {"schema": {"$ref": "#/components/schemas/Ndjson"}},
    CSV: {"schema": {"$ref": "#/components/schemas/Csv"}},
}
"""What many rows come as, besides pages of JSON."""
_INTEGERS = frozenset({Kind.INT2, Kind.INT4, Kind.INT8})
_NUMBERS = _INTEGERS | {Kind.NUMERIC, Kind.FLOAT4, Kind.FLOAT8}
_BIG = frozenset({Kind.INT8, Kind.NUMERIC})
# Of what is no number in JSON. A pattern is asked of strings only, so it says nothing of the numbers themselves.
_NUMBER_OR_SPECIAL: Schema = {"type": ["number", "string"], "pattern": "^(NaN|-?Infinity)$"}
_SCHEMAS: dict[Kind, Schema] = {
    Kind.INT2: {"type": "integer", "minimum": -(2**15), "maximum": 2**15 - 1},
    Kind.INT4: {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1},
    Kind.INT8: {"type": "integer", "format": "int64", "minimum": -(2**63), "maximum": 2**63 - 1},
    Kind.NUMERIC: {**_NUMBER_OR_SPECIAL, "description": "every digit counts"},
    Kind.FLOAT4: {**_NUMBER_OR_SPECIAL, "format": "float"},
    Kind.FLOAT8: {**_NUMBER_OR_SPECIAL, "format": "double"},
    Kind.BOOL: {"type": "boolean"},
    Kind.TEXT: {"type": "string"},
    Kind.BYTES: {"type": "string", "contentEncoding": "base64"},
    Kind.DATE: {"type": "string", "format": "date"},
    Kind.TIME: {"type": "string", "description": "time of day, without a zone"},
    Kind.TIMETZ: {"type": "string", "format": "time"},
    Kind.TIMESTAMP: {"type": "string", "description": "date and time, without a zone"},
    Kind.TIMESTAMPTZ: {"type": "string", "format": "date-time"},
    Kind.INTERVAL: {"type": "string"},
    Kind.UUID: {"type": "string", "format": "uuid"},
    Kind.JSON: {"description": "any JSON value"},
    Kind.OTHER: {"type": "string"},
    Kind.ANY: {},
}


def type_schema(type: SqlType | None, *, nullable: bool, big_as_text: bool) -> Schema:
    """Schema of a value of a type. Nothing is said of what is not known."""
    if type is None:
        return {}
    schema = dict(_SCHEMAS[type.kind])
    if type.bounds is not None and type.kind is not Kind.TIME:
        schema = {"type": "integer", "minimum": type.bounds[0], "maximum": type.bounds[1]}
    if big_as_text and type.kind in _BIG:
        schema = {"type": "string", "description": "a number, digit for digit"}
    if type.kind is Kind.OTHER and type.name:
        schema["description"] = f"{type.name}, as text"
    if type.array:
        # Items of an array may always be null, and arrays of arrays share the type of arrays.
        schema = {"type": "array", "items": or_null(schema)}
    return or_null(schema) if nullable else schema


def or_null(schema: Schema) -> Schema:
    """The schema, null allowed. One without a type allows it already."""
    if "type" not in schema:
        return schema
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    found = {**schema, "type": [*types, *([] if "null" in types else ["null"])]}
    if "enum" in found:
        found["enum"] = [*found["enum"], None]
    return found


def columns_schema(columns: Iterable[Column], *, big_as_text: bool) -> Schema:
    properties = {
        column.name: type_schema(column.type, nullable=column.nullable, big_as_text=big_as_text) for column in columns
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def object_schema(properties: dict[str, Schema]) -> Schema:
    """An answer that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def page_parameters(rows: int | None, rows_max: int | None) -> list[dict[str, Any]]:
    """`limit` and `next` of a query string; None where it is not known yet how many rows a page has."""
    limit: Schema = {"type": "integer", "minimum": 1}
    if rows is not None:
        limit |= {"maximum": rows_max, "default": rows}
    token: Schema = {"type": "string", "minLength": 1}
    return [
        {"name": "limit", "in": "query", "description": "rows of a page; in all of NDJSON and CSV", "schema": limit},
        {"name": "next", "in": "query", "description": "`next` of the page before", "schema": token},
    ]


def parameter_schema(parameter: Parameter, *, big_as_text: bool, in_query: bool = False) -> Schema:
    """Schema of a parameter; `in_query` where it is text and so can be no null."""
    type_ = replace(parameter.type or UNTYPED, array=False)
    is_list = parameter.is_list or (parameter.type is not None and parameter.type.array)
    schema = type_schema(type_, nullable=False, big_as_text=big_as_text)
    if type_.kind is Kind.ANY:
        schema = {"type": ["string", "number", "boolean"]}
    as_text = big_as_text and type_.kind in _BIG
    schema |= _rules(parameter, as_text=as_text)
    if is_list:
        schema = {"type": "array", "items": schema if in_query else or_null(schema)}
    if not in_query and (parameter.nullable or (parameter.default is not None and parameter.default.is_null)):
        schema = or_null(schema)
    if parameter.default is not None and not (in_query and parameter.default.is_null):
        default = default_value(parameter)
        default = str(default) if as_text and default is not None else default
        schema["default"] = [default] if is_list and default is not None else default
    return schema


def default_value(parameter: Parameter) -> Any:
    return None if parameter.default is None else _value(parameter.default, parameter)


def _rules(parameter: Parameter, *, as_text: bool) -> Schema:
    """The rules as keywords. `as_text`: its numbers travel as strings, of which JSON Schema knows no bounds."""
    rules = parameter.rules
    kind = parameter.type.kind if parameter.type else Kind.ANY
    found: Schema = {}
    if rules.allowed:
        found["enum"] = [literal.text if as_text else _value(literal, parameter) for literal in rules.allowed]
    if kind in _NUMBERS and not as_text:
        for key, text in (("minimum", rules.minimum), ("maximum", rules.maximum)):
            number = _number(text) if text is not None else None
            if number is not None:
                found[key] = number
    for key, length in (("minLength", rules.length_min), ("maxLength", rules.length_max)):
        if length is not None:
            found[key] = length if kind is not Kind.BYTES else -(-length // 3) * 4  # bytes come as base64
    if rules.pattern is not None:
        found["pattern"] = f"^(?:{rules.pattern})$"  # the whole value, which JSON Schema does not ask for by itself
    return found


def _value(literal: Literal, parameter: Parameter) -> Any:
    """A literal of a header as a JSON value of the parameter's type."""
    if literal.is_null:
        return None
    kind = parameter.type.kind if parameter.type else Kind.ANY
    if literal.quoted:
        return literal.text
    if kind is Kind.BOOL or (kind is Kind.ANY and literal.text.lower() in ("true", "false")):
        return literal.text.lower() in ("true", "1")
    if kind in _NUMBERS or kind is Kind.ANY:
        number = _number(literal.text)
        return literal.text if number is None else number
    return literal.text


def _number(text: str) -> int | float | None:
    try:
        number = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return number if isinstance(number, int | float) and not isinstance(number, bool) else None
