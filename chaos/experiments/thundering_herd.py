"""A hot key expires while the database is slow. How many requests reach the database?

Every request that misses the key queries the database, until the first result is back in the
cache: at λ requests a second and δ seconds a query, one miss becomes a herd of 1 + λδ. Each fix
lets fewer of them through; the fixes differ in what the other requests do meanwhile, and its cost.
"""

from chaos.acts.faults import Slow
from chaos.judge import predictions as p
from chaos.judge.claims import at_most, fewer_than, follows_law, no_failures, shows_failure
from chaos.measures import expiries as m
from chaos.model.evidence import Mode
from chaos.model.experiment import Arm, At, Experiment, Prediction, Traffic

HERD = m.origin_queries


def _arm(name: str, prediction: Prediction, *, naive: bool = False) -> Arm:
    return Arm(name, {"CACHE_FILL": name}, naive, {HERD.name: prediction})


experiment = Experiment(
    name="thundering-herd",
    lesson=__doc__,
    repetition="expiry",
    traffic=Traffic(rate_per_s=240, keys=20, hot_share=0.9),
    # The pool is large, so that the database gets the whole herd, not what a pool lets through.
    settings={"CACHE_TTL_S": "0.8", "CACHE_TTL_JITTER": "0", "XFETCH_BETA": "1", "POOL_SIZE": "40"},
    faults=[At(0.0, Slow("replica", latency_ms=120))],
    arms=[
        _arm("direct", p.herd, naive=True),
        _arm("singleflight", p.one_per_process),
        _arm("lock", p.one),
        _arm("lease", p.one),
        _arm("xfetch", p.xfetch_law),
        _arm("swr", p.one),
    ],
    measures=[
        *(HERD, m.peak_origin_queries, m.latency_p99, m.oldest_age),
        *(m.latency_p50, m.latency_max, m.waited, m.failed),
        *(m.redis_commands_per_redirect, m.redis_commands_per_expiry),
    ],
    claims=[
        shows_failure("direct", HERD, share_of_prediction=0.5, prediction_at_least=20),
        at_most("singleflight", HERD, 2),
        at_most("lock", HERD, 1.1),
        at_most("lease", HERD, 1.1),
        fewer_than("xfetch", "direct", HERD, share=0.5),
        follows_law("xfetch", HERD, within=0.25, full_only=True),
        at_most("swr", HERD, 1.1),
        at_most("swr", m.waited, 0),
        at_most("swr", m.latency_p99, 60),  # half of δ: waiting would show
        no_failures(m.failed),
    ],
    headline=HERD.name,
    costs=[m.redis_commands_per_expiry.name, m.oldest_age.name],
    quick=Mode("quick", rounds=2, segment_s=3.5, repetitions=6),
    full=Mode("full", rounds=6, segment_s=10, repetitions=30),
)
