"""The database is slow for a few seconds, then well. How long until the system is well, too?

Clients that try again at once multiply the load just when there is too little room for it. If the
load of the tries alone keeps the system too slow for them, the failure outlasts its cause: it is
metastable. A budget bounds the multiple, and without retries there is none.
"""

from chaos.acts.faults import Slow
from chaos.judge.claims import at_most, shows
from chaos.measures.outcomes import failed, goodput, tries
from chaos.measures.recovery import recovery
from chaos.measures.selections import after_heal, during
from chaos.model.evidence import Mode
from chaos.model.experiment import LATENCY, Arm, At, Experiment, Retries, Strip, Traffic

TRIES, RECOVERY, FAILED = tries(during), recovery(within_ms=500), failed(after_heal)
GOODPUT = goodput(during)
TRIGGER = {"second": 2.0, "until_s": 6.0}


def _traffic(retries: Retries = Retries()) -> Traffic:  # noqa: B008
    return Traffic(
        rate_per_s=100, keys=1000, hot_share=0.0, zipf_alpha=0.0, timeout_s=1, retries=retries
    )


experiment = Experiment(
    name="retry-storm",
    lesson=__doc__,
    traffic=_traffic(),
    settings={
        **{"CACHE_TTL_S": "0.05", "NEGATIVE_TTL_S": "0.05", "STALE_WHILE_REVALIDATE_S": "0.05"},
        **{"CACHE_FILL": "direct", "STALE_IF_ERROR_S": "0", "POOL_SIZE": "10"},
        **{"BREAKER": "false", "REPLICA_TIMEOUT_S": "2", "FILL_LOCK_TTL_S": "10"},
    },
    timeline=[At(act=Slow(link, 1500), **TRIGGER) for link in ("replica", "primary")],
    arms=[
        Arm("retries", naive=True, traffic=_traffic(Retries(tries=4))),
        Arm("budget", traffic=_traffic(Retries(tries=4, budget=0.1))),
        Arm("none"),
    ],
    measures=[TRIES, RECOVERY, GOODPUT, FAILED],
    claims=[
        shows("retries", TRIES, at_least=3),
        at_most("budget", TRIES, 1.5),
        at_most("budget", RECOVERY, 2),
        at_most("none", RECOVERY, 2),
    ],
    costs=[FAILED],
    strips=[LATENCY, Strip("Look-ups", "look-ups", "samples", "web.look_ups", per_s=True)],
    quick=Mode("quick", rounds=2, segment_s=10),
    full=Mode("full", rounds=6, segment_s=30),
)
