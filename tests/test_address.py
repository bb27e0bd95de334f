"""Database URLs in all their spellings, and one clear line for each wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sqlwright.address import each_host, parse_address
from sqlwright.errors import SettingsError


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("postgresql://u:p@h:5433/d", "postgresql://u:p@h:5433/d"),
        ("postgres://h/d", "postgresql://h/d"),
        ("POSTGRESQL+asyncpg://u@h/d", "postgresql://u@h/d"),
        ("postgresql:///d?host=/var/run/postgresql", "postgresql:///d?host=/var/run/postgresql"),
        ("postgresql://postgres:@/postgres?host=/tmp/a", "postgresql://postgres:@/postgres?host=/tmp/a"),
        ("postgresql://h1:5432,h2:5433/d?sslmode=require", "postgresql://h1:5432,h2:5433/d?sslmode=require"),
        ("postgresql://u:p%40%2F%3A@[::1]:5432/d%20b", "postgresql://u:p%40%2F%3A@[::1]:5432/d%20b"),
        ("postgresql+asyncpg://h/d?ssl=require", "postgresql://h/d?sslmode=require"),
    ],
)
def test_postgresql(url: str, normal: str) -> None:
    address = parse_address(url)
    assert (address.dialect.name, address.url, address.path, address.in_memory) == ("postgresql", normal, None, False)


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("mysql://u:p@h:3307/d", "mysql://u:p@h:3307/d"),
        ("mariadb://h/d", "mysql://h/d"),
        ("MariaDB+AioMySQL://u@h/d", "mysql://u@h/d"),
        ("mysql+aiomysql://u@h/d?charset=utf8mb4", "mysql://u@h/d"),
        ("mysql:///d?unix_socket=/run/mysqld/mysqld.sock", "mysql:///d?unix_socket=%2Frun%2Fmysqld%2Fmysqld.sock"),
        ("mysql://u:p%40%2F%3A@[::1]:3306/d%20b", "mysql://u:p%40%2F%3A@[::1]:3306/d%20b"),
        ("mysql://h/d?ssl=True&ssl_ca=/etc/ca.pem", "mysql://h/d?ssl=true&ssl_ca=%2Fetc%2Fca.pem"),
    ],
)
def test_mysql(url: str, normal: str) -> None:
    address = parse_address(url)
    assert (address.dialect.name, address.url, address.path, address.in_memory) == ("mysql", normal, None, False)


def test_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, path in {
        "sqlite:///shop.db": "shop.db",
        f"sqlite:///{tmp_path}/shop.db": f"{tmp_path}/shop.db",
        "sqlite+aiosqlite:///shop.db": "shop.db",
        "sqlite:///my%20shop.db": "my shop.db",
        "shop.db": "shop.db",
        "./shop.db": "shop.db",
        f"{tmp_path}/shop.db": f"{tmp_path}/shop.db",
    }.items():
        address = parse_address(url)
        assert (address.dialect.name, address.path, address.in_memory) == ("sqlite", Path(path), False)
    for url in ("sqlite://", "sqlite:///", "sqlite:///:memory:", ":memory:", "sqlite+aiosqlite://"):
        address = parse_address(url)
        assert (address.dialect.name, address.path, address.in_memory) == ("sqlite", None, True)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "DATABASE_URL is not set"),
        ("  ", "DATABASE_URL is not set"),
        ("postgresql+aiopg://u:secret@h/d", "asyncpg"),
        ("postgresql+psycopg2://u:secret@h/d", "asyncpg"),
        ("sqlite+pysqlite:///x", "aiosqlite"),
        ("mysql+pymysql://u:secret@h/d", "aiomysql"),
        ("mariadb+mysqldb://u:secret@h/d", "aiomysql"),
        ("mysql://u:secret@h", "names no database"),
        ("mysql://u:secret@h/", "names no database"),
        ("mysql://u:secret@h1,,h2/d", "one of the hosts is empty"),
        ("postgresql://u:secret@h1:5432,/d", "one of the hosts is empty"),
        ("mysql://u:secret@h1,h2:x/d", "port"),
        ("mysql://u:secret@h:port/d", "port"),
        ("mysql://u:sec@ret@h/d", "%40"),
        ("mysql://u:secret@h/d?charset=latin1", "utf8mb4"),
        ("mysql://u:secret@h/d?local_infile=1", "'local_infile'"),
        ("mysql://u:secret@h/d?ssl=maybe", "neither true nor false"),
        ("oracle://u:secret@h/d", "unknown scheme 'oracle'"),
        ("u:secret@h/d://x", "unknown scheme"),
        ("sqlite://shop.db", "three slashes"),
        ("sqlite:shop.db", "sqlite:///path"),
        ("sqlite:///nowhere/shop.db", "there is no folder nowhere"),
        ("nowhere/shop.db", "there is no folder nowhere"),
        ("sqlite:///tests?mode=ro", "no options (mode)"),
        ("/tmp", "is a folder"),
        ("postgresql://u:secret@h:port/d", "port"),
        ("postgresql://u:secret@h:99999/d", "port"),
        ("postgresql://u:sec@ret@h/d", "%40"),
        ("postgresql://u:sec#ret@h/d", "%23"),
        ("postgresql://u:secret@[::1/d", "cannot be read"),
        ("postgresql://h/d?sslmode", "cannot be read"),
    ],
)
def test_wrong_ones_get_one_line_without_the_password(url: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        parse_address(url)
    line = f"{refused.value} {refused.value.hint}"
    assert says in line
    assert "\n" not in line
    assert "secret" not in line.replace("sqlite", "")


def test_the_password_is_not_in_its_repr() -> None:
    assert "secret" not in repr(parse_address("postgresql://u:secret@h/d"))


@pytest.mark.parametrize(
    ("url", "urls"),
    [
        ("postgresql:///d?host=/tmp", ["postgresql:///d?host=/tmp"]),
        ("mysql://u:p%2C@h/d", ["mysql://u:p%2C@h/d"]),
        ("mysql://u:p@h1,h2:3307/d", ["mysql://u:p@h1/d", "mysql://u:p@h2:3307/d"]),
        ("postgresql://u:p@h1:1,[::1]:2,h3/d?a=b", [f"postgresql://u:p@{h}/d?a=b" for h in ("h1:1", "[::1]:2", "h3")]),
    ],
)
def test_each_host_has_a_url(url: str, urls: list[str]) -> None:
    assert each_host(url) == urls
