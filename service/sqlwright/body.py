"""The JSON body of a result, the same over HTTP and on the command line.

many → `{"data":[…],"next":null}`; one → the object; value → `{"value":…}`; exec and bulk → `{"affected":n}`.
"""

from __future__ import annotations

from sqlwright.plan import Plan, next_token
from sqlwright.query import Cardinality, Result

_OBJECT = frozenset({Cardinality.ONE, Cardinality.ONE_OR_NONE, Cardinality.RETURNING})
_VALUE = frozenset({Cardinality.VALUE, Cardinality.INSERT})


def render_body(plan: Plan, result: Result) -> tuple[bytes, str | None]:
    """The body in UTF-8, and the token of the next page."""
    cardinality = plan.contract.query.cardinality
    if cardinality is Cardinality.MANY:
        token = next_token(plan, result) if result.more else None
        tail = b'],"next":null' if token is None else b'],"next":"%b"' % token.encode("ascii")
        # Only a statement with a LIMIT of its own can have more rows than it may give and yet no next page.
        cut = b',"truncated":true}' if result.more and token is None else b"}"
        return b'{"data":[' + result.json + tail + cut, token
    if cardinality in _OBJECT:
        return (result.json if result.count else b"null"), None
    if cardinality in _VALUE:
        return b'{"value":' + (result.json or b"null") + b"}", None
    return b'{"affected":%d}' % result.affected, None
