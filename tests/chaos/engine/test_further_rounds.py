"""Arms in doubt get further rounds up to the bound, on record; a run looks at itself to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.engine.run import InDoubt, none_in_doubt, run
from chaos.judge.doubt import arms_in_doubt
from chaos.judge.record_checks import ran_as_planned
from chaos.judge.verdict import judge
from chaos.model.evidence import CONTROL, Evidence, Look, Mode, Verdict
from chaos.record.reader import read_events, read_evidence
from tests.support.fake_stack import World, herd_order, lab

WHY = "undecided: queue"


def carried_out(directory: Path, in_doubt: InDoubt, mode: Mode | None = None) -> Evidence:
    world = World()
    order = herd_order(world, fix="lock")
    order = replace(order, mode=mode or order.mode)
    run(order, lab(world), directory, lambda *_: None, in_doubt)
    return read_evidence(directory)


def rounds(evidence: Evidence, arm: str) -> list[int]:
    return [segment.round for segment in evidence.segments if segment.arm == arm]


def test_a_mode_bounds_the_rounds_and_looks_three_times_at_most() -> None:
    quick, full = Mode("quick", 2, 1.0), Mode("full", 6, 1.0)
    assert (quick.rounds_max, list(quick.looks)) == (6, [2, 4, 6])
    assert (full.rounds_max, list(full.looks)) == (12, [6, 9, 12])
    assert list(replace(quick, rounds_max=3).looks) == [2, 3]
    assert list(replace(quick, rounds_max=2).looks) == [2]
    assert quick.tail * 3 == pytest.approx(0.025)
    assert replace(quick, rounds_max=2).tail == 0.025


def test_without_doubt_the_planned_rounds_are_all_and_one_look_is_on_record(tmp_path: Path) -> None:
    evidence = carried_out(tmp_path / "run", none_in_doubt)
    assert rounds(evidence, "lock") == rounds(evidence, "direct") == [0, 1]
    assert evidence.looks == [Look(2, {})]


def test_an_arm_in_doubt_gets_rounds_as_long_as_it_is_and_no_more_than_the_bound(
    tmp_path: Path,
) -> None:
    seen: list[list[int]] = []

    def doubt(record: Path) -> Mapping[str, str]:
        seen.append(rounds(read_evidence(record), "lock"))
        return {"lock": WHY}

    evidence = carried_out(tmp_path / "run", doubt)
    assert seen == [[], [0, 1], [0, 1, 2, 3]]
    assert (rounds(evidence, "lock"), rounds(evidence, "direct")) == ([*range(6)], [0, 1])
    assert ran_as_planned(herd_order(World()).experiment, evidence).verdict is Verdict.PASS
    whats = [e["what"] for e in read_events(tmp_path / "run") if e["kind"] == "segment-started"]
    assert whats[-1] == f"lock · round 6 ({WHY})"


def test_once_no_arm_is_in_doubt_the_run_ends(tmp_path: Path) -> None:
    answers = iter([{}, {"lock": WHY}, {}])
    evidence = carried_out(tmp_path / "run", lambda _: next(answers))
    assert rounds(evidence, "lock") == [0, 1, 2, 3]
    assert evidence.looks == [Look(2, {"lock": WHY}), Look(4, {})]


def test_further_rounds_come_in_steps_where_the_bound_is_far(tmp_path: Path) -> None:
    mode = Mode("full", rounds=2, segment_s=4.0, rounds_max=8)
    evidence = carried_out(tmp_path / "run", lambda _: {"lock": WHY}, mode)
    assert [look.rounds for look in evidence.looks] == [2, 5]
    assert rounds(evidence, "lock") == [*range(8)]


def test_a_control_that_is_not_well_is_tried_again_for_twice_as_long(tmp_path: Path) -> None:
    answers = iter([{CONTROL: "2 requests, 1 failed"}, {}, {}])
    evidence = carried_out(tmp_path / "run", lambda _: next(answers))
    lengths_s = [segment.ended_s - segment.started_s for segment in evidence.control]
    assert [segment.round for segment in evidence.control] == [-1, -2]
    assert lengths_s == pytest.approx([1.5, 3.0])
    assert rounds(evidence, "lock") == [0, 1]
    whats = [e["what"] for e in read_events(tmp_path / "run") if e["kind"] == "segment-started"]
    assert whats[:2] == ["control", "control (2 requests, 1 failed)"]


def test_a_control_that_stays_ill_is_tried_three_times(tmp_path: Path) -> None:
    def doubt(record: Path) -> Mapping[str, str]:
        return {} if read_evidence(record).segments else {CONTROL: "ill"}

    evidence = carried_out(tmp_path / "run", doubt)
    assert [segment.round for segment in evidence.control] == [-1, -2, -3]


def test_a_look_that_fails_asks_for_nothing_and_is_told_in_the_log(tmp_path: Path) -> None:
    def crash(_: Path) -> Mapping[str, str]:
        raise ValueError("no verdict")

    evidence = carried_out(tmp_path / "run", crash)
    assert evidence.trouble is None
    assert rounds(evidence, "lock") == [0, 1]
    assert "no verdict" in (tmp_path / "run" / "logs" / "lab.log").read_text()


def test_a_look_sees_all_that_a_claim_needs_but_what_is_read_back_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    experiment = herd_order(World()).experiment
    seen: list[Evidence] = []

    def doubt(record: Path) -> Mapping[str, str]:
        seen.append(read_evidence(record))
        return arms_in_doubt(experiment, seen[-1])

    evidence = carried_out(tmp_path / "run", doubt)
    _, look = seen
    assert [len(s.requests) for s in look.segments] == [len(s.requests) for s in evidence.segments]
    assert [len(s.look_ups) for s in look.segments] == [len(s.look_ups) for s in evidence.segments]
    assert (look.read_back, look.trouble) == (False, "the run did not finish")
    assert look.segments[0].ledgers == {}
    assert judge(experiment, evidence).verdict is Verdict.PASS
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.startswith(".look")]
