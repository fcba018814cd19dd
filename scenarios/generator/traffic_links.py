"""The links that the traffic shares: created through the API, then followed once each."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from itertools import count, islice
from time import monotonic
from typing import Any, TypeVar

import gevent  # type: ignore[import-untyped]
from gevent.pool import Pool  # type: ignore[import-untyped]

from scenarios.generator import link_requests
from scenarios.generator.http_client import HttpClient, Response

CONCURRENCY = 32
TIMEOUT_S = 10.0
BULK_MAX_LINKS = 100  # the API's own default
REPLICA_WAIT_S, REPLICA_POLL_S = 10.0, 0.1
ADMISSION_WAIT_S, ADMISSION_POLL_S = 10.0, 0.05
CREATED, NOT_FOUND, UNAVAILABLE = 201, 404, 503

Read = TypeVar("Read")


class PrepareError(Exception):
    """A link could not be created or followed; the message has status and body."""


class TrafficLinks:
    """Codes by rank, and the targets that they were made with: no two links share one."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self._own = secrets.token_hex(4)
        self._numbers = count()
        self.codes: list[str] = []
        self.targets: list[str] = []

    def prepare(self, links: int) -> list[str]:
        """Create the links that are missing, and follow so many of them once; their codes."""
        missing = self._new_targets(links - len(self.codes))
        self.codes += Pool(CONCURRENCY).map(self._create, missing)
        self.targets += missing
        return self._followed(self.codes[:links], within_s=0.0)

    def prepare_fresh(self, links: int) -> list[str]:
        """Create so many new links in bulk, and follow each once; their codes.

        Idle connections are closed first: the server may have been restarted meanwhile.
        """
        self._client.close()
        self.targets = self._new_targets(links)
        chunks = [
            self.targets[first : first + BULK_MAX_LINKS]
            for first in range(0, links, BULK_MAX_LINKS)
        ]
        self.codes = [
            code for made in Pool(CONCURRENCY).map(self._create_all, chunks) for code in made
        ]
        return self._followed(self.codes, within_s=REPLICA_WAIT_S)

    def requests(self) -> list[bytes]:
        """The request that follows each link, by rank."""
        return [link_requests.follow(self._client, code) for code in self.codes]

    def _new_targets(self, links: int) -> list[str]:
        return [
            link_requests.target(f"{self._own}-{number}", 0)
            for number in islice(self._numbers, max(links, 0))
        ]

    def _followed(self, codes: list[str], within_s: float) -> list[str]:
        until_s = monotonic() + within_s
        Pool(CONCURRENCY).map(lambda code: self._follow(code, until_s), codes)
        return codes

    def _create(self, target: str) -> str:
        request = link_requests.create(self._client, target)
        return self._made(request, "POST /api/links", lambda link: str(link["code"]))

    def _create_all(self, targets: Sequence[str]) -> list[str]:
        request = link_requests.create_all(self._client, targets)
        return self._made(
            request,
            "POST /api/links/bulk",
            lambda made: [str(link["code"]) for link in made["links"]],
        )

    def _made(self, request: bytes, what: str, read: Callable[[Any], Read]) -> Read:
        """Send a request that creates, and read its answer."""
        answer = self._admitted(request)
        if answer.status != CREATED:
            raise PrepareError(_description(self._client.url, what, answer))
        try:
            return read(json.loads(answer.body))
        except (ValueError, KeyError, TypeError) as problem:
            raise PrepareError(_description(self._client.url, what, answer)) from problem

    def _follow(self, code: str, until_s: float) -> None:
        """Follow a link once it is there: the replica may not have it yet."""
        request = link_requests.follow(self._client, code)
        while (answer := self._admitted(request)).outcome != "ok":
            if answer.status != NOT_FOUND or monotonic() >= until_s:
                raise PrepareError(_description(self._client.url, f"GET /{code}", answer))
            gevent.sleep(REPLICA_POLL_S)

    def _admitted(self, request: bytes) -> Response:
        """Send a request again while it gets 503: an arm's MAX_IN_FLIGHT may be below ours."""
        until_s = monotonic() + ADMISSION_WAIT_S
        while (answer := self._client.exchange(request, TIMEOUT_S)).status == UNAVAILABLE:
            if monotonic() >= until_s:
                break
            gevent.sleep(ADMISSION_POLL_S)
        return answer


def _description(url: str, what: str, answer: Response) -> str:
    if not answer.status:
        return f"{what} at {url}: {answer.error}"
    return f"{what} at {url} answered {answer.status}: {answer.body[:300].decode(errors='replace')}"
