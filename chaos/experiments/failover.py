"""The primary dies and the replica takes over. Which writes are gone, and when do they go on?

A commit that waits for no replica is acknowledged before the replica has it: what is on its way
when the primary dies is lost. To wait costs each write the way there and back. Nobody writes until
somebody is sure that the primary is dead, and then clients have to find the new one.
"""

from chaos import measures as m
from chaos.acts import Failover, Kill, Slow
from chaos.judge.claims import at_least, at_most, none, shows
from chaos.model.experiment import FAILOVER_STRIPS, Arm, At, Experiment, Mode, Prediction
from chaos.model.traffic import FOLLOW, Step, Traffic, Visit

RATE_PER_S, WRITES_PER_S, LAG_S, DETECT_S, KILLED_S = 100, 60, 0.2, 0.5, 1.5
KILL = At(KILLED_S, Kill("primary"))
LAG = At(0, Slow("replication", 1000 * LAG_S), until_s=KILLED_S + 1)
LOST, UNTRACED, CLICKS = m.lost("links"), m.untraced("links"), m.lost("clicks")
RTO, ERROR, UNTIL = m.taken_over(KILL.act), m.first_error(KILL.act), m.until_act(KILL.act)
STEADY = m.steady(KILL.act, within_ms=1000, for_s=2)
READS, COMMIT = m.missed(m.since_act(KILL.act), m.follows), m.latency(50, UNTIL, m.writes)
LOSS = Prediction(
    "λd a failover", "what is on its way is lost", lambda own: len(own) * WRITES_PER_S * LAG_S
)
OUTAGE = Prediction("T + 0.1 s", "detection, then promotion", lambda _: DETECT_S + 0.1)
WAY = Prediction("d", "a commit waits for the replica", lambda _: 1000 * LAG_S)
SYNC = {"SYNCHRONOUS_COMMIT": "on", "postgres:synchronous_standby_names": "replica"}
APPLIED = SYNC | {"SYNCHRONOUS_COMMIT": "remote_apply"}
MAKE = Visit("make", (Step("create"),), weight=1.5, own_link=True)
UNLED = At(0, Failover(DETECT_S, leads=("replication",)))  # clients find the new primary

experiment = Experiment(
    name="failover",
    lesson=__doc__,
    traffic=Traffic(RATE_PER_S, keys=50, hot_share=0.1, visits=(FOLLOW, MAKE)),
    settings={
        "PRIMARY_POOL_SIZE": "12",
        "BREAKER_OPEN_S": "0.2",
    },  # commits that wait hold a connection each
    timeline=[LAG, At(0, Failover(DETECT_S)), KILL],
    arms=[
        Arm("async", naive=True, predictions={LOST.name: LOSS, RTO.name: OUTAGE}),
        Arm("on", SYNC, predictions={RTO.name: OUTAGE, COMMIT.name: WAY}),
        Arm("remote-apply", APPLIED, predictions={COMMIT.name: WAY}),
        Arm("multi-host", SYNC | {"WRITE_TO": "read-write"}, timeline=[LAG, UNLED, KILL]),
    ],
    measures=[LOST, UNTRACED, CLICKS, ERROR, RTO, STEADY, READS, COMMIT],
    claims=[
        shows("async", LOST, share_of_prediction=0.3),
        shows("async", CLICKS, at_least=1),
        *(none(lost, but=("async",)) for lost in (LOST, CLICKS)),
        none(UNTRACED),
        *(at_most(arm, RTO, 3) for arm in ("async", "on", "remote-apply", "multi-host")),
        at_least("on", COMMIT, 800 * LAG_S),
    ],
    costs=[COMMIT],
    strips=FAILOVER_STRIPS,
    quick=Mode("quick", rounds=2, segment_s=5.5),
    full=Mode("full", rounds=8, segment_s=10),
)
