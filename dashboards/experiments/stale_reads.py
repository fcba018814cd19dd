"""`stale-reads`: does a session see its own writes, and what does that cost?"""

from dashboards.experiments._page import (
    absent_links,
    experiment_page,
    look_ups,
    replication_lag,
    writes_duration,
)

dashboard = experiment_page(
    "stale-reads",
    "Somebody makes or edits a link and follows it at once, while the replica lags. What do they "
    "see?",
    "`replica` and `replay paused` answer 404 for links that were just made; `replica +40 ms` far "
    "more seldom. All their look-ups are on the replica. A stale target looks like any other here.",
    "no 404. `pin`, `lsn`, `lsn-wait` and `primary` pay with look-ups on the primary, `primary` "
    "with all of them; `remote-apply` pays with writes that take as long as the lag.",
    [
        replication_lag(
            "How old the replica's answers may be. With the link slowed, about its delay; while "
            "replay is paused, a slope of one second a second. Read every 5 s."
        ),
        absent_links(
            "Answers 404 or 410, as visitors and as the web processes count them. No visit asks "
            "for a link that was never made, so each of them is a write that was not seen."
        ),
        look_ups(
            "The primary's share is what reading one's own writes costs: for a while with `pin`, "
            "until the replica has come as far with `lsn`, always with `primary`."
        ),
        writes_duration(
            "Milliseconds in all arms but `remote-apply`, in which each write waits for the "
            "replica: its mean is the lag. The mean is zero while nobody writes."
        ),
    ],
)
