"""What people and programs see: results on standard output, messages on standard error.

In a terminal rich draws tables and colours (it obeys NO_COLOR); everywhere else the text is plain and rich is not even
imported.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Any

from sqlwright.diagnostic import Diagnostic
from sqlwright.errors import DatabaseError, InvalidParameters, LoadError, QueryInvalid, SqlwrightError, UnknownQuery

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Control and direction characters in a value must not drive the terminal.
_UNSAFE = [*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_VISIBLE = {code: chr(code).encode("unicode_escape").decode("ascii") for code in _UNSAFE}

_VISIBLE_BUT_LINES = {code: text for code, text in _VISIBLE.items() if chr(code) not in "\t\n"}

_SEVERITY_STYLES = {"error": "bold red", "warning": "yellow"}


def prepare() -> None:
    """A character that the stream cannot encode is escaped instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    return text.translate(_VISIBLE)


def someone_looks(stream: IO[str]) -> bool:
    return stream.isatty()


def console(stream: IO[str]) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=True)


# --- messages ---------------------------------------------------------------------------------------------------


def message(text: str, *, hint: str = "") -> None:
    """One message, and how to go on."""
    note(f"sqlwright: {text}")
    if hint:
        note(f"  hint: {hint}")


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def error(error: SqlwrightError) -> None:
    """An expected error: all that is known about it, without a traceback."""
    if isinstance(error, LoadError):
        diagnostics(error.diagnostics, sys.stderr)
        return
    if isinstance(error, QueryInvalid) and error.diagnostic is not None:
        diagnostics([error.diagnostic], sys.stderr)
        return
    hint = error.hint
    if isinstance(error, UnknownQuery) and not error.near:
        hint = "`sqlwright list` lists the queries"
    message(str(error) or error.code, hint=hint)
    if isinstance(error, InvalidParameters):
        for fault in error.faults:
            item = "" if fault.index is None else f"item {fault.index + 1}: "
            note(printable(f"  {item}{fault.parameter + ': ' if fault.parameter else ''}{fault.detail}"))
    elif isinstance(error, DatabaseError) and error.native_message:
        code = f" ({error.native_code})" if error.native_code else ""
        note(printable(f"  the database says: {error.native_message}{code}"))


def diagnostics(found: Iterable[Diagnostic], stream: IO[str]) -> None:
    """Each with its line, caret and hint, a blank line between two."""
    if someone_looks(stream):
        terminal = console(stream)
        for diagnostic in found:
            terminal.print(_coloured(diagnostic), end="\n\n")
    else:
        for diagnostic in found:
            print(_lines(diagnostic), end="\n\n", file=stream)
    stream.flush()


def _lines(diagnostic: Diagnostic) -> str:
    return str(diagnostic).translate(_VISIBLE_BUT_LINES)


def _coloured(diagnostic: Diagnostic) -> Text:
    from rich.text import Text

    style = _SEVERITY_STYLES[diagnostic.severity]
    head, *rest = _lines(diagnostic).split("\n")
    place, _, message = head.partition(f" {diagnostic.severity}: ")
    text = Text.assemble((place, "bold"), " ", (diagnostic.severity, style), (f": {message}", "bold"))
    for line in rest:
        if line.strip(" \t|^") == "" and "^" in line:
            text.append("\n" + line, style)
        else:
            text.append("\n" + line, "cyan" if line.startswith("  hint: ") else "")
    return text


# --- results ----------------------------------------------------------------------------------------------------


def json_result(value: Any) -> None:
    print(json.dumps(value, indent=2))


def raw(content: bytes) -> None:
    """Bytes as they are, whatever the stream's encoding."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def table(headings: Sequence[str], rows: Sequence[Sequence[str | None]], *, numeric: Sequence[bool] = ()) -> None:
    """Rows under their headings; None is a null. `numeric` columns stand to the right."""
    right = [*numeric, *[False] * (len(headings) - len(numeric))]
    if someone_looks(sys.stdout):
        _drawn_table(headings, rows, right)
        return
    cells = [[printable(heading) for heading in headings]]
    cells += [["null" if cell is None else printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ]
        print("  ".join(padded).rstrip())


def _drawn_table(headings: Sequence[str], rows: Sequence[Sequence[str | None]], right: Sequence[bool]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading, to_right in zip(headings, right, strict=True):
        drawn.add_column(Text(printable(heading)), justify="right" if to_right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text("null", "dim") if cell is None else Text(printable(cell)) for cell in row))
    console(sys.stdout).print(drawn, soft_wrap=False)


def sql(text: str) -> None:
    """A statement, coloured where a person looks."""
    if not someone_looks(sys.stdout):
        print(text)
        return
    from rich.syntax import Syntax

    console(sys.stdout).print(Syntax(text, "sql", theme="ansi_dark", word_wrap=True))
