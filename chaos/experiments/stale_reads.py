"""Somebody makes or edits a link and follows it at once, while the replica lags. What do they see?

A replica shows a write only once it has replayed it. Until then a new link is a false 404 and an
edit has not happened. Reads can go to the primary for a while, or until the replica has come as
far as the session's last write; or the write can wait for the replica. Each costs something else.
"""

from chaos.acts.faults import Slow
from chaos.acts.replay import PauseReplay
from chaos.judge.claims import at_least, at_most, none, shows
from chaos.measures.outcomes import latency
from chaos.measures.samples import per_second
from chaos.measures.selections import during, writes
from chaos.measures.staleness import false_absent, staleness, unread_writes, visible
from chaos.model.evidence import Mode
from chaos.model.experiment import (
    FOLLOW,
    LATENCY,
    Arm,
    At,
    Experiment,
    Step,
    Strip,
    Traffic,
    Visit,
)  # fmt: skip

LAG_MS = 400
UNSEEN, MISSING = unread_writes(), false_absent(during)
WRITE_P50, WRITE_P99 = latency(50, during, writes), latency(99, during, writes)
PRIMARY = per_second("primary.look_ups", "look-ups on the primary", "look-ups", during)
SOON, LATER = Step("follow", after_s=0.05), Step("follow", after_s=0.76)
MADE = Visit("make and follow", (Step("create"), SOON, LATER), weight=0.2, own_link=True)
EDITED = Visit("edit and follow", (Step("edit"), SOON, LATER), weight=0.1)
VISIBLE, REPLICA = visible(50), {"READ_FROM": "replica"}
WAITS = {"SYNCHRONOUS_COMMIT": "remote_apply", "postgres:synchronous_standby_names": "replica"}

experiment = Experiment(
    name="stale-reads",
    lesson=__doc__,
    traffic=Traffic(rate_per_s=60, keys=50, hot_share=0.1, visits=(FOLLOW, MADE, EDITED)),
    settings={"NEGATIVE_TTL_S": "0.05", "postgres:synchronous_commit": "local"},
    timeline=[At(0.4, Slow("replication", LAG_MS))],
    arms=[
        Arm("replica", REPLICA, naive=True),
        Arm("replica +40 ms", REPLICA, timeline=[At(0.4, Slow("replication", LAG_MS / 10))]),
        Arm("replay paused", REPLICA, timeline=[At(0.4, PauseReplay())]),
        Arm("pin", {"READ_FROM": "pinned", "READ_PIN_S": "2"}),
        Arm("lsn", {"READ_FROM": "lsn"}),
        Arm("lsn-wait", {"READ_FROM": "lsn-wait", "READ_WAIT_S": "0.2"}),
        Arm("remote-apply", {**REPLICA, **WAITS}),
        Arm("primary", {"READ_FROM": "primary"}),
    ],
    measures=[
        UNSEEN,
        MISSING,
        visible(50),
        visible(800),
        staleness(),
        PRIMARY,
        WRITE_P50,
        WRITE_P99,
    ],
    claims=[
        shows("replica", UNSEEN, at_least=10),
        at_most("replica +40 ms", UNSEEN, 3),
        at_most("replay paused", VISIBLE, 20),  # what was written before the pause is seen
        none(UNSEEN, but=("replica", "replica +40 ms", "replay paused")),
        at_least("remote-apply", WRITE_P50, LAG_MS),
    ],
    costs=[PRIMARY, WRITE_P50],
    strips=[LATENCY, Strip("Replication lag", "s", "samples", "primary.replication_lag_s")],
    quick=Mode("quick", rounds=2, segment_s=3.2),
    full=Mode("full", rounds=6, segment_s=15),
)
