"""Checks of soundness: records that are accepted, records that are refused, and the messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos import experiments
from chaos.judge import record_checks as s
from chaos.measures.estimates import mean
from chaos.model.evidence import (
    ArmResult,
    Counters,
    Estimate,
    Evidence,
    Finding,
    Generator,
    Mode,
    Oddities,
    OriginQueries,
    Requests,
    Samples,
    Segment,
    Verdict,
)
from chaos.model.experiment import Measure
from chaos.model.traffic import Traffic

EDGE_S = 2e-6  # rounding may be so much
HERD = replace(
    experiments.load("thundering-herd"),
    traffic=Traffic(rate_per_s=100, hot_share=0.9),
    quick=Mode("quick", rounds=2, segment_s=4.0, repetitions=3, control_s=2.0),
    full=Mode("full", rounds=3, segment_s=8.0, repetitions=9, control_s=4.0),
)
ARMS = {arm.name: {**HERD.settings, **arm.settings} for arm in HERD.arms[:3]}

Change = Callable[[Evidence], Evidence]


def segment(arm: str, number: int, started_s: float, duration_s: float) -> Segment:
    """A hundred requests a second, nine of ten for the hot key, and a look-up in the first one."""
    count = round(100 * duration_s)
    intended_s = started_s + (np.arange(count) + 0.5) / 100
    sample_s = started_s + np.arange(0.1, duration_s, 0.5)
    read_s = intended_s[:1] + 0.002
    return Segment(
        arm=arm,
        round=number,
        settings=ARMS.get(arm, ARMS["direct"]),
        started_s=started_s,
        ended_s=started_s + duration_s,
        web_processes=2,
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
        ),
        origin=OriginQueries(np.array([0]), read_s, read_s, read_s + 0.001, read_s + 0.001),
        samples=redis(sample_s, 100 * (sample_s - started_s)),
        generator=Generator(count, count, 0, 0, 0.1, 1.0),
        counted=Counters(1, 1, count, count, 0),
    )


def redis(at_s: Sequence[float] | np.ndarray, commands: Sequence[float] | np.ndarray) -> Samples:
    return Samples(
        {"redis_commands": np.array(at_s)}, {"redis_commands": np.array(commands, dtype=float)}
    )


SOUND = Evidence(
    plan={
        "arms": ARMS,
        "traffic": asdict(HERD.traffic),
        "faults": [{"fault": at.fault.name, "second": at.second} for at in HERD.faults],
        "began_s": 1.0,
    },
    mode=HERD.quick,
    segments=[
        segment(arm, number, 10.0 + 20 * number + 5 * place, 4.0)
        for number in range(2)
        for place, arm in enumerate(ARMS)
    ],
    control=[segment("control", -1, 5.0, 2.0)],
    faults=[],
    oddities=Oddities(0, 0, 0, 0, 0),
    clicks=None,
    trouble=None,
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


def counted(change: Callable[..., Change], **values: int) -> Change:
    return change(counted=replace(SOUND.control[0].counted, **values))


def with_requests(row: int = 0, **values: Any) -> Change:
    """One request of the first segment has other values."""
    columns = asdict(SOUND.segments[0].requests)
    for name, value in values.items():
        columns[name] = columns[name].copy()
        columns[name][row] = value
    return first(requests=Requests(**columns))


def with_look_up(**values: float) -> Change:
    """The look-up of the first segment has other values."""
    origin = SOUND.segments[0].origin
    return first(origin=replace(origin, **{name: np.array([v]) for name, v in values.items()}))


def only(*segments: Segment) -> Evidence:
    return replace(SOUND, control=[], segments=segments)


def requests(count: int, **columns: Any) -> Requests:
    """So many, with nothing but zeros where no column is told."""
    zeros: dict[str, Any] = {field.name: np.zeros(count) for field in fields(Requests)}
    return Requests(**(zeros | columns))


def instant(**times: float) -> Evidence:
    """One request in a segment without length, all at 0 s but what is told."""
    started_s, ended_s = times.pop("started_s", 0.0), times.pop("ended_s", 0.0)
    own = requests(1, **{name: np.array([at_s]) for name, at_s in times.items()})
    return only(replace(SOUND.control[0], requests=own, started_s=started_s, ended_s=ended_s))


def observed(finding: Finding) -> str:
    """The message of a check that did not pass."""
    assert finding.verdict is Verdict.INVALID
    return finding.observed


def test_of_a_sound_record_each_check_says_what_it_saw() -> None:
    findings = [
        s.ran_as_planned(HERD, SOUND),
        s.requests_are_credible(SOUND),
        s.clocks_agree(SOUND),
        s.versions_are_one(SOUND),
        s.traffic_was_as_planned(SOUND),
        s.redis_was_watched(SOUND),
        s.webs_lived_on(SOUND),
        s.figures_are_known(MEASURES[:1], rows(1.0)),
    ]
    assert [(f.text, f.observed) for f in findings if f.verdict is Verdict.PASS] == [
        ("the run was the experiment's, from plan to end", "6 segments of it"),
        ("every request on record can be true", "all 2600 can"),
        ("every look-up falls into a request for its key", "all 7 look-ups do"),
        ("every reader of a link saw the same version", "2 links, one each"),
        ("the traffic was the planned one", "2600 requests in 26.0 s, 2340 for the hot key"),
        ("Redis was watched throughout", "52 readings of its counter"),
        ("no web process died unplanned", "0 began anew"),
        ("every measure of every arm has a figure", "1 arms"),
    ]


# --- the plan and the segments -------------------------------------------------------------------

LESS = "less was planned than the experiment's mode asks for"
LONGER_S = np.nextafter(EDGE_S, 1)


@pytest.mark.parametrize("figure", ["rounds", "segment_s", "repetitions", "control_s"])
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
        evidence = planned(arms=arms)(replace(SOUND, segments=ran))
        evidence = control(settings=arms["direct"])(evidence)
        assert s.ran_as_planned(HERD, evidence).observed.startswith(saw)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (planned(traffic={}), "another traffic was planned than the experiment has"),
        (planned(faults=[]), "other faults were planned than the experiment has"),
        (
            planned(arms={**ARMS, "magic": {}, "a": {}}),
            "the experiment has no arm a, magic; "
            "10 segments were planned, and those on record are not the same",
        ),
        (
            planned(arms={**ARMS, "lock": {}}),
            "lock was planned with settings of no arm; lock ran with other settings than planned",
        ),
        (
            lambda e: replace(e, segments=e.segments[1:]),
            "6 segments were planned, and those on record are not the same",
        ),
        (first(round=1), "6 segments were planned, and those on record are not the same"),
        (lambda e: replace(e, control=[]), "the control is not on record"),
        (lambda e: replace(e, control=e.segments[:1]), "the control is not on record; segments"),
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
    assert observed(s.requests_are_credible(evidence)) == f"3 {odd}"


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
    assert s.requests_are_credible(instant(**right)).verdict is Verdict.PASS
    assert observed(s.requests_are_credible(instant(**wrong))) == "control: times that cannot be"


def test_one_request_at_an_impossible_time_is_enough() -> None:
    for name in ("intended_s", "sent_s", "done_s"):
        odd = with_requests(7, **{name: 0.0})(SOUND)
        assert observed(s.requests_are_credible(odd)) == "direct: times that cannot be"


MOMENTS = st.integers(0, 7).map(lambda number: number * EDGE_S)
KEYS = st.integers(0, 2)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(KEYS, MOMENTS, MOMENTS), max_size=6),
    st.lists(st.tuples(KEYS, MOMENTS), min_size=1, max_size=6),
)
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
    finding = s.clocks_agree(only(made_of(asked, look_ups)))
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
        origin=OriginQueries(key, read_s, read_s, read_s, read_s),
    )


@pytest.mark.parametrize("backwards", ["asked_s", "answered_s", "stored_s"])
def test_a_look_up_runs_forward_in_time(backwards: str) -> None:
    odd = with_look_up(**{backwards: 0.0})(SOUND)
    assert observed(s.clocks_agree(odd)) == "direct: 0 of 1 look-ups in no request"


def test_a_look_up_may_take_no_time_and_need_not_have_stored() -> None:
    (at_s,) = SOUND.segments[0].origin.read_s
    instantly = with_look_up(asked_s=at_s, answered_s=at_s, stored_s=at_s)(SOUND)
    assert s.clocks_agree(instantly).verdict is Verdict.PASS
    assert s.clocks_agree(with_look_up(stored_s=np.nan)(SOUND)).verdict is Verdict.PASS


def test_versions_of_a_link_that_differ_are_told_by_link_wherever_they_were_seen() -> None:
    other = with_requests(9, version=2)(SOUND)
    assert observed(s.versions_are_one(other)) == "link 1: several"
    both = control(requests=replace(SOUND.control[0].requests, version=np.full(200, 3)))(SOUND)
    assert observed(s.versions_are_one(both)) == "link 0: several; link 1: several"
    far = requests(3, rank=np.full(3, 7), version=np.array([2, 1, 2]), outcome=np.full(3, "ok"))
    assert observed(s.versions_are_one(control(requests=far)(SOUND))) == "link 7: several"


def test_only_answers_have_a_version() -> None:
    failed = with_requests(3, version=-1, outcome="fail")(SOUND)
    assert s.versions_are_one(failed).verdict is Verdict.PASS


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
        generator=replace(SOUND.control[0].generator, offered=offered),
    )
    return Traffic(**{"rate_per_s": 100, "hot_share": 0.5, **law}), met


def told(law: Traffic, *segments: Segment) -> str:
    """The message of the check, empty if it passes."""
    finding = s.traffic_was_as_planned(planned(traffic=asdict(law))(only(*segments)))
    return "" if finding.verdict is Verdict.PASS else finding.observed


@pytest.mark.parametrize(
    ("offered", "fine"), [(9500, True), (9499, False), (10500, True), (10501, False)]
)
def test_requests_may_be_five_standard_deviations_from_the_expected(
    offered: int, fine: bool
) -> None:
    odd = f"{offered} requests in 100.0 s"
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
def test_so_may_the_requests_for_the_hot_key(hot: int, fine: bool) -> None:
    odd = f"{hot} of 10000 for the hot key"
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
    assert told(law, half, *[whole] * 20) == "lock: 200 requests in 4.0 s"


# --- Redis, the web processes and the figures ----------------------------------------------------


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
def test_redis_is_watched_every_second_and_its_counter_only_rises(
    at_s: list[float], commands: list[float], words: str
) -> None:
    watched = replace(
        SOUND.control[0],
        started_s=0.0,
        ended_s=2.0,
        samples=redis(at_s, commands),
        counted=replace(SOUND.control[0].counted, redis_commands=100),
    )
    finding = s.redis_was_watched(only(watched))
    if words:
        assert observed(finding) == f"control: {words}"
    else:
        assert finding.verdict is Verdict.PASS


@pytest.mark.parametrize(("moved", "fell"), [(0, False), (-1, True)])
def test_a_counter_that_moved_backwards_in_all_fell_whatever_was_sampled(
    moved: int, fell: bool
) -> None:
    still = redis([5.5, 6.0, 6.5], [7, 7, 7])
    evidence = counted(control, redis_commands=moved)(control(samples=still)(SOUND))
    assert (s.redis_was_watched(evidence).observed == "control: the counter fell") is fell


KILLED = [{"fault": "web-1 killed", "second": 1.0}]
OTHERS = [
    {"fault": "web-1 paused", "second": 1.0},
    {"fault": "redis killed", "second": 1.0},
    {"fault": "replica link cut", "second": 1.0},
]


@pytest.mark.parametrize(
    ("faults", "where", "starts", "fine"),
    [
        ([], first, 0, True),
        ([], first, 1, False),
        ([], first, -1, False),
        (OTHERS, last, 1, False),
        (KILLED, last, 1, True),
        (KILLED, last, 2, False),
        ([*OTHERS, *KILLED, {"fault": "web-2 killed", "second": 2.0}], last, 2, True),
        (KILLED, control, 1, False),
    ],
)
def test_only_as_many_web_processes_begin_anew_as_faults_killed_in_the_segment(
    faults: list[Mapping[str, Any]], where: Callable[..., Change], starts: int, fine: bool
) -> None:
    evidence = counted(where, web_starts=starts)(planned(faults=faults)(SOUND))
    arm = {first: "direct", last: "lock", control: "control"}[where]
    said = f"{starts} began anew" if fine else f"{arm}: {starts} starts"
    assert s.webs_lived_on(evidence).observed == said
    assert (s.webs_lived_on(evidence).verdict is Verdict.PASS) is fine


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
    assert observed(s.figures_are_known(MEASURES, {})) == "no arm at all"


def test_arms_that_lack_the_same_are_told_together() -> None:
    lock = rows(1.0, 1.0, 1.0, np.nan)["lock"]
    both = {"lock": lock, "swr": replace(lock, name="swr")}
    told = s.figures_are_known(MEASURES, both)
    assert observed(told) == "lock, swr: no title 3, since no expiry"


def test_what_is_odd_several_times_is_told_once() -> None:
    twice = replace(SOUND, segments=[replace(seg, origin=early(seg)) for seg in SOUND.segments])
    assert observed(s.clocks_agree(twice)) == "; ".join(
        f"{arm}: 1 of 1 look-ups in no request" for arm in ARMS
    )


def early(own: Segment) -> OriginQueries:
    """Its look-up, before any request."""
    return replace(own.origin, read_s=own.origin.read_s - 0.1)
