"""What OpenAPI says of POST /transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlwright.http.schemas import PROBLEM, Schema
from sqlwright.query import ISOLATIONS

_RESULT = (
    'a value may be {"$result": "path"} into an earlier step\'s result, such as "invoice.invoice_id" or "0.data.0.id"'
)
_AS: Schema = {
    "type": "string",
    "pattern": r"^(?![0-9]+$)[^.]+$",
    "maxLength": 100,
    "description": "a name for later steps to refer to this one's result",
}
_KEY: Schema = {"description": "the row's key: its value, or an object or an array where it has several columns"}


def transaction_path(queries: Sequence[str], tables: Sequence[str], steps_max: int) -> dict[str, Any]:
    """The path item, over the names of what can be called."""
    steps = [_query_step(queries)] if queries else []
    steps += _table_steps(tables) if tables else []
    body: Schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["steps"],
        "properties": {
            "isolation": {"enum": [*ISOLATIONS, None], "description": "at least this one"},
            "dry_run": {"type": "boolean", "default": False, "description": "roll back, and give the results"},
            "steps": {"type": "array", "minItems": 1, "maxItems": steps_max, "items": {"anyOf": steps}},
        },
    }
    answer: Schema = {
        "type": "object",
        "required": ["results"],
        "properties": {
            "results": {"type": "array", "description": "what each step gives, in their order", "items": {}},
            "dry_run": {"const": True},
        },
    }
    return {
        "post": {
            "operationId": "transaction",
            "tags": ["transaction"],
            "summary": "Several calls, all or nothing",
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
            "responses": {
                "200": {"description": "OK", "content": {"application/json": {"schema": answer}}},
                "default": PROBLEM,
            },
        }
    }


def _step(properties: dict[str, Schema], required: Sequence[str]) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**properties, "as": _AS},
    }


def _query_step(queries: Sequence[str]) -> Schema:
    params = f"the query's parameters, an array of such objects for a bulk query; {_RESULT}"
    return _step(
        {"query": {"enum": list(queries)}, "params": {"type": ["object", "array"], "description": params}}, ["query"]
    )


def _table_steps(tables: Sequence[str]) -> list[Schema]:
    table: Schema = {"enum": list(tables)}
    columns: Schema = {"type": "object", "description": f"values of columns; {_RESULT}"}
    true: Schema = {"const": True}
    listed = {
        "table": table,
        "list": {"type": "object", "description": "filters: column or column__operator, with JSON values"},
        "sort": {"type": ["array", "string"], "items": {"type": "string"}, "description": 'like ["-a", "b"]'},
        "limit": {"type": "integer", "minimum": 1},
    }
    keyed = {"get": true, "update": columns, "replace": columns, "delete": true}
    return [
        _step(listed, ["table", "list"]),
        _step({"table": table, "create": columns}, ["table", "create"]),
        *(_step({"table": table, "key": _KEY, kind: value}, ["table", "key", kind]) for kind, value in keyed.items()),
    ]
