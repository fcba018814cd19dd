"""The primary is cut off from its replica, not dead, and the replica is promoted. Who writes where?

Whoever still has a connection to the old primary writes there, and is told that it is done. All of
that is erased when the two meet again. A fence ends it: at the proxy, on the server itself once it
has lost its replica, or in each commit, which then waits for a replica that no longer follows.
"""

from chaos import measures as m
from chaos.acts import Cut, Failover
from chaos.judge.claims import at_most, fewer_than, none, shows
from chaos.model.experiment import FAILOVER_STRIPS, Arm, At, Experiment, Mode, Prediction
from chaos.model.traffic import FOLLOW, Step, Traffic, Visit

CUT_S, DETECT_S, LIFE_S = 1.5, 0.5, 3.0
SPLIT = At(CUT_S, Cut("replication"))  # the worker is on the replica's side, as the controller is
WORKER = At(CUT_S - 0.3, Cut("worker-primary"))
LOST, UNTRACED = m.lost("links"), m.untraced("links")
WRONG = (LOST, m.edits_undone(), m.unexpected("edits"))
MOST = tuple(zip(WRONG, (0.8, 0.8, 2), strict=True))  # of two targets there are few
OVERLAP, OLD = m.overlap(), m.on_old_timeline()
WRITES = m.latency(50, m.until_act(SPLIT.act), m.writes)
PAUSE = m.steady(SPLIT.act, within_ms=1000, for_s=1.5)
# Clients find the new primary when they connect; each connection to the old one has an end.
FIND = {"WRITE_TO": "read-write", "POOL_RENEWAL": "pinned", "PRIMARY_LIFETIME_S": str(LIFE_S)}
SYNC = {"SYNCHRONOUS_COMMIT": "on", "postgres:synchronous_standby_names": "replica"}
MAKE, EDIT = Visit("make", (Step("create"),), own_link=True), Visit("edit", (Step("edit"),))
LED = At(0, Failover(DETECT_S))
DEMOTES = At(0, Failover(DETECT_S, leads=(), demotes_s=DETECT_S / 2))
FENCED = ("proxy", "demoted")  # what is acknowledged before the fence is up is lost
ENDS = Prediction("L", "the longest life of a connection", lambda _: LIFE_S, bound=True)

experiment = Experiment(
    name="split-brain",
    lesson=__doc__,
    traffic=Traffic(100, keys=120, hot_share=0.1, visits=(FOLLOW, MAKE, EDIT)),
    settings={"WRITE_RETRY": "none", "POOL_TIMEOUT_S": "1"},  # at first all connections are old
    timeline=[At(0, Failover(DETECT_S, leads=())), SPLIT, WORKER],
    arms=[
        Arm("no fence", FIND, naive=True, predictions={OVERLAP.name: ENDS}),
        Arm("proxy", timeline=[LED, SPLIT, WORKER]),
        Arm("demoted", FIND | {"POOL_RENEWAL": "renewed"}, timeline=[DEMOTES, SPLIT, WORKER]),
        Arm("sync", FIND | SYNC),
    ],
    measures=[OVERLAP, OLD, *WRONG, UNTRACED, PAUSE, WRITES],
    claims=[
        shows("no fence", OLD, at_least=5),  # how long both write is anything up to L
        *(shows("no fence", wrong, at_least=1) for wrong in WRONG),
        *(at_most(arm, OVERLAP, 0.25) for arm in (*FENCED, "sync")),
        *(fewer_than(arm, "no fence", w, share=s) for w, s in MOST for arm in FENCED),
        *(none(wrong, but=("no fence", *FENCED)) for wrong in WRONG),
        none(UNTRACED),
    ],
    costs=[WRITES, PAUSE],
    strips=FAILOVER_STRIPS,
    quick=Mode("quick", rounds=3, segment_s=6),
    full=Mode("full", rounds=6, segment_s=12),
)
