"""Parts and links of a fake stack that respond on loopback, or do not, by its state.

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


class _FakeServer(ThreadingHTTPServer):
    daemon_threads = True
    answer: Callable[[str, str], bool]

    def handle_error(self, *_: object) -> None:
        """Ignore clients that have disconnected."""


class _FakeHandler(BaseHTTPRequestHandler):
    server: _FakeServer

    def do_GET(self) -> None:
        kind, name = self.path.split("/")[1:3]
        if self.server.answer(kind, name):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def answering(answer: Callable[[str, str], bool]) -> Iterator[str]:
    """Start a server that responds if `answer(kind, name)` is true; yield its address."""
    with _FakeServer(("127.0.0.1", 0), _FakeHandler) as server:
        server.answer = answer
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def not_while(held: Callable[[], bool]) -> bool:
    """Wait until `held()` is false; return False after a timeout."""
    deadline_s = time.monotonic() + PATIENCE_S
    while held():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(POLL_S)
    return True
