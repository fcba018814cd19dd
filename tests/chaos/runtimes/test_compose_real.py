"""A lab in containers, as a run finds it, uses it, and leaves it: also when the run is killed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import psutil
import pytest
from docker.models.containers import Container

from chaos.model.stack import Stack, StackError
from chaos.runtimes.compose.containers import PART, PROJECT
from chaos.runtimes.compose.runtime import ComposeRuntime

pytestmark = [pytest.mark.real, pytest.mark.alone, pytest.mark.timeout(180)]

LINKSTORM = [sys.executable, "-m", "chaos"]
HERD = [*LINKSTORM, "run", "thundering-herd", "--arm", "singleflight", "--runtime", "compose"]


@pytest.fixture
def lab(compose_lab: None) -> None:
    """A lab that is up, and that nobody uses at the moment."""


@contextmanager
def herd(runs: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*HERD, "--runs", str(runs)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def linkstorm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LINKSTORM, *arguments], capture_output=True, text=True, check=False)


def wait_for_toxic() -> None:
    deadline = time.monotonic() + 150
    while "latency" not in linkstorm("status").stdout:
        assert time.monotonic() < deadline, "no fault was injected"


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def all_gone(processes: list[psutil.Process], within_s: float = 10) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def test_what_a_killed_run_left_is_reported_and_healed(lab: None, tmp_path: Path) -> None:
    with herd(tmp_path) as process:
        wait_for_toxic()
        helpers = family(process)
        process.kill()
    assert all_gone(helpers)
    assert "link replica: latency" in linkstorm("status").stdout
    time.sleep(5)  # its claim lapses
    healed = linkstorm("heal")
    assert healed.returncode == 0, healed.stderr
    assert re.search("link replica: latency.*: healed", healed.stdout)
    assert "14 parts and links are as they should be" in linkstorm("status").stdout


def test_an_interrupted_run_heals_before_it_ends(lab: None, tmp_path: Path) -> None:
    with herd(tmp_path) as process:
        wait_for_toxic()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert "14 parts and links are as they should be" in linkstorm("status").stdout


def test_a_lab_serves_one_run_at_a_time(lab: None, tmp_path: Path) -> None:
    with (
        ComposeRuntime().up({}, tmp_path / "first" / "logs"),
        pytest.raises(StackError, match="in use by first"),
        ComposeRuntime().up({}, tmp_path / "second" / "logs"),
    ):
        pass


def test_a_run_leaves_the_default_settings(lab: None, tmp_path: Path) -> None:
    with ComposeRuntime().up({"CACHE_FILL": "direct"}, tmp_path / "run" / "logs"):
        assert settings_in_force() == {"SHORTENER_CACHE_FILL": "direct"}
    assert settings_in_force() == {}


def settings_in_force() -> dict[str, str]:
    said = container("web-1").exec_run(["cat", "/etc/shortener/settings.env"]).output
    assert isinstance(said, bytes)
    return dict(line.split("=", 1) for line in said.decode().splitlines())


def container(part: str) -> Container:
    labels = [f"{PART}={part}", f"{PROJECT}=linkstorm"]
    (found,) = docker.from_env().containers.list(all=True, filters={"label": labels})
    return found


def test_each_part_s_log_is_kept_with_the_run(lab: None, tmp_path: Path) -> None:
    with ComposeRuntime().up({}, tmp_path / "run" / "logs") as stack:
        stack.kill("web-1")
        stack.start("web-1")
        stack.configure({"CACHE_FILL": "direct"})
    assert '"ready"' in (tmp_path / "run" / "logs" / "web-1.log").read_text()


def test_a_foreign_project_s_containers_are_never_touched(compose_stack: Stack) -> None:
    image = container("web-1").attrs["Image"]
    labels = {PART: "worker", PROJECT: "somebody-else"}
    foreign = docker.from_env().containers.run(
        image,
        ["-c", "import time; time.sleep(60)"],
        entrypoint="python",
        labels=labels,
        detach=True,
    )
    try:
        compose_stack.kill("worker")
        compose_stack.heal()
        foreign.reload()
        assert foreign.status == "running"
        assert foreign.attrs["RestartCount"] == 0
    finally:
        foreign.remove(force=True)


@pytest.mark.parametrize("part", ["web-1", "worker", "nginx"])
def test_no_request_can_go_round_toxiproxy(compose_stack: Stack, part: str) -> None:
    """By name it finds no database, and by address it reaches none."""
    at = container("postgres-1").attrs["NetworkSettings"]["Networks"]["linkstorm_data"]["IPAddress"]
    assert re.match(r"\d+\.", at)
    for host, reached in [("postgres-1", False), (at, False), ("toxiproxy", True)]:
        port = 5433 if reached else 5432
        knock = ["timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{host}/{port}"]
        assert (container(part).exec_run(knock).exit_code == 0) is reached, (part, host)


def test_a_setting_that_the_containers_would_not_heed_is_refused(compose_stack: Stack) -> None:
    with pytest.raises(StackError, match=r"cannot set API_RATE_PER_S: their environment"):
        compose_stack.configure({"API_RATE_PER_S": "50"})
