"""Run directories: each lab has its own, whenever it starts."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaos.cli import run_command
from chaos.cli.app import app
from chaos.engine.run import HostClock
from chaos.record.run_directories import new_run_dir
from chaos.record.writer import RecordWriter
from tests.chaos.cli.test_cli import linkstorm


def test_labs_that_start_in_the_same_second_each_get_a_directory(tmp_path: Path) -> None:
    runs = tmp_path / "not" / "there yet"
    with ThreadPoolExecutor(16) as labs:
        got = list(labs.map(lambda _: new_run_dir("herd", runs), range(64)))
    assert len({*got}) == 64
    for directory in got:
        RecordWriter(directory, {}, HostClock()).close()
    assert sorted(got) == sorted(runs.iterdir())


def test_a_record_is_never_written_over_another(tmp_path: Path) -> None:
    RecordWriter(tmp_path / "run", {"of": "the first"}, HostClock()).close()
    with pytest.raises(FileExistsError):
        RecordWriter(tmp_path / "run", {"of": "the second"}, HostClock())
    assert "the first" in (tmp_path / "run" / "plan.json").read_text()


def test_a_directory_that_the_control_has_made_for_its_run_is_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    arguments = ("run", "thundering-herd", "--into", str(taken))
    refused = linkstorm(*arguments)
    assert "--into takes a new directory" in refused.stderr
    written: list[Path] = []
    monkeypatch.setattr(run_command, "_on_record", lambda _order, _lab, into: written.append(into))
    monkeypatch.setattr(run_command, "judged", lambda *_, **__: 0)
    monkeypatch.setattr(run_command, "end_at_once", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["linkstorm", *arguments, "--claimed"])
    with pytest.raises(SystemExit):
        app()
    assert written == [taken]
    assert run_command._command(7) == "linkstorm run thundering-herd --seed 7"
