"""Watch of the database servers: what each says of itself, for eyes and never for a verdict.

Each is asked on a thread of its own that may hang, as a paused server takes connections and says
nothing: its answer is missing then, and the others' are not late.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from chaos.model.stack import ServerName, StackError
from chaos.runtimes.server_queries import Standing as Standing
from chaos.runtimes.server_queries import standing

PATIENCE_S = 0.1


class ServerWatch:
    """Asks every server when it is looked at. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking: dict[ServerName, _Question] = {}

    def look(self, servers: Mapping[ServerName, str]) -> Mapping[ServerName, Standing]:
        """The standing of each server that answers in time, by its name; `servers` are URLs.

        One that is still being asked is not asked again; its answer, if one comes, is given later.
        """
        with self._lock:
            for server, url in servers.items():
                if server not in self._asking:
                    self._asking[server] = _Question(url)
            deadline_s = time.monotonic() + PATIENCE_S
            done = [
                server
                for server, question in self._asking.items()
                if question.ended.wait(max(0.0, deadline_s - time.monotonic()))
            ]
            answers = {server: self._asking.pop(server).answer for server in done}
        return {server: answer for server, answer in answers.items() if answer is not None}


class _Question:
    """One server asked once; no answer where it gives an error."""

    def __init__(self, url: str) -> None:
        self.answer: Standing | None = None
        self.ended = threading.Event()
        threading.Thread(target=self._ask, args=(url,), name="server-watch", daemon=True).start()

    def _ask(self, url: str) -> None:
        try:
            self.answer = standing(url)
        except StackError:
            pass
        finally:
            self.ended.set()
