"""Somebody makes or edits a link and follows it at once, while the replica lags. What do they see?

A replica shows a write only once it has replayed it. Until then a new link is a false 404 and an
edit has not happened. Reads can go to the primary for a while, or until the replica has come as
far as the session's last write; or the write can wait for the replica. Each costs something else.
"""

from chaos import measures as m
from chaos.acts import PauseReplay, Slow
from chaos.judge.claims import at_least, at_most, fewer_than, none, shows
from chaos.measures.selections import selected
from chaos.model.experiment import LATENCY, Arm, At, Experiment, Mode, Prediction, Strip
from chaos.model.traffic import FOLLOW, Step, Traffic, Visit

RATE_PER_S, SLOW_S, LAG_MS = 60, 0.4, 400
UNSEEN, MISSING, FAILED = m.unread_writes(), m.false_absent(m.during), m.failed()
SOON, LATER = m.visible(50, m.during), m.visible(800, m.during)
WRITES = m.latency(50, m.during, m.writes), m.latency(99, m.during, m.writes)
PRIMARY = m.per_second("primary.look_ups", "look-ups on the primary", "look-ups", m.during)
TWICE = (Step("follow", after_s=0.05), Step("follow", after_s=0.76))
MADE = Visit("make and follow", (Step("create"), *TWICE), weight=0.2, own_link=True)
EDITED = Visit("edit and follow", (Step("edit"), *TWICE), weight=0.1)
REPLICA, LAGGING = {"READ_FROM": "replica"}, ("replica", "replica +40 ms", "replay paused")
APPLIED = {"SYNCHRONOUS_COMMIT": "remote_apply", "postgres:synchronous_standby_names": "replica"}
NOT_YET = Prediction("0", "P(lag ≤ t): Bailis et al., PVLDB 5(8), 2012", lambda _: 0)
LAG = Prediction("lag", "a commit waits until the replica shows it", lambda _: LAG_MS)
EARLY = Prediction(
    "W", "W first reads", lambda own: sum(int(selected(s, m.during, m.writes).sum()) for s in own)
)

experiment = Experiment(
    name="stale-reads",
    lesson=__doc__,
    traffic=Traffic(RATE_PER_S, keys=50, hot_share=0.1, visits=(FOLLOW, MADE, EDITED)),
    settings={"NEGATIVE_TTL_S": "0.05", "postgres:synchronous_commit": "local"},
    timeline=[At(SLOW_S, Slow("replication", LAG_MS))],
    arms=[
        Arm("replica", REPLICA, naive=True, predictions={SOON.name: NOT_YET, UNSEEN.name: EARLY}),
        Arm("replica +40 ms", REPLICA, timeline=[At(SLOW_S, Slow("replication", LAG_MS / 10))]),
        Arm("replay paused", REPLICA, naive=True, timeline=[At(SLOW_S, PauseReplay())]),
        Arm("pin", {"READ_FROM": "pinned", "READ_PIN_S": "2"}),
        Arm("lsn", {"READ_FROM": "lsn"}),
        Arm("lsn-wait", {"READ_FROM": "lsn-wait", "READ_WAIT_S": "0.2"}),
        Arm("remote-apply", {**REPLICA, **APPLIED}, predictions={WRITES[0].name: LAG}),
        Arm("primary", {"READ_FROM": "primary"}),
    ],
    measures=[UNSEEN, MISSING, SOON, LATER, m.staleness(m.during), PRIMARY, *WRITES, FAILED],
    claims=[
        shows("replica", UNSEEN, share_of_prediction=0.75),  # a lag without end: 1.6
        fewer_than("replica +40 ms", "replica", UNSEEN, share=0.2),
        at_most("replay paused", SOON, 35),  # what was written just before the pause is seen
        *(none(measure, but=LAGGING) for measure in (UNSEEN, FAILED)),  # a false 404 is a failure
        at_least("remote-apply", WRITES[0], 0.6 * LAG_MS),
    ],
    costs=[PRIMARY, WRITES[0]],
    strips=[LATENCY, Strip("Replication lag", "s", "samples", "primary.replication_lag_s")],
    quick=Mode("quick", rounds=2, segment_s=2.6),
    full=Mode("full", rounds=6, segment_s=15),
)
