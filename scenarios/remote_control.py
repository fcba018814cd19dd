"""The engine's remote control: commands as JSON lines on stdin, events as JSON lines on stdout."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, BinaryIO, TextIO

import gevent  # type: ignore[import-untyped]
from gevent.fileobject import FileObject  # type: ignore[import-untyped]

from scenarios.generator.segment_runner import SegmentRunner, SegmentTask
from scenarios.generator.traffic_links import PrepareError
from scenarios.generator.traffic_plan import from_fields, number, whole

log = logging.getLogger(__name__)

FIELDS = {
    "prepare": {"do", "traffic"},
    "start": {"do", "segment", "traffic", "duration_s", "seed"},
}


def claim_stdout() -> TextIO:
    """Take stdout for events only, and redirect all other output to stderr."""
    sys.stdout.flush()
    mine = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return mine


def stdin_lines() -> BinaryIO:
    """Stdin, read without stopping the other greenlets."""
    lines: BinaryIO = FileObject(os.dup(0), "rb")
    return lines


class Control:
    """Runs one command at a time; answers a wrong one with an error event and goes on."""

    def __init__(
        self, segment_runner: Callable[[], SegmentRunner], commands: BinaryIO, events: TextIO
    ) -> None:
        self._segment_runner = segment_runner
        self._commands = commands
        self._events = events
        self._job: gevent.Greenlet | None = None

    def serve(self) -> None:
        """Read commands until stdin ends, even in the middle of a segment."""
        while line := self._commands.readline():
            try:
                self._run(_parsed(line))
            except ValueError as problem:
                self._error(str(problem))

    def _run(self, command: Any) -> None:
        do = command.get("do") if isinstance(command, dict) else None
        if do not in FIELDS:
            raise ValueError(f'a command needs "do": {" or ".join(FIELDS)}')
        if wrong := sorted(FIELDS[do] ^ set(command)):
            raise ValueError(f"{do}: missing or unknown: {', '.join(wrong)}")
        if not isinstance(command["traffic"], dict):
            raise ValueError(f"{do}: traffic must be an object")
        if self._job is not None and not self._job.dead:
            raise ValueError(f"{do}: the last command is not finished yet")
        work = self._prepare(command) if do == "prepare" else self._start(command)
        self._job = gevent.spawn(self._work, work)

    def _prepare(self, command: Mapping[str, Any]) -> Callable[[], None]:
        traffic = from_fields(command["traffic"])

        def work() -> None:
            self._emit(event="prepared", codes=self._segment_runner().links.prepare(traffic.keys))

        return work

    def _start(self, command: Mapping[str, Any]) -> Callable[[], None]:
        segment = SegmentTask(
            number=whole("segment", command["segment"]),
            traffic=from_fields(command["traffic"]),
            duration_s=number("duration_s", command["duration_s"], above=0.0),
            seed=whole("seed", command["seed"]),
        )

        def started(t_s: float) -> None:
            self._emit(event="started", segment=segment.number, t_s=t_s)

        def work() -> None:
            figures = self._segment_runner().run(segment, started)
            self._emit(event="finished", segment=segment.number, **asdict(figures))

        return work

    def _work(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, ValueError, PrepareError) as problem:
            self._error(str(problem))
        except Exception as problem:
            log.exception("command failed")
            self._error(repr(problem))

    def _error(self, message: str) -> None:
        self._emit(event="error", message=message)

    def _emit(self, **event: Any) -> None:
        self._events.write(json.dumps(event) + "\n")
        self._events.flush()


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as problem:
        raise ValueError(f"not a line of JSON: {problem}") from problem
