"""A link is edited while the replica lags. For how long does the cache send visitors elsewhere?

Deleting the cached link is not enough: the next reader fills the cache from a replica that has not
seen the edit, and the old target is back for a whole TTL. A second delete repairs that later, a
lease does not notice it. Only a cache that knows the version keeps it out.
"""

from chaos.acts.faults import Slow
from chaos.judge.claims import at_least, at_most, none, shows
from chaos.measures.outcomes import failed, latency
from chaos.measures.samples import per_second
from chaos.measures.selections import during, follows
from chaos.measures.staleness import stale, staleness
from chaos.model.evidence import Mode
from chaos.model.experiment import (
    FOLLOW,
    LATENCY,
    Arm,
    At,
    Experiment,
    Step,
    Strip,
    Traffic,
    Visit,
)  # fmt: skip

LAG_MS, TTL_MS, SECOND_MS = 300, 2000, 600
STALE, AGE = stale(), staleness()
P99, FAILED = latency(99, during, follows), failed()
LOOK_UPS = per_second("web.look_ups", "look-ups", "look-ups", during)
EDITED = Visit("edit", (Step("edit"), Step("follow", after_s=0.05)), weight=0.05)
NAIVE = ("ttl", "delete", "double-delete", "lease")


def _arm(name: str, invalidation: str, *, naive: bool = False, **settings: str) -> Arm:
    return Arm(name, {"CACHE_INVALIDATION": invalidation, **settings}, naive)


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
        _arm("ttl", "none"),
        _arm("delete", "delete", naive=True),
        _arm("double-delete", "double-delete"),
        _arm("lease", "delete", CACHE_FILL="lease"),
        _arm("versioned", "delete-with-floor"),
    ],
    measures=[AGE, STALE, P99, LOOK_UPS, FAILED],
    claims=[
        shows("delete", AGE, at_least=TTL_MS * 0.75),
        at_least("ttl", AGE, TTL_MS * 0.6),
        at_least("lease", AGE, TTL_MS * 0.6),
        at_most("double-delete", AGE, SECOND_MS + 200),
        none(STALE, but=NAIVE),
        none(FAILED),
    ],
    costs=[LOOK_UPS],
    strips=[LATENCY, Strip("Replication lag", "s", "samples", "primary.replication_lag_s")],
    quick=Mode("quick", rounds=2, segment_s=5),
    full=Mode("full", rounds=6, segment_s=15),
)
