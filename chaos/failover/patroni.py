"""Patroni: an agent beside each server, and the etcd that they agree by.

The leader holds a lease in etcd, which it renews each `loop_wait_s`. Once it has expired, for its
agent is dead or cut off, the agent of a standby takes it and promotes its server.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from chaos.failover.orders import FAILED, LED, PROMOTED, WATCHING
from chaos.failover.process import Event
from chaos.failover.watchdog import wait_for
from chaos.model.evidence import PROMOTING
from chaos.model.stack import ServerHost, ServerName, StackError
from chaos.runtimes.embedded import binaries
from chaos.runtimes.embedded.ports import HOST, reserved
from chaos.runtimes.environment import clean_environment
from chaos.runtimes.server_queries import timeline
from chaos.runtimes.topology import SUPERUSER

READY_S, ASK_S = 30.0, 2.0
POLL_S, LOOKS_S = 0.1, 0.02
LAST_LINES = 8
MEMORY = "patroni.dynamic.json"


@dataclass(frozen=True)
class Lease:
    """Patroni's times in seconds; it demands that `loop_wait_s` + 2 `retry_s` ≤ `ttl_s`."""

    ttl_s: int = 20  # Patroni takes no less
    loop_wait_s: int = 1
    retry_s: int = 3


@dataclass(frozen=True)
class Member:
    """A server that an agent is put beside: its URL, its address, and where it runs."""

    server: ServerName
    url: str
    address: str
    host: ServerHost


class PatroniProcesses:
    """etcd and the agents; `events` are those so far, by name, as a controller's of the lab's own.

    Agents take over servers that run, and change none of their files: Patroni's own configuration
    is in `workdir`, and replication stays as it is. An agent dies with its server.
    """

    def __init__(
        self,
        primary: Member,
        standbys: Mapping[ServerName, Member],
        lease: Lease,
        workdir: Path,
        on_event: Callable[[str], None],
    ) -> None:
        """Start them, and return when the primary holds the lease and the standbys follow.

        `on_event` is called with the name of each event, on another thread.

        Raises:
            StackError: they cannot be started, or do not become one cluster.
        """
        self.events: dict[str, Event] = {}
        self._standbys = standbys
        self._lease = lease
        self._workdir = workdir
        self._on_event = on_event
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ended = threading.Event()
        self._entered = ExitStack()
        self._watcher = threading.Thread(target=self._watch, name="patroni-events", daemon=True)
        self._members = [primary, *standbys.values()]
        self._forget()
        try:
            self._ports = self._entered.enter_context(
                reserved(["etcd", "peers", *(member.server for member in self._members)])
            )
            self._start_etcd()
            self._start_agent(primary, "leader")
            for standby in standbys.values():
                self._start_agent(standby, "replica")
        except BaseException:  # Ctrl-C, too: agents left at work would promote
            self.stop()
            raise
        self._report(WATCHING, ttl_s=lease.ttl_s)
        self._watcher.start()

    @property
    def said(self) -> str:
        """Its events, in words."""
        return ", ".join(self.events) or "Patroni said nothing"

    @property
    def runs(self) -> bool:
        """True while etcd is at work, and an agent."""
        at_work = [name for name, process in self._processes.items() if process.poll() is None]
        return "etcd" in at_work and len(at_work) > 1

    def stop(self) -> None:
        """Kill all of them: an agent that is asked to end would stop its server."""
        self._ended.set()
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
        if self._watcher.is_alive():
            self._watcher.join(READY_S)
        self._forget()
        self._entered.close()

    def _forget(self) -> None:
        """Remove what agents remember beside the data: the next ones would believe it."""
        for member in self._members:
            (member.host.data / MEMORY).unlink(missing_ok=True)

    def _watch(self) -> None:
        """Report the first promotion, and let the new primary's commits wait for nobody."""
        promoted = self._first_promoted()
        while promoted and not self._ended.wait(LOOKS_S):
            with suppress(psycopg.Error):
                return self._let_commit(promoted)

    def _first_promoted(self) -> Member | None:
        """Wait until a standby leads, and report since when at most; none if all is ended first."""
        seen_s = time.monotonic()
        while not self._ended.wait(LOOKS_S):
            looked_s = time.monotonic()
            for server, member in self._standbys.items():
                with suppress(psycopg.Error):
                    if number := timeline(member.url):
                        self._report(PROMOTING, t_s=seen_s)
                        self._report(PROMOTED, server=server, timeline=number)
                        return member
            seen_s = looked_s
        return None

    def _let_commit(self, member: Member) -> None:
        """Have a new primary's commits wait for nobody, as nobody follows it yet.

        In its synchronous mode Patroni does so in its own files, which the server does not read.
        """
        with psycopg.connect(member.url, autocommit=True, sslmode="disable") as primary:
            try:
                wait_for(primary, "")
            except StackError as error:
                return self._report(FAILED, why=str(error))
        self._report(LED)

    def _report(self, event: str, **data: Any) -> None:
        self.events = {**self.events, event: {"event": event, "t_s": time.monotonic(), **data}}
        try:
            self._on_event(event)
        except Exception as error:  # else it would end this thread unseen
            self.events = {**self.events, FAILED: {"why": f"{event}: {error}"}}

    def _start_etcd(self) -> None:
        clients, peers = (f"http://{HOST}:{self._ports[name]}" for name in ("etcd", "peers"))
        folder = self._folder("etcd")
        command = [
            str(binaries.etcd()), f"--data-dir={folder / 'data'}", "--name=one",
            f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=one={peers}", "--logger=zap", "--log-level=warn",
        ]  # fmt: skip
        self._start("etcd", command, folder)
        self._wait(lambda: _told(f"{clients}/health").get("health") == "true", "etcd: healthy")

    def _start_agent(self, member: Member, role: str) -> None:
        """Start it, and wait until it has this role in the cluster."""
        folder = self._folder(member.server)
        settings = folder / "patroni.json"
        settings.write_text(json.dumps(self._settings(member, folder), indent=1))
        # Patroni looks for it, and puts its own beside it: the server reads neither.
        shutil.copyfile(member.host.data / "postgresql.conf", folder / "postgresql.conf")
        if member.host.user:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, *member.host.user)
        command = [*_as(member.host), sys.executable, "-m", "patroni", str(settings)]
        self._start(member.server, command, member.host.data)
        self._wait(lambda: self._is(member, role), f"{member.server} is the {role}")

    def _start(self, name: str, command: Sequence[str], cwd: Path) -> None:
        with (self._workdir / name / "log").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=clean_environment(),
                start_new_session=True,
            )

    def _folder(self, name: str) -> Path:
        """An empty folder: a lease of before would count."""
        folder = self._workdir / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def _settings(self, member: Member, folder: Path) -> Mapping[str, Any]:
        everybody = {"username": SUPERUSER}
        rest = self._rest(member.server)
        return {
            "scope": "linkstorm",
            "name": member.server,
            "restapi": {"listen": rest, "connect_address": rest},
            "etcd3": {"hosts": f"{HOST}:{self._ports['etcd']}"},
            "bootstrap": {
                "dcs": {
                    "ttl": self._lease.ttl_s,
                    "loop_wait": self._lease.loop_wait_s,
                    "retry_timeout": self._lease.retry_s,
                    "primary_start_timeout": 0,
                    "ignore_slots": [{"type": "physical"}],
                }
            },
            "postgresql": {
                "listen": member.address,
                "connect_address": member.address,
                "data_dir": str(member.host.data),
                "config_dir": str(folder),
                "bin_dir": str(member.host.programs),
                "pgpass": str(folder / "pgpass"),
                "authentication": {
                    "superuser": everybody, "replication": everybody, "rewind": everybody,
                },
            },
        }  # fmt: skip

    def _rest(self, server: ServerName) -> str:
        return f"{HOST}:{self._ports[server]}"

    def _is(self, member: Member, role: str) -> bool:
        """True if the agent runs its server, and has that role in the cluster."""
        told = _told(f"http://{self._rest(member.server)}/cluster").get("members", [])
        own = [each for each in told if each["name"] == member.server]
        return any(e["role"] == role and e["state"] in ("running", "streaming") for e in own)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + READY_S
        while not condition():
            dead = [name for name, process in self._processes.items() if process.poll() is not None]
            if dead or time.monotonic() > end_s:
                raise StackError(f"not within {READY_S:g} s: {what}\n{self._last_lines()}")
            time.sleep(POLL_S)

    def _last_lines(self) -> str:
        lines: list[str] = []
        for name in self._processes:
            log = (self._workdir / name / "log").read_text(errors="replace")
            lines += [f"{name}:", *log.splitlines()[-LAST_LINES:]]
        return "\n".join(lines)


def _as(host: ServerHost) -> list[str]:
    """The start of a command that runs as the server's user, with the right to read our Python."""
    if host.user is None:
        return []
    if (setpriv := shutil.which("setpriv")) is None:
        raise StackError("Postgres refuses to run as root, and there is no setpriv: run as a user")
    rights = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    uid, gid = host.user
    return [setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *rights]


def _told(url: str) -> Mapping[str, Any]:
    """What a server answers, as JSON; nothing if it does not."""
    import requests  # slow to import, and every command imports the acts

    try:
        return dict(requests.get(url, timeout=ASK_S).json())
    except (requests.RequestException, ValueError):
        return {}
