"""Single floats of a RETURNING, of which the server's text keeps six digits: as doubles it keeps all.

A read stands in a frame for that (`compile.py`); a RETURNING cannot, so that its own items are rewritten.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlwright.engines.inference.items import Item, item_of_column, returning_list, without_alias
from sqlwright.engines.inference.words import Word, split, words_of
from sqlwright.query import Column, Kind, Part, Query, Text
from sqlwright.sql.dialect import MYSQL


class Edit(NamedTuple):
    """`text` stands in place of what is between two places of the file, which may be one."""

    start: int
    end: int
    text: str


def doubling(query: Query, columns: Sequence[Column]) -> tuple[Edit, ...]:
    """What makes doubles of the single floats among the columns of a RETURNING. `*` becomes a list of columns."""
    if not any(is_single(column) for column in columns):
        return ()
    words = words_of(query.statement, MYSQL)
    items = split(words, returning_list(words) + 1, len(words))
    stars = [item for item in items if words[item[1] - 1].says("*")]
    found = item_of_column(words, items, len(columns))
    starred = [column for column, item in zip(columns, found, strict=True) if item == (0, 0)]
    if len(stars) != bool(starred):
        return ()  # which column is whose is not known
    edits = [edit for c, item in zip(columns, found, strict=True) for edit in _of_item(words, item, c)]
    if any(is_single(column) for column in starred):
        first, end = stars[0]
        table = query.source.text[words[first].start : words[end - 1].start]
        names = (table + quoted(column.name) for column in starred)
        listed = [as_double(name, c.name) if is_single(c) else name for name, c in zip(names, starred, strict=True)]
        edits.append(Edit(words[first].start, words[end - 1].end, ", ".join(listed)))
    return tuple(sorted(edits))


def _of_item(words: Sequence[Word], item: Item, column: Column) -> Iterator[Edit]:
    if item == (0, 0) or not is_single(column):
        return
    start, end = words[item[0]].start, without_alias(words, *item)
    alias = "" if end < item[1] else f" AS {quoted(column.name)}"
    yield Edit(start, start, "(")
    yield Edit(words[end - 1].end, words[end - 1].end, f") + 0e0{alias}")


def is_single(column: Column) -> bool:
    return column.type is not None and column.type.kind is Kind.FLOAT4


def as_double(expression: str, name: str) -> str:
    return f"{expression} + 0e0 AS {quoted(name)}"


def quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def edited(parts: Iterable[Part], edits: Sequence[Edit]) -> tuple[Part, ...]:
    """Parts of the file after the edits, which are in order and each inside one text."""
    found: list[Part] = []
    for part in parts:
        if not isinstance(part, Text):
            found.append(part)
            continue
        place, end = part.offset, part.offset + len(part.text)
        for edit in edits:
            if part.offset <= edit.start and edit.end <= end:
                found += [Text(part.text[place - part.offset : edit.start - part.offset], place)]
                found += [Text(edit.text, edit.start)]
                place = edit.end
        found.append(Text(part.text[place - part.offset :], place))
    return tuple(found)
