"""The primary dies and the replica takes over. Which writes are gone, and when do they go on?

A commit that waits for no replica is lost if the primary dies before that has it; one that waits
takes the way there and back. Nobody writes until the death is noticed, and the new primary found.
"""

from chaos import measures as m
from chaos.acts import Failover, Kill, Patroni, Slow
from chaos.experiments._failover import theory
from chaos.judge.claims import at_least, at_most, fewer_than, none, shows
from chaos.model.experiment import FAILOVER_STRIPS, Arm, At, Experiment, Mode
from chaos.model.traffic import FOLLOW, Step, Traffic, Visit

RATE_PER_S, WRITES_PER_S, LAG_S, DETECT_S, TTL_S = 100, 60, 0.2, 0.5, 20
KILL, LAG = At(1.5, Kill("primary")), At(0, Slow("replication", 1000 * LAG_S), until_s=2.5)
LOST, UNTRACED, TWICE = (of("links") for of in (m.lost, m.untraced, m.duplicated))
RTO, ERROR, UNTIL = m.taken_over(KILL.act), m.first_error(KILL.act), m.until_act(KILL.act)
STEADY, CLICKS = m.steady(KILL.act, within_ms=1000, for_s=2), m.lost("clicks")
READS, COMMIT = m.missed(m.since_act(KILL.act), m.follows), m.latency(50, UNTIL, m.writes)
UNDER_WAY, LATER = (m.missed(when, m.writes) for when in (UNTIL, m.since_act(KILL.act, 4)))
LOSS, OUTAGE, LEASE, WAY = theory(WRITES_PER_S, LAG_S, DETECT_S, TTL_S)
SYNC = {"SYNCHRONOUS_COMMIT": "on", "postgres:synchronous_standby_names": "replica"}
ASK, MAKE = {"WRITE_TO": "read-write"}, Visit("make", (Step("create"),), weight=1.5, own_link=True)
UNLED, WAITS = [LAG, At(0, Failover(DETECT_S, leads=("replication",))), KILL], {COMMIT.name: WAY}
FIND, LEASED, EXPIRES = SYNC | ASK, [At(0, Patroni(TTL_S)), KILL], {RTO.name: LEASE}
ARMS = ("async", "remote-write", "on", "remote-apply", "pinned", "multi-host", "no-retry")

experiment = Experiment(
    name="failover",
    lesson=__doc__,
    traffic=Traffic(RATE_PER_S, keys=50, hot_share=0.1, visits=(FOLLOW, MAKE)),
    settings={"PRIMARY_POOL_SIZE": "12", "BREAKER_OPEN_S": "0.2"},  # a commit that waits has one
    timeline=[LAG, At(0, Failover(DETECT_S)), KILL],
    arms=[
        Arm("async", naive=True, predictions={LOST.name: LOSS, RTO.name: OUTAGE}),
        Arm("remote-write", SYNC | {"SYNCHRONOUS_COMMIT": "remote_write"}, full_only=True),
        Arm("on", SYNC, predictions={RTO.name: OUTAGE} | WAITS),
        Arm("remote-apply", SYNC | {"SYNCHRONOUS_COMMIT": "remote_apply"}, predictions=WAITS),
        Arm("pinned", FIND | {"POOL_RENEWAL": "pinned"}, timeline=UNLED, full_only=True),
        Arm("multi-host", FIND, timeline=UNLED),
        Arm("no-retry", FIND | {"WRITE_RETRY": "none"}, timeline=UNLED, full_only=True),
        Arm("patroni", FIND, predictions=EXPIRES, timeline=LEASED, full_only=True, least_s=30),
    ],
    measures=[LOST, UNTRACED, CLICKS, ERROR, RTO, STEADY, READS, LATER, COMMIT, UNDER_WAY, TWICE],
    claims=[
        shows("async", LOST, share_of_prediction=0.3),
        shows("async", CLICKS, at_least=1),
        *(none(lost, but=("async",)) for lost in (LOST, CLICKS)),
        at_most("patroni", RTO, 2 * TTL_S),
        *(none(wrong) for wrong in (UNTRACED, TWICE)),
        *(at_most(arm, *most) for arm in ARMS for most in ((RTO, 3), (LATER, 15))),
        *(at_least(*low) for low in (("on", COMMIT, 800 * LAG_S), ("no-retry", UNDER_WAY, 1))),
        fewer_than("multi-host", "no-retry", UNDER_WAY),
    ],
    costs=[COMMIT],
    strips=FAILOVER_STRIPS,
    quick=Mode("quick", rounds=2, segment_s=7.5),
    full=Mode("full", rounds=8, segment_s=10),
)
