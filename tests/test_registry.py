"""The registry: look-up, near names, snapshots, and reloads that keep the last good version."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from sqlwright.errors import LoadError, UnknownQuery
from sqlwright.registry import Registry, load_registry, reload
from sqlwright.sql.dialect import SQLITE
from sqlwright.sql.loader import load_folder
from sqlwright.sql.statement import render


def _write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / (name.replace("__", "/") + ".sql")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return folder


def _registry(folder: Path) -> Registry:
    return load_registry(folder, SQLITE)[0]


def _text(registry: Registry, name: str) -> str:
    return render(registry[name].statement, lambda slot: "?").text


def test_look_up_and_iteration(tmp_path: Path) -> None:
    registry = _registry(_write(tmp_path, b__y="SELECT 1", b__c__z="SELECT 2", a="SELECT 3"))
    assert [query.name for query in registry] == ["a", "b.c.z", "b.y"]
    assert len(registry) == 3
    assert registry["b.y"].name == "b.y"
    assert registry.get("b.x") is None
    assert "b.y" in registry
    assert registry.namespaces == ("b", "b.c")
    assert [query.name for query in registry.namespace("b")] == ["b.c.z", "b.y"]
    assert registry.namespace("zzz") == ()


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ("artists.album", ("artists.albums",)),
        ("Artists.Albums", ("artists.albums",)),
        ("artists/albums", ("artists.albums",)),
        ("albums", ("artists.albums",)),
        ("zzz", ()),
        ("a" * 1_000_000, ()),
    ],
)
def test_an_unknown_name_has_near_names(tmp_path: Path, asked: str, near: tuple[str, ...]) -> None:
    registry = _registry(_write(tmp_path, artists__albums="SELECT 1", invoices__total="SELECT 1"))
    with pytest.raises(UnknownQuery) as caught:
        registry[asked]
    assert caught.value.near == near


@pytest.mark.parametrize("asked", ["artists.albums.top", "artists.Albums.top", "artists.albums"])
def test_a_file_is_no_namespace_but_what_is_meant_is_told(tmp_path: Path, asked: str) -> None:
    registry = _registry(_write(tmp_path, artists__albums="-- name: top\nSELECT 1", artists__other="SELECT 1"))
    with pytest.raises(UnknownQuery) as caught:
        registry[asked]
    assert caught.value.near == ("artists.top",)


def test_at_most_three_near_names(tmp_path: Path) -> None:
    registry = _registry(_write(tmp_path, **{f"query_{number}": "SELECT 1" for number in range(9)}))
    with pytest.raises(UnknownQuery) as caught:
        registry["query_x"]
    assert len(caught.value.near) == 3


def test_wrong_files_are_all_in_the_error_and_warnings_are_returned(tmp_path: Path) -> None:
    _write(tmp_path, a="-- name: x\n-- record_class: X\nSELECT 1")
    registry, warnings = load_registry(tmp_path, SQLITE)
    assert (len(registry), [warning.code for warning in warnings]) == (1, ["record_class"])
    _write(tmp_path, b="SELECT ?", c="SELECT '")
    with pytest.raises(LoadError) as caught:
        load_registry(tmp_path, SQLITE)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [
        "record_class", "native_parameter", "unterminated",
    ]  # fmt: skip


def test_a_snapshot_is_private_and_whole(tmp_path: Path) -> None:
    registry = _registry(_write(tmp_path / "queries", a__b="-- @param x int = 5 max 9 - doc\nSELECT :x, :y -- c\n"))
    path = tmp_path / "snapshot"
    path.write_bytes(b"older")
    path.chmod(0o666)
    registry.dump(path)
    assert path.stat().st_mode & 0o777 == 0o600
    read = Registry.read(path)
    assert list(read) == list(registry)
    assert read.namespaces == registry.namespaces
    assert read["a.b"].line == 2
    assert [entry.name for entry in tmp_path.iterdir() if "snapshot" in entry.name] == ["snapshot"]


def test_a_file_that_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(pickle.dumps({"no": "registry"}))
    with pytest.raises(TypeError, match="no snapshot"):
        Registry.read(tmp_path / "x")


def test_ten_thousand_queries_are_compact(tmp_path: Path) -> None:
    for number in range(20):
        headed = (f"-- name: q{i} :one\n-- @param id int\nSELECT * FROM t WHERE a = :id;\n" for i in range(500))
        _write(tmp_path, **{f"n{number}__f": "".join(headed)})
    registry = _registry(tmp_path)
    assert len(registry) == 10_000
    content = pickle.dumps(registry, protocol=pickle.HIGHEST_PROTOCOL)
    assert len(content) < 10_000 * 800
    assert pickle.loads(content)["n7.q77"] == registry["n7.q77"]


def test_a_reload_tells_what_changed(tmp_path: Path) -> None:
    old = _registry(_write(tmp_path, a="SELECT 1", b="SELECT 2", c="-- name: x\nSELECT 1;\n-- name: y\nSELECT 2;"))
    (tmp_path / "b.sql").unlink()
    _write(tmp_path, a="SELECT 11", d="SELECT 4", c="-- a line more\n-- name: x\nSELECT 1;\n-- name: y\nSELECT 22;")
    result = reload(old, tmp_path, SQLITE)
    assert (result.added, result.changed, result.removed, result.kept) == (("d",), ("a", "y"), ("b",), ())
    assert result.diagnostics == ()
    assert _text(result.registry, "a") == "SELECT 11"
    assert result.registry["x"].line == 2
    assert _text(old, "a") == "SELECT 1"


def test_what_is_broken_keeps_its_last_good_version(tmp_path: Path) -> None:
    old = _registry(_write(tmp_path, a="SELECT 1", c="-- name: x\nSELECT 1;\n-- name: y\nSELECT 2;"))
    _write(tmp_path, a="SELECT '", c="-- name: x\nSELECT ?;\n-- name: y\nSELECT 22;", new="SELECT ?")
    result = reload(old, tmp_path, SQLITE)
    assert (result.added, result.changed, result.removed, result.kept) == ((), ("y",), (), ("a", "x"))
    assert [query.name for query in result.registry] == ["a", "x", "y"]
    assert (_text(result.registry, "x"), _text(result.registry, "y")) == ("SELECT 1", "SELECT 22")
    assert {diagnostic.code for diagnostic in result.diagnostics} == {"unterminated", "native_parameter"}
    _write(tmp_path, a="SELECT 111", c="-- name: y\nSELECT 22;")
    (tmp_path / "new.sql").unlink()
    again = reload(result.registry, tmp_path, SQLITE)
    assert (again.added, again.changed, again.removed, again.kept) == ((), ("a",), ("x",), ())


@pytest.mark.parametrize(
    "content",
    [
        "-- name: x\nSELECT 'open;\n-- name: y\nSELECT 2;",
        "/* open\n-- name: x\nSELECT 1;\n-- name: y\nSELECT 2;",
        "-- name: \nSELECT 1;\n-- name: 2\nSELECT 2;",
        "-- name: x\nCREATE TRIGGER t AFTER INSERT ON u BEGIN SELECT 1;\n-- name: y\nSELECT 2;",
    ],
)
def test_names_that_cannot_be_read_any_more_are_kept(tmp_path: Path, content: str) -> None:
    old = _registry(_write(tmp_path, c="-- name: x\nSELECT 1;\n-- name: y\nSELECT 2;"))
    _write(tmp_path, c=content)
    assert [query.name for query in reload(old, tmp_path, SQLITE).registry if query.name in "xy"] == ["x", "y"]


def test_a_name_that_a_second_file_takes_keeps_its_first_meaning(tmp_path: Path) -> None:
    old = _registry(_write(tmp_path, a="SELECT 1"))
    _write(tmp_path, b="-- name: a\nSELECT 2;")
    result = reload(old, tmp_path, SQLITE)
    assert (result.kept, _text(result.registry, "a")) == (("a",), "SELECT 1")


def test_a_folder_that_is_gone_takes_nothing_down(tmp_path: Path) -> None:
    old = _registry(_write(tmp_path / "queries", a="SELECT 1"))
    (tmp_path / "queries").rename(tmp_path / "elsewhere")
    result = reload(old, tmp_path / "queries", SQLITE)
    assert (result.kept, len(result.registry)) == (("a",), 1)
    assert load_folder(tmp_path / "queries", SQLITE).folder_failed


def test_a_query_that_stays_the_same_stays_the_same_object(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1 AS a;")
    (tmp_path / "b.sql").write_text("SELECT 1 AS b;")
    old, _ = load_registry(tmp_path, SQLITE)
    (tmp_path / "b.sql").write_text("SELECT 2 AS b;")
    fresh = reload(old, tmp_path, SQLITE)
    assert fresh.registry["a"] is old["a"]
    assert fresh.registry["b"] is not old["b"]
