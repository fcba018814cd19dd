"""`replica-far-behind`: who reads what while the replica is far behind, and for how long?"""

from dashboards.experiments._page import (
    absent_links,
    experiment_page,
    look_ups,
    replication_lag,
)

dashboard = experiment_page(
    "replica-far-behind",
    "The replica falls far behind the primary. Who reads what, and when is it trusted again?",
    "`replica` reads on as if nothing were: 404 for links that were just made, all look-ups on the "
    "replica, and no error. A stale target looks like any other here.",
    "with `bound` all look-ups move to the primary once the bound is exceeded, and back soon after "
    "the replica has caught up. With `known changes` those of changed links do, with `lsn` those "
    "of sessions that wrote, while all others read old targets. With `primary` the replica has "
    "none. With `remote-apply` nothing is old, and no write is done.",
    [
        replication_lag(
            "How old the replica's answers may be: a slope of one second a second while replay is "
            "paused, then nothing at once. Read every 5 s."
        ),
        look_ups(
            "What the primary bears: nothing with `replica`, everything with `primary`, everything "
            "beyond the bound with `bound`. The replica has its share back within a moment."
        ),
        absent_links(
            "Answers 404 or 410. No visit asks for a link that was never made, so each is a write "
            "that was not seen: with `bound` only until the bound is exceeded."
        ),
    ],
)
