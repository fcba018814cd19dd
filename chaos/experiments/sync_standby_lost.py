"""The only replica that commits wait for is gone. Do writes stall, or go on without it?

A strict commit waits for the replica for ever: nothing can be lost, and nothing is written. What a
client saw time out is on the primary all the same, so it is unknown and not failed. A watchdog that
lets commits go once nobody follows keeps writes going, and gives up what they waited for. Only a
second standby, either of which will do, has neither cost.
"""

from chaos import measures as m
from chaos.acts import Degrade, Kill
from chaos.judge.claims import at_most, none, shows
from chaos.model.experiment import FAILOVER_STRIPS, Arm, At, Experiment, Mode, Prediction
from chaos.model.traffic import FOLLOW, Step, Traffic, Visit

LOST_S, GONE_S, AFTER_S, PATIENCE_S = 1.5, 3.0, 0.5, 0.8
GONE = At(LOST_S, Kill("replica"), until_s=LOST_S + GONE_S)
MISSED = m.missed(m.during, m.writes, within_ms=1000 * PATIENCE_S)
LOST, READS = m.lost("links"), m.missed(m.during, m.follows, within_ms=1000)
COMMIT, LETS_GO = m.latency(50, m.until_act(GONE.act), m.writes), At(0, Degrade(AFTER_S))
MAKE = Visit("make", (Step("create"),), weight=0.6, own_link=True)
STRICT = {"SYNCHRONOUS_COMMIT": "on", "postgres:synchronous_standby_names": "replica"}
ANY_1 = {"topology:servers": "3", "postgres:synchronous_standby_names": "ANY 1 (replica, standby)"}
STALLED = Prediction("1", "a commit waits without a limit", lambda _: 100)
GOES_ON = Prediction("0", "the other standby has it", lambda _: 0)
SHARE = Prediction(
    "(T − t)⁺/D", "those due more than their patience t before the watchdog lets them go",
    of=lambda _: 100 * max(0.0, AFTER_S - PATIENCE_S) / GONE_S,
)  # fmt: skip

experiment = Experiment(
    name="sync-standby-lost",
    lesson=__doc__,
    traffic=Traffic(120, keys=50, hot_share=0.1, timeout_s=2, visits=(FOLLOW, MAKE)),
    settings={"PRIMARY_TIMEOUT_S": str(PATIENCE_S), "PRIMARY_POOL_SIZE": "20"},
    timeline=[GONE],
    arms=[
        Arm("strict", STRICT, naive=True, predictions={MISSED.name: STALLED}),
        Arm("degrade", STRICT, predictions={MISSED.name: SHARE}, timeline=[LETS_GO, GONE]),
        Arm("any-1-of-2", STRICT | ANY_1, predictions={MISSED.name: GOES_ON}),
        Arm("async"),
    ],
    measures=[MISSED, LOST, READS, COMMIT],
    claims=[
        shows("strict", MISSED, share_of_prediction=0.8),
        at_most("degrade", MISSED, 40),
        *(at_most(arm, MISSED, 5) for arm in ("any-1-of-2", "async")),
        none(LOST),
        *(at_most(arm, READS, 5) for arm in ("strict", "degrade", "any-1-of-2", "async")),
    ],
    costs=[COMMIT],
    strips=FAILOVER_STRIPS,
    quick=Mode("quick", rounds=2, segment_s=6),
    full=Mode("full", rounds=8, segment_s=10),
)
