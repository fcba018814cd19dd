"""A link is edited while the replica lags. For how long does the cache send visitors elsewhere?

Deleting the cached link is not enough: the next reader fills the cache from a replica that has not
seen the edit, and the old target is back for a whole TTL. A second delete repairs that later, a
lease does not notice it. Only a cache that knows the version keeps it out.
"""

from chaos import measures as m
from chaos.acts import Slow
from chaos.judge.claims import at_most, none, shows
from chaos.model.experiment import LATENCY, Arm, At, Experiment, Mode, Prediction, Strip
from chaos.model.traffic import FOLLOW, Step, Traffic, Visit

LAG_MS, TTL_MS, SECOND_MS = 300, 2000, 600
WORST_MS = TTL_MS + LAG_MS
STALE, AGE, FAILED = m.stale(), m.staleness(), m.failed()
P99 = m.latency(99, m.during, m.follows)
LOOK_UPS = m.per_second("web.look_ups", "look-ups", "look-ups", m.during)
EDITED = Visit("edit", (Step("edit"), Step("follow", after_s=0.05)), weight=0.05)


def _arm(name: str, invalidation: str, age_ms: float, why: str, **settings: str) -> Arm:
    law = Prediction(f"≤ {age_ms:g} ms", why, lambda _: age_ms, bound=True)
    chosen = {"CACHE_INVALIDATION": invalidation, **settings}
    return Arm(name, chosen, naive=name in ("delete", "ttl", "lease"), predictions={AGE.name: law})


experiment = Experiment(
    name="stale-cache",
    lesson=__doc__,
    traffic=Traffic(rate_per_s=120, keys=20, hot_share=0.2, visits=(FOLLOW, EDITED)),
    settings={
        **{"CACHE_FILL": "singleflight", "CACHE_TTL_S": f"{TTL_MS / 1000}"},
        **{"CACHE_TTL_JITTER": "0", "CACHE_SECOND_DELETE_S": f"{SECOND_MS / 1000}"},
    },
    timeline=[At(0.3, Slow("replication", LAG_MS))],
    arms=[
        _arm("delete", "delete", WORST_MS, "filled until the replica has the edit, for a TTL"),
        _arm("ttl", "none", WORST_MS, "filled until the replica has the edit, for a TTL"),
        _arm("double-delete", "double-delete", SECOND_MS, "until the second delete"),
        _arm("lease", "delete", WORST_MS, "the lease came after the edit", CACHE_FILL="lease"),
        _arm("versioned", "delete-with-floor", 0, "an older version is not stored"),
    ],
    measures=[AGE, STALE, P99, LOOK_UPS, FAILED],
    claims=[
        *(shows(arm, AGE, share_of_prediction=0.5) for arm in ("delete", "ttl", "lease")),
        at_most("double-delete", AGE, WORST_MS / 2),
        none(STALE, but=("ttl", "delete", "double-delete", "lease")),
        none(FAILED),
    ],
    costs=[LOOK_UPS],
    strips=[LATENCY, Strip("Replication lag", "s", "samples", "primary.replication_lag_s")],
    quick=Mode("quick", rounds=2, segment_s=5),
    full=Mode("full", rounds=6, segment_s=15),
)
