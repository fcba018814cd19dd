"""`failover`: which writes does a failover lose, and when do writes go on?"""

from dashboards.experiments._page import (
    WEB,
    experiment_page,
    half,
    servers,
    writes_by_answer,
    writes_duration,
)
from dashboards.panel import RATE, Query

dashboard = experiment_page(
    "failover",
    "The primary dies and the replica takes over. Which writes are gone, and when do they go on?",
    "`async` looks best here: its writes are quick before the kill, and go on as soon as in any "
    "arm. That some of them are gone is on no panel: the report compares them with the primary.",
    "with `on`, `remote-apply` and `multi-host` each write takes the lag until the primary dies. "
    "In all arms writes stop for about the time of the detection; with `multi-host` nothing is led "
    "to the new primary, and the web processes find it themselves. Full runs have `remote-write`, "
    "which looks like `on`, `pinned`, like `multi-host`, `no-retry`, whose writes under way at the "
    "kill stay of unknown outcome, and `patroni`, where writes stop for twenty seconds.",
    [
        *servers(
            "The other server leads in every segment from the promotion on, and stays so. A gap: "
            "the old primary is down, until it comes back as replica. Asked each second, so the "
            "outage itself may fall between.",
            "One step up for the server that is promoted, and for the other when it follows. Each "
            "promotion begins a timeline.",
        ),
        writes_by_answer(
            "Done writes stop with the kill and go on after the promotion, in every arm. Those "
            "that fail in between were refused, or their outcome is unknown."
        ),
        half(
            "Writes of unknown outcome",
            "What the web processes did about them: read their keys back, sent again what was not "
            "there, or refused for want of budget. A spike at each kill, and nothing besides.",
            "ops",
            [
                Query(
                    f"sum by (step) (rate(shortener_write_retries_total{{{WEB}}}[{RATE}]))",
                    "{{step}}",
                )
            ],
        ),
        writes_duration(
            "Before the kill milliseconds with `async`, and the lag with all others, whose commits "
            "wait for the replica. Afterwards there is no replica to wait for."
        ),
    ],
)
