"""JSON Schema (2020-12, as OpenAPI 3.1 uses it) of parameters and columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from sqlwright.query import Column, Kind, Literal, Parameter, SqlType

Schema = dict[str, Any]

_INTEGERS = frozenset({Kind.INT2, Kind.INT4, Kind.INT8})
_NUMBERS = _INTEGERS | {Kind.NUMERIC, Kind.FLOAT4, Kind.FLOAT8}
_BIG = frozenset({Kind.INT8, Kind.NUMERIC})
_SCHEMAS: dict[Kind, Schema] = {
    Kind.INT2: {"type": "integer", "minimum": -(2**15), "maximum": 2**15 - 1},
    Kind.INT4: {"type": "integer", "format": "int32"},
    Kind.INT8: {"type": "integer", "format": "int64"},
    Kind.NUMERIC: {
        "type": "number",
        "description": 'every digit counts; "NaN", "Infinity" and "-Infinity" are strings',
    },
    Kind.FLOAT4: {"type": "number", "format": "float"},
    Kind.FLOAT8: {"type": "number", "format": "double"},
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
    if big_as_text and type.kind in _BIG:
        schema = {"type": "string", "description": "a number, digit for digit"}
    if type.kind is Kind.OTHER and type.name:
        schema["description"] = f"{type.name}, as text"
    if type.array:
        # Items of an array may always be null, and arrays of arrays share the type of arrays.
        schema = {"type": "array", "items": _or_null(schema)}
    return _or_null(schema) if nullable else schema


def _or_null(schema: Schema) -> Schema:
    if not isinstance(schema.get("type"), str):
        return schema
    return {**schema, "type": [schema["type"], "null"]}


def columns_schema(columns: Iterable[Column], *, big_as_text: bool) -> Schema:
    properties = {
        column.name: type_schema(column.type, nullable=column.nullable, big_as_text=big_as_text) for column in columns
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def parameter_schema(parameter: Parameter, *, big_as_text: bool) -> Schema:
    schema = type_schema(parameter.type, nullable=False, big_as_text=big_as_text)
    if parameter.type is not None and parameter.type.kind is Kind.ANY and not parameter.type.array:
        schema = {"type": ["string", "number", "boolean"]}
    schema = {**schema, **_rules(parameter)}
    if parameter.is_list and not (parameter.type is not None and parameter.type.array):
        schema = {"type": "array", "items": schema}
    if parameter.nullable:
        schema = _or_null(schema)
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    if parameter.default is not None:
        schema["default"] = default_value(parameter)
    return schema


def default_value(parameter: Parameter) -> Any:
    return None if parameter.default is None else _value(parameter.default, parameter)


def _rules(parameter: Parameter) -> Schema:
    rules = parameter.rules
    found: Schema = {}
    if rules.allowed:
        found["enum"] = [_value(literal, parameter) for literal in rules.allowed]
    if parameter.type is not None and parameter.type.kind in _NUMBERS:
        for key, text in (("minimum", rules.minimum), ("maximum", rules.maximum)):
            number = _number(text) if text is not None else None
            if number is not None:
                found[key] = number
    if rules.length_min is not None:
        found["minLength"] = rules.length_min
    if rules.length_max is not None:
        found["maxLength"] = rules.length_max
    if rules.pattern is not None:
        found["pattern"] = rules.pattern
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
