"""The control API over HTTP, on a fake stack: who is let in, what is refused, what is shown."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from chaos.acts.failover import PROMOTION
from chaos.control.http_server import kept_token, served
from chaos.control.lab_control import LabControl
from chaos.engine import server_watch
from chaos.engine.server_watch import Standing
from chaos.model.stack import StackError
from tests.support.fake_run import BREAKS, WAITS
from tests.support.fake_stack import FakeStack, World

TOKEN = "a token"
PAGES = {"grafana": "http://127.0.0.1:3000"}
GENERATOR = '# TYPE linkstorm_requests_sent_total counter\nlinkstorm_requests_sent_total{x="1"} 7\n'


@dataclass
class Client:
    """Someone who knows the token, and what the control works on."""

    url: str
    world: World
    runs: Path
    headers: dict[str, str | bytes] = field(default_factory=lambda: {"X-Linkstorm-Token": TOKEN})

    def ask(self, method: str, path: str, said: Any = None) -> requests.Response:
        return requests.request(
            method, self.url + path, json=said, headers=self.headers, timeout=10
        )

    def state(self) -> dict[str, Any]:
        told: dict[str, Any] = self.ask("GET", "/state").json()
        return told

    def inject(self, kind: str, target: str, **more: float) -> requests.Response:
        return self.ask("POST", "/faults", {"kind": kind, "target": target, **more})

    def start(self, **more: Any) -> requests.Response:
        return self.ask("POST", "/runs", {"experiment": "thundering-herd", **more})

    def figures(self) -> dict[str, float]:
        text = requests.get(f"{self.url}/metrics", timeout=10).text
        return {
            f"{s.name}{{{','.join(s.labels.values())}}}": s.value
            for family in text_string_to_metric_families(text)
            for s in family.samples
        }

    def eventually(self, so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + 20
        while not so(told := self.state()):
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        return told


@contextmanager
def control_at(tmp_path: Path, *fake_run: str) -> Iterator[Client]:
    logs, runs = tmp_path / "logs", tmp_path / "runs"
    logs.mkdir()
    runs.mkdir()
    world = World(logs=logs)
    command = [sys.executable, "-m", "tests.support.fake_run", *fake_run]
    control = LabControl(FakeStack(world), "fake", runs, world.clock, command, lambda: PAGES)
    with served(control, TOKEN) as url:
        yield Client(url, world, runs)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Client]:
    with control_at(tmp_path) as client:
        yield client


# --- who is let in -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/state"), ("POST", "/faults"), ("DELETE", "/faults/1"), ("POST", "/heal"),
        ("POST", "/promote"), ("POST", "/runs"), ("DELETE", "/runs/current"),
        ("GET", "/runs/x/report"), ("PUT", "/claim"), ("DELETE", "/claim"), ("PUT", "/status"),
        ("GET", "/nowhere"),
    ],
)  # fmt: skip
def test_nothing_is_done_or_shown_without_the_token(
    control: Client, method: str, path: str
) -> None:
    for token in (None, b"", b"a tokem", "tökén".encode()):
        control.headers = {} if token is None else {"X-Linkstorm-Token": token}
        refused = control.ask(method, path, {"kind": "cut", "target": "cache"})
        assert refused.status_code == 403
        assert "X-Linkstorm-Token" in refused.json()["error"]
    assert not control.world.closed


@pytest.mark.parametrize("path", ["/state", "/metrics", "/healthz"])
def test_a_browser_is_refused_even_with_the_token(control: Client, path: str) -> None:
    control.headers["Origin"] = "http://127.0.0.1:8089"
    refused = control.ask("GET", path)
    assert refused.status_code == 403
    assert "Chaos page" in refused.json()["error"]
    assert "Access-Control-Allow-Origin" not in refused.headers


def test_prometheus_and_a_health_check_need_no_token(control: Client) -> None:
    for path in ("/metrics", "/healthz"):
        assert requests.get(control.url + path, timeout=10).status_code == 200


def test_a_token_in_a_file_is_made_once_and_then_kept(tmp_path: Path) -> None:
    file = tmp_path / "shared" / "token"
    first = kept_token(file)
    assert len(first) >= 32
    assert kept_token(file) == first == file.read_text()


# --- faults ------------------------------------------------------------------------------------


def test_every_part_and_link_is_shown_with_its_state(control: Client) -> None:
    told = control.state()
    assert told["runtime"] == "fake"
    assert set(told["parts"].values()) == {"up"}
    assert {link["open"] for link in told["links"].values()} == {True}
    assert (told["faults"], told["run"]) == ([], None)
    assert (told["grafana"], told["prometheus"]) == (PAGES["grafana"], None)
    (herd,) = [each for each in told["experiments"] if each["name"] == "thundering-herd"]
    assert herd["question"].endswith("?")
    assert [arm["name"] for arm in herd["arms"] if arm["naive"]] == ["direct"]
    assert 30 < herd["about_s"]["quick"] < 120 < herd["about_s"]["full"]


@pytest.mark.parametrize(
    ("kind", "target", "more", "seen"),
    [
        ("slow", "replica", {"latency_ms": 120}, lambda t: t["links"]["replica"]["toxics"]),
        ("cut", "replication", {}, lambda t: not t["links"]["replication"]["open"]),
        ("kill", "primary", {}, lambda t: t["parts"]["postgres-1"] == "down"),
        ("pause", "replica", {}, lambda t: t["parts"]["postgres-2"] == "paused"),
    ],
)
def test_each_fault_is_injected_shown_and_healed(
    control: Client,
    kind: str,
    target: str,
    more: dict[str, float],
    seen: Callable[[dict[str, Any]], bool],
) -> None:
    injected = control.inject(kind, target, **more)
    assert injected.status_code == 201
    told = control.state()
    assert seen(told)
    (fault,) = told["faults"]
    assert fault["id"] == injected.json()["id"]
    assert fault["name"] == injected.json()["name"]
    assert fault["kind"] == kind
    assert fault["target"] == {"kill": "postgres-1", "pause": "postgres-2"}.get(kind, target)
    assert fault["since"].endswith("+00:00")

    assert control.ask("DELETE", f"/faults/{fault['id']}").status_code == 200
    told = control.state()
    assert not seen(told)
    assert told["faults"] == []
    assert control.ask("DELETE", f"/faults/{fault['id']}").status_code == 404


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({}, "kind"),
        ({"kind": "slow"}, "target"),
        ({"kind": "burn", "target": "web-1"}, "burn"),
        ({"kind": "kill", "target": "lab"}, "web-1"),
        ({"kind": "cut", "target": "web-1"}, "replication"),
        ({"kind": "slow", "target": "cache"}, "latency_ms"),
        ({"kind": "slow", "target": "cache", "latency_ms": -5}, "latency_ms"),
        ({"kind": "slow", "target": "cache", "latency_ms": "long"}, "latency_ms"),
        ({"kind": "cut", "target": "cache", "latency_ms": 3}, "latency_ms"),
        (["slow"], "object"),
    ],
)
def test_a_fault_that_does_not_exist_is_refused_in_words(
    control: Client, said: Any, words: str
) -> None:
    refused = control.ask("POST", "/faults", said)
    assert refused.status_code == 400
    assert words in refused.json()["error"]
    assert control.state()["faults"] == []


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe", b"[" * 100_000, b'{"kind": "\\ud800", "target": "cache"}',
     b'{"kind": "slow", "target": "cache", "latency_ms": NaN}',
     b'{"kind": "slow", "target": "cache", "latency_ms": 1e400}'],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/faults"), ("POST", "/runs"), ("PUT", "/claim"), ("PUT", "/status")],
)
def test_what_could_not_be_sent_on_is_refused(
    control: Client, method: str, path: str, body: bytes
) -> None:
    refused = requests.request(
        method, control.url + path, data=body, headers=control.headers, timeout=10
    )
    assert (refused.status_code, "JSON" in refused.json()["error"]) == (400, True)
    assert control.state()["run"] is None
    assert control.figures()


def test_a_target_takes_one_fault_at_a_time(control: Client) -> None:
    assert control.inject("slow", "replica", latency_ms=120).status_code == 201
    refused = control.inject("cut", "replica")
    assert refused.status_code == 409
    assert "replica link +120 ms" in refused.json()["error"]
    assert control.inject("pause", "replica").status_code == 201  # the part, not the link


def test_heal_all_mends_also_what_nobody_here_broke(control: Client) -> None:
    control.inject("slow", "replica", latency_ms=120)
    control.world.parts["worker"] = "paused"
    control.world.closed.add("queue")
    assert control.ask("POST", "/heal").status_code == 200
    told = control.state()
    assert set(told["parts"].values()) == {"up"}
    assert all(link["open"] and not link["toxics"] for link in told["links"].values())
    assert told["faults"] == []


def test_a_fault_that_somebody_else_healed_is_shown_no_more(control: Client) -> None:
    control.inject("slow", "replica", latency_ms=120)
    control.inject("kill", "web-1")
    FakeStack(control.world).heal()
    control.world.clock.sleep(1)
    assert control.state()["faults"] == []


def test_a_slow_link_stays_listed_while_toxiproxy_cannot_be_read(control: Client) -> None:
    control.inject("slow", "replica", latency_ms=120)
    control.inject("pause", "toxiproxy")
    control.state()
    assert len(control.state()["faults"]) == 2


def test_trouble_of_the_stack_is_passed_on_in_words(
    control: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise StackError("the engine does not answer; start it")

    monkeypatch.setattr(FakeStack, "kill", broken)
    refused = control.inject("kill", "web-1")
    assert (refused.status_code, refused.json()["error"]) == (
        502,
        "the engine does not answer; start it",
    )
    assert control.state()["faults"] == []
    monkeypatch.setattr(FakeStack, "state", broken)
    control.world.clock.sleep(1)
    assert control.ask("GET", "/state").status_code == 502
    assert "linkstorm_faults_active{}" in control.figures()


def test_what_was_broken_by_hand_is_healed_when_the_control_ends(tmp_path: Path) -> None:
    with control_at(tmp_path) as control:
        control.inject("kill", "primary")
        control.inject("slow", "cache", latency_ms=5)
    assert control.world.parts["postgres-1"] == "up"
    assert control.world.toxics == []


def test_the_state_is_shown_while_the_stack_is_in_use(
    control: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.state()
    monkeypatch.setattr(FakeStack, "heal", lambda _: time.sleep(4))
    began_s = time.monotonic()
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{control.url}/heal", headers=control.headers, timeout=0.2)
    control.world.clock.sleep(1)
    assert control.state()["parts"]["web-1"] == "up"
    assert time.monotonic() - began_s < 3


# --- roles -------------------------------------------------------------------------------------


def test_the_replica_of_a_dead_primary_is_promoted_and_the_fault_is_over(control: Client) -> None:
    control.inject("kill", "primary")
    promoted = control.ask("POST", "/promote")
    assert promoted.status_code == 200
    assert promoted.json()["steps"] == [
        "postgres-2 is the primary: the one before gives no answer, and may have had more",
        "postgres-1 follows it",
    ]
    told = control.state()
    assert told["roles"] == {"primary": "postgres-2", "replica": "postgres-1"}
    assert (told["parts"]["postgres-1"], told["faults"]) == ("up", [])
    assert told["promoting"] is False


@pytest.mark.parametrize("kind", ["kill", "pause"])
def test_without_a_replica_that_answers_nothing_is_promoted(control: Client, kind: str) -> None:
    fault = control.inject(kind, "replica").json()["id"]
    refused = control.ask("POST", "/promote")
    assert refused.status_code == 502
    assert refused.json()["error"] == "nothing can be promoted: no server is the replica now"
    assert control.state()["roles"] == {"primary": "postgres-1"}
    assert control.ask("DELETE", f"/faults/{fault}").status_code == 200
    assert control.state()["roles"] == {"primary": "postgres-1", "replica": "postgres-2"}


def test_the_replica_is_promoted_once_at_a_time(
    control: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ends = threading.Event(), threading.Event()

    def slow(_: object) -> Iterator[str]:
        begun.set()
        assert ends.wait(10)
        yield "promoted"

    monkeypatch.setattr("chaos.control.lab_control.move_primary", slow)
    control.state()
    with ThreadPoolExecutor() as threads:
        first = threads.submit(control.ask, "POST", "/promote")
        assert begun.wait(10)
        try:
            for refused in (
                control.ask("POST", "/promote"),
                control.ask("PUT", "/claim", {"run": PROMOTION, "first": True}),
                control.ask("PUT", "/claim", {"run": "one", "first": True}),
            ):
                assert (refused.status_code, refused.json()["by"]) == (409, PROMOTION)
                assert "is being promoted" in refused.json()["error"]
            assert control.state()["promoting"] is True
        finally:
            ends.set()
        assert first.result().json() == {"steps": ["promoted"]}
    assert control.state()["promoting"] is False
    assert control.ask("PUT", "/claim", {"run": "one"}).status_code == 200


def test_a_promotion_from_outside_is_shown_and_a_second_one_is_refused(control: Client) -> None:
    def claim(*, first: bool) -> requests.Response:
        return control.ask("PUT", "/claim", {"run": PROMOTION, "first": first})

    assert claim(first=True).status_code == 200
    assert control.state()["promoting"] is True
    assert claim(first=False).status_code == 200
    for refused in (claim(first=True), control.ask("POST", "/promote")):
        assert (refused.status_code, refused.json()["by"]) == (409, PROMOTION)
        assert "is being promoted" in refused.json()["error"]


def test_roles_that_moved_under_a_claim_are_shown_after_it(
    control: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = {"primary": "postgres-2", "replica": "postgres-1"}
    monkeypatch.setattr(
        FakeStack, "find_roles", lambda stack: stack.world.roles.put(moved) or moved
    )
    control.ask("PUT", "/claim", {"run": "one"})
    control.world.clock.sleep(1)
    assert control.state()["roles"]["primary"] == "postgres-1"
    control.ask("DELETE", "/claim", {"run": "one"})
    control.world.clock.sleep(1)
    assert control.state()["roles"] == moved


# --- runs --------------------------------------------------------------------------------------


def test_a_run_is_started_judged_and_its_report_served(control: Client) -> None:
    started = control.start(arms=["lock"])
    assert started.status_code == 201
    run = control.eventually(lambda told: told["run"]["state"] == "done")["run"]
    assert run["id"] == started.json()["id"]
    assert (run["experiment"], run["verdict"], run["by"]) == ("thundering-herd", "PASS", "control")
    assert "lock" in run["table"]
    assert "swr" not in run["table"].partition("not asked")[0]
    assert run["report"] is True
    report = control.ask("GET", f"/runs/{run['id']}/report")
    assert report.headers["Content-Type"].startswith("text/html")
    assert "thundering-herd" in report.text
    assert control.figures()["linkstorm_runs_total{thundering-herd,PASS}"] == 1
    assert control.figures()["linkstorm_last_verdict{thundering-herd,PASS}"] == 1


def test_a_run_shows_its_progress_and_is_stopped(tmp_path: Path) -> None:
    with control_at(tmp_path, WAITS) as control:
        run = control.start().json()["id"]
        told = control.eventually(lambda told: told["run"]["done"] == 3)
        assert (told["run"]["state"], told["run"]["steps"]) == ("running", 15)
        assert "round 1 done" in told["run"]["what"]
        assert any(name.startswith("linkstorm_run_active{thundering") for name in control.figures())

        for refused, words in (
            (control.inject("cut", "cache"), run),
            (control.ask("POST", "/heal"), run),
            (control.start(), "one run at a time"),
            (control.ask("PUT", "/claim", {"run": "another"}), "in use by"),
            (control.ask("POST", "/promote"), "in use by"),
        ):
            assert refused.status_code == 409
            assert words in refused.json()["error"]
        assert control.ask("PUT", "/claim", {"run": run}).status_code == 200  # its own

        assert control.ask("DELETE", "/runs/current").status_code == 200
        stopped = control.eventually(lambda told: told["run"]["state"] == "done")["run"]
        assert (stopped["verdict"], stopped["what"]) == (None, "stopped before the end")
        control.ask("DELETE", "/claim", {"run": run})
        assert control.inject("cut", "cache").status_code == 201
        assert control.ask("DELETE", "/runs/current").status_code == 404


def test_a_run_that_breaks_has_the_reason(tmp_path: Path) -> None:
    with control_at(tmp_path, BREAKS) as control:
        control.start()
        run = control.eventually(lambda told: told["run"]["state"] == "done")["run"]
        assert (run["verdict"], run["what"]) == (None, "the disk is full")


def test_a_run_is_interrupted_when_the_control_ends(tmp_path: Path) -> None:
    with control_at(tmp_path, WAITS) as control:
        run = control.start().json()["id"]
        control.eventually(lambda told: told["run"]["done"] == 3)
    events = (control.runs / run / "events.jsonl").read_text()
    assert '"why": "interrupted"' in events


def test_a_run_is_not_started_on_a_broken_stack(control: Client) -> None:
    control.inject("kill", "web-1")
    refused = control.start()
    assert refused.status_code == 409
    assert "heal" in refused.json()["error"]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"experiment": "thunder"}, "thundering-herd"),
        ({"arms": ["magic"]}, "singleflight"),
        ({"arms": "lock"}, "list"),
        ({"full": "yes"}, "full"),
        ({"experiment": 3}, "experiment"),
    ],
)
def test_a_run_that_does_not_exist_is_refused_in_words(
    control: Client, said: dict[str, Any], words: str
) -> None:
    refused = control.start(**said)
    assert refused.status_code == 400
    assert words in refused.json()["error"]


@pytest.mark.parametrize("run", ["none", "..%2f..%2fetc", "%2e%2e", "."])
def test_only_reports_of_runs_are_served(control: Client, run: str) -> None:
    (control.runs.parent / "report.html").write_text("a secret")
    assert control.ask("GET", f"/runs/{run}/report").status_code == 404


# --- runs from outside -------------------------------------------------------------------------


def test_a_claim_keeps_others_out_until_it_is_given_back_or_lapses(control: Client) -> None:
    def claim(run: str) -> requests.Response:
        return control.ask("PUT", "/claim", {"run": run})

    assert claim("one").status_code == 200
    refused = claim("two")
    assert (refused.status_code, refused.json()["by"]) == (409, "one")
    assert control.inject("cut", "cache").status_code == 409
    assert "elsewhere" in control.ask("DELETE", "/runs/current").json()["error"]
    control.world.clock.sleep(4)
    assert claim("one").status_code == 200
    control.world.clock.sleep(4)
    assert claim("two").status_code == 409
    assert control.state()["run"] == {
        "id": "one", "experiment": "one", "what": "starting", "done": 0, "steps": 0,
        "state": "running", "verdict": None, "table": "", "report": False, "by": "outside",
    }  # fmt: skip

    assert control.ask("DELETE", "/claim", {"run": "two"}).status_code == 200  # not its to give
    assert claim("two").status_code == 409
    assert control.ask("DELETE", "/claim", {"run": "one"}).status_code == 200
    assert claim("two").status_code == 200
    control.world.clock.sleep(5)
    assert control.inject("cut", "cache").status_code == 201
    assert control.state()["run"] is None  # nothing is known of it here


def test_who_claims_the_lab_is_left_to_heal_it(control: Client) -> None:
    control.inject("slow", "replica", latency_ms=120)
    assert control.ask("PUT", "/claim", {"run": "one"}).status_code == 200
    told = control.state()
    assert told["links"]["replica"]["toxics"]
    assert told["faults"] == []


@pytest.mark.parametrize("run", [".", "..", "../runs", "a/b", "a\0b", "x" * 256, "é" * 128])
def test_a_run_is_called_as_a_directory_can_be(control: Client, run: str) -> None:
    for method in ("PUT", "DELETE"):
        refused = control.ask(method, "/claim", {"run": run})
        assert (refused.status_code, "directory" in refused.json()["error"]) == (400, True)
    assert control.ask("GET", f"/runs/{quote(run, safe='')}/report").status_code == 404
    control.world.clock.sleep(10)
    assert control.state()["run"] is None


STATUS = {
    "run": "one",
    "experiment": "thundering-herd",
    "what": "lock · round 1",
    "faults": [{"name": "replica link +120 ms", "since": "2026-11-21T12:00:00+00:00"}],
    "metrics": GENERATOR,
}


def test_a_status_is_shown_and_measured_while_it_is_fresh(control: Client) -> None:
    control.ask("PUT", "/claim", {"run": "one"})
    assert control.ask("PUT", "/status", STATUS).status_code == 200
    told = control.state()
    assert told["faults"] == [{"id": None, **STATUS["faults"][0]}]  # type: ignore[dict-item]
    assert (told["run"]["experiment"], told["run"]["what"]) == ("thundering-herd", "lock · round 1")
    figures = control.figures()
    assert figures["linkstorm_requests_sent_total{1}"] == 7
    assert figures["linkstorm_fault_active{replica link +120 ms}"] == 1
    assert figures["linkstorm_run_active{thundering-herd,lock · round 1}"] == 1

    control.world.clock.sleep(5)
    assert control.state()["faults"] == []
    assert "linkstorm_requests_sent_total{1}" not in control.figures()
    assert not any(name.startswith("linkstorm_run_active") for name in control.figures())


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {**STATUS, "faults": [{"name": "x"}]},
        {**STATUS, "metrics": "not { a figure"},
        {**STATUS, "faults": 3},
        {**STATUS, "faults": [{"name": None, "since": None}]},
        {**STATUS, "faults": ["x"]},
        {**STATUS, "metrics": None},
        {**STATUS, "what": 7},
        {**STATUS, "run": ["one"]},
    ],
)
def test_a_status_that_prometheus_or_the_page_could_not_read_is_refused(
    control: Client, wrong: dict[str, Any]
) -> None:
    assert control.ask("PUT", "/status", wrong).status_code == 400
    assert control.figures()


# --- figures -----------------------------------------------------------------------------------


def test_prometheus_gets_parts_links_and_faults(control: Client) -> None:
    healthy = control.figures()
    assert healthy["linkstorm_part_up{web-1}"] == healthy["linkstorm_link_open{cache}"] == 1
    assert healthy["linkstorm_part_paused{web-1}"] == healthy["linkstorm_toxics{cache}"] == 0
    assert healthy["linkstorm_faults_active{}"] == 0
    assert not any(name.startswith("linkstorm_fault_active") for name in healthy)

    control.inject("pause", "web-1")
    control.inject("kill", "web-2")
    control.inject("cut", "cache")
    control.inject("slow", "queue", latency_ms=3)
    broken = control.figures()
    assert (broken["linkstorm_part_up{web-1}"], broken["linkstorm_part_paused{web-1}"]) == (0, 1)
    assert (broken["linkstorm_part_up{web-2}"], broken["linkstorm_part_paused{web-2}"]) == (0, 0)
    assert broken["linkstorm_link_open{cache}"] == 0
    assert broken["linkstorm_toxics{queue}"] == 1
    assert broken["linkstorm_faults_active{}"] == 4
    assert broken["linkstorm_fault_active{queue link +3 ms}"] == 1


def test_the_newest_verdict_of_an_experiment_is_a_metric_beside_the_counts(control: Client) -> None:
    for moment, verdict in (("20260101-1", "FAIL"), ("20260101-2", "PASS"), ("20260101-0", "PASS")):
        run = control.runs / f"{moment}-herd"
        run.mkdir()
        (run / "verdict.json").write_text(f'{{"experiment": "herd", "verdict": "{verdict}"}}')
    (control.runs / "damaged").mkdir()
    (control.runs / "damaged" / "verdict.json").write_text("{")
    figures = control.figures()
    assert figures["linkstorm_runs_total{herd,PASS}"] == 2
    assert figures["linkstorm_runs_total{herd,FAIL}"] == 1
    assert figures["linkstorm_last_verdict{herd,PASS}"] == 1
    assert "linkstorm_last_verdict{herd,FAIL}" not in figures


def test_a_server_is_shown_with_what_it_says_of_itself_if_it_answers(
    control: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(url: str) -> Standing:
        if url.endswith("postgres-1"):
            raise StackError("connection refused")
        return Standing(leads=True, timeline=4, lsn_bytes=5e7)

    monkeypatch.setattr(server_watch, "standing", ask)
    figures = control.figures()

    shown = {name: figure for name, figure in figures.items() if "_server_" in name}
    assert shown == {
        "linkstorm_server_leads{postgres-2}": 1,
        "linkstorm_server_timeline{postgres-2}": 4,
        "linkstorm_server_lsn_bytes{postgres-2}": 5e7,
    }
