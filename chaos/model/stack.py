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
PartName = Literal["primary", "replica", "redis", "toxiproxy", "nginx", "web-1", "web-2", "worker"]


@dataclass(frozen=True)
class Endpoints:
    """Addresses of the parts: direct ones to observe, those through links to probe a fault."""

    url: str  # the shortener as users reach it, through nginx
    web: Mapping[str, str]  # each web process by name, bypassing nginx
    worker: str
    primary: str  # PostgreSQL DSN, bypassing Toxiproxy
    replica: str
    redis: str
    toxiproxy: str
    links: Mapping[str, str]  # link name -> URL through Toxiproxy
    control: str | None = None  # of a lab that outlives its runs
    control_token: str | None = field(default=None, repr=False)
    prometheus: str | None = None
    grafana: str | None = None


PartState = Literal["up", "paused", "down"]


@dataclass(frozen=True)
class LinkState:
    """A link: open to connections or not, and its toxics, a text each."""

    open: bool
    toxics: Sequence[str]


@dataclass(frozen=True)
class State:
    """Current state of all parts and links."""

    parts: Mapping[str, PartState]
    links: Mapping[str, LinkState]


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

    @property
    def endpoints(self) -> Endpoints:
        """Addresses of its parts."""

    @property
    def can(self) -> frozenset[str]:
        """Abilities of this stack: `kill`, `pause`, `toxic`."""

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each part, for the record."""

    def configure(self, settings: Settings) -> None:
        """Restart web and worker with these settings and an empty cache; ready on return."""

    def keep_logs(self) -> None:
        """Have all that parts logged so far in the run's logs."""

    def kill(self, part: str) -> None:
        """SIGKILL; the part stays down until `start`."""

    def pause(self, part: str) -> None:
        """SIGSTOP, until `resume`."""

    def resume(self, part: str) -> None:
        """SIGCONT."""

    def start(self, part: str) -> None:
        """Start a part that was killed, and return when it is ready."""

    def workdir(self, name: str) -> Path:
        """A folder for a helper process, which ends with the lab, however that ends."""

    def toxic(self, link: Link, kind: str, stream: str, **attributes: float) -> Undo:
        """Put a toxic on a link; in force when this returns."""

    def cut(self, link: Link) -> Undo:
        """Close a link: break its connections, refuse new ones."""

    def state(self) -> State:
        """Current state of every part and link."""

    def heal(self) -> None:
        """Open every link, remove every toxic, resume what is paused, start what is down."""

    def check(self) -> None:
        """Raise `PartDied` if a part ended that was not killed by `kill`."""


class Runtime(Protocol):
    """A way to start the stack."""

    @property
    def name(self) -> str:
        """`embedded` or `compose`."""

    def up(self, settings: Settings, logs: Path) -> AbstractContextManager[Stack]:
        """Start the stack, ready on entry; remove all of it on exit."""
