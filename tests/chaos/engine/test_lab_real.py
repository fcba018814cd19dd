"""The whole lab as a user runs it: a real herd, a part that dies, Ctrl-C, and `kill -9`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from chaos.cli.exits import TROUBLE
from tests.support.running_labs import GONE_S, left_after, short_run, temporary_home
from tools.crashtest.lab_under_test import LabUnderTest

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[3]
UNDER_WAY_S = 60.0
TRIES = 3


def wait_for_fault(lab: LabUnderTest) -> None:
    """Until the control is over, and the link is slow."""
    deadline_s = time.monotonic() + UNDER_WAY_S
    while not lab.home.has_event("injected"):
        assert not lab.ended
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def a_herd(home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(sys.executable, "-m", "chaos", "run", "thundering-herd", "--arm", "lock"),
         *("--runtime", "embedded"),
         *("--format", "json", "--runs", str(home / "runs"))],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_a_real_herd_is_shown_and_a_lock_cures_it() -> None:
    """A busy machine may make a run INVALID, which says nothing; it is repeated as a user would."""
    with temporary_home() as home:
        for _ in range(TRIES):
            told = a_herd(home)
            if told.returncode != TROUBLE:
                break
        result = json.loads(told.stdout)
        assert told.stderr == ""
        schema = json.loads((ROOT / "docs" / "result.schema.json").read_text(encoding="utf-8"))
        jsonschema.validate(result, schema)
        assert (result["verdict"], told.returncode) == ("PASS", 0), result
        herds = {a["name"]: a["measures"]["origin_queries_per_expiry"] for a in result["arms"]}
        assert herds["direct"]["value"] >= 0.5 * herds["direct"]["predicted"] >= 10
        assert herds["lock"]["value"] <= 1.1
        assert all(act["proven"] for act in result["acts"])
        assert Path(result["run_dir"], "report.html").exists()


def wait_for_handlers(lab: LabUnderTest) -> None:
    """Until Python has begun with our program: by itself it does not catch SIGTERM."""
    status = Path(f"/proc/{lab.process.pid}/status")
    while True:
        caught = next(x for x in status.read_text().splitlines() if x.startswith("SigCgt:"))
        if int(caught.split()[1], 16) >> signal.SIGTERM - 1 & 1:
            return
        time.sleep(0.005)


@pytest.mark.parametrize("name", ["web-1", "load"])
def test_a_part_that_dies_makes_the_run_invalid_and_is_named_with_its_log(name: str) -> None:
    with short_run() as lab:
        wait_for_fault(lab)
        part = lab.part(name)
        assert part is not None
        part.kill()
        stdout, _ = lab.process.communicate()
        result = json.loads(stdout)
        assert (result["verdict"], lab.process.returncode) == ("INVALID", TROUBLE)
        assert f"{name} died" in result["trouble"]
        assert not left_after(lab.watch, GONE_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_is_healed_and_stopped(number: signal.Signals) -> None:
    with short_run() as lab:
        wait_for_fault(lab)
        lab.process.send_signal(number)
        stdout, stderr = lab.process.communicate()
        assert lab.process.returncode == 130
        assert stdout == ""
        assert "healed and stopped" in stderr
        assert not left_after(lab.watch, GONE_S)


def test_a_lab_killed_in_the_middle_of_a_run_leaves_nothing() -> None:
    with short_run() as lab:
        wait_for_fault(lab)
        lab.process.kill()
        lab.process.wait()
        assert not left_after(lab.watch, GONE_S)


def test_an_interruption_while_the_lab_is_imported_or_judges_has_the_same_exit_code() -> None:
    with short_run() as lab:
        wait_for_handlers(lab)
        lab.process.send_signal(signal.SIGINT)
        assert (*lab.process.communicate(), lab.process.returncode) == ("", "", 130)
