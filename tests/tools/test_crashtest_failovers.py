"""The failovers of the crash test can fail: what one leaves, or does wrong, is named."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import typer

from chaos.model.stack import Stack
from tests.tools.test_crashtest import IPC_CREAT, IPC_RMID, SLEEP, orphan
from tools.crashtest import failovers
from tools.crashtest.__main__ import crashtest
from tools.crashtest.failover_lab import FailoverLab
from tools.crashtest.failovers import FailoverOutcome, Failovers, grown, inventory, play_failovers
from tools.crashtest.lab_under_test import LabHome
from tools.crashtest.leftover_watch import watching

# A lab that is nothing but its answers; `NUMBER` is that of the failover asked for.
ANSWERS = """
import json, os, sys, time
from pathlib import Path
say = lambda said: print(json.dumps(said), flush=True)
say({"ready": True})
for NUMBER, _ in enumerate(sys.stdin, 1):
    said = {"number": NUMBER, "primary": "postgres-2", "outage_s": 0.5, "restore_s": NUMBER * 1.0,
            "copied": False, "wrong": []}
"""
DATA = "    data = Path(os.environ['TMPDIR'], 'data'); (data / 'global').mkdir(parents=True)\n"
VERSION = "    (data / 'PG_VERSION').touch()\n"
CLEARS = "import shutil; [shutil.rmtree(x) for x in Path(os.environ['TMPDIR']).iterdir()]"


@pytest.fixture
def lab_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have a script play the lab."""

    def use(script: str) -> None:
        def started(home: LabHome, *_: object, stdin: int) -> subprocess.Popen[str]:
            return subprocess.Popen(
                [sys.executable, "-c", script],
                env={"TMPDIR": str(home.tmp)},
                cwd=home.cwd,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

        monkeypatch.setattr(failovers, "started", started)
        monkeypatch.setattr(failovers, "SETTLES_S", 0.2)

    return use


def test_failovers_that_leave_nothing_pass_with_their_figures(
    lab_of: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    lab_of(f"{ANSWERS}    say(said)\n")
    crashtest(failovers=3)
    output = capsys.readouterr().out
    assert "3 of 3 failovers" in output
    assert "no writes        0.50 s  0.50 s" in output
    assert "restored after   2.00 s  3.00 s" in output
    assert "nothing was left" in output


def test_a_data_directory_that_a_failover_leaves_is_named(lab_of: Callable[[str], None]) -> None:
    lab_of(f"{ANSWERS}    if NUMBER == 2:\n    {DATA}    {VERSION}    say(said)\n{CLEARS}")
    said: list[FailoverOutcome] = []
    played = play_failovers(3, said.append)
    assert [bool(each.wrong) for each in said] == [False, True, True]
    assert "data: 1, at first 0" in said[1].wrong[0]
    assert (played.wrong, played.failed) == ([], True)


def test_what_is_left_after_the_end_is_named(
    lab_of: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failovers, "GONE_S", 0.2)  # another test's Postgres may be seen, too
    lab_of(f"{ANSWERS}    say(said)\nPath(os.environ['TMPDIR'], 'left').touch()\n")
    played = play_failovers(1, lambda _: None)
    (file,) = (wrong for wrong in played.wrong if wrong.startswith("file "))
    assert file.endswith("/left")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('print(\'{"trouble": "no disk"}\')', "did not come up: no disk"),
        ("raise SystemExit('broken')", "exit code 1: broken"),
        (f'{ANSWERS}    say({{"trouble": "no way back"}})', "failover 1 did not end: no way back"),
        (f"{ANSWERS}    sys.exit()", "failover 1 did not end: it ended"),
    ],
)
def test_a_lab_that_does_not_go_on_says_why(
    lab_of: Callable[[str], None], script: str, words: str
) -> None:
    lab_of(script)
    played = play_failovers(2, lambda _: None)
    assert any(words in wrong for wrong in played.wrong)
    assert not played.outcomes


def test_anything_wrong_is_exit_code_1_and_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = FailoverOutcome(1, "postgres-2", 0.5, 2.5, True, ["postgres-1 has the slots {'x'}"])

    def played(count: int, report: Callable[[FailoverOutcome], None]) -> Failovers:
        report(bad)
        return Failovers(count, [bad], 1.0, [])

    monkeypatch.setattr("tools.crashtest.__main__.play_failovers", played)
    with pytest.raises(typer.Exit) as ended:
        crashtest(failovers=2)
    assert ended.value.exit_code == 1
    output = capsys.readouterr().out
    assert "copied and restored  2.50 s" in output
    assert "WRONG: postgres-1 has the slots {'x'}" in output
    assert "1 of 2 failovers" in output
    assert "failovers with something wrong: 1" in output
    assert "nothing was left" not in output


def test_a_process_that_is_there_more_often_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failovers, "SETTLES_S", 0.2)
    with watching() as watch:
        before = inventory(tmp_path, watch)
        with orphan(SLEEP):
            assert grown(before, tmp_path, watch) == ["process in : 1, at first 0"]
        monkeypatch.setattr(failovers, "SETTLES_S", 10.0)
        assert grown(before, tmp_path, watch) == []


@pytest.mark.parametrize("leaves", [True, False])
def test_a_segment_of_a_data_directory_is_counted_and_no_other(
    tmp_path: Path, leaves: bool
) -> None:
    data = tmp_path / "data"
    (data / "global").mkdir(parents=True)
    (data / "PG_VERSION").touch()
    libc = ctypes.CDLL(None)
    key = data.stat().st_ino if leaves else 0
    segment = libc.shmget(key, ctypes.c_size_t(4096), IPC_CREAT | 0o600)
    try:
        with watching() as watch:
            unused = inventory(tmp_path, watch)[f"segment of {data}, unused"]
    finally:
        libc.shmctl(segment, IPC_RMID, None)
    assert unused == leaves


# --- real servers ------------------------------------------------------------------------------


@contextmanager
def slot_left_on(url: str) -> Iterator[None]:
    with psycopg.connect(url, autocommit=True) as server:
        server.execute("SELECT pg_create_physical_replication_slot('left', true)")
        try:
            yield
        finally:
            with suppress(psycopg.Error):
                server.execute("SELECT pg_drop_replication_slot('left')")


@pytest.mark.real
def test_a_slot_beyond_the_planned_ones_is_named_and_none_is_there_without(
    stack: Stack, tmp_path: Path
) -> None:
    try:
        lab = FailoverLab(stack, tmp_path)
        first = lab.fail_over(1)
        assert first["wrong"] == []
        new = stack.roles["replica"]
        with slot_left_on(stack.endpoints.replica):
            second = lab.fail_over(2)
        assert f"{new} has the slots " in str(second["wrong"])
        assert "'left'" in str(second["wrong"])
    finally:
        stack.on_fork = lambda _: None
        stack.heal()
        with psycopg.connect(stack.endpoints.primary, autocommit=True) as primary:
            primary.execute("DROP TABLE IF EXISTS failovers")
