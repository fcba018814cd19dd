"""The links that the traffic follows: created through the API, then followed once each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from time import monotonic

import gevent  # type: ignore[import-untyped]
from gevent.pool import Pool  # type: ignore[import-untyped]

from scenarios.generator.http_client import HttpClient, Response

CONCURRENCY = 32
TIMEOUT_S = 10.0
POLL_S = 0.1
BULK = 100  # links in a request; the shortener's default limit
TARGET = "https://example.com/page/{rank}"


class PrepareError(Exception):
    """A link could not be created or followed; the message has status and body."""


class TrafficLinks:
    """Codes by rank; `prepare` creates those that are missing."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.codes: list[str] = []

    def prepare(self, count: int, *, fresh: bool = False) -> list[str]:
        """Create and follow links until `count` of them answer, all of them new if `fresh`."""
        if fresh:
            self.codes = []
        pool = Pool(CONCURRENCY)
        firsts = range(len(self.codes), count, BULK)
        for codes in pool.map(
            lambda first: self._create(range(first, min(first + BULK, count))), firsts
        ):
            self.codes += codes
        pool.map(self._follow, self.codes[:count])
        return self.codes[:count]

    def requests(self) -> list[bytes]:
        """The request that follows each link, by rank."""
        return [self._client.request("GET", f"/{code}") for code in self.codes]

    def _create(self, ranks: Sequence[int]) -> list[str]:
        what = "POST /api/links/bulk"
        body = json.dumps({"links": [{"url": TARGET.format(rank=rank)} for rank in ranks]})
        request = self._client.request("POST", "/api/links/bulk", body)
        answer = self._client.exchange(request, TIMEOUT_S)
        if answer.status != 201:
            raise PrepareError(_description(self._client.url, what, answer))
        try:
            return [str(link["code"]) for link in json.loads(answer.body)["links"]]
        except (ValueError, KeyError, TypeError) as problem:
            raise PrepareError(_description(self._client.url, what, answer)) from problem

    def _follow(self, code: str) -> None:
        """Follow a link once; it may not be replicated yet."""
        request = self._client.request("GET", f"/{code}")
        deadline_s = monotonic() + TIMEOUT_S
        while (answer := self._client.exchange(request, TIMEOUT_S)).outcome == "absent":
            if monotonic() > deadline_s:
                break
            gevent.sleep(POLL_S)
        if answer.outcome != "ok":
            raise PrepareError(_description(self._client.url, f"GET /{code}", answer))


def _description(url: str, what: str, answer: Response) -> str:
    if not answer.status:
        return f"{what} at {url}: {answer.error}"
    return f"{what} at {url} answered {answer.status}: {answer.body[:300].decode(errors='replace')}"
