"""The stack as the lab sees it: its parts and links, and what may be done to them."""

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
    """Where the lab finds the parts: directly for looking, by link for probing a fault."""

    url: str  # the shortener as a user meets it, through nginx
    web: Mapping[str, str]  # each web process by name, round nginx
    worker: str
    primary: str  # PostgreSQL DSN, round Toxiproxy
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
    """Whether a link lets connections through, and the toxics on it, a text each."""

    open: bool
    toxics: Sequence[str]


@dataclass(frozen=True)
class State:
    """How the parts and links of a stack are just now."""

    parts: Mapping[str, PartState]
    links: Mapping[str, LinkState]


class PartDied(Exception):
    """A part of the stack ended by itself: its name and the last lines of its log."""

    def __init__(self, part: str, last_lines: Sequence[str]) -> None:
        super().__init__(f"{part} died; its log ends:\n" + "\n".join(f"  {x}" for x in last_lines))
        self.part = part
        self.last_lines = tuple(last_lines)


class StackError(Exception):
    """The stack could not be started or reached; the message says what to do about it."""


class Stack(Protocol):
    """A running stack; nothing else differs between runtimes."""

    @property
    def endpoints(self) -> Endpoints:
        """Where its parts answer."""

    @property
    def can(self) -> frozenset[str]:
        """What may be done to it: `kill`, `pause`, `toxic`."""

    @property
    def versions(self) -> Mapping[str, str]:
        """The version of each part, for the record."""

    def configure(self, settings: Settings) -> None:
        """Restart web and worker with these settings, on an empty cache; ready on return."""

    def kill(self, part: str) -> None:
        """SIGKILL; the part stays down until `start`."""

    def pause(self, part: str) -> None:
        """SIGSTOP, until `resume`."""

    def resume(self, part: str) -> None:
        """SIGCONT."""

    def start(self, part: str) -> None:
        """Start a part that was killed, and return when it is ready."""

    def workdir(self, name: str) -> Path:
        """A folder for a helper process: what runs in it ends with the lab, however that ends."""

    def toxic(self, link: Link, kind: str, stream: str, **attributes: float) -> Undo:
        """Put a toxic on a link; the toxic is there when this returns."""

    def cut(self, link: Link) -> Undo:
        """Close a link: connections break, new ones are refused."""

    def state(self) -> State:
        """Every part and link as it is now."""

    def heal(self) -> None:
        """Open every link, remove every toxic, resume what is paused, start what is down."""

    def check(self) -> None:
        """Raise `PartDied` if a part ended that nobody killed."""


class Runtime(Protocol):
    """A way to bring the stack up."""

    @property
    def name(self) -> str:
        """`embedded` or `compose`."""

    def up(self, settings: Settings, logs: Path) -> AbstractContextManager[Stack]:
        """The stack, ready; on leaving, nothing of it is left behind."""
