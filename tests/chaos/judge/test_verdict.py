"""A verdict comes from the files of a run, and every seeded flaw changes it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaos.engine.run import Order, run
from chaos.experiments import _expiries as m
from chaos.judge.claims import at_most, fewer_than
from chaos.judge.lateness import generator_was_on_time, weighed
from chaos.judge.record_checks import figures_are_known
from chaos.judge.run_checks import RUN_CHECKS
from chaos.judge.verdict import judge
from chaos.measures.estimates import mean, worst
from chaos.model.evidence import (
    ActEvidence,
    Evidence,
    Finding,
    Generator,
    Ledger,
    Predicted,
    Reading,
    Result,
    Segment,
    Verdict,
)
from chaos.model.experiment import Arm, At, Claim, Experiment, Measure
from chaos.record.reader import read_evidence
from tests.support.busy import busy
from tests.support.fake_stack import FakeSlow, World, doubt_of, herd_order, lab, order_of

HERD = "origin_queries_per_expiry"


def carried_out(
    directory: Path, *flaws: str, full: bool = False, arms: list[Arm] | None = None
) -> tuple[Order, Result]:
    world = World(frozenset(flaws))
    order = herd_order(world, full=full)
    order = replace(order, arms=arms or order.arms)
    run(order, lab(world), directory / "run", lambda *_: None)
    return order, judge(order.experiment, read_evidence(directory / "run"))


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return herd_order(World()).experiment


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Of a sound run."""
    directory = tmp_path_factory.mktemp("sound") / "run"
    world = World()
    run(herd_order(world), lab(world), directory, lambda *_: None)
    return read_evidence(directory)


def findings(result: Result, verdict: Verdict) -> list[str]:
    return [f.text for f in [*result.claims, *result.checks] if f.verdict is verdict]


def test_a_sound_run_passes_with_the_herd_and_every_fix_as_theory_says(
    experiment: Experiment, evidence: Evidence
) -> None:
    result = judge(experiment, evidence)
    assert result.verdict is Verdict.PASS
    assert {arm.name: arm.verdict for arm in result.arms} == dict.fromkeys(
        ["direct", "singleflight", "lock", "lease", "xfetch", "swr"], Verdict.PASS
    )
    (direct,) = (arm for arm in result.arms if arm.naive)
    herd = direct.measures[HERD]
    assert herd.low <= direct.predictions[HERD].value <= herd.high


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
    claims = [c for c in order.experiment.claims if c.arms in ((fixed,), ())]
    order = replace(order, experiment=replace(order.experiment, claims=claims))
    run(order, lab(world), tmp_path / "run", lambda *_: None, doubt_of(order.experiment))
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


def test_the_same_files_give_the_same_verdict_again(tmp_path: Path) -> None:
    order, first = carried_out(tmp_path)
    again = judge(order.experiment, read_evidence(tmp_path / "run"))
    assert repr(again) == repr(first)


def test_the_verdict_of_nothing_is_invalid() -> None:
    assert Verdict.worst([]) is Verdict.INVALID
    assert Verdict.worst([Verdict.PASS, Verdict.FAIL, Verdict.PASS]) is Verdict.FAIL
    assert Verdict.worst([Verdict.FAIL, Verdict.INVALID]) is Verdict.INVALID


def without_arm(evidence: Evidence, name: str) -> Evidence:
    """As if it had never been asked for."""
    arms = {arm: own for arm, own in evidence.plan["arms"].items() if arm != name}
    segments = [segment for segment in evidence.segments if segment.arm != name]
    return replace(evidence, plan={**evidence.plan, "arms": arms}, segments=segments)


def test_a_run_without_the_naive_arm_is_invalid(experiment: Experiment, evidence: Evidence) -> None:
    result = judge(experiment, without_arm(evidence, "direct"))
    assert any("shows the failure" in text for text in findings(result, Verdict.INVALID))


# --- what is in a result ------------------------------------------------------------------------


def test_a_result_holds_every_claim_and_check(experiment: Experiment, evidence: Evidence) -> None:
    result = judge(experiment, evidence)
    rows = {row.name: row for row in result.arms}
    assert result.claims == [
        Finding(claim.text, *claim.check(rows), claim.arms_of(rows))
        for claim in experiment.claims
        if not claim.full_only
    ]
    assert result.checks == [
        *filter(None, (check(experiment, evidence) for check in RUN_CHECKS)),
        generator_was_on_time(evidence, weighed(experiment, evidence, rows)),
        figures_are_known(experiment.measures, rows),
    ]


def test_a_result_carries_what_it_was_made_from(experiment: Experiment, evidence: Evidence) -> None:
    result = judge(experiment, replace(evidence, trouble="web-1 died"))
    assert (result.experiment, result.trouble) == ("thundering-herd", "web-1 died")
    assert result.acts == evidence.acts
    assert result.ledgers["lock"] == {
        kind: Ledger(
            *(
                sum(getattr(s.ledgers[kind], name) for s in evidence.segments if s.arm == "lock")
                for name in Ledger.__dataclass_fields__
            )
        )
        for kind in ("clicks", "links", "edits")
    }


@pytest.mark.parametrize("without", [0, -1])
def test_a_segment_without_its_ledger_leaves_the_arm_without_that_one_and_the_run_invalid(
    experiment: Experiment, evidence: Evidence, without: int
) -> None:
    own = [number for number, s in enumerate(evidence.segments) if s.arm == "lock"][without]
    segments = list(evidence.segments)
    segments[own] = replace(segments[own], ledgers={})
    result = judge(experiment, replace(evidence, segments=segments))
    assert result.ledgers["lock"] == {}
    assert result.ledgers["direct"]
    assert result.verdict is Verdict.INVALID


def test_each_row_is_made_of_its_arm_s_own_segments(
    experiment: Experiment, evidence: Evidence
) -> None:
    rows = {row.name: row for row in judge(experiment, evidence).arms}
    assert [row.naive for row in rows.values()] == [True, False, False, False, False, False]
    for name, row in rows.items():
        own = [segment for segment in evidence.segments if segment.arm == name]
        assert row.measures == {
            measure.name: measure.summary(
                np.concatenate([measure.of(s) for s in own]), evidence.mode.tail
            )
            for measure in experiment.measures
        }
        assert row.inputs == {figure.name: figure.of(own) for figure in m.inputs}
    lock, flight = rows["lock"].predictions, rows["singleflight"].predictions
    assert lock == {HERD: Predicted(1.0, m.one.formula, m.one.source, False)}
    assert flight == {
        HERD: Predicted(2.0, m.one_per_process.formula, m.one_per_process.source, True)
    }


def test_a_failure_is_invalid_where_the_lab_lost_records_and_a_pass_stays_one(
    experiment: Experiment, evidence: Evidence
) -> None:
    stricter = replace(
        experiment, claims=[at_most("direct", m.origin_queries, 0.0), *experiment.claims]
    )
    whole = judge(stricter, evidence)
    damaged = judge(stricter, replace(evidence, damage=["clicks: 1 rows lost of 9"]))
    assert whole.claims[0].verdict is Verdict.FAIL
    assert damaged.claims == [replace(whole.claims[0], verdict=Verdict.INVALID), *whole.claims[1:]]
    assert {claim.verdict for claim in damaged.claims[1:]} == {Verdict.PASS}


def test_an_arm_that_never_ran_has_no_figures(experiment: Experiment, evidence: Evidence) -> None:
    others = [segment for segment in evidence.segments if segment.arm != "lock"]
    rows = {row.name: row for row in judge(experiment, replace(evidence, segments=others)).arms}
    assert not any(estimate.known for estimate in rows["lock"].measures.values())


def test_claims_about_arms_that_were_not_asked_for_are_left_out_and_listed(
    experiment: Experiment, evidence: Evidence
) -> None:
    result = judge(experiment, without_arm(evidence, "lock"))
    assert not [claim for claim in result.claims if claim.arms == ("lock",)]
    assert result.not_asked == ["lock: origin queries per expiry ≤ 1.5 queries"]
    (none,) = (claim for claim in result.claims if claim.text == "no arm has any failed")
    assert none.arms == ("direct", "singleflight", "lease", "xfetch", "swr")


def test_a_claim_about_all_other_arms_is_not_asked_if_none_of_them_ran(
    experiment: Experiment, evidence: Evidence
) -> None:
    names = [arm.name for arm in experiment.arms]
    but_lock = Claim(
        "no other", (), (), lambda _: (Verdict.PASS, ""), but=(*set(names) - {"lock"},)
    )
    own = replace(experiment, claims=[but_lock])
    assert judge(own, evidence).not_asked == []
    assert judge(own, without_arm(evidence, "lock")).not_asked == [but_lock.text]
    nobody = replace(experiment, claims=[replace(but_lock, but=(*names,))])
    assert judge(nobody, without_arm(evidence, "lock")).not_asked == []


def test_a_claim_about_two_arms_is_not_asked_without_either_and_passes_for_neither(
    experiment: Experiment, evidence: Evidence
) -> None:
    beside = fewer_than("lock", "swr", m.origin_queries)
    own = replace(experiment, claims=[beside])
    assert judge(own, evidence).not_asked == []
    for left_out, kept in [("swr", "lock"), ("lock", "swr")]:
        result = judge(own, without_arm(evidence, left_out))
        assert (result.not_asked, result.claims) == ([beside.text], [])
        (row,) = (row for row in result.arms if row.name == kept)
        assert row.verdict is Verdict.INVALID


def test_a_claim_about_an_arm_that_does_not_exist_is_invalid_not_left_out(
    experiment: Experiment, evidence: Evidence
) -> None:
    for arms in [("magic",), ("lock", "magic")]:
        lost = Claim("?", arms, (), lambda rows: (rows["magic"].verdict, ""))
        result = judge(replace(experiment, claims=[lost]), evidence)
        assert result.not_asked == []
        assert result.claims == [
            Finding("?", Verdict.INVALID, "the check crashed: KeyError('magic')", arms)
        ]


@pytest.mark.parametrize("name", ["quick", "full"])
def test_what_only_full_runs_claim_is_not_listed_as_not_asked_by_others(
    experiment: Experiment, evidence: Evidence, name: str
) -> None:
    own = replace(experiment, claims=[claiming("lock", verdict=Verdict.PASS, full_only=True)])
    mode = replace(evidence.mode, name=name)  # type: ignore[arg-type]
    less = without_arm(replace(evidence, mode=mode), "lock")
    assert len(judge(own, less).not_asked) == (name == "full")


@pytest.mark.parametrize(("name", "ran", "judged"), [
    ("quick", False, 0), ("quick", True, 1), ("full", True, 1),
])  # fmt: skip
def test_a_claim_about_an_arm_of_full_runs_is_made_where_the_arm_ran(
    experiment: Experiment, evidence: Evidence, name: str, ran: bool, judged: int
) -> None:
    arms = [replace(arm, full_only=arm.name == "lock") for arm in experiment.arms]
    claims = [claiming("lock", verdict=Verdict.PASS)]
    mode = replace(evidence.mode, name=name)  # type: ignore[arg-type]
    seen = replace(evidence, mode=mode)
    result = judge(
        replace(experiment, arms=arms, claims=claims), seen if ran else without_arm(seen, "lock")
    )
    assert (len(result.claims), result.not_asked) == (judged, [])


def claiming(
    *arms: str, verdict: Verdict, full_only: bool = False, but: tuple[str, ...] = ()
) -> Claim:
    return Claim(f"{arms} {verdict}", arms, (), lambda _: (verdict, "seen"), but, full_only)


def test_a_claim_about_every_arm_but_one_is_asked_of_each_other_arm_alone(
    experiment: Experiment, evidence: Evidence
) -> None:
    claims = [
        claiming("direct", verdict=Verdict.PASS),
        Claim("alone", (), (), lambda rows: (Verdict.of([*rows] != ["swr"]), ""), ("direct",)),
    ]
    result = judge(replace(experiment, claims=claims), evidence)
    verdicts = {row.name: row.verdict for row in result.arms}
    assert verdicts == {**dict.fromkeys(verdicts, Verdict.PASS), "swr": Verdict.FAIL}
    assert result.claims[1].arms == ("singleflight", "lock", "lease", "xfetch", "swr")


def test_a_claim_about_two_arms_counts_for_the_first(
    experiment: Experiment, evidence: Evidence
) -> None:
    claims = [claiming("lock", "direct", verdict=Verdict.FAIL)]
    result = judge(replace(experiment, claims=claims), evidence)
    verdicts = {row.name: row.verdict for row in result.arms}
    assert (verdicts["lock"], verdicts["direct"]) == (Verdict.FAIL, Verdict.INVALID)


def test_the_verdict_of_an_arm_is_the_worst_of_the_claims_about_it(
    experiment: Experiment, evidence: Evidence
) -> None:
    claims = [
        claiming("direct", verdict=Verdict.PASS),
        claiming("lock", verdict=Verdict.FAIL),
        claiming("lock", verdict=Verdict.PASS),
    ]
    result = judge(replace(experiment, claims=claims), evidence)
    verdicts = {row.name: row.verdict for row in result.arms}
    assert (verdicts["direct"], verdicts["lock"]) == (Verdict.PASS, Verdict.FAIL)
    assert verdicts["lease"] is Verdict.INVALID, "nothing was claimed of it"
    assert result.verdict is Verdict.FAIL


def test_to_the_claims_no_arm_has_proven_anything_yet(
    experiment: Experiment, evidence: Evidence
) -> None:
    leaning = Claim("as lock says", ("lock",), (), lambda arms: (arms["lock"].verdict, ""))
    (finding,) = judge(replace(experiment, claims=[leaning]), evidence).claims
    assert finding.verdict is Verdict.INVALID


@pytest.mark.parametrize("name", ["quick", "full"])
def test_a_claim_for_full_runs_is_made_of_no_other(
    experiment: Experiment, evidence: Evidence, name: str
) -> None:
    own = replace(experiment, claims=[claiming("lock", verdict=Verdict.PASS, full_only=True)])
    mode = replace(evidence.mode, name=name)  # type: ignore[arg-type]
    assert len(judge(own, replace(evidence, mode=mode)).claims) == (name == "full")


# --- what crashes -------------------------------------------------------------------------------


def crashing(_: object) -> Any:
    raise ZeroDivisionError("as told")


def test_a_claim_that_crashes_is_invalid(experiment: Experiment, evidence: Evidence) -> None:
    broken = Claim("lock holds", ("lock",), (), crashing)
    result = judge(replace(experiment, claims=[broken]), evidence)
    observed = "the check crashed: ZeroDivisionError('as told')"
    assert result.claims == [Finding("lock holds", Verdict.INVALID, observed, ("lock",))]


def test_checks_that_crash_are_invalid_and_called_by_their_names(
    experiment: Experiment, evidence: Evidence
) -> None:
    (control,) = evidence.control
    empty = replace(control, requests=None, started_s=None)  # type: ignore[arg-type]
    unreadable = replace(evidence, control=[empty])
    unknowable = [replace(measure, summary=lambda *_: None) for measure in experiment.measures]  # type: ignore[arg-type]
    result = judge(replace(experiment, measures=unknowable), unreadable)
    crashed = [f for f in result.checks if f.observed.startswith("the check crashed: ")]
    assert {f.verdict for f in crashed} == {Verdict.INVALID}
    names = {"control_is_healthy", "ran_as_planned", "figures_are_known"}
    assert names <= {f.text for f in crashed}


# --- figures that a segment was too short for -----------------------------------------------------


def judged_by(experiment: Experiment, evidence: Evidence, measure: Measure) -> dict[str, Any]:
    own = replace(experiment, measures=[measure], claims=[], costs=[])
    return {row.name: row.measures["m"] for row in judge(own, evidence).arms}


def test_a_figure_that_did_not_come_about_counts_as_the_time_it_was_watched_and_says_so(
    experiment: Experiment, evidence: Evidence
) -> None:
    def of(segment: Segment) -> Any:
        return np.array([math.inf if segment.arm == "lock" and segment.round else 1.0])

    seen = judged_by(experiment, evidence, Measure("m", "s", "m", of, mean))
    assert (seen["lock"].value, seen["lock"].at_least) == ((1.0 + 4.0) / 2, True)
    assert (seen["swr"].value, seen["swr"].at_least) == (1.0, False)
    shorter = Measure("m", "s", "m", of, mean, censored_at=lambda _: 2.0)
    assert judged_by(experiment, evidence, shorter)["lock"].value == 1.5
    high = judged_by(experiment, evidence, replace(shorter, summary=worst))["lock"]
    assert (high.value, high.at_least) == (2.0, True)


def test_no_figure_at_all_is_not_a_figure_cut_short(
    experiment: Experiment, evidence: Evidence
) -> None:
    nothing = Measure("m", "s", "m", lambda _: np.array([math.nan]), mean)
    seen = judged_by(experiment, evidence, nothing)["lock"]
    assert (seen.known, seen.at_least) == (False, False)


def test_an_experiment_of_everything_passes_and_each_flaw_is_seen(tmp_path: Path) -> None:
    wanted = {
        "": Verdict.PASS,
        "act injected late": Verdict.INVALID,
        "act healed late": Verdict.INVALID,
        "part restarts unplanned": Verdict.INVALID,
        "queue never drains": Verdict.INVALID,
        "edit lost": Verdict.FAIL,
        "link lost": Verdict.FAIL,
        "click doubled": Verdict.FAIL,
    }
    seen = {}
    for number, flaw in enumerate(wanted):
        order = order_of(busy(world := World(frozenset([flaw]))))
        run(order, lab(world), tmp_path / str(number), lambda *_: None)
        seen[flaw] = judge(order.experiment, read_evidence(tmp_path / str(number))).verdict
    assert seen == wanted


# --- acts, by their readings --------------------------------------------------------------------


def reading(value: float, what: str = "SELECT 1", unit: str = "ms") -> Reading:
    return Reading(what, value, unit)


PROVEN = ActEvidence(
    act="replica link +120 ms",
    arm="lock",
    segment=2,
    injected_s=0.0,
    lifted_s=1.0,
    healed_s=1.0,
    before=reading(0.5),
    during=reading(120.5),
    after=reading(0.5),
    took_effect=True,
    healed=True,
    begun_s=0.0,
    again=reading(120.5),
)


@pytest.mark.parametrize(
    ("change", "took_effect", "healed"),
    [
        ({}, True, True),
        ({"during": reading(108.5)}, True, True),
        ({"during": reading(108.4)}, False, True),
        ({"after": reading(12.5)}, True, True),
        ({"after": reading(12.6)}, True, False),
        ({"took_effect": False}, False, True),
        ({"healed": False}, True, False),
        ({"before": reading(0.0), "after": reading(0.0)}, True, True),
        ({"before": None}, False, False),
        ({"during": None}, False, False),
        ({"again": reading(108.5)}, True, True),
        ({"again": reading(108.4)}, False, True),
        ({"again": reading(120.5, unit="s")}, False, True),
        ({"again": None}, False, True),
        ({"after": None}, False, False),
        ({"before": reading(-0.5)}, False, False),
        ({"after": reading(-0.5)}, False, False),
        ({"before": reading(0.5, what="PING")}, False, False),
        ({"during": reading(120.5, unit="s")}, False, False),
        ({"act": "replica link +60 ms"}, False, False),
    ],
)
def test_an_act_is_proven_by_its_readings(
    experiment: Experiment,
    evidence: Evidence,
    change: dict[str, Any],
    took_effect: bool,
    healed: bool,
) -> None:
    only = replace(evidence.segments[0], acts=[replace(PROVEN, **change)])
    (act,) = judge(experiment, replace(evidence, segments=[only], control=[])).acts
    assert (act.took_effect, act.healed) == (took_effect, healed)


def test_an_act_of_one_arm_s_own_timeline_is_proven_too(
    experiment: Experiment, evidence: Evidence
) -> None:
    weak = FakeSlow(World(), 60, "replica link +60 ms")
    arms = [
        replace(a, timeline=[At(0.0, weak)]) if a.name == "lock" else a for a in experiment.arms
    ]
    own = replace(PROVEN, act=weak.name, during=reading(55.0), again=reading(55.0))
    for experiment_, proven in [(replace(experiment, arms=arms), True), (experiment, False)]:
        only = replace(evidence.segments[0], arm="lock", acts=[own])
        (act,) = judge(experiment_, replace(evidence, segments=[only], control=[])).acts
        assert act.proven is proven


def test_an_act_in_the_control_is_proven_by_its_readings_too(
    experiment: Experiment, evidence: Evidence
) -> None:
    (control,) = evidence.control
    odd = replace(control, acts=[replace(PROVEN, during=reading(0.5))])
    first, *_ = judge(experiment, replace(evidence, control=[odd])).acts
    assert not first.took_effect


def test_of_acts_with_one_name_each_arm_has_its_own(
    experiment: Experiment, evidence: Evidence
) -> None:
    strong = FakeSlow(World(), 240, PROVEN.act)
    arms = [
        replace(a, timeline=[At(0.0, strong)]) if a.name == "lock" else a for a in experiment.arms
    ]
    mixed = replace(experiment, arms=arms)
    for arm, proven in [("direct", True), ("lock", False)]:
        only = replace(evidence.segments[0], arm=arm, acts=[replace(PROVEN, arm=arm)])
        (act,) = judge(mixed, replace(evidence, segments=[only], control=[])).acts
        assert act.proven is proven


def test_an_act_without_effect_makes_the_run_invalid_whatever_was_said_of_it(
    experiment: Experiment, evidence: Evidence
) -> None:
    first, *others = evidence.segments
    weak = replace(first, acts=[replace(first.acts[0], during=reading(0.5))])
    result = judge(experiment, replace(evidence, segments=[weak, *others]))
    assert findings(result, Verdict.INVALID) == ["every act took effect and was healed"]


# --- the generator ------------------------------------------------------------------------------


def with_lags(segment: Segment, lags_ms: list[float]) -> Segment:
    """Of only as many requests, sent so late."""
    columns = {
        name: getattr(segment.requests, name)[: len(lags_ms)]
        for name in segment.requests.__dataclass_fields__
    }
    requests = replace(segment.requests, **columns)
    sent_s = requests.intended_s + np.array(lags_ms) / 1000
    return replace(segment, requests=replace(requests, sent_s=sent_s))


def test_the_generator_s_lags_are_the_worst_segment_s_on_record(
    experiment: Experiment, evidence: Evidence
) -> None:
    own = [with_lags(s, [1.0] * 11) for s in evidence.segments]
    own[1] = with_lags(own[1], [float(lag) for lag in range(11)])
    own[2] = with_lags(own[2], [])
    own = [replace(s, generator=Generator(20, 19, 2, 1, 70.0, 80.0)) for s in own]
    seen = judge(experiment, replace(evidence, segments=own)).generator
    assert seen.lag_p50_ms == pytest.approx(5.0)
    assert seen.lag_p99_ms == pytest.approx(9.9)
    assert (seen.offered, seen.sent, seen.late, seen.unsent) == (240, 228, 24, 12)


def test_without_a_request_the_generator_has_no_lags(
    experiment: Experiment, evidence: Evidence
) -> None:
    seen = judge(experiment, replace(evidence, segments=[])).generator
    assert math.isnan(seen.lag_p50_ms)
    assert math.isnan(seen.lag_p99_ms)
