"""`db.q.artists.get(artist_id=1)`: queries by attribute."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from sqlwright.errors import UnknownQuery
from sqlwright.query import Cardinality

if TYPE_CHECKING:
    from sqlwright.client.calls import Calls

_NEAR_MAX = 3


class UnknownName(UnknownQuery, AttributeError):
    """There is neither a query nor a namespace of that name."""

    def __str__(self) -> str:
        return f"{super().__str__()}; {self.hint}" if self.near else super().__str__()


class Names:
    """A namespace, a query, or both. Called, it runs the query with its parameters as keywords.

    A bulk query takes its items as the one positional argument. `db.run(name, …)` can do more: `into=`, `timeout=`.
    """

    # Named so that they stand in the way of no query.
    __slots__ = ("_sqlwright_calls", "_sqlwright_name")

    _sqlwright_calls: Calls
    _sqlwright_name: str

    def __init__(self, calls: Calls, name: str = "") -> None:
        self._sqlwright_calls = calls
        self._sqlwright_name = name

    def __getattr__(self, name: str) -> Names:
        """Raises `UnknownName`, which is an AttributeError."""
        if name.startswith("_"):  # Python asks for many of these (copy, pickle, inspect); no query has one
            raise AttributeError(name)
        full = f"{self._sqlwright_name}.{name}" if self._sqlwright_name else name
        registry = self._sqlwright_calls.registry
        if full not in registry and full not in registry.namespaces:
            near = difflib.get_close_matches(name, dir(self), n=_NEAR_MAX)
            named = [f"{self._sqlwright_name}.{n}" if self._sqlwright_name else n for n in near]
            raise UnknownName(full, registry.called_by_file(full)[:_NEAR_MAX] or named)
        return Names(self._sqlwright_calls, full)

    def __call__(self, /, *items: Any, **parameters: Any) -> Awaitable[Any]:
        calls, name = self._sqlwright_calls, self._sqlwright_name
        query = calls.registry[name]
        if query.cardinality is Cardinality.BULK:
            if len(items) != 1 or parameters:
                raise TypeError(f"{name} is a bulk query: it takes one list of parameter mappings")
            return calls.run(name, items[0])
        if items:
            raise TypeError(f"{name} takes its parameters by keyword")
        return calls.run(name, parameters)

    def __dir__(self) -> list[str]:
        registry, prefix = self._sqlwright_calls.registry, f"{self._sqlwright_name}."
        names = [*(query.name for query in registry), *registry.namespaces]
        if self._sqlwright_name:
            names = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
        return sorted({name.partition(".")[0] for name in names})

    def __repr__(self) -> str:
        return f"<queries {self._sqlwright_name or '(all)'}>"
