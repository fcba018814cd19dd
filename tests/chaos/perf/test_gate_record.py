"""A verdict is on record whatever becomes of the history, and what cannot be is told before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chaos.cli import perf_command
from chaos.cli.perf_command import GateFormat
from chaos.perf import cores, gate
from chaos.perf.trouble import WrongInput
from tests.support.gate_launches import launches, outcome

KEPT = {"result.json", "summary.md", "junit.xml"}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A gate that has measured a slower head, and where its record goes."""
    into = tmp_path / "run"
    into.mkdir()
    slower = outcome(launches(6, head=1.1))
    monkeypatch.setattr(cores, "choose", lambda: cores.Cores(1, frozenset({0})))
    monkeypatch.setattr(gate, "run_until_valid", lambda *_: (slower, into))
    return into


def verdict_of(into: Path, history: Path) -> dict[str, Any]:
    return perf_command._measured(outcome([]).of, into, history, GateFormat.JSON, 1)


def test_a_history_with_a_line_cut_off_in_a_new_folder_loses_no_verdict(measured: Path) -> None:
    history = measured.parent / "new" / "history.jsonl"
    for _ in range(2):
        assert verdict_of(measured, history)["verdict"] == "FAIL"
        with history.open("a") as lines:
            lines.write('{"began": "20')
    assert {path.name for path in measured.iterdir()} == {*KEPT, "report.html"}
    told = [json.loads(line)["verdict"] for line in history.read_text().splitlines()[::2]]
    assert told == ["FAIL", "FAIL"]


def test_a_history_that_is_lost_meanwhile_leaves_the_verdict(
    measured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = measured.parent / "history.jsonl"
    monkeypatch.setattr(perf_command, "_require_writable", lambda _: history.mkdir())
    with pytest.raises(OSError, match="directory"):
        verdict_of(measured, history)
    assert json.loads((measured / "result.json").read_text())["verdict"] == "FAIL"
    assert {path.name for path in measured.iterdir()} == KEPT


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WrongInput, match=r"cannot be written .*name another folder with --into"):
        perf_command.directory_of("shop", tmp_path / "file")
    assert perf_command.directory_of("shop", tmp_path / "new").is_dir()


def test_a_history_that_cannot_be_written_is_refused_before_it_is_measured(measured: Path) -> None:
    with pytest.raises(WrongInput, match="cannot be written"):
        verdict_of(measured, measured)
    assert not list(measured.iterdir())
