"""How many connections the server lets this user have."""

from __future__ import annotations

from sqlwright.engines.base import ConnectionsMax
from sqlwright.engines.mysql.session import Session

_LIMITS = "SELECT connection_id(), @@global.max_connections"


async def connections_max(session: Session, thread: int) -> ConnectionsMax | None:
    number, everybody = map(int, (await session.fetch(_LIMITS)).rows[0])
    user = session.user_connections
    if number != thread:
        return None  # somebody between us shares few connections among many: the server's limit says nothing
    if 0 < user < everybody:
        return ConnectionsMax(user, f"max_user_connections = {user}")
    return ConnectionsMax(everybody, f"max_connections = {everybody}")
