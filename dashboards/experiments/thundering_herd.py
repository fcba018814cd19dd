"""`thundering-herd`: do requests that miss the hot key share a look-up?"""

from dashboards.experiments._page import (
    SLOW,
    WEB,
    experiment_page,
    half,
    served_from,
    visitors_latency,
)
from dashboards.panel import RATE, Query

dashboard = experiment_page(
    "thundering-herd",
    "A hot key expires while the database is slow. How many requests reach the database?",
    "`direct` has a peak of look-ups at each expiry, one TTL apart, as high as rate times the "
    "database's delay.",
    "one look-up in flight with `lock`, `lease` and `swr`, one for each web process with "
    "`singleflight`, a few with `xfetch`. What was *miss* is *wait* with the first two and "
    "`singleflight`, *stale* with `swr`, *early* with `xfetch`.",
    [
        half(
            "Look-ups in flight",
            "The most at one time, by web process. Peaks one TTL apart are herds; a fix leaves one "
            "or two. Scraped each second, so not every short peak is caught.",
            "none",
            [
                Query(
                    "sum by (part) (max_over_time("
                    f"shortener_origin_queries_in_flight{{{WEB}}}[{RATE}]))",
                    "{{part}}",
                )
            ],
        ),
        served_from(
            "miss: a look-up of its own. wait: for another request's. stale or early: an old value "
            "while one request refreshes it. The fixes differ in what misses turn into."
        ),
        visitors_latency(
            "The p99 is the database's delay wherever visitors wait for a look-up, their own or "
            "another's. It stays near the p50 only if they are served a stale value."
        ),
        half(
            "Redis commands a redirect",
            "What a fix costs: locks and leases send more commands at each expiry, and those who "
            "wait ask again. Averaged over 20 s, so compare arms of the full mode.",
            "none",
            [
                Query(
                    f"sum(rate(redis_commands_processed_total[{RATE}]))"
                    f" / clamp_min(sum(rate(shortener_redirects_total[{RATE}])), 1)",
                    "commands",
                    SLOW,
                )
            ],
        ),
    ],
)
