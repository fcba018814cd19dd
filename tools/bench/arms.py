"""Arms of the benchmark: server, settings, requests and expected response of each."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tools.bench.answers import Expected

Kind = Literal["nginx", "bare", "shortener"]

HOT_LINKS, COLD_LINKS = 1_000, 100_000
_VISITORS = 5_000
_THRICE = 3 * HOT_LINKS  # from the database, from Redis, from the near cache
_BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: */*\r\n"
    "Referer: https://news.example.org/today\r\n"
)


@dataclass(frozen=True)
class BenchArm:
    """One kind of response, and the server and settings that produce it."""

    name: str
    what: str
    kind: Kind
    requests: Callable[[], Iterator[bytes]]
    expected: Expected
    warm_up: int = 200  # requests before measuring
    connections: int = 64  # at saturation; more than the pool has would only queue
    settings: Mapping[str, str] = field(default_factory=dict)


def hot_code(number: int) -> str:
    """Return the code of a link that is requested often."""
    return f"hot{number:07d}"


def cold_code(number: int) -> str:
    """Return the code of a link that is requested once."""
    return f"cold{number:06d}"


def hot_requests() -> Iterator[bytes]:
    """Yield requests of many visitors for few links, encoded beforehand."""
    visitors = range(_VISITORS)
    return itertools.cycle([_get(hot_code(number % HOT_LINKS), number) for number in visitors])


def cold_requests() -> Iterator[bytes]:
    """Yield a request for each link once; after the last one, cached links again."""
    for number in itertools.cycle(range(COLD_LINKS)):
        yield _get(cold_code(number), visitor=number % _VISITORS)


def new_links() -> Iterator[bytes]:
    """Yield requests that create links, each with another target."""
    for number in itertools.count():
        body = json.dumps({"url": f"https://example.org/articles/{number}?from=newsletter"})
        yield (
            f"POST /api/links HTTP/1.1\r\nHost: localhost\r\n{_BROWSER}"
            f"X-Forwarded-For: {_address(number % _VISITORS)}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


def _get(code: str, visitor: int) -> bytes:
    return (
        f"GET /{code} HTTP/1.1\r\nHost: localhost\r\n{_BROWSER}"
        f"X-Forwarded-For: {_address(visitor)}\r\n\r\n"
    ).encode()


def _address(visitor: int) -> str:
    return f"198.18.{visitor // 250}.{visitor % 250}"


_KEPT = {"CACHE_TTL_S": "3600"}  # nothing expires while it is measured


def _cached(name: str, what: str, served_from: bytes, near_cache_ttl_s: str) -> BenchArm:
    """Redirects to links that are cached."""
    settings = {**_KEPT, "NEAR_CACHE_TTL_S": near_cache_ttl_s}
    expected = Expected(302, b"x-cache: %b\r\n" % served_from)
    return BenchArm(name, what, "shortener", hot_requests, expected, _THRICE, settings=settings)


BARE = BenchArm("bare", "bare ASGI 302, same server", "bare", hot_requests, Expected(302))
ARMS = (
    BenchArm("nginx", "nginx: return 302, at least", "nginx", hot_requests, Expected(302)),
    BARE,
    _cached("near", "ours, from the near cache", b"near", near_cache_ttl_s="60"),
    _cached("redis", "ours, Redis read on every request", b"hit", near_cache_ttl_s="0"),
    BenchArm(
        "miss",
        "ours, each a miss: from the replica",
        "shortener",
        cold_requests,
        Expected(302, b"x-cache: miss\r\n"),
        connections=32,
        settings={**_KEPT, "NEAR_CACHE_TTL_S": "0", "CACHE_FILL": "singleflight"},
    ),
    BenchArm(
        "create",
        "link creation: POST /api/links",
        "shortener",
        new_links,
        Expected(201),
        connections=16,
        settings={"API_RATE_PER_S": "0"},
    ),
)
