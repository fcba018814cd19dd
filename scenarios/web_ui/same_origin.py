"""Same-origin checks of the web page: only its own pages, on this machine, may change anything.

Locust itself lets every site read its answers and accepts every site's POST, so any page that is
open in the browser could start traffic or break the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask, Request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
CORS_PREFIX = "access-control-"


def refusal_reason(request: Request) -> str | None:
    """The reason to refuse a request, for its sender; `None` if it is allowed."""
    if not _is_this_machine(request.host):
        return f"this page is for this machine: open it as http://127.0.0.1, not {request.host}"
    if request.method in SAFE_METHODS:
        return None
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin", request.host_url.rstrip("/"))
    if site != "same-origin" or origin != request.host_url.rstrip("/"):
        return "another site asked for this: open the page itself"
    return None


def remove_cors_headers(app: Flask) -> None:
    """Remove the CORS headers that Locust adds to every answer of the app."""
    app.wsgi_app = _WithoutCorsHeaders(app.wsgi_app)  # type: ignore[assignment, method-assign]


class _WithoutCorsHeaders:
    """WSGI middleware around everything that adds headers."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        def start_without_cors(
            status: str, headers: list[tuple[str, str]], *more: Any
        ) -> Callable[[bytes], object]:
            kept = [each for each in headers if not each[0].lower().startswith(CORS_PREFIX)]
            return start(status, kept, *more)

        return self._app(environ, start_without_cors)


def _is_this_machine(host: str) -> bool:
    """True if a Host header names this machine; DNS rebinding would send another name."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
