"""Parts and links of a fake stack that answer on loopback, or do not, as its state says.

Each is a path of one small HTTP server, so that faults and their probes meet real sockets.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE_S = 5.0
POLL_S = 0.005


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Callable[[str, str], bool]

    def handle_error(self, *_: object) -> None:
        """A client that has gone away is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        kind, name = self.path.split("/")[1:3]
        if self.server.answer(kind, name):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def answering(answer: Callable[[str, str], bool]) -> Iterator[str]:
    """The address under which `answer(kind, name)` says of each request whether it is answered."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.answer = answer
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def not_while(held: Callable[[], bool]) -> bool:
    """Wait as long as it is so, within reason; whether that came to an end."""
    deadline_s = time.monotonic() + PATIENCE_S
    while held():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True
