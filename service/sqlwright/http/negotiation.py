"""What a caller accepts and what it sends: Accept and Content-Type."""

from __future__ import annotations

from functools import lru_cache

from sqlwright.errors import NotAcceptable, UnsupportedMediaType

_HEADER_BYTES_MAX = 1000
"""Of the headers that are read here, so that what is remembered of them is bounded."""
JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"
_OFFERS = {False: (JSON,), True: (JSON, NDJSON, CSV)}


@lru_cache(maxsize=256)
def _chosen(accept: bytes, streams: bool) -> str | None:
    """RFC 9110 §12.5.1: for each of our types the most specific range decides, and q=0 refuses.

    Of those that are equally welcome, the one that is named wins, and then the first.
    """
    ranges: dict[str, float] = {}
    for part in accept.decode("latin-1").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        ranges[name] = max(ranges.get(name, 0.0), _quality(parameters))
    best: tuple[float, int] = (0.0, -1)
    chosen = None
    for offer in _OFFERS[streams]:
        for rank, name in enumerate((offer, f"{offer.partition('/')[0]}/*", "*/*")):
            if name in ranges:
                if ranges[name] > 0 and (ranges[name], -rank) > best:
                    best, chosen = (ranges[name], -rank), offer
                break
    return chosen


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 1.0
    return 1.0


ANYTHING = (None, b"*/*")
"""What most callers accept."""


def choose(accept: bytes | None, *, streams: bool) -> str:
    """The media type of the answer; JSON where nothing else is asked for. `streams` where it may be one of rows.

    Raises `NotAcceptable`.
    """
    if accept in ANYTHING or not accept.strip():
        return JSON
    chosen = _chosen(accept, streams) if len(accept) <= _HEADER_BYTES_MAX else None
    if chosen is None:
        raise NotAcceptable(f"answers are {' or '.join(_OFFERS[streams])}, which Accept does not allow")
    return chosen


def check_accept(accept: bytes | None) -> None:
    """For answers that are JSON."""
    choose(accept, streams=False)


def media_types(*, streams: bool) -> tuple[str, ...]:
    """What can be chosen from."""
    return _OFFERS[streams]


@lru_cache(maxsize=256)
def is_json(content_type: bytes) -> bool:
    """application/json or application/…+json, in UTF-8."""
    name, *parameters = (piece.strip() for piece in content_type.decode("latin-1").lower().split(";"))
    if name != "application/json" and not (name.startswith("application/") and name.endswith("+json")):
        return False
    charsets = [
        value.strip().strip('"') for key, _, value in (p.partition("=") for p in parameters) if key == "charset"
    ]
    return all(charset in ("utf-8", "utf8", "us-ascii") for charset in charsets)


def check_media_type(content_type: bytes | None) -> None:
    """Of a request that has a body."""
    if content_type is None or len(content_type) > _HEADER_BYTES_MAX or not is_json(content_type):
        raise UnsupportedMediaType("the body must be application/json in UTF-8", hint="Content-Type: application/json")


_ROWS = {"application/x-ndjson": "ndjson", "application/ndjson": "ndjson", "text/csv": "csv"}
"""Media types of many rows beside JSON."""


@lru_cache(maxsize=256)
def form_of_rows(content_type: bytes) -> str:
    """`json`, `ndjson` or `csv`; empty for anything else."""
    if is_json(content_type):
        return "json"
    name, separator, parameters = content_type.decode("latin-1").lower().partition(";")
    as_json = b"application/json" + (separator + parameters).encode("latin-1")
    return _ROWS.get(name.strip(), "") if is_json(as_json) else ""  # in UTF-8


def check_rows_type(content_type: bytes | None) -> None:
    """Of a request that may have many rows."""
    if content_type is None or len(content_type) > _HEADER_BYTES_MAX or not form_of_rows(content_type):
        raise UnsupportedMediaType(
            "the body must be application/json, application/x-ndjson or text/csv, in UTF-8",
            hint="Content-Type: application/json",
        )


@lru_cache(maxsize=256)
def preferences(prefer: bytes) -> dict[str, str]:
    """RFC 7240: the first of a name counts."""
    found: dict[str, str] = {}
    for part in prefer.decode("latin-1").split(","):
        name, _, value = part.partition(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"').lower())
    return found
