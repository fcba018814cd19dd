"""64 concurrent clients compete for an alias, an idempotency key or limited clicks."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from chaos.model.stack import Stack
from tests.support.api_clients import ApiAnswer, ApiClients, api_clients, get, post
from tests.support.patience import PATIENT
from tests.support.shortener_process import eventually
from tests.support.shortener_webs import OwnWeb, webs
from tests.support.thorough import LONG_S, counted, times

pytestmark = [pytest.mark.real, pytest.mark.timeout(LONG_S)]

CLIENTS = 64
TRIES = times(quick=10, thorough=1000)
MIXED_TRIES = times(quick=10, thorough=300)
LINKS = "/api/links"


@pytest.fixture(scope="module")
def servers(stack: Stack, logs: Path) -> Iterator[list[OwnWeb]]:
    with webs(stack, logs, 2, PATIENT) as servers:
        yield servers


@pytest.fixture
def prefix() -> str:
    """A prefix for the codes of one test, so that tests do not collide."""
    return secrets.token_hex(8)


def tried(
    servers: list[OwnWeb], one: Callable[[ApiClients, int], Awaitable[None]], tries: int = TRIES
) -> None:
    """Try repeatedly, with half of the clients at each server."""

    async def all_tries() -> None:
        async with api_clients([web.address for web in servers], CLIENTS) as clients:
            for number in range(tries):
                await one(clients, number)

    asyncio.run(all_tries())


def statuses(answers: list[ApiAnswer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def test_of_64_who_claim_one_alias_exactly_one_gets_it_and_its_target_is_what_all_see(
    servers: list[OwnWeb], prefix: str
) -> None:
    async def one(clients: ApiClients, number: int) -> None:
        alias = f"{prefix}-{number}"
        wishes = [
            post(LINKS, {"url": f"https://example.org/{client}", "alias": alias})
            for client in range(CLIENTS)
        ]
        answers = await clients.ask(wishes)
        assert statuses(answers) == {201: 1, 409: CLIENTS - 1}
        (winner,) = (client for client in range(CLIENTS) if answers[client].status == 201)
        for answer in answers:
            if answer.status == 409:
                assert [error["pointer"] for error in answer.json()["errors"]] == ["#/alias"]
        seen = await clients.ask([get(f"/{alias}")] * CLIENTS)
        assert statuses(seen) == {302: CLIENTS}
        assert {answer.headers["location"] for answer in seen} == {f"https://example.org/{winner}"}
        counted("claims of one alias by 64 clients")

    tried(servers, one)


def test_of_64_with_one_idempotency_key_all_get_the_one_link_that_was_made(
    stack: Stack, servers: list[OwnWeb], prefix: str
) -> None:
    async def one(clients: ApiClients, number: int) -> None:
        members = {"url": f"https://{prefix}.example/{number}"}
        wish = post(LINKS, members, Idempotency_Key=f"{prefix}-{number}")
        answers = await clients.ask([wish] * CLIENTS)
        assert statuses(answers) == {201: CLIENTS}
        assert len({answer.body for answer in answers}) == 1
        counted("claims of one idempotency key by 64 clients")

    tried(servers, one)
    assert made(stack, prefix) == {
        f"https://{prefix}.example/{number}": 1 for number in range(TRIES)
    }


def test_of_64_with_one_idempotency_key_for_two_requests_one_request_wins(
    stack: Stack, servers: list[OwnWeb], prefix: str
) -> None:
    async def one(clients: ApiClients, number: int) -> None:
        key = f"{prefix}-{number}"
        wishes = [
            post(
                LINKS,
                {"url": f"https://{prefix}.example/{number}/{client % 3}"},
                Idempotency_Key=key,
            )
            for client in range(CLIENTS)
        ]
        answers = await clients.ask(wishes)
        winners = {client % 3 for client in range(CLIENTS) if answers[client].status == 201}
        assert len(winners) == 1
        for client, answer in enumerate(answers):
            assert answer.status == (201 if client % 3 in winners else 422)
        assert len({answer.body for answer in answers if answer.status == 201}) == 1
        counted("claims of one idempotency key for three requests by 64 clients")

    tried(servers, one, MIXED_TRIES)
    links = made(stack, prefix)
    assert len(links) == MIXED_TRIES
    assert set(links.values()) == {1}


def test_of_64_at_a_link_with_a_limit_exactly_as_many_get_through_and_each_is_a_click(
    stack: Stack, servers: list[OwnWeb], prefix: str
) -> None:
    chance = random.Random(prefix)
    ids: Counter[str] = Counter()

    async def one(clients: ApiClients, number: int) -> None:
        alias, limit = f"{prefix}-{number}", chance.randint(1, CLIENTS - 1)
        link = {"url": "https://example.org/", "alias": alias, "max_clicks": limit}
        created = await clients.clients[0].ask(post(LINKS, link))
        assert created.status == 201
        answers = await clients.ask([get(f"/{alias}")] * CLIENTS)
        assert statuses(answers) == {302: limit, 410: CLIENTS - limit}
        ids.update(answer.headers["x-click-id"] for answer in answers if answer.status == 302)
        left = await clients.clients[-1].ask(get(f"{LINKS}/{alias}"))
        assert (left.json()["uses"], left.json()["max_clicks"]) == (limit, limit)
        counted("claims of one click limit by 64 clients")

    tried(servers, one)
    assert set(ids.values()) == {1}
    eventually(lambda: sum(clicks(stack, prefix).values()) >= len(ids), within_s=60)
    assert clicks(stack, prefix) == ids


def made(stack: Stack, prefix: str) -> dict[str, int]:
    """The number of links for each target with this prefix."""
    query = "SELECT url, count(*) FROM links WHERE starts_with(url, %s) GROUP BY url"
    with psycopg.connect(stack.endpoints.primary) as database:
        rows = database.execute(query, (f"https://{prefix}.",)).fetchall()
    return dict(rows)


def clicks(stack: Stack, prefix: str) -> Counter[str]:
    """The ids of the stored clicks on codes with this prefix."""
    query = "SELECT click_id FROM clicks WHERE starts_with(code, %s)"
    with psycopg.connect(stack.endpoints.primary) as database:
        return Counter(click_id for (click_id,) in database.execute(query, (prefix,)))
