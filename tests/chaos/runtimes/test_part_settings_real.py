"""Settings of Postgres and Redis that an arm changes, on a real stack."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import redis

from chaos.model.stack import Stack, StackError
from chaos.runtimes.part_settings import SYNCHRONOUS, PartSettings, in_force
from tests.support.patience import PATIENT

pytestmark = pytest.mark.real


@pytest.fixture
def settings(stack: Stack) -> Iterator[PartSettings]:
    applied = PartSettings(stack)
    yield applied
    applied.apply({})


def shown(stack: Stack, name: str) -> object:
    with psycopg.connect(stack.endpoints.primary) as primary:
        row = primary.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert row is not None
    return row[0]


def test_they_are_in_force_when_applied_and_gone_when_the_next_arm_has_none(
    stack: Stack, settings: PartSettings
) -> None:
    settings.apply({"postgres:work_mem": "5MB", "redis:maxmemory-policy": "noeviction"})
    with redis.Redis.from_url(stack.endpoints.redis, decode_responses=True) as client:
        assert shown(stack, "work_mem") == "5MB"
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        settings.apply({})
        assert shown(stack, "work_mem") == "4MB"
        assert client.config_get("maxmemory-policy") != {"maxmemory-policy": "noeviction"}


def test_what_a_killed_process_set_is_put_back_once_settings_are_taken_as_unknown(
    stack: Stack, settings: PartSettings
) -> None:
    with redis.Redis.from_url(stack.endpoints.redis, decode_responses=True) as client:
        policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
        given = {"postgres:work_mem": "5MB", "redis:maxmemory-policy": "allkeys-random"}
        PartSettings(stack).apply(given)
        settings.apply({})
        assert in_force(stack, given) == {
            "postgres": {"postgres:work_mem": "5MB"},
            "redis": {"redis:maxmemory-policy": "allkeys-random"},
        }
        settings.forget()
        settings.apply({})
        assert shown(stack, "work_mem") == "4MB"
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == policy


def test_a_synchronous_standby_is_waited_for(stack: Stack, settings: PartSettings) -> None:
    settings.apply({"postgres:synchronous_standby_names": "replica"})
    with psycopg.connect(stack.endpoints.primary) as primary:
        states = primary.execute("SELECT sync_state FROM pg_stat_replication").fetchall()
    assert ("sync",) in states


def test_a_standby_may_be_named_by_its_server(stack: Stack, settings: PartSettings) -> None:
    either = {f"postgres:{SYNCHRONOUS}": 'ANY 1 ("postgres-1", "postgres-2")'}
    settings.apply(either)
    assert in_force(stack, either) == {"postgres": either}


def test_they_are_told_as_they_were_given(stack: Stack, settings: PartSettings) -> None:
    given = {"postgres:work_mem": "5MB", f"postgres:{SYNCHRONOUS}": "replica"}
    settings.apply(given)
    assert shown(stack, SYNCHRONOUS) == f'"{stack.roles["replica"]}"'
    assert in_force(stack, given) == {"postgres": given}


def test_they_follow_the_primary(stack: Stack) -> None:
    stack.configure(
        {
            **PATIENT,
            "postgres:work_mem": "5MB",
            f"postgres:{SYNCHRONOUS}": "replica",
        }
    )
    try:
        stack.kill("primary")
        stack.promote(stack.roles["replica"])
        assert shown(stack, "work_mem") == "5MB"
        assert shown(stack, SYNCHRONOUS) == ""  # there is nobody to wait for
        stack.heal()
        assert shown(stack, "work_mem") == "5MB"
        assert shown(stack, SYNCHRONOUS) == f'"{stack.roles["replica"]}"'
    finally:
        stack.heal()
        stack.configure(PATIENT)
    assert shown(stack, "work_mem") == "4MB"


def test_a_standby_that_there_is_not_is_refused_after_a_while(
    stack: Stack, settings: PartSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.runtimes.part_settings.PATIENCE_S", 0.3)
    with pytest.raises(StackError, match="not in force"):
        settings.apply({"postgres:synchronous_standby_names": "nobody"})


def test_a_name_that_postgres_does_not_know_is_its_error(
    stack: Stack, settings: PartSettings
) -> None:
    with pytest.raises(StackError, match="work_menu"):
        settings.apply({"postgres:work_menu": "1"})
