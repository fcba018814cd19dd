"""Questions to a part or through a link: a database, Redis or a server of pages, by its address."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import psycopg
import redis
import requests
from redis.backoff import NoBackoff
from redis.retry import Retry

from chaos.model.stack import Endpoints, PartName

TRIES = 3
ANSWER_TIMEOUT_S = 1.0
CONNECT_TIMEOUT_S = 2  # the least that libpq knows

QUESTIONS = {"redis": "PING", "postgresql": "SELECT 1", "http": "GET"}


def address(endpoints: Endpoints, part: PartName) -> str:
    """Where a part itself answers, asked round the links and without help of another part."""
    match part:
        case "primary" | "replica" | "redis":
            return str(getattr(endpoints, part))
        case "toxiproxy":
            return f"{endpoints.toxiproxy}/version"
        case "nginx":
            return f"{endpoints.url}/metrics"  # which it does not pass on
        case "worker":
            return f"{endpoints.worker}/healthz"
        case _:
            return f"{endpoints.web[part]}/healthz"


def question(url: str) -> str:
    """What is asked of the server at this address."""
    return QUESTIONS[urlsplit(url).scheme]


def round_trip_ms(url: str, timeout_s: float) -> float:
    """Median of three round trips on one connection."""
    with _line(url, timeout_s) as ask:
        return statistics.median(_taken_ms(ask) for _ in range(TRIES))


def answered(url: str) -> int:
    """How many of three tries, made at once on connections of their own, got an answer in time."""
    with ThreadPoolExecutor(TRIES) as tries:
        return sum(tries.map(_answers, [url] * TRIES))


def _answers(url: str) -> bool:
    try:
        with _line(url, ANSWER_TIMEOUT_S) as ask:
            ask()
    except (psycopg.Error, redis.RedisError, requests.RequestException):
        return False
    return True


@contextmanager
def _line(url: str, timeout_s: float) -> Iterator[Callable[[], object]]:
    """A connection that is asked nothing yet, and what asks it."""
    match question(url):
        case "PING":
            with redis.Redis.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                retry=Retry(NoBackoff(), 0),
            ) as client:
                yield client.ping
        case "SELECT 1":
            patience_s = max(CONNECT_TIMEOUT_S, round(timeout_s))
            with psycopg.connect(url, autocommit=True, connect_timeout=patience_s) as database:
                yield lambda: database.execute("SELECT 1")
        case _:
            with requests.Session() as session:
                session.trust_env = False
                yield lambda: session.get(url, timeout=timeout_s, allow_redirects=False)


def _taken_ms(ask: Callable[[], object]) -> float:
    asked_s = time.monotonic()
    ask()
    return (time.monotonic() - asked_s) * 1000
