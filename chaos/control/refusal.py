"""What the control answers where it does not do what it was asked."""

from __future__ import annotations

from http import HTTPStatus


class RequestRefused(Exception):
    """A request that is not carried out; the message tells a person why."""

    def __init__(self, status: HTTPStatus, why: str, **more: object) -> None:
        super().__init__(why)
        self.status = status
        self.more = more
