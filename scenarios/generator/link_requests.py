"""The requests of each operation on a link, and the targets that they write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from chaos.model.traffic import Operation
from scenarios.generator.http_client import HttpClient

LINKS = "/api/links"
READ_TOKEN = "X-Read-Token"  # of a session's last write
METHODS: Mapping[Operation, str] = {
    "follow": "GET",
    "create": "POST",
    "edit": "PATCH",
    "delete": "DELETE",
    "stats": "GET",
}


def target(link: str, number: int) -> str:
    """The value of a link, by a name that no other has; other numbers are other values."""
    return f"https://example.com/page/{link}/{number}"


def follow(client: HttpClient, key: str, token: str = "") -> bytes:
    """The request that a browser sends for a short link, with the read token of its session."""
    return client.request("GET", f"/{key}", headers={READ_TOKEN: token} if token else {})


def create(client: HttpClient, url: str) -> bytes:
    """Create a link under a random code."""
    return client.request("POST", LINKS, json.dumps({"url": url}))


def create_own(client: HttpClient, alias: str, url: str) -> bytes:
    """Create a link under an alias; sent again, it gets its first answer again.

    No two creates share an alias, so it serves as the Idempotency-Key, too.
    """
    body = json.dumps({"url": url, "alias": alias})
    return client.request("POST", LINKS, body, {"Idempotency-Key": alias})


def create_all(client: HttpClient, urls: Sequence[str]) -> bytes:
    """Create links under random codes: all of them or none."""
    body = json.dumps({"links": [{"url": url} for url in urls]})
    return client.request("POST", f"{LINKS}/bulk", body)


def edit(client: HttpClient, key: str, url: str) -> bytes:
    """Change the target, whatever the link's version."""
    return client.request("PATCH", f"{LINKS}/{key}", json.dumps({"url": url}))


def delete(client: HttpClient, key: str) -> bytes:
    """Delete the link, whatever its version."""
    return client.request("DELETE", f"{LINKS}/{key}")


def stats(client: HttpClient, key: str) -> bytes:
    """Read the clicks counted so far."""
    return client.request("GET", f"{LINKS}/{key}/stats")
