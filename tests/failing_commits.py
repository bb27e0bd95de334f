"""How to make a COMMIT fail on each engine. The rest of the suite does not know which one it is on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import mariadb_server
from sqlwright.errors import DatabaseError, DatabaseUnavailable, ForeignKeyViolation

_DEFERRED = """
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent_id int NOT NULL REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
"""
_PLAIN = """
CREATE TABLE child (id int PRIMARY KEY, parent_id int NOT NULL);
"""
_QUERIES = """
-- name: orphan!
INSERT INTO child (id, parent_id) VALUES (:id, 77);

-- name: orphans$
SELECT count(*) FROM child;
"""


@dataclass(frozen=True, slots=True)
class FailingCommit:
    url: str
    """Where to connect: the database, perhaps as another user."""
    schema: str
    """Tables `parent`, where it takes one, and `child`."""
    files: dict[str, str]
    """Query files: `orphans_setup#`, `orphan!` (whose COMMIT will fail) and `orphans$`, how many there are."""
    error: type[DatabaseError]
    spoil: Callable[[], None]
    """Between the write and the COMMIT."""
    mend: Callable[[], None]
    """After it."""
    keeps_connection: bool = True
    """False where the failure says that the server is no longer the one to write to."""


def failing_commit(url: str) -> FailingCommit:
    return _BY_SCHEME.get(urlsplit(url).scheme, _deferred)(url)


def _deferred(url: str) -> FailingCommit:
    files = {"orphans.sql": f"-- name: orphans_setup#{_DEFERRED}{_QUERIES}"}
    return FailingCommit(url, _DEFERRED, files, ForeignKeyViolation, _nothing, _nothing)


def _mariadb(url: str) -> FailingCommit:
    """It defers no constraint. Who may not write to a read-only server cannot commit there what was written before."""
    files = {"orphans.sql": f"-- name: orphans_setup#{_PLAIN}{_QUERIES}"}
    parts = urlsplit(url)
    name = parts.path.strip("/")
    user = f"limited_{name}"
    mariadb_server.execute(
        url, f"CREATE OR REPLACE USER '{user}'@'%' IDENTIFIED BY 'x'; GRANT ALL ON {name}.* TO '{user}'@'%'"
    )
    return FailingCommit(
        f"mysql://{user}:x@{parts.hostname}:{parts.port}/{name}",
        _PLAIN,
        files,
        DatabaseUnavailable,
        lambda: _execute(url, "SET GLOBAL read_only = 1"),
        lambda: _execute(url, "SET GLOBAL read_only = 0"),
        keeps_connection=False,
    )


def _execute(url: str, statement: str) -> None:
    mariadb_server.execute(url, statement)


def _nothing() -> None:
    pass


_BY_SCHEME = {"mysql": _mariadb, "mariadb": _mariadb}
