"""How many connections the server lets this user have."""

from __future__ import annotations

from sqlwright.engines.base import ConnectionsMax
from sqlwright.engines.postgres.session import Session

# Superusers may use the reserved places, and no limit of a role or a database holds for them.
_LIMITS = """
SELECT pg_backend_pid() AS pid, r.rolsuper AS super, current_setting('max_connections')::int AS all,
  current_setting('superuser_reserved_connections')::int
    + COALESCE(current_setting('reserved_connections', true)::int, 0) AS reserved,
  r.rolconnlimit AS role, d.datconnlimit AS database
FROM pg_roles r, pg_database d WHERE r.rolname = session_user AND d.datname = current_database()
"""


async def connections_max(session: Session) -> ConnectionsMax | None:
    rows = await session.fetch(_LIMITS)
    if not rows or rows[0]["pid"] != session.get_server_pid():
        return None  # somebody between us shares few connections among many: the server's limit says nothing
    row = rows[0]
    if row["super"]:
        return ConnectionsMax(row["all"], f"max_connections = {row['all']}")
    reserved = f"max_connections = {row['all']}, of which {row['reserved']} are reserved"
    limits = [ConnectionsMax(row["all"] - row["reserved"], reserved)]
    for kind, limit in (("role", row["role"]), ("database", row["database"])):
        if limit >= 0:
            limits.append(ConnectionsMax(limit, f"CONNECTION LIMIT {limit} of the {kind}"))
    return min(limits, key=lambda each: each.count)
