"""A run sends its status and its fault windows, and depends on neither receiver."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client import CollectorRegistry, Counter, start_http_server

from chaos.control.http_server import served
from chaos.control.lab_control import LabControl
from chaos.engine import announce
from chaos.engine.annotations import AnnotationError, Annotations
from chaos.engine.announce import announcer
from chaos.engine.run import HostClock, run
from chaos.judge.verdict import judge
from chaos.model.evidence import Generator, Verdict
from chaos.model.lab import Links
from chaos.model.traffic import Traffic
from chaos.record.reader import read_events, read_evidence
from chaos.record.writer import RecordWriter
from tests.support.fake_stack import TOKEN, FakeStack, World, herd_order, lab
from tests.support.grafana_server import Grafana, grafana

PLAN = {"experiment": "thundering-herd"}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announce, "PERIOD_S", 0.02)


@dataclass
class Load:
    """A load generator of which only the figures are wanted."""

    metrics_url: str | None = None

    def prepare(self, traffic: Traffic) -> Links:
        raise NotImplementedError

    def start(self, segment: int, traffic: Traffic, duration_s: float, seed: int) -> float:
        raise NotImplementedError

    def finished(self) -> Generator | None:
        raise NotImplementedError


@dataclass
class Run:
    """The record of a run under way, and what the fakes of its lab are told."""

    writer: RecordWriter
    world: World = field(default_factory=World)

    def announced(self, load: Load | None = None) -> AbstractContextManager[None]:
        return announcer(FakeStack(self.world), load or Load(), self.writer)

    @property
    def notes(self) -> list[str]:
        log = self.writer.logs / "lab.log"
        return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Run]:
    writer = RecordWriter(tmp_path / "20260101-000000-herd", PLAN, HostClock())
    yield Run(writer)
    writer.close()


@pytest.fixture
def control(running: Run, tmp_path: Path) -> Iterator[str]:
    """A control that the run is to tell, and has claimed the lab from; its page of metrics."""
    (tmp_path / "runs").mkdir()
    with served(
        LabControl(FakeStack(World()), "fake", tmp_path / "runs", HostClock()), TOKEN
    ) as url:
        running.world.control = url
        claim = {"run": running.writer.path.name}
        token = {"X-Linkstorm-Token": TOKEN}
        requests.put(f"{url}/claim", json=claim, headers=token, timeout=5).raise_for_status()
        yield f"{url}/metrics"


@pytest.fixture
def watched(running: Run) -> Iterator[Grafana]:
    """A Grafana that the run marks its windows in."""
    with grafana() as state:
        running.world.grafana = state.url
        yield state


def eventually(holds: Callable[[], object], within_s: float = 10) -> bool:
    deadline_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def now_ms() -> int:
    """As Grafana counts: whole milliseconds, so that rounding cannot turn an order round."""
    return round(time.time() * 1000)


def page(url: str) -> str:
    return requests.get(url, timeout=5).text


# --- listeners ---------------------------------------------------------------------------------


def test_a_listener_hears_each_event_as_it_happens(running: Run) -> None:
    heard: list[Any] = []
    with running.writer.subscribed(heard.append):
        running.writer.event("injected", act="redis killed", arm="direct")
    running.writer.event("healed", act="redis killed", arm="direct")
    assert [(event["kind"], event["act"]) for event in heard] == [("injected", "redis killed")]
    assert heard == read_events(running.writer.path)[:1]


def test_a_listener_that_fails_does_not_stop_a_run_and_is_noted(running: Run) -> None:
    heard: list[Any] = []

    def deaf(_: object) -> None:
        raise RuntimeError("cannot hear")

    with running.writer.subscribed(deaf), running.writer.subscribed(heard.append):
        running.writer.event("up")
    assert len(heard) == 1
    assert len(running.notes) == 1
    assert "a listener failed on up: RuntimeError('cannot hear')" in running.notes[0]


def test_a_run_tells_what_it_begins_and_each_fault_as_it_comes_and_goes(tmp_path: Path) -> None:
    world = World()
    run(herd_order(world), lab(world), tmp_path / "run", lambda *_: None)
    events = [event for event in read_events(tmp_path / "run") if event["kind"] != "links"]
    first = [event["kind"] for event in events].index("injected")
    assert [event["kind"] for event in events[first - 1 : first + 4]] == [
        "segment-started", "injected", "healed", "segment", "segment-started",
    ]  # fmt: skip
    started, injected = events[first - 1], events[first]
    assert started["what"] == f"{started['arm']} · round 1"
    assert injected["act"] == "replica link +120 ms"
    assert injected["arm"] == started["arm"]
    assert [event["kind"] for event in events[-6:]] == [
        "reading-back", "written", "held", "read-back", "finished", "written",
    ]  # fmt: skip


# --- the control -------------------------------------------------------------------------------


def test_the_control_shows_what_a_run_is_at_and_its_faults_while_they_last(
    running: Run, control: str
) -> None:
    with running.announced():
        assert eventually(lambda: 'what="starting"' in page(control))
        running.writer.event("segment-started", what="lock · round 2", arm="lock", round=1)
        running.writer.event("injected", act="redis killed", arm="lock")
        at_it = 'linkstorm_run_active{experiment="thundering-herd",what="lock · round 2"} 1.0'
        assert eventually(lambda: at_it in page(control))
        assert eventually(lambda: 'linkstorm_fault_active{fault="redis killed"}' in page(control))
        running.writer.event("healed", act="redis killed", arm="lock")
        assert eventually(lambda: "linkstorm_fault_active{" not in page(control))
        running.writer.event("reading-back")
        assert eventually(lambda: 'what="reading back"' in page(control))
    assert running.notes == []


def test_the_control_hands_on_the_figures_of_the_load_generator(running: Run, control: str) -> None:
    registry = CollectorRegistry()
    Counter("linkstorm_requests_sent", "Requests that left", registry=registry).inc(42)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    load = Load(f"http://127.0.0.1:{server.server_port}/metrics")
    try:
        with running.announced(load):
            assert eventually(lambda: "linkstorm_requests_sent_total 42.0" in page(control))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert running.notes == []


def test_a_control_is_told_even_while_the_load_generator_gives_no_figures(
    running: Run, control: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        load = Load(f"http://127.0.0.1:{mute.getsockname()[1]}/metrics")
        with running.announced(load):
            running.writer.event("injected", act="redis killed", arm="lock")
            assert eventually(
                lambda: 'linkstorm_fault_active{fault="redis killed"}' in page(control)
            )


@pytest.mark.usefixtures("control")
def test_a_control_that_refuses_is_noted_once(
    running: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.support.fake_stack.TOKEN", "another")
    with running.announced():
        assert eventually(lambda: running.notes)
        time.sleep(0.2)
    assert len(running.notes) == 1
    assert "status update failed: 403" in running.notes[0]


# --- Grafana -----------------------------------------------------------------------------------


def test_the_run_and_each_fault_window_are_marked_in_grafana(
    running: Run, watched: Grafana
) -> None:
    before_ms = now_ms()
    with running.announced():
        running.writer.event("injected", act="redis killed", arm="lock")
        time.sleep(0.3)
        running.writer.event("healed", act="redis killed", arm="lock")
        time.sleep(0.2)
    (whole,), (fault,) = watched.windows("run"), watched.windows("fault")
    assert whole["text"] == "thundering-herd: 20260101-000000-herd"
    assert whole["tags"] == ["linkstorm", "run", "thundering-herd"]
    assert fault["text"] == "redis killed · lock"
    assert fault["tags"] == ["linkstorm", "fault", "thundering-herd"]
    assert before_ms <= whole["time"] <= fault["time"]
    assert fault["timeEnd"] - fault["time"] >= 299
    assert fault["timeEnd"] + 199 <= whole["timeEnd"] <= now_ms()
    assert running.notes == []


def test_a_run_begins_before_its_faults_in_grafana_however_late_it_is_told(
    running: Run, watched: Grafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_begin = threading.Event()

    class Late(Annotations):
        """Those of a thread that a busy machine lets run after a while."""

        def __init__(self, url: str) -> None:
            may_begin.wait(10)
            super().__init__(url)

    monkeypatch.setattr(announce, "Annotations", Late)
    with running.announced():
        began_by_ms = now_ms()
        running.writer.event("injected", act="redis killed", arm="lock")
        time.sleep(0.1)
        may_begin.set()
    (whole,), (fault,) = watched.windows("run"), watched.windows("fault")
    assert whole["time"] <= began_by_ms <= fault["time"]


def test_a_window_grows_while_its_fault_lasts(running: Run, watched: Grafana) -> None:
    with running.announced():
        running.writer.event("injected", act="redis killed", arm="lock")
        assert eventually(lambda: watched.windows("fault"))
        (first,) = watched.windows("fault")
        assert eventually(lambda: watched.windows("fault")[0]["timeEnd"] > first["time"] + 100)


def test_a_grafana_that_refuses_costs_one_line_and_nothing_else(
    running: Run, watched: Grafana
) -> None:
    running.world.grafana = watched.url.replace("admin", "viewer")
    with running.announced():
        running.writer.event("injected", act="redis killed", arm="lock")
        time.sleep(0.1)
    assert watched.marked == {}
    assert len(running.notes) == 1
    assert "no annotations: Grafana at 127.0.0.1" in running.notes[0]
    assert "pass" not in running.notes[0]


def test_a_run_does_not_wait_for_a_grafana_that_is_slow(
    running: Run, watched: Grafana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.engine.annotations.TIMEOUT_S", 2)
    with running.announced():
        assert eventually(lambda: watched.windows("run"))
        watched.silent = True
        asked_s = time.monotonic()
        running.writer.event("injected", act="redis killed", arm="lock")
        running.writer.event("healed", act="redis killed", arm="lock")
        assert time.monotonic() - asked_s < 1
        assert eventually(lambda: running.notes)
    assert "an annotation is missing" in running.notes[0]


def test_anonymous_access_sends_no_account(watched: Grafana) -> None:
    open_to_all = Annotations(f"http://127.0.0.1:{watched.port}")
    with pytest.raises(AnnotationError, match="Unauthorized"):
        open_to_all.begin("x", [], 1.0)
    watched.anonymous_may_write = True
    assert open_to_all.begin("x", [], 1.0).id == 1


def test_an_annotation_that_is_gone_is_told_in_words(watched: Grafana) -> None:
    marks = Annotations(watched.url)
    window = marks.begin("x", ["a"], 1.0)
    watched.marked.clear()
    with pytest.raises(AnnotationError, match="Could not find annotation to update"):
        marks.extend(window, 2.0)


@pytest.mark.parametrize("url", ["grafana", "ftp://h/", ""])
def test_an_address_that_is_none_is_told_in_words(url: str) -> None:
    with pytest.raises(AnnotationError, match="must look like http"):
        Annotations(url)


# --- neither -----------------------------------------------------------------------------------


def test_a_stack_without_control_and_grafana_starts_nothing(running: Run) -> None:
    before = threading.active_count()
    with running.announced():
        assert threading.active_count() == before


def test_a_run_passes_although_nobody_is_there_to_be_told(tmp_path: Path) -> None:
    world = World(control="http://127.0.0.1:9", grafana="http://127.0.0.1:9")
    order = herd_order(world)
    run(order, lab(world), tmp_path / "run", lambda *_: None)
    assert judge(order.experiment, read_evidence(tmp_path / "run")).verdict is Verdict.PASS
    log = (tmp_path / "run" / "logs" / "lab.log").read_text(encoding="utf-8")
    assert "status update failed" in log
    assert "no annotations" in log
