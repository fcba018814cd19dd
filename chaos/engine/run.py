"""Run an experiment: start the stack, run its segments, heal, read back, record everything.

The verdict is made elsewhere: by `chaos.judge.verdict`, from the record alone.
"""

from __future__ import annotations

import os
import platform
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from chaos.engine.state_watch import StateWatch
from chaos.engine.timeline import SegmentTimeline
from chaos.model.evidence import CONTROL, CONTROLS_MAX, Generator, Mode, part_of
from chaos.model.experiment import Arm, Experiment, Timeline
from chaos.model.lab import INCARNATION, Clock, Counters, Load, Observer
from chaos.model.plan import segment_seed, timeline_plan, traffic_plan
from chaos.model.stack import PartDied, Runtime, Settings, Stack, StackError
from chaos.model.traffic import Traffic
from chaos.record.provenance import commit
from chaos.record.writer import RecordWriter

POLL_S = 0.02
DRAIN_GRACE_S = 10.0
SETTLE_PATIENCE_S = 15.0

Progress = Callable[[int, int, str], None]
InDoubt = Callable[[Path], Mapping[str, str]]  # from a record so far: arms, and why


class HostClock:
    """Monotonic clock, which all processes of the host share."""

    def now_s(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        """Block this thread."""
        time.sleep(duration_s)


def act_threads() -> Executor:
    """Threads for acts and probes; more than any timeline has under way at once."""
    return ThreadPoolExecutor(32, "act")


@dataclass(frozen=True)
class Lab:
    """Environment of a run: a runtime, and the factories of load, observer and announcer."""

    runtime: Runtime
    load: Callable[[Stack, Path], AbstractContextManager[Load]]
    observe: Callable[[Stack, RecordWriter], AbstractContextManager[Observer]]
    announce: Callable[[Stack, Load, RecordWriter], AbstractContextManager[None]]
    clock: Clock = field(default_factory=HostClock)
    threads: Callable[[], Executor] = act_threads


@dataclass(frozen=True)
class Order:
    """Parameters of a run: an experiment with mode, arms, settings and seed."""

    experiment: Experiment
    mode: Mode
    arms: Sequence[Arm]
    overrides: Settings
    seed: int
    command: str  # repeats this run

    def settings_of(self, arm: Arm) -> Settings:
        """The experiment's settings, overridden by the arm's, then by the user's."""
        return {**self.experiment.settings, **arm.settings, **self.overrides}


def none_in_doubt(_: Path) -> Mapping[str, str]:
    """No arm is in doubt: the planned rounds are all."""
    return {}


def run(
    order: Order, lab: Lab, directory: Path, progress: Progress, in_doubt: InDoubt = none_in_doubt
) -> None:
    """Run an experiment into a new directory; what stops it early is recorded as trouble.

    After the planned rounds, the arms that `in_doubt` names get further ones, up to the mode's
    bound.

    Raises:
        KeyboardInterrupt: raised again once everything is healed and stopped.
    """
    writer = RecordWriter(directory, _plan(order, lab), lab.clock)
    try:
        progress(0, _steps(order), f"starting the {lab.runtime.name} stack")
        with lab.runtime.up(order.settings_of(order.experiment.naive), writer.logs) as stack:
            writer.event("up", versions=dict(stack.versions))
            with (
                lab.threads() as threads,
                lab.load(stack, directory) as load,
                lab.observe(stack, writer) as observer,
                lab.announce(stack, load, writer),
            ):
                run = _Run(order, stack, load, observer, writer, progress, lab.clock, threads)
                with _prefer_dead_part(stack):
                    run.all_segments(in_doubt)
                    writer.read_back(observer.read_back())
        writer.event("finished")
    except (PartDied, StackError) as error:
        writer.event("trouble", why=str(error))
    except KeyboardInterrupt:
        writer.event("trouble", why="interrupted")
        raise
    finally:
        writer.close()


@contextmanager
def _prefer_dead_part(stack: Stack) -> Iterator[None]:
    """Raise `PartDied` in place of a `StackError` that a dead part caused."""
    try:
        yield
    except StackError:
        stack.check()
        raise


def _steps(order: Order) -> int:
    return 2 + order.mode.rounds * len(order.arms)


class _Run:
    """A run in progress: the stack, its load, and the record of both."""

    def __init__(
        self,
        order: Order,
        stack: Stack,
        load: Load,
        observer: Observer,
        writer: RecordWriter,
        progress: Progress,
        clock: Clock,
        threads: Executor,
    ) -> None:
        self.order = order
        self.stack = stack
        self.load = load
        self.observer = observer
        self.writer = writer
        self.progress = progress
        self.clock = clock
        self.threads = threads
        self.number = 0
        self.steps = _steps(order)

    def all_segments(self, in_doubt: InDoubt) -> None:
        """Run the control without acts, each round, and further rounds of the arms in doubt."""
        mode = self.order.mode
        self._control(in_doubt)
        why: Mapping[str, str] = {arm.name: "" for arm in self.order.arms}
        for rounds_before, rounds in pairwise([0, *mode.looks]):
            if rounds_before:
                why = self._look(rounds_before, in_doubt)
                if not why:
                    break
            for number in range(rounds_before, rounds):
                self._round(number, why)
        self.progress(self.steps, self.steps, "reading back")
        self.writer.event("reading-back")

    def _control(self, in_doubt: InDoubt) -> None:
        """Run the naive arm without acts; again, each time for twice as long, if it is not well."""
        naive, why = self.order.experiment.naive, ""
        for number in range(-1, -1 - CONTROLS_MAX, -1):
            self._segment(naive, number, self.order.mode.lasts_s(number), [], CONTROL, why)
            if number > -CONTROLS_MAX:
                why = self._doubts(in_doubt, "the control").get(CONTROL, "")
            if not why:
                break
            self.steps += 1

    def _round(self, number: int, why: Mapping[str, str]) -> None:
        """Run some arms, in random order; why they run further rounds, if they do."""
        arms = [arm for arm in self.order.arms if arm.name in why]
        random.Random(f"{self.order.seed}/{number}").shuffle(arms)
        for arm in arms:
            timeline = self.order.experiment.timeline_of(arm)
            lasts_s = self.order.experiment.lasts_s(self.order.mode, arm.name, number)
            self._segment(arm, number, lasts_s, timeline, why=why[arm.name])

    def _look(self, rounds: int, in_doubt: InDoubt) -> Mapping[str, str]:
        """The arms in doubt after so many rounds, which go on record."""
        arms = self._doubts(in_doubt, f"{rounds} rounds")
        further = next(number for number in self.order.mode.looks if number > rounds) - rounds
        self.steps += further * len(arms)
        self.writer.event("look", rounds=rounds, arms=dict(arms))
        return arms

    def _doubts(self, in_doubt: InDoubt, seen: str) -> Mapping[str, str]:
        """What is in doubt in the record so far, and why.

        Doubt that cannot be known asks for no more: the verdict is made from the whole record.
        The judge has a thread of its own, since DuckDB can drop an interruption of its caller.
        """
        self.progress(self.number, self.steps, f"looking at {seen}")
        self.stack.keep_logs()
        try:
            with self.writer.snapshot() as record:
                return self.threads.submit(in_doubt, record).result()
        except Exception as error:
            self.writer.note(f"the look at {seen} failed: {error!r}")
            return {}

    def _segment(
        self,
        arm: Arm,
        number: int,
        duration_s: float,
        timeline: Timeline,
        name: str = "",
        why: str = "",
    ) -> None:
        self.number += 1
        name = name or arm.name
        settings = self.order.settings_of(arm)
        traffic = self.order.experiment.traffic_of(arm)
        what = name if number < 0 else f"{name} · round {number + 1}"
        what += f" ({why})" if why else ""
        self.progress(self.number, self.steps, what)
        self.writer.event("segment-started", segment=self.number, arm=name, round=number, what=what)
        if self.number > 1:  # the stack came up with the settings of the first one
            self.stack.configure(settings)
        in_force = [self.observer.in_force(self._asked(settings))]
        self.stack.on_fork = self._keep_fork
        acts = SegmentTimeline(timeline, name, self.stack, self.writer, self.clock, self.threads)
        watch = StateWatch(self.stack, self.clock, self.threads)
        try:
            watch.now()
            acts.stand()
            links = self.load.prepare(traffic)
            self.writer.event("links", segment=self.number, **asdict(links))
            before, from_s = self.observer.counters(), self.clock.now_s()
            seed = segment_seed(self.order.seed, self.number)
            started_s = self.load.start(self.number, traffic, duration_s, seed)
            acts.start(started_s, duration_s)
            generator = self._wait_for_answers(acts, watch, started_s + duration_s, traffic)
        finally:
            acts.end()
        watch.now()
        after, to_s = self.observer.counters(), self.clock.now_s()
        settled_s = self._wait_until_settled()
        in_force.append(self.observer.in_force(self._asked(settings)))
        self.writer.event(
            "segment",
            segment=self.number,
            arm=name,
            round=number,
            settings=dict(settings),
            web_processes=len(self.stack.endpoints.web),
            from_s=from_s,
            to_s=to_s,
            started_s=started_s,
            ended_s=started_s + duration_s,
            settled_s=settled_s,
            generator=asdict(generator),
            counted=_moved(before, after),
            acts=[asdict(act) for act in acts.evidence(self.number)],
            in_force=[asdict(moment) for moment in in_force],
            states=[asdict(reading) for reading in watch.readings],
        )

    def _keep_fork(self, url: str) -> None:
        """Put on record what a server that lost its role holds, before that is erased."""
        self.writer.fork(self.number, self.observer.fork(url))

    def _asked(self, settings: Settings) -> Settings:
        """The settings of every arm, those of others empty: they must not be in force in this."""
        arms = [self.order.experiment.naive, *self.order.arms]
        names = {name for arm in arms for name in self.order.settings_of(arm)}
        return {**dict.fromkeys(names, ""), **settings}

    def _wait_for_answers(
        self, acts: SegmentTimeline, watch: StateWatch, ended_s: float, traffic: Traffic
    ) -> Generator:
        """Wait until every answer is in; raise `PartDied` if a part dies meanwhile."""
        deadline_s = ended_s + traffic.timeout_s + DRAIN_GRACE_S
        while (generator := self.load.finished()) is None:
            if self.clock.now_s() > deadline_s:
                raise StackError("the load generator did not finish its segment in time")
            acts.tick()
            watch.tick()
            self.stack.check()
            self.clock.sleep(POLL_S)
        acts.tick()
        return generator

    def _wait_until_settled(self) -> float | None:
        """The time at which every click was counted; `None` if that takes too long."""
        deadline_s = self.clock.now_s() + SETTLE_PATIENCE_S
        while not self.observer.settled():
            if self.clock.now_s() > deadline_s:
                return None
            self.stack.check()
            self.clock.sleep(POLL_S)
        return self.clock.now_s()


def _moved(before: Counters, after: Counters) -> dict[str, float | None]:
    """How far each counter moved; `None` for those of a part that began anew.

    `PART.incarnation` becomes `PART.starts`.
    """
    suffix = f".{INCARNATION}"
    marks = [name for name in after if name.endswith(suffix)]
    anew = {part_of(mark) for mark in marks if after[mark] != before[mark]}
    moved: dict[str, float | None] = {
        name: None if part_of(name) in anew else value - before[name]
        for name, value in after.items()
        if name not in marks
    }
    return moved | {f"{part_of(mark)}.starts": float(part_of(mark) in anew) for mark in marks}


# --- provenance --------------------------------------------------------------------------------


def _plan(order: Order, lab: Lab) -> dict[str, Any]:
    experiment = order.experiment
    return {
        "experiment": experiment.name,
        "question": experiment.question,
        "runtime": lab.runtime.name,
        "mode": asdict(order.mode),
        "seed": order.seed,
        "arms": {arm.name: _arm_plan(order, arm) for arm in order.arms},
        "command": order.command,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "began_s": lab.clock.now_s(),
        "commit": commit(),
        "machine": _machine(),
        "linkstorm": version("linkstorm"),
    }


def _arm_plan(order: Order, arm: Arm) -> dict[str, Any]:
    return {
        "settings": dict(order.settings_of(arm)),
        "traffic": traffic_plan(order.experiment.traffic_of(arm)),
        "timeline": timeline_plan(order.experiment.timeline_of(arm)),
    }


def _machine() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "release": platform.release(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": version("numpy"),
    }


def _processor() -> str:
    """Name of the processor, if the system has one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
