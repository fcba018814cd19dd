"""The part of a stack that is the same in both runtimes: links, roles, state, healing."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from chaos.model.stack import (
    FOLLOWERS,
    SERVER_COUNT,
    THIRD,
    Endpoints,
    Link,
    LinkState,
    PartName,
    PartState,
    Role,
    ServerHost,
    ServerName,
    Settings,
    StackError,
    State,
    Undo,
    servers_asked,
)
from chaos.runtimes import server_queries
from chaos.runtimes.embedded.part_process import concurrently
from chaos.runtimes.links import Links
from chaos.runtimes.part_settings import PartSettings, of_the_shortener
from chaos.runtimes.server_roles import ServerRoles, following, told_by
from chaos.runtimes.topology import LINKS, ROLES, SERVERS, SHORTENER, led_by
from chaos.runtimes.toxics import Toxics, ToxicsError

# A server that is started to be read: it waits for no standby, and follows nobody. It is rewound
# afterwards, so nothing of it need be on disk; syncing all files would be most of its start. The
# newest timeline, which it may have heard of, may not contain what it has.
ALONE = (
    *("-c", "fsync=off"),
    *("-c", "default_transaction_read_only=on"),
    *("-c", "synchronous_standby_names="),
    *("-c", "primary_conninfo="),
    *("-c", "recovery_target_timeline=current"),
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
        last, urls = self._server_roles.last, self._at_first.servers
        servers = {server: urls[server] for server in self._servers}
        standby = last.get("standby") if THIRD in servers else None
        return replace(
            self._at_first,
            servers=servers,
            primary=urls[last["primary"]],
            replica=urls[last["replica"]],
            standby=urls[standby] if standby else None,
        )

    @property
    def roles(self) -> Mapping[Role, ServerName]:
        """The server that has each role now."""
        return self._server_roles.now

    def part_of(self, target: str) -> PartName:
        """The part of that name, or the server that has that role now.

        Raises:
            StackError: there is none.
        """
        part = self._server_roles.part_of(target)
        if part == THIRD and THIRD not in self._servers:
            raise StackError(f"there is no {THIRD} now: {SERVER_COUNT}=3 asks for it")
        return part

    def configure(self, settings: Settings) -> None:
        """Restart web, and the worker if it has changed settings, on an empty cache.

        `postgres:NAME` and `redis:NAME` are settings of those servers, changed as they run, and
        `topology:servers` says how many databases there are.
        """
        self._have_servers(settings)
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

    def upstream(self, server: ServerName) -> str:
        """Where Toxiproxy reaches a server."""
        return self._links.upstream(server)

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
        others = [own for role, own in self.roles.items() if role in FOLLOWERS and own != server]
        self._put_roles({"primary": server, **following(others, self._server_roles.last)})

    def furthest_standby(self) -> ServerName:
        """The server that follows and has received most, of those that answer."""
        urls = self.endpoints.servers
        return server_queries.furthest_standby({own: urls[own] for own in self._followers()})

    def find_roles(self) -> Mapping[Role, ServerName]:
        """Ask the servers who leads, and take that as the roles."""
        told = server_queries.timelines(self.endpoints.servers)
        self._put_roles(told_by(told, self._server_roles.last))
        return self.roles

    def _put_roles(self, roles: Mapping[Role, ServerName]) -> None:
        """Have the servers these roles; what a primary must have, a new one gets."""
        before = self.roles.get("primary")
        self._server_roles.put(roles)
        primary = roles.get("primary")
        if primary in (None, before):
            return
        for role in FOLLOWERS:
            if role in roles:
                server_queries.prepare_slot(self.endpoints.primary, roles[role])
        self._part_settings.follow_roles()

    def rejoin(self, server: ServerName, read_fork: Callable[[str], None]) -> None:
        """Bring a server back to follow the primary, and lead all links by role.

        Until it follows, no link leads to it: it may have what nobody else has.
        """
        primary = self._primary_for(server)
        servers = self.endpoints.servers
        self._server_roles.drop(server)
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
        self._have_lead(primary, [*self._followers(), server])

    def restore(self) -> None:
        """Bring the servers and links back to plan, whoever promoted meanwhile.

        A server that is not the primary and does not follow it rejoins.
        """
        states = self._part_states()
        concurrently(*(partial(self.resume, server) for server in self._servers))
        self._links.reset()
        primary = self._found_primary(states)
        others = [server for server in self._servers if server != primary]
        down = [server for server in self._followers() if states[server] == "down"]
        concurrently(*(partial(self._start, server) for server in down))
        self._links.lead_all({"replication": primary})
        for server in others:
            server_queries.prepare_slot(self.endpoints.primary, server)
            if not self._follows(server, primary):
                self.rejoin(server, self.on_fork)
        self._have_lead(primary, others)

    def _followers(self) -> Sequence[ServerName]:
        """The servers that have the role of one that follows."""
        return [self.roles[role] for role in FOLLOWERS if role in self.roles]

    def _have_lead(self, primary: ServerName, followers: Sequence[ServerName]) -> None:
        """Take it that these follow the primary, and lead all links by role."""
        before = self.roles
        roles = {"primary": primary, **following(followers, self._server_roles.last)}
        self._server_roles.put(roles)
        self._links.lead_all(led_by(roles))
        if roles != before:
            self._part_settings.follow_roles()

    # --- a third server ------------------------------------------------------------------------

    def _have_servers(self, settings: Settings) -> None:
        """Have the third server join, or leave, as these settings ask.

        Raises:
            StackError: they ask for another number.
        """
        try:
            wanted = servers_asked(settings)
        except ValueError as wrong:
            raise StackError(str(wrong)) from wrong
        if wanted > len(self._servers):
            self._join(THIRD)
        elif wanted < len(self._servers):
            self._leave(THIRD)

    def _join(self, server: ServerName) -> None:
        """Start a server as a copy of the primary, which follows it."""
        self.restore()
        primary = self.roles["primary"]
        server_queries.prepare_slot(self.endpoints.primary, server)
        self._start_copy(server, primary)
        servers = self.endpoints.servers
        server_queries.wait_until_it_follows(server, servers[server], servers[primary])
        self._have_lead(primary, [*self._followers(), server])

    def _leave(self, server: ServerName) -> None:
        """Remove a server; if it leads, its replica does from now on, with all that it has."""
        self.restore()
        if self.roles["primary"] == server:
            self._halt(server)  # in order: it sends the last of its log to those that follow
            self.promote(self.roles["replica"])
        else:
            self._halt(server)
        primary = self.roles["primary"]
        self._have_lead(primary, [own for own in self._followers() if own != server])
        server_queries.drop_slot(self.endpoints.primary, server)
        self._remove(server)
        self.restore()

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
        roles = self._told_by_all(states)
        known, found = self.roles.get("primary"), roles.get("primary")
        if known is not None and found not in (None, known) and states[known] == "down":
            self._start(known)  # it may lead a later timeline
            roles = self._told_by_all({**states, known: "up"})
            found = roles.get("primary")
        if found is None:
            found = self._server_roles.likely_primary(self._servers, [*roles.values()])
            if states[found] == "down":
                self._start(found)
        server_queries.let_write(self.endpoints.servers[found])
        if self.roles.get("primary") != found:
            self._put_roles({"primary": found})
        return found

    def _told_by_all(self, states: Mapping[str, PartState]) -> Mapping[Role, ServerName]:
        """The roles that all servers tell which are not down.

        Raises:
            StackError: one does not answer; it may lead a later timeline than the others, and would
                be rewound.
        """
        deadline_s = time.monotonic() + ALL_ANSWER_S
        while True:
            told = server_queries.timelines(self.endpoints.servers)
            silent = [s for s in self._servers if s not in told and states[s] != "down"]
            if not silent:
                return told_by(told, self._server_roles.last)
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

    def host(self, server: ServerName) -> ServerHost:
        """Where a server runs.

        Raises:
            StackError: no other program can run there.
        """
        raise StackError(f"no program can run beside {server} in this lab: --runtime embedded")

    def workdir(self, name: str) -> Path:
        """A folder for another process."""
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder

    @property
    @abstractmethod
    def _servers(self) -> Sequence[ServerName]:
        """The servers that there are now."""

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

    @abstractmethod
    def _start_copy(self, server: ServerName, primary: ServerName) -> None:
        """Start a server that there was not, as standby with a copy of the primary's data."""

    @abstractmethod
    def _remove(self, server: ServerName) -> None:
        """Remove a stopped server."""


def _to_servers() -> list[Link]:
    """The links that lead to a server."""
    return [link for link, part in led_by(ROLES).items() if part in SERVERS]
