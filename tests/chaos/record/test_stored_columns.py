"""A record read from the shelf is the record: batches, stretches and bounds change nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.experiments import _expiries as m
from chaos.model.evidence import Requests, Segment
from chaos.record import stored_columns
from chaos.record.reader import read_evidence
from tests.chaos.experiments.test_expiries import segment
from tests.support.results import judged_run
from tests.support.segments import followed, looked_up


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shelf") / "run"
    judged_run(path)
    return path


def columns_of(segments: list[Segment]) -> dict[str, list[object]]:
    return {
        field.name: np.concatenate([getattr(s.requests, field.name) for s in segments]).tolist()
        for field in fields(Requests)
    }


def test_each_segment_has_its_requests_in_order_of_intended_time(run_dir: Path) -> None:
    evidence = read_evidence(run_dir)
    segments = [*evidence.control, *evidence.segments]
    file = run_dir / "requests.parquet"
    names = ", ".join(field.name for field in fields(Requests))
    names = names.replace("session", "(hash(session) >> 1)::BIGINT")
    names = names.replace("timeline", "coalesce(timeline, -1)")
    sql = f"SELECT {names} FROM '{file}' ORDER BY segment, intended_s"
    rows = duckdb.execute(sql).fetchall()

    assert list(zip(*columns_of(segments).values(), strict=True)) == rows


@pytest.mark.parametrize("batch_rows", [1, 300, 2000])
def test_the_size_of_a_batch_changes_nothing(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    whole = columns_of(list(read_evidence(run_dir).segments))
    monkeypatch.setattr(stored_columns, "BATCH_ROWS", batch_rows)

    assert columns_of(list(read_evidence(run_dir).segments)) == whole


@pytest.mark.parametrize("kept_bytes", [0, 5000, 10**9])
def test_how_much_stays_in_memory_changes_nothing(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    whole = columns_of(list(read_evidence(run_dir).segments))
    monkeypatch.setattr(stored_columns, "KEPT_BYTES", kept_bytes)

    segments = list(read_evidence(run_dir).segments)

    assert [columns_of(segments), columns_of(segments)] == [whole, whole]


def test_nobody_changes_a_column_for_those_who_read_it_later(run_dir: Path) -> None:
    requests = read_evidence(run_dir).segments[0].requests

    with pytest.raises(ValueError, match="read-only"):
        requests.done_s[0] = 0


def test_a_segment_without_a_request_has_none(run_dir: Path, tmp_path: Path) -> None:
    for file in run_dir.iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    kept = f"(FROM '{run_dir / 'requests.parquet'}' WHERE segment <> 3)"
    duckdb.sql(f"COPY {kept} TO '{tmp_path / 'requests.parquet'}'")

    lengths = [len(s.requests) for s in read_evidence(tmp_path).segments]

    assert lengths.count(0) == 1


def test_requests_on_the_shelf_can_be_changed_into_others(run_dir: Path) -> None:
    requests = read_evidence(run_dir).segments[0].requests

    changed = replace(requests, version=requests.version + 1)

    assert (changed.version == requests.version + 1).all()
    assert (changed.outcome == requests.outcome).all()


def test_reading_leaves_nothing_in_the_run_directory(run_dir: Path) -> None:
    before = sorted(run_dir.iterdir())
    evidence = read_evidence(run_dir)

    assert sorted(run_dir.iterdir()) == before
    assert len(evidence.segments[0].requests) > 0


SPILLING = """
import sys, time
from pathlib import Path
from chaos.record import stored_columns

stored_columns.MEMORY = "10MB"
ids = "SELECT md5(i::VARCHAR) AS id FROM range(300_000) numbers(i)"
with stored_columns.bounded_duckdb(Path(sys.argv[1])) as db:
    db.execute("SET enable_progress_bar = false")  # of slow queries, which python -c has on stdout
    print(*db.execute(f"SELECT count(*) FROM (SELECT id FROM ({ids}) GROUP BY id)").fetchone())
    sys.stdout.flush()
    sys.stdin.read()
"""


@contextmanager
def spilling(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has spilled into a directory, and ends when its standard input does."""
    with subprocess.Popen(
        [sys.executable, "-c", SPILLING, str(directory)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "300000\n"
        assert [path.name for path in directory.iterdir()] == [f".spill-{process.pid}"]
        yield process


def test_what_does_not_fit_into_memory_is_spilled_and_removed(tmp_path: Path) -> None:
    with spilling(tmp_path) as process:
        process.communicate("")
        assert list(tmp_path.iterdir()) == []


def test_what_was_spilled_is_removed_even_if_the_whole_group_is_killed(tmp_path: Path) -> None:
    with spilling(tmp_path) as process:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        deadline_s = time.monotonic() + 10
        while list(tmp_path.iterdir()) and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert list(tmp_path.iterdir()) == []


# --- what an expiry touched, against the definition asked of each request ----------------------

MOMENTS = st.floats(0, 4, allow_nan=False).map(lambda after_s: 10 + after_s)
REQUESTS = st.lists(st.tuples(MOMENTS, st.floats(0, 3), st.booleans()), max_size=60)


@given(REQUESTS, st.lists(MOMENTS, min_size=1, max_size=5))
def test_an_aftermath_is_what_was_in_flight_or_came_within_a_second(
    drawn: list[tuple[float, float, bool]], reads: list[float]
) -> None:
    base = segment([1, 1, 1, 1])
    rows = sorted(drawn)
    intended_s = np.array([row[0] for row in rows], dtype=float)
    done_s = intended_s + np.array([row[1] for row in rows], dtype=float)
    read_s = np.sort(reads)
    rank = np.array([int(not row[2]) for row in rows], dtype=np.int64)
    seen = replace(
        base,
        requests=replace(followed(intended_s), done_s=done_s, rank=rank),
        look_ups=looked_up(read_s, read_s, read_s, read_s + 0.1),
    )

    for expiry, places in zip(m.expiries(seen), m.aftermaths(seen), strict=True):
        until_s = min(expiry.began_s + 1, expiry.until_s)
        assert places.tolist() == [
            place
            for place, (due_s, took_s, hot) in enumerate(rows)
            if hot and due_s + took_s > expiry.began_s and due_s < until_s
        ]
