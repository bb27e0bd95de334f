"""The facade over tables: get, list, create, update, replace and delete become ordinary queries."""

from sqlwright.crud.conflict import Resolution
from sqlwright.crud.keys import Key, PathKey
from sqlwright.crud.many import Rows
from sqlwright.crud.operation import Operation, location, perform
from sqlwright.crud.table import Table, TableColumn
from sqlwright.crud.tables import Tables

__all__ = ["Key", "Operation", "PathKey", "Resolution", "Rows", "Table", "TableColumn", "Tables", "location", "perform"]
