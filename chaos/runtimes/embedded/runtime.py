"""The stack as plain processes from wheels: no Docker, no root needed, up in seconds."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from chaos.model.stack import (
    PartState,
    ServerHost,
    ServerName,
    Settings,
    Stack,
    StackError,
)
from chaos.runtimes import server_queries
from chaos.runtimes.base_stack import ALONE, BaseStack
from chaos.runtimes.embedded import postgres
from chaos.runtimes.embedded.binaries import has_patroni, postgres_install
from chaos.runtimes.embedded.bringup import bring_up
from chaos.runtimes.embedded.fork_client import ForkServerClient
from chaos.runtimes.embedded.guardian_client import Guardian, guarded
from chaos.runtimes.embedded.os_user import open_to, postgres_account, usable_install
from chaos.runtimes.embedded.part_commands import (
    PRELOADED,
    BuildContext,
    Ports,
    endpoints,
    environment,
    proxies,
    upstreams,
)
from chaos.runtimes.embedded.part_process import PartProcess, concurrently
from chaos.runtimes.embedded.ports import HOST, is_free, reserved
from chaos.runtimes.environment import clean_environment
from chaos.runtimes.part_clients import (
    empty_cache,
    http_status,
    nginx_version,
    postgres_version,
    redis_version,
    toxiproxy_version,
)
from chaos.runtimes.part_settings import of_the_shortener
from chaos.runtimes.topology import (
    NO_SUCH_PAGE,
    PARTS,
    ROLES,
    SERVERS,
    SHORTENER,
    link_port,
    port_names,
    restarted_by,
)
from chaos.runtimes.trouble import check_disk, readable


def abilities() -> frozenset[str]:
    """Abilities of the stack on this machine."""
    return BaseStack.can | ({"patroni"} if has_patroni() else frozenset())


class EmbeddedRuntime:
    """Runs the stack on this machine; `port` fixes the one that users meet, nginx's."""

    name = "embedded"

    def __init__(self, python: str = sys.executable, port: int | None = None) -> None:
        self._python = python
        self._port = port

    @property
    def can(self) -> frozenset[str]:
        """Abilities of the stack."""
        return abilities()

    @contextmanager
    def up(self, settings: Settings, logs: Path) -> Iterator[Stack]:
        """The stack, ready; each part's output is added to `logs/<part>.log`.

        Afterwards no process, port, folder or shared memory of it is left, however this ends,
        even if this process was killed.

        Raises:
            StackError: it cannot be brought up; the message says what to do.
            PartDied: a part ended while the others were started.
        """
        with reserved(port_names()) as ports, ExitStack() as ended:
            if self._port is not None:
                ports["nginx"] = _fixed(self._port)
            with self._guarded(logs) as guardian:
                with readable(guardian.folder):
                    stack = EmbeddedStack(self._context(guardian, logs, ports), guardian, settings)
                    ended.callback(stack.reap)
                    stack.bring_up()
                yield stack

    @contextmanager
    def _guarded(self, logs: Path) -> Iterator[Guardian]:
        with ExitStack() as entered:
            with readable(logs):
                logs.mkdir(parents=True, exist_ok=True)
                guardian = entered.enter_context(
                    guarded(self._python, clean_environment(), logs.resolve() / "guardian.log")
                )
            yield guardian

    def _context(self, guardian: Guardian, logs: Path, ports: Ports) -> BuildContext:
        account = postgres_account()
        open_to(account, guardian.folder)
        install = usable_install(postgres_install(), account, guardian.folder)
        return BuildContext(self._python, guardian.folder, logs.resolve(), ports, account, install)


class EmbeddedStack(BaseStack):
    """The stack as processes on this machine."""

    def __init__(self, context: BuildContext, guardian: Guardian, settings: Settings) -> None:
        super().__init__(endpoints(context.ports), context.folder, upstreams(context.ports))
        self.can = abilities()
        self._context = context
        self._guardian = guardian
        self._ports = context.ports
        self._initially = settings
        self._settings = dict(of_the_shortener(settings))
        self._parts: Mapping[str, PartProcess] = {name: self._made(name) for name in PARTS}
        self.forks = self._forkserver()
        for name in SHORTENER:
            self._parts[name].forks = self.forks

    def bring_up(self) -> None:
        """Start everything, and return when a request finds its way through.

        Raises:
            PartDied: a part that was ready ended, which makes others fail.
            StackError: the disk is full, or a part did not get ready.
        """
        try:
            bring_up(self._context.install, self._parts, self._ports, self._populate)
            self._wait_for_nginx()
            self._have_servers(self._initially)
            self._part_settings.apply(self._initially)
            self.versions = self._read_versions()
        except Exception:
            self.check()
            raise

    def _configure_shortener(self, settings: Settings) -> None:
        restarted = [self._parts[name] for name in restarted_by(self._settings, settings)]
        self._settings = dict(settings)
        for part in restarted:
            part.environment = environment(part.name, self._ports, settings)
        concurrently(*(part.stop for part in restarted))
        empty_cache(self.endpoints.redis)
        concurrently(*(part.start for part in restarted))
        self._wait_for_nginx()

    def pause(self, part: str) -> None:
        """SIGSTOP, until `resume`."""
        self._part(part).pause()

    def resume(self, part: str) -> None:
        """SIGCONT."""
        self._part(part).resume()

    def check(self) -> None:
        """Raise `PartDied` if a part ended unexpectedly, or the guardian did.

        Raises:
            StackError: the disk is full.
        """
        self._guardian.check()
        check_disk(self._folder)
        self.forks.check()
        for part in self._parts.values():
            part.check()

    def reap(self) -> None:
        """Wait for the end of every part, once the lab is swept."""
        for part in self._parts.values():
            part.reap()
        self.forks.reap()

    def _made(self, name: str) -> PartProcess:
        part = self._context.part(name, self._settings)
        part.meanwhile = self.check
        return part

    def _forkserver(self) -> ForkServerClient:
        """A fork server for the processes of the shortener, which restart with every arm."""
        log = self._context.logs / "forkserver.log"
        folder = self.workdir("forkserver")
        return ForkServerClient(self._context.python, [PRELOADED], folder, clean_environment(), log)

    @property
    def _servers(self) -> Sequence[ServerName]:
        return [server for server in SERVERS if server in self._parts]

    def _part_states(self) -> Mapping[str, PartState]:
        return {name: part.state() for name, part in self._parts.items()}

    def _kill(self, part: str) -> None:
        self._part(part).kill()

    def _halt(self, server: ServerName) -> None:
        part = self._part(server)
        if part.state() == "paused":
            part.resume()
        part.stop()

    def _start_alone(self, server: ServerName) -> None:
        self._part(server).start(*ALONE)

    def _start_as_standby(self, server: ServerName, primary: ServerName) -> None:
        part, ports = self._part(server), self._ports
        postgres.rewind(self._context.install, part, server, ports[primary])
        server_queries.flush(self.endpoints.servers[primary])
        postgres.start_standby(part, server, ports[server], ports[link_port("replication")])

    def _start_copy(self, server: ServerName, primary: ServerName) -> None:
        part, ports = self._made(server), self._ports
        postgres.back_up(self._context.install, part, server, ports[primary])
        self._parts = {**self._parts, server: part}
        postgres.start_standby(part, server, ports[server], ports[link_port("replication")])

    def _remove(self, server: ServerName) -> None:
        removed = self._parts[server]
        self._parts = {name: part for name, part in self._parts.items() if name != server}
        shutil.rmtree(removed.folder)

    def _start(self, part: str) -> None:
        self._part(part).start()
        if part == "toxiproxy":
            self._populate()

    def _wait_until_ready(self, part: str) -> None:
        self._part(part).wait_until_ready()

    def host(self, server: ServerName) -> ServerHost:
        """Where a server runs, for a program beside it."""
        account = self._context.account
        user = (account.uid, account.gid) if account else None
        return ServerHost(self._part(server).folder, self._context.install / "bin", user)

    def _part(self, target: str) -> PartProcess:
        return self._parts[self.part_of(target)]

    def _populate(self) -> None:
        self._toxics.populate(proxies(self._ports))

    def _wait_for_nginx(self) -> None:
        answered = partial(http_status, (HOST, self._ports["nginx"]), NO_SUCH_PAGE)
        self._parts["nginx"].wait_until(lambda: answered() == 404, "passed on a request")

    def _read_versions(self) -> dict[str, str]:
        return {
            "postgres": postgres_version((HOST, self._ports[ROLES["primary"]])),
            "redis": redis_version((HOST, self._ports["redis"])),
            "nginx": nginx_version(self._parts["nginx"].command[0]),
            "toxiproxy": toxiproxy_version((HOST, self._ports["toxiproxy"])),
            "python": platform.python_version(),
        }


def _fixed(port: int) -> int:
    if not is_free(port):
        raise StackError(f"port {port} is taken by another program: end it, or choose another port")
    return port
