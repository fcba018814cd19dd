"""A client without a network, for tests of what the generator sends and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from time import monotonic

import gevent  # type: ignore[import-untyped]

from scenarios.generator.http_client import ABSENT, HttpClient, OutOfSockets, Response

UNKNOWN, NOT_SENT, NO_SOCKET = 0, -1, -2  # beside statuses


class ScriptedClient(HttpClient):
    """Answers with these statuses in turn, each `after_s` after its request."""

    def __init__(
        self,
        statuses: Sequence[int],
        after_s: Sequence[float] = (0.0,),
        headers: Mapping[bytes, bytes] = {},
    ) -> None:
        self._headers = dict(headers)
        self.url, self._host, self._path = "http://nowhere", "nowhere", ""
        self.requests: list[bytes] = []
        self._script = zip(cycle(statuses), cycle(after_s), strict=False)

    def exchange(self, request: bytes, timeout_s: float) -> Response:
        """Wait, and answer as the script says."""
        status, after_s = next(self._script)
        self.requests.append(request)
        gevent.sleep(after_s)
        if status == NO_SOCKET:
            raise OutOfSockets("no socket left")
        return Response(_outcome(status), max(status, 0), self._headers, b"", "", monotonic())


def _outcome(status: int) -> str:
    if status in (UNKNOWN, NOT_SENT):
        return "unknown" if status == UNKNOWN else "fail"
    return "ok" if status < 400 else "absent" if status in ABSENT else "fail"
