"""What a run tells while it goes: a bulletin to the control each second, fault windows to Grafana.

Both speak on threads of their own, so a run never waits for who listens; whatever goes wrong is a
line in the run's `lab.log`.
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
LAST_WORDS_S = 5.0

Event = Mapping[str, Any]
OVER: Event = {"kind": "over"}


@contextmanager
def announcer(stack: Stack, load: Load, writer: RecordWriter) -> Iterator[None]:
    """Tell of a run until the context ends, if its stack has a control or a Grafana to tell."""
    at = stack.endpoints
    with ExitStack() as speakers:
        if at.control is not None:
            control = StatusUpdates(at.control, at.control_token or "", load.metrics_url, writer)
            speakers.enter_context(_speaking(control.tell, control.hear, writer))
        if at.grafana is not None:
            windows = FaultAnnotations(at.grafana, writer)
            speakers.enter_context(_speaking(windows.mark, windows.hear, writer))
        yield


@contextmanager
def _speaking(
    speak: Callable[[], None], hear: Callable[[Event], None], writer: RecordWriter
) -> Iterator[None]:
    """Let `speak` go on beside the run until `hear` was told that it is over."""
    thread = threading.Thread(target=speak, name="announcer", daemon=True)
    thread.start()
    try:
        with writer.told_to(hear):
            yield
    finally:
        hear(OVER)
        thread.join(LAST_WORDS_S)


class _Complaints:
    """Notes what went wrong, once for as long as it goes on."""

    def __init__(self, writer: RecordWriter) -> None:
        self._note = writer.note
        self._last = ""

    def __call__(self, text: str) -> None:
        if text and text != self._last:
            self._note(text)
        self._last = text


class StatusUpdates:
    """Tells the control what a run is at, with its faults and its load generator's figures."""

    def __init__(
        self, control: str, token: str, metrics_url: str | None, writer: RecordWriter
    ) -> None:
        self._url = f"{control}/status"
        self._metrics_url = metrics_url
        self._run = {"run": writer.path.name, "experiment": writer.plan["experiment"]}
        self._complain = _Complaints(writer)
        self._over = threading.Event()
        self._what = "starting"
        self._faults: Mapping[str, str] = {}
        self._http = requests.Session()
        self._http.trust_env = False
        self._token = {"X-Linkstorm-Token": token}

    def hear(self, event: Event) -> None:
        """Note what changed; called on the thread of the run."""
        match event["kind"]:
            case "segment-started":
                self._what = event["what"]
            case "reading-back":
                self._what = "reading back"
            case "injected":
                now = datetime.now(UTC).isoformat(timespec="seconds")
                self._faults = {**self._faults, event["fault"]: now}
            case "healed":
                healed = event["fault"]
                self._faults = {name: at for name, at in self._faults.items() if name != healed}
            case "over":
                self._over.set()

    def tell(self) -> None:
        """Once a second, until it is over."""
        with self._http:
            while not self._over.is_set():
                try:
                    self._put()
                except requests.RequestException as error:
                    self._complain(f"the control was not told: {error}")
                else:
                    self._complain("")
                self._over.wait(PERIOD_S)

    def _put(self) -> None:
        faults = [{"name": name, "since": since} for name, since in self._faults.items()]
        bulletin = {**self._run, "what": self._what, "faults": faults, "metrics": self._metrics()}
        answer = self._http.put(self._url, json=bulletin, headers=self._token, timeout=TIMEOUT_S)
        answer.raise_for_status()

    def _metrics(self) -> str:
        """The generator's figures; none while it is too busy to give them."""
        if self._metrics_url is None:
            return ""
        try:
            answer = self._http.get(self._metrics_url, timeout=PERIOD_S)
        except requests.RequestException:
            return ""
        return answer.text if answer.ok else ""


class FaultAnnotations:
    """Marks the run and each fault in Grafana; a window grows while it lasts, so it is seen."""

    def __init__(self, grafana: str, writer: RecordWriter) -> None:
        self._grafana = grafana
        self._experiment = str(writer.plan["experiment"])
        self._run = f"{self._experiment}: {writer.path.name}"
        self._began_s = time.time()  # of the run: the thread that tells of it may begin later
        self._complain = _Complaints(writer)
        self._heard: SimpleQueue[tuple[float, Event]] = SimpleQueue()
        self._open: dict[str, Window] = {}

    def hear(self, event: Event) -> None:
        """Take note of the beginning and the end of a fault; called on the thread of the run."""
        if event["kind"] in ("injected", "healed", "over"):
            self._heard.put((time.time(), event))

    def mark(self) -> None:
        """Mark what is heard until it is over; without a Grafana that lets us, mark nothing."""
        try:
            annotations = Annotations(self._grafana)
            self._begin(annotations, "run", self._run, self._began_s)
        except AnnotationError as error:
            self._complain(f"no annotations: {error}")
            return
        kind = ""
        while kind != "over":
            at_s, event = self._next()
            kind = event["kind"]
            try:
                self._mark(annotations, event, at_s)
            except AnnotationError as error:
                self._complain(f"an annotation is missing: {error}")

    def _next(self) -> tuple[float, Event]:
        try:
            return self._heard.get(timeout=PERIOD_S)
        except Empty:
            return time.time(), {"kind": "nothing new"}

    def _mark(self, annotations: Annotations, event: Event, at_s: float) -> None:
        if event["kind"] == "injected":
            self._begin(annotations, "fault", _named(event), at_s)
        elif event["kind"] == "healed":
            if (window := self._open.pop(_named(event), None)) is not None:
                annotations.extend(window, at_s)
        else:
            for window in self._open.values():
                annotations.extend(window, at_s)

    def _begin(self, annotations: Annotations, kind: str, text: str, at_s: float) -> None:
        tags = ["linkstorm", kind, self._experiment]
        self._open[text] = annotations.begin(text, tags, at_s)


def _named(event: Event) -> str:
    return f"{event['fault']} · {event['arm']}"
