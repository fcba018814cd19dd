"""`switchover`: is anything lost when the role is moved on purpose?"""

from dashboards.experiments._page import (
    experiment_page,
    replication_lag,
    servers,
    writes_by_answer,
    writes_duration,
)

dashboard = experiment_page(
    "switchover",
    "The primary's role is moved on purpose. Is anything lost, and how long does nobody write?",
    "`at once` hardly pauses, and that is the trap: what was on its way to the replica is lost, "
    "and on no panel. The report compares each write with the primary.",
    "with `switchover` writes stop for a little longer than replication lags, then go on at the "
    "new primary, which has all of them.",
    [
        *servers(
            "The other server leads in every segment from the switchover on, and stays so. Asked "
            "each second: the order is visible, the pause is not.",
            "One step up for the server that is promoted, and for the other when it follows, at "
            "the end of the segment.",
        ),
        writes_by_answer(
            "A short notch at each switchover, deeper in the arm that waits. Writes that fail met "
            "a server that takes none any more, or a connection that was broken for the new one."
        ),
        replication_lag(
            "What the replica lacks when it is promoted: with `at once` that much is lost, and "
            "`switchover` waits until it is zero. Read every 5 s."
        ),
        writes_duration(
            "Milliseconds in both arms, as commits wait for the primary's disk alone. What waits "
            "here for longer waited for a server that takes writes."
        ),
    ],
)
