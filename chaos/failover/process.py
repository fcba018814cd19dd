"""A program of a failover as a process of the lab."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chaos.failover.orders import FAILED, WATCHING, Asked, Control, Watch
from chaos.model.stack import StackError
from chaos.runtimes.environment import at_home

READY_S = 15.0
GONE_S = 3.0

Event = Mapping[str, Any]


class FailoverProcess:
    """A controller or a watchdog; `events` are those that it has reported so far, by name."""

    def __init__(
        self, order: Control | Watch, workdir: Path, on_event: Callable[[str], None]
    ) -> None:
        """Start it, and return when it watches.

        `on_event` is called with the name of each event, on another thread.

        Raises:
            StackError: it does not; the message has its events.
        """
        self.events: dict[str, Event] = {}
        self._on_event = on_event
        self._watches = threading.Event()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaos.failover", Asked(order=order).model_dump_json()],
            cwd=workdir,
            env=at_home(workdir),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._read, name="failover-events", daemon=True).start()
        if not self._watches.wait(READY_S) or WATCHING not in self.events:
            self.stop()
            raise StackError(f"the failover {order.do} did not begin: {self.said}")

    @property
    def said(self) -> str:
        """Its events, in words."""
        said = [
            f"{name} {event['why']}" if "why" in event else name
            for name, event in self.events.items()
        ]
        return ", ".join(said) or "it said nothing"

    @property
    def runs(self) -> bool:
        """True while it has not ended."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(GONE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                try:
                    event = json.loads(line)
                    self.events = {**self.events, event["event"]: event}
                except (ValueError, KeyError, TypeError):
                    self.events = {**self.events, FAILED: {"why": line.strip()}}
                    continue
                self._watches.set()
                try:
                    self._on_event(event["event"])
                except Exception as error:  # the pipe is read on, or the program could not end
                    self.events = {**self.events, FAILED: {"why": f"{event['event']}: {error}"}}
        self._watches.set()
