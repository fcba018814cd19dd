"""Announcements of a run in progress: its status to the control API, fault windows to Grafana.

Each has its own thread, so a run never waits for them; errors are lines in the run's `lab.log`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from queue import Empty, SimpleQueue
from typing import Any

import requests

from chaos.engine.annotations import AnnotationError, Annotations, Window
from chaos.model.lab import Load
from chaos.model.stack import Stack
from chaos.record.writer import RecordWriter

PERIOD_S = 1.0
TIMEOUT_S = 2.0
FLUSH_TIMEOUT_S = 5.0

Event = Mapping[str, Any]
OVER: Event = {"kind": "over"}


@contextmanager
def announcer(stack: Stack, load: Load, writer: RecordWriter) -> Iterator[None]:
    """Announce a run until the context ends, if its stack has a control API or a Grafana."""
    at = stack.endpoints
    with ExitStack() as threads:
        if at.control is not None:
            updates = StatusUpdates(at.control, at.control_token or "", load.metrics_url, writer)
            threads.enter_context(_in_background(updates.run, updates.on_event, writer))
        if at.grafana is not None:
            windows = FaultAnnotations(at.grafana, writer)
            threads.enter_context(_in_background(windows.run, windows.on_event, writer))
        yield


@contextmanager
def _in_background(
    run: Callable[[], None], on_event: Callable[[Event], None], writer: RecordWriter
) -> Iterator[None]:
    """Call `run` on a thread and `on_event` for each event, the last of which is `OVER`."""
    thread = threading.Thread(target=run, name="announcer", daemon=True)
    thread.start()
    try:
        with writer.subscribed(on_event):
            yield
    finally:
        on_event(OVER)
        thread.join(FLUSH_TIMEOUT_S)


class _ErrorLog:
    """Logs an error once, until it changes or is over."""

    def __init__(self, writer: RecordWriter) -> None:
        self._note = writer.note
        self._last = ""

    def __call__(self, text: str) -> None:
        if text and text != self._last:
            self._note(text)
        self._last = text


class StatusUpdates:
    """Sends a run's step, faults and load metrics to the control API once a second."""

    def __init__(
        self, control: str, token: str, metrics_url: str | None, writer: RecordWriter
    ) -> None:
        self._url = f"{control}/status"
        self._metrics_url = metrics_url
        self._run = {"run": writer.path.name, "experiment": writer.plan["experiment"]}
        self._log_error = _ErrorLog(writer)
        self._over = threading.Event()
        self._what = "starting"
        self._faults: Mapping[str, str] = {}
        self._http = requests.Session()
        self._http.trust_env = False
        self._token = {"X-Linkstorm-Token": token}

    def on_event(self, event: Event) -> None:
        """Update the status; called on the thread of the run."""
        match event["kind"]:
            case "segment-started":
                self._what = event["what"]
            case "reading-back":
                self._what = "reading back"
            case "injected":
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self._faults = {**self._faults, event["act"]: now}
            case "healed":
                healed = event["act"]
                self._faults = {name: at for name, at in self._faults.items() if name != healed}
            case "over":
                self._over.set()

    def run(self) -> None:
        """Send the status once a second until the run is over."""
        with self._http:
            while not self._over.is_set():
                try:
                    self._put()
                except requests.RequestException as error:
                    self._log_error(f"status update failed: {error}")
                else:
                    self._log_error("")
                self._over.wait(PERIOD_S)

    def _put(self) -> None:
        faults = [{"name": name, "since": since} for name, since in self._faults.items()]
        bulletin = {**self._run, "what": self._what, "faults": faults, "metrics": self._metrics()}
        answer = self._http.put(self._url, json=bulletin, headers=self._token, timeout=TIMEOUT_S)
        answer.raise_for_status()

    def _metrics(self) -> str:
        """The generator's metrics; empty while it is too busy to answer."""
        if self._metrics_url is None:
            return ""
        try:
            answer = self._http.get(self._metrics_url, timeout=PERIOD_S)
        except requests.RequestException:
            return ""
        return answer.text if answer.ok else ""


class FaultAnnotations:
    """Marks the run and each fault in Grafana; open windows grow while they last."""

    def __init__(self, grafana: str, writer: RecordWriter) -> None:
        self._grafana = grafana
        self._experiment = str(writer.plan["experiment"])
        self._title = f"{self._experiment}: {writer.path.name}"
        self._began_s = time.time()  # of the run: its thread may start later
        self._log_error = _ErrorLog(writer)
        self._events: SimpleQueue[tuple[float, Event]] = SimpleQueue()
        self._open: dict[str, Window] = {}

    def on_event(self, event: Event) -> None:
        """Queue the start and the end of a fault; called on the thread of the run."""
        if event["kind"] in ("injected", "healed", "over"):
            self._events.put((time.time(), event))

    def run(self) -> None:
        """Mark queued events until the run is over; nothing if Grafana refuses the first."""
        try:
            annotations = Annotations(self._grafana)
            self._begin(annotations, "run", self._title, self._began_s)
        except AnnotationError as error:
            self._log_error(f"no annotations: {error}")
            return
        kind = ""
        while kind != "over":
            at_s, event = self._next()
            kind = event["kind"]
            try:
                self._mark(annotations, event, at_s)
            except AnnotationError as error:
                self._log_error(f"an annotation is missing: {error}")

    def _next(self) -> tuple[float, Event]:
        try:
            return self._events.get(timeout=PERIOD_S)
        except Empty:
            return time.time(), {"kind": "nothing new"}

    def _mark(self, annotations: Annotations, event: Event, at_s: float) -> None:
        if event["kind"] == "injected":
            self._begin(annotations, "fault", _title(event), at_s)
        elif event["kind"] == "healed":
            if (window := self._open.pop(_title(event), None)) is not None:
                annotations.extend(window, at_s)
        else:
            for window in self._open.values():
                annotations.extend(window, at_s)

    def _begin(self, annotations: Annotations, kind: str, text: str, at_s: float) -> None:
        tags = ["linkstorm", kind, self._experiment]
        self._open[text] = annotations.begin(text, tags, at_s)


def _title(event: Event) -> str:
    return f"{event['act']} · {event['arm']}"
