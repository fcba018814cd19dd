"""Deliberate differences from Toxiproxy, tested on both servers.

docs/decisions/0008-toxiproxy.md tells why. Two more differences stand in test_api.py: where a proxy
without a host listens, and the words about what the HTTP server or the resolver refuses.
"""

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.chaos.toxiproxy.servers import (
    ORIGINAL,
    WAIT_S,
    ProxiedLink,
    ToxiproxyServer,
    command,
    free_port,
    is_quiet,
    proxied_link,
    read,
    running,
)


def stopped_or_running(kind: str, *arguments: str) -> int | None:
    """The exit code of a server that is started so; None if it is still there after a while."""
    with subprocess.Popen(
        [*command(kind, free_port()), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            return process.wait(2 if kind == ORIGINAL else WAIT_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()


@pytest.fixture
def doomed(any_server: ToxiproxyServer) -> Iterator[ProxiedLink]:
    """A proxy of a server of its own, which is killed: the original would hang."""
    with running(any_server.kind) as server, proxied_link(server) as link:
        yield link
        server.process.kill()


def test_a_call_about_a_connection_whose_reader_does_not_read(doomed: ProxiedLink) -> None:
    """Toxiproxy: hangs until it is read. Ours: is answered, so that healing works at any time."""
    doomed.server.add("wire", "noop")
    _, peer = doomed.connect()
    peer.settimeout(0.3)
    with contextlib.suppress(TimeoutError):
        for _ in range(1000):
            peer.send(bytes(1 << 20))
    url = f"{doomed.server.url}/proxies/wire/toxics/noop_downstream"
    if doomed.server.kind == ORIGINAL:
        with pytest.raises(requests.Timeout):
            doomed.server.session.delete(url, timeout=0.5)
    else:
        assert doomed.server.session.delete(url, timeout=WAIT_S).status_code == 204


def test_what_a_removed_toxic_held_when_the_next_one_takes_none_for_5_s(
    doomed: ProxiedLink,
) -> None:
    """Toxiproxy: a chunk is lost. Ours: it waits; a hole in a stream is no failure of a link."""
    doomed.server.add("wire", "latency", latency=30_000)
    doomed.server.add("wire", "bandwidth", rate=0)
    client, peer = doomed.connect()
    for word in (b"one", b"two"):
        peer.sendall(word)
        time.sleep(0.05)
    assert is_quiet(client)
    doomed.server.remove("wire", "latency_downstream")
    doomed.server.remove("wire", "bandwidth_downstream")
    assert read(client, 3) == b"one"
    if doomed.server.kind == ORIGINAL:
        assert is_quiet(client)
    else:
        assert read(client, 3) == b"two"


@pytest.mark.parametrize(
    ("toxic", "attributes"),
    [
        ("bandwidth", {"rate": -1}),
        ("bandwidth", {"rate": 2**63 - 1}),
        ("slicer", {"average_size": 1, "size_variation": 100}),
        ("latency", {"jitter": 2**62}),
    ],
)
def test_attributes_that_make_no_sense(
    any_server: ToxiproxyServer, toxic: str, attributes: dict[str, int]
) -> None:
    """Toxiproxy: crashes at the next data. Ours: a negative rate is 0, a slice has a byte."""
    with running(any_server.kind) as server, proxied_link(server) as link:
        server.put("wire", toxic, attributes)
        client, peer = link.connect()
        for _ in range(40 if server.kind == ORIGINAL else 3):
            peer.sendall(bytes(110))
            time.sleep(0.02)
            if server.process.poll() is not None:
                break
        if server.kind == ORIGINAL:
            assert server.process.wait(WAIT_S) == 2
        else:
            assert server.get("/version")
            if toxic == "bandwidth":
                assert is_quiet(client) == (attributes["rate"] < 0)


@pytest.mark.parametrize("content", [None, "{}", '[{"name": "a"}]'])
def test_a_config_that_is_none(
    any_server: ToxiproxyServer, tmp_path: Path, content: str | None
) -> None:
    """Toxiproxy: runs on without proxies. Ours: ends, for a lab must not start half."""
    config = tmp_path / "proxies.json"
    if content is not None:
        config.write_text(content)
    code = stopped_or_running(any_server.kind, f"-config={config}")
    assert code == (None if any_server.kind == ORIGINAL else 2)


def test_a_config_with_an_address_that_is_taken(
    any_server: ToxiproxyServer, tmp_path: Path
) -> None:
    """Toxiproxy: runs on with the proxies before it. Ours: ends, for a lab must not start half."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        config = tmp_path / "proxies.json"
        config.write_text(json.dumps([{"name": "a", "listen": listen, "upstream": "x:1"}]))
        code = stopped_or_running(any_server.kind, f"-config={config}")
    assert code == (None if any_server.kind == ORIGINAL else 1)


def test_a_port_of_the_api_that_is_taken(any_server: ToxiproxyServer) -> None:
    """Toxiproxy: runs on without an API. Ours: ends, since nobody could reach it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = stopped_or_running(any_server.kind, f"-port={taken.getsockname()[1]}")
    assert code == (None if any_server.kind == ORIGINAL else 1)


def test_what_the_runtime_metrics_are_of(any_server: ToxiproxyServer) -> None:
    """Both: of the process, by the same names. Toxiproxy: of Go, too; ours has none."""
    port = free_port()
    with subprocess.Popen(
        [*command(any_server.kind, port), "-runtime-metrics"], stdout=subprocess.DEVNULL
    ) as process:
        try:
            told = _metrics_at(port)
        finally:
            process.terminate()
    common = ("cpu_seconds_total", "open_fds", "max_fds", "resident_memory_bytes")
    assert all(f"\nprocess_{name} " in told for name in common)
    assert ("\ngo_goroutines " in told) == (any_server.kind == ORIGINAL)


def _metrics_at(port: int) -> str:
    deadline_s = time.monotonic() + WAIT_S
    while True:
        try:
            return requests.get(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S).text
        except requests.ConnectionError:
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
