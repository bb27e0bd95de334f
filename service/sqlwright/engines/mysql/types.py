"""What types are called here and what they hold, by a declaration's words and by what stands before a result's rows.

`tinyint(1)`, which is what BOOLEAN makes, and `bit(1)` are booleans; longer bits are unsigned integers. A TIMESTAMP is
a moment in UTC, a DATETIME has no zone. A TIME beyond a day is text all the same.
"""

from __future__ import annotations

import re
from typing import Any

from pymysql.constants import FIELD_TYPE, FLAG

from sqlwright.engines.inference.catalogue import JSON, TEXT
from sqlwright.query import Kind, SqlType
from sqlwright.sql.dialect import MYSQL, bare_type

BIGINT = SqlType("bigint", Kind.INT8)
BOOLEAN = SqlType("boolean", Kind.BOOL)
BYTES = SqlType("blob", Kind.BYTES)
BINARY_CHARSET = 63
_LENGTH = re.compile(r"\(([^)]*)\)")
_BLANKS = re.compile(r"\s+|\b(?:zerofill|character set \w+|charset \w+|collate \w+)\b")
_NAMES = {
    FIELD_TYPE.TINY: "tinyint", FIELD_TYPE.SHORT: "smallint", FIELD_TYPE.INT24: "mediumint", FIELD_TYPE.LONG: "int",
    FIELD_TYPE.LONGLONG: "bigint", FIELD_TYPE.YEAR: "year", FIELD_TYPE.DECIMAL: "decimal",
    FIELD_TYPE.NEWDECIMAL: "decimal", FIELD_TYPE.FLOAT: "float", FIELD_TYPE.DOUBLE: "double",
    FIELD_TYPE.DATE: "date", FIELD_TYPE.NEWDATE: "date", FIELD_TYPE.TIME: "time", FIELD_TYPE.DATETIME: "datetime",
    FIELD_TYPE.TIMESTAMP: "timestamp", FIELD_TYPE.JSON: "json", FIELD_TYPE.ENUM: "enum", FIELD_TYPE.SET: "set",
    FIELD_TYPE.GEOMETRY: "geometry",
}  # fmt: skip


def column_type(declared: str) -> SqlType | None:
    """`information_schema.columns.column_type`, or the type that a CAST writes."""
    written = " ".join(_BLANKS.sub(" ", declared.lower()).split())
    name = bare_type(written)
    found = _LENGTH.search(written)
    length = found[1].replace(" ", "") if found else ""
    if (name == "tinyint" and length == "1") or (name == "bit" and length in ("", "1")):
        return BOOLEAN
    if name == "bit":
        return _bits(int(length))
    scale = int(length.partition(",")[2] or 0) if name not in ("enum", "set") and length[:1].isdigit() else 0
    return _named(name, scale) if name else None


def field_type(field: Any) -> SqlType | None:
    """The type of a result's column (a `FieldDescriptorPacket`); None where only NULL can stand."""
    code, flags = field.type_code, field.flags
    if code == FIELD_TYPE.NULL:
        return None
    if (code == FIELD_TYPE.TINY and field.length == 1) or (code == FIELD_TYPE.BIT and field.length == 1):
        return BOOLEAN
    if code == FIELD_TYPE.BIT:
        return _bits(field.length)
    if flags & (FLAG.ENUM | FLAG.SET):
        return _named("enum" if flags & FLAG.ENUM else "set", 0)
    name = _NAMES.get(code)
    if name is None:
        return BYTES if field.charsetnr == BINARY_CHARSET else TEXT
    unsigned = " unsigned" if flags & FLAG.UNSIGNED and name.endswith("int") else ""
    return _named(name + unsigned, field.scale)


def _bits(length: int) -> SqlType:
    return SqlType("bit", Kind.INT8 if length > 32 else Kind.INT4, bounds=(0, 2**length - 1))


def _named(name: str, scale: int) -> SqlType:
    if name == "json":
        return JSON
    if name == "timestamp":
        return SqlType(name, Kind.TIMESTAMPTZ)
    if name.startswith("float"):
        return SqlType(name, Kind.FLOAT4)
    kind = MYSQL.kind(name)
    return SqlType(name, kind, scale=scale if kind is Kind.NUMERIC else None, bounds=MYSQL.bounds.get(name))
