"""A run heals and stops whatever happens, and its record can be trusted or is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from io import BytesIO, StringIO
from pathlib import Path

import gevent  # type: ignore[import-untyped]
import pytest

from chaos.engine.run import POLL_S, run
from chaos.judge.verdict import judge
from chaos.model.arrivals import arrivals
from chaos.model.evidence import Generator, InForce, Verdict
from chaos.model.experiment import SEED_MAX
from chaos.model.stack import Settings, Stack
from chaos.model.traffic import Traffic
from chaos.record.reader import DamagedRecord, read_events, read_evidence
from chaos.record.writer import RecordWriter
from scenarios.generator.segment_runner import SegmentTask
from scenarios.remote_control import Control
from tests.support.busy import busy
from tests.support.fake_stack import (
    FakeLoad,
    FakeObserver,
    FakeStack,
    World,
    herd_order,
    lab,
    order_of,
)


def carried_out(directory: Path, *flaws: str) -> World:
    world = World(frozenset(flaws))
    run(herd_order(world), lab(world), directory / "run", lambda *_: None)
    return world


def test_arms_are_interleaved_in_an_order_that_follows_from_the_seed(tmp_path: Path) -> None:
    carried_out(tmp_path)
    segments = [e for e in read_events(tmp_path / "run") if e["kind"] == "segment"]
    rounds = [[s["arm"] for s in segments if s["round"] == number] for number in (0, 1)]
    assert segments[0]["arm"] == "control"
    assert len(set(rounds[0])) == len(set(rounds[1])) == 6
    assert rounds[0] != rounds[1]


def told_by_remote_control(segment: int, traffic: Traffic, duration_s: float, seed: int) -> int:
    """The seed with which the generator starts a segment, when it is told so in JSON."""
    started: list[SegmentTask] = []

    class Listening:
        def run(self, segment: SegmentTask, _: object) -> Generator:
            started.append(segment)
            return Generator(0, 0, 0, 0, 0.0, 0.0)

    order = {"do": "start", "segment": segment, "traffic": asdict(traffic)}
    line = json.dumps({**order, "duration_s": duration_s, "seed": seed}).encode()
    control = Control(lambda: Listening(), BytesIO(line), StringIO())  # type: ignore[arg-type,return-value]
    control.serve()
    gevent.wait()
    return started[0].seed


@pytest.mark.parametrize("seed", [0, 7, 1764361845123456, SEED_MAX])
def test_every_segment_of_any_seed_has_arrivals_of_its_own(seed: int, tmp_path: Path) -> None:
    seeds: list[int] = []

    class Listening(FakeLoad):
        def start(self, segment: int, traffic: Traffic, duration_s: float, seed: int) -> float:
            seeds.append(told_by_remote_control(segment, traffic, duration_s, seed))
            return super().start(segment, traffic, duration_s, seed)

    world = World()
    order = herd_order(world, seed=seed)

    @contextmanager
    def load(_: Stack, directory: Path) -> Iterator[FakeLoad]:
        fake = Listening(world, directory)
        yield fake
        fake.shard.close()

    run(order, replace(lab(world), load=load), tmp_path / "run", lambda *_: None)

    segments = 1 + order.mode.rounds * len(order.arms)
    first = [next(arrivals(order.experiment.traffic, 9.0, each))[0][0] for each in seeds]
    assert len(set(first)) == len(seeds) == segments
    assert read_evidence(tmp_path / "run").plan["seed"] == seed


def test_each_arm_starts_anew_and_the_control_with_what_has_just_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured: list[str] = []

    def configure(stack: FakeStack, settings: Settings) -> None:
        stack.world.settings = dict(settings)
        configured.append(settings["CACHE_FILL"])

    monkeypatch.setattr(FakeStack, "configure", configure)
    carried_out(tmp_path)
    control, *arms = (e for e in read_events(tmp_path / "run") if e["kind"] == "segment")
    assert control["settings"]["CACHE_FILL"] == "direct"
    assert configured == [arm["settings"]["CACHE_FILL"] for arm in arms]


def test_a_part_is_asked_for_the_values_of_the_arm_and_those_of_other_arms_are_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    world, name = World(), "postgres:synchronous_standby_names"
    order = herd_order(world)
    values = {"direct": "replica", "lock": "ANY 1 (replica, standby)"}
    arms = [
        replace(
            arm,
            settings={**arm.settings, **({name: values[arm.name]} if arm.name in values else {})},
        )
        for arm in order.arms
    ]
    experiment = replace(order.experiment, arms=arms)

    def recorded(observer: FakeObserver, settings: Settings) -> InForce:
        asked.append((settings["CACHE_FILL"], settings[name]))
        return FakeObserver.in_force(observer, settings)

    class Recording(FakeObserver):
        in_force = recorded

    monkeypatch.setattr("tests.support.fake_stack.FakeObserver", Recording)
    run(
        replace(order, experiment=experiment, arms=arms),
        lab(world),
        tmp_path / "run",
        lambda *_: None,
    )
    assert {(arm, value) for arm, value in asked if arm in values} == {*values.items()}
    assert {value for arm, value in asked if arm not in values} == {""}


def test_every_act_is_probed_before_during_and_after(tmp_path: Path) -> None:
    carried_out(tmp_path)
    acts = read_evidence(tmp_path / "run").acts
    assert len(acts) == 12
    for act in acts:
        assert act.before is not None
        assert act.during is not None
        assert act.during.value - act.before.value == 120
        assert act.after == act.before


def test_each_segment_has_its_own_links_and_its_own_acts(tmp_path: Path) -> None:
    carried_out(tmp_path)
    links = [e["codes"] for e in read_events(tmp_path / "run") if e["kind"] == "links"]
    evidence = read_evidence(tmp_path / "run")
    assert len({code for codes in links for code in codes}) == sum(map(len, links)) == 13 * 20
    assert [act.segment for act in evidence.acts] == [s.number for s in evidence.segments]
    assert [act.arm for act in evidence.acts] == [s.arm for s in evidence.segments]


def test_a_segment_settles_and_that_takes_as_long_as_its_clicks_wait(tmp_path: Path) -> None:
    world = World()
    waits = iter([True, False] * 13)

    class Waiting(FakeObserver):
        def settled(self) -> bool:
            return not next(waits)

    @contextmanager
    def observe(_: Stack, writer: RecordWriter) -> Iterator[FakeObserver]:
        yield Waiting(world, writer)

    run(herd_order(world), replace(lab(world), observe=observe), tmp_path / "run", lambda *_: None)
    for event in read_events(tmp_path / "run"):
        if event["kind"] == "segment":
            assert event["settled_s"] == pytest.approx(event["to_s"] + POLL_S)


def test_clicks_that_wait_for_ever_hold_no_run_up(tmp_path: Path) -> None:
    carried_out(tmp_path, "queue never drains")
    evidence = read_evidence(tmp_path / "run")
    assert evidence.trouble is None
    assert all(math.isnan(segment.settled_s) for segment in evidence.all_segments)


def test_a_part_that_began_anew_has_no_counts_and_its_start_is_told(tmp_path: Path) -> None:
    world = World(frozenset(["part restarts unplanned"]))
    run(herd_order(world), lab(world), tmp_path / "run", lambda *_: None)
    for segment in read_evidence(tmp_path / "run").segments:
        assert segment.counted["web-1.starts"] == 1
        assert math.isnan(segment.counted["web-1.requests"])
        assert math.isnan(segment.count("web.requests"))
        assert segment.counted["web-2.starts"] == 0
        assert segment.counted["web-2.requests"] > 0
        assert segment.counted["redis.commands"] > 0
        with pytest.raises(KeyError, match=r"no counter web\.magic: primary\.look_ups"):
            segment.count("web.magic")


def test_parts_that_a_plan_kills_are_no_trouble(tmp_path: Path) -> None:
    world = World()
    order = order_of(busy(world))
    run(order, lab(world), tmp_path / "run", lambda *_: None)
    result = judge(order.experiment, read_evidence(tmp_path / "run"))
    assert (result.verdict, result.trouble) == (Verdict.PASS, None)


@pytest.mark.parametrize("flaw", ["part dies", "interrupted"])
def test_a_run_that_stops_early_is_healed_and_down(tmp_path: Path, flaw: str) -> None:
    world = World(frozenset([flaw]))
    order = herd_order(world)
    try:
        run(order, lab(world), tmp_path / "run", lambda *_: None)
        assert flaw == "part dies"
    except KeyboardInterrupt:
        assert flaw == "interrupted"
    assert world.toxics == []
    assert not world.running
    assert [e["kind"] for e in read_events(tmp_path / "run")].count("healed") == 2
    result = judge(order.experiment, read_evidence(tmp_path / "run"))
    assert result.verdict is Verdict.INVALID


@pytest.mark.parametrize("flaw", ["part dies", "part dies between segments"])
def test_a_part_that_died_is_named_with_the_end_of_its_log(tmp_path: Path, flaw: str) -> None:
    carried_out(tmp_path, flaw)
    trouble = read_evidence(tmp_path / "run").trouble
    assert trouble is not None
    assert "web-1 died" in trouble
    assert "MemoryError" in trouble


def test_a_run_whose_process_was_killed_is_invalid(tmp_path: Path) -> None:
    carried_out(tmp_path)
    events = tmp_path / "run" / "events.jsonl"
    lines = events.read_text().splitlines()
    killed = [line for line in lines if '"kind": "finished"' not in line]
    events.write_text("\n".join(killed) + "\n")
    assert read_evidence(tmp_path / "run").trouble == "the run did not finish"


def test_a_plan_without_its_mode_is_refused(tmp_path: Path) -> None:
    carried_out(tmp_path)
    path = tmp_path / "run" / "plan.json"
    plan = json.loads(path.read_text())
    del plan["mode"]
    path.write_text(json.dumps(plan))
    with pytest.raises(DamagedRecord, match="mode"):
        read_evidence(tmp_path / "run")


def test_a_line_cut_short_by_the_death_of_its_writer_does_not_spoil_the_record(
    tmp_path: Path,
) -> None:
    world = World()
    order = herd_order(world)
    run(order, lab(world), tmp_path / "run", lambda *_: None)
    whole = len(read_evidence(tmp_path / "run").segments[0].requests)
    assert whole > 0
    cut = World(frozenset(["line cut short"]))
    run(herd_order(cut), lab(cut), tmp_path / "cut", lambda *_: None)
    result = judge(order.experiment, read_evidence(tmp_path / "cut"))
    assert result.verdict is Verdict.INVALID
    assert sum(len(s.requests) for s in read_evidence(tmp_path / "cut").segments) > whole
