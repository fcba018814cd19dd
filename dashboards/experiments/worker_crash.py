"""`worker-crash`: what becomes of the clicks that the worker had in hand?"""

from dashboards.experiments._page import WEB, experiment_page, half, visitors_latency
from dashboards.panel import RATE, Panel, PanelState, Query

dashboard = experiment_page(
    "worker-crash",
    "The worker is killed in the middle of its work. Which clicks are lost, and which count twice?",
    "after the kill `ack-first` catches up without its last batch: no duplicates, and no sign of "
    "what is lost. `no-dedupe` counts the batch again. Both look healthy here, and that is the "
    "trap: the report compares each click with the primary.",
    "`exactly-once` and `sync` are given the batch again and say *duplicate*, which is not "
    "counted. `outbox` has clicks waiting in the primary instead. `sync` makes redirects wait for "
    "the queue.",
    [
        Panel(
            "Worker",
            "Down from the kill to its restart, in every segment. Scraped each second, and asked "
            "of the runtime: what the lab did, whatever the worker says.",
            "none",
            [Query('max by (part) (linkstorm_part_up{part="worker"})', "{{part}}")],
            kind="state-timeline",
            width=12,
            states={0: PanelState("down", False), 1: PanelState("up", True)},
        ),
        half(
            "Age of the oldest click that waits",
            "Climbs one second a second while the worker is down; the fall after it is the "
            "catch-up. In the outbox with `outbox`, in the stream with all others.",
            "s",
            [
                Query("max(shortener_stream_lag_seconds)", "in the stream"),
                Query("max(shortener_outbox_lag_seconds)", "in the outbox", dashed=True),
            ],
        ),
        half(
            "Clicks minted and handled",
            "Minted by the web processes (dashed); counted, and recognised as duplicate, by the "
            "worker. Nothing is counted while it is down, then more than is minted.",
            "cps",
            [
                Query(
                    f'sum(rate(shortener_clicks_total{{{WEB}, state="minted"}}[{RATE}]))',
                    "minted",
                    dashed=True,
                ),
                Query(f"sum(rate(shortener_clicks_counted_total[{RATE}]))", "counted"),
                Query(f"sum(rate(shortener_clicks_duplicate_total[{RATE}]))", "duplicate"),
            ],
        ),
        visitors_latency(
            "Redirects do not need the worker, so the kill must not show here. `sync` waits until "
            "the queue has the click, and `outbox` writes to the primary: their p99 is the price."
        ),
    ],
)
