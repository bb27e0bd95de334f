"""Folders of query files: names, namespaces, variants, links, encodings, bounds."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from sqlwright.query import Access, Cardinality
from sqlwright.sql import folder as folder_module
from sqlwright.sql.dialect import POSTGRESQL, SQLITE, Dialect
from sqlwright.sql.folder import FILE_BYTES_MAX
from sqlwright.sql.loader import Loaded, load_folder
from sqlwright.sql.statement import render


def _write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def _load(folder: Path, files: dict[str, str | bytes], dialect: Dialect = SQLITE) -> Loaded:
    _write(folder, files)
    return load_folder(folder, dialect)


def _names(loaded: Loaded) -> list[str]:
    return [query.name for query in loaded.queries]


def _codes(loaded: Loaded) -> list[str]:
    return [diagnostic.code for diagnostic in loaded.diagnostics]


def test_folders_are_namespaces_and_stems_are_names(tmp_path: Path) -> None:
    loaded = _load(
        tmp_path,
        {
            "top.sql": "SELECT 1",
            "artists/albums.sql": "SELECT 1",
            "artists/by-genre/top-ten.sql": "SELECT 1",
            "reports/whatever.sql": "-- name: sales\nSELECT 1;\n-- name: stock\nSELECT 2;",
            "upper.SQL": "SELECT 1",
            "_drafts/a.sql": "wrong ?", ".git/a.sql": "wrong ?", "_a.sql": "wrong ?", ".a.sql": "wrong ?",
            "artists/albums.test.sql": "wrong ?", "README.md": "wrong ?",
        },
    )  # fmt: skip
    assert loaded.diagnostics == ()
    assert _names(loaded) == [
        "artists.albums",
        "artists.by_genre.top_ten",
        "reports.sales",
        "reports.stock",
        "top",
        "upper",
    ]
    albums = loaded.queries[0]
    assert albums.file == str(tmp_path / "artists" / "albums.sql")
    assert (albums.cardinality, albums.access) == (Cardinality.MANY, Access.READ)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.sql": "-- name: x\nSELECT 1;\n-- name: x\nSELECT 2;"}, "x is there twice; the other stands in {}/a.sql:1"),
        ({"a.sql": "-- name: x\nSELECT 1;", "x.sql": "SELECT 1"}, "x is there twice; the other stands in {}/a.sql:1"),
        (
            {"get-it.sql": "SELECT 1", "get_it.sql": "SELECT 1"},
            "get_it is there twice; the other stands in {}/get-it.sql:1",
        ),
        ({"a.sql": "-- name: X\nSELECT 1;\n-- name: x\nSELECT 2;"}, "x differs from X only in case"),
        (
            {"a.sql": "SELECT 1", "a/b.sql": "SELECT 1"},
            "a is a query, and a is a namespace; the other stands in {}/a/b.sql:1",
        ),
        ({"a/b.sql": "SELECT 1", "A/c.sql": "SELECT 1"}, "the namespace a differs from A only in case"),
    ],
)
def test_clashes_cite_both_places(tmp_path: Path, files: dict[str, str | bytes], message: str) -> None:
    (diagnostic,) = _load(tmp_path, files).diagnostics
    assert diagnostic.code == "name_clash"
    assert message.format(tmp_path) in diagnostic.message


@pytest.mark.parametrize("name", ["top 10.sql", "1st.sql", "a b/c.sql", "v1.2.sql", "search.mysql8.sql", "a;b.sql"])
def test_names_that_cannot_be_called(tmp_path: Path, name: str) -> None:
    loaded = _load(tmp_path, {name: "SELECT 1", "good.sql": "SELECT 1"})
    assert _codes(loaded) == ["file_name"]
    assert _names(loaded) == ["good"]


def test_the_variant_of_the_dialect_wins(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "search.sql": "SELECT 'any' AS wrong ?", "search.sqlite.sql": "SELECT 'sqlite'", "search.mysql.sql": "'",
        "search.postgresql.sql": "SELECT $$postgresql$$",
        "artists.sql": "-- name: get\nSELECT 'any';\n-- name: list\nSELECT 'any';",
        "artists.sqlite.sql": "-- name: get\nSELECT 'sqlite';\n-- name: only_here\nSELECT 'sqlite';",
        "only.mysql.sql": "SELECT 1",
    }  # fmt: skip

    def texts(dialect: Dialect) -> dict[str, str]:
        loaded = _load(tmp_path, files, dialect)
        assert loaded.diagnostics == ()
        return {query.name: render(query.statement, lambda slot: "").text for query in loaded.queries}

    assert texts(SQLITE) == {
        "search": "SELECT 'sqlite'", "get": "SELECT 'sqlite'", "list": "SELECT 'any'", "only_here": "SELECT 'sqlite'",
    }  # fmt: skip
    assert texts(POSTGRESQL) == {
        "search": "SELECT $$postgresql$$", "get": "SELECT 'any'", "list": "SELECT 'any'",
    }  # fmt: skip


def test_bom_and_crlf_are_accepted_and_kept_in_strings(tmp_path: Path) -> None:
    sql = b"\xef\xbb\xbf-- name: a\r\n-- A doc.\r\nSELECT 'x\r\ny' -- c\r\n, :p;\r\n-- name: b\r\nSELECT 2;\r\n"
    loaded = _load(tmp_path, {"a.sql": sql})
    assert loaded.diagnostics == ()
    first, second = loaded.queries
    assert (first.doc, first.line, second.line) == ("A doc.", 1, 6)
    assert render(first.statement, lambda slot: "?").text == "SELECT 'x\r\ny' \r\n, ?"


@pytest.mark.parametrize(
    ("content", "code", "place"),
    [
        (b"SELECT 1,\n 'caf\xe9'", "encoding", (2, 6)),
        (b"\xff\xfeS\x00", "encoding", (1, 1)),
        (b"SELECT 1 -- " + b"x" * FILE_BYTES_MAX, "too_large", (1, 1)),
        (b"SELECT \x001", "nul", (1, 8)),
        (b"", "empty", (1, 1)),
        (b"-- only a comment\n", "empty", (1, 1)),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes, code: str, place: tuple[int, int]) -> None:
    loaded = _load(tmp_path, {"bad.sql": content, "good.sql": "SELECT 1"})
    (diagnostic,) = loaded.diagnostics
    assert (diagnostic.code, (diagnostic.line, diagnostic.column)) == (code, place)
    assert diagnostic.hint
    assert _names(loaded) == ["good"]


def test_links_may_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "queries", tmp_path / "outside"
    _write(outside, {"secret.sql": "SELECT 1", "deep/a.sql": "SELECT 1"})
    _write(folder, {"real.sql": "SELECT 1", "sub/a.sql": "SELECT 1"})
    (folder / "leak.sql").symlink_to(outside / "secret.sql")
    (folder / "leaks").symlink_to(outside / "deep")
    (folder / "nothing.sql").symlink_to(folder / "absent.sql")
    (folder / "loop").symlink_to(folder)
    (folder / "alias.sql").symlink_to(folder / "real.sql")
    (folder / "other").symlink_to(folder / "sub")
    loaded = load_folder(folder, SQLITE)
    assert [(Path(d.file).name, d.code) for d in loaded.diagnostics] == [
        ("leak.sql", "link"), ("leaks", "link"), ("loop", "link"), ("nothing.sql", "link"),
    ]  # fmt: skip
    assert _names(loaded) == ["alias", "other.a", "real", "sub.a"]


def test_a_link_to_the_folder_itself_is_fine(tmp_path: Path) -> None:
    _write(tmp_path / "real", {"a.sql": "SELECT 1"})
    (tmp_path / "queries").symlink_to(tmp_path / "real")
    loaded = load_folder(tmp_path / "queries", SQLITE)
    assert _names(loaded) == ["a"]


def test_a_missing_folder_a_file_and_an_empty_one(tmp_path: Path) -> None:
    (missing,) = load_folder(tmp_path / "absent", SQLITE).diagnostics
    assert "does not exist" in missing.message
    (tmp_path / "file").write_text("")
    (file,) = load_folder(tmp_path / "file", SQLITE).diagnostics
    assert "is not a folder" in file.message
    (tmp_path / "empty").mkdir()
    (empty,) = load_folder(tmp_path / "empty", SQLITE).diagnostics
    assert empty.severity == "warning"


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.sql")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / "socket.sql"))
        loaded = load_folder(tmp_path, SQLITE)
    assert _codes(loaded) == ["unreadable", "unreadable"]


def test_the_number_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "FILES_MAX", 3)
    loaded = _load(tmp_path, {f"q{number}.sql": "SELECT 1" for number in range(4)})
    assert _codes(loaded) == ["too_many_files"]


def test_nesting_beyond_reason_is_told(tmp_path: Path) -> None:
    depth = 5_000
    loaded = _load(
        tmp_path, {"deep.sql": "WITH a AS (" * depth + "SELECT 1" + ") SELECT 1" * depth, "ok.sql": "SELECT 1"}
    )
    assert _codes(loaded) == ["too_deep"]
    assert _names(loaded) == ["ok"]


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    loaded = _load(
        tmp_path, {"a.sql": "SELECT ?", "b/c.sql": "-- @iff\nSELECT 1", "d.sql": b"\xff", "ok.sql": "SELECT 1"}
    )
    assert _codes(loaded) == ["native_parameter", "unknown_directive", "encoding"]
    assert loaded.broken == {"a", "b.c"}
    assert loaded.unread == {str(tmp_path / "d.sql")}
    assert all(diagnostic.hint for diagnostic in loaded.diagnostics)
