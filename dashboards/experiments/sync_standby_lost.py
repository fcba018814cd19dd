"""`sync-standby-lost`: what do commits do that wait for a replica which is gone?"""

from dashboards.experiments._page import (
    WEB,
    experiment_page,
    half,
    writes_by_answer,
    writes_duration,
)
from dashboards.panel import Panel, PanelState, Query

dashboard = experiment_page(
    "sync-standby-lost",
    "The only replica that commits wait for is gone. Do writes stall, or go on without it?",
    "with `strict` no write is done until the replica is back, each takes the primary's timeout "
    "or longer, and commits that wait hold connections to the primary.",
    "with `degrade` that lasts until the watchdog lets commits go, a moment after the replica is "
    "lost. With `any-1-of-2` the other standby answers, and `async` never waits: neither shows "
    "anything at all.",
    [
        Panel(
            "Servers that run",
            "The replica is down for a while in every segment; the primary is up all the time. "
            "A third server is there with `any-1-of-2` only. Asked of the runtime each second.",
            "none",
            [Query('max by (part) (linkstorm_part_up{part=~"postgres-.*"})', "{{part}}")],
            kind="state-timeline",
            width=12,
            states={0: PanelState("down", False), 1: PanelState("up", True)},
        ),
        writes_by_answer(
            "A hole as wide as the replica is away with `strict`, a short one with `degrade`, none "
            "with `any-1-of-2` and `async`. A write that fails here may be on the primary all the "
            "same."
        ),
        half(
            "Connections to the primary",
            "A commit that waits holds one: many are in use while nothing is done, and next to "
            "none a moment later.",
            "none",
            [
                Query(
                    f'sum(shortener_pool_connections{{{WEB}, db="primary", state="{state}"}})',
                    state,
                    dashed=state == "idle",
                )
                for state in ("used", "idle")
            ],
        ),
        writes_duration(
            "While commits wait the primary's timeout, or up to the request's deadline where the "
            "key is read back. A little with every arm but `async` before, and with `any-1-of-2` "
            "all the time."
        ),
    ],
)
