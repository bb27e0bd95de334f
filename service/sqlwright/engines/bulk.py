"""What the engines share of bulk calls: many executions of one statement, all or nothing."""

from __future__ import annotations

from sqlwright.errors import (
    CheckViolation,
    DatabaseError,
    ExclusionViolation,
    ForeignKeyViolation,
    InvalidValue,
    NotNullViolation,
    ProgramLimitExceeded,
    RaisedByStatement,
    UniqueViolation,
)

ONE_BY_ONE_MAX = 8
"""So few items are executed one by one: asking the database about their table would cost more."""

_OF_AN_ITEM = (
    CheckViolation, ExclusionViolation, ForeignKeyViolation, InvalidValue, NotNullViolation, ProgramLimitExceeded,
    RaisedByStatement, UniqueViolation,
)  # fmt: skip


def speaks_of_item(error: BaseException | None) -> bool:
    """The values of one item are why, so it can be told which; other errors are of the moment or of the statement."""
    return isinstance(error, DatabaseError) and isinstance(error, _OF_AN_ITEM)
