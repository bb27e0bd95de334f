"""What is wrong at a place: in a query file, or in the parameters of a call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One message about a place in a query file. Lines and columns count from 1, columns in characters."""

    severity: Severity
    file: str
    line: int
    column: int
    code: str
    message: str
    hint: str = ""
    source: str = ""
    """The text of the line, for the caret."""
    length: int = 1
    """How many characters the caret underlines."""

    def __str__(self) -> str:
        head = f"{self.file}:{self.line}:{self.column}: {self.severity}: {self.message}"
        parts = [head]
        if self.source.strip():
            number = str(self.line)
            # Tabs stay tabs in the padding, so that the caret stands under its character in any terminal.
            padding = "".join("\t" if c == "\t" else " " for c in self.source[: self.column - 1])
            carets = "^" * max(1, min(self.length, len(self.source) - self.column + 1))
            parts.append(f"  {number} | {self.source}")
            parts.append(f"  {' ' * len(number)} | {padding}{carets}")
        if self.hint:
            parts.append(f"  hint: {self.hint}")
        return "\n".join(parts)


@dataclass(frozen=True, slots=True)
class ParameterFault:
    """One thing wrong with one parameter of a call; all faults of a call are reported together."""

    place: Literal["query", "body", "path"]
    parameter: str
    code: str
    detail: str
    index: int | None = None
    """The item of a bulk call, from 0."""
