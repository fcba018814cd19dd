"""The run history: the timelines' data equals the record."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chaos.measures.expiries import expiries

from chaos.record.reader import read_evidence, read_json
from reports.arm_time import fault_spans
from reports.run_history import Bins, read_history
from tests.support.mutants.altering import dropped
from tests.support.results import judged_run

ARMS: dict[str, list[float]] = {
    name: [] for name in ("direct", "singleflight", "lock", "lease", "xfetch", "swr")
}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "run"
    judged_run(path)
    return path


def test_every_request_for_the_hot_key_is_a_point(run_dir: Path) -> None:
    history = read_history(run_dir, ARMS)
    segments = read_evidence(run_dir).segments

    for arm in ARMS:
        recorded = sum(int(s.requests.hot.sum()) for s in segments if s.arm == arm)
        assert len(history.arms[arm].points["x"]) == recorded
    assert history.thinning.every == 1


def test_the_marked_expiries_are_those_that_the_verdict_counts(run_dir: Path) -> None:
    arms = read_json(run_dir / "verdict.json")["arms"]
    history = read_history(run_dir, {arm["name"]: arm["repetitions_s"] for arm in arms})

    for segment in read_evidence(run_dir).segments:
        own = history.arms[segment.arm]
        began_s = own.rounds[segment.round].from_s - segment.started_s
        counted = [began_s + expiry.began_s for expiry in expiries(segment)]
        assert np.isclose(np.subtract.outer(counted, own.expiries_s), 0).any(axis=1).all()


def test_the_offered_rate_adds_up_to_the_requests(run_dir: Path) -> None:
    history = read_history(run_dir, ARMS)
    segments = read_evidence(run_dir).segments

    for arm in ARMS:
        requests = sum(len(s.requests) for s in segments if s.arm == arm)
        total = np.nansum(history.arms[arm].offered["rate"]) * Bins().rate_s
        assert round(float(total)) == requests


def test_a_bin_without_requests_counts_as_zero(run_dir: Path, tmp_path: Path) -> None:
    """While the naive herd waits nothing hot is answered: the line must fall to the ground."""
    shutil.copytree(run_dir, tmp_path / "run")
    dropped("requests", "rank > 0")(tmp_path / "run")
    achieved = read_history(tmp_path / "run", ARMS).arms["direct"].achieved["rate"]

    assert (achieved == 0).any()


def test_origin_queries_add_up_to_those_logged(run_dir: Path) -> None:
    history = read_history(run_dir, ARMS)
    segments = read_evidence(run_dir).segments

    for arm in ARMS:
        logged = sum(len(s.origin.of_hot()) for s in segments if s.arm == arm)
        assert history.arms[arm].origin["queries"].sum() == logged


def test_rounds_follow_one_another_with_a_gap(run_dir: Path) -> None:
    first, second = read_history(run_dir, ARMS).arms["lock"].rounds

    assert first.from_s == 0
    assert first.to_s < second.from_s


def test_each_round_has_its_fault_window(run_dir: Path) -> None:
    own = read_history(run_dir, ARMS).arms["lock"]

    assert [span.name for span in own.faults] == ["replica link +120 ms"] * 2
    assert own.faults[1].from_s == pytest.approx(own.rounds[1].from_s)


def test_where_there_are_too_many_points_a_sample_stays_with_all_extremes(run_dir: Path) -> None:
    whole, thin = read_history(run_dir, ARMS), read_history(run_dir, ARMS, points_max=1200)
    thinning = thin.thinning

    assert thinning.requests == whole.thinning.requests
    assert thinning.every == math.ceil(thinning.requests / 600)
    assert thinning.drawn == sum(len(own.points["x"]) for own in thin.arms.values()) < 2000
    for arm in ARMS:
        every, kept = whole.arms[arm].points, thin.arms[arm].points
        assert thinning.requests / thinning.every / 12 < len(kept["x"]) < len(every["x"]) / 4
        for name in ("latency", "age"):
            assert worst_of_each(kept, name, thinning.extremes_s) == worst_of_each(
                every, name, thinning.extremes_s
            )


def worst_of_each(points: dict[str, Any], name: str, stretch_s: float) -> dict[int, float]:
    worst: dict[int, float] = {}
    for x, value in zip(points["x"].tolist(), points[name].tolist(), strict=True):
        place = math.floor(x / stretch_s)
        worst[place] = max(value, worst.get(place, 0.0))
    return worst


def test_what_failed_is_drawn_though_points_are_too_many(tmp_path: Path) -> None:
    judged_run(tmp_path / "run", "requests fail")
    thin = read_history(tmp_path / "run", ARMS, points_max=1200)

    for own in thin.arms.values():
        assert own.points["outcome"].count("fail") == 2
    assert thin.thinning.failed == 12


def test_lines_count_all_requests_however_few_are_drawn(run_dir: Path) -> None:
    whole, thin = read_history(run_dir, ARMS), read_history(run_dir, ARMS, points_max=1200)

    for arm in ARMS:
        for lines in ("offered", "achieved", "percentiles"):
            for name, column in getattr(whole.arms[arm], lines).items():
                np.testing.assert_array_equal(getattr(thin.arms[arm], lines)[name], column)


def test_a_long_run_has_longer_bins_that_count_the_same(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.run_history.BINS_MAX", 10)
    history = read_history(run_dir, ARMS)
    segments = read_evidence(run_dir).segments

    assert history.bins == Bins(1, 1, 1)
    for arm in ARMS:
        own = history.arms[arm]
        assert len(own.offered["x"]) == 2 * (4 + 1)  # 3.5 s a round, and a break
        length_s = np.array([1, 1, 1, 0.5, np.nan] * 2)
        requests = sum(len(s.requests) for s in segments if s.arm == arm)
        assert round(float(np.nansum(own.offered["rate"] * length_s))) == requests
        logged = sum(len(s.origin.of_hot()) for s in segments if s.arm == arm)
        assert own.origin["queries"].sum() == logged


def test_a_missing_file_leaves_the_rest(tmp_path: Path) -> None:
    judged_run(tmp_path / "run")
    (tmp_path / "run" / "origin_queries.parquet").unlink()

    history = read_history(tmp_path / "run", ARMS)

    assert history.missing == ["origin_queries.parquet"]
    assert len(history.arms["direct"].origin["x"]) == 0
    assert len(history.arms["direct"].points["x"]) > 0


SEGMENT = {
    "kind": "segment",
    "arm": "a",
    "round": 1,
    "started_s": 50.0,
    "ended_s": 53.0,
    "to_s": 54.0,
}


@pytest.mark.parametrize(
    ("injected_s", "healed_s", "window"),
    [
        (49.0, 53.5, (4.0, 7.5)),  # before the first arrival: from the start of the round
        (51.0, 52.0, (5.0, 6.0)),
        (51.0, 99.0, (5.0, 8.0)),  # never into the next round
        (51.0, None, (5.0, 8.0)),
        (40.0, 45.0, None),
    ],
)
def test_a_fault_is_shown_where_it_touches_a_round(
    injected_s: float, healed_s: float | None, window: tuple[float, float] | None
) -> None:
    fault = {"kind": "fault", "arm": "a", "fault": "f"}
    times = {"injected_s": injected_s, "healed_s": healed_s}
    spans = list(fault_spans([SEGMENT], [fault | times, fault | times | {"arm": "b"}], apart_s=4.0))

    assert [(span.from_s, span.to_s) for span in spans] == ([window] if window else [])
