"""The run: bring the stack up, ask the question arm by arm, heal, read back, and write it all down.

This is the only control flow of the lab. It decides nothing about the outcome: `chaos.judge.verdict`
does, from what is written here.
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
    """The monotonic clock that all processes of the host share."""

    def now_s(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        """Block this thread."""
        time.sleep(duration_s)


@dataclass(frozen=True)
class Lab:
    """What a run stands on: a runtime, and how load, observer and announcer open on its stack."""

    runtime: Runtime
    load: Callable[[Stack, Path], AbstractContextManager[Load]]
    observe: Callable[[Stack, RecordWriter], AbstractContextManager[Observer]]
    announce: Callable[[Stack, Load, RecordWriter], AbstractContextManager[None]]
    clock: Clock = field(default_factory=HostClock)


@dataclass(frozen=True)
class Order:
    """What is asked for: an experiment, how long, which arms, with which settings and seed."""

    experiment: Experiment
    mode: Mode
    arms: Sequence[Arm]
    overrides: Settings
    seed: int
    command: str  # what to type to have the same run again

    def settings_of(self, arm: Arm) -> Settings:
        """The experiment's settings, the arm's own, and what the user asked for over both."""
        return {**self.experiment.settings, **arm.settings, **self.overrides}


def run(order: Order, lab: Lab, directory: Path, progress: Progress) -> None:
    """Run an experiment into a new directory; what stops it early is on record as trouble.

    Raises:
        KeyboardInterrupt: after everything was healed and stopped.
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
                with _the_dead_named_first(stack):
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
def _the_dead_named_first(stack: Stack) -> Iterator[None]:
    """Whatever noticed it first, a part that died is what went wrong."""
    try:
        yield
    except StackError:
        stack.check()
        raise


def _steps(order: Order) -> int:
    return 2 + order.mode.rounds * len(order.arms)


class _Run:
    """One run under way: the stack, the load on it, and the record of both."""

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
        """The control without faults, then each round with its arms in a fresh order."""
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
            generator = self._answers(started_s + duration_s + traffic.timeout_s + DRAIN_GRACE_S)
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
            counted=asdict(_moved(before, after)),
        )

    def _prepare(self) -> None:
        """Create the links, once; follow each, so that a segment starts from a full cache."""
        self.codes = self.load.prepare(self.order.experiment.traffic)
        if self.number == 1:
            self.writer.event("links", codes=list(self.codes))
        self.writer.event("primed", follows=len(self.codes))

    def _answers(self, deadline_s: float) -> Generator:
        """Wait until every answer is in, with an eye on every part."""
        while (generator := self.load.finished()) is None:
            if self.clock.now_s() > deadline_s:
                raise StackError("the load generator did not finish its segment in time")
            self._look()
        return generator

    def _look(self) -> None:
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
        """Inject each later fault at its moment."""
        for at in sorted(faults, key=lambda at: at.second):
            self._wait_until(started_s + at.second)
            inject(at).probe()

    def _wait_until(self, moment_s: float) -> None:
        while self.clock.now_s() < moment_s:
            self._look()


def _moved(before: Counters, after: Counters) -> Counters:
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
    """The processor's own name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
