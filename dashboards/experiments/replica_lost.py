"""`replica-lost`: what do redirects do while the replica hangs?"""

from dashboards.experiments._page import (
    breaker_state,
    experiment_page,
    half,
    look_ups,
    visitors_latency,
)
from dashboards.panel import RATE, Query

dashboard = experiment_page(
    "replica-lost",
    "The replica hangs while people follow links. Do redirects fail, wait, or go elsewhere?",
    "`replica` knows no other database: good answers all but end for as long as the replica hangs.",
    "with `fallback` every look-up waits for the replica's timeout, then goes to the primary. With "
    "`breaker` only the first few wait. With `stale` expired links are served, and no database is "
    "queried for them.",
    [
        half(
            "Answers as visitors saw them",
            "Good answers stop in the naive arm only. In the others their rate is the arrivals' "
            "all the time.",
            "reqps",
            [
                Query(
                    f"sum by (outcome) (rate(linkstorm_request_seconds_count[{RATE}]))",
                    "{{outcome}}",
                )
            ],
        ),
        visitors_latency(
            "Up to the replica's timeout for `replica` and `fallback`; with a breaker only the "
            "first few wait. As before soon after the pause."
        ),
        breaker_state(
            "replica",
            "Open: look-ups go past the replica until a probe succeeds. It should open within the "
            "first timeouts and close within a second or so of the pause's end; it stays closed "
            "where it is switched off.",
        ),
        look_ups(
            "What the primary bears in place of the replica: all misses with `fallback` and "
            "`breaker`, none with `replica` and `stale`."
        ),
    ],
)
