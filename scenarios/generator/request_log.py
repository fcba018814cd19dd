"""The record of every request: one CSV shard a process, flushed at the end of each segment.

`outcome` as far as the client can tell: `ok` (2xx, 3xx), `absent` (404, 410), `fail` (other 4xx,
5xx, or never sent), or `unknown` (sent, no answer: it may have arrived).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from chaos.model.request_record import REQUEST_COLUMNS
from scenarios.generator.http_client import Response
from scenarios.generator.open_loop import Exchange

BUFFER_BYTES = 1 << 20


class RequestLog:
    """Writes `requests-<shard>.csv`; raises `FileExistsError` so that two runs never mix."""

    def __init__(self, directory: Path, shard: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"requests-{shard}.csv"
        self._file = path.open("x", newline="", encoding="utf-8", buffering=BUFFER_BYTES)
        self._write = csv.writer(self._file, lineterminator="\n").writerow
        self._write(REQUEST_COLUMNS)
        self._shard = shard
        self.flush()

    def observer(self, segment: int, codes: Sequence[str]) -> Callable[[Exchange], None]:
        """A function that writes one line a request; `codes` are the shared links by rank."""
        prefix = f"{segment}-{self._shard}-"

        def write(exchange: Exchange) -> None:
            session = f"{prefix}{exchange.session}"
            answer = exchange.answer
            header = answer.headers.get
            self._write(
                (
                    segment,
                    f"{session}-{exchange.step}",
                    session,
                    exchange.operation,
                    exchange.attempt,
                    "true" if exchange.last else "false",
                    exchange.rank,
                    exchange.own_key or codes[exchange.rank],
                    (header(b"x-link-version") or _version_in_tag(answer)).decode("latin-1"),
                    exchange.written or header(b"location", b"").decode("latin-1"),
                    f"{exchange.intended_s:.6f}",
                    f"{exchange.sent_s:.6f}",
                    f"{exchange.done_s:.6f}",
                    answer.outcome,
                    answer.status,
                    header(b"x-cache", b"").decode("latin-1"),
                    header(b"x-cache-age-ms", b"").decode("latin-1"),
                    header(b"x-click-id", b"").decode("latin-1"),
                    header(b"x-server", b"").decode("latin-1"),
                    header(b"x-timeline", b"").decode("latin-1"),
                    answer.error,
                )
            )

        return write

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        self._file.flush()


def _version_in_tag(answer: Response) -> bytes:
    """The version in the ETag of a created or edited link; -1 without one.

    A redirect from elsewhere may have any ETag.
    """
    tag = answer.headers.get(b"etag", b"").strip(b'"') if 200 <= answer.status < 300 else b""
    return tag if tag.isdigit() else b"-1"
