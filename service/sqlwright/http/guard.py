"""Who may call: the Host allow-list and the Origin check, before anything else looks at a request.

A page anywhere can make a browser send requests to a service on loopback, and can make its own name resolve to
127.0.0.1. The first is refused by Origin, the second by Host.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from sqlwright.config import Settings, variable
from sqlwright.errors import (
    AmbiguousRequest,
    BodyTooLarge,
    HostNotAllowed,
    OriginNotAllowed,
    UriTooLong,
)
from sqlwright.http.exchange import Exchange

QUERY_STRING_BYTES_MAX = 32 * 1024
"""What may be taken apart on the event loop; more goes in the body of a POST."""
_REMEMBERED_MAX = 256
_HOST_BYTES_MAX = 300
"""The longest name that DNS has, and a port."""
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^:\[\]]*))(?::([0-9]*))?")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Guard:
    def __init__(self, settings: Settings) -> None:
        names = {"localhost", *map(_canonical, settings.allowed_hosts)}
        if not _is_wildcard(settings.host):
            names.add(_canonical(settings.host))
        self._names = frozenset(names)
        self._any_host = "*" in settings.allowed_hosts
        self._any_origin = "*" in settings.allowed_origins
        self._origins = frozenset(origin.rstrip("/").lower() for origin in settings.allowed_origins)
        self._good_hosts: set[bytes] = set()
        self._body_bytes_max = max(settings.body_bytes_max, settings.bulk_body_bytes_max)

    def check(self, exchange: Exchange) -> None:
        """Raises `AmbiguousRequest`, `BodyTooLarge`, `HostNotAllowed`, `OriginNotAllowed` or `UriTooLong`."""
        headers = exchange.headers
        if b"transfer-encoding" in headers:
            self._check_chunked(exchange)
        elif b"content-length" in headers:
            self._check_length(exchange)
        host = headers.get(b"host")
        if not host or exchange.repeated(b"host"):
            raise AmbiguousRequest("a request has exactly one Host header")
        if host not in self._good_hosts:
            self._check_host(host)
        if b"origin" in headers:
            self._check_origin(exchange, host)
        if len(exchange.query_string) > QUERY_STRING_BYTES_MAX:
            raise UriTooLong(
                f"the query string has more than {QUERY_STRING_BYTES_MAX} bytes",
                hint="a reading query takes a JSON body too: send a POST",
            )

    def _check_host(self, host: bytes) -> None:
        text = host.decode("latin-1")
        name, port = _split(text)
        allowed = self._any_host or name in self._names or f"{name}:{port}" in self._names or _is_loopback(name)
        if not allowed:
            raise HostNotAllowed(
                f"this service does not answer to the host {_shown(text)}",
                hint=f"name it in {variable('allowed_hosts')} (several with commas, * for any)",
            )
        if len(self._good_hosts) < _REMEMBERED_MAX and len(host) <= _HOST_BYTES_MAX:
            self._good_hosts.add(host)

    def _check_origin(self, exchange: Exchange, host: bytes) -> None:
        origin = exchange.headers[b"origin"]
        text = origin.decode("latin-1").lower()
        if not exchange.repeated(b"origin"):
            if _same_place(text, host.decode("latin-1").lower()):
                return
            if self._any_origin or text in self._origins:
                exchange.cors_origin = origin
                return
        raise OriginNotAllowed(
            f"pages of {_shown(text)} may not call this service",
            hint=f"name the origin in {variable('allowed_origins')} if they should",
        )

    def _check_chunked(self, exchange: Exchange) -> None:
        """What the server lets through of request smuggling."""
        if b"content-length" in exchange.headers:
            raise AmbiguousRequest("a request has Content-Length or Transfer-Encoding, not both")
        if exchange.headers[b"transfer-encoding"].lower() != b"chunked" or exchange.repeated(b"transfer-encoding"):
            raise AmbiguousRequest("the only Transfer-Encoding that is taken is chunked")

    def _check_length(self, exchange: Exchange) -> None:
        """The same, and bodies that no route would take."""
        length = exchange.headers[b"content-length"]
        if exchange.repeated(b"content-length") or not (length.isascii() and length.isdigit()):
            raise AmbiguousRequest("a request has one Content-Length, which is a number")
        if len(length) > 18 or int(length) > self._body_bytes_max:
            raise BodyTooLarge(f"the body has more than {self._body_bytes_max} bytes")


def _shown(text: str) -> str:
    return repr(text[:100])


def _canonical(name: str) -> str:
    host, port = _split(name)
    return f"{host}:{port}" if port else host


def _split(host: str) -> tuple[str, str]:
    """Name (lower case, without brackets and final dot) and port of `name:port` or `[v6]:port`; else all is name."""
    text = host.strip().lower()
    match = _HOST.fullmatch(text)
    if match is None:
        return text, ""
    address, name, port = match.groups(default="")
    return address or name.removesuffix("."), port


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host


def _same_place(origin: str, host: str) -> bool:
    """Scheme apart: behind a proxy that ends TLS we cannot know it."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    default = _DEFAULT_PORTS.get(parts.scheme)
    if default is None:
        return False
    name, port = _split(parts.netloc)
    own_name, own_port = _split(host)
    return (name, port or default) == (own_name, own_port or default)
