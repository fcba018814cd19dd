"""Errors as RFC 9457 problem documents."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

MEDIA_TYPE = "application/problem+json"

Wrong = tuple[str, str]  # JSON pointer into the request, and what is wrong there


class Problem(Exception):
    """An error response; `detail` is for the client."""

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
        """The reason phrase of the status."""
        return HTTPStatus(self.status).phrase


def document(problem: Problem) -> bytes:
    """The problem as JSON; `errors` points at the wrong members of the request."""
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
    """503 for when no database is available."""
    return Problem(503, "the database is unavailable", headers={"Retry-After": "1"})


OUTCOME_UNKNOWN = {"X-Outcome": "unknown"}  # of a write that may be done, or be done later


def unknown_outcome() -> Problem:
    """503 for a write that may be done or not."""
    return Problem(
        503,
        "the database did not say if the change was made; look before you try again",
        headers={"Retry-After": "1", **OUTCOME_UNKNOWN},
    )


def headers(problem: Problem, length: int) -> Sequence[tuple[bytes, bytes]]:
    """The headers of a problem document."""
    return [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(length).encode()),
        (b"x-content-type-options", b"nosniff"),
        *own_headers(problem),
    ]


def own_headers(problem: Problem) -> Iterable[tuple[bytes, bytes]]:
    """The headers of a problem in any form."""
    return ((name.lower().encode(), value.encode()) for name, value in problem.headers.items())
