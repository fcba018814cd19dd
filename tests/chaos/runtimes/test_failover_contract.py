"""The contract of every runtime's servers: roles that move, and a way back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from chaos.acts.faults import Kill, Pause
from chaos.model.experiment import Act
from chaos.model.stack import THIRD, Link, ServerName, Stack, StackError
from chaos.runtimes.topology import ROLES, led_by
from tests.support.patience import PATIENT

TO_PRIMARY: tuple[Link, ...] = ("primary", "worker-primary", "replication")
LAG_MS = 200
MARKS = "CREATE TABLE IF NOT EXISTS marks (mark int PRIMARY KEY)"


@pytest.fixture(autouse=True)
def restored(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does, the next one finds a healthy stack."""
    name = next(name for name in ("any_stack", "real_stack") if name in request.fixturenames)
    stack: Stack = request.getfixturevalue(name)
    yield
    stack.on_fork = unread
    stack.heal()
    stack.check()
    if THIRD in stack.endpoints.servers:
        stack.configure(PATIENT)
    assert stack.roles.keys() == ROLES.keys()


def unread(_: str) -> None:
    """Leave a fork unread."""


def led(stack: Stack) -> dict[str, str]:
    return {name: link.to for name, link in stack.state().links.items()}


def fail_over(stack: Stack) -> tuple[ServerName, ServerName]:
    """Kill the primary, promote its replica, and lead writes there; return the old and the new."""
    old, new = stack.roles["primary"], stack.roles["replica"]
    stack.kill("primary")
    stack.promote(new)
    for link in TO_PRIMARY:
        stack.lead(link, new)
    return old, new


def value(url: str, query: str) -> Any:
    with psycopg.connect(url, autocommit=True, connect_timeout=2) as database:
        row = database.execute(query.encode()).fetchone()
    return row[0] if row else None


def marks(url: str) -> set[int]:
    with psycopg.connect(url, autocommit=True, connect_timeout=2) as database:
        return {mark for (mark,) in database.execute("SELECT mark FROM marks")}


def write(url: str, new: Sequence[int]) -> None:
    """Insert each mark in a transaction of its own, and return when all are acknowledged."""
    with psycopg.connect(url, autocommit=True, connect_timeout=2) as database:
        for mark in new:
            database.execute("INSERT INTO marks VALUES (%s)", [mark])


def acknowledged_until_it_dies(url: str) -> list[float]:
    """Insert marks one after the other; return the time of each acknowledgement, by mark."""
    times_s: list[float] = []
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(url, autocommit=True, connect_timeout=2) as database,
    ):
        while True:
            database.execute("INSERT INTO marks VALUES (%s)", [len(times_s)])
            times_s.append(time.monotonic())
    return times_s


def empty_marks(stack: Stack) -> None:
    """Have an empty table, on the replica, too."""
    with psycopg.connect(stack.endpoints.primary, autocommit=True) as primary:
        primary.execute("DROP TABLE IF EXISTS marks")
        primary.execute(MARKS)
        primary.execute("ALTER TABLE marks OWNER TO linkstorm")  # who comes through links
        end = primary.execute("SELECT pg_current_wal_flush_lsn()").fetchone()
    with psycopg.connect(stack.endpoints.replica, autocommit=True) as replica:
        reached = "SELECT pg_last_wal_replay_lsn() >= %s"
        assert eventually(lambda: replica.execute(reached, end).fetchone() == (True,))


def eventually(holds: Callable[[], bool], within_s: float = 10) -> bool:
    deadline_s = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


# --- roles -------------------------------------------------------------------------------------


def test_each_role_has_a_server_of_its_own_and_links_lead_by_role(any_stack: Stack) -> None:
    roles, at = any_stack.roles, any_stack.endpoints
    assert {*roles.values()} == {*ROLES.values()}
    assert led(any_stack) == led_by(roles)
    assert at.primary == at.servers[roles["primary"]]
    assert at.replica == at.servers[roles["replica"]]


def test_a_target_is_a_part_or_the_server_that_has_a_role(any_stack: Stack) -> None:
    assert any_stack.part_of("primary") == any_stack.roles["primary"]
    assert any_stack.part_of("postgres-2") == "postgres-2"
    assert any_stack.part_of("redis") == "redis"
    with pytest.raises(StackError, match="no part postgres-9"):
        any_stack.part_of("postgres-9")


def test_a_promoted_replica_is_the_primary_and_nobody_is_the_replica(any_stack: Stack) -> None:
    last = any_stack.endpoints.replica
    old, new = fail_over(any_stack)
    assert any_stack.roles == {"primary": new}
    assert any_stack.endpoints.primary == any_stack.endpoints.servers[new]
    assert any_stack.endpoints.replica == last
    with pytest.raises(StackError, match="no server is the replica"):
        any_stack.part_of("replica")
    assert any_stack.state().parts[old] == "down"


def test_only_a_standby_that_is_up_can_be_promoted(any_stack: Stack) -> None:
    with pytest.raises(StackError, match=r"primary|no standby"):
        any_stack.promote(any_stack.roles["primary"])
    replica = any_stack.roles["replica"]
    any_stack.kill("replica")
    with pytest.raises(StackError, match=f"{replica} cannot be promoted"):
        any_stack.promote(replica)


def test_an_act_goes_on_with_the_server_that_had_the_role(any_stack: Stack) -> None:
    killed, old = Kill("primary").aimed(any_stack), any_stack.roles["primary"]
    undo = killed.inject(any_stack)
    any_stack.promote(any_stack.roles["replica"])
    assert killed.probe(any_stack).value == 0
    undo()
    assert any_stack.roles["replica"] == old
    assert killed.probe(any_stack).value == 3


def test_somebody_elses_promotion_is_found(real_stack: Stack) -> None:
    old, new = real_stack.roles["primary"], real_stack.roles["replica"]
    assert real_stack.find_roles() == {"primary": old, "replica": new}
    assert value(real_stack.endpoints.servers[new], "SELECT pg_promote()") is True
    assert real_stack.find_roles() == {"primary": new}  # both take writes: the newer one leads
    real_stack.heal()
    assert real_stack.roles == {"primary": new, "replica": old}


def test_a_server_that_does_not_answer_has_no_role(real_stack: Stack) -> None:
    primary, replica = real_stack.roles["primary"], real_stack.roles["replica"]
    real_stack.pause(primary)
    asked_s = time.monotonic()
    assert real_stack.find_roles() == {"replica": replica}
    assert time.monotonic() - asked_s < 2
    real_stack.heal()
    assert real_stack.roles == {"primary": primary, "replica": replica}


# --- links -------------------------------------------------------------------------------------


def test_a_link_leads_where_it_is_led_until_that_is_undone(any_stack: Stack) -> None:
    primary, replica = any_stack.roles["primary"], any_stack.roles["replica"]
    undo = any_stack.lead("replica", primary)
    assert led(any_stack) == {**led_by(any_stack.roles), "replica": primary}
    undo()
    undo()
    assert led(any_stack)["replica"] == replica


def test_undoing_leaves_a_link_that_somebody_else_has_led_on(any_stack: Stack) -> None:
    primary, replica = any_stack.roles["primary"], any_stack.roles["replica"]
    first, _ = any_stack.lead("primary", replica), any_stack.lead("primary", primary)
    first()
    assert led(any_stack)["primary"] == primary


def test_what_comes_through_a_link_is_from_the_server_that_it_leads_to(real_stack: Stack) -> None:
    def recovers() -> object:
        return value(real_stack.endpoints.links["replica"], "SELECT pg_is_in_recovery()")

    with psycopg.connect(real_stack.endpoints.links["replica"], autocommit=True) as open_before:
        assert recovers() is True
        real_stack.lead("replica", real_stack.roles["primary"])
        with pytest.raises(psycopg.OperationalError):
            open_before.execute("SELECT 1")
    assert recovers() is False


def test_a_server_cut_off_runs_on_and_no_link_leads_to_it(any_stack: Stack) -> None:
    primary = any_stack.roles["primary"]
    undo = any_stack.cut_off(primary)
    closed = {name for name, link in any_stack.state().links.items() if not link.open}
    assert closed == {*TO_PRIMARY}
    assert any_stack.state().parts[primary] == "up"
    undo()
    undo()
    assert all(link.open for link in any_stack.state().links.values())


def test_a_link_led_away_from_a_server_that_is_cut_off_is_open(any_stack: Stack) -> None:
    old, new = any_stack.roles["primary"], any_stack.roles["replica"]
    undo = any_stack.cut_off(old)
    any_stack.lead("primary", new)
    assert any_stack.state().links["primary"].open
    undo()


# --- a failover --------------------------------------------------------------------------------


def test_what_a_link_holds_of_a_killed_primary_dies_with_it(real_stack: Stack) -> None:
    empty_marks(real_stack)
    real_stack.toxic("replication", "latency", "downstream", latency=LAG_MS)
    with ThreadPoolExecutor(1) as threads:
        writer = threads.submit(acknowledged_until_it_dies, real_stack.endpoints.links["primary"])
        time.sleep(1.0)
        real_stack.kill("primary")
        at_s = writer.result()
    time.sleep(3 * LAG_MS / 1000)  # long enough for all that is under way
    real_stack.promote(real_stack.roles["replica"])
    kept = marks(real_stack.endpoints.primary)
    assert kept == {*range(len(kept))}
    lost_s = at_s[-1] - at_s[len(kept)]  # of the acknowledged writes that nobody has now
    assert 0.5 * LAG_MS <= 1000 * lost_s <= 2 * LAG_MS


def test_lost_writes_can_be_read_before_a_rejoin_erases_them(real_stack: Stack) -> None:
    empty_marks(real_stack)
    mend = real_stack.cut("replication")
    write(real_stack.endpoints.primary, range(50))
    old, new = fail_over(real_stack)
    write(real_stack.endpoints.primary, range(100, 150))
    forked: list[set[int]] = []

    def read_fork(url: str) -> None:
        forked.append(marks(url))
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            write(url, [1000])

    mend()
    real_stack.rejoin(old, read_fork)
    assert forked == [{*range(50)}]
    assert real_stack.roles == {"primary": new, "replica": old}
    assert led(real_stack) == led_by(real_stack.roles)
    assert marks(real_stack.endpoints.replica) == {*range(100, 150)}
    for setting in ("fsync", "default_transaction_read_only"):
        shown = [value(url, f"SHOW {setting}") for url in real_stack.endpoints.servers.values()]
        assert shown == [{"fsync": "on"}.get(setting, "off")] * 2


def test_a_server_that_lives_on_beside_the_new_primary_rejoins(real_stack: Stack) -> None:
    empty_marks(real_stack)
    old, new = real_stack.roles["primary"], real_stack.roles["replica"]
    real_stack.promote(new)
    write(real_stack.endpoints.servers[old], range(10))
    forked: list[set[int]] = []
    real_stack.on_fork = lambda url: forked.append(marks(url))
    real_stack.restore()
    assert forked == [{*range(10)}]
    assert real_stack.roles == {"primary": new, "replica": old}
    assert marks(real_stack.endpoints.replica) == set()


def test_a_replica_that_lost_nothing_may_rejoin(real_stack: Stack) -> None:
    empty_marks(real_stack)
    write(real_stack.endpoints.primary, range(10))
    primary, replica = real_stack.roles["primary"], real_stack.roles["replica"]
    real_stack.rejoin(replica, unread)
    assert real_stack.roles == {"primary": primary, "replica": replica}
    assert marks(real_stack.endpoints.replica) == {*range(10)}


def test_a_killed_server_that_lost_its_role_rejoins_when_it_is_started(any_stack: Stack) -> None:
    old, new = fail_over(any_stack)
    forks: list[str] = []
    any_stack.on_fork = forks.append
    any_stack.start(old)
    assert any_stack.roles == {"primary": new, "replica": old}
    assert forks == [any_stack.endpoints.servers[old]]


def test_a_killed_server_that_keeps_its_role_is_started_as_it_is(any_stack: Stack) -> None:
    roles = any_stack.roles
    any_stack.on_fork = lambda _: pytest.fail("it has no fork")
    for role in ROLES:
        any_stack.kill(role)
        any_stack.start(role)
    assert any_stack.roles == roles


def test_the_primary_itself_cannot_rejoin(any_stack: Stack) -> None:
    with pytest.raises(StackError, match="cannot rejoin"):
        any_stack.rejoin(any_stack.roles["primary"], unread)


@pytest.mark.parametrize("times", [1, 2])
def test_a_stack_is_restored_after_failovers(any_stack: Stack, times: int) -> None:
    for _ in range(times):
        fail_over(any_stack)
        any_stack.toxic("cache", "latency", "downstream", latency=LAG_MS)
        any_stack.restore()
        assert {*any_stack.roles.values()} == {*ROLES.values()}
        state = any_stack.state()
        assert led(any_stack) == led_by(any_stack.roles)
        assert all(link.open and not link.toxics for link in state.links.values())
        assert {state.parts[server] for server in ROLES.values()} == {"up"}


def test_restoring_a_healthy_stack_changes_nothing(any_stack: Stack) -> None:
    roles, state = any_stack.roles, any_stack.state()
    any_stack.restore()
    assert (any_stack.roles, any_stack.state()) == (roles, state)


def test_links_that_a_restarted_toxiproxy_has_lead_by_role(any_stack: Stack) -> None:
    fail_over(any_stack)
    any_stack.restore()
    any_stack.kill("toxiproxy")
    any_stack.start("toxiproxy")
    assert led(any_stack) == led_by(any_stack.roles)


# --- a third server ----------------------------------------------------------------------------

THREE = {**PATIENT, "topology:servers": "3"}
ANY_1_OF_2 = {**THREE, "postgres:synchronous_standby_names": "ANY 1 (replica, standby)"}
SLOTS = "SELECT array_agg(slot_name::text ORDER BY slot_name) FROM pg_replication_slots"
STREAMING = """
    SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '{}'
"""


def servers_up(stack: Stack) -> list[str]:
    parts = stack.state().parts
    return [part for part in parts if part.startswith("postgres") and parts[part] == "up"]


def test_a_third_server_joins_as_the_standby_and_leaves_when_it_is_not_asked_for(
    any_stack: Stack,
) -> None:
    roles, links = any_stack.roles, led(any_stack)
    with pytest.raises(StackError, match=f"no {THIRD} now"):
        any_stack.part_of(THIRD)
    with pytest.raises(StackError, match="no server is the standby"):
        any_stack.part_of("standby")
    any_stack.configure(THREE)
    assert any_stack.roles == {**roles, "standby": THIRD}
    assert any_stack.endpoints.standby == any_stack.endpoints.servers[THIRD]
    assert len(servers_up(any_stack)) == 3
    assert led(any_stack) == links  # nobody reads it
    any_stack.configure(PATIENT)
    assert any_stack.roles == roles
    assert any_stack.endpoints.standby is None
    assert THIRD not in any_stack.endpoints.servers
    assert servers_up(any_stack) == sorted(roles.values())
    any_stack.check()


@pytest.mark.parametrize("servers", ["1", "4", "three"])
def test_another_number_of_servers_is_refused_in_words(any_stack: Stack, servers: str) -> None:
    with pytest.raises(StackError, match=f"is 2 or 3, not '{servers}'"):
        any_stack.configure({**PATIENT, "topology:servers": servers})


def test_who_names_the_standby_where_there_is_none_is_told(real_stack: Stack) -> None:
    with pytest.raises(StackError, match=r"names the standby.*topology:servers=3"):
        real_stack.configure({**ANY_1_OF_2, "topology:servers": "2"})


def test_the_primary_has_a_slot_for_each_that_follows_and_keeps_none_when_it_leaves(
    real_stack: Stack,
) -> None:
    two = value(real_stack.endpoints.primary, SLOTS)
    for _ in range(2):
        real_stack.configure(THREE)
        assert value(real_stack.endpoints.primary, SLOTS) == sorted([*two, "postgres_3"])
        real_stack.configure(PATIENT)
        assert value(real_stack.endpoints.primary, SLOTS) == two


def test_a_third_server_has_what_was_written_before_and_after_it_joined(
    real_stack: Stack,
) -> None:
    empty_marks(real_stack)
    write(real_stack.endpoints.primary, range(10))
    real_stack.configure(THREE)
    write(real_stack.endpoints.primary, range(10, 20))
    standby = real_stack.endpoints.servers[THIRD]
    assert eventually(lambda: marks(standby) == {*range(20)})


@pytest.mark.parametrize("lost", ["replica", "standby"])
def test_commits_that_wait_for_any_of_two_go_on_without_one(real_stack: Stack, lost: str) -> None:
    real_stack.configure(ANY_1_OF_2)
    empty_marks(real_stack)
    real_stack.kill(lost)
    began_s = time.monotonic()
    write(real_stack.endpoints.primary, range(20))
    assert time.monotonic() - began_s < 5
    (other,) = {"replica", "standby"} - {lost}
    seen = real_stack.endpoints.servers[real_stack.roles[other]]  # type: ignore[index]
    assert eventually(lambda: marks(seen) == {*range(20)})


def test_commits_that_wait_for_any_of_two_wait_when_both_are_gone(real_stack: Stack) -> None:
    real_stack.configure(ANY_1_OF_2)
    empty_marks(real_stack)
    real_stack.kill("replica")
    real_stack.kill("standby")
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(write, real_stack.endpoints.primary, [1])
        time.sleep(1.0)
        assert not writing.done()
        real_stack.start("standby")
        writing.result(timeout=10)


def test_who_follows_goes_on_with_the_server_that_is_promoted(real_stack: Stack) -> None:
    real_stack.configure(THREE)
    empty_marks(real_stack)
    _, new = fail_over(real_stack)
    assert real_stack.roles == {"primary": new, "replica": THIRD}
    query = STREAMING.format(THIRD)
    assert eventually(lambda: value(real_stack.endpoints.primary, query) == 1)
    write(real_stack.endpoints.primary, range(10))
    assert eventually(lambda: marks(real_stack.endpoints.replica) == {*range(10)})


def test_three_servers_are_restored_after_each_was_the_primary(any_stack: Stack) -> None:
    any_stack.configure(THREE)
    first = {*any_stack.roles.values()}
    led_once = set()
    for _ in range(3):
        any_stack.kill("primary")
        any_stack.promote(any_stack.roles["replica"])
        any_stack.restore()
        assert {*any_stack.roles.values()} == first
        assert led(any_stack) == led_by(any_stack.roles)
        assert len(servers_up(any_stack)) == 3
        led_once.add(any_stack.roles["primary"])
    assert led_once == first


def test_a_standby_that_has_more_than_the_new_primary_is_read_and_rewound(
    real_stack: Stack,
) -> None:
    real_stack.configure(THREE)
    empty_marks(real_stack)
    behind = real_stack.roles["replica"]
    real_stack.kill("replica")
    write(real_stack.endpoints.primary, range(10))
    ahead = real_stack.endpoints.servers[THIRD]
    assert eventually(lambda: marks(ahead) == {*range(10)})
    real_stack.kill("primary")
    real_stack.start(behind)
    assert real_stack.furthest_standby() == THIRD
    real_stack.promote(behind)
    forked: list[set[int]] = []
    real_stack.on_fork = lambda url: forked.append(marks(url))
    real_stack.restore()
    assert forked == [{*range(10)}, {*range(10)}]
    assert real_stack.roles["primary"] == behind
    assert all(marks(url) == set() for url in real_stack.endpoints.servers.values())


def test_a_third_server_that_leads_leaves_without_a_loss(real_stack: Stack) -> None:
    real_stack.configure(THREE)
    empty_marks(real_stack)
    while real_stack.roles["primary"] != THIRD:
        real_stack.promote(THIRD)
        real_stack.restore()
    write(real_stack.endpoints.primary, range(50))
    real_stack.configure(PATIENT)
    assert {*real_stack.roles.values()} == {*ROLES.values()}
    assert marks(real_stack.endpoints.primary) == {*range(50)}
    assert eventually(lambda: marks(real_stack.endpoints.replica) == {*range(50)})


@pytest.mark.parametrize("fault", [Kill("standby"), Kill(THIRD), Pause("standby")])
def test_the_standby_can_be_killed_and_paused_as_any_part(any_stack: Stack, fault: Act) -> None:
    any_stack.configure(THREE)
    act = fault.aimed(any_stack)
    before, undo = act.probe(any_stack), act.inject(any_stack)
    during = act.probe(any_stack)
    any_stack.check()
    undo()
    assert act.took_effect(before, during)
    assert act.healed(before, act.probe(any_stack))


def test_a_heal_restores_three_servers_of_which_two_were_killed(any_stack: Stack) -> None:
    any_stack.configure(THREE)
    roles = any_stack.roles
    any_stack.kill("standby")
    any_stack.kill("replica")
    any_stack.heal()
    assert any_stack.roles == roles
    assert len(servers_up(any_stack)) == 3
