"""Failover, switchover and degrading, on a real stack: roles move, and what was lost is known."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pytest

from chaos.acts import (
    Cut,
    Degrade,
    Failover,
    Kill,
    Patroni,
    PauseReplay,
    Slow,
    Switchover,
    failover,
)
from chaos.acts.failover import move_primary
from chaos.failover.orders import Watch
from chaos.failover.patroni import MEMORY
from chaos.failover.process import FailoverProcess
from chaos.model.experiment import Act
from chaos.model.stack import ServerName, Stack, StackError
from chaos.runtimes import base_stack, server_queries
from chaos.runtimes.embedded.lab_processes import members
from chaos.runtimes.links import NOWHERE
from chaos.runtimes.server_queries import timeline, timelines
from chaos.runtimes.toxics import Toxics

pytestmark = pytest.mark.real

NOTES = "CREATE TABLE IF NOT EXISTS notes (note int)"


@pytest.fixture(autouse=True)
def healed(stack: Stack) -> Iterator[None]:
    yield
    stack.on_fork = lambda _: None
    stack.heal()


@pytest.fixture
def three_servers(stack: Stack) -> Iterator[None]:
    """A standby beside the replica; a commit waits for either."""
    any_1 = {"postgres:synchronous_standby_names": "ANY 1 (replica, standby)"}
    stack.configure({"topology:servers": "3", "SYNCHRONOUS_COMMIT": "on", **any_1})
    yield
    stack.heal()
    stack.configure({})


@contextmanager
def in_force(act: Act, stack: Stack) -> Iterator[Act]:
    own = act.aimed(stack)
    undo = own.inject(stack)
    try:
        yield own
    finally:
        undo()


def eventually(holds: Callable[[], bool], within_s: float = 10) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, "not within time"
        time.sleep(0.02)


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True, connect_timeout=2) as server:
        cursor = server.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


class Writer:
    """Notes numbers through the link to the primary; knows which were acknowledged."""

    def __init__(self, stack: Stack) -> None:
        execute(stack.endpoints.links["primary"], NOTES)
        self.acknowledged: list[int] = []
        self._url = stack.endpoints.links["primary"]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _write(self) -> None:
        number = 0
        while not self._ended.is_set():
            with (
                suppress(psycopg.Error),
                psycopg.connect(self._url, autocommit=True, connect_timeout=2) as primary,
            ):
                while not self._ended.is_set():
                    number += 1
                    primary.execute("INSERT INTO notes VALUES (%s)", [number])
                    self.acknowledged.append(number)
                    time.sleep(0.005)
            time.sleep(0.02)


def noted(url: str) -> set[object]:
    return {number for (number,) in execute(url, "SELECT note FROM notes")}


def test_the_controller_promotes_after_its_time_and_every_lost_write_is_in_the_fork(
    stack: Stack,
) -> None:
    old, before = stack.roles["primary"], timeline(stack.endpoints.primary)
    forked: set[object] = set()
    stack.on_fork = lambda url: forked.update(noted(url))
    promoting = Failover(0.5)
    probed = promoting.aimed(stack).probe(stack)
    with Writer(stack) as writer, in_force(Slow("replication", 200), stack):
        with in_force(promoting, stack) as act:
            assert act.took_effect(probed, act.probe(stack))
            time.sleep(0.5)
            killed_s = time.monotonic()
            with in_force(Kill("primary"), stack):
                acknowledged = len(writer.acknowledged)
                eventually(lambda: len(writer.acknowledged) > acknowledged + 20)
        assert act.healed(probed, act.probe(stack))
    moments = act.moments
    assert killed_s < moments["silent"] <= moments["promoting"] <= moments["promoted"]
    assert moments["silent"] - killed_s >= 0.5 - 0.3  # its last answer may be that old
    assert stack.roles["replica"] == old
    assert timeline(stack.endpoints.primary) == before + 1
    lost = {*writer.acknowledged} - noted(stack.endpoints.primary)
    assert lost
    assert lost <= forked


@pytest.mark.skipif(sys.platform != "linux", reason="wheels of etcd are for Linux only")
@pytest.mark.timeout(120)
def test_patroni_promotes_once_the_lease_is_over_and_nothing_of_it_is_left(stack: Stack) -> None:
    assert "patroni" in stack.can
    old, new, ttl_s = stack.roles["primary"], stack.roles["replica"], 20
    before, data = (
        timeline(stack.endpoints.primary),
        [stack.host(s).data for s in stack.roles.values()],
    )
    patroni = Patroni(ttl_s)
    probed = patroni.aimed(stack).probe(stack)
    with in_force(patroni, stack) as act:
        assert act.took_effect(probed, act.probe(stack))
        killed_s = time.monotonic()
        with in_force(Kill("primary"), stack):
            eventually(lambda: stack.roles == {"primary": new}, within_s=2 * ttl_s)
            assert act.took_effect(probed, act.probe(stack))  # the other agent is at work
    assert act.moments["promoting"] < act.moments["promoted"]
    assert ttl_s - 2 < act.moments["promoted"] - killed_s < ttl_s + 10
    assert act.healed(probed, act.probe(stack))
    assert stack.roles == {"primary": new, "replica": old}
    assert timeline(stack.endpoints.primary) == before + 1
    assert not members(stack.workdir("patroni"))
    assert not any((folder / MEMORY).exists() for folder in data)


def test_a_link_that_somebody_puts_back_late_is_led_to_the_new_primary_again(stack: Stack) -> None:
    toxics = Toxics(stack.endpoints.toxiproxy)
    with (
        Writer(stack) as writer,
        in_force(Failover(0.3), stack),
        in_force(Kill("primary"), stack),
    ):
        acknowledged = len(writer.acknowledged)
        eventually(lambda: len(writer.acknowledged) > acknowledged)
        toxics.put("primary", NOWHERE, is_open=True)
        acknowledged = len(writer.acknowledged)
        eventually(lambda: len(writer.acknowledged) > acknowledged + 20)


def test_with_the_replica_gone_the_controller_promotes_the_standby_and_nothing_is_lost(
    stack: Stack, three_servers: None
) -> None:
    standby = stack.roles["standby"]
    with Writer(stack) as writer, in_force(Kill("replica"), stack):
        eventually(lambda: len(writer.acknowledged) > 20)
        with in_force(Failover(0.3), stack) as act, in_force(Kill("primary"), stack):
            acknowledged = len(writer.acknowledged)
            eventually(lambda: len(writer.acknowledged) > acknowledged + 20)
            assert stack.roles["primary"] == standby
    assert not act.probe(stack).value
    assert stack.roles["primary"] == standby
    assert stack.roles.keys() == {"primary", "replica", "standby"}
    assert {*writer.acknowledged} <= noted(stack.endpoints.primary)


def test_of_two_standbys_an_operator_promotes_the_one_that_has_more(
    stack: Stack, three_servers: None
) -> None:
    behind, ahead = stack.roles["replica"], stack.roles["standby"]
    stack.kill("replica")
    execute(stack.endpoints.primary, NOTES)
    execute(stack.endpoints.primary, "INSERT INTO notes VALUES (70000)")
    eventually(lambda: 70_000 in noted(stack.endpoints.servers[ahead]))
    stack.kill("primary")
    stack.start(behind)
    said = [*move_primary(stack)]
    assert said[0].startswith(f"{ahead} is the primary")
    assert 70_000 in noted(stack.endpoints.primary)


def test_a_switchover_loses_nothing(stack: Stack) -> None:
    old = stack.roles["primary"]
    with Writer(stack) as writer, in_force(Slow("replication", 100), stack):
        eventually(lambda: len(writer.acknowledged) > 20)
        before = Switchover().probe(stack)
        with in_force(Switchover(), stack) as act:
            assert act.took_effect(before, act.probe(stack))
            acknowledged = len(writer.acknowledged)
            eventually(lambda: len(writer.acknowledged) > acknowledged + 20)
    assert stack.roles["replica"] == old
    assert {*writer.acknowledged} <= noted(stack.endpoints.primary)


def test_without_a_replica_that_catches_up_the_primary_takes_writes_again(stack: Stack) -> None:
    roles = dict(stack.roles)
    execute(stack.endpoints.primary, NOTES)
    with in_force(PauseReplay(), stack):
        execute(stack.endpoints.primary, "INSERT INTO notes VALUES (0)")
        with pytest.raises(StackError, match="did not catch up"):
            Switchover().inject(stack)
    assert stack.roles == roles
    execute(stack.endpoints.primary, "INSERT INTO notes VALUES (0)")


def test_an_interrupted_switchover_lets_the_primary_take_writes_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(failover, "flush", interrupted)  # it was demoted just before
    with pytest.raises(KeyboardInterrupt):
        Switchover().inject(stack)
    execute(stack.endpoints.primary, NOTES)


def test_a_primary_whose_replica_may_lead_by_now_refuses_writes_until_the_servers_are_restored(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(_: object) -> None:
        raise StackError("not within time")

    with monkeypatch.context() as patched:
        patched.setattr(stack, "promote", late)
        with pytest.raises(StackError, match="may be the primary by now"):
            Switchover().inject(stack)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        execute(stack.endpoints.primary, "CREATE TABLE more (note int)")
    stack.restore()
    execute(stack.endpoints.primary, NOTES)


def test_a_switchover_keeps_what_was_acknowledged_without_a_flush(stack: Stack) -> None:
    url = stack.endpoints.primary
    execute(url, NOTES)
    execute(url, "ALTER SYSTEM SET wal_writer_delay = '10s'")
    execute(url, "SELECT pg_reload_conf()")
    with psycopg.connect(url, autocommit=True) as primary:
        primary.execute("SET synchronous_commit = off")
        for number in range(50_000, 50_010):
            primary.execute("INSERT INTO notes VALUES (%s)", [number])
    with in_force(Switchover(), stack):
        assert {*range(50_000, 50_010)} <= noted(stack.endpoints.primary)
    for server in stack.endpoints.servers.values():
        execute(server, "ALTER SYSTEM RESET wal_writer_delay")
        execute(server, "SELECT pg_reload_conf()")


def test_a_server_that_answers_late_is_not_rewound_though_another_one_leads(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = stack.roles["primary"], stack.roles["replica"]
    undo = Switchover(waits=False).inject(stack)
    execute(stack.endpoints.primary, "INSERT INTO notes VALUES (60000)")
    asked: list[object] = []

    def late(servers: Mapping[ServerName, str]) -> Mapping[ServerName, int]:
        asked.append(servers)
        return {s: n for s, n in timelines(servers).items() if s != new or len(asked) > 1}

    monkeypatch.setattr(server_queries, "timelines", late)
    undo()
    assert stack.roles == {"primary": new, "replica": old}
    assert 60_000 in noted(stack.endpoints.primary)


def test_while_a_server_does_not_say_whether_it_leads_none_is_made_to_follow(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = stack.roles["replica"]
    undo = Switchover(waits=False).inject(stack)
    with monkeypatch.context() as patched:
        patched.setattr(base_stack, "ALL_ANSWER_S", 0.3)
        patched.setattr(
            server_queries,
            "timelines",
            lambda servers: {s: n for s, n in timelines(servers).items() if s != new},
        )
        with pytest.raises(StackError, match=f"{new} did not say within 0.3 s whether it leads"):
            undo()
    assert stack.roles["primary"] == new
    undo()


def test_no_controller_is_left_at_work_if_the_watchdog_cannot_begin(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoWatchdog(FailoverProcess):
        def __init__(self, order: Any, *others: Any) -> None:
            if isinstance(order, Watch):
                raise StackError("it did not begin")
            super().__init__(order, *others)

    monkeypatch.setattr(failover, "FailoverProcess", NoWatchdog)
    act = Failover(60, demotes_s=0.3).aimed(stack)
    with pytest.raises(StackError, match="did not begin"):
        act.inject(stack)
    assert len(act.programs.running) == 1
    assert act.probe(stack).value == 0


def test_a_primary_that_lost_its_replica_refuses_writes_and_takes_them_again(stack: Stack) -> None:
    url = stack.endpoints.primary
    alone = Failover(60, leads=(), demotes_s=0.3)
    with in_force(alone, stack), in_force(Cut("replication"), stack):
        read_only = "SELECT current_setting('default_transaction_read_only')"
        eventually(lambda: execute(url, read_only) == [("on",)])
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            execute(url, NOTES)
    execute(url, NOTES)


def test_commits_wait_for_a_dead_replica_until_the_watchdog_lets_them_go(stack: Stack) -> None:
    stack.configure({"postgres:synchronous_standby_names": "replica"})
    url = stack.endpoints.primary
    waiting_for = "SELECT current_setting('synchronous_standby_names')"
    before = execute(url, waiting_for)
    with in_force(Degrade(0.5), stack), in_force(Kill("replica"), stack):
        began_s = time.monotonic()
        execute(url, NOTES)
        assert time.monotonic() - began_s < 5
    assert execute(url, waiting_for) == before
    stack.configure({})


def test_an_operator_moves_the_primary_and_moves_it_back_and_nothing_is_lost(stack: Stack) -> None:
    first, second = stack.roles["primary"], stack.roles["replica"]
    with Writer(stack) as writer:
        for old, new in [(first, second), (second, first)]:
            eventually(lambda: len(writer.acknowledged) > 20)
            said = [*move_primary(stack)]
            assert said[0] == f"{new} is the primary, and has all that {old} acknowledged"
            assert said[1] == f"{old} follows it"
            assert stack.roles == {"primary": new, "replica": old}
    assert {*writer.acknowledged} <= noted(stack.endpoints.primary)


def test_an_operator_promotes_the_replica_of_a_dead_primary(stack: Stack) -> None:
    first, second = stack.roles["primary"], stack.roles["replica"]
    stack.kill("primary")
    said = [*move_primary(stack)]
    assert "gives no answer" in said[0]
    assert stack.roles == {"primary": second, "replica": first}


def test_without_a_replica_nothing_is_promoted(stack: Stack) -> None:
    stack.kill("replica")
    with pytest.raises(StackError, match="nothing can be promoted: no server is the replica now"):
        [*move_primary(stack)]
    execute(stack.endpoints.primary, NOTES)


def test_a_failover_that_cannot_promote_says_what_each_server_said_last(stack: Stack) -> None:
    act = Failover(0.3).aimed(stack)
    undo = act.inject(stack)
    stack.kill("replica")
    stack.kill("primary")
    eventually(lambda: "failed" in act.programs.events)
    with pytest.raises(StackError, match=r"(?s)failover did not end: .*postgres-1: .*postgres-2: "):
        undo()
