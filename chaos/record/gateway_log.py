"""The gateway's own log of answers: the second account of what clients met, by another clock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

MARK = "answered "  # of stack/nginx/nginx.conf; its log has warnings, too
FIELDS = 7
GATEWAY_COLUMNS: Mapping[str, str] = {
    "line": "BIGINT",
    "wall_s": "DOUBLE",  # when the answer was complete, since the epoch, in milliseconds
    "took_s": "DOUBLE",  # from the first byte of the request on, in milliseconds
    "status": "INTEGER",  # 499: the client had gone
    "method": "VARCHAR",
    "key": "VARCHAR",  # the URI as it was sent, without its first slash
    "upstream": "VARCHAR",  # the web process that answered; - if none was asked
}


def logged_answers(logs: Path) -> Iterator[list[object]]:
    """One row for each line about an answer; a line cut short is left out."""
    log = logs / "nginx.log"
    if not log.is_file():
        return
    with log.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines):
            words = line.split(maxsplit=FIELDS - 1) if line.startswith(MARK) else []
            if len(words) == FIELDS and line.endswith("\n"):
                _, wall_s, took_s, status, method, path, upstream = words
                key = path.removeprefix("/")
                yield [number, wall_s, took_s, status, method, key, upstream.rstrip()]
