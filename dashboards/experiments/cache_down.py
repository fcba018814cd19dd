"""`cache-down`: what does a redirect do while Redis hangs?"""

from dashboards.experiments._page import (
    WEB,
    breaker_state,
    experiment_page,
    half,
    look_ups,
    visitors_latency,
)
from dashboards.panel import RATE, Query

dashboard = experiment_page(
    "cache-down",
    "Redis hangs while traffic goes on. Does a redirect wait for it, and does the database bear "
    "it?",
    "`naive` waits: latency is a wall as high as the pause is long, and no use of the cache fails.",
    "with `timeout` every redirect waits up to the cache's timeout, and uses of the cache fail for "
    "the whole pause. With `breaker` it opens within a moment, failures stop, and the database "
    "takes the load. With `near` most redirects need neither.",
    [
        breaker_state(
            "cache",
            "Open: requests go past Redis until a probe succeeds. It should open at once and close "
            "within a second or so of the pause's end; it stays closed where it is switched off.",
        ),
        half(
            "Failed uses of the cache",
            "Uses that timed out. They go on for the whole pause without a breaker, and are a "
            "handful with one; where nobody times out there are none at all.",
            "ops",
            [
                Query(
                    f"sum by (part) (rate(shortener_cache_failures_total{{{WEB}}}[{RATE}]))",
                    "{{part}}",
                )
            ],
        ),
        visitors_latency(
            "A wall for `naive`, up to the cache's timeout for `timeout`; with a breaker only the "
            "first few wait, and the p50 is a look-up's. As before soon after the pause."
        ),
        look_ups(
            "What reaches the databases in place of Redis. The near cache holds back what the "
            "cache no longer does; otherwise as many as redirects."
        ),
    ],
)
