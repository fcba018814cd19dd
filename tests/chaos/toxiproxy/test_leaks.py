"""Nothing is left of connections that are gone, whatever happened to them.

THOROUGH=1 keeps a storm of 1,000 connections up for ten minutes; its figures are printed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import resource
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from statistics import mean

import psutil
import pytest
import uvloop

from chaos.toxiproxy.connection import ProxyConnection, Side
from chaos.toxiproxy.link import Stage, ToxicLink
from chaos.toxiproxy.proxies import ProxyRegistry, ProxySpec
from chaos.toxiproxy.toxic import KINDS, ToxicWrapper
from tests.chaos.toxiproxy.servers import (
    EMBEDDED,
    WAIT_S,
    ProxiedLink,
    ToxiproxyServer,
    proxied_link,
    running,
)
from tests.support.thorough import SCALE, counted

CONNECTIONS = 1000 if SCALE else 120
STORM_S = 600 * SCALE
NO_LINGER = b"\1\0\0\0\0\0\0\0"
TOXICS = [
    ("latency", {"latency": 15, "jitter": 10}),
    ("bandwidth", {"rate": 50}),
    ("bandwidth", {"rate": 0}),
    ("slicer", {"average_size": 64, "size_variation": 32, "delay": 500}),
    ("slow_close", {"delay": 40}),
    ("timeout", {"timeout": 30}),
    ("reset_peer", {"timeout": 10}),
    ("limit_data", {"bytes": 700}),
]


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """Raise the limit of open files for a storm."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def change_toxics(link: ProxiedLink, draw: random.Random) -> None:
    """Add, change or remove a toxic, or stop and start the proxy."""
    kind, attributes = draw.choice(TOXICS)
    stream = draw.choice(["upstream", "downstream"])
    path, toxic = "/proxies/wire/toxics", f"{kind}_{stream}"
    body: dict[str, object]
    match draw.randrange(8):
        case 0 | 1 | 2:
            body = {"type": kind, "stream": stream, "attributes": attributes, "toxicity": 0.7}
            calls = [("POST", path, body)]
        case 3 | 4:
            calls = [("PATCH", f"{path}/{toxic}", {"attributes": attributes})]
        case 5 | 6:
            calls = [("DELETE", f"{path}/{toxic}", {})]
        case _:
            calls = [("PATCH", "/proxies/wire", {"enabled": each}) for each in (False, True)]
    for method, where, body in calls:
        assert link.server.call(method, where, body).status_code in (200, 204, 404, 409)


def use(pair: tuple[socket.socket, socket.socket], draw: random.Random) -> None:
    """Send, and end a connection in one of the ways there are."""
    one, other = draw.sample(pair, 2)
    with contextlib.suppress(OSError):
        one.sendall(bytes(draw.choice([1, 1000, 50_000])))
        other.sendall(b"x")
        match draw.randrange(4):
            case 0:
                one.close()
            case 1:
                one.shutdown(socket.SHUT_WR)
            case 2:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                one.close()


def storm(link: ProxiedLink, draw: random.Random) -> None:
    """Many connections at once, each used and ended somehow, while toxics come and go."""
    with contextlib.ExitStack() as opened:
        pairs = []
        for _ in range(CONNECTIONS):
            client = opened.enter_context(socket.create_connection(link.address, WAIT_S))
            peer = opened.enter_context(link.listener.accept()[0])
            for each in (client, peer):
                each.settimeout(0.5)
            pairs.append((client, peer))
        for number, pair in enumerate(pairs):
            use(pair, draw)
            if number % 12 == 0:
                change_toxics(link, draw)
    link.server.call("POST", "/reset").raise_for_status()


def settled_fds(process: psutil.Process, wanted: int) -> int:
    """The number of open files, once it is down to what is wanted, or after a while."""
    deadline_s = time.monotonic() + WAIT_S
    while (open_now := process.num_fds()) > wanted and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return open_now


@pytest.mark.timeout(STORM_S + 200)
def test_a_storm_of_connections_and_toxics_leaves_no_file_and_no_memory() -> None:
    draw, resident_mb = random.Random(6), list[float]()
    with running(EMBEDDED) as server, proxied_link(server) as link:
        process = psutil.Process(server.process.pid)
        server.get("/version")
        idle_fds = process.num_fds()
        end_s = time.monotonic() + STORM_S
        while len(resident_mb) < 3 or time.monotonic() < end_s:
            storm(link, draw)
            counted("connections through a proxy in storms", CONNECTIONS)
            assert settled_fds(process, idle_fds) <= idle_fds
            resident_mb.append(process.memory_info().rss / 1e6)
        cpu_percent = process.cpu_percent(0.5)
    third = len(resident_mb) // 3
    early_mb, late_mb = mean(resident_mb[third : 2 * third]), mean(resident_mb[-third:])
    sys.stdout.write(
        f"\n{len(resident_mb)} storms; {idle_fds} files before and after each; resident "
        f"{resident_mb[0]:.1f} MB after the first, {early_mb:.1f} in the middle third, "
        f"{late_mb:.1f} in the last; idle {cpu_percent:.1f} % CPU\n"
    )
    assert late_mb < early_mb * 1.05 + 2
    assert cpu_percent < 50


def living() -> Counter[str]:
    """Count the objects of connections, and tasks."""
    gc.collect()
    kinds = (ProxyConnection, Side, ToxicLink, Stage, asyncio.TimerHandle)
    found = Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds))
    return found + Counter({"Task": len(asyncio.all_tasks())})


def test_no_task_no_timer_and_no_stage_outlives_its_connection() -> None:
    async def come_and_go() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            upstream = f"127.0.0.1:{listener.getsockname()[1]}"
            registry = ProxyRegistry()
            proxy = registry.create(ProxySpec("a", "127.0.0.1:0", upstream))
            host, port = proxy.listen.split(":")
            before = living()
            for kind in KINDS:
                proxy.add(ToxicWrapper(kind, kind, "downstream", KINDS[kind](*TIMES.get(kind, ()))))
                pairs = []
                for _ in range(8):
                    client = socket.create_connection((host, int(port)))
                    peer, _ = await loop.sock_accept(listener)
                    pairs.append((client, peer))
                for number, (client, peer) in enumerate(pairs):
                    peer.send(b"x")
                    if number % 2:
                        client.close()
                        peer.close()
                await asyncio.sleep(0.01)
                proxy.stop()
                proxy.remove_all()
                proxy.start()
                for client, peer in pairs:
                    client.close()
                    peer.close()
            del client, peer, pairs
            await asyncio.sleep(0.02)
            assert living() == before
            registry.stop()

    uvloop.run(come_and_go())


TIMES = {
    "latency": (30_000,),
    "bandwidth": (0,),
    "slow_close": (30_000,),
    "timeout": (30_000,),
    "reset_peer": (30_000,),
    "slicer": (10, 0, 30_000_000),
    "limit_data": (5,),
}


def test_many_readers_that_do_not_read_cost_bounded_memory(server: ToxiproxyServer) -> None:
    process, sent = psutil.Process(server.process.pid), 0
    with proxied_link(server) as link:
        link.connect()
        before = process.memory_info().rss
        for _ in range(40):
            _, peer = link.connect()
            peer.settimeout(0.02)
            with contextlib.suppress(TimeoutError):
                while True:
                    sent += peer.send(bytes(1 << 18))
        grown = process.memory_info().rss - before
    assert sent > 10 << 20
    assert grown < 40 << 20
