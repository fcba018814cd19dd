"""One crowd of visitors in one process: prepares links, runs segments, keeps the record."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import gevent  # type: ignore[import-untyped]

from chaos.model.evidence import Generator
from chaos.model.experiment import Traffic
from scenarios.generator.arrivals import arrivals
from scenarios.generator.dispatcher import Dispatcher, Exchange
from scenarios.generator.live_metrics import Live
from scenarios.generator.request_log import RequestLog
from scenarios.generator.traffic_links import PrepareError, TrafficLinks
from scenarios.generator.wire import Wire

log = logging.getLogger(__name__)

LEAD_S = 0.02
UPKEEP_S = 1.0
QUIET = 500


@dataclass(frozen=True)
class SegmentTask:
    """A stretch of traffic; `stream` of `streams` is this process's part of it."""

    number: int
    traffic: Traffic
    duration_s: float
    seed: int
    stream: int = 0
    streams: int = 1


class Crowd:
    """Everything a segment needs, kept from one to the next."""

    def __init__(
        self,
        wire: Wire,
        live: Live,
        history: RequestLog | None,
        max_in_flight: int,
        report: Callable[[Exchange], None],
    ) -> None:
        self.links = TrafficLinks(wire)
        self._wire = wire
        self._live = live
        self._history = history
        self._max_in_flight = max_in_flight
        self._report = report
        gevent.spawn(self._upkeep)

    def run(
        self,
        segment: SegmentTask,
        started: Callable[[float], None] = lambda _: None,
        ended: Callable[[Generator], None] = lambda _: None,
    ) -> Generator:
        """Send all of a segment, wait for all answers, and say how the generator did.

        `started` is told the first moment; `PrepareError` if there are too few links. Killed, it
        stops sending, still waits for the answers, and says it only to `ended`.
        """
        keys, links = segment.traffic.keys, len(self.links.codes)
        if keys > links:
            raise PrepareError(f"{keys} keys but {links} links: prepare first")
        dispatcher = self._dispatcher(segment)
        batches = arrivals(
            segment.traffic,
            segment.duration_s,
            segment.seed,
            stream=segment.stream,
            streams=segment.streams,
        )
        _no_collections()
        started_s = monotonic() + LEAD_S
        started(started_s)
        try:
            dispatcher.run(batches, started_s)
            gevent.sleep(max(0.0, started_s + segment.duration_s - monotonic()))
        finally:
            dispatcher.drain()
            self._flush()
            summary = dispatcher.tally.summary()
            log.info("segment %d: %s", segment.number, summary)
            ended(summary)
        return summary

    def _dispatcher(self, segment: SegmentTask) -> Dispatcher:
        observers = [self._live.observe, self._report]
        if self._history is not None:
            observers.append(self._history.observer(segment.number, self.links.codes))
        dispatcher = Dispatcher(
            self._wire,
            self.links.requests(),
            segment.traffic.timeout_s,
            self._max_in_flight,
            observers,
        )
        self._live.follow(dispatcher.tally)
        return dispatcher

    def _upkeep(self) -> None:
        while True:
            gevent.sleep(UPKEEP_S)
            self._flush()
            if not gc.isenabled() and self._live.in_flight < QUIET:
                gc.collect(1)

    def _flush(self) -> None:
        if self._history is not None:
            self._history.flush()


def _no_collections() -> None:
    """Keep the garbage collector out of the way: a full pass would stall every request.

    Reference counts free nearly everything; `_upkeep` picks up the rest while few are in flight.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
