"""Acts begin and end when they are due, whatever their probes and the requests are doing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from chaos.engine.run import HostClock, run
from chaos.engine.timeline import ANSWERS_S, POLL_S, SegmentTimeline
from chaos.judge.verdict import judge
from chaos.model.evidence import ActEvidence, Generator, Reading, Segment, Verdict
from chaos.model.experiment import Act, At
from chaos.model.lab import Clock
from chaos.model.stack import Stack, StackError, Undo
from chaos.model.testimony import Span, Witnesses
from chaos.record.reader import read_events, read_evidence
from chaos.record.writer import RecordWriter
from tests.support.busy import busy
from tests.support.fake_stack import (
    FakeClock,
    FakeKill,
    FakeLoad,
    FakeStack,
    Inline,
    World,
    herd_order,
    lab,
    order_of,
)

NEVER_S = 20.0


@dataclass(frozen=True, eq=False)
class RecordedAct:
    """An act that records its calls; each step may take its time, or raise."""

    name: str = "one"
    said: list[str] = field(default_factory=list)
    inject_: Callable[[], object] = lambda: None
    undo_: Callable[[], object] = lambda: None
    probe_: Callable[[], object] = lambda: None
    needs: str = "kill"
    hits: frozenset[str] = frozenset()
    puts: Mapping[str, str] = field(default_factory=dict)
    moments: Mapping[str, float] = field(default_factory=dict)
    brings: frozenset[tuple[str, str]] = frozenset()
    probe_s: float = 0.0
    lingers_s: float = 0.0

    def aimed(self, stack: Stack) -> Act:
        return self

    def inject(self, stack: Stack) -> Undo:
        self.inject_()
        self.said.append(f"{self.name} on")

        def undo() -> None:
            self.undo_()
            self.said.append(f"{self.name} off")

        return undo

    def probe(self, stack: Stack) -> Reading:
        self.probe_()
        on, off = (self.said.count(f"{self.name} {what}") for what in ("on", "off"))
        return Reading("is it on?", float(on - off), "")

    def took_effect(self, before: Reading, during: Reading) -> bool:
        return (before.value, during.value) == (0, 1)

    def healed(self, before: Reading, after: Reading) -> bool:
        return before.value == after.value == 0

    def testimony(
        self, segment: Segment, in_force: Span, control: Sequence[Segment]
    ) -> Sequence[Witnesses]:
        return []


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[RecordWriter]:
    writer = RecordWriter(tmp_path / "run", {}, HostClock())
    yield writer
    writer.close()


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def timeline_of(
    acts: Sequence[At], writer: RecordWriter, threads: Executor, clock: Clock | None = None
) -> SegmentTimeline:
    own = clock or HostClock()
    return SegmentTimeline(acts, "lock", FakeStack(World()), writer, own, threads)


def passed(timeline: SegmentTimeline, duration_s: float) -> float:
    """Let a segment of this length pass, as a run does; return its start."""
    timeline.stand()
    started_s = time.monotonic()
    timeline.start(started_s, duration_s)
    while time.monotonic() < started_s + duration_s:
        timeline.tick()
        time.sleep(0.005)
    return started_s


def by_name(timeline: SegmentTimeline) -> dict[str, ActEvidence]:
    return {act.act: act for act in timeline.evidence(3)}


# --- on real threads -----------------------------------------------------------------------------


def test_an_act_is_on_time_though_another_one_s_probe_hangs(
    writer: RecordWriter, threads: Executor
) -> None:
    release, calls = threading.Event(), iter([False, True, False])
    hanging = RecordedAct("hanging", probe_=lambda: next(calls) and release.wait(NEVER_S))
    timeline = timeline_of(
        [At(0.05, hanging), At(0.1, RecordedAct("second"), 0.2)], writer, threads
    )
    started_s = passed(timeline, 0.3)
    release.set()
    timeline.end()
    second = by_name(timeline)["second"]
    assert 0.1 <= second.injected_s - started_s < 0.2
    assert second.lifted_s is not None
    assert 0.2 <= second.lifted_s - started_s < 0.3
    assert second.proven
    assert by_name(timeline)["hanging"].during is not None


def test_an_act_ends_when_planned_though_its_own_probe_hangs(
    writer: RecordWriter, threads: Executor
) -> None:
    release, calls = threading.Event(), iter([False, True, False])
    hanging = RecordedAct(probe_=lambda: next(calls) and release.wait(NEVER_S))
    timeline = timeline_of([At(0.05, hanging, 0.15)], writer, threads)
    started_s = passed(timeline, 0.3)
    assert hanging.said == ["one on", "one off"]
    release.set()
    timeline.end()
    (act,) = timeline.evidence(3)
    assert act.lifted_s is not None
    assert 0.15 <= act.lifted_s - started_s < 0.25


def test_an_act_that_took_long_to_inject_is_probed_again_once_it_is_in_force(
    writer: RecordWriter, threads: Executor
) -> None:
    slow = RecordedAct("slow", inject_=lambda: time.sleep(0.4))
    timeline = timeline_of([At(0.05, slow, 0.7)], writer, threads)
    started_s = passed(timeline, 0.8)
    timeline.end()
    seen = by_name(timeline)["slow"]
    assert seen.injected_s - started_s > 0.4  # the second of its second probe
    assert seen.again == Reading("is it on?", 1.0, "")


def test_a_probe_before_the_segment_is_over_when_the_segment_begins(
    writer: RecordWriter, threads: Executor
) -> None:
    slow = RecordedAct(probe_=lambda: time.sleep(0.1))
    began_s = time.monotonic()
    timeline_of([At(0.0, slow), At(1.0, slow)], writer, threads)
    assert 0.1 <= time.monotonic() - began_s < 0.19, "one beside the other"


def test_the_end_waits_for_the_slowest_heal_and_for_the_probe_after_it(
    writer: RecordWriter, threads: Executor
) -> None:
    slow = RecordedAct("slow", undo_=lambda: time.sleep(0.1), probe_=lambda: time.sleep(0.05))
    timeline = timeline_of([At(0.0, slow), At(0.0, RecordedAct("quick"))], writer, threads)
    passed(timeline, 0.02)
    timeline.end()
    acts = by_name(timeline)
    assert acts["slow"].after is not None
    assert acts["slow"].proven
    assert acts["slow"].lifted_s is not None
    assert acts["slow"].healed_s is not None
    assert acts["slow"].healed_s - acts["slow"].lifted_s >= 0.1
    assert acts["quick"].proven


def test_at_the_end_an_act_is_undone_once_all_later_ones_are(
    writer: RecordWriter, threads: Executor
) -> None:
    said: list[str] = []
    first = RecordedAct("first", said)
    later = RecordedAct("later", said, undo_=lambda: time.sleep(0.1))
    timeline = timeline_of([At(0.0, first), At(0.0, later)], writer, threads)
    passed(timeline, 0.02)
    timeline.end()
    assert said[-2:] == ["later off", "first off"]


def test_an_act_that_is_still_beginning_at_the_end_is_undone_as_well(
    writer: RecordWriter, threads: Executor
) -> None:
    slow = RecordedAct(inject_=lambda: time.sleep(0.2))
    timeline = timeline_of([At(0.01, slow)], writer, threads)
    passed(timeline, 0.05)
    assert slow.said == []
    timeline.end()
    assert slow.said == ["one on", "one off"]


# --- on a clock of its own -----------------------------------------------------------------------


def ticked(timeline: SegmentTimeline, clock: FakeClock, until_s: float) -> None:
    start_s = clock.now_s()
    timeline.stand()
    timeline.start(start_s, until_s)
    while clock.now_s() < start_s + until_s:
        timeline.tick()
        clock.sleep(0.1)
    timeline.tick()


def test_acts_overlap_and_each_has_its_own_time(writer: RecordWriter) -> None:
    said: list[str] = []
    plan = [
        At(1.0, RecordedAct("a", said), 3.0),
        At(2.0, RecordedAct("b", said), 4.0),
        At(0.0, RecordedAct("c", said), 2.5),
        At(3.5, RecordedAct("d", said)),
        At(9.0, RecordedAct("never", said)),
    ]
    timeline = timeline_of(plan, writer, Inline(), clock := FakeClock())
    start_s = clock.now_s()
    ticked(timeline, clock, 5.0)
    assert said == ["c on", "a on", "b on", "c off", "a off", "d on", "b off"]
    timeline.end()
    assert said[-1] == "d off"
    acts = by_name(timeline)
    assert [*acts] == ["a", "b", "c", "d"]
    seen = {
        name: (act.injected_s - start_s, (act.lifted_s or 0) - start_s)
        for name, act in acts.items()
    }
    for name, (from_s, to_s) in {"a": (1, 3), "b": (2, 4), "c": (0, 2.5), "d": (3.5, 5)}.items():
        assert seen[name] == pytest.approx((from_s, to_s), abs=0.11)
    assert all(act.proven and (act.arm, act.segment) == ("lock", 3) for act in acts.values())


def test_at_the_end_the_latest_act_is_undone_first(writer: RecordWriter) -> None:
    said: list[str] = []
    plan = [
        At(0.0, RecordedAct("a", said)),
        At(1.0, RecordedAct("b", said)),
        At(2.0, RecordedAct("c", said)),
    ]
    timeline = timeline_of(plan, writer, Inline(), clock := FakeClock())
    ticked(timeline, clock, 3.0)
    timeline.end()
    timeline.end()
    assert said == ["a on", "b on", "c on", "c off", "b off", "a off"]


def test_a_probe_that_fails_leaves_its_act_unproven(writer: RecordWriter) -> None:
    def mute() -> None:
        raise ConnectionError("no answer")

    timeline = timeline_of(
        [At(0.0, RecordedAct(probe_=mute))], writer, Inline(), clock := FakeClock()
    )
    ticked(timeline, clock, 1.0)
    timeline.end()
    (act,) = timeline.evidence(1)
    assert (act.before, act.during, act.after, act.proven) == (None, None, None, False)


def readings_after(writer: RecordWriter, after: Sequence[Callable[[], object]]) -> ActEvidence:
    """Evidence of an act whose probes go well until it is undone, and then like these."""
    probes, said = iter(after), list[str]()
    act = RecordedAct("one", said, probe_=lambda: next(probes)() if "one off" in said else None)
    timeline = timeline_of([At(0.0, act)], writer, Inline(), clock := FakeClock())
    ticked(timeline, clock, 1.0)
    timeline.end()
    return by_name(timeline)["one"]


def fails() -> None:
    raise ConnectionError


def test_a_probe_after_an_act_that_fails_while_another_moves_a_link_is_repeated(
    writer: RecordWriter,
) -> None:
    assert readings_after(writer, [fails, fails, lambda: None]).proven


def test_an_act_whose_probe_fails_for_too_long_stays_unproven(writer: RecordWriter) -> None:
    tries = round(ANSWERS_S / POLL_S)
    seen = readings_after(writer, [*[fails] * (tries + 2), lambda: None])
    assert (seen.took_effect, seen.after, seen.healed) == (True, None, False)


def test_an_act_that_lingers_stays_unproven_though_it_ends_a_moment_later(
    writer: RecordWriter,
) -> None:
    said: list[str] = []
    readings = iter(["one on", "one off"])  # of the first probe after it, and of a second one

    def lingers() -> None:
        if "one off" in said:
            said.append(next(readings))

    timeline = timeline_of(
        [At(0.0, RecordedAct("one", said, probe_=lingers))], writer, Inline(), clock := FakeClock()
    )
    ticked(timeline, clock, 1.0)
    timeline.end()
    (act,) = timeline.evidence(3)
    assert (act.took_effect, act.healed, act.proven) == (True, False, False)


@pytest.mark.parametrize(("lingers_s", "healed"), [(1.0, True), (0.5, False)])
def test_an_act_that_may_linger_is_healed_once_its_effect_is_gone_within_that_time(
    writer: RecordWriter, lingers_s: float, healed: bool
) -> None:
    said: list[str] = []
    clock = FakeClock()
    gone_s = clock.now_s() + 1.0 + 0.7

    def lingers() -> None:
        left = said.count("one on") - said.count("one off")
        if "one off" in said and left == (clock.now_s() >= gone_s):
            said.append("one off" if left else "one on")

    act = RecordedAct("one", said, probe_=lingers, lingers_s=lingers_s)
    timeline = timeline_of([At(0.0, act, until_s=1.0)], writer, Inline(), clock)
    ticked(timeline, clock, 1.0)
    timeline.end()
    (seen,) = timeline.evidence(3)
    assert (seen.took_effect, seen.healed) == (True, healed)


def test_what_a_stack_cannot_do_is_told_before_anything_begins(writer: RecordWriter) -> None:
    said: list[str] = []
    plan = [At(0.0, RecordedAct("a", said)), At(0.0, RecordedAct("b", said, needs="magic"))]
    with pytest.raises(StackError, match="b: this stack cannot do 'magic'"):
        timeline_of(plan, writer, Inline())
    assert said == []


def failing(what: str = "the link is gone") -> Callable[[], object]:
    def fail() -> None:
        raise StackError(what)

    return fail


@pytest.mark.parametrize("second", [0.0, 1.0])
def test_an_act_that_cannot_begin_stops_the_segment_and_the_rest_is_undone(
    writer: RecordWriter, second: float
) -> None:
    said: list[str] = []
    plan = [At(0.0, RecordedAct("a", said)), At(second, RecordedAct("b", said, inject_=failing()))]
    timeline = timeline_of(plan, writer, Inline(), clock := FakeClock())
    with pytest.raises(StackError, match="gone"):
        ticked(timeline, clock, 2.0)
    with pytest.raises(StackError, match="gone"):
        timeline.end()
    assert said == ["a on", "a off"]
    assert [act.act for act in timeline.evidence(1)] == ["a"]


def test_an_act_that_cannot_be_undone_stops_the_segment_and_the_rest_is_undone(
    writer: RecordWriter,
) -> None:
    said: list[str] = []
    plan = [At(0.0, RecordedAct("a", said)), At(0.0, RecordedAct("b", said, undo_=failing()), 1.0)]
    timeline = timeline_of(plan, writer, Inline(), clock := FakeClock())
    with pytest.raises(StackError, match="gone"):
        ticked(timeline, clock, 2.0)
    with pytest.raises(StackError, match="gone"):
        timeline.end()
    assert said == ["a on", "b on", "a off"]


# --- in a run ------------------------------------------------------------------------------------


def carried_out(directory: Path, world: World, *timeline: At) -> None:
    order = order_of(replace(busy(world), timeline=timeline))
    run(order, lab(world), directory, lambda *_: None)


def test_an_act_that_raises_is_trouble_and_everything_is_healed(tmp_path: Path) -> None:
    world = World()
    bad: Act = RecordedAct(inject_=failing())
    carried_out(tmp_path / "run", world, At(1.0, FakeKill(world), 2.0), At(1.5, bad))
    evidence = read_evidence(tmp_path / "run")
    assert evidence.trouble == "the link is gone"
    assert set(world.parts.values()) == {"up"}
    assert not world.running
    assert judge(busy(world), evidence).verdict is Verdict.INVALID


def test_an_act_ends_when_planned_while_requests_hang(tmp_path: Path) -> None:
    world = World()

    class Hanging(FakeLoad):
        def finished(self) -> Generator | None:
            assert self.current is not None
            over_s = self.current[4] + self.current[2] + 8
            return super().finished() if self.world.clock.now_s() >= over_s else None

    @contextmanager
    def load(_: Stack, directory: Path) -> Iterator[FakeLoad]:
        fake = Hanging(world, directory)
        yield fake
        fake.shard.close()

    order = order_of(busy(world))
    run(order, replace(lab(world), load=load), tmp_path / "run", lambda *_: None)
    for segment in read_evidence(tmp_path / "run").segments:
        (act,) = segment.acts
        assert act.lifted_s == pytest.approx(segment.started_s + 2.0, abs=0.03)


def test_ctrl_c_in_the_middle_of_two_acts_heals_both(tmp_path: Path) -> None:
    world = World()

    class Interrupted(FakeLoad):
        def finished(self) -> Generator | None:
            if self.world.toxics and self.world.parts["redis"] == "down":
                raise KeyboardInterrupt
            return super().finished()

    @contextmanager
    def load(_: Stack, directory: Path) -> Iterator[FakeLoad]:
        fake = Interrupted(world, directory)
        try:
            yield fake
        finally:
            fake.shard.close()

    order = herd_order(world)
    timeline = [*order.experiment.timeline, At(1.0, FakeKill(world), 2.0)]
    order = replace(order, experiment=replace(order.experiment, timeline=timeline))
    with pytest.raises(KeyboardInterrupt):
        run(order, replace(lab(world), load=load), tmp_path / "run", lambda *_: None)
    assert (world.toxics, world.parts["redis"], world.running) == ([], "up", False)
    kinds = [event["kind"] for event in read_events(tmp_path / "run")]
    assert kinds.count("injected") == kinds.count("healed") == 2
    assert read_evidence(tmp_path / "run").trouble == "interrupted"
