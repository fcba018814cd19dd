"""The part of a stack that is the same in both runtimes: links, roles, state, healing."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from chaos.model.stack import (
    Endpoints,
    Link,
    LinkState,
    PartName,
    PartState,
    Role,
    ServerName,
    Settings,
    StackError,
    State,
    Undo,
)
from chaos.runtimes import server_queries
from chaos.runtimes.embedded.part_process import concurrently
from chaos.runtimes.links import Links
from chaos.runtimes.part_settings import PartSettings, of_the_shortener
from chaos.runtimes.server_roles import ServerRoles, told_by
from chaos.runtimes.topology import LINKS, ROLES, SERVERS, SHORTENER, led_by
from chaos.runtimes.toxics import Toxics, ToxicsError

# A server that is started to be read: it waits for no standby, and follows nobody. It is rewound
# afterwards, so nothing of it need be on disk; syncing all files would be most of its start.
ALONE = (
    *("-c", "fsync=off"),
    *("-c", "default_transaction_read_only=on"),
    *("-c", "synchronous_standby_names="),
    *("-c", "primary_conninfo="),
)
ALL_ANSWER_S, POLL_S = 30.0, 0.1
RECONNECTS_S = 6.0  # a standby whose link was black-holed; measured: 2 s


class BaseStack(ABC):
    """A stack whose links go through Toxiproxy."""

    can = frozenset({"kill", "pause", "sql", "toxic"})

    def __init__(
        self, endpoints: Endpoints, folder: Path, addresses: Mapping[PartName, str]
    ) -> None:
        """`folder` is where other processes may work; it is for the caller to remove.

        `addresses`: where Toxiproxy reaches each part.
        """
        self.versions: Mapping[str, str] = {}
        self.on_fork: Callable[[str], None] = lambda _: None
        self._at_first = endpoints
        self._folder = folder
        self._server_roles = ServerRoles()
        self._toxics = Toxics(endpoints.toxiproxy, {at: part for part, at in addresses.items()})
        self._links = Links(self._toxics, addresses)
        self._part_settings = PartSettings(self)

    @property
    def endpoints(self) -> Endpoints:
        """Addresses of its parts, as the roles are now."""
        last, servers = self._server_roles.last, self._at_first.servers
        return replace(
            self._at_first, primary=servers[last["primary"]], replica=servers[last["replica"]]
        )

    @property
    def roles(self) -> Mapping[Role, ServerName]:
        """The server that has each role now."""
        return self._server_roles.now

    def part_of(self, target: str) -> PartName:
        """The part of that name, or the server that has that role now."""
        return self._server_roles.part_of(target)

    def configure(self, settings: Settings) -> None:
        """Restart web, and the worker if it has changed settings, on an empty cache.

        `postgres:NAME` and `redis:NAME` are settings of those servers, changed as they run.
        """
        self._part_settings.apply(settings)
        self._configure_shortener(of_the_shortener(settings))

    def keep_logs(self) -> None:
        """Have all that parts logged so far in the run's logs, where they do not write it there."""
        return

    def toxic(self, link: Link, kind: str, stream: str, **attributes: float) -> Undo:
        """Put a toxic on a link; the toxic is there when this returns."""
        return self._toxics.add(link, kind, stream, attributes)

    def cut(self, link: Link) -> Undo:
        """Close a link: connections break, new ones are refused."""
        return self._links.cut(link)

    def cut_off(self, server: ServerName) -> Undo:
        """Close every link that leads to the server, which itself goes on running."""
        return self._links.cut_off(server)

    def lead(self, link: Link, server: ServerName) -> Undo:
        """Lead a link to that server from now on; its connections break."""
        return self._links.lead(link, server)

    def state(self) -> State:
        """Every part and link as it is now; without Toxiproxy no link lets anything through."""
        parts = self._part_states()
        if parts["toxiproxy"] == "up":
            try:
                return State(parts, self._links.state())
            except ToxicsError:  # it was killed or paused just now
                pass
        leads = led_by(self._server_roles.last)
        return State(parts, {link: LinkState(False, (), leads[link]) for link in LINKS})

    def heal(self) -> None:
        """Open every link, remove every toxic, resume what is paused, start what is down, and
        restore the servers.

        Every part is ready when this returns.
        """
        states = self._part_states()
        down = [part for part, state in states.items() if state == "down"]
        others = [part for part in down if part not in (*SHORTENER, *SERVERS)]
        concurrently(*(partial(self.resume, part) for part in states))
        concurrently(*(partial(self._start_again, part) for part in others))
        self.restore()
        concurrently(*(partial(self._start, part) for part in down if part in SHORTENER))
        concurrently(*(partial(self._wait_until_ready, part) for part in states))

    def kill(self, part: str) -> None:
        """SIGKILL all of a part; it stays down until `start`.

        What links still hold of a server dies with it: delivered later, its replica would have
        what a machine that lost its power never sent. They go first, as a kill takes a moment.
        """
        own = self.part_of(part)
        with ExitStack() as dying:
            for server in SERVERS:
                if server == own and self._part_states()["toxiproxy"] == "up":
                    dying.enter_context(self._links.severed(server))
            self._kill(own)

    def start(self, part: str) -> None:
        """Start a part that was killed, and return when it is ready; Toxiproxy with its links.

        A server that has lost its role rejoins.
        """
        own = self.part_of(part)
        for server in SERVERS:
            if server == own and self._server_roles.lost_by(server):
                self.rejoin(server, self.on_fork)
                return
        self._start_again(own)
        if own in SERVERS and own not in self.roles.values():
            self.find_roles()

    def _start_again(self, part: str) -> None:
        self._start(part)
        if part == "toxiproxy":
            self._links.lead_all(led_by(self._server_roles.last))

    # --- servers -------------------------------------------------------------------------------

    def promote(self, server: ServerName) -> None:
        """Make the standby the primary; it takes writes on return, and the old one has no role."""
        if self.part_of(server) not in SERVERS:
            raise StackError(f"{server} cannot be promoted: it is no server of Postgres")
        server_queries.promote(server, self.endpoints.servers[server])
        self._server_roles.put({"primary": server})
        self._part_settings.follow_roles()

    def find_roles(self) -> Mapping[Role, ServerName]:
        """Ask the servers who leads, and take that as the roles."""
        before = self.roles.get("primary")
        found = told_by(server_queries.timelines(self.endpoints.servers))
        self._server_roles.put(found)
        if found.get("primary") not in (None, before):
            self._part_settings.follow_roles()
        return found

    def rejoin(self, server: ServerName, read_fork: Callable[[str], None]) -> None:
        """Bring a server back as replica of the primary, and lead all links by role.

        Until it follows, no link leads to it: it may have what nobody else has.
        """
        primary = self._primary_for(server)
        servers = self.endpoints.servers
        self._server_roles.put({"primary": primary})
        self._links.lead_all(dict.fromkeys(_to_servers(), primary))
        self._halt(server)
        self._start_alone(server)
        try:
            read_fork(servers[server])
        finally:
            self._halt(server)
        server_queries.prepare_slot(servers[primary], server)
        server_queries.checkpoint(servers[primary])  # a rewound server replays from the last one
        self._start_as_standby(server, primary)
        server_queries.wait_until_it_follows(server, servers[server], servers[primary])
        server_queries.drop_unused_slots(servers[server])
        server_queries.checkpoint(servers[primary])
        self._server_roles.put({"primary": primary, "replica": server})
        self._links.lead_all(led_by(self.roles))
        self._part_settings.follow_roles()

    def restore(self) -> None:
        """Bring the servers and links back to plan, whoever promoted meanwhile.

        A server that is not the primary and does not follow it rejoins.
        """
        states = self._part_states()
        concurrently(*(partial(self.resume, server) for server in SERVERS))
        self._links.reset()
        primary = self._found_primary(states)
        for server in SERVERS:
            if server == primary:
                continue
            was_replica = self._server_roles.now.get("replica") == server
            if states[server] == "down" and was_replica:
                self._start(server)
            if not self._follows(server, primary):
                self._server_roles.put({"primary": primary})
                self.rejoin(server, self.on_fork)
            elif not was_replica:
                self._server_roles.put({"primary": primary, "replica": server})
        self._links.lead_all(led_by(self.roles))

    def _primary_for(self, server: str) -> ServerName:
        """The server that another one can rejoin."""
        if self.part_of(server) not in SERVERS:
            raise StackError(f"{server} cannot rejoin: it is no server of Postgres")
        primary = self.roles.get("primary")
        if primary is None:
            raise StackError(f"{server} cannot rejoin: no server is the primary now")
        if primary == server:
            raise StackError(f"{server} cannot rejoin: it is the primary")
        return primary

    def _found_primary(self, states: Mapping[str, PartState]) -> ServerName:
        """The server that leads, and takes writes now; if none does, the last one is started."""
        roles = told_by(self._timelines_of_all(states))
        known, found = self.roles.get("primary"), roles.get("primary")
        if known is not None and found not in (None, known) and states[known] == "down":
            self._start(known)  # it may lead a later timeline
            roles = told_by(self._timelines_of_all({**states, known: "up"}))
            found = roles.get("primary")
        if found is None:
            found = self._server_roles.likely_primary(roles.get("replica"))
            if states[found] == "down":
                self._start(found)
        server_queries.let_write(self.endpoints.servers[found])
        if self.roles.get("primary") != found:
            self._server_roles.put({"primary": found})
            self._part_settings.follow_roles()
        return found

    def _timelines_of_all(self, states: Mapping[str, PartState]) -> Mapping[ServerName, int]:
        """The timeline of each server that is not down, or 0.

        Raises:
            StackError: one does not answer; it may lead a later timeline than the others, and would
                be rewound.
        """
        deadline_s = time.monotonic() + ALL_ANSWER_S
        while True:
            told = server_queries.timelines(self.endpoints.servers)
            silent = [s for s in SERVERS if s not in told and states[s] != "down"]
            if not silent:
                return told
            if time.monotonic() > deadline_s:
                raise StackError(
                    f"{' and '.join(silent)} did not say within {ALL_ANSWER_S:g} s whether it "
                    "leads, so no server was made to follow another: its log may say why"
                )
            time.sleep(POLL_S)

    def _follows(self, server: ServerName, primary: ServerName) -> bool:
        servers = self.endpoints.servers
        try:
            server_queries.wait_until_it_follows(
                server, servers[server], servers[primary], RECONNECTS_S
            )
        except StackError:
            return False
        return True

    def workdir(self, name: str) -> Path:
        """A folder for another process."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder

    @abstractmethod
    def _configure_shortener(self, settings: Settings) -> None: ...

    @abstractmethod
    def resume(self, part: str) -> None:
        """Let a part go on that is paused."""

    @abstractmethod
    def _kill(self, part: str) -> None: ...

    @abstractmethod
    def _part_states(self) -> Mapping[str, PartState]: ...

    @abstractmethod
    def _start(self, part: str) -> None: ...

    @abstractmethod
    def _wait_until_ready(self, part: str) -> None: ...

    @abstractmethod
    def _halt(self, server: ServerName) -> None:
        """Stop a server, whatever state it is in, so that its data is consistent."""

    @abstractmethod
    def _start_alone(self, server: ServerName) -> None:
        """Start a stopped server read-only; it follows nobody, and waits for nobody."""

    @abstractmethod
    def _start_as_standby(self, server: ServerName, primary: ServerName) -> None:
        """Start a stopped server as standby, once it has nothing that the primary lacks."""


def _to_servers() -> list[Link]:
    """The links that lead to a server."""
    return [link for link, part in led_by(ROLES).items() if part in SERVERS]
