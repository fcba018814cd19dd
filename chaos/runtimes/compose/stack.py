"""The stack as containers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from chaos.model.stack import (
    THIRD,
    Endpoints,
    PartDied,
    PartState,
    Role,
    ServerName,
    Settings,
    StackError,
)
from chaos.runtimes.base_stack import BaseStack
from chaos.runtimes.compose.containers import LAB, Containers
from chaos.runtimes.compose.settings_file import write_settings
from chaos.runtimes.embedded.part_process import concurrently
from chaos.runtimes.part_clients import (
    empty_cache,
    is_ready,
    is_web,
    postgres_version,
    redis_version,
    toxiproxy_version,
)
from chaos.runtimes.topology import (
    PARTS_AND_THIRD,
    ROLES,
    SERVERS,
    SETTING_PREFIX,
    SHORTENER,
    WEB,
    restarted_by,
)
from chaos.runtimes.trouble import TAIL_LINES

READY_S = 30.0
POLL_S = 0.02
OLD_WORKERS_S = 0.2
CHECK_EVERY_S = 0.5  # each look at the containers costs the engine some milliseconds
IN_A_ROW = 6  # good answers through nginx, so that each of its web processes gave some


class ComposeStack(BaseStack):
    """The containers of a running lab."""

    def __init__(self, containers: Containers, endpoints: Endpoints, folder: Path) -> None:
        super().__init__(
            endpoints, folder, {part: f"{part}:{port}" for part, port in PARTS_AND_THIRD.items()}
        )
        self._containers = containers
        self._has_third = False
        self._addresses = containers.addresses()
        self._settings: Settings | None = None
        self._killed: set[str] = set()
        self._looked_s = 0.0
        self.find_roles()  # an earlier run may have moved them
        self._part_settings.forget()

    def _configure_shortener(self, settings: Settings) -> None:
        """Restart web, and the worker if it has changed settings.

        Raises:
            StackError: a container's environment fixes one of them, which would win.
        """
        if fixed := settings.keys() & self._fixed():
            raise StackError(
                f"the lab in containers cannot set {', '.join(sorted(fixed))}: their environment "
                "(docker-compose.yml) fixes it; the embedded one can"
            )
        known = self._settings
        parts = SHORTENER if known is None else restarted_by(known, settings)
        self._settings = None  # unknown until they are in force
        concurrently(*(partial(self._containers.stop, part) for part in parts))
        empty_cache(self.endpoints.redis)
        write_settings(self._containers[LAB], settings)
        concurrently(*(partial(self._start, part) for part in parts))
        self._reload_nginx()
        self._settings = dict(settings)

    def pause(self, part: str) -> None:
        """Freeze the container, until `resume`."""
        self._containers.pause(self.part_of(part))

    def resume(self, part: str) -> None:
        """Let the container go on."""
        self._containers.resume(self.part_of(part))

    def start(self, part: str) -> None:
        """Start a part that was killed, and return when it is ready; a server may rejoin."""
        super().start(part)
        if part in (*WEB, "nginx"):
            self._reload_nginx()

    def heal(self) -> None:
        """Open every link, remove every toxic, resume what is paused, start what is down.

        Settings of the servers that another process left are put back.
        """
        super().heal()
        self._part_settings.follow_roles()
        self._reload_nginx()

    def check(self) -> None:
        """Raise `PartDied` if a container ended unexpectedly."""
        if time.monotonic() - self._looked_s < CHECK_EVERY_S:
            return
        self._looked_s = time.monotonic()
        for part, state in self._part_states().items():
            if state == "down" and part not in self._killed:
                raise PartDied(part, self._last_lines(part))

    def read_versions(self) -> None:
        """Read the version of every part."""
        self.versions = {
            "postgres": postgres_version(self._addresses[ROLES["primary"]]),
            "redis": redis_version(self._addresses["redis"]),
            "nginx": self._containers.exec("nginx", "nginx", "-v").rpartition("/")[2],
            "toxiproxy": toxiproxy_version(self._addresses["toxiproxy"]),
            "python": self._containers.exec(WEB[0], "python", "-V").removeprefix("Python "),
        }

    # --- containers ----------------------------------------------------------------------------

    def _fixed(self) -> set[str]:
        """The settings that the environment of a container has, where it wins over the file."""
        named = (name for part in SHORTENER for name in self._containers.environment(part))
        return {
            name.removeprefix(SETTING_PREFIX) for name in named if name.startswith(SETTING_PREFIX)
        }

    def find_roles(self) -> Mapping[Role, ServerName]:
        """Ask the servers who leads; another process may have had a third one join, or leave."""
        self._has_third = self._containers.is_used(THIRD)
        return super().find_roles()

    @property
    def _servers(self) -> Sequence[ServerName]:
        return SERVERS if self._has_third else [*ROLES.values()]

    def _part_states(self) -> Mapping[str, PartState]:
        states = self._containers.states().items()
        return {part: state for part, state in states if part != THIRD or self._has_third}

    def _kill(self, part: str) -> None:
        self._killed.add(part)
        self._containers.kill(part)

    def _halt(self, server: ServerName) -> None:
        self.resume(server)
        self._killed.add(server)
        self._containers.stop(server)

    def _start_alone(self, server: ServerName) -> None:
        self._containers.order(server, "alone")
        self._start(server)

    def _start_as_standby(self, server: ServerName, primary: ServerName) -> None:
        self._containers.order(server, f"follow {primary}")
        self._start(server)

    def _start_copy(self, server: ServerName, primary: ServerName) -> None:
        self._containers.order(server, f"copy {primary}")
        self._start(server)
        self._has_third = True

    def _remove(self, server: ServerName) -> None:
        """Take it that there is no such server: its data is erased when it joins again."""
        self._has_third = False
        self._killed.discard(server)

    def _start(self, part: str) -> None:
        self._containers.start(part)
        self._wait_until_ready(part)
        self._killed.discard(part)

    def _wait_until_ready(self, part: str) -> None:
        look_s = time.monotonic() + CHECK_EVERY_S

        def ready() -> bool:
            nonlocal look_s
            if is_ready(part, self._addresses[part]):
                return True
            if time.monotonic() >= look_s:
                look_s += CHECK_EVERY_S
                if self._containers.ended(part):
                    raise self._trouble(part, "ended before it was ready")
            return False

        self._wait(part, ready, "was ready")

    def _reload_nginx(self) -> None:
        """Have nginx resolve web containers anew: a restarted one may have another address.

        Its old workers accept connections for another 0.1 s, and close each after its answer.
        """
        self._containers.hang_up("nginx")
        time.sleep(OLD_WORKERS_S)
        self._wait("nginx", self._web_answers, "passed on requests")

    def _web_answers(self) -> bool:
        """True if several requests in a row reach a web process.

        Until nginx has resolved names anew, an old address may be another container's by now.
        """
        return all(is_web(self._addresses["nginx"]) for _ in range(IN_A_ROW))

    def _wait(self, part: str, reached: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + READY_S
        while not reached():
            if time.monotonic() > deadline:
                raise self._trouble(part, f"took more than {READY_S:g} s until it {what}")
            time.sleep(POLL_S)

    def _trouble(self, part: str, what: str) -> StackError:
        lines = "".join(f"\n  {line}" for line in self._last_lines(part))
        return StackError(f"{part} {what}; its log ends:{lines}")

    def _last_lines(self, part: str) -> Sequence[str]:
        return self._containers.last_lines(part, TAIL_LINES)
