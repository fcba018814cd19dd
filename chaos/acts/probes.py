"""Probe a part, or a link, by one query to its URL: PostgreSQL, Redis or HTTP.

The clients are imported where they are used: a record is judged without any, and they take longer
to import than a small record to judge.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from urllib.parse import urlsplit

from chaos.model.stack import Endpoints, Target

TRIES = 3
ROUND_TRIPS_MAX = 10
ROUND_TRIPS_S = 0.3
ANSWER_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 2  # the minimum of libpq

QUERIES = {"redis": "PING", "postgresql": "SELECT 1", "http": "GET"}


def address(endpoints: Endpoints, part: Target) -> str:
    """URL of the part itself, or of the server with that role, bypassing links and other parts."""
    match part:
        case "postgres-1" | "postgres-2" | "postgres-3":
            return endpoints.servers[part]
        case "primary" | "replica" | "standby" | "redis":
            return str(getattr(endpoints, part))
        case "toxiproxy":
            return f"{endpoints.toxiproxy}/version"
        case "nginx":
            return f"{endpoints.url}/metrics"  # nginx answers this itself
        case "worker":
            return f"{endpoints.worker}/healthz"
        case _:
            return f"{endpoints.web[part]}/healthz"


def query_of(url: str) -> str:
    """The query that probes the server at this URL."""
    return QUERIES[urlsplit(url).scheme]


def round_trip_ms(url: str, timeout_s: float) -> float:
    """The quickest of several round trips on one connection: a busy machine only adds to each.

    No more are begun after `ROUND_TRIPS_S`, or `ROUND_TRIPS_MAX` of them.
    """
    took_ms: list[float] = []
    with _connected(url, timeout_s) as query:
        while len(took_ms) < ROUND_TRIPS_MAX and sum(took_ms) < ROUND_TRIPS_S * 1000:
            took_ms.append(_elapsed_ms(query))
    return min(took_ms)


def round_trips_s(latency_s: float) -> float:
    """The longest time of `round_trip_ms`, if each round trip takes `latency_s`."""
    return latency_s + (ROUND_TRIPS_S if latency_s < ROUND_TRIPS_S else 0.0)


def tries_answered(url: str) -> int:
    """Count the answers in time to three concurrent tries, each on its own connection.

    A late one is left to end by itself, since libpq waits for a connection twice as long.
    """
    tries = ThreadPoolExecutor(TRIES)
    sent = [tries.submit(_answers, url) for _ in range(TRIES)]
    answered, _ = wait(sent, ANSWER_TIMEOUT_S)
    tries.shutdown(wait=False)
    return sum(one.result() for one in answered)


def _answers(url: str) -> bool:
    import psycopg
    import redis
    import requests

    try:
        with _connected(url, ANSWER_TIMEOUT_S) as query:
            query()
    except (psycopg.Error, redis.RedisError, requests.RequestException):
        return False
    return True


@contextmanager
def _connected(url: str, timeout_s: float) -> Iterator[Callable[[], object]]:
    """Connect; yield the function that sends the query and waits for the answer."""
    match query_of(url):
        case "PING":
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry

            with redis.Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
            ) as client:
                yield client.ping
        case "SELECT 1":
            import psycopg

            patience_s = max(CONNECT_TIMEOUT_S, round(timeout_s))
            with psycopg.connect(
                url,
                autocommit=True,
                connect_timeout=patience_s,
                sslmode="disable",  # each offer would cost a round trip
                gssencmode="disable",
            ) as database:
                yield lambda: database.execute("SELECT 1")
        case _:
            import requests

            with requests.Session() as session:
                session.trust_env = False
                yield lambda: session.get(url, timeout=timeout_s, allow_redirects=False)


def _elapsed_ms(query: Callable[[], object]) -> float:
    sent_s = time.monotonic()
    query()
    return (time.monotonic() - sent_s) * 1000
