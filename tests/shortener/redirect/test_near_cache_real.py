"""The near cache in two real processes, and what a person sees instead of a problem document."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest
import redis
import requests

from chaos.model.stack import Stack
from tests.support.patience import PATIENT
from tests.support.shortener_webs import OwnWeb, webs

pytestmark = pytest.mark.real

NEAR_S = 2.0


@pytest.fixture(scope="module")
def servers(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[OwnWeb]]:
    settings = {**PATIENT, "NEAR_CACHE_TTL_S": str(NEAR_S)}
    with webs(stack, tmp_path_factory.mktemp("near"), 2, settings) as started:
        yield started


@pytest.fixture
def code(servers: list[OwnWeb]) -> str:
    link = {"url": "https://example.org/1", "alias": secrets.token_hex(8)}
    assert requests.post(f"{servers[0].url}/api/links", json=link, timeout=10).status_code == 201
    for web in servers:
        assert get(web, link["alias"]).status_code == 302
    return link["alias"]


def get(web: OwnWeb, code: str, **headers: str) -> requests.Response:
    return requests.get(f"{web.url}/{code}", allow_redirects=False, timeout=10, headers=headers)


def served(web: OwnWeb, code: str) -> str:
    return get(web, code).headers["X-Cache"]


def test_a_hot_link_is_served_from_memory_for_a_while_and_each_is_a_click_of_its_own(
    servers: list[OwnWeb], code: str
) -> None:
    assert served(servers[0], code) == "hit"
    answers = [get(servers[0], code) for _ in range(5)]
    assert {answer.headers["X-Cache"] for answer in answers} == {"near"}
    assert len({answer.headers["X-Click-Id"] for answer in answers}) == 5
    time.sleep(NEAR_S)
    assert served(servers[0], code) == "hit"


def test_a_change_is_seen_at_once_by_its_process_and_soon_by_the_others(
    servers: list[OwnWeb], code: str
) -> None:
    for web in servers:
        get(web, code)
        assert served(web, code) == "near"
    api = f"{servers[0].url}/api/links/{code}"
    assert requests.patch(api, json={"url": "https://example.org/2"}, timeout=10).ok
    changed_s = time.monotonic()
    assert get(servers[0], code).headers["Location"] == "https://example.org/2"
    while get(servers[1], code).headers["Location"] != "https://example.org/2":
        assert time.monotonic() - changed_s < NEAR_S * 1.5


def test_without_redis_what_is_near_is_still_served(
    servers: list[OwnWeb], stack: Stack, code: str
) -> None:
    get(servers[0], code)
    with redis.Redis.from_url(stack.endpoints.redis) as cache:
        cache.execute_command("CLIENT", "PAUSE", "3000", "ALL")
    began_s = time.monotonic()
    assert served(servers[0], code) == "near"
    assert time.monotonic() - began_s < 2


def test_a_link_that_is_made_after_it_was_looked_for_is_there_at_once(
    servers: list[OwnWeb],
) -> None:
    alias = secrets.token_hex(8)
    assert {get(web, alias).status_code for web in servers for _ in range(3)} == {404}
    link = {"url": "https://example.org/", "alias": alias}
    assert requests.post(f"{servers[0].url}/api/links", json=link, timeout=10).status_code == 201
    assert {get(web, alias).status_code for web in servers} == {302}


def test_a_browser_gets_a_page_where_a_program_gets_a_problem_document(
    servers: list[OwnWeb], code: str
) -> None:
    unknown = secrets.token_hex(8)
    api = f"{servers[0].url}/api/links/{code}"
    assert requests.patch(api, json={"disabled": True}, timeout=10).ok
    for path, status in ((unknown, 404), (code, 410)):
        page = get(servers[0], path, Accept="text/html,*/*;q=0.8")
        assert (page.status_code, page.headers["Content-Type"]) == (
            status,
            "text/html; charset=utf-8",
        )
        assert "<h1>" in page.text
        problem = get(servers[0], path)
        assert problem.status_code == status
        assert problem.json()["status"] == status
        assert problem.headers["X-Request-Id"]
