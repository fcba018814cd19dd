"""A fake of Grafana's HTTP API for annotations, for machines without Grafana's image.

Paths, fields and answers follow its documentation ("Annotations HTTP API"): create, then update of
all properties.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ACCOUNT = "admin:pass/word"
URL_ACCOUNT = "admin:pass%2Fword"


@dataclass
class Grafana:
    """Annotations by id, and the write permission."""

    port: int = 0
    anonymous_may_write: bool = False
    silent: bool = False
    marked: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://{URL_ACCOUNT}@127.0.0.1:{self.port}"

    def windows(self, kind: str) -> list[dict[str, Any]]:
        return [window for window in list(self.marked.values()) if kind in window["tags"]]

    def lets_in(self, authorization: str | None) -> bool:
        if authorization is None:
            return self.anonymous_may_write
        return authorization == "Basic " + base64.b64encode(ACCOUNT.encode()).decode()


class _Handler(BaseHTTPRequestHandler):
    grafana: Grafana

    def do_POST(self) -> None:
        said = self._said()
        if self.path != "/api/annotations":
            self._answer(404, {"message": "Not found"})
        elif said is not None:
            number = len(self.grafana.marked) + 1
            end = said["timeEnd"] or said["time"]
            self.grafana.marked[number] = {**said, "timeEnd": end}
            self._answer(200, {"message": "Annotation added", "id": number})

    def do_PUT(self) -> None:
        said, number = self._said(), int(self.path.rpartition("/")[2])
        if number not in self.grafana.marked:
            self._answer(404, {"message": "Could not find annotation to update"})
        elif said is not None:
            self.grafana.marked[number] = said
            self._answer(200, {"message": "Annotation updated"})

    def _said(self) -> dict[str, Any] | None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.grafana.lets_in(self.headers["Authorization"]):
            self._answer(401, {"message": "Unauthorized"})
            return None
        said: dict[str, Any] = json.loads(body)
        return said

    def _answer(self, status: int, body: object) -> None:
        if self.grafana.silent:
            threading.Event().wait(4.0)
        with suppress(ConnectionError):  # nobody may wait for a silent one any more
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def grafana() -> Iterator[Grafana]:
    """A running server that accepts the account in its URL."""
    state = Grafana()
    handler = type("Handler", (_Handler,), {"grafana": state})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        state.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield state
        finally:
            server.shutdown()
            thread.join()
