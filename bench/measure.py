"""One measurement of one arm: as much as it can do, then how long it takes at half of that."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass

from bench.arms import Arm
from bench.bed import Server
from bench.client import Client, Outcome
from bench.cores import Cores, Spent, rss_mb, spent
from bench.figures import Repeat, quantile

_OPEN_CONNECTIONS = 256
_WARM_UP_S = 30.0  # at most
_WARM_SHARE, _WARM_TIMES = 0.25, 20  # of the time for measuring
_FULL, _BUSY = 0.97, 0.90  # of a core
_FOREIGN = 0.10
_MOST_RPS = 30_000.0  # of the open loop, which is late with more
_LATE_S, _LATE_SHARE = 0.002, 0.01


@dataclass(frozen=True)
class Shares:
    """How a core's time was used while the server was measured."""

    server: float  # by the server, of its core
    foreign: float  # by others, of the server's core
    others: float  # of the other cores

    @classmethod
    def between(cls, before: Spent, after: Spent, seconds: float, cores: Cores) -> Shares:
        """The shares of the seconds that lie between."""
        server_s = after.server_s - before.server_s
        core_s = after.server_core_s - before.server_core_s
        idle_s = after.others_idle_s - before.others_idle_s
        return cls(
            server=server_s / seconds,
            foreign=max(0.0, core_s - server_s) / seconds,
            others=1 - idle_s / seconds / len(cores.others),
        )


def measure(arm: Arm, server: Server, cores: Cores, seconds: float, seed: int) -> Repeat:
    """Warm up, then measure both; whatever makes the figures doubtful is told with them."""
    requests = arm.requests()

    def client(most: int | None = None) -> Client:
        return Client(server.address, itertools.islice(requests, most), arm.expected)

    first = client(arm.warm_up)
    with first.connected(arm.connections):
        first.closed(_WARM_UP_S)
    for _ in range(_WARM_TIMES):
        warming = client()
        with warming.connected(arm.connections):
            if not warming.closed(_WARM_SHARE * seconds).wrong:
                break  # whatever has to be cached is
    saturating = client()
    with saturating.connected(arm.connections):
        began_s = time.perf_counter()
        before = spent(server.process, cores)
        full = saturating.closed(seconds)
        after = spent(server.process, cores)
        shares = Shares.between(before, after, time.perf_counter() - began_s, cores)
    rps = full.in_time / seconds
    half_rps = min(rps / 2, _MOST_RPS)
    halving = client()
    with halving.connected(_OPEN_CONNECTIONS):
        half = halving.open(max(half_rps, 1.0), seconds, seed)
    return Repeat(
        rps=rps,
        p50_ms=1000 * quantile(half.latencies_s, 0.5),
        p99_ms=1000 * quantile(half.latencies_s, 0.99),
        cpu_us=1e6 * (after.server_s - before.server_s) / max(full.answered, 1),
        rss_mb=rss_mb(server.process),
        half_rps=half_rps,
        lag_p99_ms=1000 * quantile(half.lags_s, 0.99),
        server_share=shares.server,
        problems=(
            *_wrong("at saturation", full),
            *_wrong("at half load", half),
            *doubts(shares, arm),
            *lateness(half),
        ),
    )


def doubts(shares: Shares, arm: Arm) -> list[str]:
    """Reasons why something else than the server may have been measured.

    Nginx answers about as fast as the client asks, so its figure is a lower bound anyway.
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


def lateness(half: Outcome) -> list[str]:
    """Whether the requests left when they were due."""
    late = sum(lag_s > _LATE_S for lag_s in half.lags_s)
    if late <= _LATE_SHARE * len(half.lags_s):
        return []
    share = late / len(half.lags_s)
    return [f"{share:.1%} of the requests at half load left more than {1000 * _LATE_S:g} ms late"]


def _wrong(when: str, outcome: Outcome) -> list[str]:
    return [f"{when} {count} times: {what}" for what, count in outcome.wrong.most_common(3)]
