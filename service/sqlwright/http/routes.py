"""The way of a call, from the path to the bytes."""

from __future__ import annotations

import asyncio

from sqlwright.config import Settings
from sqlwright.contract import Contract
from sqlwright.errors import MethodNotAllowed, StatementFailed, UnknownQuery
from sqlwright.execute import execute
from sqlwright.http.array_call import call_array
from sqlwright.http.calls import BODY_BYTES_ON_LOOP_MAX, beside, check_method, parse_body, refuse_query_string
from sqlwright.http.catalogue import render_catalogue
from sqlwright.http.exchange import Exchange, Receive
from sqlwright.http.negotiation import JSON, check_accept, choose
from sqlwright.http.request_body import read_body
from sqlwright.http.responses import Answer, json_answer, respond
from sqlwright.http.rows_body import parse_rows, read_rows
from sqlwright.http.service import QUERIES_PATH, Served, Service, query_path
from sqlwright.http.streaming import StreamAnswer
from sqlwright.plan import Plan, make_bulk_plan, make_plan, make_stream_plan
from sqlwright.query import Access, Cardinality, Query

_NAME_LENGTH_MAX = 200
_READING = ("GET", "HEAD", "POST")
_WRITING = ("POST",)


async def call(service: Service, exchange: Exchange, receive: Receive) -> Answer | None:
    """Answer a request for a path at or below /queries."""
    query = service.served.by_path.get(exchange.path)
    if query is None:
        return _catalogue(service, exchange)
    exchange.query = query.name
    exchange.access = query.access
    service.database.refuse_when_full(query.access)
    _check_method(exchange, _READING if query.access is Access.READ else _WRITING)
    media_type = choose(exchange.every(b"accept"), streams=query.is_paged)
    exchange.ends_at = exchange.started + deadline_seconds(query, service.settings)
    if media_type != JSON:
        await _stream(service, exchange, receive, query, media_type)
        return None
    try:
        content: object = None
        size = 0
        if exchange.method == "POST":
            body = await _read(service.settings, query, exchange, receive)
            size = len(body)
            if query.cardinality is Cardinality.BULK:
                content = await beside(size, parse_rows, service.settings, exchange, body)
            else:
                content = await beside(size, parse_body, service.settings, body)
        exchange.complete = True
        contract = service.contracts.ready(query) or await service.contracts.get(query)
        if type(content) is list and query.access is Access.READ:
            return await call_array(service, exchange, contract, content, size)
        if size <= BODY_BYTES_ON_LOOP_MAX:
            plan = _plan(service.settings, contract, exchange, content)
        else:
            plan = await asyncio.to_thread(_plan, service.settings, contract, exchange, content)
        plan.alone = exchange.alone
        exchange.plan = plan
        exchange.executing = True
        result = await execute(service.database, plan, exchange)
    except StatementFailed:
        service.doubt(query)
        raise
    return respond(exchange, plan, result)


async def _stream(service: Service, exchange: Exchange, receive: Receive, query: Query, media_type: str) -> None:
    """Rows as they come. The time of a request is that of the first ones."""
    try:
        body = await _read(service.settings, query, exchange, receive) if exchange.method == "POST" else b""
        content = await beside(len(body), parse_body, service.settings, body)
        exchange.complete = True
        contract = service.contracts.ready(query) or await service.contracts.get(query)
        validator = contract.validator.streamed()
        if exchange.method == "POST":
            asked = await beside(len(body), validator.from_json, content, exchange.query_string)
        else:
            asked = validator.from_query_string(exchange.query_string)
        exchange.plan = make_stream_plan(contract, asked)
        answer = StreamAnswer(service, exchange, exchange.plan, media_type, asked.limit)
        await answer.open()
    except StatementFailed:
        service.doubt(query)
        raise
    await answer.send()


async def _read(settings: Settings, query: Query, exchange: Exchange, receive: Receive) -> bytes:
    if query.cardinality is Cardinality.BULK:
        return await read_rows(settings, exchange, receive)
    return await read_body(exchange, receive, settings.body_bytes_max)


def _plan(settings: Settings, contract: Contract, exchange: Exchange, content: object) -> Plan:
    """Validate what was sent and decide what will run. No connection is taken here."""
    validator = contract.validator
    if exchange.method != "POST":
        return make_plan(contract, validator.from_query_string(exchange.query_string))
    if contract.query.cardinality is Cardinality.BULK:
        # A bulk call has its parameters in the items, and no pages.
        detail = "a bulk call takes an array of parameter objects, and nothing in the query string"
        refuse_query_string(exchange.query_string, detail)
        return make_bulk_plan(contract, validator.bulk(content, settings.bulk_items_max))
    return make_plan(contract, validator.from_json(content, exchange.query_string))


def _catalogue(service: Service, exchange: Exchange) -> Answer:
    """`/queries` and the namespaces below it; anything else is an unknown query."""
    served = service.served
    namespace = served.namespaces.get(exchange.path)
    if namespace is None:
        raise unknown_query(served, exchange.path)
    check_method(exchange, ("GET", "HEAD"))
    check_accept(exchange.every(b"accept"))
    return json_answer(render_catalogue(served.callable, namespace, service.contracts, exchange.root_path))


def unknown_query(served: Served, path: str) -> UnknownQuery:
    """With names that are near and callable. `a.b` in a path is not `a/b`: the name of a query, but not its path."""
    return unknown_name(served, path.removeprefix(QUERIES_PATH + "/").replace("/", "."))


def callable_query(served: Served, name: str) -> Query:
    """The query of this name, for callers. Raises `UnknownQuery`, for scripts too."""
    query = served.by_path.get(query_path(name))
    if query is None or query.name != name:
        raise unknown_name(served, name)
    return query


def unknown_name(served: Served, name: str) -> UnknownQuery:
    if len(name) > _NAME_LENGTH_MAX:
        return UnknownQuery(name[:_NAME_LENGTH_MAX] + "…")
    query = served.registry.get(name)
    if query is not None and query.cardinality is Cardinality.SCRIPT:
        error = UnknownQuery(name)
        error.hint = f"it is a script, which only the command line runs: sqlwright run {name}"
        return error
    try:
        served.registry[name]
    except UnknownQuery as error:
        return UnknownQuery(name, [near for near in error.near if query_path(near) in served.by_path])
    return UnknownQuery(name)


def _check_method(exchange: Exchange, allow: tuple[str, ...]) -> None:
    if exchange.access is not Access.READ and exchange.method in ("GET", "HEAD"):
        raise MethodNotAllowed(f"{exchange.query} writes: call it with POST", allow)
    check_method(exchange, allow)


def deadline_seconds(query: Query, settings: Settings) -> float:
    """How long a whole call of it may take."""
    if query.timeout_seconds is None:
        return settings.request_timeout_seconds
    # A statement that may take longer than a request extends it, waiting for its connection included.
    return max(settings.request_timeout_seconds, query.timeout_seconds + settings.acquire_timeout_seconds)
