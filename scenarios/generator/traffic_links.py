"""The links that the traffic follows: created through the API, then followed once each."""

from __future__ import annotations

import json

from gevent.pool import Pool  # type: ignore[import-untyped]

from scenarios.generator.http_client import HttpClient, Response

CONCURRENCY = 32
TIMEOUT_S = 10.0
TARGET = "https://example.com/page/{rank}"


class PrepareError(Exception):
    """A link could not be created or followed; the message has status and body."""


class TrafficLinks:
    """Codes by rank; `prepare` creates those that are missing."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.codes: list[str] = []

    def prepare(self, count: int) -> list[str]:
        """Create and follow links until `count` of them answer; their codes."""
        pool = Pool(CONCURRENCY)
        missing = range(len(self.codes), count)
        self.codes += pool.map(self._create, missing)
        pool.map(self._follow, self.codes[:count])
        return self.codes[:count]

    def requests(self) -> list[bytes]:
        """The request that follows each link, by rank."""
        return [self._client.request("GET", f"/{code}") for code in self.codes]

    def _create(self, rank: int) -> str:
        body = json.dumps({"url": TARGET.format(rank=rank)})
        what = "POST /api/links"
        answer = self._client.exchange(self._client.request("POST", "/api/links", body), TIMEOUT_S)
        if answer.status != 201:
            raise PrepareError(_description(self._client.url, what, answer))
        try:
            return str(json.loads(answer.body)["code"])
        except (ValueError, KeyError, TypeError) as problem:
            raise PrepareError(_description(self._client.url, what, answer)) from problem

    def _follow(self, code: str) -> None:
        answer = self._client.exchange(self._client.request("GET", f"/{code}"), TIMEOUT_S)
        if answer.outcome != "ok":
            raise PrepareError(_description(self._client.url, f"GET /{code}", answer))


def _description(url: str, what: str, answer: Response) -> str:
    if not answer.status:
        return f"{what} at {url}: {answer.error}"
    return f"{what} at {url} answered {answer.status}: {answer.body[:300].decode(errors='replace')}"
