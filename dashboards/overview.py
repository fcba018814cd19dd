"""Overview: requests, errors and durations as visitors see them, cache and origin behind them."""

from chaos.runtimes import topology
from dashboards.panel import (
    RANGE,
    RATE,
    Dashboard,
    Panel,
    PanelState,
    Query,
    Section,
    p50_and_p99,
    quantile,
)

WEB = 'part=~"$part"'
REDIRECT = 'route="redirect"'


def _at_a_glance(title: str, description: str, unit: str, query: Query) -> Panel:
    return Panel(title, description, unit, [query], kind="stat", width=4, least=None)


GLANCE = Section(
    "At a glance",
    [
        _at_a_glance(
            "Redirects",
            "Redirects answered a second, over the last 10 s. Far from the rate offered below: "
            "requests queue or do not arrive.",
            "reqps",
            Query('route:shortener_requests:rate10s{route="redirect"}', "redirects"),
        ),
        _at_a_glance(
            "Redirects answered with 5xx",
            "Share of the redirects of the last 10 s. Anything above 0.1 % breaks the objective.",
            "percentunit",
            Query('route:shortener_errors:ratio_rate10s{route="redirect"}', "errors"),
        ),
        _at_a_glance(
            "Redirect p99",
            "One redirect in a hundred took longer, over the last 10 s. The objective is 100 ms.",
            "s",
            Query('route:shortener_request_seconds:p99_rate10s{route="redirect"}', "p99"),
        ),
        _at_a_glance(
            "Availability budget left",
            "Of the 0.1 % of redirects that may fail: the part that is left over the time shown. "
            "Below zero the objective is missed for that time.",
            "percentunit",
            Query(
                f"1 - (sum(increase(shortener_requests_total{{{REDIRECT}, status='5xx'}}[{RANGE}]))"
                f" / clamp_min(sum(increase(shortener_requests_total{{{REDIRECT}}}[{RANGE}])), 1))"
                " / 0.001",
                "left",
            ),
        ),
        _at_a_glance(
            "Latency budget left",
            "Of the 1 % of redirects that may take over 100 ms: the part that is left over the "
            "time shown.",
            "percentunit",
            Query(
                "1 - (1 - sum(increase("
                f"shortener_request_seconds_bucket{{{REDIRECT}, le='0.1'}}[{RANGE}]))"
                " / clamp_min(sum(increase("
                f"shortener_request_seconds_count{{{REDIRECT}}}[{RANGE}])), 1)) / 0.01",
                "left",
            ),
        ),
        _at_a_glance(
            "Origin queries in flight, peak",
            "The most look-ups waiting for a database at one time in the last 10 s. One or two are "
            "normal; dozens are a herd.",
            "none",
            Query("sum(max_over_time(shortener_origin_queries_in_flight[10s]))", "peak"),
        ),
    ],
)

LOAD = Section(
    "Load",
    [
        Panel(
            "Rate offered and achieved",
            "Offered (dashed): the rate curve. Sent: requests that left the generator. Answered: "
            "answers received. Sent below offered: the generator is late, so trust no latency. "
            "Answered below sent: requests pile up, as in a herd or while a part is down.",
            "reqps",
            [
                Query(
                    f"sum(rate(linkstorm_requests_offered_total[{RATE}]))", "offered", dashed=True
                ),
                Query(f"sum(rate(linkstorm_requests_sent_total[{RATE}]))", "sent"),
                Query(f"sum(rate(linkstorm_request_seconds_count[{RATE}]))", "answered"),
            ],
        ),
        Panel(
            "Answers as visitors saw them",
            "By outcome, counted at the generator, nginx and the network included. `unknown` is a "
            "timeout: it may have succeeded. In a failover expect a burst of fail, then ok.",
            "reqps",
            [
                Query(
                    f"sum by (outcome) (rate(linkstorm_request_seconds_count[{RATE}]))",
                    "{{outcome}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            "Latency as visitors saw it",
            "From the intended time to the answer, so waiting to be sent counts. A p99 that rises "
            "while the stack's own stays flat: the delay is before it.",
            "s",
            p50_and_p99("linkstorm_request_seconds"),
            limit=0.1,
        ),
    ],
)

ROUTES = Section(
    "Requests, errors and durations by route",
    [
        Panel(
            "Requests",
            "Answered a second by the web processes. In steady load a flat line; a dip with a "
            "spike after it is a stall that ended.",
            "reqps",
            [
                Query(
                    f"sum by (route) (rate(shortener_requests_total{{{WEB}}}[{RATE}]))", "{{route}}"
                )
            ],
        ),
        Panel(
            "Errors",
            "Share of each route's requests that ended in 5xx; client errors do not count. "
            "Redirects should stay at zero even while Redis or the primary is down.",
            "percentunit",
            [
                Query(
                    "sum by (route) "
                    f'(rate(shortener_requests_total{{{WEB}, status="5xx"}}[{RATE}]))'
                    " / clamp_min(sum by (route) "
                    f"(rate(shortener_requests_total{{{WEB}}}[{RATE}])), 1e-9)",
                    "{{route}}",
                )
            ],
        ),
        Panel(
            "Duration, p99",
            "One request in a hundred took longer, by route. The line is the objective of "
            "redirects. In a herd the redirects' p99 jumps to the database's delay at each expiry.",
            "s",
            [Query(quantile(0.99, "shortener_request_seconds", "route", WEB), "{{route}}")],
            limit=0.1,
        ),
        Panel(
            "Redirects: duration, p50 and p99",
            "Both rise: everything is slow. Only p99 rises: cache misses are slow, hits are not.",
            "s",
            p50_and_p99("shortener_request_seconds", "", f"{WEB}, {REDIRECT}"),
            limit=0.1,
        ),
        Panel(
            "Error budget burn",
            "How many times faster than allowed redirects use up their budgets, over the last "
            "minute: at 1 the budget just lasts, above 14.4 (the line) an alert fires.",
            "suffix:×",
            [Query("slo:redirects:burn_rate1m", "{{slo}}")],
            limit=14.4,
        ),
        Panel(
            "Requests in flight",
            "The most at one time, by web process. Rate times duration: it rises when answers slow "
            "down, long before errors appear.",
            "none",
            [
                Query(
                    f"sum by (part) (max_over_time(shortener_requests_in_flight{{{WEB}}}[{RATE}]))",
                    "{{part}}",
                )
            ],
        ),
    ],
)

CACHE = Section(
    "Cache and origin",
    [
        Panel(
            "Redirects by where they were served from",
            "near: from the memory of the process, if that is on. hit: fresh from Redis. stale and "
            "early: an old value while one request refreshes it. wait: for another request's "
            "look-up. miss: from the database. In a herd miss spikes at each expiry of the hot "
            "key; a fix turns it into wait or stale.",
            "reqps",
            [
                Query(
                    f"sum by (result) (rate(shortener_cache_total{{{WEB}}}[{RATE}]))", "{{result}}"
                )
            ],
            stacked=True,
        ),
        Panel(
            "Origin queries",
            "Look-ups sent to a database a second. Normally a few; a herd sends one for every "
            "request that misses the hot key. On the primary: codes that the replica lacks, or a "
            "replica that is down.",
            "qps",
            [
                Query(
                    f"sum by (db) (rate(shortener_origin_queries_total{{{WEB}}}[{RATE}]))", "{{db}}"
                )
            ],
        ),
        Panel(
            "Origin queries in flight",
            "The most look-ups waiting for a database at one time. Peaks one TTL apart, as high as "
            "rate times the database's delay, are a herd. Scraped each second, so shorter peaks "
            "may be missed.",
            "none",
            [
                Query(
                    "sum by (part) (max_over_time("
                    f"shortener_origin_queries_in_flight{{{WEB}}}[{RATE}]))",
                    "{{part}}",
                )
            ],
        ),
        Panel(
            "Fills in flight",
            "Keys being put into the cache, background refreshes included. Far fewer than origin "
            "queries in flight: requests share look-ups.",
            "none",
            [
                Query(
                    f"sum by (part) (max_over_time(shortener_fills_in_flight{{{WEB}}}[{RATE}]))",
                    "{{part}}",
                )
            ],
        ),
        Panel(
            "Failed uses of the cache",
            "Zero, unless Redis or the link `cache` is down. Redirects then go to the database: "
            "see origin queries beside it.",
            "ops",
            [
                Query(
                    f"sum by (part) (rate(shortener_cache_failures_total{{{WEB}}}[{RATE}]))",
                    "{{part}}",
                )
            ],
        ),
        Panel(
            "Clicks by state",
            "minted: given an id. queued: safe in the stream, milliseconds later. dropped: lost, "
            "after the queue refused for too long. Queued below minted: the queue is slow.",
            "cps",
            [Query(f"sum by (state) (rate(shortener_clicks_total{{{WEB}}}[{RATE}]))", "{{state}}")],
        ),
    ],
)

PROTECTION = Section(
    "Protection: breakers, admission and retries",
    [
        Panel(
            "Breakers",
            "Open: the part failed several times in a row, and requests skip it until a probe "
            "succeeds. It should open within a second of an outage, and close within a few of "
            "its end.",
            "none",
            [
                Query(
                    f"max by (part, dependency) (shortener_breaker_state{{{WEB}}})",
                    "{{part}} {{dependency}}",
                )
            ],
            kind="state-timeline",
            states={
                0: PanelState("closed", True),
                1: PanelState("probing", False),
                2: PanelState("open", False),
            },
        ),
        Panel(
            "Requests rejected",
            "busy: too many requests in flight in a process (503). rate limit: too many requests "
            "from one client of the API (429). Normally zero; in an overload, rejections keep the "
            "delays of the other requests short.",
            "reqps",
            [
                Query(f"sum(rate(shortener_admission_refused_total{{{WEB}}}[{RATE}]))", "busy"),
                Query(f"sum(rate(shortener_rate_limited_total{{{WEB}}}[{RATE}]))", "rate limit"),
            ],
        ),
        Panel(
            "Permits and retries",
            "Permits for clicks on links with a limit, from the primary: taken, or used up (410). "
            "Retries of look-ups after a broken connection; refused if the budget is spent.",
            "ops",
            [
                Query(
                    f"sum by (outcome) (rate(shortener_permits_total{{{WEB}}}[{RATE}]))",
                    "permit {{outcome}}",
                ),
                Query(
                    f"sum by (outcome) (rate(shortener_retries_total{{{WEB}}}[{RATE}]))",
                    "retry {{outcome}}",
                    dashed=True,
                ),
            ],
        ),
    ],
)

dashboard = Dashboard(
    name="overview",
    title="linkstorm: Overview",
    about="Requests, errors and durations as visitors see them.",
    parts="shortener_requests_total",
    part_names=topology.WEB,
    sections=[GLANCE, LOAD, ROUTES, CACHE, PROTECTION],
)
