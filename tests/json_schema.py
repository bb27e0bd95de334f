"""JSON Schema, as much of it as our OpenAPI document uses."""

from __future__ import annotations

import re
from typing import Any


def conforms(value: Any, schema: dict[str, Any]) -> bool:
    names = {
        type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string", list: "array",
        dict: "object",
    }  # fmt: skip
    if "anyOf" in schema and not any(conforms(value, choice) for choice in schema["anyOf"]):
        return False
    if "type" in schema:
        allowed = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        if names[type(value)] not in allowed and not (type(value) is int and "number" in allowed):
            return False
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        return False
    if isinstance(value, str):
        long = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        return long and re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    if isinstance(value, list):
        return all(conforms(item, schema.get("items", {})) for item in value)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        known = set(schema.get("required", ())) <= set(value)
        closed = schema.get("additionalProperties") is not False or set(value) <= set(properties)
        return known and closed and all(conforms(item, properties.get(key, {})) for key, item in value.items())
    return True


def answer_schema(document: dict[str, Any], path: str) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    return found
