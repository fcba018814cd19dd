"""The engine's remote control: commands as JSON lines on stdin, events as JSON lines on stdout."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, BinaryIO, Literal, TextIO

import gevent  # type: ignore[import-untyped]
from gevent.fileobject import FileObject  # type: ignore[import-untyped]
from pydantic import (
    BaseModel,
    Field,
    NonNegativeInt,
    PlainValidator,
    PositiveFloat,
    TypeAdapter,
    ValidationError,
)

from chaos.model.traffic import Traffic
from scenarios.generator.segment_runner import SegmentRunner, SegmentTask
from scenarios.generator.traffic_links import PrepareError
from scenarios.generator.traffic_plan import STRICT, from_fields, messages

log = logging.getLogger(__name__)

TrafficFields = Annotated[Traffic, PlainValidator(from_fields)]


class Prepare(BaseModel):
    """Create the links for some traffic, and follow each once.

    With `fresh` they are all new, else only those that are missing.
    """

    model_config = STRICT
    do: Literal["prepare"]
    traffic: TrafficFields
    fresh: bool = False


class Start(BaseModel):
    """Start a segment with the links that are prepared."""

    model_config = STRICT
    do: Literal["start"]
    segment: NonNegativeInt
    traffic: TrafficFields
    duration_s: PositiveFloat
    seed: NonNegativeInt


COMMAND: TypeAdapter[Prepare | Start] = TypeAdapter(
    Annotated[Prepare | Start, Field(discriminator="do")]
)


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
                self._run(COMMAND.validate_json(line))
            except ValidationError as problem:
                self._error(messages(problem))

    def _run(self, command: Prepare | Start) -> None:
        if self._job is not None and not self._job.dead:
            self._error(f"{command.do}: the last command is not finished yet")
            return
        self._job = gevent.spawn(self._work, command)

    def _prepare(self, command: Prepare) -> None:
        links, keys = self._segment_runner().links, command.traffic.keys
        codes = links.prepare_fresh(keys) if command.fresh else links.prepare(keys)
        targets = links.targets[: len(codes)]
        self._emit(event="prepared", codes=codes, follows=len(codes), targets=targets)

    def _start(self, command: Start) -> None:
        segment = SegmentTask(
            number=command.segment,
            traffic=command.traffic,
            duration_s=command.duration_s,
            seed=command.seed,
        )

        def started(t_s: float) -> None:
            self._emit(event="started", segment=segment.number, t_s=t_s)

        figures = self._segment_runner().run(segment, started)
        self._emit(event="finished", segment=segment.number, **asdict(figures))

    def _work(self, command: Prepare | Start) -> None:
        try:
            if isinstance(command, Prepare):
                self._prepare(command)
            else:
                self._start(command)
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
