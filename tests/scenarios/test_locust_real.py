"""Locust as a process: the open loop, the record, the remote control, the page."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.scenarios_lab import (
    Locust,
    controlled,
    fetch,
    free_port,
    locust,
    running,
    server,
    wait_for_page,
)

pytestmark = pytest.mark.real
HEADER = (
    "segment,op_id,session,operation,attempt,last,rank,key,version,target,"
    "intended_s,sent_s,done_s,outcome,status,served_from,age_ms,click_id,server,timeline,error"
)


def latency_s(row: dict[str, str]) -> float:
    return float(row["done_s"]) - float(row["intended_s"])


def run(locust: Locust, duration_s: float, segment: int = 1, **traffic: Any) -> dict[str, Any]:
    """Prepare, start, and wait for the end of a segment."""
    assert locust.prepare(**traffic)["event"] == "prepared"
    assert locust.start(duration_s, segment, **traffic)["event"] == "started"
    finished = locust.hear()
    assert finished["event"] == "finished"
    return finished


def figures(text: str) -> dict[str, float]:
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.alone
def test_every_request_is_on_record_when_its_segment_is_said_to_be_over(tmp_path: Path) -> None:
    port = free_port()
    with (
        server() as shop,
        controlled(shop.url, tmp_path, LINKSTORM_METRICS_PORT=str(port)) as engine,
    ):
        before_s = time.monotonic()
        codes = engine.prepare(rate_per_s=300, keys=5)["codes"]
        made = shop.seen()
        started = engine.start(1.0, 3, rate_per_s=300, keys=5)
        finished = engine.hear()
        rows = engine.rows()
        after_s = time.monotonic()

        assert (engine.record / "requests-0.csv").read_text().splitlines()[0] == HEADER
        assert len(rows) == finished["sent"] == finished["offered"] > 200
        assert finished["unsent"] == 0
        assert shop.seen()["redirects"] == made["redirects"] + len(rows)
        assert shop.seen()["connections"] < made["connections"] + len(rows) / 2
        assert len({row["op_id"] for row in rows}) == len(rows)
        assert len({row["click_id"] for row in rows}) == len(rows)
        for row in rows:
            times = [float(row[name]) for name in ("intended_s", "sent_s", "done_s")]
            assert before_s < started["t_s"] <= times[0] <= times[1] <= times[2] < after_s
            assert times[0] < started["t_s"] + 1.0
            assert row["key"] == codes[int(row["rank"])]
            told = [row[name] for name in ("segment", "version", "outcome", "status")]
            assert told == ["3", "4", "ok", "302"]
            assert [row["operation"], row["attempt"], row["last"]] == ["follow", "1", "true"]
            assert row["target"] == "https://example.com/"
            assert [row["served_from"], row["age_ms"], row["error"]] == ["hit", "12.5", ""]

        live = figures(fetch(f"http://127.0.0.1:{port}/metrics"))
        assert live["linkstorm_requests_offered_total"] == len(rows)
        assert live["linkstorm_request_seconds_countok"] == len(rows)
        assert live["linkstorm_dispatch_lag_seconds_count"] == len(rows)
        assert live["linkstorm_requests_in_flight"] == 0


def test_segments_follow_each_other_and_the_same_seed_repeats_the_arrivals(tmp_path: Path) -> None:
    with server() as shop, controlled(shop.url, tmp_path) as engine:
        starts = []
        for segment in (1, 2):
            engine.prepare(rate_per_s=100, keys=3 + segment)
            starts.append(engine.start(0.5, segment, rate_per_s=100, keys=4)["t_s"])
            engine.hear()
        rows = engine.rows()
    first, second = (
        sorted(
            (round(float(row["intended_s"]) - start_s, 3), row["rank"])
            for row in rows
            if row["segment"] == segment
        )
        for segment, start_s in zip("12", starts, strict=True)
    )
    assert len(first) == len(second) > 20
    for (one_s, one), (other_s, other) in zip(first, second, strict=True):
        assert one == other
        assert one_s == pytest.approx(other_s, abs=0.002)


@pytest.mark.alone
def test_a_freeze_hurts_as_many_requests_as_the_open_model_says(tmp_path: Path) -> None:
    rate, freeze_s, slower_than_s = 800.0, 0.8, 0.2
    with server() as shop, controlled(shop.url, tmp_path, "--only-summary") as engine:
        engine.prepare(rate_per_s=rate)
        engine.start(2.5, rate_per_s=rate)
        time.sleep(0.8)
        shop.process.send_signal(signal.SIGSTOP)
        stopped_s = time.monotonic()
        time.sleep(freeze_s)
        shop.process.send_signal(signal.SIGCONT)
        continued_s = time.monotonic()
        engine.hear()
        rows = engine.rows()
        engine.hang_up()
        summary = [x for x in engine.log.read_text().splitlines() if "Aggregated" in x][-1].split()
    last_s = continued_s - slower_than_s  # due later: slow only behind the backlog, if at all
    due = [row for row in rows if stopped_s + 0.02 < float(row["intended_s"]) < last_s]
    expected = rate * (last_s - stopped_s - 0.02)
    assert len(due) == pytest.approx(expected, abs=5 * expected**0.5)
    assert all(latency_s(row) > slower_than_s for row in due)
    assert int(summary[-2]) > 600  # Locust's own slowest, in ms: it gets the same latency


@pytest.mark.alone
def test_what_a_bounded_generator_cannot_send_is_counted(tmp_path: Path) -> None:
    with server("silent") as shop, controlled(shop.url, tmp_path, "--max-in-flight", "9") as engine:
        finished = run(engine, 0.6, rate_per_s=200, keys=2, timeout_s=0.4)
        rows = engine.rows()
    assert finished["sent"] == len(rows) <= 27
    assert finished["unsent"] == finished["offered"] - finished["sent"] > 50
    assert {row["outcome"] for row in rows} == {"unknown"}
    assert all(row["version"] == "-1" and row["age_ms"] == "" for row in rows)
    assert all("no answer in 0.4 s" in row["error"] for row in rows)


@pytest.mark.alone
def test_a_generator_that_stood_still_reports_that_it_was_late(tmp_path: Path) -> None:
    with server() as shop, controlled(shop.url, tmp_path) as engine:
        engine.prepare(rate_per_s=200)
        engine.start(1.0, rate_per_s=200)
        time.sleep(0.3)
        engine.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        engine.process.send_signal(signal.SIGCONT)
        finished = engine.hear()
        rows = engine.rows()
    late = [row for row in rows if float(row["sent_s"]) - float(row["intended_s"]) > 0.010]
    assert abs(finished["late"] - len(late)) <= 2  # six decimals
    assert finished["late"] > 30
    assert finished["lag_p99_ms"] > 100 > finished["lag_p50_ms"]


def test_a_connection_lost_after_sending_is_unknown_and_sent_once(tmp_path: Path) -> None:
    with server("drop") as shop, controlled(shop.url, tmp_path) as engine:
        finished = run(engine, 0.3, rate_per_s=100, keys=2)
        rows, seen = engine.rows(), shop.seen()
    assert {row["outcome"] for row in rows} == {"unknown"}
    assert seen["redirects"] == finished["sent"] + 2


def test_an_error_status_is_a_failure(tmp_path: Path) -> None:
    with server("broken") as shop, controlled(shop.url, tmp_path) as engine:
        run(engine, 0.3, rate_per_s=100, keys=2)
        kinds = {(row["outcome"], row["status"], row["error"]) for row in engine.rows()}
        assert engine.hang_up() == 0
    assert kinds == {("fail", "503", "status 503")}


def test_a_request_that_never_left_is_a_failure(tmp_path: Path) -> None:
    with server() as shop, controlled(shop.url, tmp_path) as engine:
        engine.prepare(rate_per_s=100, keys=2)
        shop.end()
        engine.start(0.3, rate_per_s=100, keys=2)
        engine.hear()
        rows = engine.rows()
    assert {(row["outcome"], row["status"]) for row in rows} == {("fail", "0")}
    assert all("not sent" in row["error"] for row in rows)


def test_a_wrong_command_is_answered_and_the_next_one_obeyed(tmp_path: Path) -> None:
    wrong: list[tuple[dict[str, Any] | str, str]] = [
        ("{]", "invalid JSON"),
        ("[1]", "an object"),
        ({"do": "dance"}, "'prepare', 'start'"),
        ({"do": "prepare"}, "traffic"),
        ({"do": "prepare", "traffic": {"rate_per_s": 5}, "colour": 1}, "colour"),
        ({"do": "prepare", "traffic": {"rate_per_s": 5, "colour": 1}}, "colour"),
        ({"do": "start", "segment": 1, "duration_s": -1, "seed": 1, "traffic": {}}, "rate_per_s"),
    ]
    with server() as shop, controlled(shop.url, tmp_path) as engine:
        for command, complaint in wrong:
            event = engine.ask(command)
            assert event["event"] == "error"
            assert complaint in event["message"]
        assert "prepare first" in engine.start(1.0, rate_per_s=5)["message"]
        assert engine.prepare(rate_per_s=5)["event"] == "prepared"
        assert engine.start(5.0, rate_per_s=5)["event"] == "started"
        assert "not finished" in engine.start(1.0, rate_per_s=5)["message"]
        assert engine.hang_up() == 0
        assert engine.process.stdout is not None
        assert engine.process.stdout.read() == ""


@pytest.mark.alone
def test_sigterm_ends_it_cleanly_with_the_record_on_disk(tmp_path: Path) -> None:
    with server() as shop, controlled(shop.url, tmp_path) as engine:
        engine.prepare(rate_per_s=200, keys=2)
        engine.start(30.0, rate_per_s=200, keys=2)
        time.sleep(0.5)
        engine.process.terminate()
        assert engine.process.wait(8) == 0
        assert len(engine.rows()) > 50


def test_links_that_cannot_be_made_are_reported_with_status_and_body(tmp_path: Path) -> None:
    with server("stingy") as shop, controlled(shop.url, tmp_path) as engine:
        message = engine.prepare(rate_per_s=5)["message"]
    assert "503" in message
    assert "no links today" in message


def test_a_host_that_does_not_answer_is_an_error_event(tmp_path: Path) -> None:
    with controlled(f"http://127.0.0.1:{free_port()}", tmp_path) as engine:
        assert "cannot reach" in engine.prepare(rate_per_s=5)["message"]
        assert engine.hang_up() == 0


@pytest.mark.alone
def test_the_page_starts_edits_and_stops_the_traffic(tmp_path: Path) -> None:
    port = free_port()
    page = f"http://127.0.0.1:{port}"
    with (
        server() as shop,
        running(
            locust("--host", shop.url, "--web-host", "127.0.0.1", "--web-port", str(port)),
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        ),
    ):
        wait_for_page(page)
        form = {"user_count": "1", "spawn_rate": "1", "rate": "100", "curve": "steady"}
        assert json.loads(fetch(f"{page}/swarm", **form))["success"]
        slow = sent_in_a_second(page)
        fetch(f"{page}/swarm", **(form | {"rate": "600", "user_count": "7"}))
        fast = sent_in_a_second(page)
        fetch(f"{page}/stop", really="yes")
        stopped = figures(fetch(f"{page}/metrics"))["linkstorm_requests_sent_total"]
        listed = {row["name"] for row in json.loads(fetch(f"{page}/stats/requests"))["stats"]}
        assert 60 < slow < 160
        assert 400 < fast < 800
        assert sent_in_a_second(page, warm_up_s=0.0) == 0
        assert stopped > 0
        assert listed == {"hot link", "other links", "Aggregated"}


def sent_in_a_second(page: str, warm_up_s: float = 1.5) -> float:
    time.sleep(warm_up_s)
    before = figures(fetch(f"{page}/metrics"))["linkstorm_requests_sent_total"]
    time.sleep(1.0)
    return figures(fetch(f"{page}/metrics"))["linkstorm_requests_sent_total"] - before
