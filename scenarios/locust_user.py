"""The one Locust user of a process: a whole crowd, which Locust starts and stops.

It follows the rate curve of Locust's form or command line; with LINKSTORM_CONTROL=1 it obeys the
engine over stdin and stdout instead, segment by segment.
"""

from __future__ import annotations

import math
import os
import sys
from argparse import Namespace
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-untyped]
from gevent.pool import Group  # type: ignore[import-untyped]
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import WorkerRunner
from locust.web import WebUI

from chaos.model.evidence import HOT_RANK, Generator
from scenarios.distribution import Dealer, Hand
from scenarios.generator.crowd import Crowd, SegmentTask
from scenarios.generator.crowd_accounting import ACCOUNT, STOP
from scenarios.generator.dispatcher import Exchange
from scenarios.generator.live_metrics import Live
from scenarios.generator.metrics_exporter import export
from scenarios.generator.request_log import RequestLog
from scenarios.generator.traffic_links import PrepareError
from scenarios.generator.wire import Wire
from scenarios.options import check, check_host, traffic_of
from scenarios.remote_control import Control, claim_stdout, stdin_lines
from scenarios.shape import CrowdShape
from scenarios.web_ui.chaos_page import add_chaos_page
from scenarios.web_ui.control_client import ControlClient
from scenarios.web_ui.form import improve_form

LOOK_AT_FORM_S = 0.5
USAGE = 2
CONTROLLED = os.environ.get("LINKSTORM_CONTROL") == "1"
EVENTS = claim_stdout() if CONTROLLED else None


class NotOk(Exception):
    """Why Locust shows a request as failed."""


def report(seen: Exchange) -> None:
    """Tell Locust of a request, with its latency from the intended time."""
    answer = seen.answer
    events.request.fire(  # type: ignore[no-untyped-call]
        request_type="GET",
        name="hot link" if seen.rank == HOT_RANK else "other links",
        response_time=(seen.done_s - seen.intended_s) * 1000,
        response_length=len(answer.body),
        exception=NotOk(answer.error) if answer.error else None,
        context={},
    )


class ProcessState:
    """What a process keeps from one test to the next."""

    def __init__(self, environment: Environment) -> None:
        self.live = Live()
        self.hand = Hand(environment)
        self.segments = count(1)
        self._environment = environment
        self._history: RequestLog | None = None
        self._crowds: dict[str, Crowd] = {}
        self._running = Group()
        assert environment.runner is not None
        self._runner = environment.runner
        self._runner.register_message(STOP, self._stop, concurrent=True)

    @property
    def options(self) -> Namespace:
        """What the form or the command line says now."""
        options: Namespace | None = self._environment.parsed_options
        assert options is not None
        return options

    def crowd(self) -> Crowd:
        """The crowd for the host that was asked for; `OSError` if it cannot be reached."""
        host = self._environment.host or ""
        if host not in self._crowds:
            wire = Wire(host)
            self._crowds[host] = Crowd(
                wire, self.live, self._record(), self.options.max_in_flight, report
            )
        return self._crowds[host]

    def start(self, segment: SegmentTask) -> gevent.Greenlet:
        """Have the crowd run a segment, and tell the dealer in the end what became of it."""

        def ended(did: Generator) -> None:
            self._runner.send_message(ACCOUNT, [segment.stream, asdict(did)])

        return self._running.spawn(self.crowd().run, segment, ended=ended)

    def _stop(self, **_: Any) -> None:
        self._running.kill()

    def finish(self, **_: Any) -> None:
        """Called by Locust at the very end: leave the record on disk."""
        if self._history is not None:
            self._history.flush()

    def _record(self) -> RequestLog | None:
        directory = os.environ.get("LINKSTORM_RECORD")
        if directory and self._history is None:
            runner = self._environment.runner
            shard = runner.worker_index if isinstance(runner, WorkerRunner) else 0
            self._history = RequestLog(Path(directory), str(shard))
        return self._history


def set_up(environment: Environment, web_ui: WebUI | None, **_: Any) -> None:
    """Called once by Locust when its parts exist."""
    _check_command_line(environment)
    process = ProcessState(environment)
    CrowdUser.process = process
    if not isinstance(environment.runner, WorkerRunner):
        Dealer(environment)
    export(environment, process.live, web_ui)
    if web_ui is not None:
        environment.shape_class = CrowdShape()
        environment.shape_class.runner = environment.runner
        control = ControlClient.known()
        improve_form(
            environment, web_ui, add_chaos_page(environment, web_ui, control) if control else ""
        )
    environment.events.quit.add_listener(process.finish)  # type: ignore[no-untyped-call]
    if CONTROLLED:
        environment.process_exit_code = 0  # a failed request is a finding, not an error


def _check_command_line(environment: Environment) -> None:
    """End with 2 if it asks for what cannot be done; a page can still ask for the host."""
    options = environment.parsed_options
    assert options is not None
    try:
        check(options)
        if environment.host or options.headless:
            check_host(environment.host or "")
    except ValueError as wrong:
        sys.stderr.write(f"{wrong}\n")
        sys.exit(USAGE)


class CrowdUser(User):
    """An open crowd: its rate follows the curve, whatever the number of users."""

    process: ProcessState

    @task
    def visit(self) -> None:
        """Until Locust stops it."""
        try:
            if EVENTS is not None:
                self._obey_engine(Control(self.process.crowd, stdin_lines(), EVENTS))
            else:
                self._follow_form()
        except (OSError, ValueError, PrepareError) as problem:
            self.environment.events.user_error.fire(
                user_instance=self, exception=problem, tb=problem.__traceback__
            )
            raise StopUser from problem

    def _obey_engine(self, control: Control) -> None:
        control.serve()
        assert self.environment.runner is not None
        gevent.spawn(self.environment.runner.quit)
        gevent.sleep(math.inf)

    def _follow_form(self) -> None:
        while True:
            asked = self._asked()
            traffic = traffic_of(self.process.options)
            crowd = self.process.crowd()
            part = self.process.hand.ask()
            crowd.links.codes = part.codes
            segment = SegmentTask(
                number=next(self.process.segments),
                traffic=traffic,
                duration_s=part.duration_s,
                seed=self.process.options.seed,
                stream=part.stream,
                streams=part.streams,
            )
            running = self.process.start(segment)
            try:
                self._wait_for_edit(asked, running)
            except BaseException:
                running.kill()
                raise
            running.kill(block=False)  # it waits for its answers; the next need not wait for it

    def _asked(self) -> tuple[object, ...]:
        """What a test is made of; an edit of anything else changes nothing."""
        options = self.process.options
        return self.environment.host, traffic_of(options), options.seed, options.run_time

    def _wait_for_edit(self, asked: tuple[object, ...], running: gevent.Greenlet) -> None:
        while self._asked() == asked:
            gevent.sleep(LOOK_AT_FORM_S)
            if running.exception is not None:
                raise running.exception
