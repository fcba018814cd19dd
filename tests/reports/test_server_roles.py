"""The roles of servers over an arm's time, worked out from what is on record."""

from __future__ import annotations

from typing import Any

import pytest

from reports.server_roles import role_spans

ONE, TWO = "postgres-1", "postgres-2"
ROLES = {"primary": TWO, "replica": ONE}
APART_S = 7.0


def act(injected_s: float, **moments: float) -> dict[str, Any]:
    return {"injected_s": injected_s, "roles": ROLES, "moments": moments}


def reading(to_s: float, *links: str, **down: str) -> dict[str, Any]:
    parts = {ONE: "up", TWO: "up"} | {name.replace("_", "-"): to for name, to in down.items()}
    return {"from_s": to_s - 0.01, "to_s": to_s, "parts": parts, "links": {"replication": links}}


def drawn(acts: list[Any], states: list[Any], number: int = 0) -> dict[str, list[tuple[Any, ...]]]:
    """Role, beginning and end of each stretch, by server."""
    segment = {
        "started_s": 50.0, "ended_s": 56.0, "round": number, "acts": acts, "states": states,
    }  # fmt: skip
    spans = role_spans([segment], APART_S)
    return {
        server: [
            (span.role, round(span.from_s, 3), round(span.to_s, 3))
            for span in spans
            if span.server == server
        ]
        for server in (ONE, TWO)
    }


def test_roles_stay_where_nothing_moves_them() -> None:
    assert drawn([act(49.0)], [reading(49.5), reading(51.0)], number=1) == {
        ONE: [("replica", 7, 13)],
        TWO: [("primary", 7, 13)],
    }


def test_a_promoted_replica_leads_beside_a_primary_that_was_not_told() -> None:
    assert drawn([act(49.0, promoted=52.0), act(51.0)], []) == {
        ONE: [("replica", 0, 2), ("primary", 2, 6)],
        TWO: [("primary", 0, 2), ("old primary", 2, 6)],
    }


def test_a_demoted_primary_refuses_writes_before_and_after_the_promotion() -> None:
    moved = drawn([act(49.0, demoted=51.5, promoted=52.0)], [])

    assert moved[TWO] == [("primary", 0, 1.5), ("read-only", 1.5, 6)]
    assert moved[ONE] == [("replica", 0, 2), ("primary", 2, 6)]


def test_of_two_that_follow_both_are_cut_off_from_a_killed_primary() -> None:
    roles = {**ROLES, "standby": "postgres-3"}
    killed = {**act(49.0), "roles": roles}
    segment = {
        "started_s": 50.0, "ended_s": 56.0, "round": 0, "acts": [killed],
        "states": [reading(52.0, postgres_2="down")],
    }  # fmt: skip
    spans = {(span.server, span.from_s): span.role for span in role_spans([segment], APART_S)}
    assert spans == {
        (ONE, 0): "replica", (ONE, 2): "cut off", (TWO, 0): "primary", (TWO, 2): "down",
        ("postgres-3", 0): "standby", ("postgres-3", 2): "cut off",
    }  # fmt: skip


def test_a_killed_primary_is_down_and_nobody_feeds_its_replica() -> None:
    states = [reading(51.0), reading(51.8, postgres_2="down"), reading(52.5, postgres_2="down")]

    assert drawn([act(49.0, promoted=52.0)], states) == {
        ONE: [("replica", 0, 1.8), ("cut off", 1.8, 2), ("primary", 2, 6)],
        TWO: [("primary", 0, 1.8), ("down", 1.8, 6)],
    }


@pytest.mark.parametrize("cut", ["closed", "led elsewhere"])
def test_a_replica_whose_link_does_not_lead_to_its_primary_is_cut_off(cut: str) -> None:
    states = [reading(51.0, "latency downstream latency=200"), reading(52.0, cut), reading(53.0)]

    assert drawn([act(49.0)], states) == {
        ONE: [("replica", 0, 2), ("cut off", 2, 3), ("replica", 3, 6)],
        TWO: [("primary", 0, 6)],
    }


def test_a_replica_that_is_down_is_not_called_cut_off() -> None:
    states = [reading(52.0, "closed", postgres_1="down"), reading(54.0)]

    assert drawn([act(49.0)], states)[ONE] == [("replica", 0, 2), ("down", 2, 4), ("replica", 4, 6)]


def test_nothing_is_drawn_where_no_act_recorded_roles() -> None:
    assert drawn([], [reading(51.0)]) == {ONE: [], TWO: []}
    assert drawn([{"injected_s": 49.0}], [reading(51.0)]) == {ONE: [], TWO: []}
