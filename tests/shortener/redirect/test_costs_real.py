"""Commands and statements that redirects cost Redis and Postgres, as counted by these."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
import requests

from chaos.model.stack import Stack
from tests.support.patience import PATIENT
from tests.support.shortener_process import eventually, process
from tools.bench.answers import Expected
from tools.bench.load_client import LoadClient

pytestmark = pytest.mark.real

LINKS, REDIRECTS = 20, 1_000
# The worker and its lag ask, too; these commands are the web processes' alone.
OURS = ("mget", "get", "set", "eval", "evalsha", "del", "xadd")
LOOK_UPS = """SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
WHERE query LIKE '%/* origin */%'"""


@dataclass(frozen=True)
class Web:
    """A web process by itself, on the stack's servers."""

    url: str
    stack: Stack

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname
        assert parts.port
        return parts.hostname, parts.port

    def links(self, count: int) -> list[str]:
        body = {"links": [{"url": "https://example.org/"}] * count}
        made = requests.post(f"{self.url}/api/links/bulk", json=body, timeout=10)
        assert made.status_code == 201, made.text
        return [link["code"] for link in made.json()["links"]]

    def redirects(self, codes: list[str], count: int, connections: int) -> None:
        """So many redirects, each connection asking again as soon as it is answered."""
        asks = [f"GET /{code} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for code in codes]
        requests = itertools.islice(itertools.cycle(asks), count)
        client = LoadClient(self.address, requests, Expected(302))
        with client.connected(connections):
            outcome = client.closed(30)
        assert not outcome.wrong
        assert outcome.answered == count


@contextmanager
def web(stack: Stack, settings: Mapping[str, str]) -> Iterator[Web]:
    links = stack.endpoints.links
    environment = {
        "SHORTENER_PRIMARY_URL": links["primary"],
        "SHORTENER_REPLICA_URL": links["replica"],
        "SHORTENER_CACHE_URL": links["cache"],
        "SHORTENER_QUEUE_URL": links["queue"],
        "SHORTENER_API_RATE_PER_S": "0",
        **{f"SHORTENER_{name}": given for name, given in PATIENT.items()},
        **settings,
    }
    with process("web", environment) as running:
        eventually(running.serves)
        eventually(lambda: requests.get(f"{running.url}/readyz", timeout=10).ok)
        yield Web(running.url, stack)


@dataclass(frozen=True)
class Counts:
    """Counters of the servers so far."""

    commands: dict[str, int]
    look_ups: dict[str, int]

    @classmethod
    def of(cls, stack: Stack) -> Counts:
        with redis.Redis.from_url(stack.endpoints.redis) as client:
            stats = client.info("commandstats")
        databases = {"primary": stack.endpoints.primary, "replica": stack.endpoints.replica}
        return cls(
            {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in OURS},
            {name: _look_ups(dsn) for name, dsn in databases.items()},
        )

    def since(self, before: Counts) -> Counts:
        return Counts(
            {name: count - before.commands[name] for name, count in self.commands.items()},
            {name: count - before.look_ups[name] for name, count in self.look_ups.items()},
        )


def _look_ups(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(LOOK_UPS.encode()).fetchone()
    assert row
    return int(row[0])


def spent(web: Web, codes: list[str], count: int, connections: int) -> Counts:
    """Cost of `count` redirects, their clicks included."""
    before = Counts.of(web.stack)
    web.redirects(codes, count, connections)
    queued = 'shortener_clicks_total{state="queued"}'
    minted = 'shortener_clicks_total{state="minted"}'

    def all_sent() -> bool:
        page = requests.get(f"{web.url}/metrics", timeout=10).text
        shown = dict(line.rsplit(" ", 1) for line in page.splitlines() if line[0] != "#")
        return shown[queued] == shown[minted]

    eventually(all_sent)
    return Counts.of(web.stack).since(before)


NOTHING = dict.fromkeys(OURS, 0)
NO_LOOK_UPS = {"primary": 0, "replica": 0}


def test_a_redirect_from_redis_is_one_read_and_no_statement(stack: Stack) -> None:
    with web(stack, {"SHORTENER_NEAR_CACHE_TTL_S": "0"}) as one:
        codes = one.links(LINKS)
        one.redirects(codes, LINKS, connections=1)  # now they are cached
        cost = spent(one, codes, REDIRECTS, connections=1)
    assert cost.look_ups == NO_LOOK_UPS
    assert cost.commands == NOTHING | {"mget": REDIRECTS, "xadd": cost.commands["xadd"]}


def test_redirects_at_the_same_time_share_their_reads_and_their_stream_entries(
    stack: Stack,
) -> None:
    with web(stack, {"SHORTENER_NEAR_CACHE_TTL_S": "0"}) as one:
        codes = one.links(LINKS)
        one.redirects(codes, LINKS, connections=1)
        cost = spent(one, codes, REDIRECTS, connections=64)
    assert cost.look_ups == NO_LOOK_UPS
    assert cost.commands["mget"] <= REDIRECTS / 4
    assert 1 <= cost.commands["xadd"] <= REDIRECTS / 10
    others = {name: count for name, count in cost.commands.items() if name not in ("mget", "xadd")}
    assert not any(others.values()), others


def test_a_redirect_from_the_near_cache_sends_nothing(stack: Stack) -> None:
    with web(stack, {"SHORTENER_NEAR_CACHE_TTL_S": "60"}) as one:
        codes = one.links(LINKS)
        one.redirects(codes, 2 * LINKS, connections=1)
        cost = spent(one, codes, REDIRECTS, connections=64)
    assert cost.look_ups == NO_LOOK_UPS
    assert cost.commands == NOTHING | {"xadd": cost.commands["xadd"]}
    assert cost.commands["xadd"] <= REDIRECTS / 10


@pytest.mark.parametrize("fill", ["singleflight", "swr"])
def test_a_miss_is_one_statement_on_the_replica_however_many_wait_for_it(
    fill: str, stack: Stack
) -> None:
    with web(stack, {"SHORTENER_CACHE_FILL": fill}) as one:
        codes = one.links(LINKS)
        eventually(lambda: _replica_has(stack, codes))
        each_many_times = [code for code in codes for _ in range(10)]
        cost = spent(one, each_many_times, len(each_many_times), connections=10)
    assert cost.look_ups == {"primary": 0, "replica": LINKS}


def _replica_has(stack: Stack, codes: list[str]) -> bool:
    query = b"SELECT count(*) FROM links WHERE code = ANY(%s)"
    with psycopg.connect(stack.endpoints.replica) as connection:
        return connection.execute(query, [codes]).fetchone() == (len(codes),)
