"""Web processes are restarted one by one under load: no request fails, no click goes astray.

nginx stands in front as in production (docs/rolling-restart.md): unlike the lab's it sends a
request to the other process if the first can't be reached, and leaves that one alone for a while.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest
import requests

from chaos.model.stack import Stack
from chaos.runtimes.embedded import binaries
from chaos.runtimes.embedded.ports import HOST, reserved
from tests.support.api_clients import ApiClient, api_clients, get, patch, post
from tests.support.patience import PATIENT
from tests.support.shortener_process import ROOT, eventually, nobody
from tests.support.shortener_webs import OwnWeb, begun, webs
from tests.support.thorough import LONG_S, counted, times

pytestmark = [pytest.mark.real, pytest.mark.timeout(LONG_S)]

RESTARTS = times(quick=2, thorough=20)
VISITORS, MAKERS, EDITORS = 16, 4, 2
PAUSE_S = 0.01  # of a client between two requests
FAIL_TIMEOUT_S = 1.0
LINKS = "/api/links"
# What production has other than the lab, which wants to see each failure.
PRODUCTION = {
    "max_fails=0": f"max_fails=1 fail_timeout={FAIL_TIMEOUT_S:g}s",
    "proxy_next_upstream off;": "proxy_next_upstream error; proxy_next_upstream_tries 2;",
}


def production_conf(listen: str, servers: list[OwnWeb]) -> str:
    """The lab's configuration, with what production has other than it."""
    conf = (ROOT / "stack" / "nginx" / "nginx.conf").read_text()
    for of_the_lab, of_production in PRODUCTION.items():
        assert of_the_lab in conf
        conf = conf.replace(of_the_lab, of_production)
    addresses = [urlsplit(web.url).netloc for web in servers]
    names = {"LISTEN": listen, "WEB_1": addresses[0], "WEB_2": addresses[1]}
    return Template(conf).safe_substitute(names)


@contextmanager
def nginx(folder: Path, servers: list[OwnWeb]) -> Iterator[tuple[str, int]]:
    """In front of these servers; where it listens."""
    with reserved(["nginx"]) as ports, (folder / "nginx.log").open("wb") as log:
        address = (HOST, ports["nginx"])
        (folder / "nginx.conf").write_text(production_conf("{}:{}".format(*address), servers))
        command = [str(binaries.nginx()), "-p", str(folder), "-c", "nginx.conf"]
        command += ["-g", "daemon off;"]
        with subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process:
            try:
                url = "http://{}:{}/no/such/page".format(*address)
                eventually(lambda: answers(url))
                yield address
            finally:
                process.terminate()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code == 404
    except requests.ConnectionError:
        return False


@dataclass
class Seen:
    """Responses and errors seen by the clients."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    clicks: Counter[str] = field(default_factory=Counter)
    made: list[str] = field(default_factory=list)


class Load(threading.Thread):
    """Clients that visit, make and change links through nginx until they are stopped."""

    def __init__(self, address: tuple[str, int], code: str) -> None:
        super().__init__()
        self._address = address
        self._code = code
        self._over = threading.Event()
        self.seen = Seen()
        self.outcome: Future[None] = Future()

    def stop(self) -> Seen:
        """End after the requests under way."""
        self._over.set()
        self.join()
        self.outcome.result()
        return self.seen

    def run(self) -> None:
        try:
            asyncio.run(self._all())
            self.outcome.set_result(None)
        except BaseException as error:
            self.outcome.set_exception(error)

    async def _all(self) -> None:
        kinds = [self._visit] * VISITORS + [self._make] * MAKERS + [self._edit] * EDITORS
        async with api_clients([self._address], len(kinds)) as clients:
            pairs = zip(kinds, clients.clients, strict=True)
            await asyncio.gather(*[self._again(kind, client) for kind, client in pairs])

    async def _again(self, kind: Callable[[ApiClient], Awaitable[None]], client: ApiClient) -> None:
        while not self._over.is_set():
            await kind(client)
            await asyncio.sleep(PAUSE_S)

    async def _visit(self, client: ApiClient) -> None:
        answer = await client.ask(get(f"/{self._code}"))
        self._note("visit", answer.status, 302, answer.body)
        if answer.status == 302:
            self.seen.clicks[answer.headers["x-click-id"]] += 1

    async def _make(self, client: ApiClient) -> None:
        answer = await client.ask(post(LINKS, {"url": f"https://{self._code}.example/"}))
        self._note("make", answer.status, 201, answer.body)
        if answer.status == 201:
            self.seen.made.append(answer.json()["code"])

    async def _edit(self, client: ApiClient) -> None:
        answer = await client.ask(patch(f"{LINKS}/{self._code}", {"disabled": False}))
        self._note("edit", answer.status, 200, answer.body)

    def _note(self, kind: str, status: int, wanted: int, body: bytes) -> None:
        self.seen.statuses[kind, status] += 1
        if status != wanted:
            self.seen.failed.append(f"{kind}: {status} {body[:200]!r}")


@pytest.fixture(scope="module")
def servers(stack: Stack, logs: Path) -> Iterator[list[OwnWeb]]:
    with webs(stack, logs, 2, PATIENT) as servers:
        yield servers


def test_restarts_one_by_one_fail_no_request_and_lose_or_double_no_click(
    stack: Stack, servers: list[OwnWeb], tmp_path: Path
) -> None:
    code = secrets.token_hex(8)
    wanted = {"url": "https://example.org/", "alias": code}
    assert requests.post(f"{servers[0].url}{LINKS}", json=wanted, timeout=10).status_code == 201
    with nginx(tmp_path, servers) as address:
        load = Load(address, code)
        load.start()
        for number in range(RESTARTS):
            eventually(lambda: all(redirects(web) > 20 for web in servers))  # both are in turn
            web = servers[number % 2]
            web.terminate()
            web.start()
            # In the order of docs/rolling-restart.md: nginx may have met a connection of the old
            # process just as that ended, and then leaves the new one alone for so long.
            time.sleep(FAIL_TIMEOUT_S)
            counted("restarts under load")
        seen = load.stop()
    counted("requests meanwhile, none of which failed", sum(seen.statuses.values()))
    counted("clicks among them, each stored once", sum(seen.clicks.values()))
    assert Counter(seen.failed) == Counter()
    assert set(seen.clicks.values()) == {1}
    eventually(lambda: stored(stack, code).total() >= len(seen.clicks), within_s=60)
    assert stored(stack, code) == seen.clicks
    assert made(stack, code) == Counter(seen.made)


def test_nobody_is_let_in_before_there_is_something_to_be_had(servers: list[OwnWeb]) -> None:
    """A balancer that does not look at /readyz only sees whether it can connect."""
    (web, _) = servers
    for _ in range(RESTARTS):
        web.terminate()
        web.begin()
        eventually(lambda: lets_in(web), within_s=30)
        assert web.is_ready()


def test_a_database_that_is_down_does_not_keep_everybody_out_for_long(
    stack: Stack, logs: Path
) -> None:
    with nobody(silent=False) as address:
        down = f"postgresql://somebody@{address}/any"
        began_s = time.monotonic()
        settings = {"PRIMARY_URL": down, "REPLICA_URL": down, "READY_WAIT_S": "1"}
        with begun(stack, logs, settings) as web:
            eventually(lambda: lets_in(web), within_s=30)
            assert time.monotonic() - began_s > 1
            assert not web.is_ready()


def test_sigterm_is_heard_while_databases_are_waited_for(stack: Stack, logs: Path) -> None:
    with nobody(silent=True) as address:
        down = f"postgresql://somebody@{address}/any"
        settings = {"PRIMARY_URL": down, "REPLICA_URL": down, "READY_WAIT_S": "60"}
        with begun(stack, logs, settings) as web:
            time.sleep(1.5)
            assert not lets_in(web)
            began_s = time.monotonic()
            web.terminate()
            assert time.monotonic() - began_s < 5


def lets_in(web: OwnWeb) -> bool:
    try:
        socket.create_connection(web.address, timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def redirects(web: OwnWeb) -> float:
    """Redirects answered by this process since its start."""
    shown = requests.get(f"{web.url}/metrics", timeout=5)
    name = 'shortener_redirects_total{outcome="found"} '
    return sum(
        float(line.removeprefix(name)) for line in shown.text.splitlines() if line.startswith(name)
    )


def stored(stack: Stack, code: str) -> Counter[str]:
    """The ids of the clicks on a code."""
    return column(stack, "SELECT click_id FROM clicks WHERE code = %s", code)


def made(stack: Stack, code: str) -> Counter[str]:
    """The codes of the links that were made by the clients of that code."""
    return column(stack, "SELECT code FROM links WHERE url = %s", f"https://{code}.example/")


def column(stack: Stack, query: LiteralString, value: str) -> Counter[str]:
    with psycopg.connect(stack.endpoints.primary) as database:
        return Counter(each for (each,) in database.execute(query, (value,)))
