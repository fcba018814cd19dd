"""The whole lab as a user runs it: a real herd, a part that dies, Ctrl-C, and `kill -9`."""

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

import jsonschema
import psutil
import pytest

from chaos.runtimes.members import members
from tests.labs import LabProcess, shared_memory, shared_memory_since, temporary_home

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

ROOT = Path(__file__).parent.parent
GONE_S = 5.0
UNDER_WAY_S = 60.0


@contextmanager
def herd() -> Iterator[LabProcess]:
    """`linkstorm run thundering-herd --arm lock`, with all its files in a folder of its own."""
    with temporary_home() as home, subprocess.Popen(
        [*(sys.executable, "-m", "chaos", "run", "thundering-herd", "--arm", "lock"),
         *("--runtime", "embedded"),
         *("--format", "json", "--runs", str(home / "runs"))],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        try:
            yield LabProcess(process, home)
        finally:
            process.kill()


def segments_done(lab: LabProcess) -> int:
    events = list(lab.home.glob("runs/*/events.jsonl"))
    return events[0].read_text().count('"kind": "segment"') if events else 0


def wait_until_under_way(lab: LabProcess) -> None:
    """Until the control is over and the first faulty segment is at work."""
    deadline = time.monotonic() + UNDER_WAY_S
    while segments_done(lab) < 1:
        assert lab.process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.5)


def part(lab: LabProcess, name: str) -> psutil.Process:
    return next(p for p in members(lab.home) if Path(p.cwd()).name == name)


@pytest.mark.alone
def test_a_real_herd_is_shown_and_a_lock_cures_it() -> None:
    before = shared_memory()
    with herd() as lab:
        stdout, stderr = lab.process.communicate()
        result = json.loads(stdout)
        assert stderr == ""
        schema = json.loads((ROOT / "docs" / "result.schema.json").read_text(encoding="utf-8"))
        jsonschema.validate(result, schema)
        assert (result["verdict"], lab.process.returncode) == ("PASS", 0), result
        herds = {a["name"]: a["measures"]["origin_queries_per_expiry"] for a in result["arms"]}
        assert herds["direct"]["value"] >= 0.5 * herds["direct"]["predicted"] >= 10
        assert herds["lock"]["value"] <= 1.1
        assert all(fault["proven"] for fault in result["faults"])
        assert Path(result["run_dir"], "report.html").exists()
        assert not lab.ended_within(GONE_S)
    assert not shared_memory_since(before)


def test_a_part_that_dies_makes_the_run_invalid_and_is_named_with_its_log() -> None:
    with herd() as lab:
        wait_until_under_way(lab)
        part(lab, "web-1").kill()
        stdout, _ = lab.process.communicate()
        result = json.loads(stdout)
        assert (result["verdict"], lab.process.returncode) == ("INVALID", 3)
        assert "web-1 died" in result["trouble"]
        assert not lab.ended_within(GONE_S)


def test_a_load_generator_that_dies_makes_the_run_invalid() -> None:
    with herd() as lab:
        wait_until_under_way(lab)
        part(lab, "load").kill()
        stdout, _ = lab.process.communicate()
        result = json.loads(stdout)
        assert (result["verdict"], lab.process.returncode) == ("INVALID", 3)
        assert "load died" in result["trouble"]
        assert not lab.ended_within(GONE_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_healed_and_stopped(number: signal.Signals) -> None:
    before = shared_memory()
    with herd() as lab:
        wait_until_under_way(lab)
        lab.process.send_signal(number)
        stdout, stderr = lab.process.communicate()
        assert lab.process.returncode == 130
        assert stdout == ""
        assert "healed and stopped" in stderr
        assert not lab.ended_within(GONE_S)
    assert not shared_memory_since(before)


def test_a_lab_killed_in_the_middle_of_a_run_leaves_nothing_within_five_seconds() -> None:
    before = shared_memory()
    with herd() as lab:
        wait_until_under_way(lab)
        lab.process.kill()
        lab.process.wait()
        assert not lab.ended_within(GONE_S)
    assert not shared_memory_since(before)
