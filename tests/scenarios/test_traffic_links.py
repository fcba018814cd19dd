"""Preparation of the links that the traffic shares."""

from __future__ import annotations

import json
from typing import Any

import gevent  # type: ignore[import-untyped]
import pytest

from scenarios.generator import traffic_links
from scenarios.generator.http_client import Response
from scenarios.generator.traffic_links import PrepareError, TrafficLinks


class FakeShortener:
    """Answers as the API does, and with 503 to more requests at once than it takes."""

    url = "http://127.0.0.1:1"

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self.made = 0

    def request(self, method: str, path: str, body: str = "", headers: Any = None) -> bytes:
        return json.dumps([method, body]).encode()

    def exchange(self, request: bytes, _timeout_s: float) -> Response:
        if self._in_flight >= self._max_in_flight:
            return Response("rejected", 503, {}, b"too many requests in flight", "", 0.0)
        self._in_flight += 1
        gevent.sleep(0.001)
        self._in_flight -= 1
        method, body = json.loads(request)
        if method == "GET":
            return Response("ok", 302, {}, b"", "", 0.0)
        codes = [{"code": f"c{self.made + n}"} for n in range(len(json.loads(body)["links"]))]
        self.made += len(codes)
        return Response("ok", 201, {}, json.dumps({"links": codes}).encode(), "", 0.0)

    def close(self) -> None: ...


def links(shortener: FakeShortener) -> TrafficLinks:
    client: Any = shortener
    return TrafficLinks(client)


def test_a_low_limit_of_requests_in_flight_only_makes_preparation_slower() -> None:
    shortener = FakeShortener(max_in_flight=1)
    codes = links(shortener).prepare_fresh(450)
    assert len(set(codes)) == shortener.made == 450


def test_a_stack_that_stays_unavailable_ends_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic_links, "ADMISSION_WAIT_S", 0.2)
    with pytest.raises(PrepareError, match="answered 503: too many requests in flight"):
        links(FakeShortener(max_in_flight=0)).prepare_fresh(1)
