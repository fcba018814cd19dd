"""`linkstorm locust`: the embedded stack with Locust's web UI and the Chaos page."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from chaos.control.http_server import new_token, served
from chaos.control.lab_control import LabControl
from chaos.engine.load import locust_web_ui
from chaos.model.stack import Settings, Stack, StackError
from chaos.record.run_directories import new_run_dir, shown
from chaos.runtimes.embedded.ports import is_free
from chaos.runtimes.embedded.runtime import EmbeddedRuntime

CHECK_PERIOD_S = 0.2


def play(
    settings: Settings,
    runs: Path,
    ready: Callable[[Stack, str, Path], None],
    *,
    port: int | None,
    locust_port: int,
) -> NoReturn:
    """Keep it up until interrupted.

    `ready` is called with the stack, Locust's address and the directory of the logs.
    Runs that are started from the page go beside that directory.

    Raises:
        StackError: it could not be brought up, or Locust's port is taken.
        PartDied: a part ended unexpectedly.
        KeyboardInterrupt: on Ctrl-C; nothing is left running.
    """
    if not is_free(locust_port):
        flag = f"--locust-port {locust_port + 1}"
        raise StackError(
            f"port {locust_port} is taken, maybe by another lab (`linkstorm status`); "
            f'choose another one: {flag} (make locust ARGS="{flag}")'
        )
    token = new_token()
    directory = new_run_dir("playground", runs)
    with EmbeddedRuntime(port=port).up(settings, directory / "logs") as stack:
        control = LabControl(stack, EmbeddedRuntime.name, runs)
        with (
            served(control, token) as url,
            locust_web_ui(
                stack,
                directory,
                locust_port,
                {"LINKSTORM_CONTROL_URL": url, "LINKSTORM_CONTROL_TOKEN": token},
            ) as page,
        ):
            ready(stack, page, directory)
            while True:
                control.check()
                time.sleep(CHECK_PERIOD_S)


def addresses(stack: Stack, locust: str, directory: Path) -> str:
    """The addresses of the playground, line by line."""
    return (
        f"shortener   {stack.endpoints.url} (its API: {stack.endpoints.url}/docs)\n"
        f"Locust      {locust}\n"
        f"Chaos       {locust}/chaos\n"
        f"Toxiproxy   {stack.endpoints.toxiproxy}\n"
        f"Postgres    {stack.endpoints.primary} (primary), {stack.endpoints.replica} (replica)\n"
        f"Redis       {stack.endpoints.redis}\n"
        f"logs        {shown(directory / 'logs')}\n"
        "Ctrl-C stops it all."
    )
