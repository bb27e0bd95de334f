"""A refusal of a statement as a diagnostic that points at the word it is about, for databases that name it only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlwright.diagnostic import Diagnostic
from sqlwright.engines.inference.catalogue import Catalogue
from sqlwright.engines.inference.words import Word
from sqlwright.errors import QueryInvalid
from sqlwright.query import Cardinality, Column, Query, Slot, Text
from sqlwright.sql.report import near
from sqlwright.sql.statement import Rendered

CODE = "query_invalid"
OBJECTS = frozenset({Cardinality.MANY, Cardinality.ONE, Cardinality.ONE_OR_NONE, Cardinality.RETURNING})
"""Cardinalities whose rows become JSON objects, which need a name of its own for every column."""
_NEEDS_ROWS = OBJECTS | {Cardinality.VALUE}


def invalid(query: Query, offset: int, message: str, hint: str = "", *, length: int = 1) -> QueryInvalid:
    """`QueryInvalid` at a place in the query's file."""
    found: Diagnostic = query.source.diagnostic(CODE, offset, message, hint, length=length)
    return QueryInvalid("the database refuses the statement of this query", found)


def check_columns(query: Query, columns: Sequence[Column], *, gives_rows: bool) -> None:
    """Raises `QueryInvalid` where the result cannot be what the query's header says."""
    if query.cardinality in _NEEDS_ROWS and not gives_rows:
        hint = "add RETURNING, or end the name with ! for a statement that only tells how many rows it changed"
        raise invalid(query, start_of(query), "the statement gives no rows", hint)
    twice = [name for name, count in Counter(column.name for column in columns).items() if count > 1]
    if query.cardinality in OBJECTS and twice:
        message = f"two columns are called {', '.join(twice)}"
        raise invalid(query, start_of(query), message, "give each its own name with AS")


def start_of(query: Query) -> int:
    """Where the statement itself begins in its file."""
    first = next((part for part in query.statement.parts if isinstance(part, Text)), None)
    return first.offset if first is not None else query.offset


def span_in_file(query: Query, rendered: Rendered, start: int, end: int) -> tuple[int, int]:
    """Where `rendered.text[start:end]` begins and ends in the file; a placeholder is the parameter it stands for."""
    begins = rendered.source_offset(start)
    ends = rendered.source_offset(end - 1) + 1 if end > start else begins + 1
    slot = next((part for part in query.statement.parts if isinstance(part, Slot) and part.offset == begins), None)
    if slot is not None and not slot.is_list:
        ends = begins + len(slot.name) + 1
    return begins, max(begins + 1, ends)


def name_at(words: Sequence[Word], parts: Sequence[str]) -> int | None:
    """Where the name `a.b` stands; a name alone rather where it is not qualified and names nothing anew."""
    length = 2 * len(parts) - 1
    found = [
        index
        for index in range(len(words) - length + 1)
        if [word.text for word in words[index : index + length : 2]] == list(parts)
        and all(word.text == "." for word in words[index + 1 : index + length : 2])
    ]
    return min(found, key=lambda index: words[index - 1].says(".", "as") if index else False, default=None)


def near_column(catalogue: Catalogue, words: Sequence[Word], name: str, table: str | None = None) -> str:
    """A hint with columns like `name`, of `table` or of all tables that the words name."""
    tables: Iterable[str] = {table.lower()} if table else {word.text for word in words if word.is_name}
    columns = dict.fromkeys(c.name for name in sorted(tables) for c in catalogue.table(name).values() if c.is_listed)
    return near(name, columns)
