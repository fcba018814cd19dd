"""The links of a stack: which part each leads to, and what keeps it closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from chaos.model.stack import Link, LinkState, PartName, ServerName, StackError, Undo
from chaos.runtimes.topology import LINKS
from chaos.runtimes.toxics import Toxics

NOWHERE = "127.0.0.1:1"  # Toxiproxy's own host, where nothing listens
MOVES_S = 0.1  # Toxiproxy closes a link for a moment while it leads it elsewhere


@dataclass(frozen=True, eq=False)
class _Closure:
    """A reason why links are closed: one link is cut, or all that lead to a server."""

    link: Link | None = None
    server: ServerName | None = None

    def closes(self, link: str, to: str) -> bool:
        return link == self.link or to == self.server


class Links:
    """Changes of links, each with its undo. Thread-safe.

    A link is closed as long as anything closes it, and where it leads is asked of Toxiproxy:
    another process may have led it there.
    """

    def __init__(self, toxics: Toxics, addresses: Mapping[PartName, str]) -> None:
        """`addresses`: where Toxiproxy reaches each part that a link may lead to."""
        self._toxics = toxics
        self._addresses = addresses
        self._closures: list[_Closure] = []
        self._changing = threading.RLock()

    def upstream(self, to: str) -> str:
        """Where Toxiproxy reaches a part; an address is one already."""
        return next((at for part, at in self._addresses.items() if part == to), to)

    def state(self) -> dict[str, LinkState]:
        """Every link as it is now; one that is closed and should not be is read again."""
        state = self._toxics.links()
        if any(not now.open and self._is_open(link, now.to) for link, now in state.items()):
            time.sleep(MOVES_S)
            state = self._toxics.links()
        return state

    def cut(self, link: Link) -> Undo:
        """Close a link: its connections are dropped, and new ones refused, when this returns."""
        _known(link)
        return self._close(_Closure(link=link))

    def cut_off(self, server: ServerName) -> Undo:
        """Close every link while it leads to the server."""
        return self._close(_Closure(server=server))

    @contextmanager
    def severed(self, server: ServerName) -> Iterator[None]:
        """Lead every open link to the server nowhere meanwhile: what it holds is lost at once.

        It stays open, as a link to a dead server is: connections are taken, and end. Replication
        goes first: what is acknowledged from then on is lost, as it is when a server dies.
        """
        with self._changing:
            state = self.state()
            own = [link for link in LINKS if state[link].open and state[link].to == server]
            severed = sorted(own, key=lambda link: link != "replication")
            for link in severed:
                self._put(link, state[link], NOWHERE)
        try:
            yield
        finally:
            with self._changing:
                state = self.state()
                for link in severed:
                    if state[link].to == NOWHERE:
                        self._put(link, state[link], server)

    def lead(self, link: Link, server: ServerName) -> Undo:
        """Lead a link to the server; undoing leads it back, unless it leads elsewhere by then."""
        _known(link)
        with self._changing:
            before = self.state()[link]
            self._put(link, before, server)

        def undo() -> None:
            with self._changing:
                if (now := self.state()[link]).to == server:
                    self._put(link, now, before.to)

        return undo

    def lead_all(self, leads: Mapping[Link, PartName]) -> None:
        """Lead these links there; those that lead there already are left alone."""
        with self._changing:
            self._lead(leads)

    def reset(self) -> None:
        """Open every link, and remove every toxic; each leads where it led."""
        with self._changing:
            self._closures.clear()
            self._toxics.reset()

    def _close(self, closure: _Closure) -> Undo:
        with self._changing:
            self._closures.append(closure)
            self._settle(closure)

        def undo() -> None:
            with self._changing:
                if closure in self._closures:
                    self._closures.remove(closure)
                self._settle(closure)

        return undo

    def _settle(self, changed: _Closure) -> None:
        """Open or close the links that a closure is about."""
        for link, now in self.state().items():
            if changed.closes(link, now.to):
                self._put(link, now, now.to)

    def _lead(self, leads: Mapping[Link, PartName]) -> None:
        state = self.state()
        for link, to in leads.items():
            self._put(link, state[link], to)

    def _put(self, link: str, now: LinkState, to: str) -> None:
        is_open = self._is_open(link, to)
        if (to, is_open) != (now.to, now.open):
            self._toxics.put(link, self.upstream(to), is_open=is_open)

    def _is_open(self, link: str, to: str) -> bool:
        """True if nothing closes a link that leads there."""
        return not any(closure.closes(link, to) for closure in self._closures)


def _known(link: Link) -> None:
    if link not in LINKS:
        raise StackError(f"there is no link {link}: {', '.join(LINKS)}")
