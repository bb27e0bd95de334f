"""The body of a call that takes many rows: JSON, NDJSON or CSV."""

from __future__ import annotations

from sqlwright.config import Settings
from sqlwright.http.calls import parse_body
from sqlwright.http.exchange import Exchange, Receive
from sqlwright.http.negotiation import check_rows_type, form_of_rows
from sqlwright.http.request_body import read_body
from sqlwright.parameters.cells import parse_csv
from sqlwright.parameters.json_body import parse_ndjson


async def read_rows(settings: Settings, exchange: Exchange, receive: Receive) -> bytes:
    return await read_body(exchange, receive, settings.bulk_body_bytes_max, check_rows_type)


def parse_rows(settings: Settings, exchange: Exchange, body: bytes) -> object:
    """What the body says: JSON, a list of JSON values, or `Cells`."""
    match form_of_rows(exchange.headers.get(b"content-type", b"")):
        case "ndjson":
            return parse_ndjson(body, settings.json_depth_max)
        case "csv":
            return parse_csv(body)
        case _:
            return parse_body(settings, body)
