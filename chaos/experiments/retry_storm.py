"""The database hangs for a few seconds, then is well. How long until the system is well, too?

Clients that try again at once multiply the load just when there is no room for it. If their tries
alone fill the queue faster than it empties, every answer comes too late, is tried again, and the
failure outlasts its cause: it is metastable. A budget bounds the multiple.
"""

from chaos import measures as m
from chaos.acts import Pause, Slow
from chaos.judge.claims import at_least, at_most, shows
from chaos.model.experiment import LATENCY, Arm, At, Experiment, Mode, Prediction, Strip
from chaos.model.traffic import Retries, Traffic

# Ten connections of 0.1 s each bear about 95 look-ups a second, for 50 visitors a second.
RATE_PER_S, CAPACITY_PER_S, POOL, SLOW_MS, HANG_S = 50, 95, 5, 100, 2.5
RECOVERY, TRIES = m.recovery(within_ms=800), m.tries(m.during)
GOODPUT = m.goodput(m.after_heal, within_ms=1000)
HANG = At(1.5, Pause("replica"), until_s=1.5 + HANG_S)
WELL = m.missed(m.until_act(HANG.act), within_ms=800)
STILL_BAD = m.missed(m.since_heal(4, 6), within_ms=800)  # hundreds of answers
RETRIED, WAITING = m.retried(m.during), m.peak("web.in_flight", "most in flight", "requests")
UNBOUNDED = ("POOL_TIMEOUT_S", "REPLICA_TIMEOUT_S", "PRIMARY_TIMEOUT_S", "REQUEST_DEADLINE_S")


def _arm(name: str, tries: int = 1, budget: float = 1.0, *, naive: bool = False) -> Arm:
    load_per_s = RATE_PER_S * min(tries, 1 + budget)
    drain_s = load_per_s * HANG_S / (CAPACITY_PER_S - load_per_s)
    law = Prediction(
        "λ'D/(C − λ')", "until the queue of the hang D is empty", lambda _: drain_s, True
    )
    retries = Retries(tries, budget=budget)
    spread = Traffic(RATE_PER_S, keys=100, hot_share=0, zipf_alpha=0, timeout_s=1, retries=retries)
    return Arm(name, {}, naive, {} if naive else {RECOVERY.name: law}, traffic=spread)


experiment = Experiment(
    name="retry-storm",
    lesson=__doc__,
    traffic=Traffic(RATE_PER_S, keys=100, hot_share=0, zipf_alpha=0, timeout_s=1),
    settings={
        **{"CACHE_FILL": "direct", "CACHE_TTL_S": "0.05", "STALE_IF_ERROR_S": "0"},
        **{"READ_FROM": "replica", "POOL_SIZE": str(POOL), "MAX_IN_FLIGHT": "1000000"},
        **{"BREAKER": "false", "FILL_LOCK_TTL_S": "200"} | dict.fromkeys(UNBOUNDED, "60"),
    },
    timeline=[At(0, Slow("replica", SLOW_MS)), HANG],
    arms=[_arm("retries", 4, naive=True), _arm("budget", 4, budget=0.1), _arm("none")],
    measures=[RECOVERY, WELL, STILL_BAD, GOODPUT, TRIES, RETRIED, WAITING],
    claims=[
        shows("retries", STILL_BAD, at_least=50),
        shows("retries", WELL, at_most=25),  # by the hang, not by too much load
        at_most("budget", STILL_BAD, 20),
        at_least("budget", RETRIED, 10),  # it does try again
        at_most("none", STILL_BAD, 20),
    ],
    costs=[TRIES],
    strips=[LATENCY, Strip("In flight", "requests", "samples", "web.in_flight")],
    quick=Mode("quick", rounds=2, segment_s=10),
    full=Mode("full", rounds=6, segment_s=30),
)
