"""Requirements of a URL shortener, end to end: nginx, two web processes, primary and replica,
cache, queue and worker."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from chaos.model.stack import Stack
from tests.support.api_clients import ApiAnswer, ApiClient, ApiClients, api_clients, get
from tests.support.shortener_process import eventually, scraped, value
from tests.support.thorough import LONG_S, counted, times

pytestmark = [pytest.mark.real, pytest.mark.timeout(LONG_S)]

LINKS = times(quick=100, thorough=2000)
VISITS = times(quick=3000, thorough=40_000)
EDITS = times(quick=30, thorough=300)
CLICKS = times(quick=60, thorough=1995)  # of 3 sites and 5 people
VISITORS = 64
BROWSER = {"User-Agent": "Mozilla/5.0 (X11)", "Accept": "text/html,*/*;q=0.8"}


@pytest.fixture
def api(stack: Stack) -> str:
    return f"{stack.endpoints.url}/api/links"


def create(api: str, **members: Any) -> requests.Response:
    return requests.post(api, json={"url": "https://example.org/", **members}, timeout=30)


def follow(stack: Stack, code: str, method: str = "GET", **headers: str) -> requests.Response:
    url = f"{stack.endpoints.url}/{code}"
    return requests.request(method, url, headers=headers, allow_redirects=False, timeout=30)


def visit(stack: Stack, visits: Callable[[ApiClients], Awaitable[None]], visitors: int) -> float:
    """Seconds that so many visitors took, each on a connection of its own to nginx."""
    parts = urlsplit(stack.endpoints.url)
    assert parts.hostname is not None
    assert parts.port is not None
    address = (parts.hostname, parts.port)

    async def all_visits() -> float:
        async with api_clients([address], visitors) as clients:
            began_s = time.perf_counter()
            await visits(clients)
            return time.perf_counter() - began_s

    return asyncio.run(all_visits())


def each_asks(request: bytes, in_all: int, answers: list[ApiAnswer]) -> Callable[[ApiClients], Any]:
    """Each visitor sends a request as soon as its last one is answered, `in_all` in total."""
    numbers = itertools.count()

    async def one(client: ApiClient) -> None:
        while next(numbers) < in_all:
            answers.append(await client.ask(request))

    async def everyone(clients: ApiClients) -> None:
        await asyncio.gather(*map(one, clients.clients))

    return everyone


def of_both(stack: Stack, name: str, **labels: str) -> float:
    """A metric of both web processes together."""
    webs = stack.endpoints.web.values()
    return sum(value(scraped(web), name, **labels) for web in webs)


def test_requirement_1_unique_links_that_redirect(stack: Stack, api: str) -> None:
    targets = [f"https://example.org/{number}" for number in range(LINKS)]
    with ThreadPoolExecutor(8) as clients:
        created = list(clients.map(lambda target: create(api, url=target), targets))
        assert {answer.status_code for answer in created} == {201}
        codes = [answer.json()["code"] for answer in created]
        followed = list(clients.map(lambda code: follow(stack, code), codes))
    assert len(set(codes)) == LINKS
    assert [answer.status_code for answer in followed] == [302] * LINKS
    assert [answer.headers["Location"] for answer in followed] == targets
    assert [urlsplit(answer.json()["short_url"]).path for answer in created] == [
        f"/{code}" for code in codes
    ]
    # Nobody can tell one code from another: no two of them begin alike for long.
    ordered = sorted(codes)
    alike = [len(shared(*pair)) for pair in itertools.pairwise(ordered)]
    assert max(alike) <= 5
    # The same target twice is two links, each with its own owner and counts.
    assert len({create(api).json()["code"] for _ in range(3)}) == 3
    counted("links made and followed", LINKS)


def shared(one: str, other: str) -> str:
    """The common prefix of two texts."""
    both = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=True))
    return "".join(letter for letter, _ in both)


def test_requirement_2_load_when_a_link_goes_viral(stack: Stack, api: str) -> None:
    code = create(api, url="https://example.org/viral").json()["code"]
    few: list[ApiAnswer] = []
    few_s = visit(stack, each_asks(get(f"/{code}"), VISITS // 4, few), 4)
    asked = of_both(stack, "shortener_origin_queries_total", db="replica")
    many: list[ApiAnswer] = []
    many_s = visit(stack, each_asks(get(f"/{code}"), VISITS, many), 4 * VISITORS)
    assert Counter(answer.status for answer in few + many) == {302: len(few) + len(many)}
    assert {answer.headers["location"] for answer in many} == {"https://example.org/viral"}
    # However many come, the databases hardly notice; and the crowd is served as fast as a few were.
    asked = of_both(stack, "shortener_origin_queries_total", db="replica") - asked
    assert asked <= VISITS / 500
    assert len(many) / many_s > 0.7 * len(few) / few_s
    eventually(lambda: stats(api, code)["total"] == len(few) + len(many), within_s=60)
    counted("visits of a viral link", len(few) + len(many))


@pytest.mark.alone  # it compares two speeds
def test_requirement_3_concurrency_without_loss_of_speed_or_consistency(
    stack: Stack, api: str
) -> None:
    code = create(api, url="https://example.org/1").json()["code"]
    calm: list[ApiAnswer] = []
    calm_s = visit(stack, each_asks(get(f"/{code}"), VISITS // 3, calm), VISITORS)
    told = [(0.0, 1)]  # since when every reader has to see at least this version
    seen: list[tuple[float, ApiAnswer]] = []

    async def read(client: ApiClient, over: asyncio.Event) -> None:
        while not over.is_set():
            asked_s = time.perf_counter()
            answer = await client.ask(get(f"/{code}"))
            seen.append((asked_s, answer))

    async def write(over: asyncio.Event) -> None:
        with requests.Session() as session:
            for version in range(2, EDITS + 2):
                change = {"url": f"https://example.org/{version}"}
                match = {"If-Match": f'"{version - 1}"'}
                answer = await asyncio.to_thread(
                    session.patch, f"{api}/{code}", json=change, headers=match, timeout=30
                )
                told.append((time.perf_counter(), version))
                assert answer.json()["version"] == version
                await asyncio.sleep(0.01)
        over.set()

    async def both(clients: ApiClients) -> None:
        over = asyncio.Event()
        readers = [read(client, over) for client in clients.clients]
        await asyncio.gather(write(over), *readers)

    failures = of_both(stack, "shortener_cache_failures_total")
    busy_s = visit(stack, both, VISITORS)
    failures = of_both(stack, "shortener_cache_failures_total") - failures
    told_s = [moment for moment, _ in told]
    stale = []
    for asked_s, answer in seen:
        version = int(answer.headers["x-link-version"])
        known = told[bisect.bisect_right(told_s, asked_s) - 1][1]
        assert answer.headers["location"] == f"https://example.org/{version}"
        if version < known:
            stale.append((version, known, answer.headers))
    # Where the cache did not answer in time, nobody holds the replica to the version of an edit.
    assert len(stale) <= failures, stale
    assert {headers["x-cache"] for _, _, headers in stale} <= {"miss", "wait"}, stale
    assert len(seen) / busy_s > 0.2 * len(calm) / calm_s  # each edit empties the cache
    counted("reads while a link was edited", len(seen))
    counted("of them stale, as the cache did not answer in time", len(stale))


def test_requirement_4_click_counts_and_basic_metrics(stack: Stack, api: str) -> None:
    code = create(api).json()["code"]
    found = of_both(stack, "shortener_redirects_total", outcome="found")
    minted = of_both(stack, "shortener_clicks_total", state="minted")
    people = [f"Mozilla/5.0 (X11) Person/{number}" for number in range(5)]
    referrers = ["https://news.example/a?secret", "https://news.example/b", ""]
    for number in range(CLICKS):
        agent, referrer = people[number % 5], referrers[number % 3]
        answer = follow(stack, code, **{"User-Agent": agent, "Referer": referrer})
        assert answer.status_code == 302
    for _ in range(4):
        follow(stack, code, **{"User-Agent": "Examplebot/1.0 (+https://bot.example)"})
    follow(stack, code, "HEAD")  # is no click
    eventually(lambda: stats(api, code)["total"] == CLICKS + 4, within_s=60)
    shown = stats(api, code)
    today = {datetime.now(UTC).date().isoformat(), datetime.now(UTC).date() - timedelta(days=1)}
    assert shown["bots"] == 4
    # Two of five share one of 2,048 registers once in two hundred tries.
    assert len(people) - 1 <= shown["visitors"] <= len(people)
    assert sum(day["total"] for day in shown["days"]) == CLICKS + 4
    assert {day["day"] for day in shown["days"]} <= {str(day) for day in today}
    assert {each["referrer"]: each["total"] for each in shown["referrers"]} == {
        "news.example": CLICKS * 2 // 3,
        "": CLICKS // 3 + 4,
    }
    assert of_both(stack, "shortener_redirects_total", outcome="found") - found == CLICKS + 5
    assert of_both(stack, "shortener_clicks_total", state="minted") - minted == CLICKS + 4
    for web in stack.endpoints.web.values():
        samples = scraped(web)
        assert value(samples, "shortener_redirect_seconds_count") > 0
        assert value(samples, "shortener_clicks_total", state="dropped") == 0


def test_requirement_5_proper_answers_for_invalid_and_expired_links(stack: Stack, api: str) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=3)
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    expiring = create(api, expires_at=soon.isoformat()).json()["code"]
    used_up = create(api, max_clicks=1).json()["code"]
    disabled, ended, deleted = (create(api).json()["code"] for _ in range(3))
    for code in (expiring, used_up, disabled, ended, deleted):
        assert follow(stack, code).status_code == 302
    requests.patch(f"{api}/{disabled}", json={"disabled": True}, timeout=30)
    requests.patch(f"{api}/{ended}", json={"expires_at": past}, timeout=30)
    requests.delete(f"{api}/{deleted}", timeout=30)
    time.sleep(max(0.0, soon.timestamp() - time.time()) + 0.01)
    gone = dict.fromkeys((expiring, used_up, disabled, ended), 410)
    unknown = dict.fromkeys((deleted, "never-made", "a" * 65, "%20"), 404)
    for code, status in {**gone, **unknown}.items():
        for method in ("GET", "HEAD"):
            answer = follow(stack, code, method)
            assert answer.status_code == status, code
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert "X-Click-Id" not in answer.headers
            assert "Location" not in answer.headers
        assert follow(stack, code).json()["status"] == status
        page = follow(stack, code, **BROWSER)
        assert (page.status_code, page.headers["Content-Type"]) == (
            status,
            "text/html; charset=utf-8",
        )
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"url": "javascript:alert(1)"}, "#/url"),
        ({"url": "https://user:secret@example.org/"}, "#/url"),
        ({"alias": "admin"}, "#/alias"),
        ({"alias": "no spaces"}, "#/alias"),
        ({"expires_at": past}, "#/expires_at"),
        ({"expires_at": "tomorrow"}, "#/expires_at"),
        ({"max_clicks": 0}, "#/max_clicks"),
    ]
    for members, pointer in wrong:
        refused = create(api, **members)
        assert refused.status_code == 422
        assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]
    assert create(api, alias=deleted).status_code == 409  # what had a meaning gets no other
    eventually(lambda: stats(api, used_up)["total"] == 1)
    assert stats(api, disabled)["total"] == 1  # what led nowhere was no click


def stats(api: str, code: str) -> dict[str, Any]:
    shown: dict[str, Any] = requests.get(f"{api}/{code}/stats", timeout=30).json()
    return shown
