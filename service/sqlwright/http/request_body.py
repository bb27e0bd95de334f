"""Reading a request's body, never more of it than allowed."""

from __future__ import annotations

from sqlwright.errors import BodyTooLarge, ClientLeft
from sqlwright.http.exchange import Exchange, Receive
from sqlwright.http.negotiation import check_media_type


async def read_body(exchange: Exchange, receive: Receive, bytes_max: int) -> bytes:
    """The whole body, empty when there is none.

    Raises `UnsupportedMediaType`, `BodyTooLarge` and `ClientLeft` as soon as that is certain.
    """
    headers = exchange.headers
    length = headers.get(b"content-length")
    if length is not None and int(length) > bytes_max:
        raise too_large(bytes_max)
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientLeft("the caller left before the body was complete")
        chunk = message.get("body", b"")
        if chunk:
            if not size:
                check_media_type(headers.get(b"content-type"), headers.get(b"content-encoding"))
            size += len(chunk)
            if size > bytes_max:
                raise too_large(bytes_max)
            chunks.append(chunk)
        more = message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def too_large(bytes_max: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body has more than {bytes_max} bytes")
