"""What every runtime's stack must do."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import get_args
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
import requests

from chaos.acts.faults import Cut, Kill, Pause, Slow
from chaos.model.experiment import Act
from chaos.model.stack import Link, PartName, Stack, StackError
from chaos.runtimes import topology
from chaos.runtimes.part_clients import is_web
from chaos.runtimes.topology import ROLES
from tests.support.patience import PATIENT

LINKS: tuple[Link, ...] = get_args(Link)
PARTS: tuple[PartName, ...] = tuple(topology.PARTS)
LATENCY_MS = 200
FAULTS: list[Act] = [
    *(Slow(link, LATENCY_MS) for link in LINKS),
    *(Cut(link) for link in LINKS),
    *(Kill(part) for part in PARTS),
    *(Pause(part) for part in PARTS),
]


def answers(stack: Stack, part: str, timeout_s: float = 2) -> bool:
    """Whether the part itself answers, asked round the links."""
    at = stack.endpoints
    pages = {
        "nginx": f"{at.url}/no/such/page",
        "toxiproxy": f"{at.toxiproxy}/version",
        "worker": f"{at.worker}/healthz",
        **{name: f"{url}/healthz" for name, url in at.web.items()},
    }
    try:
        match part:
            case "postgres-1" | "postgres-2" | "postgres-3":
                round_trip_s(at.servers[part], timeout_s)
            case "redis":
                round_trip_s(at.redis, timeout_s)
            case _:
                requests.get(pages[part], timeout=timeout_s)
    except (psycopg.OperationalError, redis.RedisError, requests.RequestException):
        return False
    return True


def gets_through(url: str) -> bool:
    """Whether something answers at this address."""
    try:
        round_trip_s(url)
    except (psycopg.OperationalError, redis.RedisError, requests.RequestException):
        return False
    return True


def round_trip_s(url: str, timeout_s: float = 5) -> float:
    """The fastest of three round trips to a database or Redis, or to what a fake has for it."""
    if url.startswith("http"):
        return fastest_s(lambda: requests.get(url, timeout=timeout_s))
    if url.startswith("redis"):
        with redis.Redis.from_url(url, socket_timeout=timeout_s, retry=None) as client:
            return fastest_s(client.ping)
    with psycopg.connect(url, autocommit=True, connect_timeout=max(2, int(timeout_s))) as database:
        return fastest_s(lambda: database.execute("SELECT 1"))


def fastest_s(ask: Callable[[], object]) -> float:
    taken_s = []
    for _ in range(3):
        asked_s = time.monotonic()
        ask()
        taken_s.append(time.monotonic() - asked_s)
    return min(taken_s)


def eventually(holds: Callable[[], bool], within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def create_link(stack: Stack) -> str:
    answer = requests.post(
        f"{stack.endpoints.url}/api/links", json={"url": "https://example.org/"}, timeout=5
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["code"])


def follow(stack: Stack, code: str) -> requests.Response:
    return requests.get(f"{stack.endpoints.url}/{code}", allow_redirects=False, timeout=5)


def test_a_link_can_be_created_and_followed_through_the_load_balancer(real_stack: Stack) -> None:
    code = create_link(real_stack)
    answer = follow(real_stack, code)
    assert (answer.status_code, answer.headers["Location"]) == (302, "https://example.org/")


def test_requests_reach_both_web_processes(real_stack: Stack) -> None:
    def served() -> dict[str, float]:
        return {
            name: sum(
                float(line.split()[-1])
                for line in requests.get(f"{url}/metrics", timeout=5).text.splitlines()
                if line.startswith("shortener_redirects_total{")
            )
            for name, url in real_stack.endpoints.web.items()
        }

    code, before = create_link(real_stack), served()
    for _ in range(10):
        follow(real_stack, code)
    after = served()
    assert all(after[name] > before[name] for name in before)


def test_a_web_process_is_known_from_other_parts_also_through_the_load_balancer(
    real_stack: Stack,
) -> None:
    def seems_web(url: str) -> bool:
        at = urlsplit(url)
        assert at.hostname
        assert at.port
        return is_web((at.hostname, at.port))

    endpoints = real_stack.endpoints
    assert all(map(seems_web, [endpoints.url, *endpoints.web.values()]))
    assert not any(map(seems_web, [endpoints.worker, endpoints.toxiproxy]))


def test_it_has_the_versions_of_its_parts(real_stack: Stack) -> None:
    assert {"postgres", "redis", "nginx", "toxiproxy", "python"} <= set(real_stack.versions)
    assert real_stack.versions["postgres"].startswith(("17", "18"))


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_is_down_until_it_is_started(any_stack: Stack, part: str) -> None:
    assert answers(any_stack, part)
    any_stack.kill(part)
    try:
        assert not answers(any_stack, part)
        any_stack.check()  # it was us
    finally:
        any_stack.start(part)
    assert answers(any_stack, part)
    any_stack.check()


@pytest.mark.parametrize("part", [*ROLES.values(), "redis", "toxiproxy", "nginx", "web-2"])
def test_a_paused_part_answers_again_once_resumed(any_stack: Stack, part: str) -> None:
    any_stack.pause(part)
    try:
        assert not answers(any_stack, part, timeout_s=0.5)
        any_stack.check()
    finally:
        any_stack.resume(part)
    assert answers(any_stack, part, timeout_s=10)


@pytest.mark.parametrize("link", LINKS)
def test_latency_slows_its_link_and_no_other(any_stack: Stack, link: Link) -> None:
    links = any_stack.endpoints.links
    undo = any_stack.toxic(link, "latency", "downstream", latency=LATENCY_MS)
    try:
        slow = {name for name, url in links.items() if round_trip_s(url) >= LATENCY_MS / 1000}
    finally:
        undo()
    undo()
    assert slow == {link}
    assert round_trip_s(links[link]) < LATENCY_MS / 1000


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_killing_pausing_cutting_and_slowing_is_proven_by_its_probe(
    any_stack: Stack, fault: Act
) -> None:
    assert fault.needs in any_stack.can
    before = fault.probe(any_stack)
    undo = fault.inject(any_stack)
    try:
        during = fault.probe(any_stack)
        any_stack.check()
    finally:
        undo()
    undo()
    after = fault.probe(any_stack)
    assert fault.took_effect(before, during), (before, during)
    assert fault.healed(before, after), (before, after)
    any_stack.check()


@pytest.mark.parametrize("link", LINKS)
def test_a_cut_link_lets_nothing_through_until_it_is_mended(any_stack: Stack, link: Link) -> None:
    links = any_stack.endpoints.links
    undo = any_stack.cut(link)
    try:
        assert {name for name, url in links.items() if not gets_through(url)} == {link}
        state = any_stack.state()
        assert {name for name, link in state.links.items() if not link.open} == {link}
    finally:
        undo()
    undo()
    assert eventually(lambda: gets_through(links[link]))
    any_stack.check()


def test_a_stack_lists_what_is_wrong_with_it_and_heals_it_all(any_stack: Stack) -> None:
    assert set(any_stack.state().parts.values()) == {"up"}
    replica = any_stack.part_of("replica")
    any_stack.pause("replica")
    any_stack.kill("redis")
    any_stack.kill("web-1")
    any_stack.toxic("cache", "latency", "downstream", latency=LATENCY_MS)
    any_stack.cut("replica")
    try:
        state = any_stack.state()
    finally:
        any_stack.heal()
    wrong = {name: state for name, state in state.parts.items() if state != "up"}
    assert wrong == {replica: "paused", "redis": "down", "web-1": "down"}
    assert state.links["cache"].toxics == [f"latency downstream latency={LATENCY_MS}"]
    assert [name for name, link in state.links.items() if not link.open] == ["replica"]
    healed = any_stack.state()
    assert set(healed.parts.values()) == {"up"}
    assert all(link.open and not link.toxics for link in healed.links.values())
    assert all(answers(any_stack, part) for part in healed.parts)
    any_stack.check()


@pytest.mark.parametrize(("fail", "state"), [("kill", "down"), ("pause", "paused")])
def test_no_link_is_open_without_toxiproxy(any_stack: Stack, fail: str, state: str) -> None:
    getattr(any_stack, fail)("toxiproxy")
    try:
        seen = any_stack.state()
    finally:
        any_stack.heal()
    assert seen.parts["toxiproxy"] == state
    assert not any(link.open for link in seen.links.values())
    assert all(gets_through(url) for url in any_stack.endpoints.links.values())


def test_the_replica_is_fed_through_the_replication_link(real_stack: Stack) -> None:
    at = real_stack.endpoints
    with (
        psycopg.connect(at.primary, autocommit=True) as primary,
        psycopg.connect(at.replica, autocommit=True) as replica,
    ):

        def has_it(mark: str) -> bool:
            query = "SELECT 1 FROM idempotency_keys WHERE key = %s"
            return replica.execute(query, [mark]).fetchone() is not None

        def write(mark: str) -> None:
            primary.execute(
                "INSERT INTO idempotency_keys (key, fingerprint) VALUES (%s, '')", [mark]
            )

        mark = f"at once {time.monotonic_ns()}"
        write(mark)
        assert eventually(lambda: has_it(mark))
        undo = real_stack.toxic("replication", "latency", "downstream", latency=1000)
        try:
            mark = f"later {time.monotonic_ns()}"
            write(mark)
            written_s = time.monotonic()
            assert eventually(lambda: has_it(mark))
            assert time.monotonic() - written_s >= 0.9
        finally:
            undo()


def source_after_expiry(stack: Stack, fill: str) -> str:
    """Where an expired link is served from, when misses are filled like this."""
    stack.configure({**PATIENT, "CACHE_FILL": fill, "CACHE_TTL_S": "0.2", "CACHE_TTL_JITTER": "0"})
    code = create_link(stack)
    assert eventually(lambda: follow(stack, code).headers.get("X-Cache") == "hit")
    time.sleep(0.3)
    return follow(stack, code).headers["X-Cache"]


def test_other_settings_show_in_what_the_stack_does(real_stack: Stack) -> None:
    try:
        assert source_after_expiry(real_stack, "swr") == "stale"
        assert source_after_expiry(real_stack, "direct") == "miss"
    finally:
        real_stack.configure(PATIENT)


def test_no_request_fails_once_other_settings_are_in_force(real_stack: Stack) -> None:
    real_stack.configure(PATIENT)
    page = f"{real_stack.endpoints.url}/no/such/page"
    assert {requests.get(page, timeout=5).status_code for _ in range(20)} == {404}


def test_a_wrong_setting_is_explained_in_words(real_stack: Stack) -> None:
    try:
        with pytest.raises(StackError, match="CACHE_FILL"):
            real_stack.configure({**PATIENT, "CACHE_FILL": "by magic"})
    finally:
        real_stack.configure(PATIENT)


def test_a_part_that_does_not_exist_is_explained_in_words(any_stack: Stack) -> None:
    with pytest.raises(StackError, match="no part web-9"):
        any_stack.kill("web-9")
