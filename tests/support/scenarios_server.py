"""A fake shortener with failure modes: `python scenarios_server.py MODE HOST` prints its port.

Modes: `ok`; `broken` (503 to every redirect); `drop` (closes the connection without an answer);
`silent` (never answers); `stingy` (503 to every new link). `/forget` drops every link so far.
"""

from __future__ import annotations

import asyncio
import json
import sys

seen = {"connections": 0, "redirects": 0, "links": 0, "forgotten": 0}


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def redirect() -> bytes:
    seen["redirects"] += 1
    return answer(
        "302 Found",
        b"",
        "Location: https://example.com/",
        "X-LINK-VERSION: 4",
        "X-Cache: hit",
        "X-Cache-Age-Ms: 12.5",
        f"X-Click-Id: click-{seen['redirects']}",
    )


def link() -> bytes:
    seen["links"] += 1
    body = json.dumps({"code": f"code{seen['links']}", "version": 4}).encode()
    return answer("201 Created", body, "Content-Type: application/json")


class Shortener(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        seen["connections"] += 1

    def data_received(self, data: bytes) -> None:
        method, path, _ = data.split(b" ", 2)
        mode = sys.argv[1]
        if path == b"/seen":
            self.transport.write(answer("200 OK", json.dumps(seen).encode()))
        elif path == b"/forget":
            seen["forgotten"] = seen["links"]
            self.transport.write(answer("200 OK"))
        elif method == b"POST":
            stingy = answer("503 Service Unavailable", b"no links today")
            self.transport.write(stingy if mode == "stingy" else link())
        elif seen["forgotten"] and int(path.rpartition(b"code")[2]) <= seen["forgotten"]:
            self.transport.write(answer("404 Not Found"))
        elif mode == "ok" or seen["redirects"] < seen["links"]:  # preparing works in every mode
            self.transport.write(redirect())
        else:
            self.misbehave(mode)

    def misbehave(self, mode: str) -> None:
        seen["redirects"] += 1
        if mode == "broken":
            self.transport.write(answer("503 Service Unavailable", b"sorry"))
        elif mode == "drop":
            self.transport.close()


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Shortener, sys.argv[2], 0, backlog=2048)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
