"""A parameter's value that is known only when an earlier step of the same transaction has run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Later:
    """Stands where the value will: a validator lets it pass, and `Validator.fill` validates what comes in its place."""

    step: int
    """The step whose body has it, from 0."""
    path: tuple[str, ...]
    """Names and indexes that lead to it; empty for the whole body."""
    text: str = field(compare=False)
    """As the caller wrote it."""
    place: str = field(compare=False)
    """Of the parameter in the caller's body, for messages."""


Resolve = Callable[[Later], Any]
"""The JSON value that has come; raises `Refused` where there is none."""
