"""Dates and times as text: checked before a connection is taken, passed on as they were written.

Python's own types cannot hold what databases can: years beyond 9999, BC, `infinity`, 24:00. So each form is measured
in microseconds, which proves that it is right and orders it, and the text itself goes to the database.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date
from typing import Any

from sqlwright.parameters.refusal import Refused, quoted
from sqlwright.query import Kind

_DATE = r"([0-9]{4}|[1-9][0-9]{4,6})-([0-9]{2})-([0-9]{2})"
_TIME = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
_FORM_DATE = re.compile(f"{_DATE}( BC)?")
_FORM_TIME = re.compile(_TIME)
_FORM_TIMESTAMP = re.compile(f"{_DATE}(?:[T ]{_TIME})?( BC)?")
_FORM_SPAN = re.compile(r"(-)?([0-9]{2,3}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?")
_LOST_PLUS = re.compile(r".*[0-9] [0-9]{2}(?::?[0-9]{2})?(?: BC)?")

YEAR_MAX = 294_276
YEAR_MAX_OF_DATES = 5_874_897
YEAR_MAX_BC = 4_714
"""Where PostgreSQL's calendar ends and begins."""
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_CYCLE_YEARS = 400
_CYCLE_DAYS = 146_097
"""The calendar repeats after so many years, so any year can be asked of `datetime.date`."""
_INFINITIES = {"infinity": math.inf, "-infinity": -math.inf}

EXPECTED = {
    Kind.DATE: "a date like 2024-12-31",
    Kind.TIME: "a time like 23:59:59.999",
    Kind.TIMETZ: "a time with an offset like 23:59:59+02:00",
    Kind.TIMESTAMP: "a timestamp like 2024-12-31T23:59:59, without an offset",
    Kind.TIMESTAMPTZ: "a timestamp like 2024-12-31T23:59:59Z or with an offset like +02:00",
}

Measure = Callable[[str], float]
"""Microseconds of a text, for comparing it with others of its kind; raises `Refused` when it is not of the form."""


def measure_of(kind: Kind) -> Measure | None:
    """How texts of a kind are checked and compared; None for a kind that is neither date nor time."""
    return _MEASURES.get(kind)


def _measure_date(text: str) -> float:
    if text in _INFINITIES:
        return _INFINITIES[text]
    match = _FORM_DATE.fullmatch(text)
    if match is None:
        raise _not_of(Kind.DATE, text)
    return _days(match.groups(), text, YEAR_MAX_OF_DATES) * _DAY


def _measure_time(kind: Kind) -> Measure:
    def measure(text: str) -> float:
        match = _FORM_TIME.fullmatch(text)
        if match is None:
            raise _not_of(kind, text)
        return _microseconds(kind, match.groups(), text)

    return measure


def span_measure(low: int, high: int) -> Measure:
    """Of a time that is a span, as MariaDB's are: from so many seconds to so many, perhaps negative."""

    def measure(text: str) -> float:
        match = _FORM_SPAN.fullmatch(text)
        if match is None:
            raise Refused("format", f"a time like 23:59:59.999 or -100:30:00 is expected, not {quoted(text)}")
        sign, hour, minute, second, fraction = match.groups()
        if int(minute) > 59 or int(second or 0) > 59:
            raise Refused("format", f"there is no such time: {quoted(text)}")
        if len(fraction or "") > 6:
            raise Refused("format", f"at most 6 digits after the point of the seconds are kept, not {quoted(text)}")
        seconds = int(hour) * 3600 + int(minute) * 60 + int(second or 0)
        size = seconds * _SECOND + int((fraction or "").ljust(6, "0"))
        measured = -size if sign else size
        if not (low - 1) * _SECOND < measured < (high + 1) * _SECOND:
            raise Refused("range", f"a time of at most {high // 3600} hours is expected, not {quoted(text)}")
        return measured

    return measure


def _measure_timestamp(kind: Kind) -> Measure:
    def measure(text: str) -> float:
        if text in _INFINITIES:
            return _INFINITIES[text]
        match = _FORM_TIMESTAMP.fullmatch(text)
        if match is None:
            raise _not_of(kind, text)
        year, month, day, *time, bc = match.groups()
        moment = _days((year, month, day, bc), text) * _DAY
        return moment if time[0] is None else moment + _microseconds(kind, tuple(time), text)

    return measure


def _days(parts: tuple[Any, ...], text: str, year_max: int = YEAR_MAX) -> int:
    """`parts`: year, month, day, and BC or None."""
    year, month, day, bc = parts
    number = int(year)
    if not 1 <= number <= (YEAR_MAX_BC if bc else year_max):
        raise Refused("range", f"a year from {YEAR_MAX_BC} BC to {year_max} is expected, not {quoted(text)}")
    cycles, within = divmod((1 - number if bc else number) - 1, _CYCLE_YEARS)
    try:
        return cycles * _CYCLE_DAYS + date(within + 1, int(month), int(day)).toordinal()
    except ValueError:
        raise Refused("format", f"there is no such day: {quoted(text)}") from None


def _microseconds(kind: Kind, parts: tuple[str, ...], text: str) -> int:
    """Microseconds since midnight in UTC. `parts`: hour, minute, and maybe second, fraction, zone, else None."""
    hour, minute, second, fraction, zone = int(parts[0]), int(parts[1]), int(parts[2] or 0), parts[3] or "", parts[4]
    # 24:00 is a time of its own to databases; in a timestamp it would be the next day.
    midnight = hour == 24 and kind in (Kind.TIME, Kind.TIMETZ) and not (minute or second or fraction.strip("0"))
    if (hour > 23 and not midnight) or minute > 59 or second > 59:
        raise Refused("format", f"there is no such time of day: {quoted(text)}")
    if len(fraction) > 6:
        raise Refused("format", f"at most 6 digits after the point of the seconds are kept, not {quoted(text)}")
    if zone is not None and kind in (Kind.TIME, Kind.TIMESTAMP):
        raise Refused(
            "format",
            f"{EXPECTED[kind]} is expected, not {quoted(text)}: this type has no time zone, "
            "so the offset would be lost and the moment be another one",
        )
    seconds = hour * 3600 + minute * 60 + second - _offset(zone, text)
    return seconds * _SECOND + int(fraction.ljust(6, "0"))


def _offset(zone: str | None, text: str) -> int:
    """Seconds east of UTC. Without a zone it is UTC."""
    if zone is None or zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 15 or minutes > 59:
        raise Refused("format", f"there is no such offset: {quoted(text)}")
    return (hours * 3600 + minutes * 60) * (-1 if zone[0] == "-" else 1)


def _not_of(kind: Kind, text: str) -> Refused:
    lost = kind in (Kind.TIMESTAMPTZ, Kind.TIMETZ) and _LOST_PLUS.fullmatch(text) and ":" in text
    hint = "; in a query string a + is written %2B" if lost else ""
    return Refused("format", f"{EXPECTED[kind]} is expected, not {quoted(text)}{hint}")


_MEASURES: dict[Kind, Measure] = {
    Kind.DATE: _measure_date,
    Kind.TIME: _measure_time(Kind.TIME),
    Kind.TIMETZ: _measure_time(Kind.TIMETZ),
    Kind.TIMESTAMP: _measure_timestamp(Kind.TIMESTAMP),
    Kind.TIMESTAMPTZ: _measure_timestamp(Kind.TIMESTAMPTZ),
}
