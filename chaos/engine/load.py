"""Load generator: Locust as a subprocess, controlled by JSON lines, segment by segment."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import requests

from chaos.model.evidence import Generator
from chaos.model.lab import Links
from chaos.model.stack import PartDied, Stack, StackError
from chaos.model.traffic import Traffic
from chaos.runtimes.embedded.ports import reserved
from chaos.runtimes.environment import at_home

LOCUSTFILE = Path(__file__).parents[2] / "scenarios" / "locustfile.py"
START_TIMEOUT_S = 30.0
PREPARE_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 3.0
PAGE_TIMEOUT_S, PAGE_POLL_S = 2.0, 0.1
LAST_LINES = 8
NICER = 10

Answer = Mapping[str, Any]


@contextmanager
def locust(stack: Stack, directory: Path) -> Iterator[LocustLoad]:
    """Run Locust against a stack, remote-controlled, with live `/metrics` on a free port."""
    with locust_against(stack.endpoints.url, directory, stack.workdir("load")) as load:
        yield load


@contextmanager
def locust_against(url: str, directory: Path, workdir: Path) -> Iterator[LocustLoad]:
    """Run Locust against any server; write its record and `logs/load.log` into the directory."""
    log = directory / "logs" / "load.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with reserved(["load"]) as ports:
        environment = {"LINKSTORM_CONTROL": "1", "LINKSTORM_METRICS_PORT": str(ports["load"])}
        arguments = ["--headless", "-u", "1", "--only-summary"]
        process = _started(url, directory, workdir, arguments, environment)
        try:
            yield LocustLoad(process, log, f"http://127.0.0.1:{ports['load']}/metrics")
        finally:
            _stop(process)


@contextmanager
def locust_web_ui(
    stack: Stack, directory: Path, port: int, environment: Mapping[str, str]
) -> Iterator[str]:
    """Run Locust with its web UI; yield the address once the UI answers.

    The environment has the address of the control API, for the Chaos page.

    Raises:
        PartDied: Locust ended instead of serving its page.
    """
    url = f"http://127.0.0.1:{port}"
    page = ["--web-host", "127.0.0.1", "--web-port", str(port)]
    process = _started(stack.endpoints.url, directory, stack.workdir("load"), page, environment)
    try:
        _wait_for_page(process, url, directory / "logs" / "load.log")
        yield url
    finally:
        process.terminate()
        _stop(process)


def _started(
    url: str,
    directory: Path,
    workdir: Path,
    arguments: Sequence[str],
    environment: Mapping[str, str],
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *arguments]
    with (directory / "logs" / "load.log").open("ab") as stderr:
        process = subprocess.Popen(
            [*command, "--host", url],
            cwd=workdir,
            env={**at_home(workdir), "LINKSTORM_RECORD": str(directory.resolve()), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
    _prefer(process.pid)
    return process


def _prefer(pid: int) -> None:
    """Let a process run before others of this machine, where this user may: it keeps time.

    It has no thread of its own yet, and those that it starts inherit this.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid) - NICER)


def _wait_for_page(process: subprocess.Popen[str], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise PartDied("load", _last_lines(log))
        try:
            requests.get(url, timeout=PAGE_TIMEOUT_S)
        except requests.RequestException:
            time.sleep(PAGE_POLL_S)
        else:
            return
    raise StackError(f"the Locust web UI did not answer within {START_TIMEOUT_S:g} s; see {log}")


def _last_lines(log: Path) -> Sequence[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]


def _stop(process: subprocess.Popen[str]) -> None:
    """Close its stdin, which ends it; kill it if it does not exit in time."""
    assert process.stdin is not None
    try:
        process.stdin.close()
        process.wait(STOP_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        process.kill()
        process.wait()


class LocustLoad:
    """`chaos.model.lab.Load` over a Locust process."""

    def __init__(self, process: subprocess.Popen[str], log: Path, metrics_url: str) -> None:
        self.metrics_url = metrics_url
        self._process = process
        self._log = log
        self._answers: queue.Queue[Answer | None] = queue.Queue()
        threading.Thread(target=self._read_answers, name="locust-answers", daemon=True).start()

    def prepare(self, traffic: Traffic) -> Links:
        """Create new links and follow each once."""
        self._send({"do": "prepare", "fresh": True, "traffic": asdict(traffic)})
        answer = self._expect("prepared", START_TIMEOUT_S + PREPARE_TIMEOUT_S)
        return Links(answer["codes"], answer["follows"], answer["targets"])

    def start(self, segment: int, traffic: Traffic, duration_s: float, seed: int) -> float:
        """Start a segment; return its start on the monotonic clock."""
        order = {"do": "start", "segment": segment, "traffic": asdict(traffic)}
        self._send({**order, "duration_s": duration_s, "seed": seed})
        return float(self._expect("started", PREPARE_TIMEOUT_S)["t_s"])

    def finished(self) -> Generator | None:
        """The generator's figures of the segment once every answer is in, `None` before."""
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            return None
        self._check(answer, "finished")
        assert answer is not None
        return Generator(**{name: answer[name] for name in Generator.__dataclass_fields__})

    def _send(self, order: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None

    def _expect(self, event: str, timeout_s: float) -> Answer:
        try:
            answer = self._answers.get(timeout=timeout_s)
        except queue.Empty:
            raise StackError(
                f"the load generator did not answer within {timeout_s:g} s; see {self._log}"
            ) from None
        self._check(answer, event)
        assert answer is not None
        return answer

    def _check(self, answer: Answer | None, event: str) -> None:
        if answer is None:
            raise self._died()
        if answer["event"] == "error":
            raise StackError(f"the load generator: {answer['message']}")
        if answer["event"] != event:
            raise StackError(f"the load generator answered {answer['event']!r}, not {event!r}")

    def _died(self) -> PartDied:
        return PartDied("load", _last_lines(self._log))

    def _read_answers(self) -> None:
        """Queue each line; None at the end of the stream, which ends a reader's wait."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put(None)
