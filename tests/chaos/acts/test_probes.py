"""A round trip is the quickest of several, and long ones are not repeated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from chaos.acts.probes import ROUND_TRIPS_MAX, ROUND_TRIPS_S, round_trip_ms, round_trips_s


@contextmanager
def server_that_takes(*seconds: float) -> Iterator[tuple[str, list[float]]]:
    """Yield the URL of a server whose answers take so long, the last one's for all others."""
    taken: list[float] = []

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            taken.append(seconds[min(len(taken), len(seconds) - 1)])
            time.sleep(taken[-1])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        serving = Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", taken
        finally:
            server.shutdown()
            serving.join()


def test_the_quickest_round_trip_counts() -> None:
    with server_that_takes(0.2, 0.05, 0.0) as (url, _):
        assert round_trip_ms(url, timeout_s=5) < 50


def test_a_delay_of_every_round_trip_is_measured() -> None:
    with server_that_takes(0.12) as (url, taken):
        assert round_trip_ms(url, timeout_s=5) >= 120
    assert len(taken) <= 3


def test_a_long_round_trip_is_not_repeated() -> None:
    with server_that_takes(ROUND_TRIPS_S) as (url, taken):
        assert round_trip_ms(url, timeout_s=5) >= ROUND_TRIPS_S * 1000
    assert len(taken) == 1


def test_short_round_trips_are_bounded_in_number() -> None:
    with server_that_takes(0.0) as (url, taken):
        round_trip_ms(url, timeout_s=5)
    assert len(taken) <= ROUND_TRIPS_MAX


@pytest.mark.parametrize(("each_s", "most_s"), [(0.02, 0.32), (0.12, 0.42), (0.5, 0.5)])
def test_the_time_that_all_of_them_take_has_a_bound(each_s: float, most_s: float) -> None:
    assert round_trips_s(each_s) == pytest.approx(most_s)
