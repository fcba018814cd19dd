"""A failover controller: watches the primary, closes its links, promotes a standby, leads them.

It decides by silence alone, so it cannot tell a primary that is cut off from one that is dead.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import psycopg

from chaos.failover.orders import LED, PROMOTED, SILENT, WATCHING, Candidate, Control
from chaos.failover.watchdog import wait_for
from chaos.model.evidence import PROMOTING
from chaos.model.stack import LinkState
from chaos.runtimes.server_queries import furthest_standby, promote, timeline
from chaos.runtimes.toxics import Toxics, ToxicsError

Report = Callable[..., None]
PERIOD_S = 0.05
LOOKS_S = 0.2
FIRST_ANSWER_S = 10.0
CONNECT_TIMEOUT_S = 2  # the minimum of libpq


class NeverAnswered(Exception):
    """The primary did not answer at the start."""


class Pulse:
    """Queries a server again and again on a thread that may hang; last answered at `last_s`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.last_s: float | None = None
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    def _beat(self) -> None:
        while True:
            try:
                with psycopg.connect(
                    self._url,
                    autocommit=True,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    sslmode="disable",
                    gssencmode="disable",
                ) as server:
                    while True:
                        server.execute("SELECT 1")
                        self.last_s = time.monotonic()
                        time.sleep(PERIOD_S)
            except psycopg.Error:
                time.sleep(PERIOD_S)


def control(order: Control, report: Report) -> None:
    """Watch until the primary is silent, then fail over, and keep its links led.

    Raises:
        NeverAnswered: the primary did not answer at the start.
        StackError: no candidate answers, it cannot be promoted, or a link not led.
    """
    wait_for_silence(Pulse(order.watched), order.detect_s, report)
    links = fence(order)
    report(PROMOTING)
    chosen = choice(order.candidates)
    with psycopg.connect(chosen.url, autocommit=True, sslmode="disable") as candidate:
        wait_for(candidate, "")  # nobody follows it yet, so its commits would wait without end
    promote(chosen.server, chosen.url)
    report(PROMOTED, server=chosen.server, timeline=timeline(chosen.url))
    lead(order, chosen, links)
    report(LED, links=order.leads)
    keep_led(order, chosen, links)


def wait_for_silence(pulse: Pulse, detect_s: float, report: Report) -> None:
    """Return once a server that answered has been silent for so long."""
    began_s = time.monotonic()
    while pulse.last_s is None:
        if time.monotonic() - began_s > FIRST_ANSWER_S:
            raise NeverAnswered(f"no answer of the primary within {FIRST_ANSWER_S:g} s")
        time.sleep(PERIOD_S / 5)
    report(WATCHING, detect_s=detect_s)
    while (silent_s := time.monotonic() - pulse.last_s) < detect_s:
        time.sleep(min(PERIOD_S / 5, detect_s - silent_s))
    report(SILENT, last_answer_s=pulse.last_s)


def choice(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate to promote: another one would lack what only this one has received."""
    furthest = furthest_standby({candidate.server: candidate.url for candidate in candidates})
    return next(candidate for candidate in candidates if candidate.server == furthest)


def fence(order: Control) -> Mapping[str, LinkState]:
    """Close the links that will be led, so that nobody reaches the old primary by them.

    Returns the state of all links before.
    """
    toxics = Toxics(order.toxiproxy)
    links = toxics.links()
    for link in order.leads:
        toxics.put(link, links[link].to, is_open=False)
    return links


def lead(order: Control, chosen: Candidate, links: Mapping[str, LinkState]) -> None:
    """Lead the links to the new primary; one that was closed before stays closed."""
    toxics = Toxics(order.toxiproxy)
    for link in order.leads:
        toxics.put(link, chosen.upstream, is_open=links[link].open)


def keep_led(order: Control, chosen: Candidate, links: Mapping[str, LinkState]) -> None:
    """Lead them again whenever they lead elsewhere, until this process is ended.

    Who killed the primary may be late to put back a link that it changed.
    """
    toxics = Toxics(order.toxiproxy)
    while order.leads:
        time.sleep(LOOKS_S)
        with suppress(ToxicsError):
            now = toxics.links()
            if any(now[link].to != chosen.upstream for link in order.leads):
                lead(order, chosen, links)
