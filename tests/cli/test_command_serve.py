"""`serve`, `dev` and `demo` as the commands that people type, answering real calls."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from item_shop import Cli

PATIENCE_SECONDS = 30.0


class Running:
    """A command that serves, and what it has written to standard error so far."""

    def __init__(self, *words: str) -> None:
        command = Path(sys.executable).with_name("sqlwright")
        self.process = subprocess.Popen(
            [str(command), *words, "--port", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)

    @property
    def said(self) -> str:
        return "".join(self.lines)

    def until(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = re.search(pattern, self.said)
            if found:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"{pattern!r} was not said:\n{self.said}")

    def url(self) -> str:
        return self.until(r"serving \d+ quer(?:y|ies) at (http://[\w.:]+)")[1]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(PATIENCE_SECONDS)
        return code


@contextlib.contextmanager
def running(*words: str) -> Iterator[Running]:
    command = Running(*words)
    try:
        yield command
    finally:
        if command.process.poll() is None:
            try:
                command.stop()
            except subprocess.TimeoutExpired:
                os.killpg(command.process.pid, signal.SIGKILL)  # the workers too
                raise
        assert command.process.stderr is not None
        command.process.stderr.close()


def get(url: str) -> tuple[int, bytes]:
    try:
        with urlopen(url, timeout=PATIENCE_SECONDS) as response:
            return response.status, response.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def get_until(url: str, expected: bytes) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    body = b""
    while time.monotonic() < deadline and expected not in body:
        body = get(url)[1]
        time.sleep(0.05)
    assert expected in body


def test_serve_answers_what_run_prints(cli: Cli, shop: str) -> None:
    with running("serve") as command:
        url = command.url()
        for name, query in (("items.all", ""), ("items.get", "?item_id=1"), ("items.count", "")):
            status, body = get(f"{url}/queries/{name.replace('.', '/')}{query}")
            printed = cli("run", name, *([query[1:]] if query else []), "--format", "json").out
            assert (status, body.decode() + "\n") == (200, printed)
        assert command.stop() == 0
    assert "Traceback" not in command.said


def test_serve_refuses_wrong_files_all_listed(cli: Cli, files: Callable[..., None]) -> None:
    files({"good.sql": "SELECT 1;", "a.sql": "SELECT 'open", "b.sql": "-- @iff x\nSELECT 1;"})
    answer = cli("serve", "--database-url", ":memory:")
    assert answer.code == 1
    assert "queries/a.sql:1:8: error: " in answer.err
    assert "queries/b.sql:1:" in answer.err


def test_serve_on_a_port_that_is_taken(cli: Cli, files: Callable[..., None]) -> None:
    files({"good.sql": "SELECT 1 AS n;"})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = cli("serve", "--database-url", ":memory:", "--port", str(taken.getsockname()[1]))
    assert answer.code == 2
    assert "is in use" in answer.err


def test_dev_starts_with_a_wrong_file_and_takes_what_is_saved(shop: str, files: Callable[..., None]) -> None:
    files({"bad.sql": "SELECT 'open"})
    with running("dev") as command:
        url = command.url()
        command.until(r"queries/bad\.sql:1:8: error: ")
        assert get(f"{url}/queries/items/count") == (200, b'{"value":3}')

        files({"new.sql": "SELECT 7 AS seven;"})
        command.until(rf"added new  GET {url}/queries/new\n")
        get_until(f"{url}/queries/new", b'"seven":7')

        files({"new.sql": "SELECT 8 AS eight"[:-3] + "'"})
        command.until(r"queries/new\.sql:1:\d+: error: ")
        command.until("kept the last good version of new")
        assert b'"seven":7' in get(f"{url}/queries/new")[1]

        Path("queries/new.sql").unlink()
        command.until("removed new")
        get_until(f"{url}/queries/new", b"unknown_query")
        assert command.stop(signal.SIGINT) in (0, 130)
    assert "Traceback" not in command.said


def test_demo(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The variable of one's own project: the demo must not touch it.
    monkeypatch.setenv("DATABASE_URL", "sqlite:///own.db")
    words = ["--database-url", database_url]
    with running("demo", *words) as command:
        url = command.url()
        tries = re.findall(r"curl '\S*?(/queries/\S+)'", command.said)
        assert len(tries) == 3
        for path in tries:
            status, body = get(url + path)
            assert status == 200
            assert json.loads(body)["data"]
        copy = Path("sqlwright-demo/queries/artists/albums.sql")
        copy.write_text(
            copy.read_text(encoding="utf-8").replace("title\nFROM", "title AS album_title\nFROM"), encoding="utf-8"
        )
        command.until("changed artists.albums  GET ")
        get_until(f"{url}/queries/artists/albums?artist_id=1", b"album_title")
        assert command.stop(signal.SIGINT) in (0, 130)
    assert "Traceback" not in command.said
    assert not Path("own.db").exists()


def test_demo_uses_a_folder_in_place(files: Callable[..., None], database_url: str) -> None:
    files({"mine.sql": "-- Artists.\nSELECT count(*) AS artists FROM artist;"})
    with running("demo", "--queries", "queries", "--database-url", database_url) as command:
        url = command.url()
        assert "/queries/mine'" in command.said
        assert get(f"{url}/queries/mine") == (200, b'{"data":[{"artists":275}],"next":null}')
    assert not Path("sqlwright-demo/queries").exists()


def test_demo_can_only_prepare(cli: Cli, files: Callable[..., None], database_url: str) -> None:
    files({"mine.sql": "-- :result :value\nSELECT count(*) AS artists FROM artist;"})
    where = ("--queries", "queries", "--database-url", database_url)
    assert cli("demo", "--only-prepare", *where).code == 0
    assert json.loads(cli("run", "mine", *where).out) == {"value": 275}
    assert not Path("sqlwright-demo").exists()


def test_demo_is_not_served_from_memory(cli: Cli) -> None:
    answer = cli("demo", "--database-url", "sqlite://")
    assert answer.code == 2
    assert "in memory" in answer.err
