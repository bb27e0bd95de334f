"""/tables, /tables/{table} and /tables/{table}/{key}: the rows of the tables that are served."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote, unquote

from sqlwright.crud import Operation, PathKey, Resolution, Table, location, perform
from sqlwright.errors import NotFound, StatementFailed
from sqlwright.http.calls import beside, check_method, deadline, parse_body, refuse_query_string
from sqlwright.http.exchange import Exchange, Receive
from sqlwright.http.negotiation import JSON, check_accept, choose, preferences
from sqlwright.http.request_body import read_body, too_large
from sqlwright.http.responses import Answer, json_answer, respond
from sqlwright.http.rows_body import parse_rows, read_rows
from sqlwright.http.service import Service
from sqlwright.http.streaming import StreamAnswer
from sqlwright.http.table_catalogue import ITEM, ROWS, describe_table, methods_of, table_path
from sqlwright.parameters import Cells
from sqlwright.parameters.query_string import split_query_string
from sqlwright.parameters.refusal import Refused
from sqlwright.query import Access

_READING = ("GET", "HEAD")
_RESOLUTIONS: dict[str, Resolution] = {"merge-duplicates": "merge", "ignore-duplicates": "ignore"}
_PREFER_BYTES_MAX = 1000


async def call_table(service: Service, exchange: Exchange, receive: Receive) -> Answer | None:
    """Answer a request for a path at or below /tables."""
    exchange.access = Access.READ if exchange.method in _READING else Access.WRITE
    service.database.refuse_when_full(exchange.access)
    segments = raw_segments(exchange)
    async with deadline(exchange, service.settings.request_timeout_seconds):
        if not segments:
            return await _catalogue(service, exchange)
        table = await service.tables.table(unquote(segments[0]))
        exchange.query = f"tables.{table.name}"
        allow = methods_of(table, ROWS if len(segments) == 1 else ITEM)
        if len(segments) > 2 or not allow:
            hint = "a slash inside a key is written %2F" if allow else f"the rows of {table.name} have no key"
            raise NotFound("there is nothing at this path", hint=hint)
        check_method(exchange, allow)
        lists = len(segments) == 1 and exchange.method in _READING
        media_type = choose(exchange.every(b"accept"), streams=lists)
        if media_type == JSON:
            content = await _content(service, exchange, receive)
            if exchange.method == "POST":
                operation = await _creation(service, exchange, table, content)
            else:
                operation = await _operation(service, exchange, table, segments[1:], content)
            _take(exchange, operation)
            plan, result = await perform(service.database, operation, exchange)
        else:
            stream = await _open_stream(service, exchange, table, media_type)
    if media_type != JSON:
        await stream.send()
        return None
    answer = respond(exchange, plan, result)
    if operation.conflict is not None:
        applied = f"resolution={operation.conflict.resolution}-duplicates".encode("ascii")
        answer.headers = [*answer.headers, (b"preference-applied", applied)]
    if operation.kind == "create" and table.primary_key and not operation.firsts:
        place = f"{quote(exchange.root_path)}{table_path(table.name)}/{location(operation, answer.body)}"
        answer.headers = [*answer.headers, (b"location", place.encode("ascii"))]
    if operation.kind == "create":
        answer.status = HTTPStatus.CREATED
    if operation.kind == "delete":
        headers = [header for header in answer.headers if header[0] != b"content-type"]
        return Answer(HTTPStatus.NO_CONTENT, b"", headers)
    return answer


def _take(exchange: Exchange, operation: Operation) -> None:
    # Not the statement's name, of which there are many.
    exchange.query = f"tables.{operation.table.name}.{operation.kind}"
    exchange.plan = operation.plans[-1]
    exchange.executing = True


async def _open_stream(service: Service, exchange: Exchange, table: Table, media_type: str) -> StreamAnswer:
    exchange.complete = True
    operation = await service.tables.stream_from_query_string(table.name, exchange.query_string)
    _take(exchange, operation)
    plan = operation.plans[-1]
    rows_max = None if plan.window is None else plan.window.rows
    plan = replace(plan, window=None, bytes_max=plan.contract.page_bytes_max)
    stream = StreamAnswer(service, exchange, plan, media_type, rows_max)
    try:
        await stream.open()
    except StatementFailed:
        operation.doubt()
        raise
    return stream


async def _content(service: Service, exchange: Exchange, receive: Receive) -> object:
    """The JSON of the body; nothing is read of a request that has none to say."""
    if exchange.method in (*_READING, "DELETE"):
        exchange.complete = True
        return None
    settings = service.settings
    if exchange.method != "POST":
        body = await read_body(exchange, receive, settings.body_bytes_max)
        exchange.complete = True
        return await beside(len(body), parse_body, settings, body)
    body = await read_rows(settings, exchange, receive)
    exchange.complete = True
    content = await beside(len(body), parse_rows, settings, exchange, body)
    if type(content) is dict and len(body) > settings.body_bytes_max:  # many rows may have more
        raise too_large(settings.body_bytes_max)
    return content


async def _creation(service: Service, exchange: Exchange, table: Table, content: object) -> Operation:
    """One row or many. What is done about a row that is there stands in the header Prefer."""
    resolution, on = _resolution(exchange), _on_conflict(exchange)
    rows = content if isinstance(content, list | Cells) else [content] if resolution == "ignore" else None
    if rows is None:
        return await service.tables.create(table.name, content, resolution=resolution, on=on)
    return await service.tables.create_many(table.name, rows, resolution=resolution, on=on)


def _resolution(exchange: Exchange) -> Resolution | None:
    asked = preferences((exchange.every(b"prefer") or b"")[:_PREFER_BYTES_MAX]).get("resolution")
    return _RESOLUTIONS.get(asked or "")


def _on_conflict(exchange: Exchange) -> tuple[str, ...]:
    """`?on_conflict=a,b`; nothing else is taken in the query string."""
    pairs = list(split_query_string(exchange.query_string)) if exchange.query_string else []
    if not pairs:
        return ()
    (name, text), *others = pairs
    if others or name != "on_conflict" or isinstance(text, Refused) or not text:
        refuse_query_string(exchange.query_string, "a new row takes on_conflict=column,column here and nothing else")
    return tuple(str(text).split(","))


async def _operation(service: Service, exchange: Exchange, table: Table, key: list[str], content: object) -> Operation:
    """Validate what was sent and decide what will run. No connection is taken here."""
    tables, name = service.tables, table.name
    if not key and exchange.method in _READING:
        return await tables.list_from_query_string(name, exchange.query_string)
    refuse_query_string(exchange.query_string, "only a list of rows takes something in the query string")
    row = PathKey(key[0])
    match exchange.method:
        case "PATCH":
            return await tables.update(name, row, content)
        case "PUT":
            return await tables.replace(name, row, content)
        case "DELETE":
            return await tables.delete(name, row)
        case _:
            return await tables.get(name, row)


async def _catalogue(service: Service, exchange: Exchange) -> Answer:
    check_method(exchange, _READING)
    check_accept(exchange.every(b"accept"))
    await service.look_at_tables()
    return json_answer({"tables": [describe_table(table, exchange.root_path) for table in service.known_tables or ()]})


def raw_segments(exchange: Exchange) -> list[str]:
    """What follows /tables, still percent-encoded: decoded, `a,b` would be the same as `a%2Cb`.

    Servers differ in whether the raw path has the prefix that a proxy cut, and some have no raw path.
    """
    raw_path: bytes = exchange.scope.get("raw_path") or b""
    raw = raw_path.partition(b"?")[0].decode("latin-1")
    decoded = unquote(raw)
    if decoded == exchange.path:
        skipped = 0
    elif decoded == exchange.root_path + exchange.path:
        skipped = exchange.root_path.count("/")
    else:
        raw, skipped = quote(exchange.path, safe="/,"), 0
    return raw.split("/")[skipped + 2 :]
