"""Reading a request's body, never more of it than allowed."""

from __future__ import annotations

from collections.abc import Callable

from sqlwright.errors import AmbiguousRequest, BodyTooLarge, ClientLeft
from sqlwright.http.content_coding import coding_of, inflate
from sqlwright.http.exchange import Exchange, Receive
from sqlwright.http.negotiation import check_media_type

CheckType = Callable[[bytes | None], None]


async def read_body(
    exchange: Exchange, receive: Receive, bytes_max: int, check_type: CheckType = check_media_type
) -> bytes:
    """The whole body, inflated where it came compressed, empty when there is none.

    Raises `UnsupportedMediaType`, `UnsupportedContentCoding`, `BodyTooLarge`, `MalformedRequest` and `ClientLeft` as
    soon as that is certain. The bound holds for what comes and for what it becomes.
    """
    headers = exchange.headers
    coding: bytes | None = None
    length = headers.get(b"content-length")
    if length is not None and int(length) > bytes_max:
        raise too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            if b"transfer-encoding" in headers:  # granian says the same of broken chunks, whose sender is still there
                raise AmbiguousRequest("the chunks of the body are broken, or the caller left before the last")
            raise ClientLeft("the caller left before the body was complete")
        chunk = message.get("body", b"")
        if chunk:
            if not size:
                check_type(headers.get(b"content-type"))
                if b"content-encoding" in headers:
                    coding = coding_of(exchange.every(b"content-encoding"))
            size += len(chunk)
            if size > bytes_max:
                raise too_large(bytes_max)
            chunks.append(chunk)
        more = message.get("more_body", False)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return body if coding is None else await inflate(body, coding, bytes_max)


def too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body has more than {bytes_max} bytes")
