"""How the page of an experiment is laid out, and the panels that several of them show."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.runtimes import topology
from dashboards.panel import (
    RATE,
    Dashboard,
    Panel,
    PanelState,
    Query,
    Section,
    p50_and_p99,
    quantile,
)

SLOW = 5  # seconds between two scrapes of an exporter
WEB = 'part=~"$part"'
WRITES = 'route=~"create|change"'
WINDOWS = (
    "Shaded: runs, and the acts in them; *Lab: Run in progress* names the arm. Segments are short "
    "beside the time between scrapes: read shapes here, and figures in the table and the report."
)


def experiment_page(
    name: str, question: str, naive: str, fixed: str, panels: Sequence[Panel]
) -> Dashboard:
    """Return a page: what to look for in naive and in fixed arms, then the panels."""
    text = f"**{question}**\n\n*Naive:* {naive}\n\n*Fixed:* {fixed}\n\n{WINDOWS}"
    look = Panel("What to look for", text, "none", [], kind="text", width=24)
    return Dashboard(
        name=name,
        title=f"linkstorm: {name}",
        about=question,
        parts="shortener_requests_total",
        part_names=topology.WEB,
        sections=[Section(name, [look, *panels])],
    )


def half(title: str, description: str, unit: str, queries: Sequence[Query]) -> Panel:
    """Return a panel of half the page's width."""
    return Panel(title, description, unit, queries, width=12)


def visitors_latency(description: str) -> Panel:
    """Latency at the generator, from the intended time."""
    return half(
        "Latency as visitors saw it", description, "s", p50_and_p99("linkstorm_request_seconds")
    )


def breaker_state(dependency: str, description: str) -> Panel:
    """State of each web process's breaker over time."""
    expr = f'max by (part) (shortener_breaker_state{{{WEB}, dependency="{dependency}"}})'
    return Panel(
        *(f"Breaker of the {dependency}", description, "none", [Query(expr, "{{part}}")]),
        kind="state-timeline",
        width=12,
        states={
            0: PanelState("closed", True),
            1: PanelState("probing", False),
            2: PanelState("open", False),
        },
    )


def look_ups(description: str) -> Panel:
    """Look-ups in each database."""
    expr = f"sum by (db) (rate(shortener_origin_queries_total{{{WEB}}}[{RATE}]))"
    return half("Look-ups by database", description, "qps", [Query(expr, "{{db}}")])


def served_from(description: str) -> Panel:
    """Redirects by what the cache had."""
    expr = f"sum by (result) (rate(shortener_cache_total{{{WEB}}}[{RATE}]))"
    return Panel(
        *("Redirects by where they were served from", description, "reqps"),
        [Query(expr, "{{result}}")],
        width=12,
        stacked=True,
    )


def replication_lag(description: str) -> Panel:
    """How far the replica is behind."""
    return half(
        "Replication lag",
        description,
        "s",
        [Query("replication:lag_seconds", "replica", SLOW)],
    )


def absent_links(description: str) -> Panel:
    """Answers 404 and 410, as visitors and as the web processes count them."""
    return half(
        "Links that were not there",
        description,
        "reqps",
        [
            Query(
                f'sum(rate(linkstorm_request_seconds_count{{outcome="absent"}}[{RATE}]))',
                "visitors",
            ),
            Query(
                f'sum(rate(shortener_redirects_total{{{WEB}, outcome="unknown"}}[{RATE}]))',
                "web processes",
                dashed=True,
            ),
        ],
    )


def writes_by_answer(description: str) -> Panel:
    """Writes that the web processes answered as done, and with 5xx."""
    return half(
        "Writes by answer",
        description,
        "reqps",
        [
            Query(
                "sum(rate(shortener_requests_total"
                f'{{{WEB}, {WRITES}, status="{status}"}}[{RATE}]))',
                legend,
            )
            for legend, status in (("done", "2xx"), ("fail", "5xx"))
        ],
    )


def writes_duration(description: str) -> Panel:
    """Mean and p99 of the time that the web processes took for a write."""
    took_s, count = (
        f"sum by (route) (rate(shortener_request_seconds_{what}{{{WEB}, {WRITES}}}[{RATE}]))"
        for what in ("sum", "count")
    )
    return half(
        "Duration of writes",
        description,
        "s",
        [
            Query(f"{took_s} / clamp_min({count}, 1e-9)", "{{route}} mean", dashed=True),
            Query(
                quantile(0.99, "shortener_request_seconds", "route", f"{WEB}, {WRITES}"),
                "{{route}} p99",
                only_while="somebody writes",
            ),
        ],
    )


def servers(roles: str, timelines: str) -> list[Panel]:
    """Role, timeline and log position of each server, as the servers themselves say each second."""
    return [
        Panel(
            *("Roles of the servers", roles, "none"),
            [Query("max by (part) (linkstorm_server_leads)", "{{part}}")],
            kind="state-timeline",
            width=12,
            states={0: PanelState("follows", None), 1: PanelState("leads", True)},
        ),
        half(
            "Timeline of each server",
            timelines,
            "none",
            [Query("max by (part) (linkstorm_server_timeline)", "{{part}}")],
        ),
        Panel(
            "Log position of each server",
            "Bytes since the very first, of a standby as far as it has them. A line beneath the "
            "other is what a promotion would lose. The old primary's falls back when it is "
            "rewound.",
            "decbytes",
            [Query("max by (part) (linkstorm_server_lsn_bytes)", "{{part}}")],
            width=12,
            least=None,
        ),
    ]
