"""The limits of a run's numbers, as sentences for the report; each follows from the run itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from chaos.model.evidence import FACTS
from reports import formatting
from reports.formatting import Json
from reports.ledgers import kinds

FEW = 10
LINK = re.compile(r"\blink\b")


def caveats(result: Json, plan: Mapping[str, Any]) -> list[str]:
    """The limits of this run, the most important first."""
    return [
        *_of_this_run(result),
        *_of_the_machine(result),
        *_of_the_acts(result),
        *_of_the_ledgers(result),
        *_of_the_statistics(result),
        *_of_the_traffic(plan),
    ]


def _of_this_run(result: Json) -> Iterator[str]:
    if result["verdict"] == "INVALID":
        yield "Anything: the run is INVALID. Its figures are shown to find out why, not to be used."
    if result["mode"] == "quick":
        yield (
            "The size of the effect to a few per cent: a quick run shows that there is one. Quote"
            " numbers from the full mode."
        )


def _of_the_machine(result: Json) -> Iterator[str]:
    cores = result["provenance"]["machine"].get("cores")
    where = (
        "containers on one host" if result["runtime"] == "compose" else "processes of one machine"
    )
    shared = f"its {cores} cores" if cores else "its cores"
    yield (
        f"Speed elsewhere: load generator, web, databases and proxy were {where} and shared"
        f" {shared}. Arms can be compared with each other, as they took turns; absolute rates and"
        " latencies belong to this machine."
    )
    lag_ms = result["generator"]["lag_p99_ms"]
    if lag_ms is not None:
        yield (
            f"Latencies finer than about {formatting.milliseconds(lag_ms)}, the 99th percentile of"
            " the generator's dispatch lag: they count from the moment a request was due."
        )


def _of_the_acts(result: Json) -> Iterator[str]:
    names = dict.fromkeys(act["act"] for act in result["acts"])
    on_links = [name for name in names if LINK.search(name)]
    if on_links:
        yield (
            f"Side effects of a real cause: {', '.join(on_links)} happened at the proxy between two"
            " parts. A part that is slow because it is busy also loses throughput, memory and"
            " connections; this one was idle behind its link."
        )


def _of_the_ledgers(result: Json) -> Iterator[str]:
    shares = []
    for kind in kinds(result):
        own = [arm["ledgers"][kind] for arm in result["arms"] if kind in arm["ledgers"]]
        known = [ledger["acknowledged"] for ledger in own if not ledger["lost"]]
        if known and min(known):
            shares.append(f"{_up_to(min(known)):.2g} % of {kind}")
    if shares:
        yield (
            f"Rare losses: an arm that lost none may still lose up to {', '.join(shares)} (95 %"
            " confidence, if each is lost by itself)."
        )


def _up_to(alike: int) -> float:
    """The largest share, in per cent, of others that so many equal results leave room for."""
    return 100 * (1 - math.exp(math.log(0.05) / alike))


def _of_the_statistics(result: Json) -> Iterator[str]:
    events, seen = result["event"]["plural"], _of_headline(result)
    spread = [measure for measure in seen if measure["interval"] not in FACTS]
    if few := min((measure["samples"] for measure in spread), default=0):
        small = (
            f" With {few} in the smallest arm the intervals are wide and depend on that assumption."
        )
        yield (
            f"Whether {events} differ in kind: 95 % intervals assume that an arm's {events} are"
            " alike and independent, though neighbours share processes and caches."
            f"{small if few < FEW else ''}"
        )
    alike = min((m["samples"] for m in spread if m["low"] == m["high"]), default=0)
    if alike > 1:
        yield (
            f"Whether {events} always have the same result: an interval without width means that"
            f" those measured had; after {alike} equal results up to {_up_to(alike):.0f}% of others"
            " may differ (95 % confidence)."
        )
    measures = [measure for arm in result["arms"] for measure in arm["measures"].values()]
    if any(measure["at_least"] for measure in measures):
        yield "How long it lasts in the end, where a figure has ≥: its segment was over before."
    if any("p99" in measure["title"] for measure in measures):
        yield (
            f"The far tail: the 99th percentile of one {result['event']['noun']} depends on its"
            " slowest one in a hundred requests, often only two or three."
        )


def _of_headline(result: Json) -> list[Json]:
    measures = [arm["measures"][result["headline"]] for arm in result["arms"]]
    return [measure for measure in measures if measure["value"] is not None]


def _of_the_traffic(plan: Mapping[str, Any]) -> Iterator[str]:
    arms_of: dict[str, list[str]] = {}
    for name, arm in plan.get("arms", {}).items():
        arms_of.setdefault(_arrivals(arm["traffic"]), []).append(name)
    if arms_of:
        several = len(arms_of) > 1
        said = [f"{text} ({', '.join(own)})" if several else text for text, own in arms_of.items()]
        tried = any(arm["traffic"]["retries"]["tries"] > 1 for arm in plan["arms"].values())
        yield (
            f"Other traffic: arrivals were Poisson, {'; '.join(said)}, over loopback: no packet"
            f" loss, no distant clients{'' if tried else ', no client retries'}."
        )


def _arrivals(traffic: Json) -> str:
    tries = traffic["retries"]["tries"]
    return (
        f"{traffic['curve']}, from {traffic['rate_per_s']:g}/s, {traffic['hot_share']:.0%} for one"
        f" key of {traffic['keys']}{f', up to {tries} tries each' if tries > 1 else ''}"
    )
