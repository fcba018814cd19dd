"""Nothing of a lab is left behind, however it ends and whenever."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chaos.model.stack import PartDied
from chaos.runtimes.embedded.guardian_client import guarded
from chaos.runtimes.embedded.lab_processes import members
from chaos.runtimes.embedded.runtime import EmbeddedRuntime
from chaos.runtimes.environment import clean_environment
from tests.support.running_labs import GONE_S, lab_process, left_after, temporary_home
from tools.crashtest.leftover_watch import watching

pytestmark = pytest.mark.real

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("stubborn", flush=True)
time.sleep(60)
"""


def listens(url: str) -> bool:
    address = urlsplit(url)
    with socket.socket() as client:
        return client.connect_ex((address.hostname, address.port)) == 0


def test_a_lab_that_ends_leaves_no_process_port_memory_or_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with temporary_home() as home, watching(home / "*") as watch:
        monkeypatch.setenv("TMPDIR", str(home))
        with EmbeddedRuntime().up({}, tmp_path) as stack:
            at = stack.endpoints
            everything = [at.url, at.worker, at.primary, at.replica, at.redis, at.toxiproxy]
            everything += [*at.web.values(), *at.links.values()]
            assert all(listens(url) for url in everything)
            stack.kill("primary")  # whose shared memory it can no longer remove itself
            stack.pause("replica")
        assert not any(listens(url) for url in everything)
        assert not left_after(watch, GONE_S)


def test_an_error_in_a_lab_ends_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with temporary_home() as home:
        monkeypatch.setenv("TMPDIR", str(home))
        with pytest.raises(ZeroDivisionError), EmbeddedRuntime().up({}, tmp_path):
            raise ZeroDivisionError
        assert not members(home)
        assert not list(home.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("after_s", [0.05, 0.3, 0.8, 1.3])
def test_a_lab_that_is_ended_while_it_starts_leaves_nothing(
    number: signal.Signals, after_s: float
) -> None:
    with temporary_home() as home, lab_process(home) as lab:
        assert lab.line() == "imported"
        time.sleep(after_s)
        lab.process.send_signal(number)
        lab.process.wait(GONE_S)
        assert not lab.left_after(GONE_S)


def test_a_second_ctrl_c_leaves_nothing_either() -> None:
    with temporary_home() as home, lab_process(home) as lab:
        assert [lab.line(), lab.line()[:7]] == ["imported", "http://"]
        for _ in range(2):
            lab.process.send_signal(signal.SIGINT)
            time.sleep(0.03)
        lab.process.wait(GONE_S)
        assert not lab.left_after(GONE_S)


def test_without_its_guardian_the_lab_reports_that_and_tidies_up_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with temporary_home() as home:
        monkeypatch.setenv("TMPDIR", str(home))
        with guarded(sys.executable, clean_environment(), tmp_path / "guardian.log") as guardian:
            sleeper = subprocess.Popen(["sleep", "60"], cwd=guardian.folder)
            guardian.check()
            guardian.process.kill()
            guardian.process.wait()
            with pytest.raises(PartDied, match="guardian"):
                guardian.check()
        assert sleeper.wait(GONE_S) == -signal.SIGTERM
        assert not list(home.iterdir())


def test_stubborn_and_stopped_processes_and_orphans_end_with_the_lab(tmp_path: Path) -> None:
    with guarded(sys.executable, clean_environment(), tmp_path / "guardian.log") as guardian:
        folder = guardian.folder
        stubborn = subprocess.Popen(
            [sys.executable, "-c", STUBBORN], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        assert stubborn.stdout is not None
        assert stubborn.stdout.readline() == "stubborn\n"
        stopped = subprocess.Popen(["sleep", "60"], cwd=folder)
        os.kill(stopped.pid, signal.SIGSTOP)
        subprocess.run(["sh", "-c", "setsid sleep 60 &"], cwd=folder, check=True)
        assert len(members(folder)) == 3
    assert [stubborn.wait(GONE_S), stopped.wait(GONE_S)] == [-signal.SIGKILL, -signal.SIGTERM]
    stubborn.stdout.close()
    assert not folder.exists()
    assert not members(folder)


def test_no_part_holds_the_pipe_of_the_guardian(tmp_path: Path) -> None:
    with (
        guarded(sys.executable, clean_environment(), tmp_path / "guardian.log") as guardian,
        subprocess.Popen(["sleep", "60"], cwd=guardian.folder) as child,
    ):
        assert guardian.process.stdin is not None
        pipe = Path(f"/proc/self/fd/{guardian.process.stdin.fileno()}").readlink()
        held = []
        for path in Path(f"/proc/{child.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it closed that one while it started
                held.append(path.readlink())
        child.kill()
    assert pipe not in held
