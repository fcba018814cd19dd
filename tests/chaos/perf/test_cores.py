"""CPU time of a process counts its children, whether they live or have ended, and each once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from chaos.perf.cores import cpu_s, idle_s, on, wanted_s

BURN = """
import sys, time
while time.process_time() < float(sys.argv[1]): pass
print(time.process_time(), flush=True)
sys.stdin.readline()
while time.process_time() < float(sys.argv[2]): pass
print(time.process_time(), flush=True)
"""
PARENT = """
import subprocess, sys
for line in sys.stdin:
    burns, more = line.split()
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", sys.argv[1], burns, more], **piped) as child:
        print(child.stdout.readline(), end="", flush=True)
        sys.stdin.readline()
        print(child.communicate("on\\n")[0], end="", flush=True)
"""
WITHIN_S = 0.09  # the start of a child and the end of an interpreter; twice or not at all is 0.2


class Parent:
    """A process that starts a child, tells what it has burnt, and waits for its end when told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    @property
    def spent_s(self) -> float:
        return cpu_s(psutil.Process(self.process.pid))

    def start_child(self, burns_s: float, more_s: float) -> float:
        return self.say(f"{burns_s} {more_s}")

    def say(self, line: str) -> float:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


@contextmanager
def parent() -> Iterator[Parent]:
    command = [sys.executable, "-c", PARENT, BURN]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Parent(process)
        finally:
            process.kill()


def test_what_a_child_used_that_began_and_ended_meanwhile_is_counted() -> None:
    with parent() as process:
        process.start_child(0.01, 0.01)
        process.say("on")
        before_s = process.spent_s
        process.start_child(0.2, 0.2)
        burnt_s = process.say("on")
        assert process.spent_s - before_s == pytest.approx(burnt_s, abs=WITHIN_S)


def test_what_a_child_used_before_the_first_reading_is_not_counted_when_it_ends() -> None:
    with parent() as process:
        known_s = process.start_child(0.3, 0.5)
        before_s = process.spent_s
        burnt_s = process.say("on")
        assert process.spent_s - before_s == pytest.approx(burnt_s - known_s, abs=WITHIN_S)


BURN_S = 0.5
BURNER = f"""
import time
end_s = time.monotonic() + {BURN_S}
while time.monotonic() < end_s: pass
print("done", flush=True)
input()
"""


def test_a_process_that_shares_its_core_wants_as_much_as_alone() -> None:
    command = [sys.executable, "-c", BURNER]
    with on(frozenset({min(os.sched_getaffinity(0))})):
        two = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(2)
        ]
    try:
        for process in two:
            assert process.stdout is not None
            process.stdout.readline()
        both = [psutil.Process(each.pid) for each in two]
        assert min(map(wanted_s, both)) > 0.9 * BURN_S
        assert sum(map(cpu_s, both)) < 0.9 * sum(map(wanted_s, both))
    finally:
        for process in two:
            process.kill()
            process.communicate()


def test_a_core_with_work_is_not_idle() -> None:
    core = min(os.sched_getaffinity(0))
    with on(frozenset({core})):
        before_s, end_s = idle_s(frozenset({core})), time.monotonic() + BURN_S
        while time.monotonic() < end_s:
            pass
        assert idle_s(frozenset({core})) - before_s < 0.1 * BURN_S
