"""/tables, /tables/{table} and /tables/{table}/{key}: the rows of the tables that are served."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from urllib.parse import quote, unquote

from sqlwright.crud import Operation, PathKey, Table, location, perform
from sqlwright.errors import NotFound, StatementFailed
from sqlwright.http.calls import beside, check_method, deadline, parse_body, refuse_query_string
from sqlwright.http.exchange import Exchange, Receive
from sqlwright.http.negotiation import JSON, check_accept, choose
from sqlwright.http.request_body import read_body
from sqlwright.http.responses import Answer, json_answer, respond
from sqlwright.http.service import Service
from sqlwright.http.streaming import StreamAnswer
from sqlwright.http.table_catalogue import ITEM, ROWS, describe_table, methods_of, table_path
from sqlwright.query import Access

_READING = ("GET", "HEAD")


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
            operation = await _operation(service, exchange, table, segments[1:], content)
            _take(exchange, operation)
            plan, result = await perform(service.database, operation, exchange)
        else:
            stream = await _open_stream(service, exchange, table, media_type)
    if media_type != JSON:
        await stream.send()
        return None
    answer = respond(exchange, plan, result)
    if operation.kind == "create" and table.primary_key:
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
    body = await read_body(exchange, receive, service.settings.body_bytes_max)
    exchange.complete = True
    return await beside(len(body), parse_body, service.settings, body)


async def _operation(service: Service, exchange: Exchange, table: Table, key: list[str], content: object) -> Operation:
    """Validate what was sent and decide what will run. No connection is taken here."""
    tables, name = service.tables, table.name
    if not key and exchange.method in _READING:
        return await tables.list_from_query_string(name, exchange.query_string)
    refuse_query_string(exchange.query_string, "only a list of rows takes something in the query string")
    if not key:
        return await tables.create(name, content)
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
