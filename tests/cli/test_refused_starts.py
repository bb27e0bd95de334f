"""What stops `serve` before it serves: one clear message that names the key, or file and line."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from item_shop import Cli, write

import mariadb_server
from record_shop import run_script
from servers import with_user

CASES = json.loads((Path(__file__).parent.parent / "cases" / "refused_starts.json").read_text(encoding="utf-8"))


def _clear(said: str) -> None:
    assert said.strip()
    assert "Traceback" not in said
    assert "hunter2" not in said
    assert "unexpected" not in said


@pytest.mark.reliability(43)
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch, case: dict[str, Any]) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:///data.db")
    for name, value in case.get("environment", {}).items():
        monkeypatch.setenv(name, value)
    write({"queries/one.sql": "SELECT 1 AS n;", **case.get("files", {})}, ".")
    for name, target in case.get("links", {}).items():
        Path(name).symlink_to(target)
    for name, content in case.get("bytes", {}).items():
        Path(name).write_bytes(bytes.fromhex(content))
    with socket.create_server(("127.0.0.1", 0)) as taken:  # whatever is let through stops here
        words = case.get("words", [])
        port = [] if "--port" in words else ["--port", str(taken.getsockname()[1])]
        answer = cli("serve", *words, *port)
    assert answer.code == case["code"], answer.err
    _clear(answer.err)
    for words in case["says"]:
        assert words in answer.err
    assert not answer.out
    if answer.code == 2 and "--wrokers" not in words:
        assert len(answer.err.splitlines()) <= 3, answer.err


@pytest.mark.reliability(43)
@pytest.mark.skipif(os.getuid() != 0, reason="only root can make files that others cannot read, and be another")
@pytest.mark.parametrize("what", ["file", "folder", "port"])
def test_without_rights(tmp_path: Path, what: str) -> None:
    """As a user who may not read a file, not read a folder, or not listen on a port below 1024."""
    write({"queries/one.sql": "SELECT 1 AS n;", "queries/in/two.sql": "SELECT 2 AS n;"}, ".")
    locked = {"file": "queries/in/two.sql", "folder": "queries/in", "port": ""}[what]
    if locked:
        Path(locked).chmod(0)
    program = (
        "import encodings.idna, os, sys, sqlwright.http.server, sqlwright.engines.sqlite.engine;"
        " from sqlwright.cli import main as command, serve; os.setgid(65534); os.setuid(65534);"
        " sys.exit(command.main(sys.argv[1:]))"
    )
    for folder in (Path.cwd(), *Path.cwd().parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH)
    port = "1" if what == "port" else "0"
    said = subprocess.run(
        [sys.executable, "-c", program, "serve", "--database-url", "sqlite:////tmp/none.db", "--port", port],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    _clear(said.stderr)
    if what == "port":
        assert said.returncode == 2
        assert "needs more rights" in said.stderr
    else:
        assert said.returncode == 1
        assert f"{locked}:1:1: error" in said.stderr
        assert "cannot be read" in said.stderr


def _serve(url: str, **settings: object) -> subprocess.CompletedProcess[str]:
    write({"one.sql": "SELECT 1 AS n;"})
    flags = [word for key, value in settings.items() for word in ("--" + key.replace("_", "-"), str(value))]
    command = [sys.executable, "-m", "sqlwright", "serve", "--database-url", url, "--port", "0", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _refused_for_connections(said: subprocess.CompletedProcess[str], *words: str) -> None:
    assert said.returncode == 2, said.stderr
    _clear(said.stderr)
    for word in (*words, "SQLWRIGHT_WORKERS", "SQLWRIGHT_READER_POOL_SIZE"):
        assert word in said.stderr


@pytest.mark.reliability(43)
def test_more_connections_than_postgresql_gives(postgresql_url: str) -> None:
    most = {"workers": 100, "reader_pool_size": 6, "writer_pool_size": 4}
    sum_of = "workers 100 x (reader_pool_size 6 + writer_pool_size 4) = 1000 connections"
    _refused_for_connections(_serve(postgresql_url, **most), sum_of, "max_connections")
    name = f"limited_{os.getpid()}"
    make = f"CREATE ROLE {name} LOGIN CONNECTION LIMIT 29"
    asyncio.run(run_script(postgresql_url, make))
    try:
        said = _serve(with_user(postgresql_url, name), workers=2)
        _refused_for_connections(said, "2 x (reader_pool_size 10 + writer_pool_size 5) = 30 connections", "29", "role")
    finally:
        asyncio.run(run_script(postgresql_url, f"DROP ROLE {name}"))


@pytest.mark.reliability(43)
def test_more_connections_than_mariadb_gives(mysql_url: str) -> None:
    said = _serve(mysql_url, workers=200)
    _refused_for_connections(
        said, "200 x (reader_pool_size 10 + writer_pool_size 5) = 3000 connections", "max_connections"
    )
    name = f"limited_{os.getpid()}"
    mariadb_server.execute(mysql_url, f"CREATE USER {name} WITH MAX_USER_CONNECTIONS 29; GRANT ALL ON *.* TO {name}")
    try:
        said = _serve(with_user(mysql_url, name), workers=2)
        _refused_for_connections(said, "= 30 connections", "max_user_connections = 29")
    finally:
        mariadb_server.execute(mysql_url, f"DROP USER {name}")
