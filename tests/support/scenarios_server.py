"""A fake shortener with failure modes: `python scenarios_server.py MODE HOST` prints its port.

Modes: `ok`; `broken` (503 to every redirect); `drop` (closes the connection without an answer);
`silent` (never answers); `stingy` (503 to every new link); `lagging` (404 to the first `LAGGARDS`
followers); `flaky` (503 to every other request). All but `stingy` and `lagging` begin once
links are prepared. `/forget` drops every link so far.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

LAGGARDS = 6
seen = dict.fromkeys(
    ("connections", "redirects", "links", "forgotten", "bulks", "laggards", "flaked", "prepared"), 0
)
UNAVAILABLE = "503 Service Unavailable"


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


def link(code: str = "") -> dict[str, object]:
    seen["links"] += 1
    return {"code": code or f"code{seen['links']}", "version": 4}


def created(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    wanted = json.loads(body)
    if head.split(b" ")[1].endswith(b"/bulk"):
        seen["bulks"] += 1
        made: dict[str, object] = {"links": [link() for _ in wanted["links"]]}
    else:
        made = link(wanted.get("alias", ""))
    return answer("201 Created", json.dumps(made).encode(), 'ETag: "1"')


def served(request: bytes, method: bytes, path: bytes) -> bytes:
    """What a shortener without faults answers."""
    if method == b"POST":
        return created(request)
    if method == b"PATCH":
        return answer("200 OK", b"{}", 'ETag: "7"')
    if method == b"DELETE":
        return answer("204 No Content").replace(b"Content-Length: 0\r\n", b"")
    if path.endswith(b"/stats"):
        return answer("200 OK", b'{"total": 0}')
    return redirect()


def is_forgotten(path: bytes) -> bool:
    return seen["forgotten"] > 0 and int(path.rpartition(b"code")[2]) <= seen["forgotten"]


def whole(received: bytes) -> int:
    """Bytes of the first request; 0 if some are still to come."""
    head, ends, body = received.partition(b"\r\n\r\n")
    stated = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    body_length = int(stated[1]) if stated else 0
    return len(head) + len(ends) + body_length if ends and len(body) >= body_length else 0


class Shortener(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""
        seen["connections"] += 1

    def data_received(self, data: bytes) -> None:
        self.received += data
        while length := whole(self.received):
            request, self.received = self.received[:length], self.received[length:]
            self.serve_one(request)

    def serve_one(self, data: bytes) -> None:
        method, path, _ = data.split(b" ", 2)
        if path == b"/seen":
            self.transport.write(answer("200 OK", json.dumps(seen).encode()))
        elif path == b"/forget":
            seen["forgotten"] = seen["links"]
            self.transport.write(answer("200 OK"))
        else:
            self.serve(data, method, path, sys.argv[1])

    def serve(self, data: bytes, method: bytes, path: bytes, mode: str) -> None:
        unprepared = not seen["links"] and method == b"GET"
        if unprepared or 0 < seen["links"] <= seen["redirects"]:
            seen["prepared"] = 1
        if method == b"POST" and mode == "stingy":
            self.transport.write(answer(UNAVAILABLE, b"no links today"))
        elif method == b"GET" and is_forgotten(path):
            self.transport.write(answer("404 Not Found"))
        elif mode == "lagging" and method == b"GET" and seen["laggards"] < LAGGARDS:
            seen["laggards"] += 1
            self.transport.write(answer("404 Not Found"))
        elif mode == "flaky" and seen["prepared"]:
            seen["flaked"] += 1
            failed = answer(UNAVAILABLE) if seen["flaked"] % 2 else b""
            self.transport.write(failed or served(data, method, path))
        elif mode in ("ok", "flaky", "lagging") or method == b"POST" or not seen["prepared"]:
            self.transport.write(served(data, method, path))
        else:
            self.misbehave(mode)

    def misbehave(self, mode: str) -> None:
        seen["redirects"] += 1
        if mode == "broken":
            self.transport.write(answer(UNAVAILABLE, b"sorry"))
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
