"""Scripts: several statements in one go."""

from __future__ import annotations

import re

import asyncpg

from sqlwright.engines.postgres.compile import PostgresProgram
from sqlwright.engines.postgres.errors import translate
from sqlwright.engines.postgres.session import Session
from sqlwright.engines.raised import raise_ours
from sqlwright.errors import QueryInvalid, StatementFailed
from sqlwright.query import Access
from sqlwright.sql.statement import render

_MEANT = re.compile(r'[\w.]+|"(?:[^"]|"")*"')


async def run_script(session: Session, program: PostgresProgram) -> None:
    """The simple protocol takes several statements and makes them one transaction, unless they say otherwise, or one
    is open already."""
    try:
        await session.execute(program.sql)
    except asyncpg.PostgresError as error:
        raise_ours(_refused(program, error), error)


def _refused(program: PostgresProgram, error: asyncpg.PostgresError) -> QueryInvalid | None:
    """A statement that PostgreSQL does not understand, with the place in the file that it points at."""
    if not (error.position or "").isdigit() or not isinstance(translate(error, Access.SCRIPT), StatementFailed):
        return None
    source = program.query.source
    rendered = render(program.query.statement, lambda slot: f":{slot.name}")  # a script has no parameters
    place = rendered.source_offset(int(error.position) - 1)
    meant = _MEANT.match(source.text, place)
    length = len(meant.group()) if meant else 1
    message, hint = error.message or str(error), error.hint or ""
    diagnostic = source.diagnostic("query_invalid", place, message, hint, length=length)
    return QueryInvalid("the database refuses a statement of this script", diagnostic)
