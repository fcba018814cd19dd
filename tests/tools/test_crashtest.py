"""The crash test can fail: each kind of leftover is planted, and found while it exists."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests
import typer

from chaos.runtimes.embedded.ports import HOST, reserved
from tools.crashtest.__main__ import crashtest
from tools.crashtest.lab_under_test import LabHome, LabUnderTest
from tools.crashtest.leftover_watch import LeftoverWatch, watching
from tools.crashtest.outcome import ALREADY_OVER, Moment, RoundOutcome
from tools.crashtest.round import wait_for

ROOT = Path(__file__).parents[2]
IPC_CREAT, IPC_RMID = 0o1000, 0
SEEN_S = 10.0

# An orphan runs in a session of its own, without environment or folder that would give it away.
SLEEP = "time.sleep(60)"
WITH_ZOMBIE = f"os.fork() or os._exit(0); {SLEEP}"
WITH_PORT = f"import socket; kept = socket.create_server(('{HOST}', {{port}})); {SLEEP}"
TOXIPROXY = (
    f"import runpy; sys.path.insert(0, '{ROOT}'); sys.argv = ['toxiproxy', '--port={{port}}']; "
    "runpy.run_module('chaos.toxiproxy', run_name='__main__')"
)
ORPHAN = """
import os, sys, time
os.chdir("/")
if os.fork(): os._exit(0)
os.setsid()
print(os.getpid(), flush=True)
os.dup2(os.open(os.devnull, os.O_RDWR), 1)
"""

Plant = Callable[[Path], AbstractContextManager[object]]


@contextmanager
def orphan(script: str, _: Path | None = None) -> Iterator[int]:
    """Start an orphan; yield its process id."""
    started = subprocess.run(
        [sys.executable, "-c", ORPHAN + script],
        env={},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    pid = int(started.stdout)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)


@contextmanager
def port(_: Path) -> Iterator[int]:
    with reserved(["left"]) as ports, orphan(WITH_PORT.format(port=ports["left"])):
        yield ports["left"]


@contextmanager
def toxic(_: Path) -> Iterator[str]:
    with reserved(["api", "link"]) as ports, orphan(TOXIPROXY.format(port=ports["api"])):
        api = f"http://{HOST}:{ports['api']}/proxies"
        link = {"name": "link", "listen": f"{HOST}:{ports['link']}", "upstream": f"{HOST}:1"}
        answers = partial(requests.post, timeout=SEEN_S)
        wait_until(lambda: is_there(lambda: answers(api, json=link)))
        answers(f"{api}/link/toxics", json={"type": "latency"}).raise_for_status()
        yield "latency on link"


@contextmanager
def folder(there: Path) -> Iterator[Path]:
    left = there / "linkstorm-left"
    left.mkdir()
    yield left
    left.rmdir()


@contextmanager
def system_v_segment(_: Path) -> Iterator[int]:
    libc = ctypes.CDLL(None)
    segment = libc.shmget(0, ctypes.c_size_t(4096), IPC_CREAT | 0o600)
    yield segment
    libc.shmctl(segment, IPC_RMID, None)


@contextmanager
def posix_segment(_: Path) -> Iterator[Path]:
    path = Path(f"/dev/shm/crashtest-{os.getpid()}")
    path.write_bytes(b"left")
    yield path
    path.unlink()


def is_there(call: Callable[[], requests.Response]) -> bool:
    try:
        return call().ok
    except requests.ConnectionError:
        return False


def wait_until(reached: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + SEEN_S
    while not reached():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def sees(watch: LeftoverWatch, what: str) -> bool:
    watch.note_ports()
    return any(line.startswith(what) for line in watch.left())


def test_rounds_whose_labs_all_ended_before_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(seed: int, _names: list[str]) -> RoundOutcome:
        return RoundOutcome(seed, "Ctrl-C", Moment("finished", 1.0), detail=ALREADY_OVER)

    monkeypatch.setattr("tools.crashtest.__main__.play_round", late)
    with pytest.raises(typer.Exit) as ended:
        crashtest(2, 1, ["Ctrl-C"])
    assert ended.value.exit_code == 3


def test_a_lab_too_slow_for_its_moment_is_reported_with_the_actual_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slow(seed: int, _names: list[str]) -> RoundOutcome:
        injected = Moment("up", 60.0) if seed == 2 else Moment("injected", 1.5)
        return RoundOutcome(seed, "Ctrl-C", Moment("injected", 1.5), injected, code=130)

    monkeypatch.setattr("tools.crashtest.__main__.play_round", slow)
    crashtest(3, 1, ["Ctrl-C"])
    output = capsys.readouterr().out
    assert "up + 60.00 s" in output
    assert output.count("planned for injected + 1.50 s") == 1
    assert "1 crashed earlier in the run than planned: the lab was too slow" in output


@pytest.mark.parametrize(
    ("meant", "phase", "later_s"),
    [(Moment("up", 0.1), "up", 0.1), (Moment("finished", 0.1), "injected", 0.3)],
    ids=["in time", "too slow"],
)
def test_the_moment_of_a_crash_is_taken_from_the_record_of_the_lab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, meant: Moment, phase: str, later_s: float
) -> None:
    monkeypatch.setattr("tools.crashtest.round.REACHED_S", 0.3)
    home = LabHome(tmp_path)
    home.run.mkdir(parents=True)
    (home.run / "events.jsonl").write_text('{"kind": "up"}\n{"kind": "injected"}\n')
    with (
        subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as it,
        watching() as watch,
    ):
        moment = wait_for(meant, LabUnderTest(home, watch, it))
    assert moment.phase == phase
    assert later_s - 0.01 <= moment.later_s < later_s + SEEN_S


@pytest.mark.parametrize(
    ("plant", "line"),
    [
        (partial(orphan, SLEEP), "process {}:"),
        (partial(orphan, WITH_ZOMBIE), "zombie"),
        (port, "port {}"),
        (toxic, "toxic {}"),
        (folder, "file {}"),
        (system_v_segment, "segment shmid {}"),
        (posix_segment, "segment {}"),
    ],
    ids=["process", "zombie", "port", "toxic", "folder", "System V segment", "POSIX segment"],
)
def test_what_is_left_is_seen_until_it_is_gone(tmp_path: Path, plant: Plant, line: str) -> None:
    with watching(tmp_path / "*") as watch:
        with plant(tmp_path) as planted:
            what = line.format(planted)
            wait_until(lambda: sees(watch, what))
        wait_until(lambda: not sees(watch, what))
