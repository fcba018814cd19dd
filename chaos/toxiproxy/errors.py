"""Errors of the HTTP API: Toxiproxy's messages and status codes."""

from __future__ import annotations


class ApiError(Exception):
    """An error with the status code of its HTTP response."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    def as_json(self) -> dict[str, object]:
        """Return the error as the HTTP API shows it."""
        return {"error": self.message, "status": self.status}


class ListenError(ApiError):
    """A malformed address, or one that cannot be bound."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 500)


def bad_body(why: str) -> ApiError:
    """400: the JSON body is invalid."""
    return ApiError(f"bad request body: {why}", 400)


def missing(field: str) -> ApiError:
    """400: a required field is missing."""
    return ApiError(f"missing required field: {field}", 400)
