"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

MEDIA_TYPE = "application/problem+json"

Wrong = tuple[str, str]  # where in the request (a JSON pointer), and what is wrong there


class Problem(Exception):
    """A request that gets an error for an answer; the detail is meant for who sent it."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        field: str = "",
        wrong: Iterable[Wrong] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.wrong = (*wrong, (f"#/{field}", detail)) if field else tuple(wrong)
        self.headers = headers or {}

    @property
    def title(self) -> str:
        """What the status means in general."""
        return HTTPStatus(self.status).phrase


def document(problem: Problem) -> bytes:
    """The problem as JSON; `errors` points at the members of the request that are wrong."""
    members: dict[str, object] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.wrong:
        members["errors"] = [{"pointer": at, "detail": detail} for at, detail in problem.wrong]
    return json.dumps(members).encode()


def unavailable() -> Problem:
    """For when the databases cannot be reached."""
    return Problem(503, "the database cannot be reached just now", headers={"Retry-After": "1"})


def headers(problem: Problem, length: int) -> Sequence[tuple[bytes, bytes]]:
    """The headers that go with a problem document."""
    return [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(length).encode()),
        (b"x-content-type-options", b"nosniff"),
        *own_headers(problem),
    ]


def own_headers(problem: Problem) -> Iterable[tuple[bytes, bytes]]:
    """The headers that belong to the problem in whatever form it is told."""
    return ((name.lower().encode(), value.encode()) for name, value in problem.headers.items())
