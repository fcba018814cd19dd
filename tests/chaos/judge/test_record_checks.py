"""Checks of soundness: records that are accepted, records that are refused, and the messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chaos import experiments
from chaos.judge import record_checks as s
from chaos.measures.estimates import mean
from chaos.model.evidence import (
    ActEvidence,
    Answers,
    ArmResult,
    Estimate,
    Evidence,
    Finding,
    Generator,
    Look,
    LookUps,
    Mode,
    Oddities,
    Requests,
    Samples,
    Segment,
    Verdict,
)
from chaos.model.experiment import At, Experiment, Measure
from chaos.model.plan import timeline_plan, traffic_plan
from chaos.model.traffic import Operation, Step, Traffic, Visit
from tests.support.fake_stack import FakeKill, FakeSlow, World
from tests.support.segments import NO_REDIRECTS, evidence_of, followed, segment_of
from tests.support.segments import looked_up as all_of_rank_0

EDGE_S = 2e-6  # rounding may be so much
HERD = replace(
    experiments.load("thundering-herd"),
    traffic=Traffic(rate_per_s=100, hot_share=0.9),
    quick=Mode("quick", rounds=2, segment_s=4.0, events=3, control_s=2.0),
    full=Mode("full", rounds=3, segment_s=8.0, events=9, control_s=4.0),
)
ARMS = {arm.name: {**HERD.settings, **arm.settings} for arm in HERD.arms[:3]}
PLANNED = {
    name: {
        "settings": settings,
        "traffic": traffic_plan(HERD.traffic),
        "timeline": timeline_plan(HERD.timeline),
    }
    for name, settings in ARMS.items()
}
COUNTED = {
    **{"redis.commands": 400.0, "primary.look_ups": 0.0, "replica.look_ups": 1.0},
    **{"web-1.look_ups": 1.0, "web-1.requests": 400.0, "web-1.starts": 0.0, "redis.starts": 0.0},
}

Change = Callable[[Evidence], Evidence]


def segment(arm: str, number: int, started_s: float, duration_s: float) -> Segment:
    """A hundred requests a second, nine of ten for the hot key, and a look-up in the first one."""
    count = round(100 * duration_s)
    intended_s = started_s + (np.arange(count) + 0.5) / 100
    sample_s = started_s + np.arange(0.1, duration_s, 0.5)
    read_s = intended_s[:1] + 0.002
    return Segment(
        number=round(started_s),
        arm=arm,
        round=number,
        settings=ARMS.get(arm, ARMS["direct"]),
        started_s=started_s,
        ended_s=started_s + duration_s,
        settled_s=started_s + duration_s,
        web_processes=2,
        shared_links=20,
        requests=Requests(
            intended_s=intended_s,
            sent_s=intended_s + 0.001,
            done_s=intended_s + 0.004,
            rank=np.where(np.arange(count) % 10 == 9, 1, 0),
            status=np.full(count, 302),
            version=np.ones(count, dtype=np.int64),
            age_ms=np.full(count, 5.0),
            outcome=np.full(count, "ok", dtype="U8"),
            served_from=np.full(count, "hit"),
            operation=np.full(count, "follow"),
            session=np.arange(count),
            attempt=np.ones(count, dtype=np.int64),
            last=np.full(count, True),
            timeline=np.full(count, -1),
        ),
        look_ups=looked_up([0], read_s, read_s, read_s + 0.001, read_s + 0.001),
        samples=redis(sample_s, 100 * (sample_s - started_s)),
        generator=Generator(count, count, 0, 0, 0.1, 1.0, visits=count),
        counted=COUNTED,
        acts=[],
        ledgers={},
        in_force=[],
        states=[],
        made_ready=all_of_rank_0([], [], [], []),
        gateway=NO_REDIRECTS,
    )


def looked_up(rank: Sequence[int] | np.ndarray, *times: Sequence[float] | np.ndarray) -> LookUps:
    """Look-ups that were read, asked, answered and stored at these times; none failed."""
    return replace(all_of_rank_0(*times), rank=np.array(rank))


def redis(at_s: Sequence[float] | np.ndarray, commands: Sequence[float] | np.ndarray) -> Samples:
    """Readings of its counter at these moments; those of the databases stand still."""
    still = {name: np.zeros(len(at_s)) for name in s.REQUIRED_SAMPLES}
    moving = {**still, "redis.commands": np.array(commands, dtype=float)}
    return Samples({name: np.array(at_s) for name in moving}, moving)


SOUND = Evidence(
    plan={
        "arms": PLANNED,
        "began_s": 1.0,
    },
    mode=HERD.quick,
    segments=[
        segment(arm, number, 10.0 + 20 * number + 5 * place, 4.0)
        for number in range(2)
        for place, arm in enumerate(ARMS)
    ],
    control=[segment("control", -1, 5.0, 2.0)],
    oddities=Oddities(0, 0, 0, 0, 0, 0),
    read_back=True,
    trouble=None,
    looks=[Look(2, {})],
    damage=[],
    answers=Answers(),
)


# --- what is changed -----------------------------------------------------------------------------


def planned(**values: object) -> Change:
    return lambda e: replace(e, plan={**e.plan, **values})


def mode(**values: Any) -> Change:
    return lambda e: replace(e, mode=replace(e.mode, **values))


def first(**values: Any) -> Change:
    """The first segment has other values."""
    return lambda e: replace(e, segments=[replace(e.segments[0], **values), *e.segments[1:]])


def last(**values: Any) -> Change:
    return lambda e: replace(e, segments=[*e.segments[:-1], replace(e.segments[-1], **values)])


def control(**values: Any) -> Change:
    return lambda e: replace(e, control=[replace(e.control[0], **values)])


def arms_planned(**arms: Any) -> Change:
    """The plan of some arms differs in these fields."""
    own = {name: {**PLANNED.get(name, {}), **change} for name, change in arms.items()}
    return planned(arms={**PLANNED, **own})


def counted(change: Callable[..., Change], **values: float) -> Change:
    """Counters moved so far; `redis_commands` is redis.commands."""
    named = {name.replace("_", ".", 1): value for name, value in values.items()}
    return change(counted={**COUNTED, **named})


def with_requests(row: int = 0, **values: Any) -> Change:
    """One request of the first segment has other values."""
    columns = asdict(SOUND.segments[0].requests)
    for name, value in values.items():
        columns[name] = columns[name].copy()
        columns[name][row] = value
    return first(requests=Requests(**columns))


def with_look_up(**values: float) -> Change:
    """The look-up of the first segment has other values."""
    look_ups = SOUND.segments[0].look_ups
    return first(look_ups=replace(look_ups, **{n: np.array([v]) for n, v in values.items()}))


def only(*segments: Segment) -> Evidence:
    return replace(SOUND, control=[], segments=segments)


def requests(count: int, **columns: Any) -> Requests:
    """So many, with nothing but zeros where no column is told."""
    zeros: dict[str, Any] = {field.name: np.zeros(count) for field in fields(Requests)}
    zeros |= {"session": np.arange(count), "operation": np.full(count, "follow")}
    return Requests(**(zeros | columns))


def instant(**times: float) -> Evidence:
    """One request in a segment without length, all at 0 s but what is told."""
    started_s, ended_s = times.pop("started_s", 0.0), times.pop("ended_s", 0.0)
    own = requests(1, **{name: np.array([at_s]) for name, at_s in times.items()})
    return only(replace(SOUND.control[0], requests=own, started_s=started_s, ended_s=ended_s))


def observed(finding: Finding | None) -> str:
    """The message of a check that did not pass."""
    assert finding is not None
    assert finding.verdict is Verdict.INVALID
    return finding.observed


def test_of_a_sound_record_each_check_says_what_it_saw() -> None:
    findings = [
        s.ran_as_planned(HERD, SOUND),
        s.requests_are_credible(HERD, SOUND),
        s.clocks_agree(HERD, SOUND),
        s.traffic_was_as_planned(HERD, SOUND),
        s.samples_are_whole(HERD, SOUND),
        s.parts_lived_on(HERD, SOUND),
        s.figures_are_known(MEASURES[:1], rows(1.0)),
    ]
    assert [(f.text, f.observed) for f in findings if f and f.verdict is Verdict.PASS] == [
        ("the run was the experiment's, from plan to end", "6 segments of it"),
        ("every request on record can be true", "all 2600 can"),
        ("every look-up falls into a request for its key", "all 7 look-ups do"),
        ("the traffic was the planned one", "2600 visits in 26.0 s"),
        ("the counters were read throughout", "156 readings"),
        ("no part died unplanned", "0 began anew, as planned"),
        ("every measure of every arm has a figure", "1 arms"),
    ]


# --- the plan and the segments -------------------------------------------------------------------

LESS = "less was planned than the experiment's mode asks for"
LONGER_S = np.nextafter(EDGE_S, 1)


@pytest.mark.parametrize("figure", ["rounds", "segment_s", "events", "control_s", "rounds_max"])
def test_less_of_anything_than_the_mode_asks_for_is_seen_and_more_is_not(figure: str) -> None:
    wanted = getattr(HERD.quick, figure)
    assert LESS in observed(s.ran_as_planned(HERD, mode(**{figure: wanted - 1})(SOUND)))
    assert LESS not in s.ran_as_planned(HERD, mode(**{figure: wanted + 1})(SOUND)).observed


def test_a_full_run_must_be_as_long_as_full_runs_are() -> None:
    full = {f.name: getattr(HERD.full, f.name) for f in fields(Mode)}
    assert observed(s.ran_as_planned(HERD, mode(name="full")(SOUND))) == LESS
    assert LESS not in s.ran_as_planned(HERD, mode(**full)(SOUND)).observed


def test_an_override_that_all_arms_share_is_fine_and_one_that_an_arm_lacks_is_not() -> None:
    shared = {arm: {**given, "CACHE_TTL_S": "2", "NEW": "1"} for arm, given in ARMS.items()}
    partly = {**shared, "lock": ARMS["lock"]}
    for arms, saw in [(shared, "6 segments of it"), (partly, "lock was planned with settings")]:
        ran = [replace(seg, settings=arms[seg.arm]) for seg in SOUND.segments]
        plans = {name: {**PLANNED[name], "settings": given} for name, given in arms.items()}
        evidence = planned(arms=plans)(replace(SOUND, segments=ran))
        evidence = control(settings=arms["direct"])(evidence)
        assert s.ran_as_planned(HERD, evidence).observed.startswith(saw)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (arms_planned(lock={"traffic": {}}), "another traffic was planned than lock has"),
        (arms_planned(lock={"timeline": []}), "other acts were planned than lock has"),
        (
            arms_planned(direct={"traffic": {}}, lock={"timeline": []}),
            "another traffic was planned than direct has; other acts were planned than lock has",
        ),
        (
            arms_planned(magic={"settings": {}}, a={"settings": {}}),
            "the experiment has no arm a, magic; "
            "10 segments were due, and those on record are not the same",
        ),
        (
            arms_planned(lock={"settings": {}}),
            "lock was planned with settings of no arm; lock ran with other settings than planned",
        ),
        (
            lambda e: replace(e, segments=e.segments[1:]),
            "6 segments were due, and those on record are not the same",
        ),
        (first(round=1), "6 segments were due, and those on record are not the same"),
        (lambda e: replace(e, control=[]), "the control is not on record"),
        (
            lambda e: replace(e, control=e.segments[:1]),
            "the control is not on record; the controls",
        ),
        (first(settings={}), "direct ran with other settings than planned"),
        (control(settings=ARMS["lock"]), "control ran with other settings than planned"),
        (first(ended_s=14.5), "direct did not last 4 s"),
        (first(ended_s=13.5), "direct did not last 4 s"),
        (control(ended_s=9.0), "control did not last 2 s"),
        (first(started_s=16.0, ended_s=20.0), "segments overlap"),
        (planned(began_s=5.001), "a segment began before the run"),
        (first(web_processes=3), "the number of web processes changed"),
        (control(web_processes=1), "the number of web processes changed"),
    ],
)
def test_what_was_not_as_planned_is_told(change: Change, words: str) -> None:
    assert observed(s.ran_as_planned(HERD, change(SOUND))).startswith(words)


def further(*arms: str, looks: Sequence[Look], rounds: Sequence[int] = (2, 3)) -> Change:
    """These arms ran these rounds, too, after these looks."""
    due = enumerate((arm, number) for number in rounds for arm in arms)
    more = [segment(arm, number, 60.0 + 5 * place, 4.0) for place, (arm, number) in due]
    return lambda e: replace(e, segments=[*e.segments, *more], looks=looks)


def test_arms_that_a_look_found_in_doubt_have_the_rounds_that_it_asked_for() -> None:
    looks = [Look(2, {"lock": "undecided"}), Look(4, {})]
    evidence = further("lock", looks=looks)(SOUND)
    assert s.ran_as_planned(HERD, evidence).verdict is Verdict.PASS


UNLIKE = "segments were due, and those on record are not the same"
DOUBT = Look(2, {"lock": "undecided"})
LOOKED = "the run did not look at its claims when it should have"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (further("lock", looks=[Look(2, {})]), f"6 {UNLIKE}"),
        (further(looks=[DOUBT, Look(4, {})]), f"8 {UNLIKE}"),
        (further("direct", looks=[DOUBT, Look(4, {})]), f"8 {UNLIKE}"),
        (further("lock", rounds=(2,), looks=[DOUBT, Look(4, {})]), f"8 {UNLIKE}"),
        (further(looks=[]), LOOKED),
        (further(looks=[Look(1, {})]), LOOKED),
        (further("lock", looks=[DOUBT]), LOOKED),
        (further(looks=[Look(2, {}), Look(4, {})]), "further rounds followed a look"),
        (
            further(looks=[Look(2, {"magic": "?"}), Look(4, {})]),
            f"8 {UNLIKE}; a look asked for rounds of an arm that did not run",
        ),
    ],
)
def test_rounds_that_no_look_asked_for_or_that_lack_are_seen(change: Change, words: str) -> None:
    assert observed(s.ran_as_planned(HERD, change(SOUND))).startswith(words)


def test_a_segment_may_begin_with_the_run_and_the_moment_another_one_ends() -> None:
    evidence = first(started_s=7.0, ended_s=11.0)(planned(began_s=5.0)(SOUND))
    assert s.ran_as_planned(HERD, evidence).verdict is Verdict.PASS


def test_a_segment_may_be_as_much_longer_or_shorter_as_rounding_makes_it() -> None:
    experiment = replace(HERD, quick=replace(HERD.quick, segment_s=0.0))
    short = [replace(seg, ended_s=seg.started_s) for seg in SOUND.segments]
    evidence = mode(segment_s=0.0)(planned(began_s=0.0)(replace(SOUND, segments=short)))
    for off_s in (EDGE_S, -EDGE_S):
        at_edge = first(started_s=0.0, ended_s=off_s)(evidence)
        assert s.ran_as_planned(experiment, at_edge).verdict is Verdict.PASS
        beyond = first(started_s=0.0, ended_s=2 * off_s)(evidence)
        assert observed(s.ran_as_planned(experiment, beyond)) == "direct did not last 0 s"


def test_segments_are_held_against_each_other_in_the_order_of_time() -> None:
    assert s.ran_as_planned(HERD, replace(SOUND, segments=SOUND.segments[::-1])).verdict is (
        Verdict.PASS
    )


# --- requests, look-ups and versions -------------------------------------------------------------


@pytest.mark.parametrize("odd", [field.name for field in fields(Oddities)])
def test_each_oddity_is_told_by_its_count(odd: str) -> None:
    evidence = replace(SOUND, oddities=replace(SOUND.oddities, **{odd: 3}))
    assert observed(s.requests_are_credible(HERD, evidence)) == f"3 {odd}"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"intended_s": -LONGER_S}, {"intended_s": -EDGE_S}),
        ({"sent_s": -LONGER_S}, {"sent_s": -EDGE_S}),
        ({"done_s": -LONGER_S}, {"done_s": -EDGE_S}),
        (
            {"intended_s": LONGER_S, "sent_s": 1.0, "done_s": 1.0},
            {"intended_s": EDGE_S, "sent_s": 1.0, "done_s": 1.0},
        ),
        ({"started_s": LONGER_S, "ended_s": 1.0}, {"started_s": EDGE_S, "ended_s": 1.0}),
        ({"sent_s": 1.0}, {"sent_s": 1.0, "done_s": 1.0}),
    ],
)
def test_a_request_is_due_in_its_segment_then_sent_then_answered_but_for_rounding(
    wrong: dict[str, float], right: dict[str, float]
) -> None:
    assert s.requests_are_credible(HERD, instant(**right)).verdict is Verdict.PASS
    assert (
        observed(s.requests_are_credible(HERD, instant(**wrong))) == "control: times that cannot be"
    )


def test_no_request_is_due_after_its_segment_not_even_a_later_step_of_a_visit() -> None:
    segment = SOUND.segments[0]
    requests = segment.requests
    due_s = requests.intended_s.copy()
    due_s[-1] = segment.ended_s + 1
    session = requests.session.copy()
    session[-1] = session[0]
    late = replace(
        requests, intended_s=due_s, sent_s=np.maximum(requests.sent_s, due_s),
        done_s=np.maximum(requests.done_s, due_s), session=session,
    )  # fmt: skip
    odd = replace(SOUND, segments=[replace(segment, requests=late), *SOUND.segments[1:]])
    assert observed(s.requests_are_credible(HERD, odd)) == f"{segment.arm}: times that cannot be"


def test_one_request_at_an_impossible_time_is_enough() -> None:
    for name in ("intended_s", "sent_s", "done_s"):
        odd = with_requests(7, **{name: 0.0})(SOUND)
        assert observed(s.requests_are_credible(HERD, odd)) == "direct: times that cannot be"


MOMENTS = st.integers(0, 7).map(lambda number: number * EDGE_S)
KEYS = st.integers(0, 2)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(KEYS, MOMENTS, MOMENTS), max_size=6),
    st.lists(st.tuples(KEYS, MOMENTS), min_size=1, max_size=6),
)
@example([(0, 0.0, 1.0 - EDGE_S)], [(0, 1.0)])
@example([(0, 1.0 + EDGE_S, 2.0)], [(0, 1.0)])
def test_a_look_up_is_in_a_request_if_any_for_its_key_is_under_way(
    asked: list[tuple[int, float, float]], look_ups: list[tuple[int, float]]
) -> None:
    inside = [
        any(
            rank == key and sent_s <= read_s + EDGE_S and done_s >= read_s - EDGE_S
            for rank, sent_s, done_s in asked
        )
        for key, read_s in look_ups
    ]
    finding = s.clocks_agree(HERD, only(made_of(asked, look_ups)))
    assert (finding.verdict is Verdict.PASS) == all(inside)
    if not all(inside):
        words = f"control: {inside.count(False)} of {len(inside)} look-ups in no request"
        assert finding.observed == words


def made_of(asked: list[tuple[int, float, float]], look_ups: list[tuple[int, float]]) -> Segment:
    """A segment with requests of a key that were sent and done, and look-ups of a key."""
    rank, sent_s, done_s = (np.array([request[at] for request in asked]) for at in range(3))
    key, read_s = (np.array([look_up[at] for look_up in look_ups]) for at in range(2))
    return replace(
        SOUND.control[0],
        requests=requests(len(asked), rank=rank, sent_s=sent_s, done_s=done_s),
        look_ups=looked_up(key, read_s, read_s, read_s, read_s),
    )


@pytest.mark.parametrize("backwards", ["asked_s", "answered_s", "stored_s"])
def test_a_look_up_runs_forward_in_time(backwards: str) -> None:
    odd = with_look_up(**{backwards: 0.0})(SOUND)
    assert observed(s.clocks_agree(HERD, odd)) == "direct: 0 of 1 look-ups in no request"


def test_a_look_up_may_take_no_time_and_need_not_have_stored() -> None:
    (at_s,) = SOUND.segments[0].look_ups.read_s
    instantly = with_look_up(asked_s=at_s, answered_s=at_s, stored_s=at_s)(SOUND)
    assert s.clocks_agree(HERD, instantly).verdict is Verdict.PASS
    assert s.clocks_agree(HERD, with_look_up(stored_s=np.nan)(SOUND)).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("outcome", "status", "fine"),
    [
        ("unknown", 0, True),
        ("fail", 500, True),
        ("fail", 502, True),
        ("fail", 404, False),
        ("ok", 302, False),
    ],
)
def test_an_unanswered_request_may_look_up_at_any_later_time(
    outcome: str, status: int, fine: bool
) -> None:
    own = requests(1, outcome=np.array([outcome]), status=np.array([status]))
    after = looked_up([0], [9.0], [9.0], [9.0], [9.0])
    evidence = only(replace(SOUND.control[0], requests=own, look_ups=after))
    assert (s.clocks_agree(HERD, evidence).verdict is Verdict.PASS) is fine


# --- the traffic ---------------------------------------------------------------------------------


def traffic(
    offered: int, hot: int, duration_s: float, *, arm: str = "lock", **law: Any
) -> tuple[Traffic, Segment]:
    """A law, and a segment that met so much traffic."""
    rank = np.where(np.arange(offered) < hot, 0, 1)
    met = replace(
        SOUND.control[0],
        arm=arm,
        started_s=0.0,
        ended_s=duration_s,
        requests=requests(offered, rank=rank),
        generator=replace(SOUND.control[0].generator, visits=offered),
    )
    return Traffic(**{"rate_per_s": 100, "hot_share": 0.5, **law}), met


def told(law: Traffic, *segments: Segment) -> str:
    """The message of the check, empty if it passes."""
    finding = s.traffic_was_as_planned(replace(HERD, traffic=law), only(*segments))
    return "" if finding.verdict is Verdict.PASS else finding.observed


@pytest.mark.parametrize(
    ("offered", "fine"), [(9500, True), (9499, False), (10500, True), (10501, False)]
)
def test_visits_may_be_five_standard_deviations_from_the_expected(offered: int, fine: bool) -> None:
    odd = f"{offered} visits in 100.0 s"
    assert told(*traffic(offered, offered // 2, 100.0)) == ("" if fine else f"{odd}; lock: {odd}")


@pytest.mark.parametrize(
    ("offered", "fine"),
    [(990_000, True), (989_999, False), (1_010_000, True), (1_010_001, False)],
)
def test_one_per_cent_is_near_enough_for_any_run(offered: int, fine: bool) -> None:
    law, met = traffic(offered, offered // 2, 10_000.0)
    assert (told(law, met) == "") is fine


@pytest.mark.parametrize(
    ("hot", "fine"), [(4750, True), (4749, False), (5250, True), (5251, False)]
)
def test_so_may_those_to_the_most_popular_link(hot: int, fine: bool) -> None:
    odd = f"{hot} of 10000 for the most popular link"
    assert told(*traffic(10_000, hot, 100.0)) == ("" if fine else f"{odd}; lock: {odd}")


@pytest.mark.parametrize(
    ("offered", "fine"), [(9500, True), (9499, False), (41_000, True), (41_001, False)]
)
def test_where_the_rate_climbs_anything_between_its_base_and_its_peak_will_do(
    offered: int, fine: bool
) -> None:
    law, met = traffic(offered, offered // 2, 100.0, curve="viral", peak_per_s=400)
    assert (told(law, met) == "") is fine


def test_a_segment_that_met_half_of_the_traffic_is_seen_though_the_run_as_a_whole_is_not_odd() -> (
    None
):
    law, half = traffic(200, 100, 4.0)
    _, whole = traffic(400, 200, 4.0, arm="direct")
    assert told(law, half, *[whole] * 20) == "lock: 200 visits in 4.0 s"


def test_an_arm_with_traffic_of_its_own_is_held_to_that() -> None:
    law, met = traffic(400, 200, 4.0)
    slow = replace(HERD.arms[0], traffic=replace(law, rate_per_s=50))
    experiment = replace(HERD, traffic=law, arms=[slow, *HERD.arms[1:]])
    few = replace(traffic(200, 100, 4.0)[1], arm="direct")
    assert s.traffic_was_as_planned(experiment, only(met, few)).verdict is Verdict.PASS
    swapped = only(replace(met, arm="direct"), replace(few, arm="lock"))
    told = observed(s.traffic_was_as_planned(experiment, swapped))
    assert told == (
        "400 visits in 4.0 s; direct: 400 visits in 4.0 s; "
        "200 visits in 4.0 s; lock: 200 visits in 4.0 s"
    )


def test_of_a_visit_only_the_first_request_counts_and_own_links_are_not_popular() -> None:
    law, met = traffic(400, 200, 4.0)
    ranks = np.concatenate([met.requests.rank, np.zeros(400), np.full(400, law.keys)])
    sessions = np.concatenate([np.arange(400), np.arange(400), 400 + np.arange(400)])
    thrice = requests(1200, rank=ranks, session=sessions)
    assert told(law, replace(met, requests=thrice)) == ""


@pytest.mark.parametrize("hot_share", [0.5, 1.0])
@pytest.mark.parametrize("changes", ["edit", "delete"])
def test_who_writes_takes_another_link_so_nothing_is_told_of_the_most_popular_one(
    changes: Operation, hot_share: float
) -> None:
    visits = (Visit(changes, (Step(changes),)),)
    law, met = traffic(400, 0, 4.0, visits=visits, hot_share=hot_share)
    assert told(law, met) == ""


# --- the counters, the parts and the figures -----------------------------------------------------


@pytest.mark.parametrize(
    ("at_s", "commands", "words"),
    [
        ([1.0], [0], ""),
        ([0.999], [0], "no reading for 1.0 s"),
        ([0.5], [0], "no reading for 1.5 s"),
        ([1.75], [0], "no reading for 1.8 s"),
        ([-0.1, 0.0, 2.0, 2.1], [0, 0, 0, 0], "no reading for 2.0 s"),
        ([-1.0], [0], "no reading for 2.0 s"),
        ([3.0], [0], "no reading for 2.0 s"),
        ([-0.5, 1.0, 2.5], [0, 0, 0], ""),
        ([0.5, 1.0, 1.5], [7, 7, 107], ""),
        ([0.5, 1.0, 1.5], [7, 7, 108], "it rose further than it moved in all"),
        ([0.5, 1.0, 1.5], [7, 6, 8], "the counter fell"),
        ([-0.5, 0.5, 1.5], [7, 6, 8], "the counter fell"),
    ],
)
def test_each_counter_is_read_every_second_and_only_rises(
    at_s: list[float], commands: list[float], words: str
) -> None:
    watched = sampled(redis(at_s, commands), **{"redis.commands": 100})
    finding = s.samples_are_whole(HERD, only(watched))
    own = [said for said in finding.observed.split("; ") if "redis" in said]
    assert own == ([f"control: redis.commands: {words}"] if words else [])


def sampled(samples: Samples, **counts: float) -> Segment:
    """Two seconds of the control with these samples and counts."""
    own = SOUND.control[0]
    counted = {**COUNTED, **counts}
    return replace(own, started_s=0.0, ended_s=2.0, samples=samples, counted=counted)


@pytest.mark.parametrize(
    ("read", "cost", "at_s", "words"),
    [
        ("", "", [3.0], ""),
        ("", "", [2.999], "no reading for 3.0 s"),
        ("web.requests", "", [1.0, 2.001, 3.0, 4.0, 5.0], "no reading for 1.0 s"),
        ("requests", "", [1.0, 2.001, 3.0, 4.0, 5.0], "no reading for 1.0 s"),
        ("", "web-1.requests", [1.0, 2.001, 3.0, 4.0, 5.0], "no reading for 1.0 s"),
        ("primary.requests", "web-2.requests", [3.0], ""),
        ("web.redirects", "", [3.0], ""),
    ],
)
def test_a_counter_whose_course_no_measure_reads_may_go_unread_for_longer(
    read: str, cost: str, at_s: list[float], words: str
) -> None:
    measure = HERD.measures[0]
    own = replace(
        HERD, measures=[replace(measure, series=read)], costs=[replace(measure, series=cost)]
    )
    often = np.arange(0.0, 6.5, 0.5)
    samples = Samples(
        {**dict.fromkeys(s.REQUIRED_SAMPLES, often), "web-1.requests": np.array(at_s)},
        {
            **dict.fromkeys(s.REQUIRED_SAMPLES, np.zeros(len(often))),
            "web-1.requests": np.zeros(len(at_s)),
        },
    )
    watched = replace(sampled(samples, **{"web-1.requests": 0.0}), ended_s=6.0)
    finding = s.samples_are_whole(own, only(watched))
    told = [said for said in finding.observed.split("; ") if "web-1.requests" in said]
    assert told == ([f"control: web-1.requests: {words}"] if words else [])


@pytest.mark.parametrize(("moved", "fell"), [(0, False), (-1, True), (np.nan, True)])
def test_a_counter_that_moved_backwards_in_all_fell_whatever_was_sampled(
    moved: float, fell: bool
) -> None:
    still = redis([5.5, 6.0, 6.5], [7, 7, 7])
    evidence = counted(control, redis_commands=moved)(control(samples=still)(SOUND))
    said = "control: redis.commands: the counter fell"
    assert (s.samples_are_whole(HERD, evidence).observed == said) is fell


@pytest.mark.parametrize("name", s.REQUIRED_SAMPLES)
def test_some_counters_must_be_sampled_and_read_at_rest(name: str) -> None:
    whole = redis([0.5, 1.0, 1.5], [0, 0, 0])
    without = Samples(
        *({n: v for n, v in c.items() if n != name} for c in (whole.t_s, whole.series))
    )
    told = observed(s.samples_are_whole(HERD, only(sampled(without))))
    assert told == f"control: {name}: no reading for 2.0 s"
    blind = sampled(whole)
    blind = replace(blind, counted={n: v for n, v in blind.counted.items() if n != name})
    told = observed(s.samples_are_whole(HERD, only(blind)))
    assert told == f"control: {name}: it was not read at rest"


def test_any_counter_that_is_sampled_and_read_at_rest_is_held_against_itself() -> None:
    whole = redis([0.5, 1.0, 1.5], [0, 0, 0])
    for name, fine in [("web-1.look_ups", False), ("web-1.waiting", True)]:
        at_s, falling = np.array([0.5, 1.0, 1.5]), np.array([9.0, 8.0, 7.0])
        more = Samples({**whole.t_s, name: at_s}, {**whole.series, name: falling})
        finding = s.samples_are_whole(HERD, only(sampled(more)))
        assert (finding.verdict is Verdict.PASS) is fine


KILLED = FakeKill(World())  # Redis
SLOW = FakeSlow(World(), 120)
WITH_KILL = replace(HERD, timeline=[At(0.5, KILLED, 1.5), At(0.0, SLOW)])


def acted(name: str, from_s: float, healed_s: float | None) -> ActEvidence:
    return ActEvidence(name, "", 0, from_s, healed_s, healed_s, None, None, None, True, True)


@pytest.mark.parametrize(
    ("experiment", "act", "fine"),
    [
        (WITH_KILL, acted("redis killed", 0.5, 1.5), True),
        (WITH_KILL, acted("redis killed", 0.5, None), True),
        (WITH_KILL, acted("redis killed", -1.0, -0.7), False),
        (WITH_KILL, acted("redis killed", -1.0, -0.6), True),
        (WITH_KILL, acted("redis killed", 1.6, 2.0), True),
        (WITH_KILL, acted("redis killed", 1.9, 2.0), False),
        (WITH_KILL, replace(acted("redis killed", 1.9, 2.0), begun_s=1.6), True),
        (WITH_KILL, replace(acted("redis killed", 1.9, 2.0), begun_s=1.7), False),
        (WITH_KILL, acted("replica link +120 ms", 0.5, 1.5), False),
        (WITH_KILL, acted("web-1 killed", 0.5, 1.5), False),
        (HERD, acted("redis killed", 0.5, 1.5), False),
    ],
)
def test_a_part_that_an_act_stops_need_not_be_read_meanwhile(
    experiment: Experiment, act: ActEvidence, fine: bool
) -> None:
    gap = redis([0.4, 1.6], [0, 0])
    still = {name: redis([0.5, 1.0, 1.5], [0] * 3).t_s[name] for name in s.REQUIRED_SAMPLES[1:]}
    samples = Samples(
        {**still, "redis.commands": gap.t_s["redis.commands"]},
        {**{name: np.zeros(3) for name in still}, "redis.commands": np.zeros(2)},
    )
    watched = replace(sampled(samples), acts=[act])
    finding = s.samples_are_whole(experiment, only(watched))
    assert (finding.verdict is Verdict.PASS) is fine


def test_nor_need_its_counter_be_known_or_rise() -> None:
    anew = sampled(redis([0.4, 1.0, 1.6], [100, 100, 3]), **{"redis.commands": np.nan})
    excused = replace(anew, acts=[acted("redis killed", 0.5, 1.5)])
    assert s.samples_are_whole(WITH_KILL, only(excused)).verdict is Verdict.PASS
    assert observed(s.samples_are_whole(WITH_KILL, only(anew))) == (
        "control: redis.commands: the counter fell"
    )


@pytest.mark.parametrize(
    ("act", "counts", "words"),
    [
        (None, {}, ""),
        (None, {"redis.starts": 1.0}, "control: redis"),
        (None, {"web-1.requests": np.nan}, "control: web-1"),
        (None, {"redis.starts": 1.0, "redis.commands": np.nan}, "control: redis"),
        ("replica link +120 ms", {"redis.starts": 1.0}, "control: redis"),
        ("redis killed", {"redis.starts": 1.0, "redis.commands": np.nan}, ""),
        ("redis killed", {"redis.starts": 0.0}, ""),
        ("redis killed", {"web-1.starts": 1.0}, "control: web-1"),
    ],
)
def test_a_part_begins_anew_only_where_an_act_stopped_it(
    act: str | None, counts: dict[str, float], words: str
) -> None:
    own = replace(SOUND.control[0], counted={**COUNTED, **counts})
    own = replace(own, acts=[acted(act, 0.5, 1.5)] if act else [])
    finding = s.parts_lived_on(WITH_KILL, only(own))
    assert finding.verdict is (Verdict.INVALID if words else Verdict.PASS)
    began = sum(value for name, value in counts.items() if name.endswith(".starts"))
    assert finding.observed == (words or f"{began:g} began anew, as planned")


def test_that_no_part_s_start_was_read_is_no_sign_that_none_began_anew() -> None:
    silent = replace(SOUND.control[0], counted={"redis.commands": 1.0})
    assert observed(s.parts_lived_on(HERD, only(silent))) == "there was nothing to judge it by"


def rows(*values: float) -> dict[str, ArmResult]:
    """The row of an arm with measures of these values."""
    measures = {
        f"m{place}": Estimate(value, value, value, 1, "range") for place, value in enumerate(values)
    }
    return {"lock": ArmResult("lock", False, Verdict.PASS, measures, {}, {})}


MEASURES = [
    Measure(f"m{place}", "", f"title {place}", lambda _: np.array([]), mean, why)
    for place, why in enumerate(["never", "no calm", "no calm", "no expiry"])
]


def test_an_arm_is_told_with_the_figures_that_it_lacks_and_why() -> None:
    told = s.figures_are_known(MEASURES, rows(1.0, np.nan, np.inf, np.nan))
    assert observed(told) == (
        "lock: no title 1, title 2, since no calm; lock: no title 3, since no expiry"
    )
    assert observed(s.figures_are_known(MEASURES, {})) == "there was nothing to judge it by"


def test_arms_that_lack_the_same_are_told_together() -> None:
    lock = rows(1.0, 1.0, 1.0, np.nan)["lock"]
    both = {"lock": lock, "swr": replace(lock, name="swr")}
    told = s.figures_are_known(MEASURES, both)
    assert observed(told) == "lock, swr: no title 3, since no expiry"


def test_what_is_odd_several_times_is_told_once() -> None:
    twice = replace(SOUND, segments=[replace(seg, look_ups=early(seg)) for seg in SOUND.segments])
    assert observed(s.clocks_agree(HERD, twice)) == "; ".join(
        f"{arm}: 1 of 1 look-ups in no request" for arm in ARMS
    )


def early(own: Segment) -> LookUps:
    """Its look-up, before any request."""
    return replace(own.look_ups, read_s=own.look_ups.read_s - 0.1)


# --- versions ------------------------------------------------------------------------------------

EDITED = replace(
    HERD, traffic=Traffic(rate_per_s=100, hot_share=0.9, visits=(Visit("edit", (Step("edit"),)),))
)


def read_as(*versions: int) -> Segment:
    """Redirects of the most popular link, which nobody edited."""
    requests = followed([1.0 + n for n in range(len(versions))])
    return segment_of(0, 9, requests=replace(requests, version=np.array(versions, np.int64)))


def test_a_version_that_nobody_wrote_is_named_with_its_arm_and_all_reads_are_counted() -> None:
    text = "no reader saw what nobody had written"
    sound = evidence_of([read_as(1, 1), read_as(1)])
    assert s.versions_are_written(EDITED, sound) == Finding(text, Verdict.PASS, "3 reads")
    odd = s.versions_are_written(EDITED, evidence_of([read_as(1, 2, 3), read_as(1)]))
    assert odd == Finding(text, Verdict.INVALID, "direct: 2 reads")


def test_without_reads_or_without_visits_that_change_links_no_version_is_judged() -> None:
    assert s.versions_are_written(HERD, evidence_of([read_as(2)])) is None
    nothing = s.versions_are_written(EDITED, evidence_of([read_as()]))
    assert nothing is not None
    assert nothing.verdict is Verdict.INVALID
