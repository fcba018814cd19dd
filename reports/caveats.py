"""The limits of a run's numbers, as sentences for the report; each follows from the run itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from reports import formatting
from reports.formatting import Json

FEW = 10


def caveats(result: Json, plan: Mapping[str, Any]) -> list[str]:
    """The limits of this run, the most important first."""
    return [
        *_of_this_run(result),
        *_of_the_machine(result),
        *_of_the_faults(result),
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


def _of_the_faults(result: Json) -> Iterator[str]:
    if result["faults"]:
        yield (
            "Side effects of a real cause: the fault was injected at the proxy between two parts. A"
            " database that is slow because it is busy also loses throughput, memory and"
            " connections; this one was idle behind its link."
        )


def _of_the_statistics(result: Json) -> Iterator[str]:
    noun = formatting.plural(result["repetition"])
    if not result["arms"]:
        return
    few = min((measure["samples"] for measure in _of_headline(result)), default=0)
    small = (
        f" With {few} in the smallest arm the intervals are wide and depend on that assumption."
        if 0 < few < FEW
        else ""
    )
    yield (
        f"Whether {noun} differ in kind: 95 % intervals assume that an arm's {noun} are alike"
        f" and independent, though neighbours share processes and caches.{small}"
    )
    alike = min((m["samples"] for m in _of_headline(result) if m["low"] == m["high"]), default=0)
    if alike > 1:
        yield (
            f"Whether {noun} always have the same result: an interval without width means that"
            f" those measured had; after {alike} equal results up to"
            f" {1 - 0.05 ** (1 / alike):.0%} of others may differ (95 % confidence)."
        )
    yield (
        "The far tail: the 99th percentile of one repetition depends on its two or three slowest"
        " requests."
    )


def _of_headline(result: Json) -> list[Json]:
    return [
        arm["measures"][result["headline"]]
        for arm in result["arms"]
        if arm["measures"][result["headline"]]["value"] is not None
    ]


def _of_the_traffic(plan: Mapping[str, Any]) -> Iterator[str]:
    traffic = plan.get("traffic") or {}
    if traffic:
        yield (
            f"Other traffic: arrivals were Poisson, {traffic['curve']}, from"
            f" {traffic['rate_per_s']:g}/s, {traffic['hot_share']:.0%} for one key of"
            f" {traffic['keys']}, over loopback: no packet loss, no distant clients, no"
            " client retries."
        )
