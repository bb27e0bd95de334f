"""How the values of a parameter become what a driver takes: decided when a query is loaded, done at each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

BindColumn = Callable[[Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Binder:
    """Both take validated values and never None, and raise ValueError with a message for the caller when the engine
    cannot hold a value."""

    one: Callable[[Any], Any]
    column: BindColumn | None = None
    """Many values at once; None where each goes through `one`. It may refuse what `one` takes, which then decides."""


def as_it_is(value: Any) -> Any:
    return value
