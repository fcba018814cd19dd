"""The one Locust user of a process: an open workload that Locust starts and stops.

It follows the rate curve of Locust's form or command line; with LINKSTORM_CONTROL=1 it runs the
engine's commands from stdin instead, segment by segment.
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
from scenarios.coordination import TrafficCoordinator, TrafficWorker
from scenarios.generator.http_client import HttpClient
from scenarios.generator.link_requests import METHODS
from scenarios.generator.live_metrics import LiveMetrics
from scenarios.generator.metrics_exporter import export_metrics
from scenarios.generator.open_loop import Exchange
from scenarios.generator.request_log import RequestLog
from scenarios.generator.segment_runner import SegmentRunner, SegmentTask
from scenarios.generator.traffic_links import PrepareError
from scenarios.options import check, check_host, traffic_of
from scenarios.remote_control import Control, claim_stdout, stdin_lines
from scenarios.shape import OpenLoopShape
from scenarios.web_ui.chaos_page import add_chaos_page
from scenarios.web_ui.control_client import ControlClient
from scenarios.web_ui.form import adapt_form
from scenarios.worker_reports import REPORT, STOP_SENDING

FORM_POLL_S = 0.5
EXIT_USAGE = 2
REMOTE_CONTROLLED = os.environ.get("LINKSTORM_CONTROL") == "1"
EVENTS = claim_stdout() if REMOTE_CONTROLLED else None


class RequestFailed(Exception):
    """The error that Locust shows for a failed request."""


def report_to_locust(exchange: Exchange) -> None:
    """Report a request to Locust, with its latency from the intended time."""
    answer = exchange.answer
    events.request.fire(  # type: ignore[no-untyped-call]
        request_type=METHODS[exchange.operation],
        name=_name(exchange),
        response_time=(exchange.done_s - exchange.intended_s) * 1000,
        response_length=len(answer.body),
        exception=RequestFailed(answer.error) if answer.error else None,
        context={},
    )


def _name(exchange: Exchange) -> str:
    if exchange.operation != "follow":
        return exchange.operation
    return "hot link" if exchange.rank == HOT_RANK else "other links"


class ProcessState:
    """State that a process keeps from one test to the next."""

    def __init__(self, environment: Environment) -> None:
        self.live = LiveMetrics()
        self.worker = TrafficWorker(environment)
        self.segments = count(1)
        self._environment = environment
        self._request_log: RequestLog | None = None
        self._runners: dict[str, SegmentRunner] = {}
        self._running = Group()
        assert environment.runner is not None
        self._runner = environment.runner
        self._runner.register_message(STOP_SENDING, self._stop, concurrent=True)

    @property
    def options(self) -> Namespace:
        """Current values of the form or the command line."""
        options: Namespace | None = self._environment.parsed_options
        assert options is not None
        return options

    def segment_runner(self) -> SegmentRunner:
        """The runner for the current host; `OSError` if the host cannot be reached."""
        host = self._environment.host or ""
        if host not in self._runners:
            client = HttpClient(host)
            self._runners[host] = SegmentRunner(
                client,
                self.live,
                self._open_request_log(),
                self.options.max_in_flight,
                report_to_locust,
            )
        return self._runners[host]

    def start(self, segment: SegmentTask) -> gevent.Greenlet:
        """Run a segment in the background and report its figures to the coordinator."""

        def ended(figures: Generator) -> None:
            self._runner.send_message(REPORT, [segment.stream, asdict(figures)])

        return self._running.spawn(self.segment_runner().run, segment, ended=ended)

    def _stop(self, **_: Any) -> None:
        self._running.kill()

    def finish(self, **_: Any) -> None:
        """Flush the record to disk; Locust calls this at the very end."""
        if self._request_log is not None:
            self._request_log.flush()

    def _open_request_log(self) -> RequestLog | None:
        directory = os.environ.get("LINKSTORM_RECORD")
        if directory and self._request_log is None:
            shard = self._runner.worker_index if isinstance(self._runner, WorkerRunner) else 0
            self._request_log = RequestLog(Path(directory), str(shard))
        return self._request_log


def set_up(environment: Environment, web_ui: WebUI | None, **_: Any) -> None:
    """Add everything of ours to Locust, which calls this once at its start."""
    _check_command_line(environment)
    process = ProcessState(environment)
    OpenLoopUser.process = process
    if not isinstance(environment.runner, WorkerRunner):
        TrafficCoordinator(environment)
    export_metrics(environment, process.live, web_ui)
    if web_ui is not None:
        environment.shape_class = OpenLoopShape()
        environment.shape_class.runner = environment.runner
        control = ControlClient.from_environment()
        strip = add_chaos_page(environment, web_ui, control) if control else ""
        adapt_form(environment, web_ui, strip)
    environment.events.quit.add_listener(process.finish)  # type: ignore[no-untyped-call]
    if REMOTE_CONTROLLED:
        environment.process_exit_code = 0  # a failed request is a finding, not an error


def _check_command_line(environment: Environment) -> None:
    """Exit with 2 if the options are wrong; with a web page the host may come later."""
    options = environment.parsed_options
    assert options is not None
    try:
        check(options)
        if environment.host or options.headless:
            check_host(environment.host or "")
    except ValueError as wrong:
        sys.stderr.write(f"{wrong}\n")
        sys.exit(EXIT_USAGE)


class OpenLoopUser(User):
    """An open workload: its rate follows the curve, whatever the number of users."""

    process: ProcessState

    @task
    def generate(self) -> None:
        """Send traffic until Locust stops this user."""
        try:
            if EVENTS is not None:
                self._run_commands(Control(self.process.segment_runner, stdin_lines(), EVENTS))
            else:
                self._run_form()
        except (OSError, ValueError, PrepareError) as problem:
            self.environment.events.user_error.fire(
                user_instance=self, exception=problem, tb=problem.__traceback__
            )
            raise StopUser from problem

    def _run_commands(self, control: Control) -> None:
        control.serve()
        assert self.environment.runner is not None
        gevent.spawn(self.environment.runner.quit)
        gevent.sleep(math.inf)

    def _run_form(self) -> None:
        while True:
            options = self._test_options()
            traffic = traffic_of(self.process.options)
            runner = self.process.segment_runner()
            assigned = self.process.worker.request_stream()
            runner.links.codes = assigned.codes
            segment = SegmentTask(
                number=next(self.process.segments),
                traffic=traffic,
                duration_s=assigned.duration_s,
                seed=self.process.options.seed,
                stream=assigned.stream,
                streams=assigned.streams,
            )
            running = self.process.start(segment)
            try:
                self._wait_for_edit(options, running)
            except BaseException:
                running.kill()
                raise
            running.kill(block=False)  # it still waits for its answers; the next starts now

    def _test_options(self) -> tuple[object, ...]:
        """The options that restart the traffic when they are edited."""
        options = self.process.options
        return self.environment.host, traffic_of(options), options.seed, options.run_time

    def _wait_for_edit(self, options: tuple[object, ...], running: gevent.Greenlet) -> None:
        while self._test_options() == options:
            gevent.sleep(FORM_POLL_S)
            if running.exception is not None:
                raise running.exception
