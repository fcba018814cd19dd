"""The database hangs for a few seconds, then is well. How long until the system is well, too?

Clients that try again at once multiply the load just when there is no room for it. If their tries
alone fill the queue faster than it empties, every answer comes too late, is tried again, and the
failure outlasts its cause: it is metastable. A budget bounds the multiple.
"""

from chaos.acts.faults import Pause, Slow
from chaos.judge.claims import at_most, shows
from chaos.measures.outcomes import goodput, tries
from chaos.measures.recovery import recovery
from chaos.measures.samples import peak
from chaos.measures.selections import after_heal, during
from chaos.model.evidence import Mode
from chaos.model.experiment import LATENCY, Arm, At, Experiment, Retries, Strip, Traffic

# Ten connections of 0.1 s each give about 95 look-ups a second, for 50 visitors a second.
RATE_PER_S, POOL, SLOW_MS = 50, 5, 100
RECOVERY, TRIES = recovery(within_ms=800), tries(during)
GOODPUT = goodput(after_heal, within_ms=1000)
WAITING = peak("web.in_flight", "most in flight", "requests")
UNBOUNDED = ("POOL_TIMEOUT_S", "REPLICA_TIMEOUT_S", "PRIMARY_TIMEOUT_S", "REQUEST_DEADLINE_S")


def _traffic(tries: int = 1, budget: float = 1.0) -> Traffic:
    retries = Retries(tries, budget=budget)
    return Traffic(RATE_PER_S, keys=1000, hot_share=0, zipf_alpha=0, timeout_s=1, retries=retries)


experiment = Experiment(
    name="retry-storm",
    lesson=__doc__,
    traffic=_traffic(),
    settings={
        **{"CACHE_FILL": "direct", "CACHE_TTL_S": "0.05", "STALE_IF_ERROR_S": "0"},
        **{"READ_FROM": "replica", "POOL_SIZE": str(POOL), "MAX_IN_FLIGHT": "1000000"},
        **{"BREAKER": "false", "FILL_LOCK_TTL_S": "200"} | dict.fromkeys(UNBOUNDED, "60"),
    },
    timeline=[At(0, Slow("replica", SLOW_MS)), At(1.5, Pause("replica"), until_s=4.0)],
    arms=[
        Arm("retries", naive=True, traffic=_traffic(tries=4)),
        Arm("budget", traffic=_traffic(tries=4, budget=0.1)),
        Arm("none"),
    ],
    measures=[RECOVERY, GOODPUT, TRIES, WAITING],
    claims=[
        shows("retries", RECOVERY, at_least=5),
        at_most("budget", RECOVERY, 5),
        at_most("none", RECOVERY, 5),
    ],
    costs=[TRIES],
    strips=[LATENCY, Strip("In flight", "requests", "samples", "web.in_flight")],
    quick=Mode("quick", rounds=2, segment_s=10),
    full=Mode("full", rounds=6, segment_s=30),
)
