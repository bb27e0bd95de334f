"""The catalogue: what can be called, with what, and what comes back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlwright.contract import Contracts
from sqlwright.http.negotiation import media_types
from sqlwright.http.schemas import default_value
from sqlwright.http.service import query_path
from sqlwright.query import Access, Cardinality, Column, Kind, Parameter, Query


def render_catalogue(
    queries: Iterable[Query], namespace: str, contracts: Contracts, root_path: str = ""
) -> dict[str, Any]:
    """The queries at and below a namespace (all for the empty one), and the namespaces right below it."""
    prefix = namespace + "." if namespace else ""
    chosen = [query for query in queries if query.name.startswith(prefix)]
    below = sorted({query.name[len(prefix) :].split(".")[0] for query in chosen if "." in query.name[len(prefix) :]})
    return {
        "namespace": namespace or None,
        "namespaces": [{"name": prefix + name, "url": root_path + query_path(prefix + name)} for name in below],
        "queries": [_entry(query, contracts, root_path) for query in chosen],
    }


def _entry(query: Query, contracts: Contracts, root_path: str) -> dict[str, Any]:
    contract = contracts.ready(query)
    parameters = contract.parameters if contract else query.parameters
    return {
        "name": query.name,
        "url": root_path + query_path(query.name),
        "methods": ["GET", "HEAD", "POST"] if query.access is Access.READ else ["POST"],
        "doc": query.doc,
        "cardinality": query.cardinality.value,
        "access": query.access.value,
        "paged": query.is_paged,
        "media_types": media_types(streams=query.is_paged),
        "takes_array": query.access is Access.READ or query.cardinality is Cardinality.BULK,
        "parameters": [_parameter(parameter) for parameter in parameters],
        # Not yet known until the database has been asked.
        "columns": [_column(column) for column in contract.columns] if contract else None,
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": parameter.name,
        "type": _type_name(parameter),
        "nullable": parameter.nullable,
        "required": parameter.required,
        "list": parameter.is_list or (parameter.type is not None and parameter.type.array),
        "doc": parameter.doc,
    }
    if parameter.default is not None:
        entry["default"] = default_value(parameter)
    return entry


def _column(column: Column) -> dict[str, Any]:
    return {"name": column.name, "type": str(column.type) if column.type else None, "nullable": column.nullable}


def _type_name(parameter: Parameter) -> str | None:
    if parameter.type is None or (parameter.type.kind is Kind.ANY and not parameter.type.name):
        return None
    return str(parameter.type)
