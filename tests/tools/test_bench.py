"""The benchmark: client, statistics, and invalid results."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import fmean

import httptools
import psutil
import pytest
from typer.testing import CliRunner

from chaos.perf.cores import Cores, TooFewCores, choose
from tools.bench import bench_table
from tools.bench.__main__ import app
from tools.bench.answers import Expected, UnreadableAnswer, is_whole
from tools.bench.arms import ARMS, BenchArm
from tools.bench.figures import ArmFigures, Figure, Repeat, as_json, bias, quantile, results
from tools.bench.load_client import Address, LoadClient, LoopOutcome, arrivals
from tools.bench.measure import ServerUnderLoad, Shares, Slice, doubts, lateness, measure
from tools.bench.server_bed import MeasuredServer

FOUND = b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nx: y\r\n\r\nhello"
ASK = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Answering(asyncio.Protocol):
    """Send the next response for each request; without any, close."""

    def __init__(self, answers: Iterator[bytes]) -> None:
        self._answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            if answer := next(self._answers):
                self._transport.write(answer)
            else:
                self._transport.close()


@contextmanager
def server(*answers: bytes) -> Iterator[tuple[Address, asyncio.AbstractEventLoop]]:
    """Run a server in a thread that sends these responses in turn, over and over."""
    loop = asyncio.new_event_loop()
    turn = itertools.cycle(answers)
    listening = loop.run_until_complete(
        loop.create_server(lambda: Answering(turn), "127.0.0.1", 0, backlog=512)
    )
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield listening.sockets[0].getsockname(), loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        loop.run_until_complete(asyncio.sleep(0.01))  # connections end
        loop.close()


def closed(address: Address, proof: bytes = b"", seconds: float = 0.2) -> LoopOutcome:
    client = LoadClient(address, itertools.repeat(ASK), Expected(302, proof))
    with client.connected(4):
        return client.closed(seconds)


# --- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [FOUND, CREATED], ids=["no body", "a body"])
def test_an_answer_is_whole_when_its_last_byte_is_there_and_not_before(answer: bytes) -> None:
    assert [end for end in range(len(answer) + 1) if is_whole(answer[:end])] == [len(answer)]


def test_an_answer_whose_end_cannot_be_known_is_unreadable() -> None:
    with pytest.raises(UnreadableAnswer, match="no Content-Length"):
        is_whole(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    with pytest.raises(UnreadableAnswer, match="head of more than"):
        is_whole(b"x" * 20_000)


# --- the client --------------------------------------------------------------------------------


def test_a_closed_loop_counts_what_was_answered_in_time() -> None:
    with server(FOUND) as (address, _):
        outcome = closed(address)
    assert not outcome.wrong
    assert 0 < outcome.in_time <= outcome.answered <= outcome.in_time + 4


def test_a_closed_loop_ends_when_there_is_nothing_left_to_send() -> None:
    with server(FOUND) as (address, _):
        client = LoadClient(address, itertools.repeat(ASK, 100), Expected(302))
        with client.connected(4):
            assert client.closed(30).answered == 100


def test_answers_in_pieces_and_with_bodies_count_once() -> None:
    with server(CREATED[:20], CREATED[20:]) as (address, _):
        pieces = LoadClient(address, itertools.repeat(ASK + ASK), Expected(201))
        with pieces.connected(1):
            assert pieces.closed(0.1).answered > 0


def test_another_status_is_reported_by_its_status_line() -> None:
    with server(FOUND, CREATED) as (address, _):
        outcome = closed(address)
    assert set(outcome.wrong) == {"HTTP/1.1 201 Created"}
    assert abs(outcome.wrong.total() - outcome.answered) <= 4


def test_an_answer_without_what_proves_it_is_wrong() -> None:
    with server(FOUND) as (address, _):
        outcome = closed(address, b"x-cache: hit\r\n")
    assert outcome.answered == outcome.in_time == 0
    (said,) = outcome.wrong
    assert said == "HTTP/1.1 302 Found without 'x-cache: hit\\r\\n'"


def test_a_connection_that_the_server_closes_is_reported_and_the_others_go_on() -> None:
    with server(*[FOUND] * 20, b"") as (address, _):
        outcome = closed(address)
    assert outcome.answered > 20
    assert outcome.wrong["closed by the server"] in range(1, 5)


def test_a_request_without_an_answer_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.bench.load_client._DRAIN_S", 0.2)
    with server(FOUND, FOUND, FOUND, FOUND, FOUND[:-1]) as (address, _):
        outcome = closed(address)
    assert outcome.wrong == {"no answer within 0.2 s of the end": 4}


def test_arrivals_have_the_rate_that_was_set_and_the_same_seed_draws_the_same() -> None:
    times_s = list(arrivals(1_000, 20, seed=1))
    gaps_s = [after - before for before, after in itertools.pairwise(times_s)]
    assert len(times_s) == pytest.approx(20_000, rel=0.03)
    assert max(times_s) < 20
    spread_s = math.sqrt(fmean(gap**2 for gap in gaps_s) - fmean(gaps_s) ** 2)
    assert spread_s == pytest.approx(fmean(gaps_s), rel=0.05)  # as of a Poisson process
    assert times_s == list(arrivals(1_000, 20, seed=1)) != list(arrivals(1_000, 20, seed=2))


def test_an_open_loop_sends_all_at_their_times_and_times_them_all() -> None:
    with server(FOUND) as (address, _):
        client = LoadClient(address, itertools.repeat(ASK), Expected(302))
        with client.connected(16):
            outcome = client.open(500, 0.5, seed=3)
    asked = len(list(arrivals(500, 0.5, seed=3)))
    assert outcome.answered == len(outcome.latencies_s) == len(outcome.lags_s) == asked
    assert min(outcome.lags_s) >= 0
    assert not outcome.wrong


@pytest.mark.alone
def test_a_server_that_freezes_delays_all_requests_due_meanwhile() -> None:
    with server(FOUND) as (address, loop):
        client = LoadClient(address, itertools.repeat(ASK), Expected(302))
        threading.Timer(0.3, lambda: loop.call_soon_threadsafe(time.sleep, 0.5)).start()
        with client.connected(4):  # fewer than want to ask: they wait, and that counts
            outcome = client.open(400, 1.0, seed=4)
    slow = sum(latency_s > 0.1 for latency_s in outcome.latencies_s) / len(outcome.latencies_s)
    assert slow == pytest.approx(0.4, abs=0.1)
    assert max(outcome.latencies_s) > 0.4
    assert lateness(outcome)


# --- statistics --------------------------------------------------------------------------------


def repeat(rps: float, *problems: str, ratio: float = 0.8) -> Repeat:
    return Repeat(rps, ratio, 1.0, 5.0, 25.0, 60.0, rps / 2, 0.2, 0.99, problems)


def late(rps: float) -> Repeat:
    return replace(repeat(rps), p50_ms=None, p99_ms=None, late="3.0% left late")


def test_a_quantile_is_a_value_that_was_measured() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [quantile(values, share) for share in (0.01, 0.2, 0.5, 0.99, 1)] == [1, 1, 3, 5, 5]
    assert math.isnan(quantile([], 0.5))


def test_a_figure_is_the_mean_of_the_repeats_and_their_range() -> None:
    found = results({"redis": [repeat(80, ratio=0.6), repeat(30, ratio=0.8)]})
    ratio = found["redis"].figures["ratio_to_bare"]
    assert ratio.mean == pytest.approx(0.7)
    assert (ratio.least, ratio.most) == (0.6, 0.8)
    assert found["redis"].proves


def test_latencies_come_from_the_repeats_that_were_not_late() -> None:
    found = results({"redis": [late(80), repeat(100)]})["redis"]
    assert found.figures["p99_ms"] == Figure(5, 5, 5)
    assert found.figures["rps"].mean == 90
    assert found.missing_latencies == ["round 1: 3.0% left late"]
    assert found.proves


def test_without_a_repeat_that_was_not_late_there_is_no_latency_and_that_is_said() -> None:
    found = results({"redis": [late(80)]})
    assert not found["redis"].proves
    assert as_json(found)["redis"]["p99_ms"] is None
    text = bench_table.text(found, {"redis": "ours"})
    assert "–" in text
    assert "NO LATENCY: ours\n  round 1: 3.0% left late" in text


def test_a_ratio_is_taken_of_slices_that_follow_each_other() -> None:
    turns: list[str] = []

    class Told(ServerUnderLoad):
        def warm_up(self, seconds: float) -> None:
            pass

        def saturate(self, client: LoadClient, seconds: float) -> Slice:
            turns.append(self.arm.name)
            slower = 1 + len(turns) // 2 % 3  # the machine, from one pair to the next
            rps = {"bare": 1e6, "redis": 0.7e6}[self.arm.name] / slower
            shares = Shares(server=1, foreign=0, others=0)
            return Slice(LoopOutcome(in_time=round(rps * seconds)), seconds, shares, server_s=1.0)

        def at_half_load(self, *_rate_seconds_seed: float) -> LoopOutcome:
            return LoopOutcome()

    _, bare, _, redis, *_ = ARMS
    with server(FOUND) as (address, _):
        cores = Cores(0, frozenset({1}))
        here = MeasuredServer(psutil.Process(), address)
        asked = [
            Told(replace(arm, requests=lambda: itertools.repeat(ASK)), here, cores)
            for arm in (redis, bare)
        ]
        turns.append("warming up")
        measured = measure(asked[0], asked[1], seconds=0.1, seed=1)
    pairs = list(zip(turns[1::2], turns[2::2], strict=True))
    assert {tuple(sorted(pair)) for pair in pairs} == {("bare", "redis")}
    assert sum(first == "redis" for first, _ in pairs) == len(pairs) / 2
    assert pairs != [("redis", "bare"), ("bare", "redis")] * (len(pairs) // 2)
    assert measured.ratio_to_bare == pytest.approx(0.7, rel=1e-3)


def null(*ratios: float) -> dict[str, ArmFigures]:
    return results({"bare": [repeat(100, ratio=ratio) for ratio in ratios]})


def test_a_ratio_comes_with_its_interval_over_the_launches() -> None:
    found = results({"redis": [repeat(80, ratio=ratio) for ratio in (0.80, 0.82, 0.84, 0.82)]})
    ratio = found["redis"].of_bare
    assert ratio.value == pytest.approx(0.82)
    assert ratio.low == pytest.approx(0.794, abs=0.001)  # 3.18 standard errors, Student's t
    assert ratio.high == pytest.approx(0.846, abs=0.001)
    assert as_json(found)["redis"]["ratio_interval95"] == [ratio.low, ratio.high]
    assert "0.82 [0.79, 0.85]" in bench_table.text(found, {"redis": "ours"})


def test_one_round_has_no_interval() -> None:
    assert as_json(null(0.9))["bare"]["ratio_interval95"] is None
    assert "[" not in bench_table.text(null(0.9), {"bare": "bare"})
    assert not bias(null(0.9))


def test_a_bare_server_that_differs_from_itself_makes_every_ratio_invalid() -> None:
    assert not bias(null(0.97, 1.02, 1.01, 0.99))
    found = null(0.83, 0.85, 0.88, 0.84)
    assert "0.85 [0.83, 0.96]" in bias(found)
    assert "INVALID: a bare server beside another" in bench_table.text(found, {"bare": "bare"})


def test_the_json_has_each_figure_by_name_and_what_is_invalid() -> None:
    shown = as_json(results({"bare": [repeat(100)], "redis": [repeat(80, "late"), repeat(80)]}))
    assert json.loads(json.dumps(shown)) == shown
    one = shown["redis"]
    figures = ("rps", "ratio_to_bare", "p50_ms", "p99_ms", "cpu_us", "rss_mb")
    assert [one[name] for name in figures] == [80, 0.8, 1, 5, 25, 60]
    assert one["problems"] == ["round 1: late"]
    assert not one["valid"]
    assert shown["bare"]["valid"]


def test_the_table_shows_the_range_of_the_repeats_and_why_an_arm_is_invalid() -> None:
    found = results({"bare": [repeat(10_000), repeat(12_000, "other programs took half")]})
    text = bench_table.text(found, {"bare": "bare ASGI"})
    assert "11,000 (10,000–12,000)" in text
    assert "INVALID: bare ASGI\n  round 2: other programs took half" in text
    machine = dict.fromkeys(
        ("cpu", "cores", "kernel", "python", "commit", "measured_at", "rounds"), "x"
    )
    assert "bare ASGI (invalid)" in bench_table.markdown(found, {"bare": "bare ASGI"}, machine)


# --- doubts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "doubtful"),
    [
        (Shares(server=0.99, foreign=0.01, others=1.0), False),
        (Shares(server=0.60, foreign=0.01, others=0.7), False),  # it waits for something else
        (Shares(server=0.60, foreign=0.01, others=1.0), True),
        (Shares(server=0.80, foreign=0.20, others=0.7), True),
    ],
)
def test_what_is_in_doubt_is_said(shares: Shares, doubtful: bool) -> None:
    _, bare, *_ = ARMS
    assert bool(doubts(shares, bare)) == doubtful


def test_nginx_may_be_faster_than_the_client() -> None:
    nginx, *_ = ARMS
    assert not doubts(Shares(server=0.60, foreign=0.01, others=1.0), nginx)
    assert doubts(Shares(server=0.60, foreign=0.20, others=1.0), nginx)


def test_one_core_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    with pytest.raises(TooFewCores):
        choose()
    refused = CliRunner().invoke(app, ["--arm", "bare"])
    assert refused.exit_code == 2
    assert "needs two cores" in refused.stderr


def test_the_server_gets_a_core_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {2, 5, 7})
    assert choose().server == 7
    assert choose().others == {2, 5}


def test_an_arm_that_does_not_exist_is_refused() -> None:
    refused = CliRunner().invoke(app, ["--arm", "barre"])
    assert refused.exit_code == 2
    assert "there is no arm barre: nginx, bare, near, redis, miss, create" in refused.stderr


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_the_request_of_an_arm_is_http(arm: BenchArm) -> None:
    for request in itertools.islice(arm.requests(), 100):
        parsed = Parsed()
        parser = httptools.HttpRequestParser(parsed)
        parser.feed_data(request)
        assert parsed.whole
        assert (parser.get_method() == b"POST") == (arm.name == "create")
        assert not parsed.body or json.loads(parsed.body)["url"].startswith("https://")


class Parsed:
    def __init__(self) -> None:
        self.whole = False
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole = True
