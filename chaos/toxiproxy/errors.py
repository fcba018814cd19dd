"""What the HTTP API answers when it refuses: Toxiproxy's messages and status codes."""

from __future__ import annotations


class ApiError(Exception):
    """A refusal, with the status code of its HTTP answer."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.message = message
        self.status = status

    def as_json(self) -> dict[str, object]:
        """The error as the HTTP API shows it."""
        return {"error": self.message, "status": self.status}


class ListenError(ApiError):
    """An address that cannot be understood, or cannot be listened on."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 500)


def bad_body(why: str) -> ApiError:
    """The request's JSON is not what it should be."""
    return ApiError(f"bad request body: {why}", 400)


def missing(field: str) -> ApiError:
    """A field that must be there is not."""
    return ApiError(f"missing required field: {field}", 400)


def no_proxy() -> ApiError:
    """There is no proxy of that name."""
    return ApiError("proxy not found", 404)


def proxy_exists() -> ApiError:
    """There is a proxy of that name already."""
    return ApiError("proxy already exists", 409)


def no_toxic() -> ApiError:
    """There is no toxic of that name."""
    return ApiError("toxic not found", 404)


def toxic_exists() -> ApiError:
    """There is a toxic of that name already."""
    return ApiError("toxic already exists", 409)


def bad_stream() -> ApiError:
    """The stream is neither of the two."""
    return ApiError("stream was invalid, can be either upstream or downstream", 400)


def bad_kind() -> ApiError:
    """There is no such kind of toxic."""
    return ApiError("invalid toxic type", 400)
