"""Which of the queries the tests have called."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from sqlwright.database import Database
from sqlwright.query import Cardinality
from sqlwright.registry import Registry

_CALLS = ("run", "run_bulk", "stream")
SHOWN_MAX = 20
"""How many names the line at the end tells."""


class Coverage:
    """By name; scripts do not count, because they cannot be rolled back and are run by people."""

    def __init__(self, known: Iterable[str] = (), called: Iterable[str] = ()) -> None:
        self.known = set(known)
        self.called = set(called)

    def watch(self, database: Database, registry: Registry) -> None:
        """Note every query that this database runs."""
        self.known |= {query.name for query in registry if query.cardinality is not Cardinality.SCRIPT}
        for name in _CALLS:
            setattr(database.engine, name, self._noting(getattr(database.engine, name)))

    def _noting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def note(lease: Any, program: Any, *arguments: Any, **options: Any) -> Any:
            self.called.add(program.query.name)
            return call(lease, program, *arguments, **options)

        return note

    @property
    def missing(self) -> list[str]:
        return sorted(self.known - self.called)

    @property
    def percent(self) -> float:
        return 100.0 * len(self.known & self.called) / len(self.known) if self.known else 0.0

    def line(self) -> str:
        missing = self.missing
        never = ", ".join(missing[:SHOWN_MAX]) + (
            f" and {len(missing) - SHOWN_MAX} more" if missing[SHOWN_MAX:] else ""
        )
        called = len(self.known) - len(missing)
        # Rounded down: 100 % means all of them.
        text = f"sqlwright: {called} of {len(self.known)} queries called ({int(self.percent)} %)"
        return f"{text}; never called: {never}" if never else text
