"""One measurement of one arm: throughput at saturation, then latency at half of that rate."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from chaos.perf.cores import Cores, Spent, rss_mb, spent
from tools.bench.arms import BenchArm
from tools.bench.figures import Repeat, quantile
from tools.bench.load_client import LoadClient, LoopOutcome
from tools.bench.server_bed import MeasuredServer

_OPEN_CONNECTIONS = 256
_WARM_UP_S = 30.0  # at most
_WARM_SHARE, _WARM_TIMES = 0.25, 20  # of the time for measuring
_FULL, _BUSY = 0.97, 0.90  # of a core
_FOREIGN = 0.10
_MOST_RPS = 30_000.0  # of the open loop, which is late with more
_LATE_S, _LATE_SHARE = 0.002, 0.01
_TRIES = 3  # at half load, for one that is not late
_SLICE_S = 0.125  # of saturation, each beside one of the bare server
_SLICES_MIN = 8


@dataclass(frozen=True)
class Shares:
    """Shares of CPU time during a measurement."""

    server: float  # by the server, of its core
    foreign: float  # by others, of the server's core
    others: float  # of the other cores

    @classmethod
    def between(cls, before: Spent, after: Spent, seconds: float, cores: Cores) -> Shares:
        """Return the shares between two readings."""
        server_s = after.server_s - before.server_s
        core_s = after.server_core_s - before.server_core_s
        idle_s = after.others_idle_s - before.others_idle_s
        return cls(
            server=server_s / seconds,
            foreign=max(0.0, core_s - server_s) / seconds,
            others=1 - idle_s / seconds / len(cores.others),
        )


@dataclass(frozen=True)
class Slice:
    """A slice of the time at saturation, and the use of the cores in it."""

    outcome: LoopOutcome
    seconds: float  # of load
    shares: Shares
    server_s: float  # of CPU

    @property
    def rps(self) -> float:
        """Expected responses a second."""
        return self.outcome.in_time / self.seconds


class ServerUnderLoad:
    """A server of an arm, and the arm's sequence of requests."""

    def __init__(self, arm: BenchArm, server: MeasuredServer, cores: Cores) -> None:
        self.arm = arm
        self.server = server
        self._cores = cores
        self._requests = arm.requests()

    def client(self, most: int | None = None) -> LoadClient:
        """Return a client for the next `most` requests."""
        requests = itertools.islice(self._requests, most)
        return LoadClient(self.server.address, requests, self.arm.expected)

    def warm_up(self, seconds: float) -> None:
        """Send requests until all links are cached that should be."""
        first = self.client(self.arm.warm_up)
        with first.connected(self.arm.connections):
            first.closed(_WARM_UP_S)
        for _ in range(_WARM_TIMES):
            warming = self.client()
            with warming.connected(self.arm.connections):
                if not warming.closed(_WARM_SHARE * seconds).wrong:
                    break

    def saturate(self, client: LoadClient, seconds: float) -> Slice:
        """Load the server to saturation."""
        began_s = time.perf_counter()
        before = spent(self.server.process, self._cores)
        outcome = client.closed(seconds)
        after = spent(self.server.process, self._cores)
        shares = Shares.between(before, after, time.perf_counter() - began_s, self._cores)
        return Slice(outcome, seconds, shares, after.server_s - before.server_s)

    def at_half_load(self, rate_per_s: float, seconds: float, seed: int) -> LoopOutcome:
        """Run the open loop; repeat it if our own requests left late. The last try counts."""
        for number in range(_TRIES):
            halving = self.client()
            with halving.connected(_OPEN_CONNECTIONS):
                half = halving.open(rate_per_s, seconds, _TRIES * seed + number)
            if not lateness(half):
                break
        return half


def measure(server: ServerUnderLoad, bare: ServerUnderLoad, seconds: float, seed: int) -> Repeat:
    """Warm up, then measure both; the result lists reasons to doubt the figures.

    The ratio is the median of pairs of slices, one of this server and one of the bare one, that
    follow each other at once: a shared machine changes from one second to the next.
    """
    server.warm_up(seconds)
    bare.warm_up(seconds)
    ours, theirs = _slices(server, bare, seconds, seed)
    rps = fmean(each.rps for each in ours)
    half_rps = min(rps / 2, _MOST_RPS)
    half = server.at_half_load(max(half_rps, 1.0), seconds, seed)
    late = lateness(half)
    return Repeat(
        rps=rps,
        ratio_to_bare=_ratio(ours, theirs),
        p50_ms=None if late else 1000 * quantile(half.latencies_s, 0.5),
        p99_ms=None if late else 1000 * quantile(half.latencies_s, 0.99),
        cpu_us=1e6 * fmean(each.server_s / max(each.outcome.answered, 1) for each in ours),
        rss_mb=rss_mb(server.server.process),
        half_rps=half_rps,
        lag_p99_ms=1000 * quantile(half.lags_s, 0.99),
        server_share=fmean(each.shares.server for each in ours),
        problems=(
            *_wrong("at saturation", ours),
            *_wrong("at saturation, bare beside it,", theirs),
            *_listed("at half load", half.wrong),
            *doubts(_mean(ours), server.arm),
            *(f"bare beside it: {doubt}" for doubt in doubts(_mean(theirs), bare.arm)),
        ),
        late=late,
    )


def _slices(
    server: ServerUnderLoad, bare: ServerUnderLoad, seconds: float, seed: int
) -> tuple[list[Slice], list[Slice]]:
    """Measure pairs of slices; each server is first in half of them, at random."""
    count = max(_SLICES_MIN, round(seconds / _SLICE_S / 2) * 2)
    ours_first = [number % 2 == 0 for number in range(count)]
    random.Random(seed).shuffle(ours_first)
    ours: list[Slice] = []
    theirs: list[Slice] = []
    client, beside = server.client(), bare.client()
    with client.connected(server.arm.connections), beside.connected(bare.arm.connections):
        turns = [(bare, beside, theirs), (server, client, ours)]
        for first in ours_first:
            for each, its_client, slices in reversed(turns) if first else turns:
                slices.append(each.saturate(its_client, seconds / count))
    return ours, theirs


def _ratio(ours: Sequence[Slice], theirs: Sequence[Slice]) -> float:
    return median(our.rps / max(bare.rps, 1.0) for our, bare in zip(ours, theirs, strict=True))


def _mean(slices: Sequence[Slice]) -> Shares:
    return Shares(
        server=fmean(each.shares.server for each in slices),
        foreign=fmean(each.shares.foreign for each in slices),
        others=fmean(each.shares.others for each in slices),
    )


def doubts(shares: Shares, arm: BenchArm) -> list[str]:
    """Return reasons to believe that the client or other programs limited the figures.

    Nginx is about as fast as the client, so its figure is a lower bound anyway.
    """
    found = []
    if shares.others > _FULL and shares.server < _BUSY and arm.kind != "nginx":
        found.append(
            f"the client's core was full ({shares.others:.0%}) and the server's was not "
            f"({shares.server:.0%}): the server can do more"
        )
    if shares.foreign > _FOREIGN:
        found.append(f"other programs took {shares.foreign:.0%} of the server's core")
    return found


def lateness(half: LoopOutcome) -> str:
    """Return the reason to reject the latencies, if requests left late; else empty."""
    late = sum(lag_s > _LATE_S for lag_s in half.lags_s)
    if late <= _LATE_SHARE * len(half.lags_s):
        return ""
    share = late / len(half.lags_s)
    return f"{share:.1%} of the requests at half load left more than {1000 * _LATE_S:g} ms late"


def _wrong(when: str, slices: Sequence[Slice]) -> list[str]:
    return _listed(when, sum((each.outcome.wrong for each in slices), Counter()))


def _listed(when: str, wrong: Counter[str]) -> list[str]:
    return [f"{when} {count} times: {what}" for what, count in wrong.most_common(3)]
