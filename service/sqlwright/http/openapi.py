"""The OpenAPI 3.1 document, written from what is known of every query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from sqlwright import __version__
from sqlwright.contract import Contract
from sqlwright.http.schemas import Schema, columns_schema, or_null, parameter_schema
from sqlwright.http.service import Service, query_path
from sqlwright.query import Access, Cardinality, Kind, Parameter, Query

_PROBLEM_REFERENCE = {"$ref": "#/components/responses/Problem"}
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
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["in", "parameter", "code", "detail"],
                "properties": {
                    "in": {"enum": ["query", "body"]},
                    "parameter": {"type": "string"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                    "index": {"type": "integer", "description": "the item of a bulk call, from 0"},
                },
            },
        },
    },
}


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

    def bytes(self) -> bytes:
        self._refresh()
        return self._bytes

    def _refresh(self) -> None:
        queries = list(self._service.served.callable)
        contracts = [self._service.contracts.ready(query) for query in queries]
        made_of = (*queries, *contracts)
        same = len(made_of) == len(self._made_of) and all(a is b for a, b in zip(made_of, self._made_of, strict=True))
        if same and self._bytes:
            return
        writer = _Writer(big_as_text=self._service.settings.big_numbers == "string")
        self._document = writer.document(queries, contracts)
        self._bytes = orjson.dumps(self._document)
        self._made_of = made_of


class _Writer:
    def __init__(self, *, big_as_text: bool) -> None:
        self._big_as_text = big_as_text

    def document(self, queries: Sequence[Query], contracts: Sequence[Contract | None]) -> dict[str, Any]:
        paths = {
            query_path(query.name): self._path(query, contract)
            for query, contract in zip(queries, contracts, strict=True)
        }
        return {
            "openapi": "3.1.0",
            "info": {"title": "sqlwright", "version": __version__, "description": "Every operation is a SQL file."},
            "paths": paths,
            "components": {
                "schemas": {"Problem": _PROBLEM_SCHEMA},
                "responses": {
                    "Problem": {
                        "description": "What went wrong",
                        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
                    }
                },
            },
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
                    "content": {"application/json": {"schema": self._result(query, contract)}},
                },
                "default": _PROBLEM_REFERENCE,
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
            operation["requestBody"] = {"required": required, "content": {"application/json": {"schema": body}}}
        return operation

    def _property(self, parameter: Parameter) -> Schema:
        schema = parameter_schema(parameter, big_as_text=self._big_as_text)
        return {**schema, "description": parameter.doc} if parameter.doc else schema

    def _result(self, query: Query, contract: Contract | None) -> Schema:
        cardinality = query.cardinality
        if cardinality in (Cardinality.EXEC, Cardinality.BULK):
            return _object({"affected": {"type": "integer"}})
        if cardinality is Cardinality.INSERT:
            return _object({"value": {"type": ["integer", "null"]}})
        columns = contract.columns if contract else ()
        row: Schema = columns_schema(columns, big_as_text=self._big_as_text) if columns else {"type": "object"}
        if cardinality is Cardinality.VALUE:
            # Null where there is no row, too.
            value: Schema = or_null(next(iter(row["properties"].values()))) if columns else {}
            return _object({"value": value})
        if cardinality is Cardinality.MANY:
            page = _object({"data": {"type": "array", "items": row}, "next": {"type": ["string", "null"]}})
            if query.is_paged and not _has_next(query):
                page["properties"]["truncated"] = {
                    "const": True,
                    "description": "there are more rows than may be given",
                }
            return page
        if cardinality is Cardinality.ONE_OR_NONE:
            return {"anyOf": [row, {"type": "null"}]}
        return row


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _paging(query: Query, contract: Contract | None) -> list[dict[str, Any]]:
    """`limit` and `next`, where the SQL has no parameter of that name."""
    if not query.is_paged:
        return []
    entries = []
    if all(parameter.name != "limit" for parameter in query.parameters):
        limit: Schema = {"type": "integer", "minimum": 1}
        if contract is not None:
            rows = contract.page_rows_max if query.statement.has_limit else contract.page_rows
            limit |= {"maximum": contract.page_rows_max, "default": rows}
        entries.append({"name": "limit", "in": "query", "description": "rows of a page", "schema": limit})
    if _has_next(query):
        token: Schema = {"type": "string", "minLength": 1}
        entries.append({"name": "next", "in": "query", "description": "`next` of the page before", "schema": token})
    return entries


def _has_next(query: Query) -> bool:
    """Not where a statement pages itself, by a LIMIT or a parameter of that name."""
    return not query.statement.has_limit and all(parameter.name != "next" for parameter in query.parameters)
