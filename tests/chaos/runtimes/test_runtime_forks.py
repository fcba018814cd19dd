"""Forked processes are what `python -m` would have made of the same program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from chaos.model.stack import PartDied, StackError
from chaos.runtimes.embedded.fork_client import UNKNOWN, Forked, ForkServerClient
from chaos.runtimes.environment import clean_environment

PROGRAM = """
import gc, json, os, pathlib, signal, sys, time
print(json.dumps({
    "name": __name__, "file": __file__, "arguments": sys.argv[1:], "folder": os.getcwd(),
    "environment": dict(os.environ), "zone": time.tzname, "leads": os.getsid(0) == os.getpid(),
    "input": sys.stdin.read(), "descriptors": sorted(os.listdir("/proc/self/fd"))[:-1],
    "signals": [repr(signal.getsignal(one)) for one in sorted(signal.valid_signals())],
    "held": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())), "collects": gc.isenabled(),
}), flush=True)
match sys.argv[1:]:
    case ["exit", code]:
        sys.exit(int(code))
    case ["fail"]:
        raise ValueError("on purpose")
    case ["stay"]:
        time.sleep(60)
"""
IDENTITY = """
import random
from stack.shortener.http import request_ids
from stack.shortener.infra import metrics
(sample,) = metrics.start_time().samples
print(request_ids.of(None).decode(), sample.value, random.random(), flush=True)
"""


class Place:
    """A folder with programs, and a fork server that works beside them."""

    def __init__(self, home: Path, *modules: str) -> None:
        self.home = home
        self.log = home / "program.log"
        self.environment = clean_environment()
        self.environment["PYTHONPATH"] += f"{os.pathsep}{home}"
        self.folder = home / "part"
        self.folder.mkdir()
        (home / "program.py").write_text(PROGRAM)
        (home / "identity.py").write_text(IDENTITY)
        server_log = home / "forkserver.log"
        self.forks = ForkServerClient(sys.executable, modules, home, self.environment, server_log)

    def fork(self, *command: str, **variables: str) -> Forked:
        environment = {**self.environment, **variables}
        return self.forks.fork([sys.executable, "-m", *command], self.folder, environment, self.log)

    def said(self) -> dict[str, Any]:
        """What a `program` that runs says of itself."""
        deadline_s = time.monotonic() + 10
        while not self.log.exists() or "\n" not in self.log.read_text():
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        told: dict[str, Any] = json.loads(self.log.read_text().splitlines()[0])
        return told

    def server(self) -> psutil.Process:
        (server,) = (
            child
            for child in psutil.Process().children()
            if child.status() != psutil.STATUS_ZOMBIE  # another test's, not yet waited for
            and "chaos.runtimes.embedded.fork_server" in child.cmdline()
            and child.cwd() == str(self.home)
        )
        return server


def ends(server: psutil.Process) -> None:
    """Wait until it is a zombie, and leave its exit code to its parent."""
    deadline_s = time.monotonic() + 10
    while server.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@contextmanager
def place(home: Path, *modules: str) -> Iterator[Place]:
    place = Place(home, *modules)
    try:
        yield place
    finally:
        place.forks.reap()


def test_a_forked_process_is_like_one_that_was_started(tmp_path: Path) -> None:
    with place(tmp_path, "json") as here:
        different = {"TZ": "Asia/Tokyo", "ONLY_HERE": "x"}
        assert here.fork("program", "a", "b", **different).wait(10) == 0
        told = subprocess.run(
            [sys.executable, "-m", "program", "a", "b"],
            cwd=here.folder,
            env={**here.environment, **different},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            start_new_session=True,
        )
        assert here.said() == json.loads(told.stdout)


def test_an_environment_may_be_larger_than_one_message(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        assert here.fork("program", LARGE="x" * 1_000_000).wait(10) == 0
        assert len(here.said()["environment"]["LARGE"]) == 1_000_000


@pytest.mark.parametrize(("does", "code"), [(["exit", "3"], 3), (["exit", "0"], 0), (["fail"], 1)])
def test_its_exit_code_is_known(tmp_path: Path, does: list[str], code: int) -> None:
    with place(tmp_path) as here:
        process = here.fork("program", *does)
        assert process.wait(10) == process.poll() == code
        assert ("ValueError: on purpose" in here.log.read_text()) == (code == 1)


def test_it_is_there_until_sigterm(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        process = here.fork("program", "stay")
        here.said()
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == -15
        process.send_signal(signal.SIGTERM)  # once more does no harm


def test_many_at_once_are_told_apart(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        codes = range(1, 9)
        processes = [here.fork("program", "exit", str(code)) for code in codes]
        assert [process.wait(20) for process in processes] == [*codes]


def test_no_two_processes_of_the_shortener_share_an_identity(tmp_path: Path) -> None:
    with place(tmp_path, "stack.shortener.preload") as here:
        began_s = time.time()
        assert [here.fork("identity").wait(20) for _ in range(2)] == [0, 0]
        (one, started_s, drawn), (other, _, drawn_too) = (
            line.split() for line in here.log.read_text().splitlines()
        )
        assert one.rpartition("-")[0] != other.rpartition("-")[0]
        assert drawn != drawn_too
        assert began_s <= float(started_s) <= time.time()


def test_the_server_stays_until_its_last_process_has_ended(tmp_path: Path) -> None:
    """As their parent: whoever looks for what is left must find no dead process either."""
    here = Place(tmp_path)
    process = here.fork("program", "stay")
    server = here.server()
    server.terminate()
    with pytest.raises(psutil.TimeoutExpired):
        server.wait(0.3)
    process.send_signal(signal.SIGTERM)
    here.forks.reap()
    assert process.wait(5) == -15
    assert not server.is_running()


def test_a_server_that_was_killed_is_named_and_its_processes_are_still_seen(tmp_path: Path) -> None:
    with place(tmp_path) as here:
        here.forks.check()
        process = here.fork("program", "stay")
        server = here.server()
        server.kill()
        with pytest.raises(StackError, match="forkserver did not fork"):
            here.fork("program")
        ends(server)  # its socket closes a moment before
        with pytest.raises(PartDied, match="forkserver died"):
            here.forks.check()
        assert process.poll() is None
        psutil.Process(process.pid).kill()
        assert process.wait(10) == UNKNOWN


def test_a_failed_import_of_the_server_is_named(tmp_path: Path) -> None:
    with (
        place(tmp_path, "no_such_module") as here,
        pytest.raises(StackError, match=r"did not fork(.|\n)*No module named 'no_such_module'"),
    ):
        here.fork("program")
