"""/docs: Swagger UI with every byte served by us, so that it works without the internet and tells nobody who reads it.

The assets come from the `fastapi-offline` distribution, which carries a release of Swagger UI that reads OpenAPI 3.1.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from starlette.responses import HTMLResponse, Response

from sqlwright.errors import NotFound

_ASSETS: Mapping[str, str] = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI sets styles on its elements
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>sqlwright</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
# Without a validator: Swagger UI would send the document to a server of its makers.
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#ui",
  deepLinking: true,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
});
"""


async def docs_page() -> Response:
    return HTMLResponse(_PAGE, headers={"content-security-policy": _POLICY, "referrer-policy": "no-referrer"})


async def docs_asset(name: str) -> Response:
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in _ASSETS:
        raise NotFound("there is nothing at this path")
    return Response(_read(name), media_type=_ASSETS[name], headers={"cache-control": "public, max-age=86400"})


@cache
def _read(name: str) -> bytes:
    # Found, not imported: the package is only a carrier of files for us.
    specification = importlib.util.find_spec("fastapi_offline")
    if specification is None or specification.origin is None:
        raise NotFound("the files of this page are not installed", hint="pip install fastapi-offline")
    return (Path(specification.origin).parent / "static" / name).read_bytes()
