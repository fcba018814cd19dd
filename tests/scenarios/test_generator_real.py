"""The generator reports its own shortages as its own, never as failures of the stack."""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import gevent  # type: ignore[import-untyped]
import numpy as np
import psutil
import pytest
from scipy import stats

from chaos.model.arrivals import arrivals
from chaos.model.traffic import Traffic
from scenarios.generator.dispatcher import Dispatcher
from scenarios.generator.http_client import HttpClient, OutOfSockets
from scenarios.generator.open_loop import Exchange
from tests.support.few_ports import NOT_HERE
from tests.support.scenarios_lab import controlled, free_port, locust, running, server

pytestmark = pytest.mark.real

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def threaded_server(after_s: float) -> Iterator[str]:
    """Answers every request after so long, each connection from a thread of its own.

    All of them have closed their sockets once it is left, if the clients have.
    """
    talks: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    asker, _ = listener.accept()
                except OSError:
                    return
                talks.append(threading.Thread(target=talk, args=(asker,), daemon=True))
                talks[-1].start()

        def talk(asker: socket.socket) -> None:
            with asker:
                while asker.recv(4096):
                    time.sleep(after_s)
                    asker.sendall(ANSWER)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    for each in (serving, *talks):
        each.join(5.0)


@pytest.mark.alone
def test_an_answer_that_waits_for_a_busy_generator_is_as_old_as_it_was_when_it_came() -> None:
    with threaded_server(after_s=0.3) as url:
        client = HttpClient(url)
        asked_s = time.monotonic()
        asking = gevent.spawn(client.exchange, client.request("GET", "/any"), 5.0)
        gevent.sleep(0.1)  # it is sent
        time.sleep(1.5)  # nobody reads
        answer = asking.get()
        read_s = time.monotonic()
        client.close()
    assert read_s - asked_s >= 1.6
    assert 0.3 <= answer.done_s - asked_s < 1.2
    assert answer.outcome == "ok"


@pytest.mark.alone
def test_a_hog_in_the_generators_own_process_makes_it_late_and_no_answer_slow() -> None:
    def hog() -> None:
        while True:
            until_s = time.monotonic() + 0.08
            while time.monotonic() < until_s:
                pass
            gevent.sleep(0.02)

    seen: list[Exchange] = []
    with threaded_server(after_s=0.0) as url:
        client = HttpClient(url)
        dispatcher = Dispatcher(client, [client.request("GET", "/any")], 5.0, 1000, [seen.append])
        hogging = gevent.spawn(hog)
        dispatcher.run(arrivals(Traffic(100.0, keys=1), 1.0, seed=3), time.monotonic())
        dispatcher.drain()
        hogging.kill()
        client.close()
    told = dispatcher.counts.summary()
    assert told.sent == told.offered == len(seen) > 50
    assert told.late > 0.4 * told.sent  # most come due while the hog has the core
    assert told.lag_p99_ms > 40
    assert told.cpu_share > 0.1
    # What the hog delayed is told as our own: the answers themselves were there much sooner.
    assert np.median([one.done_s - one.sent_s for one in seen]) < 0.02


@pytest.mark.alone
def test_a_backlog_leaves_on_the_connections_that_there_are() -> None:
    seen: list[Exchange] = []
    with server() as shop:
        client = HttpClient(shop.url)
        dispatcher = Dispatcher(client, [client.request("GET", "/any")], 5.0, 1000, [seen.append])
        before = shop.seen()["connections"]
        gevent.spawn_later(0.2, time.sleep, 0.3)  # the process stands still
        dispatcher.run(arrivals(Traffic(800.0, keys=1), 0.8, seed=3), time.monotonic())
        dispatcher.drain()
        opened = shop.seen()["connections"] - before
        client.close()
    assert dispatcher.counts.late > 100
    assert opened < 0.4 * dispatcher.counts.late


@pytest.mark.alone
def test_greenlets_are_used_again_and_none_is_left_in_the_end() -> None:
    greenlet = type(gevent.getcurrent())

    def greenlets() -> set[int]:
        return {id(one) for one in gc.get_objects() if type(one) is greenlet and one}

    workers: set[int] = set()
    with threaded_server(after_s=0.0) as url:
        client = HttpClient(url)
        before = greenlets()
        dispatcher = Dispatcher(
            client, [client.request("GET", "/any")], 5.0, 1000,
            [lambda _: workers.add(id(gevent.getcurrent()))],
        )  # fmt: skip
        dispatcher.run(arrivals(Traffic(200.0, keys=1), 1.0, seed=3), time.monotonic())
        dispatcher.drain()
        gevent.sleep(0.01)
        client.close()
        assert dispatcher.counts.sent > 100
        assert len(workers) < dispatcher.counts.sent / 4
        assert not greenlets() - before


@pytest.mark.alone  # another thread of this process might let go of one
def test_without_file_descriptors_nothing_is_sent_and_nothing_is_the_servers_failure() -> None:
    with threaded_server(after_s=0.0) as url:
        client = HttpClient(url)
        request = client.request("GET", "/any")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        gc.collect()  # what other tests left would close its files at any moment
        with socket.socket() as highest:
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno() + 1, hard))
            try:
                with pytest.raises(OutOfSockets, match="Too many open files"):
                    client.exchange(request, 1.0)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_requests_that_find_no_file_descriptor_are_unsent_and_say_so(tmp_path: Path) -> None:
    with server("silent") as shop, controlled(shop.url, tmp_path) as engine:
        traffic = {"rate_per_s": 200, "keys": 2, "timeout_s": 0.5}
        engine.prepare(**traffic)
        open_now = psutil.Process(engine.process.pid).num_fds()
        resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, (open_now + 20, open_now + 20))
        engine.start(0.8, 1, **traffic)
        finished, rows = engine.hear(), engine.rows()
    assert finished["no_socket"] == finished["unsent"] > 40
    assert finished["sent"] == len(rows) == finished["offered"] - finished["unsent"]
    assert {row["outcome"] for row in rows} == {"unknown"}  # the silent server's, no failure


def test_requests_that_find_no_port_are_unsent_and_say_so() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.support.few_ports"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode == NOT_HERE:
        pytest.skip(f"this user may not have a network of its own: {told.stderr.strip()}")
    assert told.returncode == 0, told.stderr
    generator, outcomes = json.loads(told.stdout).values()
    assert generator["no_socket"] == generator["unsent"] > 40
    assert generator["sent"] == len(outcomes) == generator["offered"] - generator["unsent"]
    assert 0 < len(outcomes) <= 20  # as many as there are ports
    assert set(outcomes) == {"unknown"}  # the silent server's, no failure


@pytest.mark.alone
def test_more_than_a_core_can_send_is_late_and_names_the_core(tmp_path: Path) -> None:
    with server() as shop, controlled(shop.url, tmp_path) as engine:
        traffic = {"rate_per_s": 60_000, "keys": 2, "timeout_s": 0.5}
        engine.prepare(**traffic)
        engine.start(0.4, 1, **traffic)
        finished = engine.hear()
    assert finished["late"] + finished["unsent"] > 0.5 * finished["offered"]
    assert finished["lag_p99_ms"] > 100
    assert finished["cpu_share"] > 0.1  # of a core that others may use, too


@pytest.mark.alone
def test_what_is_really_sent_is_poisson_and_for_the_keys_as_stated(tmp_path: Path) -> None:
    rate, keys, hot_share, duration_s = 150.0, 8, 0.4, 3.0
    with server() as shop, controlled(shop.url, tmp_path) as engine:
        traffic = {"rate_per_s": rate, "keys": keys, "hot_share": hot_share}
        engine.prepare(**traffic)
        started_s = engine.start(duration_s, 1, **traffic)["t_s"]
        engine.hear()
        rows = engine.rows()
    due_s, sent_s = (
        np.sort([float(row[name]) for row in rows]) - started_s for name in ("intended_s", "sent_s")
    )
    low, high = stats.poisson.interval(0.9999, rate * duration_s)
    assert low <= len(due_s) <= high
    assert stats.kstest(np.diff(due_s, prepend=0.0), "expon", args=(0, 1 / rate)).pvalue > 1e-4
    # A stall of the machine bunches some gaps (`make bench ARGS=crosscheck` looks at those).
    assert stats.kstest(sent_s / duration_s, "uniform").pvalue > 1e-4
    weights = 1.0 / np.arange(1, keys)
    shares = np.concatenate(([hot_share], (1 - hot_share) * weights / weights.sum()))
    counts = np.bincount([int(row["rank"]) for row in rows], minlength=keys)
    assert stats.chisquare(counts, shares * len(rows)).pvalue > 1e-4


# --- several processes -------------------------------------------------------------------------


@contextmanager
def two_workers(url: str, directory: Path, seconds: int) -> Iterator[subprocess.Popen[str]]:
    """A master with two workers that share 200 requests a second."""
    options = ["--processes", "2", "--headless", "-u", "2", "-r", "10", "-t", f"{seconds}s"]
    port = str(free_port())
    master = ["--master-bind-port", port, "--master-port", port, "--rate", "200", "--keys", "4"]
    with (
        (directory / "locust.log").open("w") as stderr,
        running(
            [*locust("--host", url, *options, *master), "--only-summary"],
            cwd=directory, env={**os.environ, "LINKSTORM_RECORD": str(directory)}, stderr=stderr,
            stdout=subprocess.DEVNULL,
        ) as process,
    ):  # fmt: skip
        yield process


def account(directory: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((directory / "load.json").read_text())
    return told


@pytest.mark.alone
def test_the_shards_of_two_workers_are_one_history_at_the_whole_rate(tmp_path: Path) -> None:
    with server() as shop, two_workers(shop.url, tmp_path, 3) as master:
        assert master.wait(30) in (0, 3)  # 3: this machine was busy, and it says so
        links = shop.seen()["links"]
    told = account(tmp_path)
    shards = f"read_csv('{tmp_path}/requests-*.csv', union_by_name=true)"
    found = duckdb.execute(
        f"SELECT count(*), count(DISTINCT op_id), count(DISTINCT click_id), count(DISTINCT key),"
        f" max(intended_s) - min(intended_s) FROM {shards}"
    ).fetchall()[0]
    requests, op_ids, click_ids, keys, spread_s = found
    assert requests == op_ids == click_ids == told["generator"]["sent"]
    assert keys == links == 4
    assert told["streams"] == 2
    low, high = stats.poisson.interval(0.9999, 200 * spread_s)
    assert low * 0.8 <= requests <= high  # the second worker may begin a little later
    assert not [reason for reason in told["reasons"] if "late" not in reason]


def test_a_worker_that_dies_makes_the_run_invalid(tmp_path: Path) -> None:
    with server() as shop, two_workers(shop.url, tmp_path, 4) as master:
        shard = tmp_path / "requests-1.csv"
        while not shard.exists():
            assert master.poll() is None
            time.sleep(0.05)
        time.sleep(0.5)
        psutil.Process(master.pid).children()[-1].send_signal(signal.SIGKILL)
        assert master.wait(40) == 3
    told = account(tmp_path)
    assert told["verdict"] == "INVALID"
    assert any("died" in reason for reason in told["reasons"])
