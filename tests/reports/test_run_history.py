"""The run history: the timelines' data equals the record."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaos.experiments import load
from chaos.experiments._expiries import HOT, expiries
from chaos.measures.samples import series
from chaos.model.evidence import Segment
from chaos.model.experiment import ACKNOWLEDGED, LATENCY, ROLES, Strip
from chaos.record.reader import read_evidence, read_json
from reports.arm_history import ArmHistory, Bins
from reports.arm_time import act_spans
from reports.run_history import read_history
from reports.sampled_series import levels
from tests.support.mutants.altering import Alter, changed, dropped
from tests.support.results import judged_busy_run, judged_run

ARMS: dict[str, list[float]] = {
    name: [] for name in ("direct", "singleflight", "lock", "lease", "xfetch", "swr")
}


STRIPS = load("thundering-herd").strips


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "run"
    judged_run(path)
    return path


def test_every_request_for_the_hot_key_is_a_point(run_dir: Path) -> None:
    history = read_history(run_dir, ARMS, STRIPS)
    segments = read_evidence(run_dir).segments

    for arm in ARMS:
        recorded = sum(int((s.requests.rank == HOT).sum()) for s in segments if s.arm == arm)
        assert len(history.arms[arm].points[HOT]["x"]) == recorded
    assert history.thinning[HOT].every == 1


def test_the_marked_events_are_those_that_the_verdict_counts(run_dir: Path) -> None:
    arms = read_json(run_dir / "verdict.json")["arms"]
    history = read_history(run_dir, {arm["name"]: arm["events_s"] for arm in arms}, STRIPS)

    for segment in read_evidence(run_dir).segments:
        own = history.arms[segment.arm]
        began_s = own.rounds[segment.round].from_s - segment.started_s
        counted = [began_s + expiry.began_s for expiry in expiries(segment)]
        assert np.isclose(np.subtract.outer(counted, own.events_s), 0).any(axis=1).all()


def test_the_offered_rate_adds_up_to_the_requests(run_dir: Path) -> None:
    history = read_history(run_dir, ARMS, STRIPS)
    segments = read_evidence(run_dir).segments

    for arm in ARMS:
        requests = sum(len(s.requests) for s in segments if s.arm == arm)
        total = np.nansum(history.arms[arm].offered["rate"]) * Bins().rate_s
        assert round(float(total)) == requests


def test_a_bin_without_requests_counts_as_zero(run_dir: Path, tmp_path: Path) -> None:
    """While the naive herd waits nothing hot is answered: the line must fall to the ground."""
    shutil.copytree(run_dir, tmp_path / "run")
    dropped("requests", "rank > 0")(tmp_path / "run")
    achieved = read_history(tmp_path / "run", ARMS, STRIPS).arms["direct"].achieved["rate"]

    assert (achieved == 0).any()


def test_look_ups_add_up_to_those_logged(run_dir: Path) -> None:
    history = read_history(run_dir, ARMS, STRIPS)
    segments = read_evidence(run_dir).segments

    for arm in ARMS:
        logged = sum(len(s.look_ups.of_rank(HOT)) for s in segments if s.arm == arm)
        assert history.arms[arm].look_ups[HOT]["look_ups"].sum() == logged


def test_rounds_follow_one_another_with_a_gap(run_dir: Path) -> None:
    first, second = read_history(run_dir, ARMS, STRIPS).arms["lock"].rounds

    assert first.from_s == 0
    assert first.to_s < second.from_s


def test_each_round_has_its_acts(run_dir: Path) -> None:
    own = read_history(run_dir, ARMS, STRIPS).arms["lock"]

    assert [span.name for span in own.acts] == ["replica link +120 ms"] * 2
    assert own.acts[1].from_s == pytest.approx(own.rounds[1].from_s)


def test_where_there_are_too_many_points_a_sample_stays_with_all_extremes(run_dir: Path) -> None:
    whole, thin = (
        read_history(run_dir, ARMS, STRIPS),
        read_history(run_dir, ARMS, STRIPS, points_max=1200),
    )
    thinning = thin.thinning[HOT]

    assert thinning.requests == whole.thinning[HOT].requests
    assert thinning.every == math.ceil(thinning.requests / 600)
    assert thinning.drawn == sum(len(own.points[HOT]["x"]) for own in thin.arms.values()) < 2000
    for arm in ARMS:
        every, kept = whole.arms[arm].points[HOT], thin.arms[arm].points[HOT]
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
    thin = read_history(tmp_path / "run", ARMS, STRIPS, points_max=1200)

    failed = [own.points[HOT]["outcome"].count("fail") for own in thin.arms.values()]
    assert min(failed) >= 2  # one in each round
    assert thin.thinning[HOT].failed == sum(failed)


def test_lines_count_all_requests_however_few_are_drawn(run_dir: Path) -> None:
    whole, thin = (
        read_history(run_dir, ARMS, STRIPS),
        read_history(run_dir, ARMS, STRIPS, points_max=1200),
    )

    for arm in ARMS:
        for every, few in zip(
            *(_lines(history.arms[arm]) for history in (whole, thin)), strict=True
        ):
            for name, column in every.items():
                np.testing.assert_array_equal(few[name], column)


def _lines(own: ArmHistory) -> list[dict[str, Any]]:
    return [own.offered, own.achieved, own.percentiles[HOT]]


def test_a_long_run_has_longer_bins_that_count_the_same(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reports.run_history.BINS_MAX", 10)
    history = read_history(run_dir, ARMS, STRIPS)
    segments = read_evidence(run_dir).segments

    assert history.bins == Bins(1, 1, 1)
    for arm in ARMS:
        own = history.arms[arm]
        assert len(own.offered["x"]) == 2 * (4 + 1)  # 4 s a round, and a break
        length_s = np.array([1, 1, 1, 1, np.nan] * 2)
        requests = sum(len(s.requests) for s in segments if s.arm == arm)
        assert round(float(np.nansum(own.offered["rate"] * length_s))) == requests
        logged = sum(len(s.look_ups.of_rank(HOT)) for s in segments if s.arm == arm)
        assert own.look_ups[HOT]["look_ups"].sum() == logged


def test_a_missing_file_leaves_the_rest(tmp_path: Path) -> None:
    judged_run(tmp_path / "run")
    (tmp_path / "run" / "look_ups.parquet").unlink()

    history = read_history(tmp_path / "run", ARMS, STRIPS)

    assert history.missing == ["look_ups.parquet"]
    assert len(history.arms["direct"].look_ups[HOT]["x"]) == 0
    assert len(history.arms["direct"].points[HOT]["x"]) > 0


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
def test_an_act_is_shown_where_it_touches_its_round(
    injected_s: float, healed_s: float | None, window: tuple[float, float] | None
) -> None:
    act = {"act": "redis killed", "injected_s": injected_s, "healed_s": healed_s}
    spans = list(act_spans([SEGMENT | {"acts": [act]}], apart_s=4.0))

    assert [(span.from_s, span.to_s) for span in spans] == ([window] if window else [])
    assert all(span.name == "redis killed" for span in spans)


# --- other strips ------------------------------------------------------------------------------

BUSY: dict[str, list[float]] = {"careless": [], "careful": []}


@pytest.fixture(scope="module")
def busy_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("history") / "run"
    judged_busy_run(path)
    return path


def test_all_requests_and_all_look_ups_can_be_drawn(run_dir: Path) -> None:
    strips = [Strip("L", "ms", "requests", "latency_ms"), Strip("Q", "queries", "look-ups")]
    history = read_history(run_dir, ARMS, strips)

    for arm in ARMS:
        own = [s for s in read_evidence(run_dir).segments if s.arm == arm]
        assert len(history.arms[arm].points[None]["x"]) == sum(len(s.requests) for s in own)
        logged = sum(len(s.look_ups) for s in own)
        assert history.arms[arm].look_ups[None]["look_ups"].sum() == logged > 0


def test_an_act_lasts_from_its_injection_until_it_was_healed(busy_dir: Path) -> None:
    history = read_history(busy_dir, BUSY, [])

    for segment in read_evidence(busy_dir).segments:
        own = history.arms[segment.arm]
        origin_s = segment.started_s - own.rounds[segment.round].from_s
        (act,) = segment.acts
        assert act.healed_s is not None
        drawn = own.acts[segment.round]
        assert drawn.name == act.act == "redis killed"
        assert drawn.from_s == pytest.approx(act.injected_s - origin_s)
        assert drawn.to_s == pytest.approx(act.healed_s - origin_s)


def test_a_point_says_what_it_was_and_which_try(busy_dir: Path) -> None:
    history = read_history(busy_dir, BUSY, [LATENCY])
    said = history.arms["careless"].points[None]["what"]

    recorded = [s.requests for s in read_evidence(busy_dir).segments if s.arm == "careless"]
    edits = sum(int((of.operation == "edit").sum()) for of in recorded)
    assert said.count("edit") == edits > 0
    retried = sum(int((of.attempt == 2).sum()) for of in recorded)
    assert sum(what.endswith(", try 2") for what in said) == retried > 0


def test_no_round_is_drawn_over_the_next(busy_dir: Path) -> None:
    history = read_history(busy_dir, BUSY, [LATENCY])
    segments = read_evidence(busy_dir).segments

    assert history.thinning[None].requests == sum(len(s.requests) for s in segments)
    for own in history.arms.values():
        x = own.points[None]["x"]
        assert all(any(r.from_s <= t <= r.to_s for r in own.rounds) for t in x.tolist())


# --- samples -----------------------------------------------------------------------------------


def level_of(run_dir: Path, arms: dict[str, list[float]], name: str, *, per_s: bool) -> Any:
    strip = Strip("S", "", "samples", name, per_s=per_s)
    history = read_history(run_dir, arms, [strip])
    return {arm: own.samples[name, per_s] for arm, own in history.arms.items()}


def in_round(line: Any, segment: Segment) -> Any:
    began_s = segment.round * 4.5
    return (line["x"] > began_s - 0.01) & (line["x"] < began_s + 3.99)


@pytest.mark.parametrize("name", ["clicks_waiting", "web.clicks_waiting"])
def test_a_gauge_has_the_peaks_that_its_measure_has(busy_dir: Path, name: str) -> None:
    lines = level_of(busy_dir, BUSY, name, per_s=False)

    for segment in read_evidence(busy_dir).segments:
        t_s, values = series(segment, name)
        inside = (t_s >= segment.started_s) & (t_s < segment.ended_s)
        line = lines[segment.arm]
        own = line["level"][in_round(line, segment)]
        assert len(own) == 16
        if inside.any():
            assert np.nanmax(own) == pytest.approx(values[inside].max())


def test_the_rise_of_a_counter_adds_up(run_dir: Path) -> None:
    lines = level_of(run_dir, ARMS, "redis.commands", per_s=True)

    for arm in ARMS:
        own = [s for s in read_evidence(run_dir).segments if s.arm == arm]
        risen = sum(np.ptp(series(s, "redis.commands")[1]) for s in own)
        drawn = np.nansum(lines[arm]["level"] * (lines[arm]["end"] - lines[arm]["x"]))
        assert drawn == pytest.approx(risen, rel=0.15)


def test_a_series_that_nobody_read_is_an_empty_line(run_dir: Path) -> None:
    for per_s in (False, True):
        for line in level_of(run_dir, ARMS, "no.such_thing", per_s=per_s).values():
            assert np.isnan(line["level"]).all()


TIMES = np.arange(0, 4, 0.1)
EDGES = np.arange(0, 4.01, 0.5)
ROUND = {"started_s": 0.0, "ended_s": 4.0, "from_s": -1.0, "to_s": 5.0, "round": 0}


def drawn(*parts: tuple[Any, Any], per_s: bool = False) -> list[float]:
    line = levels(parts, [ROUND], apart_s=5, bin_s=0.5, per_s=per_s)
    return [round(float(level), 6) for level in line["level"]]


def test_parts_that_are_read_at_different_moments_are_added_up() -> None:
    later = TIMES + 0.03
    gauges = drawn((TIMES, np.full(40, 2.0)), (later, np.full(40, 3.0)))
    counters = drawn((TIMES, 10 * TIMES), (later, 20 * later), per_s=True)

    assert gauges == [5.0] * 8
    assert counters[1:-1] == [30.0] * 6


def test_a_part_that_says_nothing_leaves_a_gap_and_one_that_began_anew_does_not_fall() -> None:
    silent = (TIMES < 1) | (TIMES >= 3)
    hung = drawn((TIMES[silent], np.ones(int(silent.sum()))))
    counted = drawn((TIMES[silent], TIMES[silent]), per_s=True)
    anew = drawn((TIMES, np.where(TIMES < 2, TIMES, TIMES - 2)), per_s=True)

    assert hung[:2] == hung[-2:] == [1.0, 1.0]
    assert np.isnan(hung[4])
    assert np.isnan(counted[2:6]).all()
    assert min(level for level in anew if level == level) >= 0
    assert anew[0] == anew[-2] == 1.0


def test_a_level_holds_until_the_next_reading() -> None:
    assert drawn((np.array([0.0, 0.9, 1.8]), np.array([7.0, 3.0, 9.0])))[:4] == [7, 3, 3, 9]


# --- roles and writes --------------------------------------------------------------------------


def acknowledged(segment: Segment) -> int:
    """Acknowledged writes whose answer came before the segment's last arrival was due."""
    of = segment.requests
    writes = np.isin(of.operation, ("create", "edit", "delete")) & (of.outcome == "ok")
    return int((writes & (of.done_s < segment.ended_s)).sum())


def test_every_acknowledged_write_is_drawn_and_none_as_lost(busy_dir: Path) -> None:
    history = read_history(busy_dir, BUSY, [ACKNOWLEDGED])
    segments = read_evidence(busy_dir).segments

    for arm in BUSY:
        own = history.arms[arm].writes
        assert own["acknowledged"].sum() == sum(acknowledged(s) for s in segments if s.arm == arm)
        assert own["acknowledged"].sum() > 0
        assert own["lost"].sum() == 0


@pytest.mark.parametrize(
    "alter", [dropped("links", "deleted"), changed("links", "version > 1", version="1")]
)
def test_writes_are_lost_as_the_ledgers_say(alter: Alter, busy_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(busy_dir, tmp_path / "run")
    alter(tmp_path / "run")
    history = read_history(tmp_path / "run", BUSY, [ACKNOWLEDGED])

    for arm in BUSY:
        own = [s for s in read_evidence(tmp_path / "run").segments if s.arm == arm]
        lost = sum(s.ledgers[kind].lost for s in own for kind in ("links", "edits"))
        late = sum(int((s.requests.done_s >= s.ended_s).sum()) for s in own)
        assert 0 < lost - late <= history.arms[arm].writes["lost"].sum() <= lost


def test_without_a_read_back_no_write_is_called_lost(busy_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(busy_dir, tmp_path / "run")
    (tmp_path / "run" / "links.parquet").unlink()
    history = read_history(tmp_path / "run", BUSY, [ACKNOWLEDGED])

    assert history.missing == ["links.parquet"]
    assert len(history.arms["careful"].writes["x"]) == 0
    assert read_history(tmp_path / "run", BUSY, [LATENCY]).missing == []


def test_each_server_has_a_role_for_the_whole_of_each_round(busy_dir: Path) -> None:
    for own in read_history(busy_dir, BUSY, [ROLES]).arms.values():
        drawn_s = {s.server: 0.0 for s in own.roles}
        for span in own.roles:
            drawn_s[span.server] += span.to_s - span.from_s
        rounds_s = sum(span.to_s - span.from_s for span in own.rounds)
        assert drawn_s == {
            "postgres-1": pytest.approx(rounds_s), "postgres-2": pytest.approx(rounds_s),
        }  # fmt: skip
