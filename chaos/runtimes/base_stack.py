"""The part of a stack that is the same in both runtimes: its links, its state, its healing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from chaos.model.stack import Endpoints, Link, LinkState, PartState, Settings, State, Undo
from chaos.runtimes.embedded.part_process import concurrently
from chaos.runtimes.part_settings import PartSettings, of_the_shortener
from chaos.runtimes.topology import LINKS, SHORTENER
from chaos.runtimes.toxics import Toxics, ToxicsError


class BaseStack(ABC):
    """A stack whose links go through Toxiproxy."""

    can = frozenset({"kill", "pause", "sql", "toxic"})

    def __init__(self, endpoints: Endpoints, folder: Path) -> None:
        """`folder` is where other processes may work; it is for the caller to remove."""
        self.endpoints = endpoints
        self.versions: Mapping[str, str] = {}
        self._folder = folder
        self._toxics = Toxics(endpoints.toxiproxy)
        self._part_settings = PartSettings(endpoints)

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
        return self._toxics.cut(link)

    def state(self) -> State:
        """Every part and link as it is now; without Toxiproxy no link lets anything through."""
        parts = self._part_states()
        if parts["toxiproxy"] == "up":
            try:
                return State(parts, self._toxics.links())
            except ToxicsError:  # it was killed or paused just now
                pass
        return State(parts, {link: LinkState(open=False, toxics=()) for link in LINKS})

    def heal(self) -> None:
        """Open every link, remove every toxic, resume what is paused, start what is down.

        Every part is ready when this returns.
        """
        states = self._part_states()
        down = [part for part, state in states.items() if state == "down"]
        concurrently(*(partial(self.resume, part) for part in states))
        concurrently(*(partial(self._start, part) for part in down if part not in SHORTENER))
        self._toxics.reset()
        concurrently(*(partial(self._start, part) for part in down if part in SHORTENER))
        concurrently(*(partial(self._wait_until_ready, part) for part in states))

    def start(self, part: str) -> None:
        """Start a part that was killed, and return when it is ready; Toxiproxy with its links."""
        self._start(part)

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
    def _part_states(self) -> Mapping[str, PartState]: ...

    @abstractmethod
    def _start(self, part: str) -> None: ...

    @abstractmethod
    def _wait_until_ready(self, part: str) -> None: ...
