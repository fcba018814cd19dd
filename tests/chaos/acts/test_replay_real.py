"""Replay that is paused, on a real stack: what was written is not seen, until it goes on."""

from __future__ import annotations

import psycopg
import pytest

from chaos.acts import PauseReplay
from chaos.model.stack import Stack

pytestmark = pytest.mark.real


def test_changes_are_not_seen_while_replay_is_paused_and_all_are_afterwards(stack: Stack) -> None:
    act = PauseReplay()
    before = act.probe(stack)
    undo = act.inject(stack)
    try:
        during = act.probe(stack)
        state = "SELECT pg_get_wal_replay_pause_state()"
        with psycopg.connect(stack.endpoints.replica) as replica:
            assert replica.execute(state).fetchone() == ("paused",)
    finally:
        undo()
    after = act.probe(stack)
    assert act.took_effect(before, during)
    assert act.healed(before, after)
    assert not act.took_effect(before, after)
    assert not act.healed(before, during)
