"""The control of one stack: its holder, its faults, its runs.

One user at a time. A run holds the whole lab: no fault is injected by hand while one is in
progress, whether the control started it or it claimed the lab from outside.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from io import StringIO
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

from rich.console import Console

from chaos import experiments
from chaos.acts.failover import PROMOTION, move_primary
from chaos.control.active_faults import ActiveFault, ActiveFaults
from chaos.control.messages import RequestRefused, RunStatus
from chaos.control.past_runs import PastRuns
from chaos.control.run_processes import RunProcesses, command
from chaos.control.run_progress import RunProgress, progress
from chaos.engine.run import HostClock
from chaos.engine.server_watch import ServerWatch, Standing
from chaos.model.evidence import Mode
from chaos.model.experiment import Experiment
from chaos.model.lab import Clock
from chaos.model.stack import Role, ServerName, Stack, State
from chaos.record.reader import DamagedRecord, read_json
from chaos.record.run_directories import shown
from reports.table import table

LAPSES_AFTER_S = 5.0
STATE_MAX_AGE_S = 0.5
TABLE_COLUMNS = 96
AROUND_SEGMENT_S, AROUND_RUN_S = 1.2, 6.0  # restarts, and the stack's way up and down; measured

Json = dict[str, Any]
Pages = Callable[[], Mapping[str, str]]
T = TypeVar("T")


class ExpiringValue(Generic[T]):
    """A value that lapses unless it is set again: a killed process cannot take it back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._set: tuple[float, T] | None = None

    def set(self, value: T) -> None:
        """Keep this value for another `LAPSES_AFTER_S`."""
        self._set = (self._clock.now_s(), value)

    def clear(self) -> None:
        """Drop it now."""
        self._set = None

    def get(self) -> T | None:
        """The value, unless it has lapsed."""
        was_set = self._set
        if was_set is None or self._clock.now_s() - was_set[0] >= LAPSES_AFTER_S:
            return None
        return was_set[1]


class LabControl:
    """All operations of the HTTP API. Thread-safe."""

    def __init__(
        self,
        stack: Stack,
        runtime: str,
        runs: Path,
        clock: Clock | None = None,
        run_command: Sequence[str] | None = None,
        pages: Pages = dict,
    ) -> None:
        """`pages`: the URLs of Grafana and Prometheus for a browser."""
        self._pages = pages
        self._stack = stack
        self._runtime = runtime
        self._clock = clock or HostClock()
        self._runs = RunProcesses(runs, stack.workdir("runs"), run_command or command(runtime))
        self.past = PastRuns(self._runs.path)
        self._faults = ActiveFaults(stack)
        self._servers = ServerWatch()
        self._claim = ExpiringValue[str](self._clock)
        self._status = ExpiringValue[RunStatus](self._clock)
        self._last_claim: str | None = None
        self._stack_lock = threading.Lock()
        self._holder_lock = threading.Lock()  # acquired after the stack's, never before
        self._state: State | None = None
        self._state_read_s = -math.inf
        self._roles_known = True
        self._promoting = False
        self._tables: dict[str, Json] = {}
        self._experiments = [_summary(name) for name in experiments.names()]

    # --- the stack ---

    def check(self) -> None:
        """Raise `PartDied` if a part ended unexpectedly."""
        with self._stack_lock:
            self._stack.check()

    def state(self) -> State:
        """Every part and link, at most half a second old; older while the stack is in use."""
        stale = self._clock.now_s() - self._state_read_s >= STATE_MAX_AGE_S
        if stale and self._stack_lock.acquire(blocking=self._state is None):
            try:
                if self.holder is None:
                    self._know_roles()
                self._state = self._stack.state()
                self._state_read_s = self._clock.now_s()
                self._faults.drop_invisible(self._state)
            finally:
                self._stack_lock.release()
        assert self._state is not None
        return self._state

    def standings(self) -> Mapping[ServerName, Standing]:
        """Each database server's own account of its role and log, if it answers."""
        return self._servers.look(self._stack.endpoints.servers)

    @contextmanager
    def _stack_changes(self) -> Iterator[None]:
        with self._stack_held():
            self._refuse_if_held()
            self._know_roles()
            yield
            if len(self._stack.roles) < len(get_args(Role)):
                self._stack.find_roles()  # a server that was healed may have it again

    @contextmanager
    def _stack_held(self) -> Iterator[None]:
        with self._stack_lock:
            try:
                yield
            finally:
                self._state_read_s = -math.inf

    def _know_roles(self) -> None:
        if not self._roles_known:
            self._stack.find_roles()
            self._roles_known = True

    def _refuse_if_held(self) -> None:
        if (holder := self.holder) is not None:
            raise RequestRefused(HTTPStatus.CONFLICT, _in_use(holder), by=holder)

    # --- faults ---

    @property
    def faults(self) -> Sequence[Json]:
        """Those injected by hand, and those of the current run."""
        ours = [
            {"id": f.id, "name": f.name, "since": f.since, "kind": f.kind, "target": f.target}
            for f in self._faults
        ]
        status = self.run_status
        theirs = status.faults if status else ()
        return ours + [{"id": None, **fault.model_dump()} for fault in theirs]

    def inject(self, kind: str, target: str, latency_ms: float | None = None) -> ActiveFault:
        """Inject a fault; it stays until it is healed, or the control ends."""
        with self._stack_changes():
            return self._faults.inject(kind, target, latency_ms)

    def heal(self, fault_id: str) -> None:
        """Undo one fault."""
        with self._stack_changes():
            self._faults.heal(fault_id)

    def heal_all(self) -> None:
        """Heal the whole stack, whatever broke it."""
        with self._stack_changes():
            self._faults.heal_all()

    # --- roles ---

    def promote(self) -> Sequence[str]:
        """Move the primary's role to the replica, as `linkstorm promote` does; return each step.

        Raises:
            RequestRefused: a run or another promotion holds the lab.
            StackError: there is no replica, or it does not catch up.
        """
        with self._promotion(), self._stack_held():
            return [*move_primary(self._stack)]

    @contextmanager
    def _promotion(self) -> Iterator[None]:
        with self._holder_lock:
            self._refuse_if_held()
            self._promoting = True
        try:
            yield
        finally:
            self._promoting = False

    # --- runs ---

    @property
    def holder(self) -> str | None:
        """The holder of the lab: the id of a run, or `promote`."""
        if self._promoting:
            return PROMOTION
        running = self._runs.running
        return running.id if running is not None else self._claim.get()

    def start(self, experiment: str, *, full: bool, arms: Sequence[str]) -> str:
        """Start a run on a healthy stack; return its id."""
        with self._stack_lock, self._holder_lock:
            if (run := self.holder) is not None:
                raise RequestRefused(HTTPStatus.CONFLICT, f"{run} is running: one run at a time")
            if self._faults:
                names = ", ".join(each.name for each in self._faults)
                why = f"a run starts on a healthy stack: heal {names} first"
                raise RequestRefused(HTTPStatus.CONFLICT, why)
            self._roles_known = False  # a run may move them
            return self._runs.start(experiment, full=full, arms=arms).id

    def interrupt(self) -> None:
        """Interrupt the run that the control started; it heals and stops."""
        if (run := self._runs.running) is not None:
            run.interrupt()
        elif (other := self._claim.get()) is not None:
            why = f"{other} was started elsewhere: stop it there, with Ctrl-C"
            raise RequestRefused(HTTPStatus.CONFLICT, why)
        else:
            raise RequestRefused(HTTPStatus.NOT_FOUND, "there is no run in progress")

    def claim(self, run: str, *, first: bool = False) -> None:
        """Take the lab for a run, which heals the stack from now on; repeated to keep it."""
        with self._holder_lock:
            holder = self.holder
            taken_before = first and self._claim.get() is not None
            if holder != run or self._promoting or taken_before:
                self._refuse_if_held()
            if holder is None:
                self._faults.clear()
                self._roles_known = False
            self._claim.set(run)
            self._last_claim = run

    def release(self, run: str) -> None:
        """End the claim of a run."""
        with self._holder_lock:
            if self._claim.get() == run:
                self._claim.clear()

    def update(self, status: RunStatus) -> None:
        """Keep the status that a run sends every second."""
        self._status.set(status)

    @property
    def run_status(self) -> RunStatus | None:
        """The last status of a run, unless it has lapsed."""
        return self._status.get()

    def report(self, run: str) -> Path:
        """The report of a run."""
        return self._runs.report(run)

    def current_run(self) -> Json | None:
        """The run in progress, or the last one."""
        started = self._runs.last
        claimed = self._claim.get()
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
        """From its record, with the step from its status if there is one."""
        now = progress(self._runs.path / run)
        if self._runs.last is not None and self._runs.last.id == run and self._runs.last.stopping:
            return RunProgress("stopping, and healing", now.done, now.steps)
        status = self.run_status
        if status is None or status.run != run:
            return now
        return RunProgress(status.what, now.done, now.steps)

    def _experiment_of(self, run: str) -> str:
        status = self.run_status
        if status is not None and status.run == run:
            return status.experiment
        try:
            return str(read_json(self._runs.path / run / "plan.json")["experiment"])
        except (DamagedRecord, KeyError):
            last = self._runs.last
            return last.experiment if last is not None and last.id == run else run

    def _verdict(self, run: str) -> Json:
        """The verdict of a run with its table as text; empty if there is none."""
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

    def overview(self) -> Json:
        """Everything that the Chaos page shows."""
        state, pages = self.state(), self._pages()
        return {
            "runtime": self._runtime,
            "parts": dict(state.parts),
            "links": {
                name: {"open": link.open, "toxics": list(link.toxics), "to": link.to}
                for name, link in state.links.items()
            },
            "roles": dict(self._stack.roles),
            "promoting": self.holder == PROMOTION,
            "faults": self.faults,
            "experiments": self._experiments,
            "run": self.current_run(),
            **{name: pages.get(name) for name in ("grafana", "prometheus")},
        }

    def close(self) -> None:
        """Interrupt the run, and heal faults injected by hand."""
        self._runs.close()
        with self._stack_lock:
            if self._faults:
                self._faults.heal_all()


def _in_use(holder: str) -> str:
    if holder == PROMOTION:
        return "the replica is being promoted: wait for the end of that"
    return f"the lab is in use by {holder}: wait for its end, or stop it on the Chaos page"


def _summary(name: str) -> Json:
    experiment = experiments.load(name)
    return {
        "name": name,
        "question": experiment.question,
        "arms": [{"name": arm.name, "naive": arm.naive} for arm in experiment.arms],
        "about_s": {
            mode.name: _about_s(experiment, mode) for mode in (experiment.quick, experiment.full)
        },
    }


def _about_s(experiment: Experiment, mode: Mode) -> float:
    """The approximate duration of a run."""
    segments = mode.rounds * len(experiment.arms_in(mode))
    around_s = (1 + segments) * AROUND_SEGMENT_S + AROUND_RUN_S
    return round(experiment.traffic_s(mode) + around_s)
