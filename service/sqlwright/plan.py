"""A plan: one call, decided. Pure: from a contract and validated values to what will run, and where the next page is.

A page token is an offset and a digest of what it belongs to: the query, its exact statement (and so its order) and the
values. It carries nothing secret; the digest refuses a token that was edited or made for another call. It is the same
on every worker and machine that serves the same files.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlwright.contract import Contract
from sqlwright.errors import InvalidPageToken
from sqlwright.parameters import Call
from sqlwright.query import UNBOUNDED, Access, Result, Values, Window

_OFFSET_BYTES = 8
_DIGEST_BYTES = 16
_OFFSET_MAX = 2**62


@dataclass(slots=True)  # not frozen: making one is a third of the time then
class Plan:
    """One call: the program, its values, which rows, in which kind of session, and how long it may take."""

    contract: Contract
    access: Access
    timeout_seconds: float
    values: Values = ()
    items: Sequence[Values] | None = None
    """The values of every item of a bulk call."""
    window: Window | None = None
    """None gives every row."""
    bytes_max: int = UNBOUNDED
    """Of a single row."""
    alone: bool = False
    """Not together with others."""


def make_plan(contract: Contract, call: Call, *, paged: bool = True) -> Plan:
    """The plan of a single call. `paged` False (Python, the command line) gives every row.

    Raises `InvalidPageToken` for a token of another query, order or values, or an edited one.
    """
    query = contract.query
    window = None
    if paged and query.is_paged:
        offset = 0 if call.next is None else _offset(contract, call)
        if query.statement.has_limit:
            # The statement pages itself: its rows are only capped, and no page follows.
            window = Window(call.limit or contract.page_rows_max, bytes_max=contract.page_bytes_max)
        else:
            window = Window(call.limit or contract.page_rows, offset, contract.page_bytes_max)
    # What a write gives back is told whatever its size: it is done.
    bytes_max = contract.page_bytes_max if paged and query.access is Access.READ else UNBOUNDED
    return Plan(
        contract, query.access, contract.timeout_seconds, values=call.values, window=window, bytes_max=bytes_max
    )


def make_stream_plan(contract: Contract, call: Call) -> Plan:
    """Every row, as they come; a single one is bounded as on a page."""
    return replace(make_plan(contract, call, paged=False), bytes_max=contract.page_bytes_max)


def make_bulk_plan(contract: Contract, items: Sequence[Values]) -> Plan:
    return Plan(contract, Access.WRITE, contract.timeout_seconds, items=items)


def make_script_plan(contract: Contract) -> Plan:
    return Plan(contract, Access.SCRIPT, contract.timeout_seconds)


def next_token(plan: Plan, result: Result) -> str | None:
    """The token of the page after one that is not the last; None where there is no such page to be had."""
    window = plan.window
    query = plan.contract.query
    if window is None or query.statement.has_limit:
        return None
    if any(parameter.name == "next" for parameter in query.parameters):
        return None  # the query's own wins: a token would have nowhere to go
    offset = window.offset + result.count
    return _encode(offset, _digest(plan.contract, plan.values, offset))


def _digest(contract: Contract, values: Values, offset: int) -> bytes:
    what = (contract.query.name, contract.program.sql, tuple(values), offset)
    return hashlib.blake2b(repr(what).encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def _encode(offset: int, digest: bytes) -> str:
    return base64.urlsafe_b64encode(offset.to_bytes(_OFFSET_BYTES, "big") + digest).decode("ascii")


def _offset(contract: Contract, call: Call) -> int:
    if contract.query.statement.has_limit:
        raise _refusal()
    try:
        raw = base64.urlsafe_b64decode((call.next or "").encode("ascii"))
    except (UnicodeEncodeError, binascii.Error):
        raise _refusal() from None
    if len(raw) != _OFFSET_BYTES + _DIGEST_BYTES:
        raise _refusal()
    offset = int.from_bytes(raw[:_OFFSET_BYTES], "big")
    # Encoded again and compared as text: base64 has several spellings of the same bytes, we accept ours only.
    if offset > _OFFSET_MAX or _encode(offset, _digest(contract, call.values, offset)) != call.next:
        raise _refusal()
    return offset


def _refusal() -> InvalidPageToken:
    return InvalidPageToken(
        "this page token does not belong to this query and these parameters, or the query has changed",
        hint="take `next` from the answer before, with the same parameters; without `next` the first page comes",
    )
