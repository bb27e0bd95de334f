"""From a query to the exact text that SQLite gets, and to what its rows are written with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlwright.engines.base import Program
from sqlwright.engines.sqlite.encode import Encoder
from sqlwright.engines.sqlite.pace import Pace
from sqlwright.query import Access, Description, Query, Slot
from sqlwright.sql.statement import render

CHANGING_VERBS = frozenset({"insert", "update", "delete", "replace"})
KEEPS_SESSION = CHANGING_VERBS | {"select", "values"}
"""Any other statement may leave something behind in its session: a setting, a temporary table, an attached file."""
NO_TRANSACTION = frozenset({"vacuum", "attach", "detach", "pragma"})
"""Statements that refuse a transaction, or do nothing inside one."""


@dataclass(frozen=True, slots=True)
class SQLiteDescription(Description):
    windows: bool = True
    """LIMIT and OFFSET can follow the statement."""
    breaks_ties: bool = False
    """The ordinals of all columns can be appended to the ORDER BY, so that pages agree on the order of equals."""


@dataclass(frozen=True, slots=True)
class SQLiteProgram(Program):
    """`sql` gives every row and takes the values in order; so does `many`, which runs once per item, in one hop."""

    windowed: str = ""
    """The same with LIMIT and OFFSET, bound after the values; empty where they cannot follow."""
    encoder: Encoder = field(default_factory=lambda: Encoder(()))
    in_transaction: bool = False
    pace: Pace = field(default_factory=Pace, compare=False)


def slots(query: Query) -> Callable[[Slot], str]:
    """The callback of `render`: the same number for each use of a name."""
    numbers = {parameter.name: number for number, parameter in enumerate(query.parameters, 1)}

    def slot(slot: Slot) -> str:
        place = f"?{numbers[slot.name]}"
        if slot.negated is None:
            return place
        # A list of any length is one value, and so one prepared statement.
        listed = f"IN (SELECT value FROM json_each({place}))"  # noqa: S608 - a number
        return f"NOT {listed}" if slot.negated else listed

    return slot


def compile_query(query: Query, description: Description | None, *, big_numbers_as_text: bool) -> SQLiteProgram:
    sql = render(query.statement, slots(query)).text
    columns = description.columns if description is not None else ()
    return SQLiteProgram(
        query,
        sql,
        tuple(parameter.name for parameter in query.parameters),
        windowed=_windowed(query, sql, description),
        encoder=Encoder(columns, big_numbers_as_text=big_numbers_as_text),
        in_transaction=query.statement.verb not in NO_TRANSACTION,
        many=sql if query.access is Access.READ else "",
    )


def _windowed(query: Query, sql: str, description: Description | None) -> str:
    if not isinstance(description, SQLiteDescription) or not description.windows or query.statement.has_limit:
        return ""
    ties = "".join(f", {n}" for n in range(1, len(description.columns) + 1)) if description.breaks_ties else ""
    count = len(query.parameters)
    return f"{sql}{ties}\nLIMIT ?{count + 1} OFFSET ?{count + 2}"
