"""Two Postgres servers under Patroni, and the etcd that their agents agree by."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

from chaos.model.stack import StackError
from chaos.runtimes.embedded.binaries import postgres_install
from chaos.runtimes.embedded.guardian_client import guarded
from chaos.runtimes.embedded.lab_processes import members
from chaos.runtimes.embedded.os_user import OsUser, open_to, postgres_account, usable_install
from chaos.runtimes.embedded.ports import HOST, reserved
from chaos.runtimes.environment import clean_environment

Process = subprocess.Popen[bytes]

NAMES = ("postgres-1", "postgres-2")
USER = "postgres"
READY_S, POLL_S, ASK_S = 60.0, 0.1, 2.0


@dataclass(frozen=True)
class Times:
    """Patroni's times in seconds; it demands that `loop_wait` + 2 `retry_timeout` ≤ `ttl`."""

    ttl: int = 20  # Patroni takes no less
    loop_wait: int = 1
    retry_timeout: int = 3


@dataclass
class Agent:
    """A Patroni agent and its server of Postgres, each in a folder of its own."""

    name: str
    port: int
    rest_port: int
    folder: Path
    data: Path
    command: Sequence[str]
    started: list[Process]

    def start(self) -> None:
        """Start the agent, which starts its server."""
        _start(self.command, self.folder, self.folder / "patroni.log", self.started)

    def state(self) -> Mapping[str, Any]:
        """The agent's own status; empty if it does not answer."""
        try:
            answer = requests.get(f"http://{HOST}:{self.rest_port}/patroni", timeout=ASK_S)
            return dict(answer.json())
        except (requests.RequestException, ValueError):
            return {}

    def leads(self) -> bool:
        """True if its server takes writes."""
        state = self.state()
        return state.get("role") in ("primary", "master") and state.get("state") == "running"

    def follows(self) -> bool:
        """True if its server streams from the leader."""
        return self.state().get("replication_state") == "streaming"

    def kill(self) -> None:
        """Kill the agent, which would start its server again, then all processes of that."""
        for process in [*members(self.folder), *members(self.data)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()


@dataclass
class Cluster:
    """The agents of both servers."""

    agents: Sequence[Agent]

    @property
    def conninfo(self) -> str:
        """Connects to whichever server takes writes."""
        ports = ",".join(str(agent.port) for agent in self.agents)
        hosts = ",".join(HOST for _ in self.agents)
        return (
            f"host={hosts} port={ports} user={USER} dbname=postgres "
            "target_session_attrs=read-write connect_timeout=2"
        )

    def leader(self) -> Agent:
        """The one agent whose server takes writes."""
        return next(agent for agent in self.agents if agent.leads())

    def wait_until_whole(self) -> None:
        """Return once one server leads and the other streams from it."""
        self.wait(
            lambda: (
                sorted((a.leads(), a.follows()) for a in self.agents)
                == [(False, True), (True, False)]
            ),
            "one server led and the other streamed",
        )

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Return once it is so; raise `StackError` with the agents' last lines if it never is."""
        end_s = time.monotonic() + READY_S
        while not condition():
            if time.monotonic() > end_s:
                ends = "\n".join(_end_of(a.folder / "patroni.log") for a in self.agents)
                raise StackError(f"not within {READY_S:g} s: {what}\n{ends}")
            time.sleep(POLL_S)


def _end_of(log: Path, lines: int = 8) -> str:
    text = log.read_text(errors="replace") if log.exists() else "no log"
    return "\n".join([f"{log.parent.name}:", *text.splitlines()[-lines:]])


@contextmanager
def cluster(times: Times, logs: Path) -> Iterator[Cluster]:
    """Start etcd, then both agents; at the end nothing of them is left, however it ends.

    Raises:
        StackError: they cannot be started here, or do not become one cluster.
    """
    account = postgres_account()
    names = ["etcd", "etcd-peers", *NAMES, *(f"{name} rest" for name in NAMES)]
    with (
        reserved(names) as ports,
        _reaped() as started,
        guarded(sys.executable, clean_environment(), logs / "guardian.log") as guardian,
    ):
        folder = guardian.folder
        open_to(account, folder)
        bin_dir = usable_install(postgres_install(), account, folder) / "bin"
        _start_etcd(folder / "etcd", ports["etcd"], ports["etcd-peers"], started)
        agents = [_agent(name, folder, ports, bin_dir, times, account, started) for name in NAMES]
        whole = Cluster(agents)
        agents[0].start()
        whole.wait(agents[0].leads, f"{agents[0].name} led")
        agents[1].start()
        whole.wait_until_whole()
        yield whole


@contextmanager
def _reaped() -> Iterator[list[Process]]:
    """A list of processes that others end: they are waited for."""
    started: list[Process] = []
    try:
        yield started
    finally:
        for process in started:
            process.wait(READY_S)


def _start(command: Sequence[str], folder: Path, log: Path, started: list[Process]) -> Process:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            cwd=folder,
            env=clean_environment(),
            start_new_session=True,
        )
    started.append(process)
    return process


def _agent(
    name: str,
    lab: Path,
    ports: Mapping[str, int],
    bin_dir: Path,
    times: Times,
    account: OsUser | None,
    started: list[Process],
) -> Agent:
    folder, data = lab / f"{name}-agent", lab / name
    for each in (folder, data):
        each.mkdir(mode=0o700)
    settings = _settings(name, folder, data, ports, bin_dir, times)
    (folder / "patroni.json").write_text(json.dumps(settings, indent=1))
    if account is not None:
        account.give(folder)
        account.give(data)
    command = _command(account, folder)
    return Agent(name, ports[name], ports[f"{name} rest"], folder, data, command, started)


def _command(account: OsUser | None, folder: Path) -> list[str]:
    """The agent's command; as another user than root, which keeps the right to read our Python."""
    command = [sys.executable, "-m", "patroni", str(folder / "patroni.json")]
    if account is None:
        return command
    if (setpriv := shutil.which("setpriv")) is None:
        raise StackError("Postgres refuses to run as root, and there is no setpriv: run as a user")
    rights = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    user = [f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
    return [setpriv, *user, *rights, *command]


def _settings(
    name: str,
    folder: Path,
    data: Path,
    ports: Mapping[str, int],
    bin_dir: Path,
    times: Times,
) -> dict[str, Any]:
    rest, server = f"{HOST}:{ports[f'{name} rest']}", f"{HOST}:{ports[name]}"
    everybody = {"username": USER}
    return {
        "scope": "linkstorm",
        "name": name,
        "restapi": {"listen": rest, "connect_address": rest},
        "etcd3": {"hosts": f"{HOST}:{ports['etcd']}"},
        "bootstrap": {
            "dcs": {
                "ttl": times.ttl,
                "loop_wait": times.loop_wait,
                "retry_timeout": times.retry_timeout,
                "primary_start_timeout": 0,
                "postgresql": {
                    "use_pg_rewind": True,
                    "use_slots": True,
                    "parameters": {
                        "wal_keep_size": "256MB",
                        "autovacuum": "off",
                    },
                },
            },
            "initdb": [{"encoding": "UTF8"}, "no-locale", {"auth": "trust"}],
        },
        "postgresql": {
            "listen": server,
            "connect_address": server,
            "data_dir": str(data),
            "bin_dir": str(bin_dir),
            "pgpass": str(folder / "pgpass"),
            "pg_hba": [f"host {who} all {HOST}/32 trust" for who in ("all", "replication")],
            "authentication": {
                "superuser": everybody, "replication": everybody, "rewind": everybody,
            },
            "parameters": {"unix_socket_directories": "", "dynamic_shared_memory_type": "mmap"},
        },
    }  # fmt: skip


def _start_etcd(folder: Path, port: int, peers_port: int, started: list[Process]) -> None:
    """Start a single etcd that listens on this machine only."""
    program = Path(sys.executable).with_name("etcd")
    if not program.exists():
        raise StackError(f"{program} is missing: install requirements-dev.txt (on Linux)")
    folder.mkdir()
    clients, peers = f"http://{HOST}:{port}", f"http://{HOST}:{peers_port}"
    command = [
        str(program), f"--data-dir={folder / 'data'}", "--name=one",
        f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=one={peers}", "--logger=zap", "--log-level=warn",
    ]  # fmt: skip
    log = folder / "etcd.log"
    process = _start(command, folder, log, started)
    end_s = time.monotonic() + READY_S
    while not _is_well(clients):
        if process.poll() is not None or time.monotonic() > end_s:
            raise StackError(f"etcd does not start\n{_end_of(log)}")
        time.sleep(POLL_S)


def _is_well(url: str) -> bool:
    try:
        return bool(requests.get(f"{url}/health", timeout=ASK_S).json()["health"] == "true")
    except (requests.RequestException, ValueError, KeyError):
        return False
