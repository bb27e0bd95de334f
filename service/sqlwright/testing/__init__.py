"""The testing kit: a throwaway database, every test rolled back, the application without a socket.

A pytest plugin (it is found by itself where sqlwright is installed), and for other frameworks `rolled_back`:

    async with rolled_back(settings) as test:
        await test.seed("customers.create", [{"name": "Ada"}])
        answer = await (await test.api()).get("/queries/customers/all")

`service/sqlwright/testing/plugin.py` tells the fixtures, options and ini entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlwright.testing.sandbox import Sandbox, rolled_back

__all__ = ["Sandbox", "rolled_back"]


def __getattr__(name: str) -> Any:
    """Nothing is imported before it is asked for: pytest loads this package in every run."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sqlwright.testing import sandbox

    return getattr(sandbox, name)
