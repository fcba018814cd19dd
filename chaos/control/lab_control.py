"""One control for one stack: who may break it now, what is broken, and which run is on.

The stack is used by one at a time. A run holds the whole lab: no fault is taken while one is on,
whether the control started it or it claimed the lab from outside.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from chaos import experiments
from chaos.control.active_faults import ActiveFault, ActiveFaults
from chaos.control.expiring import ExpiringValue
from chaos.control.past_runs import PastRuns
from chaos.control.refusal import RequestRefused
from chaos.control.run_processes import RunProcesses, command
from chaos.control.run_progress import RunProgress, progress
from chaos.control.run_status import RunStatus
from chaos.engine.run import HostClock
from chaos.model.evidence import Mode
from chaos.model.lab import Clock
from chaos.model.stack import Stack, State
from chaos.record.reader import DamagedRecord, read_json
from chaos.record.run_directories import shown
from reports.table import table

LOOK_AGAIN_S = 0.5
TABLE_COLUMNS = 96
AROUND_SEGMENT_S, AROUND_RUN_S = 1.2, 6.0  # restarts, and the stack's way up and down; measured

Json = dict[str, Any]
Pages = Callable[[], Mapping[str, str]]


class LabControl:
    """Everything that the HTTP API does. Any thread may call anything."""

    def __init__(
        self,
        stack: Stack,
        runtime: str,
        runs: Path,
        clock: Clock | None = None,
        run_command: Sequence[str] | None = None,
        pages: Pages = dict,
    ) -> None:
        """`pages`: where a person's browser finds Grafana and Prometheus now."""
        self._pages = pages
        self._stack = stack
        self._runtime = runtime
        self._clock = clock or HostClock()
        self._runs = RunProcesses(runs, stack.workdir("runs"), run_command or command(runtime))
        self._past = PastRuns(self._runs.path)
        self._faults = ActiveFaults(stack)
        self._claim = ExpiringValue[str](self._clock)
        self._bulletin = ExpiringValue[RunStatus](self._clock)
        self._last_claim: str | None = None
        self._stack_is_mine = threading.Lock()
        self._book = threading.Lock()  # who holds the lab; taken after the stack, never before
        self._state: State | None = None
        self._looked_s = -math.inf
        self._tables: dict[str, Json] = {}
        self._experiments = [_told(name) for name in experiments.names()]

    # --- the stack ---

    def check(self) -> None:
        """Raise `PartDied` if a part ended that nobody killed."""
        with self._stack_is_mine:
            self._stack.check()

    def state(self) -> State:
        """Every part and link, at most half a second old; older while the stack is in use."""
        stale = self._clock.now_s() - self._looked_s >= LOOK_AGAIN_S
        if stale and self._stack_is_mine.acquire(blocking=self._state is None):
            try:
                self._state = self._stack.state()
                self._looked_s = self._clock.now_s()
                self._faults.forget_those_gone(self._state)
            finally:
                self._stack_is_mine.release()
        assert self._state is not None
        return self._state

    @contextmanager
    def _stack_changes(self) -> Iterator[None]:
        with self._stack_is_mine:
            if (run := self.holder) is not None:
                why = f"{run} is on, and needs the stack for itself: stop it, or wait for its end"
                raise RequestRefused(HTTPStatus.CONFLICT, why)
            try:
                yield
            finally:
                self._looked_s = -math.inf

    # --- faults ---

    @property
    def faults(self) -> Sequence[Json]:
        """Those put in by hand, and those of a run that tells of them."""
        ours = [
            {"id": f.id, "name": f.name, "since": f.since, "kind": f.kind, "target": f.target}
            for f in self._faults
        ]
        told = self._bulletin.held
        return ours + [{"id": None, **each} for each in (told.faults if told else ())]

    def inject(self, kind: str, target: str, latency_ms: float | None = None) -> ActiveFault:
        """Put a fault into the stack; it stays until it is healed, or the control ends."""
        with self._stack_changes():
            return self._faults.inject(kind, target, latency_ms)

    def heal(self, fault_id: str) -> None:
        """Take one fault out again."""
        with self._stack_changes():
            self._faults.heal(fault_id)

    def heal_all(self) -> None:
        """Heal the whole stack, whoever broke it."""
        with self._stack_changes():
            self._faults.heal_all()

    # --- runs ---

    @property
    def holder(self) -> str | None:
        """The id of the run that has the lab for itself now."""
        running = self._runs.running
        return running.id if running is not None else self._claim.held

    def start(self, experiment: str, *, full: bool, arms: Sequence[str]) -> str:
        """Start a run, on a healthy stack; its id."""
        with self._stack_is_mine, self._book:
            if (run := self.holder) is not None:
                raise RequestRefused(HTTPStatus.CONFLICT, f"{run} is on: one run at a time")
            if self._faults:
                names = ", ".join(each.name for each in self._faults)
                why = f"a run starts on a healthy stack: heal {names} first"
                raise RequestRefused(HTTPStatus.CONFLICT, why)
            return self._runs.start(experiment, full=full, arms=arms).id

    def interrupt(self) -> None:
        """Have the run that the control started heal and stop."""
        if (run := self._runs.running) is not None:
            run.interrupt()
        elif (other := self._claim.held) is not None:
            why = f"{other} was started elsewhere: stop it there, with Ctrl-C"
            raise RequestRefused(HTTPStatus.CONFLICT, why)
        else:
            raise RequestRefused(HTTPStatus.NOT_FOUND, "no run is on")

    def claim(self, run: str) -> None:
        """A run says that it uses the lab: healing the stack is now its business."""
        with self._book:
            if (holder := self.holder) not in (None, run):
                raise RequestRefused(HTTPStatus.CONFLICT, f"{holder} holds the lab", by=holder)
            if holder is None:
                self._faults.forget_all()
            self._claim.say(run)
            self._last_claim = run

    def give_back(self, run: str) -> None:
        """A run says that it is through with the lab."""
        with self._book:
            if self._claim.held == run:
                self._claim.drop()

    def tell(self, bulletin: RunStatus) -> None:
        """A run tells how it goes."""
        self._bulletin.say(bulletin)

    @property
    def bulletin(self) -> RunStatus | None:
        """What a run told within the last five seconds."""
        return self._bulletin.held

    @property
    def past(self) -> PastRuns:
        """The verdicts so far."""
        return self._past

    def report(self, run: str) -> Path:
        """The page of a run."""
        return self._runs.report(run)

    def run_now(self) -> Json | None:
        """The run that is on, or the one that was on last."""
        started = self._runs.last
        claimed = self._claim.held
        if started is not None and (started.running or claimed in (None, started.id)):
            what = None if started.running else started.ending()
            return self._run(started.id, "control", running=started.running, ending=what)
        run = claimed or self._last_claim
        if run is None or not (claimed or (self._runs.path / run).is_dir()):
            return None
        return self._run(run, "outside", running=claimed is not None, ending="it ended early")

    def _run(self, run: str, by: str, *, running: bool, ending: str | None) -> Json:
        directory = self._runs.path / run
        verdict = {} if running else self._verdict(run)
        now = self._progress(run) if running else RunProgress("", 1, 1)
        return {
            "id": run,
            "experiment": verdict.get("experiment") or self._experiment_of(run),
            "what": now.what if running else (None if verdict else ending),
            "done": now.done,
            "steps": now.steps,
            "state": "running" if running else "done",
            "verdict": verdict.get("verdict"),
            "table": verdict.get("table", ""),
            "report": not running and (directory / "report.html").is_file(),
            "by": by,
        }

    def _progress(self, run: str) -> RunProgress:
        """From its record, with its own words where it tells them."""
        now = progress(self._runs.path / run)
        if self._runs.last is not None and self._runs.last.id == run and self._runs.last.stopping:
            return RunProgress("stopping, and healing", now.done, now.steps)
        told = self._bulletin.held
        return RunProgress(told.what, now.done, now.steps) if told and told.run == run else now

    def _experiment_of(self, run: str) -> str:
        told = self._bulletin.held
        if told is not None and told.run == run:
            return told.experiment
        try:
            return str(read_json(self._runs.path / run / "plan.json")["experiment"])
        except (DamagedRecord, KeyError):
            last = self._runs.last
            return last.experiment if last is not None and last.id == run else run

    def _verdict(self, run: str) -> Json:
        """The verdict of a run with its table as a terminal shows it; nothing if there is none."""
        if run not in self._tables:
            try:
                result = read_json(self._runs.path / run / "verdict.json")
            except DamagedRecord:
                return {}
            text = StringIO()
            console = Console(file=text, width=TABLE_COLUMNS, color_system=None, highlight=False)
            console.print(table({**result, "run_dir": shown(self._runs.path / run)}))
            known = {name: result[name] for name in ("experiment", "verdict")}
            self._tables = {run: {**known, "table": text.getvalue()}}
        return self._tables[run]

    # --- all of it ---

    def told(self) -> Json:
        """Everything that the page shows."""
        state, pages = self.state(), self._pages()
        return {
            "runtime": self._runtime,
            "parts": dict(state.parts),
            "links": {
                name: {"open": link.open, "toxics": list(link.toxics)}
                for name, link in state.links.items()
            },
            "faults": self.faults,
            "experiments": self._experiments,
            "run": self.run_now(),
            **{name: pages.get(name) for name in ("grafana", "prometheus")},
        }

    def close(self) -> None:
        """Interrupt the run, and heal what was broken by hand."""
        self._runs.close()
        with self._stack_is_mine:
            if self._faults:
                self._faults.heal_all()


def _told(name: str) -> Json:
    experiment = experiments.load(name)
    arms = len(experiment.arms)
    return {
        "name": name,
        "question": experiment.question,
        "arms": [{"name": arm.name, "naive": arm.naive} for arm in experiment.arms],
        "about_s": {
            mode.name: _about_s(mode, arms) for mode in (experiment.quick, experiment.full)
        },
    }


def _about_s(mode: Mode, arms: int) -> float:
    """How long a run takes, roughly."""
    segments = mode.rounds * arms
    traffic_s = mode.control_s + segments * mode.segment_s
    return round(traffic_s + (1 + segments) * AROUND_SEGMENT_S + AROUND_RUN_S)
