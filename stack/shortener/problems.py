"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A request that gets an error for an answer; the detail is meant for who sent it."""

    def __init__(
        self, status: int, detail: str, *, field: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.headers = headers or {}


def document(problem: Problem) -> bytes:
    """The problem as JSON; `errors` points at the member of the request that is wrong."""
    members: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.field:
        members["errors"] = [{"pointer": f"#/{problem.field}", "detail": problem.detail}]
    return json.dumps(members).encode()


def unavailable() -> Problem:
    """For when the databases cannot be reached."""
    return Problem(503, "the database cannot be reached just now", headers={"Retry-After": "1"})


def headers(problem: Problem, length: int) -> Sequence[tuple[bytes, bytes]]:
    """The headers that go with a problem document."""
    return [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(length).encode()),
        *((name.lower().encode(), value.encode()) for name, value in problem.headers.items()),
    ]
