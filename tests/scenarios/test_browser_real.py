"""The pages in a real browser: start traffic, break a link, heal it, run an experiment."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from chaos.record.run_directories import RUNS
from chaos.runtimes.compose.containers import Containers
from chaos.runtimes.compose.docker_engine import engine
from chaos.runtimes.compose.runtime import why_not_up
from tests.support.running_labs import temporary_home
from tests.support.scenarios_lab import free_port

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on PATH: install the package chromium"),
]
ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SOON_MS, UP_MS, RUN_MS = 10_000, 60_000, 100_000
ENDS = "Ctrl-C stops it all.\n"


@dataclass(frozen=True)
class Lab:
    """`linkstorm locust` or a lab in containers: its addresses, and the runs of before."""

    page: str
    toxiproxy: str
    runs: Path
    earlier: frozenset[Path] = frozenset()

    def record(self) -> Path:
        """The verdict of the one run since the test began."""
        (new,) = set(self.runs.glob("*-thundering-herd/verdict.json")) - self.earlier
        return new

    def toxics(self) -> list[str]:
        proxies = requests.get(f"{self.toxiproxy}/proxies", timeout=5).json()
        return [f"{p['name']} {t['type']}" for p in proxies.values() for t in p["toxics"]]


@contextmanager
def playing() -> Iterator[Lab]:
    with temporary_home() as home, subprocess.Popen(
        [*(sys.executable, "-m", "chaos", "locust", "--locust-port", str(free_port())),
         *("--runs", str(home / "runs"))],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            told = dict(line.split(maxsplit=1) for line in iter(process.stdout.readline, ENDS))
            yield Lab(told["Locust"].strip(), told["Toxiproxy"].strip(), home / "runs")
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def wait_for_page(url: str) -> None:
    end = time.monotonic() + UP_MS / 1000
    while True:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(url, timeout=5).ok:
                return
        assert time.monotonic() < end, f"nothing answers at {url}"
        time.sleep(0.1)


def in_containers() -> Lab:
    if why_not_up() is not None:
        pytest.skip("no lab in containers is up: `make up` starts one")
    with engine() as client:
        containers = Containers(client)
        at = {name: "http://{}:{}".format(*a) for name, a in containers.addresses().items()}
        for part in ("locust", "locust-worker"):  # its page opens as after `make up`: no run before
            containers[part].restart(timeout=5)
    wait_for_page(at["locust"])
    earlier = frozenset(RUNS.glob("*-thundering-herd/verdict.json"))
    return Lab(at["locust"], at["toxiproxy"], RUNS, earlier)


@pytest.fixture(
    scope="module", params=["embedded", pytest.param("compose", marks=pytest.mark.alone)]
)
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    if request.param == "compose":
        yield in_containers()
        return
    with playing() as lab:
        yield lab


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(SOON_MS)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    page.close()
    assert problems == []


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def field(page: Page, name: str) -> Locator:
    return page.get_by_label(re.compile(rf"^{name} \("))


def shown_rate(page: Page) -> Locator:
    return page.get_by_text("RPS", exact=True).locator("xpath=following-sibling::*")


def test_traffic_a_slow_link_and_a_herd_as_a_person_meets_them(lab: Lab, page: Page) -> None:
    page.goto(lab.page)
    start_edit_and_watch_traffic(page)

    page.get_by_role("link", name="Chaos").click()
    slow_a_link_and_heal_it(lab, page)

    expect(button(page, "Start thundering-herd")).to_be_disabled()
    expect(page.get_by_text("Locust's own traffic is running")).to_be_visible()
    page.get_by_role("link", name="Traffic").click()
    button(page, "Stop").click()
    expect(button(page, "New")).to_be_visible()

    page.get_by_role("link", name="Chaos").click()
    see_a_herd_and_its_verdict(lab, page)


def start_edit_and_watch_traffic(page: Page) -> None:
    for hidden in ("Number of users", "Ramp up"):
        expect(field(page, hidden)).to_be_hidden()
    for name in ("Rate", "Curve", "Peak", "Keys", "Hot Share", "Run time"):
        expect(field(page, name)).to_be_visible()
    field(page, "Rate").fill("80")
    field(page, "Keys").fill("20")
    field(page, "Run time").fill("5m")
    button(page, "Start").click()
    expect(page.get_by_text("RUNNING")).to_be_visible()
    expect(shown_rate(page)).to_have_text(re.compile(r"^[5-9]\d(\.\d+)?$"), timeout=UP_MS)

    button(page, "Edit").click()
    field(page, "Rate").fill("160")
    button(page, "Update").click()
    expect(shown_rate(page)).to_have_text(re.compile(r"^1[2-9]\d(\.\d+)?$"), timeout=UP_MS)


def slow_a_link_and_heal_it(lab: Lab, page: Page) -> None:
    expect(page.get_by_text("8 of 8 up")).to_be_visible()
    expect(page.locator("#summary-traffic")).to_have_text(re.compile(r"^1\d\d/s$"))
    page.get_by_role("button", name="link cache: open").click()
    expect(page.get_by_label("Part or link")).to_have_value("link:cache")
    page.get_by_label("Milliseconds").fill("30")
    button(page, "Slow down").click()
    expect(page.get_by_role("button", name="link cache: slow +30 ms")).to_be_visible()
    expect(page.get_by_role("region", name="Broken now")).to_contain_text("cache link +30 ms")
    assert lab.toxics() == ["cache latency"]
    button(page, "Heal cache link +30 ms").click()
    expect(page.get_by_text("Nothing is broken.")).to_be_visible()
    assert lab.toxics() == []


def see_a_herd_and_its_verdict(lab: Lab, page: Page) -> None:
    herd = page.get_by_role("listitem").filter(has_text="thundering-herd")
    herd.get_by_label("Fixes").select_option("lock")
    button(page, "Start thundering-herd").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(button(page, "Slow down")).to_be_disabled()
    expect(page.get_by_text(re.compile("round [12]")).first).to_be_visible(timeout=UP_MS)
    expect(page.locator("#verdict")).to_be_visible(timeout=RUN_MS)
    result = json.loads(lab.record().read_text(encoding="utf-8"))
    herds = {a["name"]: a["measures"]["origin_queries_per_expiry"]["value"] for a in result["arms"]}
    assert herds["direct"] > 10 > 1.5 > herds["lock"]
    expect(page.locator("#verdict")).to_contain_text(result["verdict"])
    table = page.get_by_label("Result of the run")
    standing = "unproven" if result["verdict"] == "INVALID" else "shown"
    for word in ("direct", "lock", standing, "proven"):
        expect(table).to_contain_text(word)
    with page.expect_popup() as opened:
        page.get_by_role("link", name="Open the report").click()
    expect(opened.value.get_by_text("thundering-herd").first).to_be_visible()
    opened.value.close()
    expect(button(page, "Start thundering-herd")).to_be_enabled()


def test_every_part_is_broken_and_healed_with_the_keyboard_alone(lab: Lab, page: Page) -> None:
    page.goto(f"{lab.page}/chaos")
    expect(page.get_by_text("8 of 8 up")).to_be_visible()
    page.get_by_role("button", name="part web-2: up").focus()
    page.keyboard.press("Enter")
    button(page, "Pause").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="part web-2: paused")).to_be_visible()
    page.get_by_label("Part or link").select_option("part:worker")
    button(page, "Kill").focus()
    page.keyboard.press("Space")
    expect(page.get_by_text("6 of 8 up")).to_be_visible()
    button(page, "Heal all").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("8 of 8 up")).to_be_visible(timeout=UP_MS)


def test_what_the_lab_refuses_is_shown_in_words(lab: Lab, browser: Browser, page: Page) -> None:
    page.goto(f"{lab.page}/chaos")
    page.get_by_label("Part or link").select_option("link:queue")
    button(page, "Cut").click()
    expect(page.get_by_role("button", name="link queue: cut")).to_be_visible()
    stale = browser.new_page()
    stale.goto(f"{lab.page}/chaos")
    stale.get_by_label("Part or link").select_option("link:queue")
    expect(button(stale, "Heal")).to_be_visible()
    stale.route("**/chaos/state", lambda route: route.abort())
    button(page, "Heal").click()
    expect(page.get_by_text("Nothing is broken.")).to_be_visible()
    button(stale, "Heal").click()
    expect(stale.get_by_role("alert")).to_contain_text("not in force any more")
    expect(stale.locator("#offline")).to_contain_text("Is the lab still up?")
    stale.close()


def test_the_replica_is_promoted_by_its_button_and_refused_in_words_without_one(
    lab: Lab, page: Page
) -> None:
    page.goto(f"{lab.page}/chaos")
    expect(page.get_by_text("8 of 8 up")).to_be_visible()
    servers = page.get_by_role("region", name="Postgres servers")
    old = see_its_roles(servers, "postgres-1")
    new = "postgres-2" if old == "postgres-1" else "postgres-1"
    button(page, "Promote the replica").click()
    expect(servers.get_by_role("status")).to_have_text(
        f"Postgres-{new[-1]} is the primary, and has all that {old} acknowledged."
        f" Postgres-{old[-1]} follows it.",
        timeout=UP_MS,
    )
    expect(servers.get_by_role("listitem").filter(has_text=new)).to_contain_text("primary, up")
    expect(servers.get_by_role("listitem").filter(has_text=old)).to_contain_text("replica, up")

    page.get_by_label("Part or link").select_option(f"part:{old}")
    button(page, "Kill").click()
    expect(servers.get_by_role("listitem").filter(has_text=old)).to_contain_text("down")
    button(page, "Promote the replica").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Nothing can be promoted: no server is the replica now.")
    button(page, "Heal all").click()
    expect(page.get_by_text("8 of 8 up")).to_be_visible(timeout=UP_MS)
    expect(servers.get_by_role("listitem").filter(has_text=old)).to_contain_text("replica, up")


def see_its_roles(servers: Locator, first: str) -> str:
    """Return the primary's name."""
    for role in ("primary", "replica"):
        expect(servers.get_by_role("listitem").filter(has_text=f"{role}, up")).to_have_count(1)
    words = servers.get_by_role("listitem").filter(has_text=first).inner_text()
    return first if "primary" in words else "postgres-2"


@pytest.mark.parametrize("path", ["/", "/chaos"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_narrow_screen_needs_no_scrolling_sideways(
    lab: Lab, browser: Browser, path: str, theme: str
) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=theme)  # type: ignore[arg-type]
    page.goto(lab.page + path)
    expect(page.get_by_role("navigation", name="linkstorm")).to_be_visible()
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
