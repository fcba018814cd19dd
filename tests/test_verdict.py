"""A verdict comes from the files of a run, and every seeded flaw changes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.evidence import read_evidence
from chaos.model import Arm, Result, Verdict
from chaos.run import Order, run
from chaos.verdict import judge
from tests.fake import World, herd_order, lab


def carried_out(
    directory: Path, *flaws: str, full: bool = False, arms: list[Arm] | None = None
) -> tuple[Order, Result]:
    world = World(frozenset(flaws))
    order = herd_order(world, full=full)
    order = replace(order, arms=arms or order.arms)
    run(order, lab(world), directory / "run", lambda *_: None)
    return order, judge(order.experiment, read_evidence(directory / "run"))


def findings(result: Result, verdict: Verdict) -> list[str]:
    return [f.text for f in [*result.claims, *result.checks] if f.verdict is verdict]


def test_a_sound_run_passes_with_the_herd_and_every_fix_as_theory_says(tmp_path: Path) -> None:
    _, result = carried_out(tmp_path)
    assert result.verdict is Verdict.PASS
    assert {arm.name: arm.verdict for arm in result.arms} == dict.fromkeys(
        ["direct", "singleflight", "lock", "lease", "xfetch", "swr"], Verdict.PASS
    )
    (direct,) = (arm for arm in result.arms if arm.naive)
    herd = direct.measures["origin_queries_per_expiry"]
    assert herd.low <= direct.predictions["origin_queries_per_expiry"].value <= herd.high


def test_a_full_run_holds_xfetch_to_its_law(tmp_path: Path) -> None:
    _, result = carried_out(tmp_path, full=True)
    assert result.verdict is Verdict.PASS
    assert any("of its law" in claim.text for claim in result.claims)


def test_a_fault_that_does_nothing_shows_no_herd_and_is_invalid_not_failed(tmp_path: Path) -> None:
    _, result = carried_out(tmp_path, "fault does nothing")
    assert result.verdict is Verdict.INVALID


@pytest.mark.parametrize("fixed", ["singleflight", "lock", "lease", "swr"])
def test_a_fix_that_does_not_work_fails(tmp_path: Path, fixed: str) -> None:
    broken = Arm(fixed, {"CACHE_FILL": "direct"})
    naive = Arm("direct", {"CACHE_FILL": "direct"}, naive=True)
    world = World()
    order = herd_order(world)
    arms = [naive, replace(broken, predictions={})]
    order = replace(order, experiment=replace(order.experiment, arms=arms), arms=arms)
    claims = [c for c in order.experiment.claims if c.arm in (fixed, None)]
    order = replace(order, experiment=replace(order.experiment, claims=claims))
    run(order, lab(world), tmp_path / "run", lambda *_: None)
    result = judge(order.experiment, read_evidence(tmp_path / "run"))
    assert result.verdict is Verdict.FAIL
    assert any(fixed in text for text in findings(result, Verdict.FAIL))


def test_a_naive_arm_without_the_failure_makes_the_run_invalid(tmp_path: Path) -> None:
    world = World()
    order = herd_order(world)
    cured = [
        replace(arm, settings={"CACHE_FILL": "lock"}) if arm.naive else arm for arm in order.arms
    ]
    order = replace(order, experiment=replace(order.experiment, arms=cured), arms=cured)
    run(order, lab(world), tmp_path / "run", lambda *_: None)
    result = judge(order.experiment, read_evidence(tmp_path / "run"))
    assert result.verdict is Verdict.INVALID
    assert any("shows the failure" in text for text in findings(result, Verdict.INVALID))


def test_a_herd_too_small_to_tell_is_invalid(tmp_path: Path) -> None:
    world = World()
    order = herd_order(world)
    traffic = replace(order.experiment.traffic, rate_per_s=24)
    order = replace(order, experiment=replace(order.experiment, traffic=traffic))
    run(order, lab(world), tmp_path / "run", lambda *_: None)
    result = judge(order.experiment, read_evidence(tmp_path / "run"))
    assert result.verdict is Verdict.INVALID
    assert "too small" in result.claims[0].observed


def test_too_few_expiries_are_invalid(tmp_path: Path) -> None:
    world = World()
    order = herd_order(world)
    order = replace(order, mode=replace(order.mode, segment_s=1.0))
    run(order, lab(world), tmp_path / "run", lambda *_: None)
    result = judge(order.experiment, read_evidence(tmp_path / "run"))
    assert "every arm saw at least 6 expiries" in findings(result, Verdict.INVALID)


NEVER_EXPIRES = (
    "direct, lock: no origin queries per expiry, peak, p99 after expiry, oldest, p50 after expiry,"
    " max, waited, since the hot key did not expire and come back while requests for it were"
    " answered; direct, lock: no Redis commands due to an expiry, since no two expiries were far"
    " enough apart to see what Redis does in calm"
)
EXPIRES_ALL_THE_TIME = (
    "direct, lock: no Redis commands per redirect, Redis commands due to an expiry, since no two"
    " expiries were far enough apart to see what Redis does in calm"
)


@pytest.mark.parametrize(("ttl_s", "why"), [("60", NEVER_EXPIRES), ("0.01", EXPIRES_ALL_THE_TIME)])
def test_settings_that_leave_a_measure_without_a_figure_are_told_as_such(
    tmp_path: Path, ttl_s: str, why: str
) -> None:
    order = herd_order(world := World())
    arms = [arm for arm in order.arms if arm.name in ("direct", "lock")]
    order = replace(order, arms=arms, overrides={"CACHE_TTL_S": ttl_s})
    run(order, lab(world), tmp_path / "run", lambda *_: None)
    result = judge(order.experiment, read_evidence(tmp_path / "run"))
    (figures,) = (f for f in result.checks if f.text == "every measure of every arm has a figure")
    assert (figures.verdict, figures.observed) == (Verdict.INVALID, why)


def test_a_crashing_claim_or_check_is_invalid(tmp_path: Path) -> None:
    order, _ = carried_out(tmp_path)
    experiment = order.experiment
    broken = replace(experiment.claims[0], check=lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    result = judge(replace(experiment, claims=[broken]), read_evidence(tmp_path / "run"))
    assert result.claims[0].verdict is Verdict.INVALID
    assert "ZeroDivisionError" in result.claims[0].observed


def test_the_same_files_give_the_same_verdict_again(tmp_path: Path) -> None:
    order, first = carried_out(tmp_path)
    again = judge(order.experiment, read_evidence(tmp_path / "run"))
    assert repr(again) == repr(first)


def test_the_verdict_of_nothing_is_invalid() -> None:
    assert Verdict.worst([]) is Verdict.INVALID
    assert Verdict.worst([Verdict.PASS, Verdict.FAIL, Verdict.PASS]) is Verdict.FAIL
    assert Verdict.worst([Verdict.FAIL, Verdict.INVALID]) is Verdict.INVALID


def test_a_run_without_the_naive_arm_is_invalid(tmp_path: Path) -> None:
    order, _ = carried_out(tmp_path)
    evidence = read_evidence(tmp_path / "run")
    arms = {name: own for name, own in evidence.plan["arms"].items() if name != "direct"}
    segments = [segment for segment in evidence.segments if segment.arm != "direct"]
    without = replace(evidence, plan={**evidence.plan, "arms": arms}, segments=segments)
    result = judge(order.experiment, without)
    assert any("shows the failure" in text for text in findings(result, Verdict.INVALID))
