"""What stands beside the calls: links, catalogue, OpenAPI, docs, health."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from record_shop import SCHEMA, assert_problem, run_script, running, until
from sqlwright.config import Settings


async def test_links_lead_somewhere(client: httpx.AsyncClient) -> None:
    await until(client, "/readyz", 200)
    links = (await client.get("/")).json()["links"]
    for path in links.values():
        assert (await client.get(path)).status_code == 200, path
        head = await client.head(path)
        assert (head.status_code, head.content) == (200, b"")


async def test_catalogue(client: httpx.AsyncClient) -> None:
    await until(client, "/readyz", 200)
    everything = (await client.get("/queries")).json()
    assert [entry["name"] for entry in everything["namespaces"]] == ["artists", "shop"]
    by_name = {entry["name"]: entry for entry in everything["queries"]}
    assert "artists.wipe" not in by_name
    get = by_name["artists.get"]
    assert (get["doc"], get["cardinality"], get["access"]) == ("One artist by its key.", "one", "read")
    assert get["parameters"][0] | {"type": "?"} == {
        "name": "artist_id", "type": "?", "nullable": False, "required": True, "list": False, "doc": "the key",
    }  # fmt: skip
    assert [column["name"] for column in get["columns"]] == ["artist_id", "name", "rating"]
    assert by_name["artists.some"]["parameters"][0]["list"] is True
    assert by_name["artists.add"]["methods"] == ["POST"]
    assert by_name["broken"]["columns"] is None
    namespace = (await client.get("/queries/shop")).json()
    assert [entry["name"] for entry in namespace["queries"]] == ["shop.add_album", "shop.stock.albums"]
    assert namespace["namespaces"] == [{"name": "shop.stock", "url": "/queries/shop/stock"}]
    for entry in everything["queries"]:
        assert (await client.request("DELETE", entry["url"])).status_code == 405


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for child in node.values() for found in references(child)]
    return [found for child in node for found in references(child)] if isinstance(node, list) else []


async def test_openapi(client: httpx.AsyncClient) -> None:
    await until(client, "/readyz", 200)
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1.")
    assert set(document["paths"]["/queries/artists/get"]) == {"get", "post"}
    assert set(document["paths"]["/queries/artists/add"]) == {"post"}
    assert "/queries/artists/wipe" not in document["paths"]
    get = document["paths"]["/queries/artists/get"]["get"]
    assert get["parameters"][0]["schema"]["type"] == "integer"
    row = get["responses"]["200"]["content"]["application/json"]["schema"]
    assert list(row["properties"]) == ["artist_id", "name", "rating"]
    assert "null" in row["properties"]["rating"]["type"]
    limit = document["paths"]["/queries/artists/top"]["get"]["parameters"][0]
    assert (limit["name"], limit["schema"]["maximum"], limit["schema"]["default"]) == ("limit", 3, 2)
    bulk = document["paths"]["/queries/artists/add_many"]["post"]["requestBody"]
    assert bulk["content"]["application/json"]["schema"]["type"] == "array"
    identifiers = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(identifiers) == len(set(identifiers))
    for reference in references(document):
        node: Any = document
        for key in reference.removeprefix("#/").split("/"):
            node = node[key]


class Resources(HTMLParser):
    """Everything that a browser would load, and every inline script."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.inline = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.urls += [url for key in ("src", "href") if (url := given.get(key)) is not None]
        self.inline += (tag == "script" and "src" not in given) + sum(key.startswith("on") for key in given)


async def test_docs_load_only_from_here(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy
    resources = Resources()
    resources.feed(page.text)
    assert resources.inline == 0
    scripts = 0
    for url in resources.urls:
        if url == "data:,":
            continue
        target = urljoin(str(page.url), url)
        assert urlsplit(target).netloc == "127.0.0.1:8000"
        asset = await client.get(target)
        assert asset.status_code == 200
        scripts += "javascript" in asset.headers["content-type"]
    assert scripts == 2
    start = (await client.get("/docs/start.js")).text
    assert "validatorUrl: null" in start
    assert "://" not in start


async def test_livez_needs_no_database(queries: Any) -> None:
    settings = Settings(
        database_url="postgresql://nobody@127.0.0.1:1/none",
        queries=queries,
        log_calls=False,
        connect_timeout_seconds=0.5,
    )
    async with running(settings) as client:
        assert (await client.get("/livez")).status_code == 200
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()["database"]["answers"]) == (503, False)
        assert "nobody" not in ready.text
        body = assert_problem(await client.get("/queries/artists/all"), 503, "database_unavailable")
        assert (body["retryable"], body["outcome"]) == (True, "none")
        # What is wrong with a request itself is said all the same.
        broken = await client.post("/queries/artists/get", content=b"{", headers={"content-type": "application/json"})
        assert_problem(broken, 400, "malformed_request")
        assert (await client.get("/queries")).status_code == 200
        assert (await client.get("/openapi.json")).status_code == 200


async def test_readyz_tells(client: httpx.AsyncClient) -> None:
    ready = (await until(client, "/readyz", 200)).json()
    assert ready["queries"]["pending"] == 0
    (invalid,) = ready["queries"]["invalid"]
    assert invalid["name"] == "broken"
    assert invalid["at"].endswith("broken.sql:1")
    assert "message" not in invalid
    assert {"reader", "writer"} <= set(ready["database"]["pools"])
    for pools in ready["database"]["pools"].values():
        assert all({"size", "idle", "waiting"} <= set(pool) for pool in pools)
    assert ready["reload_errors"] == []


async def test_dev_swaps_what_is_saved(settings: Settings) -> None:
    folder = settings.queries
    async with running(settings.model_copy(update={"reload": True})) as client:
        await until(client, "/readyz", 200)
        # The watch may not stand yet: what is saved before it does is seen when it does.
        (folder / "artists" / "fresh.sql").write_text("-- :result :value\nSELECT 42 AS answer\n")
        assert (await until(client, "/queries/artists/fresh", 200)).json() == {"value": 42}
        (folder / "artists" / "fresh.sql").write_text("-- :result :vlaue\nSELECT 43 AS answer\n")
        await until(client, "/readyz", 200, lambda response: "fresh.sql:1" in str(response.json()["reload_errors"]))
        assert (await client.get("/queries/artists/fresh")).json() == {"value": 42}
        (folder / "artists" / "fresh.sql").unlink()
        await until(client, "/queries/artists/fresh", 404)


@pytest.mark.usefixtures("database_url")
async def test_tables_may_come_later(database_url: str, queries: Any) -> None:
    async with running(Settings(database_url=database_url, queries=queries, log_calls=False)) as client:
        assert_problem(await client.get("/queries/artists/all"), 503, "query_invalid")
        await run_script(database_url, SCHEMA)
        await until(client, "/queries/artists/all", 200)


async def test_a_table_that_goes_away(client: httpx.AsyncClient, shop_url: str) -> None:
    """The query is refused like one that never had its table, the service stays ready, and both come back."""
    await until(client, "/readyz", 200)
    assert (await client.get("/queries/shop/stock/albums?artist_id=1")).status_code == 200
    await run_script(shop_url, "ALTER TABLE album RENAME TO record")
    await until(client, "/queries/shop/stock/albums?artist_id=1", 503)
    assert (await client.get("/readyz")).status_code == 200
    await run_script(shop_url, "ALTER TABLE record RENAME TO album")
    await until(client, "/queries/shop/stock/albums?artist_id=1", 200)
