"""Names of the counters that the stack's parts keep, and how each is read from its source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from chaos.model.lab import INCARNATION
from chaos.model.stack import StackError

PROCESS_START = "process_start_time_seconds"
WRITE_RETRIES = "shortener_write_retries_total"
# The families that are read: the whole page takes the web process a millisecond.
FAMILIES = (
    "shortener_redirects_total",
    "shortener_requests_total",
    "shortener_requests_in_flight",
    "shortener_origin_queries_total",
    "shortener_origin_queries_in_flight",
    "shortener_fills_in_flight",
    "shortener_clicks_total",
    "shortener_cache_failures_total",
    WRITE_RETRIES,
    PROCESS_START,
)
SETTINGS = "shortener_setting"
NO_ROUTE = "other"  # route label of unknown paths: the lab's own probe of nginx

STREAM = "clicks"
# Connection set-up and monitoring; the worker's commands begin with x.
OVERHEAD = (
    *("info", "ping", "hello", "client", "auth", "select", "command", "config", "memory"),
    *("multi", "exec"),  # the worker's transactions
)

STREAMS = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
RECEIVES = "SELECT count(*) FILTER (WHERE status = 'streaming') > 0 FROM pg_stat_wal_receiver"
CLUSTER = "SELECT pg_is_in_recovery(), system_identifier::text FROM pg_control_system()"
OUTBOX = "SELECT count(*)::float8 FROM (SELECT 1 FROM click_outbox LIMIT 100000) AS waiting"
LAG = """
    SELECT coalesce(max(pg_wal_lsn_diff(sent_lsn, replay_lsn)), 0)::float8,
        coalesce(max(extract(epoch FROM replay_lag)), 0)::float8 FROM pg_stat_replication
    WHERE application_name = %s
"""
RECEIVED = "SELECT coalesce(pg_last_wal_receive_lsn() - '0/0', 0)::float8"
LINKS = """
    SELECT code, version, url, deleted FROM links WHERE created_at >= %s
"""
CLICKS = """
    SELECT click_id, code FROM clicks WHERE code IN (SELECT code FROM links WHERE created_at >= %s)
"""
TOTALS = """
    SELECT code, coalesce(total, 0) FROM links LEFT JOIN link_clicks USING (code)
    WHERE created_at >= %s
"""
HELD = {"clicks": CLICKS, "links": LINKS, "totals": TOTALS}  # what is read back


def web_counters(text: str) -> Mapping[str, float]:
    """The counters and gauges of a web process from its /metrics page.

    Raises:
        StackError: the page lacks a family.
    """
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    if missing := set(FAMILIES) - {sample.name for sample in samples}:
        raise StackError(f"a web process's metrics lack {', '.join(sorted(missing))}")
    requests = _sum(samples, "shortener_requests_total")
    in_flight = [name for name in FAMILIES if name.endswith("_in_flight")]
    clicks = {s: _sum(samples, "shortener_clicks_total", state=s) for s in ("queued", "dropped")}
    return {
        INCARNATION: _sum(samples, PROCESS_START),
        "requests": requests - _sum(samples, "shortener_requests_total", route=NO_ROUTE),
        "redirects": _sum(samples, "shortener_redirects_total"),
        "look_ups": _sum(samples, "shortener_origin_queries_total"),
        "look_ups_in_flight": _sum(samples, "shortener_origin_queries_in_flight"),
        "in_flight": sum(_sum(samples, name) for name in in_flight),
        "clicks_waiting": _sum(samples, "shortener_clicks_total", state="minted")
        - sum(clicks.values()),
        "clicks_dropped": clicks["dropped"],
        "cache_failures": _sum(samples, "shortener_cache_failures_total"),
        "writes_read_back": _sum(samples, WRITE_RETRIES, step="read_back"),
        "writes_sent_again": _sum(samples, WRITE_RETRIES, step="sent_again"),
    }


def settings(text: str) -> Mapping[str, str]:
    """The settings in force in a process, from its /metrics page."""
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return {s.labels["name"]: s.labels["value"] for s in samples if s.name == SETTINGS}


def process_start_s(text: str) -> float:
    """The start of a process from its /metrics page."""
    families = text_string_to_metric_families(text)
    return _sum([s for family in families for s in family.samples], PROCESS_START)


def _sum(samples: Iterable[Any], metric: str, **labels: str) -> float:
    """The sum of a metric over all its labels, or over those that have the given ones."""
    return sum(
        float(sample.value)
        for sample in samples
        if sample.name == metric and labels.items() <= sample.labels.items()
    )


def redis_commands(stats: Mapping[str, Mapping[str, float]]) -> float:
    """Commands sent by the web processes, from `INFO commandstats`."""
    calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}
    return float(sum(count for name, count in calls.items() if _sent_by_web(name)))


def _sent_by_web(command: str) -> bool:
    worker = command.startswith("x") and command != "xadd"
    return not worker and not command.startswith(OVERHEAD)
