"""The run: bring the stack up, ask the question arm by arm, heal, read back, and write it all down.

This is the only control flow of the lab. It decides nothing about the outcome: `chaos.verdict`
does, from what is written here.
"""

from __future__ import annotations

import os
import platform
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chaos.model import (
    CONTROL,
    Arm,
    At,
    Clock,
    Counters,
    Experiment,
    Fault,
    Generator,
    Load,
    Mode,
    Observer,
    PartDied,
    Reading,
    Runtime,
    Settings,
    Stack,
    StackError,
)
from chaos.record import Writer

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
    """What a run stands on: a runtime, and how load and observer are opened on its stack."""

    runtime: Runtime
    load: Callable[[Stack, Path], AbstractContextManager[Load]]
    observe: Callable[[Stack, Writer], AbstractContextManager[Observer]]
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
    writer = Writer(directory, _plan(order, lab), lab.clock)
    try:
        progress(0, _steps(order), f"starting the {lab.runtime.name} stack")
        with lab.runtime.up(order.settings_of(order.experiment.naive), writer.logs) as stack:
            writer.event("up", versions=dict(stack.versions))
            with lab.load(stack, directory) as load, lab.observe(stack, writer) as observer:
                _Run(order, stack, load, observer, writer, progress, lab.clock).all_segments()
                writer.read_back(observer.read_back())
        writer.event("finished")
    except (PartDied, StackError) as error:
        writer.event("trouble", why=str(error))
    except KeyboardInterrupt:
        writer.event("trouble", why="interrupted")
        raise
    finally:
        writer.close()


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
        writer: Writer,
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

    def _segment(
        self, arm: Arm, number: int, duration_s: float, faults: Sequence[At], name: str = ""
    ) -> None:
        self.number += 1
        settings = self.order.settings_of(arm)
        traffic = self.order.experiment.traffic
        self.progress(self.number, _steps(self.order), name or f"{arm.name} · round {number + 1}")
        self.stack.configure(settings)
        self._prepare()
        before, from_s = self.observer.counters(), self.clock.now_s()
        seed = self.order.seed * 1000 + self.number
        started_s = self.load.start(self.number, traffic, duration_s, seed)
        with self._timeline(name or arm.name, faults, started_s, duration_s):
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
        codes = self.load.prepare(self.order.experiment.traffic)
        if self.number == 1:
            self.writer.event("links", codes=list(codes))
        self.writer.event("primed", follows=len(codes))

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

    @contextmanager
    def _timeline(
        self, arm: str, faults: Sequence[At], started_s: float, duration_s: float
    ) -> Iterator[None]:
        """Inject and heal each fault at its moment; whatever is left is healed on leaving."""
        holds = {index: ExitStack() for index in range(len(faults))}
        moments = [(at.second, index, True) for index, at in enumerate(faults)]
        moments += [
            (at.second + at.hold_s, index, False)
            for index, at in enumerate(faults)
            if at.hold_s is not None and at.second + at.hold_s < duration_s
        ]
        with ExitStack() as everything:
            for hold in holds.values():
                everything.enter_context(hold)
            for second, index, inject in sorted(moments):
                self._wait_until(started_s + second)
                if inject:
                    holds[index].enter_context(self._injected(arm, faults[index].fault))
                else:
                    holds[index].close()
            yield

    def _wait_until(self, moment_s: float) -> None:
        while self.clock.now_s() < moment_s:
            self._look()

    @contextmanager
    def _injected(self, arm: str, fault: Fault) -> Iterator[None]:
        """A fault with its proof: probed before, during and after."""
        if fault.needs not in self.stack.can:
            raise StackError(f"{fault.name}: this stack cannot do {fault.needs!r}")
        readings: dict[str, Reading | None] = {"before": _probe(fault, self.stack)}
        injected_s, healed_s = self.clock.now_s(), None
        undo = fault.inject(self.stack)
        try:
            readings["during"] = _probe(fault, self.stack)
            yield
        finally:
            undo()
            healed_s = self.clock.now_s()
            readings["after"] = _probe(fault, self.stack)
            self._prove(arm, fault, injected_s, healed_s, readings)

    def _prove(
        self,
        arm: str,
        fault: Fault,
        injected_s: float,
        healed_s: float,
        readings: Mapping[str, Reading | None],
    ) -> None:
        before, during, after = (readings.get(when) for when in ("before", "during", "after"))
        self.writer.event(
            "fault",
            fault=fault.name,
            arm=arm,
            injected_s=injected_s,
            healed_s=healed_s,
            before=before and asdict(before),
            during=during and asdict(during),
            after=after and asdict(after),
            took_effect=bool(before and during and fault.took_effect(before, during)),
            healed=bool(before and after and fault.healed(before, after)),
        )


def _probe(fault: Fault, stack: Stack) -> Reading | None:
    """A reading, or None where the probe itself failed: then the fault is not proven."""
    try:
        return fault.probe(stack)
    except Exception:
        return None


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
        "faults": [
            {"fault": at.fault.name, "second": at.second, "hold_s": at.hold_s}
            for at in experiment.faults
        ],
        "command": order.command,
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "began_s": lab.clock.now_s(),
        "commit": _commit(),
        "machine": _machine(),
        "linkstorm": version("linkstorm"),
    }


def _commit() -> str | None:
    """The commit of this source tree, marked where it has changes; None outside a checkout."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        changes = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head} with uncommitted changes" if changes else head


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
