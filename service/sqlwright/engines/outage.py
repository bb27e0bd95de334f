"""What an error says about the server, and not only about the connection that met it."""

from __future__ import annotations

from sqlwright.errors import DatabaseUnavailable, OutcomeUnknown

READ_ONLY = "the database is read-only at present"


def lost(detail: str, *, native_code: str = "", native_message: str = "") -> DatabaseUnavailable:
    """The connection broke without a word from the server, and nothing was applied."""
    error = DatabaseUnavailable(detail, native_code=native_code, native_message=native_message)
    error.was_lost = True
    return error


def read_only(*, native_code: str = "", native_message: str = "") -> DatabaseUnavailable:
    """The server takes no writes, so it is not the primary, or no longer."""
    error = DatabaseUnavailable(READ_ONLY, native_code=native_code, native_message=native_message)
    error.is_read_only = True
    return error


def speaks_of_server(error: BaseException | None) -> bool:
    """True for what the other connections would meet, too: then `Pool.distrust` them."""
    if isinstance(error, DatabaseUnavailable):
        return error.was_lost or error.is_read_only
    return isinstance(error, OutcomeUnknown)
