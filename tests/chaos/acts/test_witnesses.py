"""What a segment's own evidence says of an act is what happened, by begin and end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chaos.acts import Cut, Degrade, Failover, Kill, Patroni, Pause, PauseReplay, Slow
from chaos.model.evidence import ELSEWHERE, Requests, Samples, Segment, StateReading
from chaos.model.experiment import Act
from chaos.model.testimony import Span
from tests.support.segments import acted, floats, followed, looked_up, segment_of

IN_FORCE = Span(2.0, 4.0)


def told(act: Act, segment: Segment, *control: Segment) -> list[tuple[int, str]]:
    return [(one.count, one.against) for one in act.testimony(segment, IN_FORCE, control)]


def asked(asked_s: list[float], took_s: float, db: str = "replica") -> Segment:
    at_s = floats(asked_s)
    look_ups = looked_up(at_s, at_s, at_s + took_s, at_s + took_s)
    return segment_of(0, 6, look_ups=replace(look_ups, db=np.full(len(at_s), db)))


def sampled(name: str, **values: float) -> Segment:
    """Readings at these times: `t2_5=7` is 7 at second 2.5."""
    t_s = floats([float(at[1:].replace("_", ".")) for at in values])
    return segment_of(0, 6, samples=Samples({name: t_s}, {name: floats([*values.values()])}))


def requested(sent_s: list[float], took_s: float, **columns: str) -> Requests:
    requests = followed(sent_s)
    texts = {name: np.full(len(sent_s), text) for name, text in columns.items()}
    at_s = floats(sent_s)
    return replace(requests, sent_s=at_s, done_s=at_s + took_s, **texts)


SLOW = Slow("replica", 100)


@pytest.mark.parametrize(
    ("seconds", "took_s", "seen"),
    [
        ([2.1, 3.0], 0.1, [(2, "")]),
        ([2.1, 3.0], 0.08, [(2, "2 took less than 90 ms")]),
        ([1.9, 3.95], 0.08, [(0, "")]),
        ([2.1, 2.2, 2.3, 2.4], 0.3, [(4, "")]),
        ([2.1, 2.2, 2.3, 2.4, 2.5], 0.15, [(5, "")]),
        ([2.1, 2.2, 2.3, 2.4, 2.5], 0.16, [(5, "the quickest took 160 ms")]),
    ],
)
def test_look_ups_over_a_slow_link_take_as_long_and_no_longer(
    seconds: list[float], took_s: float, seen: list[tuple[int, str]]
) -> None:
    assert told(SLOW, asked(seconds, took_s)) == seen


def test_what_the_control_took_is_added_and_another_database_is_not_asked() -> None:
    many = [2.1, 2.2, 2.3, 2.4, 2.5]
    assert told(SLOW, asked(many, 0.16), asked([1.0], 0.02)) == [(5, "")]
    assert told(SLOW, asked(many, 0.01, "primary")) == [(0, "")]


def test_a_look_up_that_failed_is_no_witness() -> None:
    segment = asked([2.1], 0.01)
    failed = replace(segment.look_ups, failed=np.array([True]))
    assert told(SLOW, replace(segment, look_ups=failed)) == [(0, "")]


@pytest.mark.parametrize(("served_from", "count"), [("hit", 1), ("near", 0), ("wait", 0)])
def test_only_what_was_read_from_redis_tells_of_its_link(served_from: str, count: int) -> None:
    quick = segment_of(0, 6, requests=requested([2.5], 0.002, served_from=served_from))
    against = "1 took less than 45 ms" if count else ""
    assert told(Slow("cache", 50), quick) == [(count, against)]
    came = f"{count} served from the cache" if count else ""
    assert told(Cut("cache"), quick) == [(1, came)]


@pytest.mark.parametrize(
    ("lags_s", "seen"),
    [
        ((0.001, 0.3, 0.3, 0.31, 0.3), [(5, "")]),
        ((0.001, 0.0, 0.0, 0.01, 0.0), [(5, "the largest was 10 ms")]),
        ((0.001, 0.6, 0.7, 0.61, 0.6), [(5, "the smallest was 600 ms")]),
    ],
)
def test_a_slow_replication_shows_in_the_lag(
    lags_s: tuple[float, ...], seen: list[tuple[int, str]]
) -> None:
    at = ("t2_9", "t3_1", "t3_3", "t3_5", "t3_9")
    segment = sampled("primary.replication_lag_s", **dict(zip(at, lags_s, strict=True)))
    assert told(Slow("replication", 300), segment) == seen


def test_a_paused_replay_never_catches_up_with_a_write() -> None:
    lag = sampled("primary.replication_lag_bytes", t2_4=0, t3_0=900, t3_5=0)
    assert told(PauseReplay(), lag) == [(0, "")]
    written = replace(lag, requests=requested([2.1], 0.1, operation="edit"))
    assert told(PauseReplay(), written) == [(2, "1 of 2 show no lag")]


@pytest.mark.parametrize("act", [Kill("primary"), Pause("primary"), Cut("primary")])
def test_no_database_answers_while_it_does_not(act: Act) -> None:
    writes = requested([2.1, 3.9], 0.2, operation="create")
    segment = replace(asked([1.95, 2.5, 3.99], 0.1, "primary"), requests=writes)
    looked, wrote, *_ = told(act, segment)
    assert (looked, wrote) == ((2, "1 answered"), (1, "1 acknowledged"))


def test_one_reading_of_a_dead_part_may_have_been_under_way() -> None:
    once, twice = (
        sampled("web-1.requests", t1=5, t2_1=6),
        sampled("web-1.requests", t1=5, t2_1=6, t3=7),
    )
    assert told(Kill("web-1"), once) == [(1, "")]
    assert told(Kill("web-1"), twice) == [(1, "1 came")]


def test_clicks_wait_while_nobody_counts_them() -> None:
    waits = sampled("redis.clicks_waiting", t2_1=9, t2_4=5, t2_7=8, t3=8, t4_1=0)
    falls = sampled("redis.clicks_waiting", t2_1=9, t2_4=5, t2_7=8, t3=2)
    assert told(Kill("worker"), waits)[0] == (3, "")
    assert told(Pause("worker"), falls)[0] == (3, "1 fell")
    assert told(Cut("queue"), falls) == [(3, "1 fell")]


def test_nothing_comes_through_nginx_or_toxiproxy_while_they_are_dead() -> None:
    segment = replace(asked([2.5], 0.1), requests=requested([2.1], 0.1))
    assert told(Pause("nginx"), segment) == [(1, "1 answered")]
    against = [why for _, why in told(Kill("toxiproxy"), segment) if why]
    assert against == ["1 answered", "1 served from the cache"]


# --- servers that change their roles -----------------------------------------------------------


def test_a_replica_receives_nothing_while_replication_is_cut() -> None:
    name, cut = "replica.received_bytes", Cut("replication")
    assert told(cut, sampled(name, t1=5, t2_1=6, t2_5=7, t3=7, t5=9)) == [(2, "")]
    assert told(cut, sampled(name, t2_1=6, t2_5=7, t3=8)) == [(2, "1 grew")]


FAILOVER = Failover(0.5)


def written(timelines: list[int], promoting_s: float | None = 3.0) -> Segment:
    """Creates at 2.0, 2.5, 3.0, …, whose answers name these timelines."""
    creates = requested([2.0 + n / 2 for n in range(len(timelines))], 0.1, operation="create")
    moments = {"last answer": 2.4, "silent": 2.9}
    moments |= {} if promoting_s is None else {"promoting": promoting_s}
    act = replace(acted(0.0, 6.0, FAILOVER.name), moments=moments)
    return segment_of(0, 6, requests=replace(creates, timeline=np.array(timelines)), acts=[act])


def test_writes_name_the_new_timeline_only_once_it_was_promoted() -> None:
    assert told(FAILOVER, written([1, 1, 2, 2]))[0] == (4, "")
    early = (4, "1 name the new one before the promotion")
    assert told(FAILOVER, written([1, 2, 2, 2]))[0] == early


@pytest.mark.parametrize("watching", [Degrade(0.5), Failover(60, demotes_s=0.5)])
def test_a_watchdog_acts_after_its_time_and_no_sooner(watching: Act) -> None:
    def against(at_s: float) -> str:
        own = replace(acted(0.0, 6.0, watching.name), moments={"alone": at_s, "promoting": 3.0})
        killed = acted(2.0, 4.0, "replica killed")
        return told(watching, segment_of(0, 6, acts=[own, killed]))[-1][1]

    assert against(2.5) == ""
    assert against(2.1) == "was 0.4 s too early: alone"
    assert against(0.1) == "was 2.4 s too early: alone"


def test_a_controller_that_promoted_and_does_not_say_why_proves_nothing() -> None:
    own = replace(acted(0.0, 6.0, FAILOVER.name), moments={"promoting": 3.0, "silent": 2.9})
    segment = replace(written([1, 1, 2, 2]), acts=[own])
    unknown = "the primary was silent for an unknown time when it was given up"
    assert told(FAILOVER, segment) == [(4, ""), (1, unknown)]


def test_of_two_acts_a_watchdog_acts_after_the_later_one() -> None:
    own = replace(acted(0.0, 6.0, Degrade(0.5).name), moments={"alone": 2.6})
    others = [acted(1.8, 4.0, "worker-primary link cut"), acted(2.4, 4.0, "replica killed")]
    ((_, against),) = told(Degrade(0.5), segment_of(0, 6, acts=[own, *others]))
    assert against == "was 0.3 s too early: alone"


@pytest.mark.parametrize(
    ("silent_s", "against"),
    [
        (2.5, ""),
        (2.85, ""),
        (2.4, "the primary was silent for 0.40 s when it was given up"),
        (3.0, "the primary was silent for 1.00 s when it was given up"),
    ],
)
def test_a_controller_gives_the_primary_up_after_its_time_and_no_later(
    silent_s: float, against: str
) -> None:
    moments = {"promoting": 3.0, "last answer": 2.0, "silent": silent_s}
    own = replace(acted(0.0, 6.0, FAILOVER.name), moments=moments)
    segment = replace(written([1, 1, 2, 2]), acts=[own])
    assert told(FAILOVER, segment) == [(4, ""), (1, against)]


@pytest.mark.parametrize(
    ("promoted_s", "against"),
    [
        (20.7, ""),
        (23.9, ""),
        (20.5, "it was promoted 18.5 s after the primary was hit"),
        (25.5, "it was promoted 23.5 s after the primary was hit"),
    ],
)
def test_patroni_promotes_when_the_lease_is_over(promoted_s: float, against: str) -> None:
    act = Patroni(20)
    moments = {"promoting": promoted_s - 0.1, "promoted": promoted_s}
    own = replace(acted(0.0, 30.0, act.name), moments=moments)
    segment = segment_of(0, 30, acts=[own, acted(2.0, 30.0, "primary killed")])
    assert told(act, segment)[-1] == (1, against)


def test_without_a_promotion_no_lease_is_judged() -> None:
    own = acted(0.0, 30.0, Patroni(20).name)
    killed = acted(2.0, 30.0, "primary killed")
    assert told(Patroni(20), segment_of(0, 30, acts=[own, killed])) == [
        (0, "none can be new: nothing was promoted")
    ]


def test_links_that_a_failover_does_not_lead_stay_with_the_old_primary() -> None:
    def against(*states: tuple[float, str]) -> list[tuple[int, str]]:
        readings = [
            StateReading(at_s, at_s + 0.1, {}, {"primary": [state], "worker-primary": [ELSEWHERE]})
            for at_s, state in states
        ]
        unled = Failover(0.5, leads=("replication",))
        moments = {"last answer": 2.2, "silent": 2.7, "promoting": 2.8, "promoted": 3.0}
        own = replace(acted(0.0, 6.0, unled.name), moments=moments)
        segment = replace(written([1, 1, 2, 2]), acts=[own], states=readings)
        return told(unled, segment)[2:]

    assert against((3.1, ""), (4.0, ELSEWHERE), (5.0, ELSEWHERE), (6.5, "")) == [(2, "")]
    assert against((4.0, ELSEWHERE), (5.0, "")) == [(2, "primary led to the new primary")]
    assert against((3.1, ELSEWHERE)) == []


def test_a_watchdog_with_nothing_to_do_has_nothing_to_tell() -> None:
    assert told(Degrade(0.5), segment_of(0, 6, acts=[acted(0.0, 6.0, Degrade(0.5).name)])) == []


def test_a_failover_that_promoted_nothing_did_not_take_place() -> None:
    ((_, against),) = told(FAILOVER, written([1, 1, 1], promoting_s=None))
    assert "nothing was promoted" in against
