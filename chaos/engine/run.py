"""Run an experiment: start the stack, run its segments, heal, read back, record everything.

The verdict is made elsewhere: by `chaos.judge.verdict`, from the record alone.
"""

from __future__ import annotations

import os
import platform
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chaos.engine.injection import Injection
from chaos.model.evidence import CONTROL, Counters, Generator, Mode
from chaos.model.experiment import Arm, At, Experiment
from chaos.model.lab import Clock, Load, Observer
from chaos.model.stack import PartDied, Runtime, Settings, Stack, StackError
from chaos.record.provenance import commit
from chaos.record.writer import RecordWriter

POLL_S = 0.02
DRAIN_GRACE_S = 10.0
CONTROL_ROUND = -1

Progress = Callable[[int, int, str], None]


class HostClock:
    """Monotonic clock, which all processes of the host share."""

    def now_s(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        """Block this thread."""
        time.sleep(duration_s)


@dataclass(frozen=True)
class Lab:
    """Environment of a run: a runtime, and the factories of load, observer and announcer."""

    runtime: Runtime
    load: Callable[[Stack, Path], AbstractContextManager[Load]]
    observe: Callable[[Stack, RecordWriter], AbstractContextManager[Observer]]
    announce: Callable[[Stack, Load, RecordWriter], AbstractContextManager[None]]
    clock: Clock = field(default_factory=HostClock)


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


def run(order: Order, lab: Lab, directory: Path, progress: Progress) -> None:
    """Run an experiment into a new directory; what stops it early is recorded as trouble.

    Raises:
        KeyboardInterrupt: raised again once everything is healed and stopped.
    """
    writer = RecordWriter(directory, _plan(order, lab), lab.clock)
    try:
        progress(0, _steps(order), f"starting the {lab.runtime.name} stack")
        with lab.runtime.up(order.settings_of(order.experiment.naive), writer.logs) as stack:
            writer.event("up", versions=dict(stack.versions))
            with (
                lab.load(stack, directory) as load,
                lab.observe(stack, writer) as observer,
                lab.announce(stack, load, writer),
            ):
                run = _Run(order, stack, load, observer, writer, progress, lab.clock)
                with _prefer_dead_part(stack):
                    run.all_segments()
                    writer.read_back(observer.read_back(run.codes))
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
    ) -> None:
        self.order = order
        self.stack = stack
        self.load = load
        self.observer = observer
        self.writer = writer
        self.progress = progress
        self.clock = clock
        self.number = 0
        self.codes: Sequence[str] = ()

    def all_segments(self) -> None:
        """Run the control without faults, then each round, its arms in random order."""
        mode = self.order.mode
        naive = self.order.experiment.naive
        self._segment(naive, CONTROL_ROUND, mode.control_s, [], name=CONTROL)
        for number in range(mode.rounds):
            arms = list(self.order.arms)
            random.Random(f"{self.order.seed}/{number}").shuffle(arms)
            for arm in arms:
                self._segment(arm, number, mode.segment_s, self.order.experiment.faults)
        self.progress(_steps(self.order), _steps(self.order), "reading back")
        self.writer.event("reading-back")

    def _segment(
        self, arm: Arm, number: int, duration_s: float, faults: Sequence[At], name: str = ""
    ) -> None:
        self.number += 1
        settings = self.order.settings_of(arm)
        traffic = self.order.experiment.traffic
        what = name or f"{arm.name} · round {number + 1}"
        self.progress(self.number, _steps(self.order), what)
        self.writer.event(
            "segment-started", segment=self.number, arm=name or arm.name, round=number, what=what
        )
        if self.number > 1:  # the stack came up with the settings of the first one
            self.stack.configure(settings)
        with ExitStack() as healing:
            inject = partial(self._inject, name or arm.name, healing)
            standing = [inject(at) for at in faults if at.second <= 0]
            self._prepare()
            before, from_s = self.observer.counters(), self.clock.now_s()
            seed = self.order.seed * 1000 + self.number
            started_s = self.load.start(self.number, traffic, duration_s, seed)
            for injection in standing:
                injection.probe()
            self._timeline([at for at in faults if at.second > 0], started_s, inject)
            generator = self._wait_for_answers(
                started_s + duration_s + traffic.timeout_s + DRAIN_GRACE_S
            )
        after = self.observer.counters()
        self.writer.event(
            "segment",
            segment=self.number,
            arm=name or arm.name,
            round=number,
            settings=dict(settings),
            web_processes=len(self.stack.endpoints.web),
            from_s=from_s,
            to_s=self.clock.now_s(),
            started_s=started_s,
            ended_s=started_s + duration_s,
            generator=asdict(generator),
            counted=asdict(_difference(before, after)),
        )

    def _prepare(self) -> None:
        """Create the links, once; follow each, to fill the cache before the segment."""
        self.codes = self.load.prepare(self.order.experiment.traffic)
        if self.number == 1:
            self.writer.event("links", codes=list(self.codes))
        self.writer.event("primed", follows=len(self.codes))

    def _wait_for_answers(self, deadline_s: float) -> Generator:
        """Wait until every answer is in; raise `PartDied` if a part dies meanwhile."""
        while (generator := self.load.finished()) is None:
            if self.clock.now_s() > deadline_s:
                raise StackError("the load generator did not finish its segment in time")
            self._check_and_sleep()
        return generator

    def _check_and_sleep(self) -> None:
        self.stack.check()
        self.clock.sleep(POLL_S)

    def _inject(self, arm: str, healing: ExitStack, at: At) -> Injection:
        injection = Injection(at.fault, arm, self.stack, self.writer, self.clock)
        healing.callback(injection.heal)
        return injection

    def _timeline(
        self,
        faults: Sequence[At],
        started_s: float,
        inject: Callable[[At], Injection],
    ) -> None:
        """Inject each later fault at its time."""
        for at in sorted(faults, key=lambda at: at.second):
            self._wait_until(started_s + at.second)
            inject(at).probe()

    def _wait_until(self, moment_s: float) -> None:
        while self.clock.now_s() < moment_s:
            self._check_and_sleep()


def _difference(before: Counters, after: Counters) -> Counters:
    return Counters(**{name: getattr(after, name) - value for name, value in vars(before).items()})


# --- provenance --------------------------------------------------------------------------------


def _plan(order: Order, lab: Lab) -> dict[str, Any]:
    experiment = order.experiment
    return {
        "experiment": experiment.name,
        "question": experiment.question,
        "runtime": lab.runtime.name,
        "mode": asdict(order.mode),
        "seed": order.seed,
        "arms": {arm.name: dict(order.settings_of(arm)) for arm in order.arms},
        "traffic": asdict(experiment.traffic),
        "faults": [{"fault": at.fault.name, "second": at.second} for at in experiment.faults],
        "command": order.command,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "began_s": lab.clock.now_s(),
        "commit": commit(),
        "machine": _machine(),
        "linkstorm": version("linkstorm"),
    }


def _machine() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "release": platform.release(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    """Name of the processor, if the system has one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
