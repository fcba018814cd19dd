"""The replica hangs while people follow links. Do redirects fail, wait, or go elsewhere?

Reads that know one database fail with it. Those that fall back on the primary first wait for the
replica's timeout, nearly none of them with a breaker, and the primary bears every look-up. An
expired link that is served in place of an error costs none, and may be old.
"""

from chaos import measures as m
from chaos.acts import Pause
from chaos.judge.claims import at_least, at_most, fewer_than, shows
from chaos.model.experiment import LATENCY, Arm, At, Experiment, Mode, Prediction, Strip
from chaos.model.traffic import Traffic

RATE_PER_S, KEYS, TTL_S, PAUSE_S, TIMEOUT_S = 100, 200, 0.5, 2.5, 0.25
MISSED = m.missed(m.during, within_ms=1000)
P50, RECOVERY = m.latency(50, m.during), m.recovery(within_ms=200, share=0.5)
DB = m.per_second("primary.look_ups", "look-ups on the primary", "look-ups", m.during)
TRUST = m.per_second("replica.look_ups", "on the replica again", "look-ups", m.since_heal(1.5, 3))
ALONE, NO_BREAKER = {"READ_FROM": "replica"}, {"BREAKER": "false"}
FRESH = RATE_PER_S * TTL_S / (KEYS + RATE_PER_S * TTL_S)  # share of k links at any time
FAILS = Prediction(
    "1 − hT/2D", "all but those to the share h of links that are fresh, for another T/2",
    lambda _: 100 * (1 - FRESH * TTL_S / (2 * PAUSE_S)),
)  # fmt: skip
WAITS = Prediction("t", "the replica's timeout, then the primary", lambda _: 1000 * TIMEOUT_S)
MISSES = Prediction("λ(1 − h)", "misses (Jung et al., 2003)", lambda _: RATE_PER_S * (1 - FRESH))

experiment = Experiment(
    name="replica-lost",
    lesson=__doc__,
    traffic=Traffic(RATE_PER_S, keys=KEYS, hot_share=0, zipf_alpha=0),
    settings={
        **{"CACHE_FILL": "singleflight", "CACHE_TTL_S": str(TTL_S), "STALE_IF_ERROR_S": "0"},
        **{"CACHE_TTL_JITTER": "0", "REPLICA_TIMEOUT_S": str(TIMEOUT_S)},
    },
    timeline=[At(1.5, Pause("replica"), until_s=1.5 + PAUSE_S)],
    arms=[
        Arm("replica", ALONE | NO_BREAKER, naive=True, predictions={MISSED.name: FAILS}),
        Arm("fallback", NO_BREAKER, predictions={P50.name: WAITS, DB.name: MISSES}),
        Arm("breaker", predictions={DB.name: MISSES}),
        Arm("stale", ALONE | {"STALE_IF_ERROR_S": "60"}),
    ],
    measures=[MISSED, P50, RECOVERY, DB, TRUST],
    claims=[
        shows("replica", MISSED, share_of_prediction=0.5),
        *(at_most(arm, MISSED, 5) for arm in ("fallback", "breaker", "stale")),
        at_least("fallback", P50, 150),
        *(at_most(arm, P50, 50) for arm in ("breaker", "stale")),
        fewer_than("stale", "breaker", DB, share=0.1),
        *(at_least(arm, TRUST, 30) for arm in ("breaker", "stale")),
        *(at_most(arm, RECOVERY, 3) for arm in ("fallback", "breaker", "stale")),
    ],
    costs=[DB],
    strips=[LATENCY, Strip("Look-ups", "look-ups", "samples", "primary.look_ups", per_s=True)],
    quick=Mode("quick", rounds=2, segment_s=8),
    full=Mode("full", rounds=8, segment_s=10),
)
