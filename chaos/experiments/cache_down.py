"""Redis hangs while traffic goes on. Does a redirect wait for it, and does the database bear it?

A cache that is dead fails at once; one that hangs takes as long as somebody waits for it. A timeout
bounds the wait of each request, a breaker spares nearly all of them the wait, and a near cache
spares the database what the cache no longer holds back.
"""

from chaos import measures as m
from chaos.acts import Pause
from chaos.judge.claims import at_least, at_most, fewer_than, none, shows
from chaos.model.experiment import LATENCY, Arm, At, Experiment, Mode, Prediction, Strip
from chaos.model.traffic import Traffic

PAUSE_S, TIMEOUT_S = 3, 0.25
P99, P50, FAILED = m.latency(99, m.during), m.latency(50, m.during), m.failed(m.during)
RECOVERY = m.recovery(within_ms=100, share=0.5)
DB = m.per_second("web.look_ups", "look-ups during", "look-ups", m.during)
AGAIN = m.per_second("web.look_ups", "look-ups later", "look-ups", m.since_heal(1.5, 4))
ENDLESS = {"CACHE_TIMEOUT_S": "30", "FILL_LOCK_TTL_S": "60", "REQUEST_DEADLINE_S": "60"}
NO_BREAKER = {"BREAKER": "false"}
WAITS = Prediction(
    "0.99 D", "a request due in a pause of D waits for its end", lambda _: 990 * PAUSE_S
)
BOUNDED = Prediction(
    "timeout", "the cache's, before the database is asked", lambda _: 1000 * TIMEOUT_S
)

experiment = Experiment(
    name="cache-down",
    lesson=__doc__,
    traffic=Traffic(rate_per_s=200, keys=10, hot_share=0.5),
    timeline=[At(2.0, Pause("redis"), until_s=2.0 + PAUSE_S)],
    arms=[
        Arm("naive", {**ENDLESS, **NO_BREAKER}, naive=True, predictions={P99.name: WAITS}),
        Arm("timeout", NO_BREAKER, predictions={P99.name: BOUNDED}),
        Arm("breaker"),
        Arm("near", {"NEAR_CACHE_TTL_S": "30"}),
    ],
    measures=[P99, P50, FAILED, RECOVERY, DB, AGAIN],
    claims=[
        shows("naive", P99, share_of_prediction=0.6),
        at_most("timeout", P99, 700),
        at_least("timeout", P50, 80),
        at_most("breaker", P50, 50),
        at_most("near", P99, 300),
        none(FAILED, but="naive"),
        fewer_than("near", "breaker", DB, share=0.2),
        *(at_most(arm, RECOVERY, 1.5) for arm in ("timeout", "breaker", "near")),
        *(at_most(arm, AGAIN, 30) for arm in ("timeout", "breaker", "near")),
    ],
    costs=[DB],
    strips=[LATENCY, Strip("Look-ups", "look-ups", "samples", "web.look_ups", per_s=True)],
    quick=Mode("quick", rounds=2, segment_s=9),
    full=Mode("full", rounds=8, segment_s=10),
)
