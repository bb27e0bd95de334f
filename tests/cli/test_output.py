"""What a person in a terminal sees: tables, colours, a progress bar; and nothing of it anywhere else."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import sys
from collections.abc import Callable, Iterator

import pytest

from sqlwright.cli import output
from sqlwright.cli import progress as progress_module
from sqlwright.diagnostic import Diagnostic
from sqlwright.errors import DatabaseUnavailable

DIAGNOSTIC = Diagnostic("error", "a.sql", 2, 8, "x", "no such column", "write b", "SELECT\ta \x1b[2J", 1)


COLOUR = re.compile(r"\x1b\[(1;)?[39]\d")


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def usual_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")


@contextlib.contextmanager
def terminal() -> Iterator[Terminal]:
    stream = Terminal()
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield stream


def table() -> None:
    output.table(("n", "name"), [("1", "a[b]\x1b[2J"), (None, "c")], numeric=(True, False))


def test_a_plain_table(capsys: pytest.CaptureFixture[str]) -> None:
    table()
    assert capsys.readouterr().out == "   n  name\n   1  a[b]\\x1b[2J\nnull  c\n"


def test_a_drawn_table_keeps_text_as_it_is() -> None:
    with terminal() as screen:
        table()
    drawn = screen.getvalue()
    assert "─" in drawn
    assert "a[b]\\x1b[2J" in drawn
    assert "\x1b[2J" not in drawn


def test_a_plain_diagnostic(capsys: pytest.CaptureFixture[str]) -> None:
    output.diagnostics([DIAGNOSTIC], sys.stdout)
    assert capsys.readouterr().out == (
        "a.sql:2:8: error: no such column\n  2 | SELECT\ta \\x1b[2J\n    |       \t^\n  hint: write b\n\n"
    )


@pytest.mark.parametrize("show", [lambda: output.diagnostics([DIAGNOSTIC], sys.stdout), lambda: output.sql("SELECT 1")])
def test_colours_in_a_terminal_unless_no_color(monkeypatch: pytest.MonkeyPatch, show: Callable[[], None]) -> None:
    with terminal() as screen:
        show()
    assert COLOUR.search(screen.getvalue())
    monkeypatch.setenv("NO_COLOR", "1")
    with terminal() as screen:
        show()
    assert not COLOUR.search(screen.getvalue())


def test_a_long_line_is_not_broken() -> None:
    with terminal() as screen:
        output.diagnostics([Diagnostic("warning", "a.sql", 1, 1, "x", "word " * 60)], sys.stdout)
    assert screen.getvalue().count("\n") == 2


def test_the_databases_own_words_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.error(DatabaseUnavailable("away", native_message="\x1b[2Jgone"))
    assert capsys.readouterr().err == "sqlwright: away\n  the database says: \\x1b[2Jgone\n"


async def work(seconds: float) -> None:
    async with progress_module.progress("filling") as advance:
        advance("tracks", 10, 20)
        await asyncio.sleep(seconds)


async def test_a_bar_for_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "PATIENCE_SECONDS", 0.01)
    with terminal() as screen:
        await work(0.3)
    assert "tracks" in screen.getvalue()
    assert "50%" in screen.getvalue()


async def test_no_bar_for_what_is_quick() -> None:
    with terminal() as screen:
        await work(0)
    assert screen.getvalue() == ""


async def test_no_bar_where_nobody_looks(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "PATIENCE_SECONDS", 0.01)
    await work(0.1)
    assert capsys.readouterr().err == ""
