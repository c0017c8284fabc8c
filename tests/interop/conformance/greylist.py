"""A greylist in Postfix's policy delegation protocol: no at first, then yes."""

import asyncio


async def a_greylist() -> str:
    """Where it listens."""
    asked: set[str] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request: dict[str, str] = {}
        while line := (await reader.readline()).decode().rstrip("\n"):
            name, _, value = line.partition("=")
            request[name] = value
        recipient = request.get("recipient", "")
        known = recipient in asked
        asked.add(recipient)
        writer.write(
            b"action=dunno\n\n" if known else b"action=defer_if_permit Greylisted, see you in five minutes\n\n"
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    ip, port = server.sockets[0].getsockname()
    return f"{ip}:{port}"
