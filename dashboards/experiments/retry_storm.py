"""`retry-storm`: does the failure outlast its cause?"""

from dashboards.experiments._page import WEB, experiment_page, half, visitors_latency
from dashboards.panel import RATE, Query, p50_and_p99

dashboard = experiment_page(
    "retry-storm",
    "The database hangs for a few seconds, then is well. How long until the system is well, too?",
    "with `retries` the tries offered are several times the visitors' rate, good answers stay at "
    "zero after the hang, and what is in flight does not fall: the failure feeds itself.",
    "with `budget` about a tenth more is offered, with `none` nothing more. The queue of the hang "
    "empties within seconds, and good answers are back at the rate of visitors.",
    [
        half(
            "Tries offered and good answers",
            "Offered counts each try; a good answer is one within a second, the clients' timeout. "
            "The gap between them after the hang is work for nobody.",
            "reqps",
            [
                Query(
                    f"sum(rate(linkstorm_requests_offered_total[{RATE}]))", "offered", dashed=True
                ),
                Query(
                    "sum(rate(linkstorm_request_seconds_bucket"
                    f'{{outcome="ok", le="1.0"}}[{RATE}]))',
                    "good",
                ),
            ],
        ),
        half(
            "Requests in flight",
            "In the web processes, and at the generator (dashed). Clients give up after a second, "
            "the servers do not notice: theirs is the queue that has to empty.",
            "none",
            [
                Query(
                    f"sum by (part) (max_over_time(shortener_requests_in_flight{{{WEB}}}[{RATE}]))",
                    "{{part}}",
                ),
                Query("sum(linkstorm_requests_in_flight)", "generator", dashed=True),
            ],
        ),
        half(
            "Wait for a connection",
            "Where the queue is: few connections, each busy for as long as a look-up takes. As "
            "long as the wait is above a second, every answer comes too late.",
            "s",
            p50_and_p99("shortener_pool_wait_seconds", "db", 'job="web"'),
        ),
        visitors_latency(
            "Stays at the clients' timeout of a second while the storm lasts; back to the "
            "database's tenth of a second once the queue is empty."
        ),
    ],
)
