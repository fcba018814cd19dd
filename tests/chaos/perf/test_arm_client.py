"""The client of all arms: on time, from due time, and never confused by what servers do."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest

from chaos.perf import arm_client
from chaos.perf.arm_client import UNANSWERED, Address, Answers, ArmClient
from chaos.perf.load_plan import LoadPlan
from chaos.perf.service_file import Request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
REQUESTS = (Request(name="item", path="/{n}", numbers=100),)

Answer = Callable[[socket.socket, bytes], None]


@contextmanager
def server(answer: Answer) -> Iterator[Address]:
    """A server with a thread for each connection, which answers request after request."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client:
            while request := _request(client):
                answer(client, request)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[client], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def _request(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except OSError:
        return b""


def always(answer: bytes) -> Answer:
    return lambda client, _: client.sendall(answer)


def plan(dues_s: list[float], arms: list[int] | None = None) -> LoadPlan:
    count = len(dues_s)
    zeros = np.zeros(count, dtype=np.int64)
    return LoadPlan(np.array(dues_s), np.array(arms or [0] * count), zeros, np.arange(count))


def asked(
    addresses: list[Address], planned: LoadPlan, connections: int = 4, drain_s: float = 5.0
) -> Answers:
    client = ArmClient(addresses, REQUESTS, connections)
    try:
        return client.send(planned, drain_s)
    finally:
        client.close()


def test_each_answer_belongs_to_the_arm_that_was_asked() -> None:
    arms = [0, 1, 1, 0, 1]
    with server(always(OK)) as one, server(always(CHUNKED)) as other:
        answers = asked([one, other], plan([0.0, 0.0, 0.01, 0.01, 0.02], arms))
    assert answers.statuses.tolist() == [200 if arm == 0 else 201 for arm in arms]
    assert not answers.troubles


def test_an_answer_in_pieces_is_one_answer() -> None:
    def piecewise(client: socket.socket, _: bytes) -> None:
        for byte in CHUNKED:
            client.sendall(bytes([byte]))

    with server(piecewise) as address:
        assert asked([address], plan([0.0, 0.0])).statuses.tolist() == [201, 201]


def test_latency_counts_from_when_a_request_was_due() -> None:
    def slow(client: socket.socket, _: bytes) -> None:
        time.sleep(0.05)
        client.sendall(OK)

    with server(slow) as address:
        answers = asked([address], plan([0.0, 0.0, 0.0]), connections=1)
    assert (answers.latency_s >= [0.05, 0.1, 0.15]).all()  # each waits for those before it
    assert (answers.latency_s < 1).all()
    assert answers.lag_s[2] >= 0.09


def test_a_stalled_arm_does_not_delay_the_others() -> None:
    def stuck(_client: socket.socket, _: bytes) -> None:
        time.sleep(1)

    with server(stuck) as one, server(always(OK)) as other:
        answers = asked([one, other], plan([0.0] * 6, [0] * 5 + [1]), connections=2, drain_s=0.3)
    assert answers.statuses.tolist() == [UNANSWERED] * 5 + [200]
    assert answers.latency_s[5] < 0.2
    assert np.isnan(answers.latency_s[4])
    assert answers.troubles == {"no answer in time": 2, "never sent": 3}


def test_a_closed_connection_is_replaced() -> None:
    def once(client: socket.socket, _: bytes) -> None:
        client.sendall(OK.replace(b"Content", b"Connection: close\r\nContent"))
        client.close()

    with server(once) as address:
        answers = asked([address], plan([0.0, 0.05, 0.1]), connections=1)
    assert answers.statuses.tolist() == [200, 200, 200]


def test_no_answer_and_no_http_are_failures_with_a_reason() -> None:
    def hang_up(client: socket.socket, _: bytes) -> None:
        client.close()

    with server(hang_up) as one, server(always(b"SSH-2.0-OpenSSH\r\n")) as other:
        answers = asked([one, other], plan([0.0, 0.0], [0, 1]))
    assert answers.statuses.tolist() == [UNANSWERED, UNANSWERED]
    assert any(reason.startswith("not HTTP") for reason in answers.troubles)


def test_nobody_listening_is_a_failure_with_a_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    assert asked([address], plan([0.0])).troubles == {"no connection: Connection refused": 1}


@contextmanager
def full_server() -> Iterator[Address]:
    """A server that accepts nobody, and has as many who wait as it may."""
    with ExitStack() as entered:
        listener = entered.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = entered.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()


def test_an_arm_that_accepts_nobody_delays_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arm_client, "CONNECT_S", 0.5)
    with full_server() as full, server(always(OK)) as other:
        began_s = time.monotonic()
        answers = asked([full, other], plan([0.0, 0.0, 0.1, 0.2], [0, 1, 1, 1]))
        assert time.monotonic() - began_s < 4  # it does not wait for what nobody will answer
    assert answers.statuses.tolist() == [UNANSWERED, 200, 200, 200]
    assert (answers.latency_s[1:] < 0.4).all()
    assert answers.troubles == {"no connection: timed out": 1}
    assert 0.5 <= answers.latency_s[0] < 2
    assert np.isnan(answers.lag_s[0])  # it was never sent


def test_a_connection_that_takes_longer_than_the_plan_is_no_answer_in_time() -> None:
    with full_server() as full, server(always(OK)) as other:
        client = ArmClient([full, other], REQUESTS, 1)
        answers = client.send(plan([0.0, 0.0]), drain_s=0.2)
        after = client.send(plan([0.0], [1]))
        client.close()
    assert answers.troubles == {"no answer in time": 1, "never sent": 1}
    assert after.statuses.tolist() == [200]


def test_what_is_due_at_once_saturates_until_the_time_is_up() -> None:
    def half_busy(client: socket.socket, _: bytes) -> None:
        time.sleep(0.01)
        client.sendall(OK)

    with server(half_busy) as address:
        answers = asked([address], plan([0.0] * 1000), connections=4, drain_s=0.5)
    assert 40 < np.count_nonzero(answers.statuses) <= 4 * 50


def test_what_was_never_sent_is_not_sent_with_the_next_plan() -> None:
    def busy(client: socket.socket, _: bytes) -> None:
        time.sleep(0.01)
        client.sendall(OK)

    with server(busy) as address:
        client = ArmClient([address], REQUESTS, 2)
        client.send(plan([0.0] * 1000), drain_s=0.1)
        answers = client.send(plan([0.0, 0.0]))
        client.close()
    assert answers.statuses.tolist() == [200, 200]
    assert answers.latency_s == pytest.approx([0.01, 0.01], abs=0.05)
    assert not answers.troubles
