"""The load generator of one process: prepares links, runs segments, writes the record."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

import gevent  # type: ignore[import-untyped]

from chaos.model.arrivals import arrivals
from chaos.model.evidence import Generator
from chaos.model.traffic import Traffic
from scenarios.generator.dispatcher import Dispatcher
from scenarios.generator.http_client import HttpClient
from scenarios.generator.live_metrics import LiveMetrics
from scenarios.generator.open_loop import Exchange
from scenarios.generator.request_log import RequestLog
from scenarios.generator.traffic_links import PrepareError, TrafficLinks
from scenarios.generator.visit_dispatcher import VisitDispatcher
from scenarios.generator.visits import Visits, is_plain

log = logging.getLogger(__name__)

LEAD_S = 0.02
UPKEEP_S = 1.0
QUIET_IN_FLIGHT = 500


@dataclass(frozen=True)
class SegmentTask:
    """A stretch of traffic, of which this process sends `stream` of `streams`."""

    number: int
    traffic: Traffic
    duration_s: float
    seed: int
    stream: int = 0
    streams: int = 1


class SegmentRunner:
    """Runs segments one after the other, with the same links, connections and metrics."""

    def __init__(
        self,
        client: HttpClient,
        live: LiveMetrics,
        request_log: RequestLog | None,
        max_in_flight: int,
        report: Callable[[Exchange], None],
    ) -> None:
        self.links = TrafficLinks(client)
        self._client = client
        self._live = live
        self._request_log = request_log
        self._max_in_flight = max_in_flight
        self._report = report
        gevent.spawn(self._upkeep)

    def run(
        self,
        segment: SegmentTask,
        started: Callable[[float], None] = lambda _: None,
        ended: Callable[[Generator], None] = lambda _: None,
    ) -> Generator:
        """Send a segment's requests, wait for all answers, and return the generator's figures.

        `started` gets the first moment; `PrepareError` if there are too few links. When killed, it
        stops sending, still waits for the answers, and passes the figures only to `ended`.
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
        _pause_garbage_collection()
        started_s = monotonic() + LEAD_S
        started(started_s)
        try:
            dispatcher.run(batches, started_s, started_s + segment.duration_s)
            gevent.sleep(max(0.0, started_s + segment.duration_s - monotonic()))
        finally:
            dispatcher.drain()
            self._flush()
            summary = dispatcher.counts.summary()
            log.info("segment %d: %s", segment.number, summary)
            ended(summary)
        return summary

    def _dispatcher(self, segment: SegmentTask) -> Dispatcher | VisitDispatcher:
        observers = [self._live.observe, self._report]
        codes, traffic = self.links.codes, segment.traffic
        if self._request_log is not None:
            observers.append(self._request_log.observer(segment.number, codes))
        limits = traffic.timeout_s, self._max_in_flight, observers
        dispatcher: Dispatcher | VisitDispatcher
        if is_plain(traffic):
            dispatcher = Dispatcher(self._client, self.links.requests(), *limits)
        else:
            visits = Visits(
                self._client,
                traffic,
                codes,
                segment.seed,
                stream=segment.stream,
                streams=segment.streams,
            )
            dispatcher = VisitDispatcher(self._client, visits, *limits)
        self._live.follow(dispatcher.counts)
        return dispatcher

    def _upkeep(self) -> None:
        while True:
            gevent.sleep(UPKEEP_S)
            self._flush()
            if not gc.isenabled() and self._live.in_flight < QUIET_IN_FLIGHT:
                gc.collect(1)

    def _flush(self) -> None:
        if self._request_log is not None:
            self._request_log.flush()


def _pause_garbage_collection() -> None:
    """Turn the garbage collector off: a full collection would stall every request.

    Reference counts free nearly everything; `_upkeep` collects the rest while few are in flight.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
