"""A hot key expires while the database is slow. How many requests reach the database?

Every request that misses the key queries the database, until the first result is back in the
cache: at λ requests a second and δ seconds a query, one miss becomes a herd of 1 + λδ. Each fix
lets fewer of them through; the fixes differ in what the other requests do meanwhile, and its cost.
"""

from chaos.acts import Slow
from chaos.experiments import _expiries as m
from chaos.judge.claims import at_most, fewer_than, follows_law, none, shows
from chaos.measures import failed
from chaos.model.experiment import Arm, At, Experiment, Mode, Prediction
from chaos.model.traffic import Traffic

HERD, FAILED = m.origin_queries, failed()


def _arm(name: str, prediction: Prediction, *, naive: bool = False) -> Arm:
    return Arm(name, {"CACHE_FILL": name}, naive, {HERD.name: prediction})


experiment = Experiment(
    name="thundering-herd",
    lesson=__doc__,
    traffic=Traffic(rate_per_s=240, keys=20, hot_share=0.9),
    # The pool is large, so that the database gets the whole herd, not what a pool lets through.
    settings={"CACHE_TTL_S": "0.8", "CACHE_TTL_JITTER": "0", "XFETCH_BETA": "1", "POOL_SIZE": "40"},
    timeline=[At(0.0, Slow("replica", latency_ms=120))],
    arms=[
        _arm("direct", m.herd, naive=True),
        _arm("singleflight", m.one_per_process),
        _arm("lock", m.one),
        _arm("lease", m.one),
        _arm("xfetch", m.xfetch_law),
        _arm("swr", m.one),
    ],
    measures=[
        *(HERD, m.peak_origin_queries, m.latency_p99, m.oldest_age),
        *(m.latency_p50, m.latency_max, m.waited, FAILED),
        *(m.redis_commands_per_redirect, m.redis_commands_per_expiry),
    ],
    claims=[
        shows("direct", HERD, share_of_prediction=0.5, prediction_at_least=20),
        # Half above the law: so much remains open after a few expiries that are all alike.
        at_most("singleflight", HERD, 2.5),
        *(at_most(arm, HERD, 1.5) for arm in ("lock", "lease", "swr")),
        fewer_than("xfetch", "direct", HERD, share=0.5),
        follows_law("xfetch", HERD, within=0.4, full_only=True),
        at_most("swr", m.waited, 0.5),
        at_most("swr", m.latency_p99, 100),  # δ is 120: waiting would show
        none(FAILED),
    ],
    costs=[m.redis_commands_per_expiry, m.oldest_age],
    event=m.expiry,
    inputs=m.inputs,
    strips=m.strips,
    quick=Mode("quick", rounds=2, segment_s=4, events=6),
    full=Mode("full", rounds=6, segment_s=10, events=30),
)
