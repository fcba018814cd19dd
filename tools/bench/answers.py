"""Answers of HTTP/1.1 as bytes: where one ends, and whether it is the one that was expected."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HEAD_END = b"\r\n\r\n"
_NO_BODY = b"content-length: 0\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*\r\n", re.IGNORECASE)
_LONGEST_HEAD = 16_384


class UnreadableAnswer(Exception):
    """An answer whose end cannot be known."""


@dataclass(frozen=True)
class Expected:
    """What every answer of an arm must be: its status, and bytes that its head must hold."""

    status: int
    proof: bytes = b""

    @property
    def start(self) -> bytes:
        """What such an answer begins with."""
        return b"HTTP/1.1 %d" % self.status


def is_whole(received: bytes) -> bool:
    """Whether an answer has come to its end; one without a Content-Length is `UnreadableAnswer`.

    The first line is for most of them: it costs a fifth of the rest, and the client shares a core.
    """
    if received.endswith(_HEAD_END) and _NO_BODY in received:
        return True
    head = received.find(_HEAD_END)
    if head < 0:
        if len(received) > _LONGEST_HEAD:
            raise UnreadableAnswer(f"a head of more than {_LONGEST_HEAD} bytes")
        return False
    length = _LENGTH.search(received, 0, head + 2)
    if length is None:
        raise UnreadableAnswer("no Content-Length")
    return len(received) >= head + len(_HEAD_END) + int(length[1])


def first_line(received: bytes) -> str:
    """The status line, to tell what came instead of what was expected."""
    return received.partition(b"\r\n")[0].decode("latin-1") or "nothing"
