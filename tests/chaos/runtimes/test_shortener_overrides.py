"""What the lab sets of the shortener in place of a default: the settings exist, and have effect."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
import yaml

from chaos.model.stack import Stack
from chaos.runtimes.embedded.lab_processes import members
from chaos.runtimes.embedded.part_commands import environment
from chaos.runtimes.topology import ROOT, SETTING_PREFIX, SHORTENER, port_names
from stack.shortener.settings import WebSettings, WorkerSettings
from tests.support.patience import PATIENT
from tests.support.shortener_process import eventually, process

PORTS = dict.fromkeys(port_names(), 1)
ADDRESSES = {"NAME", "LISTEN", "PRIMARY_URL", "REPLICA_URL", "CACHE_URL", "QUEUE_URL"}
STOPPED_S = 1.5  # well below the default of DRAIN_S; a look at the signal each 0.1 s is in it
QUEUE_LATENCY_MS = 400  # well above the lab's DRAIN_S, well below SHUTDOWN_TIMEOUT_S


def embedded(name: str) -> dict[str, str]:
    return _settings(environment(name, PORTS, {}))


def contained(name: str) -> dict[str, str]:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return _settings(compose["services"][name]["environment"])


def _settings(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(SETTING_PREFIX): value
        for name, value in variables.items()
        if name.startswith(SETTING_PREFIX) and name != f"{SETTING_PREFIX}SETTINGS_FILE"
    }


def overrides(settings: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in settings.items() if name not in ADDRESSES}


each_runtime = pytest.mark.parametrize("of", [embedded, contained])


@each_runtime
@pytest.mark.parametrize("name", SHORTENER)
def test_each_is_a_setting_that_exists(of: Any, name: str) -> None:
    known = {*WebSettings.model_fields, *WorkerSettings.model_fields}
    assert {setting.lower() for setting in of(name)} <= known


@pytest.mark.parametrize("name", SHORTENER)
def test_both_runtimes_override_the_same(name: str) -> None:
    assert set(overrides(embedded(name))) == set(overrides(contained(name)))


@contextmanager
def idle_connection(url: str) -> Iterator[HTTPConnection]:
    """A connection that has had a response, and is kept open."""
    with closing(HTTPConnection(urlsplit(url).netloc, timeout=10)) as connection:
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        yield connection


@each_runtime
def test_an_idle_connection_does_not_keep_a_web_process_of_the_lab_from_stopping(of: Any) -> None:
    given = {SETTING_PREFIX + name: value for name, value in overrides(of("web-1")).items()}
    saved_s = stopped_after_s({}) - stopped_after_s(given)
    assert saved_s > WebSettings.model_fields["drain_s"].default / 2


def stopped_after_s(settings: Mapping[str, str]) -> float:
    """Seconds that a web process with an idle connection takes to stop."""
    with process("web", settings) as web:
        eventually(web.serves)
        with idle_connection(web.url):
            began_s = time.monotonic()
            web.popen.terminate()
            assert web.popen.wait(timeout=30) == 0
            return time.monotonic() - began_s


@pytest.mark.real
def test_clicks_on_a_slow_queue_are_sent_before_a_web_process_of_the_lab_stops(
    stack: Stack,
) -> None:
    stack.configure(PATIENT)
    made = requests.post(
        f"{stack.endpoints.url}/api/links", json={"url": "https://example.org/"}, timeout=10
    )
    code = made.json()["code"]
    web = stack.endpoints.web["web-1"]
    (running,) = members(stack.workdir("web-1"))
    undo = stack.toxic("queue", "latency", "upstream", latency=QUEUE_LATENCY_MS)
    try:
        with idle_connection(web):
            clicks = [_click_id(f"{web}/{code}") for _ in range(20)]
            began_s = time.monotonic()
            running.terminate()
            running.wait(30)
            stopped_s = time.monotonic() - began_s
    finally:
        undo()
        stack.start("web-1")
    assert stopped_s < STOPPED_S + 2 * QUEUE_LATENCY_MS / 1000
    eventually(lambda: _stored(stack, code) == sorted(clicks), within_s=30)


def _click_id(url: str) -> str:
    return requests.get(url, allow_redirects=False, timeout=10).headers["X-Click-Id"]


def _stored(stack: Stack, code: str) -> list[str]:
    with psycopg.connect(stack.endpoints.primary) as database:
        rows = database.execute("SELECT click_id FROM clicks WHERE code = %s", (code,))
        return sorted(click_id for (click_id,) in rows)
