"""Plain Locust, for comparison: each FastHttpUser waits for its answer before its next request.

`locust -f scenarios/generator/closed_loop.py --host URL`. With `--pace P` a user sends at most P
requests a second (`constant_throughput`), else as many as it can. `--latencies FILE` writes the
latency that Locust measured of each request, in milliseconds.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

from locust import FastHttpUser, constant_throughput, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

latencies_ms = array("d")


def add_options(parser: LocustArgumentParser) -> None:
    """Add `--pace` and `--latencies`."""
    parser.add_argument("--pace", type=float, default=0.0, help="Requests a second and user")
    parser.add_argument("--latencies", default="", help="File for the latencies, a line each")


def set_up(environment: Environment, **_: Any) -> None:
    """Apply the options; Locust calls this once at its start."""
    options = environment.parsed_options
    assert options is not None
    if options.pace:
        ClosedLoopUser.wait_time = constant_throughput(options.pace)
    if options.latencies:
        events.request.add_listener(_note)  # type: ignore[no-untyped-call]
        events.quit.add_listener(  # type: ignore[no-untyped-call]
            lambda **_: Path(options.latencies).write_text("\n".join(map(str, latencies_ms)))
        )


def _note(response_time: float, **_: Any) -> None:
    latencies_ms.append(response_time)


class ClosedLoopUser(FastHttpUser):
    """One visitor who sends request after request."""

    @task
    def follow(self) -> None:
        """Send one request."""
        self.client.get("/closed-loop", allow_redirects=False)


events.init_command_line_parser.add_listener(add_options)  # type: ignore[no-untyped-call]
events.init.add_listener(set_up)  # type: ignore[no-untyped-call]
