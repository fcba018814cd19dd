"""A record is judged as it is now: whatever was written of it before, and wherever it lies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from chaos.cli.app import app
from chaos.record.reader import read_events
from tests.support.mutants.altering import dropped
from tests.support.results import judged_run

ROOT = Path(__file__).parents[3]


def linkstorm(*words: str | Path, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", "chaos", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def verdict_of(run: Path) -> object:
    return json.loads((run / "verdict.json").read_text(encoding="utf-8"))["verdict"]


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("again") / "run"
    assert judged_run(path)["verdict"] == "PASS"
    return path


@pytest.fixture
def run(passed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(passed, tmp_path / "run"))


def test_a_report_does_not_repeat_the_verdict_of_a_record_that_has_lost_rows(run: Path) -> None:
    dropped("requests", "hash(op_id) % 10 = 0")(run)
    told = linkstorm("report", run)
    assert told.returncode == 0
    assert verdict_of(run) == "INVALID"
    assert "<title>INVALID" in (run / "report.html").read_text(encoding="utf-8")


def test_no_report_is_written_of_a_record_that_cannot_be_read(run: Path) -> None:
    (run / "samples.parquet").write_bytes(b"PAR1")
    told = linkstorm("report", run)
    assert told.returncode == 2
    assert "samples.parquet: cannot be read" in told.stderr
    assert "/dev/fd" not in told.stderr
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("verb", ["judge", "report"])
@pytest.mark.parametrize("older", ['{"verdict": "FAIL"}', "[]", "nul", "", "\x00\xff", None])
def test_a_verdict_of_another_version_or_of_nobody_is_made_anew(
    verb: str, older: str | None, run: Path
) -> None:
    (run / "verdict.json").unlink()
    if older is not None:
        (run / "verdict.json").write_text(older, encoding="latin-1")
    told = CliRunner().invoke(app, [verb, str(run)])
    assert (told.exit_code, told.stderr) == (0, "")
    assert verdict_of(run) == "PASS"


# --- a record that can only be read --------------------------------------------------------------


@contextmanager
def only_readable(run: Path) -> Iterator[Sequence[str]]:
    """Nothing in it can be changed by what these words start; root loses its right to do so."""
    before = {path: path.read_bytes() for path in run.glob("*.*") if path.is_file()}
    run.chmod(0o555)
    try:
        yield ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    finally:
        run.chmod(0o755)
    assert {path: path.read_bytes() for path in run.glob("*.*") if path.is_file()} == before


def test_a_record_that_can_only_be_read_is_judged(run: Path) -> None:
    (run / "verdict.json").unlink()
    with only_readable(run) as before:
        told = linkstorm("judge", run, "--format", "json", before=before)
    assert (json.loads(told.stdout)["verdict"], told.returncode) == ("PASS", 0)
    assert "printed, and not kept" in told.stderr
    assert "verdict.json" in told.stderr


def test_a_failure_stays_one_where_it_can_only_be_read(tmp_path: Path) -> None:
    judged_run(tmp_path / "run", "click lost")
    with only_readable(tmp_path / "run") as before:
        told = linkstorm("judge", tmp_path / "run", before=before)
    assert told.returncode == 1
    assert "Traceback" not in told.stderr


def test_a_report_that_cannot_be_written_is_said_so(run: Path) -> None:
    with only_readable(run) as before:
        told = linkstorm("report", run, before=before)
    assert (told.stdout, told.returncode) == ("", 3)
    assert "the report cannot be written" in told.stderr
    assert "Traceback" not in told.stderr


# --- a run whose terminal is closed --------------------------------------------------------------

UNTIL_TOLD = """
import time
from chaos.cli import entry, run_command
from chaos.engine import run
from tests.support.fake_stack import World, herd_order, lab

def on_record(order, runtime, directory):
    def progress(done, total, what):
        while done == 3 and not (directory.parent / "go on").exists():
            time.sleep(0.02)

    world = World()
    run.run(herd_order(world), lab(world), directory, progress)

run_command._on_record = on_record
entry.main()
"""


@contextmanager
def under_way(run: Path, before: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """A run on the fake stack that waits in its third segment, until it may go on."""
    words = ["run", "thundering-herd", "--runtime", "embedded", "--into", str(run)]
    with subprocess.Popen(
        [*before, sys.executable, "-c", UNTIL_TOLD, *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            deadline_s = time.monotonic() + 60
            while not (run / "events.jsonl").exists() or _segments_over(run) < 2:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < deadline_s
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def _segments_over(run: Path) -> int:
    return sum(event["kind"] == "segment" for event in read_events(run))


def test_a_run_whose_terminal_was_closed_is_healed_and_can_be_judged(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with under_way(run) as process:
        process.send_signal(signal.SIGHUP)
        stdout, stderr = process.communicate(timeout=60)
    assert (stdout, process.returncode) == ("", 130)
    assert "healed and stopped" in stderr
    assert not [*run.glob("*.csv")]
    told = linkstorm("judge", run, "--format", "json")
    assert told.returncode == 3
    assert json.loads(told.stdout)["trouble"] == "interrupted"


def test_a_run_that_nohup_started_goes_on_when_its_terminal_is_closed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with under_way(run, before=["nohup"]) as process:
        process.send_signal(signal.SIGHUP)
        (tmp_path / "go on").touch()
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert verdict_of(run) == "PASS"
