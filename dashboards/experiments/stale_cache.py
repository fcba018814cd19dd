"""`stale-cache`: what keeps an old target out of the cache after an edit?"""

from dashboards.experiments._page import (
    WEB,
    experiment_page,
    half,
    look_ups,
    replication_lag,
    served_from,
)
from dashboards.panel import RATE, Query

dashboard = experiment_page(
    "stale-cache",
    "A link is edited while the replica lags. For how long does the cache send visitors elsewhere?",
    "`delete`, `ttl` and `lease` fill the cache from a replica that lacks the edit, and serve that "
    "for a TTL: hits, no errors, fast. Nothing here tells a wrong hit from a right one, and that "
    "is the trap; the report has how old it was.",
    "`double-delete` has a second burst of misses a little after the edits. `versioned` has "
    "look-ups on the primary while the replica is behind, and no other price.",
    [
        replication_lag(
            "For as long as this after an edit, a fill from the replica brings the old target "
            "back. Read every 5 s."
        ),
        half(
            "Links edited",
            "Edits that were done, a second: the moments from which a hit can be wrong. Steady in "
            "all arms, or they are not comparable.",
            "reqps",
            [
                Query(
                    "sum(rate(shortener_requests_total"
                    f'{{{WEB}, route="change", status="2xx"}}[{RATE}]))',
                    "edits",
                )
            ],
        ),
        served_from(
            "Each delete is a miss more: compare `ttl`, which has the fewest, with `delete` and "
            "`double-delete`. wait: for another request's look-up, as with the lease."
        ),
        look_ups(
            "On the replica, unless the cache knows that it is behind: `versioned` asks the "
            "primary then. That share is its cost."
        ),
    ],
)
