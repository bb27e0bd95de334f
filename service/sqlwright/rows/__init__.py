"""Between JSON and Python: rows as Python values, rows as objects of a class, and Python values as parameters."""

from sqlwright.rows.arguments import fields_of, is_plain, json_value
from sqlwright.rows.mapping import Into, Mapper, mapper_of
from sqlwright.rows.reader import Row, RowReader

__all__ = ["Into", "Mapper", "Row", "RowReader", "fields_of", "is_plain", "json_value", "mapper_of"]
