"""Compressed bodies: gzip and deflate, never inflated beyond what a body may have.

A bomb costs what the largest body costs that is allowed: inflating stops at the first byte that is too much.
"""

from __future__ import annotations

import asyncio
import zlib

from sqlwright.errors import BodyTooLarge, MalformedRequest, UnsupportedContentCoding
from sqlwright.http.calls import BODY_BYTES_ON_LOOP_MAX

ACCEPTED = "gzip, deflate"
_WINDOWS = {b"gzip": 16 + zlib.MAX_WBITS, b"x-gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}
"""What zlib calls them. `deflate` is the zlib format (RFC 9110 §8.4.1.2), `x-gzip` an old name."""


def coding_of(content_encoding: bytes | None) -> bytes | None:
    """The content coding of a body, None where it is sent as it is. Raises `UnsupportedContentCoding`."""
    coding = (content_encoding or b"").strip().lower()
    if coding in (b"", b"identity"):
        return None
    if coding not in _WINDOWS:
        raise UnsupportedContentCoding(
            "the body may be compressed by gzip or deflate, once", hint="Content-Encoding: gzip, or none"
        )
    return coding


async def inflate(body: bytes, coding: bytes, bytes_max: int) -> bytes:
    """The body as it was before. Raises `BodyTooLarge` and `MalformedRequest`."""
    if len(body) <= BODY_BYTES_ON_LOOP_MAX:
        # How large it becomes shows only meanwhile: what is too large for the loop begins again in a thread.
        try:
            return _inflated(body, coding, min(bytes_max, BODY_BYTES_ON_LOOP_MAX))
        except BodyTooLarge:
            if bytes_max <= BODY_BYTES_ON_LOOP_MAX:
                raise
    return await asyncio.to_thread(_inflated, body, coding, bytes_max)


def _inflated(body: bytes, coding: bytes, bytes_max: int) -> bytes:
    stream = zlib.decompressobj(_WINDOWS[coding])
    name = coding.decode("ascii")
    try:
        content = stream.decompress(body, bytes_max + 1)
    except zlib.error:
        raise MalformedRequest(f"the body is not {name}, as Content-Encoding says") from None
    if len(content) > bytes_max:
        raise BodyTooLarge(f"the body has more than {bytes_max} bytes, inflated")
    if not stream.eof:
        raise MalformedRequest(f"the body ends within its {name} stream")
    if stream.unused_data:
        raise MalformedRequest(f"the body goes on after its {name} stream")
    return content
