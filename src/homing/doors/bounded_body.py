"""The body of a request that should be small, read no further than that."""

from starlette.requests import Request


async def body_up_to(request: Request, octets: int) -> bytes | None:
    """The body; None if it is larger, of which the rest is left unread."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > octets:
            return None
    return bytes(body)
