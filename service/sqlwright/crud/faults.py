"""Which columns a database's error is about, as far as it, or the table, tells."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from sqlwright.crud.table import Constraint, Table
from sqlwright.diagnostic import ParameterFault
from sqlwright.errors import (
    CheckViolation,
    DatabaseError,
    ForeignKeyViolation,
    InvalidValue,
    NotNullViolation,
    UniqueViolation,
)
from sqlwright.query import Kind

_CODES: dict[type[DatabaseError], tuple[str, str]] = {
    UniqueViolation: ("unique", "another row already has this value"),
    ForeignKeyViolation: ("foreign_key", "there is no row that this refers to"),
    NotNullViolation: ("null", "a value is needed"),
    CheckViolation: ("check", "the value breaks a rule of the table"),
    InvalidValue: ("value", "the database cannot take this value"),
}


def faults_of(table: Table, kind: str, sent: Sequence[str], error: DatabaseError) -> tuple[ParameterFault, ...]:
    """One fault a column; none where nothing tells which it is."""
    if type(error) not in _CODES:
        return ()
    code, detail = _CODES[type(error)]
    if isinstance(error, ForeignKeyViolation):
        columns, detail = _foreign_key(table, kind, sent, error, detail)
    else:
        columns = _columns(table, sent, error)
    if isinstance(error, UniqueViolation) and len(columns) > 1:
        detail = "another row already has these values together"
    if isinstance(error, CheckViolation) and error.constraint:
        detail = f"the value breaks the rule {error.constraint}"
    return tuple(ParameterFault("path" if kind == "delete" else "body", name, code, detail) for name in columns)


def _columns(table: Table, sent: Sequence[str], error: DatabaseError) -> Sequence[str]:
    told = known(table, error.columns)
    if told:
        return told
    if isinstance(error, UniqueViolation):
        return _of_constraint(table.uniques, error.constraint, ())
    if isinstance(error, CheckViolation):
        return _of_constraint(table.checks, error.constraint, sent)
    if isinstance(error, InvalidValue) and len(sent) > 1:
        # Only a number of few digits can still be too large after validation.
        sent = [name for name in sent if table.by_name[name].type.kind is Kind.NUMERIC]
    return sent if len(sent) == 1 else ()


def known(table: Table, names: Iterable[str]) -> list[str]:
    """These columns by the table's spelling of their names; databases compare names in their own ways."""
    spelled = {name.lower(): name for name in reversed(list(table.by_name))}
    found = [name if name in table.by_name else spelled.get(name.lower(), "") for name in names]
    return list(dict.fromkeys(filter(None, found)))


def _of_constraint(constraints: Collection[Constraint], name: str, sent: Collection[str]) -> Sequence[str]:
    """The columns of the constraints of this name (a rule of a type may stand for several), of those sent if any is."""
    named = [one for one in constraints if name and name in (one.name, one.text)]
    # A server that writes `table.name` leaves it open where a name with dots begins.
    named = named or [one for one in constraints if name and one.name.endswith(f".{name}")]
    columns = list(dict.fromkeys(column for one in named for column in one.columns))
    return [column for column in columns if column in sent] or columns


def _foreign_key(
    table: Table, kind: str, sent: Collection[str], error: DatabaseError, detail: str
) -> tuple[Sequence[str], str]:
    referred = "other rows refer to this one"
    if kind == "delete":
        return table.primary_key, referred
    for key in table.foreign_keys:
        if error.constraint and key.name == error.constraint:
            return key.columns, detail
    if not error.constraint:  # the database says nothing: all that it can be
        columns = [c for key in table.foreign_keys if set(key.columns) & set(sent) for c in key.columns]
        if columns:
            return list(dict.fromkeys(columns)), detail
    # A constraint of another table, whose rows refer to a value that would change.
    candidates = [c for unique in table.uniques for c in unique.columns if c in sent]
    return list(dict.fromkeys(candidates)), referred
