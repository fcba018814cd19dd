"""The watch reads what is in force, and is not stopped by a stack that does not answer."""

from __future__ import annotations

from chaos.engine.state_watch import PERIOD_S, StateWatch
from chaos.model.stack import StackError, State
from tests.support.fake_stack import FakeClock, FakeStack, Inline, World


def watch(stack: FakeStack) -> tuple[StateWatch, FakeClock]:
    return StateWatch(stack, clock := FakeClock(), Inline()), clock


def test_it_reads_toxics_cuts_and_parts() -> None:
    stack = FakeStack(World())
    stack.toxic("replica", "latency", "downstream", latency=120)
    stack.cut("cache")
    stack.pause("redis")
    own, _ = watch(stack)
    own.now()
    (reading,) = own.readings
    assert reading.links["replica"] == ["latency downstream latency=120"]
    assert (reading.links["cache"], reading.links["queue"]) == (["closed"], [])
    assert (reading.parts["redis"], reading.parts["worker"]) == ("paused", "up")


def test_it_reads_once_a_period() -> None:
    own, clock = watch(FakeStack(World()))
    for _ in range(101):
        own.tick()
        clock.sleep(PERIOD_S / 10)
    assert len(own.readings) in (10, 11)  # as the sum of tenths is rounded


def test_without_toxiproxy_nothing_is_known_of_links() -> None:
    stack = FakeStack(World())
    stack.kill("toxiproxy")
    own, _ = watch(stack)
    own.now()
    assert own.readings[0].links == {}


def test_a_reading_that_fails_is_a_gap() -> None:
    class Mute(FakeStack):
        def state(self) -> State:
            raise StackError("no answer")

    own, _ = watch(Mute(World()))
    own.now()
    assert own.readings == []


def test_a_link_that_leads_elsewhere_than_roles_say_is_on_record() -> None:
    stack = FakeStack(World())
    stack.lead("primary", "postgres-2")
    own, _ = watch(stack)
    own.now()
    assert own.readings[0].links["primary"] == ["led elsewhere"]
    assert own.readings[0].links["worker-primary"] == []


def test_links_that_follow_a_promotion_lead_where_roles_say() -> None:
    stack = FakeStack(World())
    stack.promote("postgres-2")
    stack.lead("primary", "postgres-2")
    own, _ = watch(stack)
    own.now()
    assert own.readings[0].links["primary"] == []
    assert own.readings[0].links["worker-primary"] == ["led elsewhere"]
