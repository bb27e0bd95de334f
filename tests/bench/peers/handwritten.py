"""What a careful engineer writes by hand for these calls: Starlette, the raw driver, orjson."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

URL = os.environ["DATABASE_URL"]
ENGINE = URL.partition(":")[0]
NAMES = "abcdefghijklmnopqrst"
COLUMNS = "id, name, email, price, stock, active, created_at"
BY_KEY = f"SELECT {COLUMNS} FROM item WHERE id = :1"
PAGE = f"SELECT {COLUMNS} FROM item WHERE id >= :1 ORDER BY id LIMIT :2"
WIDE = "SELECT * FROM wide WHERE id >= :1 ORDER BY id LIMIT :2"
TWENTY = "SELECT " + " + ".join(f":{n}" for n in range(1, 21)) + " AS total"
LARGE = "SELECT length(:1) AS characters"
ADD = "INSERT INTO added (name, price) VALUES (:1, :2)"
CHUNK_ROWS = 1000
EXPORT = f"SELECT i.id * 10 + d.digit AS id, {COLUMNS[4:]} FROM item i CROSS JOIN (" + (
    " UNION ALL ".join(f"SELECT {digit} AS digit" for digit in range(10)) + ") d"
)
_PAIRS = "'id', i.id, 'name', i.name, 'price', i.price"
_BELOW = "FROM item i WHERE i.id BETWEEN g.id * 10 + 1 AND g.id * 10 + 10"
_AS_JSON = {
    "postgresql": f"json_agg(json_build_object({_PAIRS}))",
    "sqlite": f"json_group_array(json_object({_PAIRS}))",
    "mysql": f"JSON_ARRAYAGG(JSON_OBJECT({_PAIRS}))",
}[ENGINE]
NESTED = f"SELECT g.id, g.name, (SELECT {_AS_JSON} {_BELOW}) AS items FROM item g WHERE g.id = :1"
_FIELDS = ("id", "name", "price", "active")
ECHO = {
    "postgresql": "SELECT * FROM jsonb_to_recordset(:1::jsonb) AS r(id int, name text, price float, active boolean)",
    "sqlite": "SELECT " + ", ".join(f"value ->> '{name}' AS {name}" for name in _FIELDS) + " FROM json_each(:1)",
    "mysql": "SELECT id, name, price, active FROM JSON_TABLE(:1, '$[*]' COLUMNS (id int PATH '$.id',"
    " name varchar(100) PATH '$.name', price double PATH '$.price', active boolean PATH '$.active')) AS r",
}[ENGINE]

Row = dict[str, Any]


class Postgres:
    async def open(self) -> None:
        import asyncpg

        self.pool = await asyncpg.create_pool(URL, min_size=5, max_size=20)

    async def close(self) -> None:
        await self.pool.close()

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        async with self.pool.acquire() as connection:
            return [dict(row) for row in await connection.fetch(sql, *values)]

    async def fetch_row(self, sql: str, *values: Any) -> Row | None:
        async with self.pool.acquire() as connection:
            row = await connection.fetchrow(sql, *values)
        return row and dict(row)

    async def add(self, items: list[Row]) -> None:
        sql = "INSERT INTO added (name, price) SELECT * FROM unnest($1::text[], $2::float8[])"
        async with self.pool.acquire() as connection:
            await connection.execute(sql, [item["name"] for item in items], [item["price"] for item in items])

    async def chunks(self, sql: str) -> AsyncIterator[list[Row]]:
        async with self.pool.acquire() as connection, connection.transaction():
            cursor = await connection.cursor(sql)
            while rows := await cursor.fetch(CHUNK_ROWS):
                yield [dict(row) for row in rows]

    @staticmethod
    def text(sql: str) -> str:
        if sql == TWENTY:
            return re.sub(r":(\d+)", r"$\1::int", sql)
        return re.sub(r"(?<!:):(\d+)", r"$\1", sql.replace("length(:1)", "length(:1::text)"))


class SQLite:
    async def open(self) -> None:
        import aiosqlite

        self.idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()
        for _ in range(4):
            self.idle.put_nowait(await aiosqlite.connect(URL.removeprefix("sqlite:///")))

    async def close(self) -> None:
        while not self.idle.empty():
            await self.idle.get_nowait().close()

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        connection = await self.idle.get()
        try:
            async with connection.execute(sql, values) as cursor:
                names = [column[0] for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]
        finally:
            self.idle.put_nowait(connection)

    async def fetch_row(self, sql: str, *values: Any) -> Row | None:
        rows = await self.fetch(sql, *values)
        return rows[0] if rows else None

    async def add(self, items: list[Row]) -> None:
        connection = await self.idle.get()
        try:
            await connection.executemany(ADD, [(item["name"], item["price"]) for item in items])
            await connection.commit()
        finally:
            self.idle.put_nowait(connection)

    async def chunks(self, sql: str) -> AsyncIterator[list[Row]]:
        connection = await self.idle.get()
        try:
            async with connection.execute(sql) as cursor:
                names = [column[0] for column in cursor.description]
                while rows := list(await cursor.fetchmany(CHUNK_ROWS)):
                    yield [dict(zip(names, row, strict=True)) for row in rows]
        finally:
            self.idle.put_nowait(connection)

    @staticmethod
    def text(sql: str) -> str:
        return re.sub(r":(\d+)", r"?\1", sql)


class MariaDB:
    async def open(self) -> None:
        import aiomysql

        parts = urlsplit(URL)
        self.cursor = aiomysql.DictCursor
        self.pool = await aiomysql.create_pool(
            host=parts.hostname, port=parts.port or 3306, user=unquote(parts.username or ""),
            password=unquote(parts.password or ""), db=parts.path.strip("/"), minsize=5, maxsize=20, autocommit=True,
        )  # fmt: skip

    async def close(self) -> None:
        self.pool.close()
        await self.pool.wait_closed()

    async def fetch(self, sql: str, *values: Any) -> list[Row]:
        async with self.pool.acquire() as connection, connection.cursor(self.cursor) as cursor:
            await cursor.execute(sql, values)
            return list(await cursor.fetchall())

    async def fetch_row(self, sql: str, *values: Any) -> Row | None:
        rows = await self.fetch(sql, *values)
        return rows[0] if rows else None

    async def add(self, items: list[Row]) -> None:
        async with self.pool.acquire() as connection, connection.cursor() as cursor:
            await connection.begin()
            await cursor.executemany(ADD, [(item["name"], item["price"]) for item in items])
            await connection.commit()

    async def chunks(self, sql: str) -> AsyncIterator[list[Row]]:
        import aiomysql

        async with self.pool.acquire() as connection, connection.cursor(aiomysql.SSDictCursor) as cursor:
            await cursor.execute(sql)
            while rows := await cursor.fetchmany(CHUNK_ROWS):
                yield rows

    @staticmethod
    def text(sql: str) -> str:
        return re.sub(r":(\d+)", "%s", sql)


database = {"postgresql": Postgres, "sqlite": SQLite, "mysql": MariaDB}[ENGINE]()
BY_KEY, PAGE, WIDE, TWENTY_SQL, LARGE, ADD, NESTED, ECHO = map(
    database.text, (BY_KEY, PAGE, WIDE, TWENTY, LARGE, ADD, NESTED, ECHO)
)


def plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else str(value)


def answer(value: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(value, default=plain), status, media_type="application/json")


def row_or_404(row: Row | None) -> Response:
    return answer(row) if row else answer({"detail": "no row"}, 404)


async def by_key(request: Request) -> Response:
    return row_or_404(await database.fetch_row(BY_KEY, int(request.query_params["id"])))


def paged(sql: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        query = request.query_params
        return answer({"data": await database.fetch(sql, int(query["first"]), int(query.get("rows", 100)))})

    return endpoint


async def minimal(_: Request) -> Response:
    row = await database.fetch_row("SELECT 1 AS one")
    return answer({"value": row and row["one"]})


async def twenty(request: Request) -> Response:
    row = await database.fetch_row(TWENTY_SQL, *(int(request.query_params[name]) for name in NAMES))
    return answer({"value": row and row["total"]})


async def nested(request: Request) -> Response:
    row = await database.fetch_row(NESTED, int(request.query_params["id"]))
    if row and row["items"] is not None:
        row["items"] = orjson.Fragment(row["items"])
    return row_or_404(row)


async def echo(request: Request) -> Response:
    body = orjson.loads(await request.body())
    return answer({"data": await database.fetch(ECHO, orjson.dumps(body["rows"]).decode())})


async def large(request: Request) -> Response:
    row = await database.fetch_row(LARGE, orjson.loads(await request.body())["body"])
    return answer({"value": row and row["characters"]})


async def add(request: Request) -> Response:
    items = orjson.loads(await request.body())
    await database.add(items)
    return answer({"affected": len(items)})


async def export(_: Request) -> Response:
    async def lines() -> AsyncIterator[bytes]:
        async for rows in database.chunks(EXPORT):
            yield b"".join([orjson.dumps(row, default=plain, option=orjson.OPT_APPEND_NEWLINE) for row in rows])

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def one_of_many(number: int) -> Route:
    sql = database.text(f"SELECT id, name, price, {number} AS number FROM item WHERE id = :1")

    async def endpoint(request: Request) -> Response:
        return row_or_404(await database.fetch_row(sql, int(request.query_params["id"])))

    return Route(f"/queries/many/q{number}", endpoint)


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    await database.open()
    yield
    await database.close()


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/queries/items/by_key", by_key),
        Route("/queries/items/page", paged(PAGE)),
        Route("/queries/items/wide", paged(WIDE)),
        Route("/queries/items/minimal", minimal),
        Route("/queries/items/twenty", twenty),
        Route("/queries/items/nested", nested),
        Route("/queries/items/echo", echo, methods=["POST"]),
        Route("/queries/items/export", export),
        Route("/queries/items/large", large, methods=["POST"]),
        Route("/queries/items/add", add, methods=["POST"]),
        *map(one_of_many, range(1000)),
    ],
)
