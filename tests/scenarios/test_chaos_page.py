"""The Chaos page as a server: access, forwarded requests, and additions to Locust's page."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.chaos.control.test_lab_control import TOKEN, Client, control_at
from tests.support.scenarios_lab import free_port, locust, running, server, wait_for_page

pytestmark = pytest.mark.real
SLOW = {"kind": "slow", "target": "replica", "latency_ms": 120}
FORM = {"user_count": "1", "spawn_rate": "1", "rate": "20"}


@dataclass
class Page:
    """Locust with the Chaos page, and the control behind it."""

    url: str
    control: Client

    @property
    def token(self) -> str:
        found = re.search(r'name="linkstorm-token" content="([^"]+)"', self.get("/chaos").text)
        assert found is not None
        return found[1]

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.url + path, headers=headers, timeout=10)

    def post(self, path: str, said: Any = None, **headers: str) -> requests.Response:
        return requests.post(self.url + path, json=said, headers=headers, timeout=10)

    def change(self, path: str, said: Any = None) -> requests.Response:
        """Send a change as the page does in a browser."""
        ours = {"X-Linkstorm-Token": self.token, "Origin": self.url}
        return self.post(path, said, **ours, **{"Sec-Fetch-Site": "same-origin"})


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("page")
    port = free_port()
    with (
        server() as shop,
        control_at(folder) as control,
        running(
            locust("--host", shop.url, "--web-host", "127.0.0.1", "--web-port", str(port)),
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={
                **os.environ,
                "LINKSTORM_CONTROL_URL": control.url,
                "LINKSTORM_CONTROL_TOKEN": TOKEN,
            },
        ),
    ):
        page = Page(f"http://127.0.0.1:{port}", control)
        wait_for_page(page.url)
        yield page


@pytest.fixture(autouse=True)
def healed(page: Page) -> Iterator[None]:
    yield
    page.control.world.clock.sleep(10)  # claims and statuses lapse
    assert page.control.ask("POST", "/heal").ok


def test_a_fault_is_injected_shown_and_healed_through_the_page(page: Page) -> None:
    fault = page.change("/chaos/faults", SLOW)
    assert fault.ok
    told = page.get("/chaos/state").json()
    assert told["faults"][0]["name"] == fault.json()["name"]
    assert told["links"]["replica"]["toxics"]
    assert told["traffic"]["state"] == "ready"
    assert page.change(f"/chaos/faults/{fault.json()['id']}/heal").ok
    assert page.control.state()["faults"] == []
    page.change("/chaos/faults", SLOW)
    assert page.change("/chaos/heal").ok
    assert page.control.state()["faults"] == []


def test_the_replica_of_a_dead_primary_is_promoted_through_the_page(page: Page) -> None:
    old, new = (page.get("/chaos/state").json()["roles"][role] for role in ("primary", "replica"))
    page.change("/chaos/faults", {"kind": "kill", "target": "primary"})
    promoted = page.change("/chaos/promote")
    assert promoted.ok
    assert promoted.json()["steps"][-1] == f"{old} follows it"
    assert page.get("/chaos/state").json()["roles"] == {"primary": new, "replica": old}


CHANGES = [
    "/chaos/faults", "/chaos/faults/1/heal", "/chaos/heal", "/chaos/promote",
    "/chaos/runs", "/chaos/runs/current/stop",
]  # fmt: skip


@pytest.mark.parametrize("path", CHANGES)
def test_nothing_changes_without_the_pages_token(page: Page, path: str) -> None:
    for token in ("", "guess", TOKEN, page.token[:-1]):
        refused = page.post(path, SLOW, **{"X-Linkstorm-Token": token, "Origin": page.url})
        assert refused.status_code == 403
        assert "load it again" in refused.json()["error"]
    assert page.control.state()["faults"] == []


@pytest.mark.parametrize("path", [*CHANGES, "/swarm", "/stop", "/user"])
@pytest.mark.parametrize(
    "foreign",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "https://{host}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://{host}"},
    ],
)
def test_another_site_changes_nothing_even_with_the_token(
    page: Page, path: str, foreign: dict[str, str]
) -> None:
    host = page.url.removeprefix("http://")
    headers = {name: value.format(host=host) for name, value in foreign.items()}
    refused = page.post(path, SLOW, **{"X-Linkstorm-Token": page.token}, **headers)
    assert refused.status_code == 403
    assert "another site" in refused.json()["error"]
    assert page.control.state()["faults"] == []
    assert page.get("/chaos/state").json()["traffic"]["state"] == "ready"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8089", "10.0.0.7", "127.0.0.1.x"])
def test_a_foreign_name_that_leads_here_gets_nothing(page: Page, host: str) -> None:
    for path in ("/chaos", "/chaos/state", "/chaos/runs/x/report"):
        refused = page.get(path, Host=host)
        assert refused.status_code == 403
        assert "127.0.0.1" in refused.json()["error"]
    token = page.token
    for path in ("/chaos/faults", "/swarm"):
        ours = {"Host": host, "Origin": f"http://{host}", "X-Linkstorm-Token": token}
        assert page.post(path, SLOW, **ours).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8089", "localhost:8089", "[::1]:8089", "127.0.0.2"])
def test_every_name_of_this_machine_will_do(page: Page, host: str) -> None:
    """A container's port may be published under another number than it has inside."""
    assert page.get("/chaos", Host=host).ok
    ours = {"Host": host, "Origin": f"http://{host}", "X-Linkstorm-Token": page.token}
    assert page.post("/chaos/heal", **ours).ok


@pytest.mark.parametrize("path", ["/chaos", "/chaos/state", "/", "/stats/requests", "/metrics"])
def test_no_other_site_may_read_an_answer(page: Page, path: str) -> None:
    for method in ("GET", "OPTIONS"):
        answer = requests.request(
            method,
            page.url + path,
            headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"},
            timeout=10,
        )
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_no_other_site_may_frame_the_page_or_run_scripts_in_it(page: Page) -> None:
    answer = page.get("/chaos")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.search(r"(https?:)?//", answer.text), "it must work offline"


def test_what_the_control_refuses_is_passed_on_in_its_words(page: Page) -> None:
    refused = page.change("/chaos/faults", {"kind": "slow", "target": "cache"})
    assert (refused.status_code, "latency_ms" in refused.json()["error"]) == (400, True)
    assert page.change("/chaos/faults/99/heal").status_code == 404
    page.control.ask("PUT", "/claim", {"run": "another"})
    for path in ("/chaos/faults", "/chaos/promote"):
        refused = page.change(path, SLOW)
        assert refused.status_code == 409
        assert "in use by another" in refused.json()["error"]
    assert page.change("/chaos/faults", ["nonsense"]).status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"latency_ms": NaN}'])
@pytest.mark.parametrize("path", ["/chaos/faults", "/chaos/runs"])
def test_a_bad_body_is_said_to_be_one(page: Page, path: str, body: bytes) -> None:
    ours = {"X-Linkstorm-Token": page.token, "Origin": page.url}
    refused = requests.post(page.url + path, data=body, headers=ours, timeout=10)
    assert refused.status_code == 400
    assert ("JSON" if body else "is missing") in refused.json()["error"]


def test_something_else_in_the_place_of_the_control_is_named(tmp_path: Path) -> None:
    port = free_port()
    with (
        server() as shop,
        running(
            locust("--host", shop.url, "--web-host", "127.0.0.1", "--web-port", str(port)),
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
            env={**os.environ, "LINKSTORM_CONTROL_URL": shop.url, "LINKSTORM_CONTROL_TOKEN": TOKEN},
        ),
    ):
        wait_for_page(url := f"http://127.0.0.1:{port}")
        told = requests.get(f"{url}/chaos/state", timeout=10)
        assert (told.status_code, "not the lab's control server" in told.json()["error"]) == (
            502,
            True,
        )
        assert requests.post(f"{url}/swarm", data=FORM, timeout=10).json()["success"]


def test_traffic_and_a_run_keep_out_of_each_others_way(page: Page) -> None:
    page.control.ask("PUT", "/claim", {"run": "20260101-herd"})
    told = requests.post(f"{page.url}/swarm", data=FORM, timeout=10).json()
    assert (told["success"], "is running" in told["message"]) == (False, True)
    page.control.world.clock.sleep(10)

    assert requests.post(f"{page.url}/swarm", data=FORM, timeout=10).json()["success"]
    refused = page.change("/chaos/runs", {"experiment": "thundering-herd"})
    assert (refused.status_code, "stop it first" in refused.json()["error"]) == (409, True)
    assert page.change("/stop").ok
    assert page.control.state()["run"] is None


def test_a_run_is_started_and_its_report_cannot_act_on_the_page(page: Page) -> None:
    started = page.change("/chaos/runs", {"experiment": "thundering-herd", "arms": ["lock"]})
    assert started.ok
    page.control.eventually(lambda told: told["run"]["state"] == "done")
    assert page.get("/chaos/state").json()["run"]["verdict"] == "PASS"
    report = page.get(f"/chaos/runs/{started.json()['id']}/report")
    assert "thundering-herd" in report.text
    assert report.headers["Content-Security-Policy"].startswith("sandbox allow-scripts;")
    assert page.get("/chaos/runs/none/report").status_code == 404
    assert page.get("/chaos/runs/..%2f..%2fx/report").status_code == 404


def test_locusts_page_leads_to_the_chaos_page_and_its_form_is_ours(page: Page) -> None:
    text = page.get("/").text
    assert 'href="/chaos"' in text
    for name in re.findall(r'(?:href|src)="(/linkstorm/[^"]+)"', text + page.get("/chaos").text):
        assert page.get(name).ok, name
    fields = re.findall(r'"(\w+)": \{"default_value"', text)
    assert fields == ["rate", "curve", "peak", "keys", "hot_share", "seed"]


def test_a_control_that_is_away_is_said_so(tmp_path: Path) -> None:
    port, nobody = free_port(), f"http://127.0.0.1:{free_port()}"
    token = tmp_path / "token"
    with (
        server() as shop,
        running(
            locust("--host", shop.url, "--web-host", "127.0.0.1", "--web-port", str(port)),
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
            env={
                **os.environ,
                "LINKSTORM_CONTROL_URL": nobody,
                "LINKSTORM_CONTROL_TOKEN_FILE": str(token),
            },
        ),
    ):
        wait_for_page(url := f"http://127.0.0.1:{port}")
        for _ in range(2):  # first without a token, then without a control
            away = requests.get(f"{url}/chaos/state", timeout=10)
            assert away.status_code == 502
            assert "does not answer" in away.json()["error"]
            token.write_text("a token\n")
        assert requests.get(f"{url}/chaos", timeout=10).ok
        assert requests.post(f"{url}/swarm", data=FORM, timeout=10).json()["success"]


def test_without_a_control_there_is_no_chaos_page_but_the_form_is_ours(tmp_path: Path) -> None:
    port = free_port()
    with (
        server() as shop,
        running(
            locust("--host", shop.url, "--web-host", "127.0.0.1", "--web-port", str(port)),
            stderr=subprocess.DEVNULL,
            cwd=tmp_path,
        ),
    ):
        wait_for_page(url := f"http://127.0.0.1:{port}")
        assert requests.get(f"{url}/chaos", timeout=10).status_code == 404
        text = requests.get(url, timeout=10).text
        assert "/linkstorm/form.css" in text
        assert "/chaos" not in text
