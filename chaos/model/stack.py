"""The stack as the lab sees it: its parts and links, and the operations on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

Undo = Callable[[], None]
Settings = Mapping[str, str]
Link = Literal["cache", "primary", "replica", "queue", "worker-primary", "replication"]
ServerName = Literal["postgres-1", "postgres-2", "postgres-3"]
Role = Literal["primary", "replica", "standby"]  # of a server; a failover moves it to another one
FOLLOWERS: tuple[Role, ...] = ("replica", "standby")  # no link leads to the second: nobody reads it
PartName = Literal[ServerName, "redis", "toxiproxy", "nginx", "web-1", "web-2", "worker"]
Target = Literal[PartName, Role]  # what an act is aimed at: a part, or the server that has a role


@dataclass(frozen=True)
class Endpoints:
    """Addresses of the parts: direct ones to observe, those through links to probe a fault."""

    url: str  # the shortener as users reach it, through nginx
    web: Mapping[str, str]  # each web process by name, bypassing nginx
    worker: str
    servers: Mapping[ServerName, str]  # PostgreSQL DSN of each server, bypassing Toxiproxy
    primary: str  # the DSN of the server that has the role now, or had it last
    replica: str
    redis: str
    toxiproxy: str
    links: Mapping[str, str]  # link name -> URL through Toxiproxy
    control: str | None = None  # of a lab that outlives its runs
    control_token: str | None = field(default=None, repr=False)
    prometheus: str | None = None
    grafana: str | None = None
    standby: str | None = None  # of a stack with three servers


@dataclass(frozen=True)
class ServerHost:
    """Where a server runs: its data, Postgres' programs, and the user and group that it runs as.

    A program whose working folder is `data` is killed with the server, as on a machine of their
    own. `user` is None where it is that of this process.
    """

    data: Path
    programs: Path
    user: tuple[int, int] | None


PartState = Literal["up", "paused", "down"]


@dataclass(frozen=True)
class LinkState:
    """A link: open to connections or not, its toxics, a text each, and the part it leads to."""

    open: bool
    toxics: Sequence[str]
    to: str


@dataclass(frozen=True)
class State:
    """Current state of all parts and links."""

    parts: Mapping[str, PartState]
    links: Mapping[str, LinkState]


SERVER_COUNT = "topology:servers"  # the setting that asks for a number of database servers
THIRD: ServerName = "postgres-3"  # there only while an arm asks for three


def servers_asked(settings: Settings) -> int:
    """Return the number of database servers that these settings ask for.

    Raises:
        ValueError: it is neither two nor three.
    """
    given = settings.get(SERVER_COUNT, "2")
    if given not in ("2", "3"):
        raise ValueError(f"{SERVER_COUNT} is 2 or 3, not {given!r}")
    return int(given)


def roles_asked(settings: Settings) -> Sequence[Role]:
    """The roles that as many servers have."""
    return ("primary", *FOLLOWERS)[: servers_asked(settings)]


class PartDied(Exception):
    """A part of the stack exited unexpectedly; has its name and the last lines of its log."""

    def __init__(self, part: str, last_lines: Sequence[str]) -> None:
        super().__init__(f"{part} died; its log ends:\n" + "\n".join(f"  {x}" for x in last_lines))
        self.part = part
        self.last_lines = tuple(last_lines)


class StackError(Exception):
    """The stack could not be started or reached; the message names the remedy."""


class Stack(Protocol):
    """A running stack: all that differs between runtimes."""

    on_fork: Callable[[str], None]  # reads the fork of a server before `start` or `heal` erases it

    @property
    def endpoints(self) -> Endpoints:
        """Addresses of its parts as they are now: roles move, so look them up at each use."""

    @property
    def roles(self) -> Mapping[Role, ServerName]:
        """The server that has each role now; one that nobody has is missing.

        The standby is the second to follow, of a stack with three servers.
        """

    @property
    def can(self) -> frozenset[str]:
        """Abilities, those of its runtime."""

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each part, for the record."""

    def configure(self, settings: Settings) -> None:
        """Restart web and worker with these settings and an empty cache; ready on return.

        A third server joins, or leaves, as `topology:servers` says.
        """

    def keep_logs(self) -> None:
        """Have all that parts logged so far in the run's logs."""

    def part_of(self, target: str) -> PartName:
        """The part of that name, or the server that has that role now.

        Raises:
            StackError: there is no such part, or no server has the role.
        """

    def kill(self, part: str) -> None:
        """SIGKILL; the part stays down until `start`. What links still hold of it is lost."""

    def pause(self, part: str) -> None:
        """SIGSTOP, until `resume`."""

    def resume(self, part: str) -> None:
        """SIGCONT."""

    def start(self, part: str) -> None:
        """Start a part that was killed, and return when it is ready.

        A server that has lost its role meanwhile rejoins as replica.
        """

    def promote(self, server: ServerName) -> None:
        """Make the standby the primary; it takes writes on return, and the old one has no role.

        Raises:
            StackError: the server is no standby, or does not answer.
        """

    def furthest_standby(self) -> ServerName:
        """The server that follows and has received most, of those that answer.

        Raises:
            StackError: none answers.
        """

    def find_roles(self) -> Mapping[Role, ServerName]:
        """Ask the servers who leads, and take that as the roles: somebody else may have promoted.

        A server that does not answer within a second has no role.
        """

    def rejoin(self, server: ServerName, read_fork: Callable[[str], None]) -> None:
        """Bring a server back to follow the primary, and lead all links by role.

        `read_fork` gets the DSN of the server as it was when it lost its role, read-only and alone:
        the last chance to see the writes that only it has.

        Raises:
            StackError: the server is the primary, there is none, or it does not follow.
        """

    def restore(self) -> None:
        """Bring the servers and links back to plan: a primary that the others follow, links led by
        role, open, without toxics.

        Any server may have any role afterwards: all have the same configuration.
        """

    def workdir(self, name: str) -> Path:
        """A folder for a helper process, which ends with the lab, however that ends."""

    def toxic(self, link: Link, kind: str, stream: str, **attributes: float) -> Undo:
        """Put a toxic on a link; in force when this returns."""

    def cut(self, link: Link) -> Undo:
        """Close a link: break its connections, refuse new ones."""

    def cut_off(self, server: ServerName) -> Undo:
        """Close every link that leads to the server, which itself goes on running."""

    def lead(self, link: Link, server: ServerName) -> Undo:
        """Lead a link to that server from now on; its connections break."""

    def upstream(self, server: ServerName) -> str:
        """Where Toxiproxy reaches a server, for a process that leads links by itself."""

    def host(self, server: ServerName) -> ServerHost:
        """Where a server runs, for a program beside it.

        Raises:
            StackError: no other program can run there.
        """

    def state(self) -> State:
        """Current state of every part and link."""

    def heal(self) -> None:
        """Open every link, remove every toxic, resume what is paused, start what is down, and
        `restore` the servers.
        """

    def check(self) -> None:
        """Raise `PartDied` if a part ended that was not killed by `kill`."""


ABILITIES: Mapping[str, str] = {
    "kill": "every lab has it",
    "pause": "every lab has it",
    "sql": "every lab has it",
    "toxic": "every lab has it",
    "patroni": "the embedded lab has it, on Linux with requirements-dev.txt installed",
}


class Runtime(Protocol):
    """A way to start the stack."""

    @property
    def name(self) -> str:
        """`embedded` or `compose`."""

    @property
    def can(self) -> frozenset[str]:
        """Those of `ABILITIES` that its stacks have."""

    def up(self, settings: Settings, logs: Path) -> AbstractContextManager[Stack]:
        """Start the stack, ready on entry; remove all of it on exit."""
