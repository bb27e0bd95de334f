"""What a caller accepts and what it sends: Accept and Content-Type."""

from __future__ import annotations

from functools import lru_cache

from sqlwright.errors import NotAcceptable, UnsupportedMediaType

_HEADER_BYTES_MAX = 1000
"""Of the headers that are read here, so that what is remembered of them is bounded."""
_RANGES = {"application/json": 2, "application/*": 1, "*/*": 0}


@lru_cache(maxsize=256)
def accepts_json(accept: bytes) -> bool:
    """RFC 9110 §12.5.1: the most specific range decides, and q=0 refuses."""
    best, quality = -1, 0.0
    for part in accept.decode("latin-1").lower().split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        rank = _RANGES.get(name, -1)
        if rank > best:
            best, quality = rank, _quality(parameters)
        elif rank == best >= 0:
            quality = max(quality, _quality(parameters))
    return quality > 0


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 1.0
    return 1.0


def check_accept(accept: bytes | None) -> None:
    if accept is None or not accept.strip():
        return
    if len(accept) > _HEADER_BYTES_MAX or not accepts_json(accept):
        raise NotAcceptable("answers are application/json, which Accept does not allow")


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
