"""`split-brain`: do two servers take writes at once?"""

from dashboards.experiments._page import (
    SLOW,
    experiment_page,
    half,
    servers,
    writes_by_answer,
    writes_duration,
)
from dashboards.panel import RATE, Query

dashboard = experiment_page(
    "split-brain",
    "The primary is cut off from its replica, not dead, and the replica is promoted. Who writes "
    "where?",
    "with `no fence` both servers insert rows for as long as some connection to the old one lives, "
    "and all of these writes are answered as done.",
    "with `proxy` the links lead to the new primary at once; with `demoted` the old one refuses "
    "writes before the other is promoted; with `sync` its commits wait for a replica that no "
    "longer follows, so its writes fail. Only one server inserts rows.",
    [
        *servers(
            "Both lead at once from the promotion until the old primary returns as replica, in "
            "every arm: a fence keeps it from writing, not from believing that it leads.",
            "Two lines from the promotion on: the old primary stays on the timeline that is given "
            "up. They meet when it follows.",
        ),
        half(
            "Rows inserted by server",
            "Links by the web processes, and clicks by the worker. Both servers insert in the "
            "naive arm only. Read every 5 s, a rate over 20: look at it with FULL=1.",
            "ops",
            [
                Query(
                    "sum by (part) "
                    f'(rate(pg_stat_database_tup_inserted{{datname="linkstorm"}}[{RATE}]))',
                    "{{part}}",
                    SLOW,
                )
            ],
        ),
        writes_by_answer(
            "The naive arm has hardly a failure, and that is the trap: what the old primary said "
            "is done is erased. With a fence writes fail until the new primary is found."
        ),
        writes_duration(
            "Milliseconds, but with `sync` up to the primary's timeout after the cut: a commit "
            "waits there for a replica that does not come back."
        ),
    ],
)
