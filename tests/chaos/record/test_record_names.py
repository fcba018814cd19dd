"""A run directory may have any name: it is that directory, never a pattern, columns or an address.

Beside each stands one that the name would find if it were taken for a pattern.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chaos.model.experiment import LATENCY
from chaos.record.files import Files
from chaos.record.run_directories import shown
from reports.run_history import read_history
from tests.support.results import judged_run, run_and_judged

ROOT = Path(__file__).parents[3]
NAMES = {
    "herd[1]": "herd1",
    "herd[!2]": "herd1",
    "herd?": "herd1",
    "*": "herd1",
    "**": "herd1",
    "herd[1": "herd1",
    "{a,b}": "a",
    "it's": "its",
    'say "so"': "say so",
    "a;b": "a",
    "two\nlines": "two",
    "\\x": "x",
    "-rf": "rf",
    "~": "home",
    "$HOME": "home",
    "%s": "s",
    "segment=3": "3",
    "s3:": "s3",
    " ": "blank",
    "ünïcode": "unicode",
    os.fsdecode(b"no\xffutf-8"): "noutf-8",
}


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("names") / "failed"
    judged_run(path, "click lost", fix="lock")
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return judged_run(tmp_path_factory.mktemp("names") / "plain", fix="lock")


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_recorded_judged_and_drawn_in_a_directory_of_any_name(
    name: str, tmp_path: Path, failed: Path, plain: dict[str, Any]
) -> None:
    beside = tmp_path / NAMES[name]
    shutil.copytree(failed, beside)
    for kind in ("samples", "requests-0"):
        (beside / f"{kind}.csv").write_text("of another run\n")
    before = files_of(beside)

    result = run_and_judged(tmp_path / name, fix="lock")
    history = read_history(tmp_path / name, {arm["name"]: () for arm in result["arms"]}, [LATENCY])

    assert {**result, "run_dir": "", "provenance": {}} == {**plain, "run_dir": "", "provenance": {}}
    assert history.thinning[LATENCY.rank].requests > 0
    assert not history.missing
    assert not [*(tmp_path / name).glob("*.csv"), *(tmp_path / name).glob("*.part")]
    assert files_of(beside) == before


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=60).filter(lambda name: name.strip(b".")))
@example(b"run[1]")
def test_a_file_of_any_name_is_written_and_read_by_that_name_alone(name: bytes) -> None:
    with TemporaryDirectory() as folder, duckdb.connect() as db, Files() as files:
        file = Path(folder) / os.fsdecode(name.translate(None, b"/\0") or b"?")
        db.execute(f"COPY (SELECT 7) TO '{files.named(file, 'wb')}' (USE_TMP_FILE false)")
        rows = db.execute(f"FROM read_csv('{files.named(file)}', header=true)").fetchall()

        assert rows == [(7,)]
        assert list(Path(folder).iterdir()) == [file]


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_is_shown_in_words_that_every_stream_takes(name: str, tmp_path: Path) -> None:
    said = shown(tmp_path / name)
    assert said.encode().decode().isprintable()
    assert said.startswith(str(tmp_path))


@pytest.mark.parametrize("verb", ["judge", "report"])
@pytest.mark.parametrize("name", ["herd[1]", os.fsdecode(b"no\xffutf-8")])
def test_a_command_reads_the_run_that_it_is_given_and_no_other(
    verb: str, name: str, tmp_path: Path, failed: Path
) -> None:
    shutil.copytree(failed, tmp_path / "herd1")
    judged_run(tmp_path / name, fix="lock")
    told = subprocess.run(
        [sys.executable, "-m", "chaos", verb, name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert shown(Path(name)) in told.stdout
    assert "PASS" in (tmp_path / name / "verdict.json").read_text(encoding="utf-8")
