"""Locust's start form: wrong values get a message, and the next right start sends traffic."""

from __future__ import annotations

import errno
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenarios.test_locust_real import figures
from tests.support.scenarios_lab import (
    LOCUSTFILE,
    Server,
    fetch,
    free_port,
    locust,
    running,
    server,
    wait_for_page,
)

pytestmark = pytest.mark.real
ENOUGH = {"user_count": "1", "spawn_rate": "1", "rate": "50", "curve": "steady", "peak": "1000"}


@dataclass
class Form:
    """Locust's form, and the shortener that receives the traffic."""

    page: str
    shop: Server

    def start(self, **fields: str) -> dict[str, Any]:
        """Locust's answer, which its page shows if the start failed."""
        given = {"host": self.shop.url, **ENOUGH, **fields}
        answer: dict[str, Any] = json.loads(fetch(f"{self.page}/swarm", **given))
        return answer

    def stop(self) -> None:
        fetch(f"{self.page}/stop", really="yes")

    @property
    def workers(self) -> int:
        return len(json.loads(fetch(f"{self.page}/stats/requests"))["workers"])

    @property
    def state(self) -> str:
        """As the page has it; `/stats/requests` may be two seconds old."""
        (state,) = re.findall(r'"state": "(\w+)"', fetch(self.page))
        return str(state)

    @property
    def sent(self) -> float:
        return figures(fetch(f"{self.page}/metrics"))["linkstorm_requests_sent_total"]

    def sends(self) -> None:
        """A right start has requests sent within seconds."""
        before = self.sent
        assert self.start(keys="3")["success"]
        eventually(lambda: self.sent > before + 20)
        self.stop()
        eventually(lambda: self.state in ("stopped", "ready"))


def eventually(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def form_with(folder: Path, *options: str, mode: str = "ok") -> Iterator[Form]:
    port = free_port()
    web = ("--web-host", "127.0.0.1", "--web-port", str(port))
    with (
        server(mode) as shop,
        running(locust(*web, *options), stderr=subprocess.DEVNULL, cwd=folder),
    ):
        wait_for_page(page := f"http://127.0.0.1:{port}")
        yield Form(page, shop)


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Form]:
    with form_with(tmp_path_factory.mktemp("form")) as form:
        yield form


WRONG = [
    ("rate", "0", "greater than 0"), ("rate", "-5", "greater than 0"), ("rate", "abc", "a number"),
    ("rate", "", "a number"), ("rate", "nan", "finite number"), ("rate", "inf", "finite number"),
    ("rate", "1e300", "100000"), ("curve", "", "steady"), ("curve", "square", "steady"),
    ("keys", "0", "1 to 100000"), ("keys", "-1", "1 to 100000"), ("keys", "1.5", "whole number"),
    ("keys", "9" * 400, "1 to 100000"), ("keys", "9" * 5000, "whole number"),
    ("hot_share", "1.5", "less than or equal to 1"),
    ("hot_share", "-0.1", "greater than or equal to 0"),
    ("hot_share", "", "a number"), ("hot_share", "nan", "finite number"),
    ("seed", "-1", "from 0"), ("seed", "1.5", "whole number"), ("seed", "9" * 30, "from 0"),
    ("run_time", "abc", "1h20m"), ("run_time", "-5s", "1h20m"), ("run_time", "0", "from 1"),
    ("run_time", "9" * 30 + "s", "1h20m"), ("run_time", "9" * 30, "from 1"),
    ("max_in_flight", "0", "at least 1"), ("max_in_flight", "x", "whole number"),
    ("user_count", "x", "whole number"), ("spawn_rate", "x", "a number"),
    ("host", "", "http://127.0.0.1:8080"), ("host", "127.0.0.1:80", "http://127.0.0.1:8080"),
    ("host", "ftp://127.0.0.1", "http://"), ("host", "http://", "http://127.0.0.1:8080"),
    ("host", "http://127.0.0.1:99999", "http://"), ("host", "http://127.0.0.1:0", "http://"),
    ("host", "http://127.0.0.1:x", "http://"), ("host", "http://[::1", "http://"),
    ("host", "http://me:secret@127.0.0.1", "http://"), ("host", " http://127.0.0.1", "http://"),
    ("host", "http://127.0.0.1/a b", "http://"), ("host", "http://127.0.0.1/?a=b", "http://"),
    ("host", "http://127.0.0.1/#a", "http://"), ("host", "http://127.0.0.1:1", "cannot reach"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value", "why"), WRONG)
def test_a_wrong_field_is_named_and_starts_nothing(
    form: Form, field: str, value: str, why: str
) -> None:
    sent = form.sent
    told = form.start(**{field: value})
    assert not told["success"]
    assert told["message"].startswith("cannot reach" if why == "cannot reach" else field)
    assert why in told["message"]
    assert len(told["message"]) < 200
    assert form.state in ("ready", "stopped")
    assert form.sent == sent


def test_a_peak_counts_only_where_the_curve_has_one(form: Form) -> None:
    for peak, why in [("1", "at least 50"), ("inf", "finite number"), ("1e9", "100000")]:
        told = form.start(curve="viral", peak=peak)
        assert not told["success"]
        assert told["message"].startswith("peak")
        assert why in told["message"]
    assert form.start(curve="steady", peak="1")["success"]
    form.stop()


def test_the_right_values_after_wrong_ones_send(form: Form) -> None:
    form.start(rate="0")
    form.start(rate="abc", keys="7")
    form.start(host="http://127.0.0.1:1")
    form.sends()


def test_a_host_with_a_path_gets_requests_below_it(form: Form) -> None:
    assert form.start(host=form.shop.url + "/below/")["success"]
    before = form.sent
    eventually(lambda: form.sent > before)
    form.stop()


@pytest.mark.parametrize("name", ["[::1]", "localhost"])
def test_a_host_may_be_on_ipv6(form: Form, name: str) -> None:
    """A server on 127.0.0.1 is found even if localhost resolves to ::1 first."""
    with socket.socket(socket.AF_INET6) as probe:
        if probe.connect_ex(("::1", 1)) != errno.ECONNREFUSED:
            pytest.skip("this machine has no IPv6 on its loopback")
    with server(host="::1" if name == "[::1]" else "127.0.0.1") as shop:
        port = shop.url.rpartition(":")[2]
        before = form.sent
        assert form.start(host=f"http://{name}:{port}")["success"]
        eventually(lambda: form.sent > before + 5)
        eventually(lambda: shop.seen()["redirects"] > 5)
        form.stop()


def test_a_wrong_edit_leaves_the_traffic_as_it_is(form: Form) -> None:
    assert form.start(rate="100")["success"]
    before = form.sent
    eventually(lambda: form.sent > before)
    for wrong in ({"rate": "900", "seed": "-1"}, {"rate": "900", "user_count": "x"}):
        assert not form.start(**wrong)["success"]
    time.sleep(1.0)
    before, began_s = form.sent, time.monotonic()
    time.sleep(1.5)
    assert form.sent - before < 300 * (time.monotonic() - began_s)
    assert form.state == "running"
    form.stop()


def test_an_emptied_run_time_means_no_end(form: Form) -> None:
    assert form.start(run_time="1")["success"]
    eventually(lambda: form.state == "stopped")
    assert form.start(run_time="")["success"]
    time.sleep(3.5)
    before = form.sent
    eventually(lambda: form.sent > before)
    assert form.state == "running"
    form.stop()


def test_a_longer_run_time_is_filled_with_traffic(form: Form) -> None:
    assert form.start(run_time="2")["success"]
    time.sleep(0.5)
    assert form.start(run_time="60")["success"]
    time.sleep(3.0)
    before = form.sent
    eventually(lambda: form.sent > before)
    form.stop()


def test_a_host_that_breaks_down_spoils_only_the_test_it_breaks(tmp_path: Path) -> None:
    with form_with(tmp_path, mode="stingy") as form, server() as another:
        assert form.start()["success"]
        eventually(lambda: form.state == "stopped")
        (failed,) = json.loads(fetch(f"{form.page}/exceptions"))["exceptions"]
        assert "no links today" in failed["msg"]
        before = form.sent
        assert form.start(host=another.url)["success"]
        eventually(lambda: form.sent > before + 20)


def test_a_start_right_after_a_failure_is_not_taken_for_an_edit(form: Form) -> None:
    with server("stingy") as broken:
        assert form.start(host=broken.url)["success"]
        eventually(lambda: "no links today" in fetch(f"{form.page}/exceptions"))
        before = form.sent
        assert form.start()["success"]
        eventually(lambda: form.sent > before + 20)
        form.stop()


def test_links_that_are_gone_are_made_again(form: Form) -> None:
    """The shortener has lost everything since the last test, and serves under the same address."""
    with server() as forgetful:
        assert form.start(host=forgetful.url, keys="4")["success"]
        eventually(lambda: forgetful.seen()["links"] == 4)
        form.stop()
        eventually(lambda: form.state == "stopped")
        fetch(f"{forgetful.url}/forget")
        assert form.start(host=forgetful.url, keys="4")["success"]
        eventually(lambda: form.state == "stopped")
        before = form.sent
        assert form.start(host=forgetful.url, keys="4")["success"]
        eventually(lambda: form.sent > before + 20)
        form.stop()


@pytest.mark.alone
def test_workers_behind_a_master_send_after_a_wrong_start_too(tmp_path: Path) -> None:
    bind = str(free_port())
    with form_with(tmp_path, "--master", "--master-bind-port", bind) as form, ExitStack() as crew:
        told = form.start()
        assert (told["success"], "worker" in told["message"]) == (False, True)
        for _ in range(2):
            worker = locust("--worker", "--master-port", bind)
            crew.enter_context(running(worker, stderr=subprocess.DEVNULL, cwd=tmp_path))
        eventually(lambda: form.workers == 2)
        assert not form.start(rate="0")["success"]
        with server("stingy") as broken:
            assert form.start(host=broken.url)["success"]
            eventually(lambda: form.state == "stopped")
        form.sends()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--rate", "0"), "rate: input should be greater than 0"),
        (("--seed", "-1"), "seed must be from 0"),
        (("--headless",), "host must be like"),
        (("--host", "127.0.0.1:80"), "host must be like"),
    ],
)
def test_a_wrong_command_line_ends_with_2_before_anything_starts(
    tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    web = () if "--headless" in options else ("--web-port", str(free_port()))
    told = subprocess.run(
        locust(*web, *options), capture_output=True, text=True, timeout=30, check=False,
        cwd=tmp_path,
    )  # fmt: skip
    assert told.returncode == 2
    assert why in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.alone
def test_a_worker_in_a_container_is_healthy_once_its_master_has_it(tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / "docker-compose.yml"
    services = yaml.safe_load(file.read_text(encoding="utf-8"))["services"]
    _, python, flags, script = services["locust-worker"]["healthcheck"]["test"]
    assert python == "python"
    bind = str(free_port())
    with form_with(tmp_path, "--master", "--master-bind-port", bind) as form:
        probe = [sys.executable, flags, script.replace("http://locust:8089", form.page)]
        assert subprocess.run(probe, check=False, timeout=10).returncode == 1
        worker = locust("--worker", "--master-port", bind)
        with running(worker, stderr=subprocess.DEVNULL, cwd=tmp_path):
            eventually(lambda: subprocess.run(probe, check=False, timeout=10).returncode == 0)
            assert form.start()["success"]
            eventually(lambda: form.sent > 20)
        eventually(lambda: subprocess.run(probe, check=False, timeout=10).returncode == 1)
    stranger = script.replace("http://locust:8089", form.page)
    gone = subprocess.run([sys.executable, flags, stranger], check=False, capture_output=True)
    assert gone.returncode == 1


ASKED_TWICE = """
from types import SimpleNamespace as Some
import locust, gevent
from scenarios.coordination import TrafficWorker

asked, listeners = [], []
runner = Some(
    register_message=lambda _, listener: listeners.append(listener),
    send_message=lambda _, number: asked.append(number),
)
worker = TrafficWorker(Some(runner=runner))
stopped = gevent.spawn(worker.request_stream)
gevent.sleep(0)
stopped.kill()
running = gevent.spawn(worker.request_stream)
gevent.sleep(0)
for number, code in zip(asked, ["old", "new"]):
    listeners[0](msg=Some(data={"request": number, "assignment": [0, 1, 1.0, [code]]}))
    gevent.sleep(0)
print(running.get(timeout=5).codes)
"""


def test_an_answer_for_a_test_that_was_stopped_is_not_taken_by_the_next() -> None:
    """In a process of its own: importing Locust patches the standard library."""
    told = subprocess.run(
        [sys.executable, "-c", ASKED_TWICE], cwd=LOCUSTFILE.parents[1], capture_output=True,
        text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (told.returncode, told.stdout) == (0, "['new']\n"), told.stderr
