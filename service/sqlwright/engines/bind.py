"""What binding values has in common where a database keeps moments as text of the calendar's years 1 to 9999."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from sqlwright.engines.binder import BindColumn, as_it_is
from sqlwright.query import Kind

_PLAIN_LENGTH = 19
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d))?(?:\.(\d+))?)?(?:([Zz])|([+-])(\d\d):?(\d\d)?)?")


def stored_moment(text: str, *, in_utc: bool, database: str) -> str | None:
    """`2026-01-31 12:00:00.5`, the form that CURRENT_TIMESTAMP writes, so that texts compare as moments do.

    With `in_utc` an offset is taken off. None for infinity, BC and years beyond 9999. Raises ValueError with a message
    for callers where the moment leaves those years in UTC.
    """
    match = _MOMENT.fullmatch(text)
    if match is None:
        return None
    date, minute, second, fraction, _, sign, hours, minutes = match.groups()
    moment = f"{date} {minute or '00:00'}:{second or '00'}"
    if in_utc and sign and int(hours) + int(minutes or 0):
        east = timedelta(hours=int(hours), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
        try:
            utc = datetime.fromisoformat(moment).replace(tzinfo=timezone(east)).astimezone(UTC)
        except (ValueError, OverflowError):
            raise ValueError(f"{database} keeps moments from year 1 to 9999 in UTC") from None
        moment = utc.replace(tzinfo=None).isoformat(" ")
    digits = (fraction or "").rstrip("0")
    return f"{moment}.{digits}" if digits else moment


def plain_moments(values: Sequence[Any]) -> Sequence[Any]:
    """The same of many that are all like `2026-01-31T12:00:00`. Raises ValueError where one is not."""
    if set(map(len, values)) != {_PLAIN_LENGTH}:
        raise ValueError("not plain")
    return "\n".join(values).replace("T", " ").split("\n")


PLAIN_COLUMNS: dict[Kind, BindColumn] = {
    Kind.INT2: as_it_is, Kind.INT4: as_it_is, Kind.INT8: as_it_is, Kind.TEXT: as_it_is, Kind.OTHER: as_it_is,
    Kind.UUID: as_it_is, Kind.DATE: as_it_is, Kind.TIME: as_it_is, Kind.FLOAT8: as_it_is,
    Kind.BOOL: lambda values: list(map(int, values)),
    Kind.TIMESTAMP: plain_moments, Kind.TIMESTAMPTZ: plain_moments,
}  # fmt: skip
"""Of values that `parameters/columns.py` has found plain; numbers with a point are each database's own affair."""
