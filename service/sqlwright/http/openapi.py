"""The OpenAPI 3.1 document, written from what is known of every query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from sqlwright import __version__
from sqlwright.config import Settings
from sqlwright.contract import Contract
from sqlwright.http.openapi_tables import TablePaths
from sqlwright.http.openapi_transaction import transaction_path
from sqlwright.http.schemas import (
    PROBLEM,
    ROW_CONTENT,
    ROW_SCHEMAS,
    Schema,
    columns_schema,
    object_schema,
    or_null,
    page_parameters,
    parameter_schema,
)
from sqlwright.http.service import TRANSACTION_PATH, Service, query_path
from sqlwright.query import Access, Cardinality, Kind, Parameter, Query

_PROBLEM_SCHEMA: Schema = {
    "type": "object",
    "description": "RFC 9457 problem details",
    "required": ["type", "title", "status", "detail", "code", "request_id", "retryable", "outcome", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "format": "uri-reference"},
        "code": {"type": "string"},
        "request_id": {"type": "string"},
        "retryable": {"type": "boolean"},
        "outcome": {"enum": ["none", "applied", "unknown"]},
        "hint": {"type": "string"},
        "step": {"type": "integer", "description": "the step of a transaction that failed, from 0"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["in", "parameter", "code", "detail"],
                "properties": {
                    "in": {"enum": ["query", "body", "path"]},
                    "parameter": {"type": "string"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "index": {"type": "integer", "description": "the item of a bulk call, from 0"},
                },
            },
        },
    },
}

_TEXT: Schema = {"type": "string"}


class OpenApi:
    """The document, made again only when a query or what is known of one has changed."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._made_of: tuple[object, ...] = ()
        self._document: dict[str, Any] = {}
        self._bytes = b""

    def document(self) -> dict[str, Any]:
        self._refresh()
        return self._document

    def bytes(self, root_path: str = "") -> bytes:
        """`root_path` is the prefix that callers see before our paths."""
        self._refresh()
        if root_path:
            return orjson.dumps({**self._document, "servers": [{"url": root_path}]})
        return self._bytes

    def _refresh(self) -> None:
        queries = list(self._service.served.callable)
        contracts = [self._service.contracts.ready(query) for query in queries]
        tables = self._service.known_tables or ()
        made_of = (*queries, *contracts, *tables)
        same = len(made_of) == len(self._made_of) and all(a is b for a, b in zip(made_of, self._made_of, strict=True))
        if same and self._bytes:
            return
        settings = self._service.settings
        paths = _Writer(settings).paths(queries, contracts)
        for table in tables:
            paths |= TablePaths(table, settings).paths()
        names = [query.name for query in queries], [table.name for table in tables]
        paths[TRANSACTION_PATH] = transaction_path(*names, settings.transaction_steps_max)
        self._document = _document(paths)
        self._bytes = orjson.dumps(self._document)
        self._made_of = made_of


def _document(paths: dict[str, Any]) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "sqlwright", "version": __version__, "description": "SQL files and tables as calls."},
        "paths": paths,
        "components": {
            "schemas": {"Problem": _PROBLEM_SCHEMA, **ROW_SCHEMAS},
            "responses": {
                "Problem": {
                    "description": "What went wrong",
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
            },
        },
    }


class _Writer:
    def __init__(self, settings: Settings) -> None:
        self._big_as_text = settings.big_numbers == "string"
        self._array_items_max = settings.array_items_max

    def paths(self, queries: Sequence[Query], contracts: Sequence[Contract | None]) -> dict[str, Any]:
        return {
            query_path(query.name): self._path(query, contract)
            for query, contract in zip(queries, contracts, strict=True)
        }

    def _path(self, query: Query, contract: Contract | None) -> dict[str, Any]:
        parameters = contract.parameters if contract else query.parameters
        operations = {"post": self._post(query, contract, parameters)}
        if query.access is Access.READ:
            operations = {"get": self._get(query, contract, parameters), **operations}
        return operations

    def _common(self, query: Query, method: str, contract: Contract | None) -> dict[str, Any]:
        summary, _, _ = query.doc.partition("\n")
        operation: dict[str, Any] = {
            "operationId": f"{method}_{query.name}",  # with its dots: `a.b_c` is not `a_b.c`
            "tags": [query.name.rpartition(".")[0] or "queries"],
            "summary": summary or query.name,
            "responses": {
                "200": {
                    "description": "OK",
                    "content": {
                        "application/json": {"schema": self._result(query, contract)},
                        **(ROW_CONTENT if query.is_paged else {}),
                    },
                },
                "default": PROBLEM,
            },
        }
        if query.doc not in ("", summary):
            operation["description"] = query.doc
        return operation

    def _get(self, query: Query, contract: Contract | None, parameters: Sequence[Parameter]) -> dict[str, Any]:
        entries = [self._query_parameter(parameter) for parameter in parameters]
        return {**self._common(query, "get", contract), "parameters": [*entries, *_paging(query, contract)]}

    def _query_parameter(self, parameter: Parameter) -> dict[str, Any]:
        schema = parameter_schema(parameter, big_as_text=self._big_as_text, in_query=True)
        entry: dict[str, Any] = {"name": parameter.name, "in": "query", "required": parameter.required}
        if parameter.doc:
            entry["description"] = parameter.doc
        if parameter.type is not None and parameter.type.kind is Kind.JSON:
            return {**entry, "content": {"application/json": {"schema": schema}}}
        return {**entry, "schema": schema}

    def _post(self, query: Query, contract: Contract | None, parameters: Sequence[Parameter]) -> dict[str, Any]:
        # Taken in the query string too, but not in both.
        paging = {
            entry["name"]: {**entry["schema"], "description": entry["description"]}
            for entry in _paging(query, contract)
        }
        own = {p.name: self._property(p) for p in parameters}
        body: Schema = {
            "type": "object",
            "additionalProperties": False,
            "properties": {**own, **paging},
            "required": [p.name for p in parameters if p.required],
        }
        bulk = query.cardinality is Cardinality.BULK
        if bulk:
            body = {"type": "array", "items": body}
        operation = self._common(query, "post", contract)
        if body.get("properties") or bulk:
            required = bulk or any(p.required for p in parameters)
            if query.access is Access.READ:
                body = self._or_several(body, operation)
            content: Schema = {"application/json": {"schema": body}}
            if bulk:
                content |= {"application/x-ndjson": {"schema": _TEXT}, "text/csv": {"schema": _TEXT}}
            operation["requestBody"] = {"required": required, "content": content}
        return operation

    def _or_several(self, body: Schema, operation: dict[str, Any]) -> Schema:
        """What a body is that may be an array of such; `operation` answers in kind."""
        content = operation["responses"]["200"]["content"]["application/json"]
        result = content["schema"]
        content["schema"] = {"anyOf": [result, object_schema({"results": {"type": "array", "items": result}})]}
        return {**body, "type": ["object", "array"], "items": body, "maxItems": self._array_items_max}

    def _property(self, parameter: Parameter) -> Schema:
        schema = parameter_schema(parameter, big_as_text=self._big_as_text)
        return {**schema, "description": parameter.doc} if parameter.doc else schema

    def _result(self, query: Query, contract: Contract | None) -> Schema:
        cardinality = query.cardinality
        if cardinality in (Cardinality.EXEC, Cardinality.BULK):
            return object_schema({"affected": {"type": "integer"}})
        if cardinality is Cardinality.INSERT:
            return object_schema({"value": {"type": ["integer", "null"]}})
        columns = contract.columns if contract else ()
        row: Schema = columns_schema(columns, big_as_text=self._big_as_text) if columns else {"type": "object"}
        if cardinality is Cardinality.VALUE:
            # Null where there is no row, too.
            value: Schema = or_null(next(iter(row["properties"].values()))) if columns else {}
            return object_schema({"value": value})
        if cardinality is Cardinality.MANY:
            page = object_schema({"data": {"type": "array", "items": row}, "next": {"type": ["string", "null"]}})
            if query.is_paged and not _has_next(query):
                page["properties"]["truncated"] = {
                    "const": True,
                    "description": "there are more rows than may be given",
                }
            return page
        if cardinality is Cardinality.ONE_OR_NONE:
            return {"anyOf": [row, {"type": "null"}]}
        return row


def _paging(query: Query, contract: Contract | None) -> list[dict[str, Any]]:
    """`limit` and `next`, where the SQL has no parameter of that name."""
    if not query.is_paged:
        return []
    rows = rows_max = None
    if contract is not None:
        rows_max = contract.page_rows_max
        rows = rows_max if query.statement.has_limit else contract.page_rows
    taken = {parameter.name for parameter in query.parameters} | (set() if _has_next(query) else {"next"})
    return [entry for entry in page_parameters(rows, rows_max) if entry["name"] not in taken]


def _has_next(query: Query) -> bool:
    """Not where a statement pages itself, by a LIMIT or a parameter of that name."""
    return not query.statement.has_limit and all(parameter.name != "next" for parameter in query.parameters)
