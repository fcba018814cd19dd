"""What parts tell of themselves is compared as it is meant, and what was stored lasts its time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from chaos.acts.faults import Cut, Kill, Slow
from chaos.judge.settings_checks import (
    _may_keep,
    _most_served,
    _too_soon,
    answers_were_possible,
    cached_links_lasted,
    roles_were_kept,
    same,
)
from chaos.model.evidence import InForce, Segment, Verdict
from chaos.model.experiment import Act, At
from tests.support.fake_stack import World, herd_order
from tests.support.segments import evidence_of, followed, looked_up, segment_of

HERD = herd_order(World()).experiment


@pytest.mark.parametrize(
    ("planned", "told", "alike"),
    [
        ("0", "0.0", True),
        ("0.8", "0.80", True),
        ("1e3", "1000.0", True),
        ("0.8", "0.81", False),
        ("false", "false", True),
        ("0", "false", True),
        ("Off", "false", True),
        ("1", "true", True),
        ("true", "false", False),
        ("on", "on", True),
        ("local", "on", False),
        ("lock", "lease", False),
        ("lock", "lock", True),
        ("", "", True),
        ("", "on", False),
        ("100mb", "104857600", True),
        ("100mb", "104857601", False),
        ("nan", "nan", True),
    ],
)
def test_values_are_compared_as_they_are_meant(planned: str, told: str, alike: bool) -> None:
    assert same(planned, told) is alike


THREE = {"topology:servers": "3"}
TWO_ROLES = {"primary.in_recovery": False, "replica.in_recovery": True, "replica.streams": True}
THREE_ROLES = {**TWO_ROLES, "standby.in_recovery": True, "standby.streams": True}


@pytest.mark.parametrize(
    ("settings", "roles", "verdict"),
    [
        ({}, TWO_ROLES, Verdict.PASS),
        (THREE, THREE_ROLES, Verdict.PASS),
        (THREE, TWO_ROLES, Verdict.INVALID),
        (THREE, {**THREE_ROLES, "standby.streams": False}, Verdict.INVALID),
        (THREE, {**THREE_ROLES, "standby.in_recovery": False}, Verdict.INVALID),
        (THREE, {**THREE_ROLES, "replica.streams": False}, Verdict.INVALID),
    ],
)
def test_every_server_that_is_asked_for_follows_the_primary(
    settings: dict[str, str], roles: dict[str, bool], verdict: Verdict
) -> None:
    moments = [InForce({}, roles, {})] * 2
    evidence = evidence_of([segment_of(0, 1, settings=settings, in_force=moments)])
    assert roles_were_kept(HERD, evidence).verdict is verdict


def told(failures: float = 0.0, **settings: str) -> Segment:
    own = {"STALE_IF_ERROR_S": "0.0", "NEAR_CACHE_TTL_S": "0.0", **settings}
    moment = InForce({"web-1": own, "web-2": own}, {}, {})
    return segment_of(0, 1, in_force=[moment, moment], counted={"web-1.cache_failures": failures})


@pytest.mark.parametrize(
    ("segment", "most"),
    [
        (told(CACHE_FILL="direct"), {"wait": 0, "early": 0, "stale": 0, "near": 0}),
        (told(2, CACHE_FILL="direct"), {"wait": 2, "early": 0, "stale": 0, "near": 0}),
        (told(np.nan, CACHE_FILL="direct"), {"early": 0, "stale": 0, "near": 0}),
        (told(CACHE_FILL="xfetch"), {"wait": 0, "stale": 0, "near": 0}),
        (told(CACHE_FILL="lock"), {"early": 0, "stale": 0, "near": 0}),
        (told(CACHE_FILL="swr"), {"early": 0, "near": 0}),
        (told(CACHE_FILL="lock", STALE_IF_ERROR_S="9"), {"early": 0, "near": 0}),
        (told(CACHE_FILL="lock", NEAR_CACHE_TTL_S="1"), {"early": 0, "stale": 0}),
        (segment_of(0, 1), {}),
    ],
)
def test_what_can_be_served_follows_from_the_settings(segment: Segment, most: Any) -> None:
    assert _most_served(segment) == most


@pytest.mark.parametrize(
    ("read_from", "db", "verdict"),
    [
        ("primary", "replica", Verdict.INVALID),
        ("primary", "primary", Verdict.PASS),
        ("replica", "primary", Verdict.INVALID),
        ("replica", "replica", Verdict.PASS),
        ("replica-then-primary", "primary", Verdict.PASS),
        ("lsn", "replica", Verdict.PASS),
    ],
)
def test_look_ups_go_where_the_settings_send_them(
    read_from: str, db: str, verdict: Verdict
) -> None:
    look_ups = replace(looked_up([1], [1], [1], [1]), db=np.array([db]))
    segment = replace(told(READ_FROM=read_from), requests=followed([1.0]), look_ups=look_ups)
    evidence = evidence_of([segment])
    assert answers_were_possible(HERD, evidence).verdict is verdict


@pytest.mark.parametrize(
    ("read_from", "db", "bound_s", "verdict"),
    [
        ("replica", "primary", "0.5", Verdict.PASS),
        ("replica", "primary", "0.0", Verdict.INVALID),
        ("primary", "replica", "0.5", Verdict.INVALID),
    ],
)
def test_a_bound_on_the_lag_sends_look_ups_to_the_primary_alone(
    read_from: str, db: str, bound_s: str, verdict: Verdict
) -> None:
    look_ups = replace(looked_up([1], [1], [1], [1]), db=np.array([db]))
    own = told(READ_FROM=read_from, READ_LAG_MAX_S=bound_s)
    segment = replace(own, requests=followed([1.0]), look_ups=look_ups)
    assert answers_were_possible(HERD, evidence_of([segment])).verdict is verdict


@pytest.mark.parametrize(
    ("look_ups", "count"),
    [
        ([(0, 0, 1, 2), (11, 11, 12, 13)], 0),
        ([(0, 0, 1, 2), (10.9, 10.9, 12, 13)], 1),
        ([(0, 0, 1, 2), (1.9, 5, 6, 7)], 0),  # it missed before that was stored
        ([(0, 0, 1, 2), (9, 11, 12, 13)], 0),  # its read took so long
        ([(0, 0, 1, 2), (9, 9.5, 10, np.nan)], 0),  # not stored: the cache may have been away
        ([(0, 0, 1, 9), (0, 0, 8, 8.5), (11, 11, 12, 13)], 0),  # the older one was stored last
        ([(0, 0, 1, 7), (0, 0, 8, 8.5), (11, 11, 12, 13)], 1),
        ([(0, 0, 1, np.nan), (0, 0, 8, 8.5), (11, 11, 12, 13)], 0),  # it may have been stored
        ([(0, 0, 1, 2), (3, 3, 4, 5), (4, 4, 5, 6)], 2),
        ([], 0),
    ],
)
def test_what_was_stored_last_is_there_for_its_time(look_ups: Any, count: int) -> None:
    columns = np.array(look_ups, dtype=float).reshape(-1, 4).T
    segment = segment_of(0, 20, look_ups=looked_up(*columns))
    assert _too_soon(segment, 0, 10.0) == count


@pytest.mark.parametrize(
    ("act", "may"),
    [
        (Slow("replica", latency_ms=9), True),
        (Slow("cache", latency_ms=9), False),
        (Cut("cache"), False),
        (Kill("redis"), False),
        (Kill("web-1"), False),
        (Kill("replica"), True),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_links_are_kept_where_no_act_stops_cache_or_web(act: Act, may: bool) -> None:
    assert _may_keep(HERD.traffic, [At(0.0, act)]) is may
    assert _may_keep(HERD.traffic, [])


@pytest.mark.parametrize(
    ("stored_s", "verdict", "observed"),
    [
        ([1.1, 5.1], "PASS", "2 look-ups were stored"),
        ([1.1, np.nan], "PASS", "1 look-ups were stored"),
        ([np.nan, np.nan], "INVALID", "direct: nothing stored"),
    ],
)
def test_a_cache_in_which_nothing_was_stored_has_not_kept_it(
    stored_s: list[float], verdict: str, observed: str
) -> None:
    seen = looked_up([1, 5], [1, 5], [1.05, 5.05], stored_s)
    found = cached_links_lasted(HERD, evidence_of([segment_of(0, 20, look_ups=seen)]))
    assert found is not None
    assert (found.verdict.value, found.observed) == (verdict, observed)
