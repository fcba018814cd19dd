"""The control API served: from a thread beside other work, or until the process ends."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import uvicorn

from chaos.control.http_api import api
from chaos.control.lab_control import LabControl, Pages
from chaos.model.stack import Stack, StackError


@contextmanager
def served(
    control: LabControl, token: str, host: str = "127.0.0.1", port: int = 0
) -> Iterator[str]:
    """Serve, and yield the address; on leaving, interrupt its run and heal its faults.

    Raises:
        StackError: the port is taken.
    """
    with closing(_listening(host, port)) as listener, closing(control):
        config = uvicorn.Config(api(control, token), log_level="warning", access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=[[listener]], name="control", daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def serve_control(
    stack: Stack,
    runtime: str,
    runs: Path,
    token: str,
    host: str,
    port: int,
    pages: Pages = dict,
) -> None:
    """Serve until SIGTERM or SIGINT; then heal.

    `pages`: the URLs of Grafana and Prometheus for a browser.

    Raises:
        KeyboardInterrupt: as `chaos.cli.interruption` makes one of these signals.
    """
    with served(LabControl(stack, runtime, runs, pages=pages), token, host, port):
        threading.Event().wait()


def new_token() -> str:
    """A random token."""
    return secrets.token_urlsafe(32)


def kept_token(file: Path) -> str:
    """The token in a file that others read, too; created if missing."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".new")
        unfinished.write_text(new_token(), encoding="ascii")
        unfinished.rename(file)
    return file.read_text(encoding="ascii").strip()


def _listening(host: str, port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # early requests wait
    except OSError as error:
        listener.close()
        raise StackError(f"the control API cannot listen on {host}:{port}: {error}") from error
    return listener
