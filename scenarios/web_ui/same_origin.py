"""Who may change something through the web page: a page of its own, opened on this machine.

Locust lets every site read every answer, and takes any site's POST: any page that a person has
open could otherwise point traffic somewhere, or break the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask, Request

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

READS = ("GET", "HEAD", "OPTIONS")
SHARED = "access-control-"


def objection(request: Request) -> str | None:
    """Why a request is not carried out, in words; `None` if nothing speaks against it."""
    if not _is_this_machine(request.host):
        return f"this page is for this machine: open it as http://127.0.0.1, not {request.host}"
    if request.method in READS:
        return None
    site = request.headers.get("Sec-Fetch-Site", "same-origin")
    origin = request.headers.get("Origin", request.host_url.rstrip("/"))
    if site != "same-origin" or origin != request.host_url.rstrip("/"):
        return "another site asked for this: open the page itself"
    return None


def keep_to_itself(app: Flask) -> None:
    """Take Locust's leave to read back from every answer of the app."""
    app.wsgi_app = _Unshared(app.wsgi_app)  # type: ignore[assignment, method-assign]


class _Unshared:
    """Outside of all that adds headers."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        def unshared(
            status: str, headers: list[tuple[str, str]], *more: Any
        ) -> Callable[[bytes], object]:
            kept = [each for each in headers if not each[0].lower().startswith(SHARED)]
            return start(status, kept, *more)

        return self._app(environ, unshared)


def _is_this_machine(host: str) -> bool:
    """Whether a Host header names it; a site whose name leads here would send its own."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
