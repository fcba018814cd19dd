"""The replica falls far behind the primary. Who reads what, and when is it trusted again?

It answers all the while, so no timeout ends and no breaker opens: readers are as far behind as it
is. A bound on the lag sends everybody to the primary once it is exceeded. What the cache knows to
have changed can be asked there one link at a time; a session's token helps that session only. If
commits wait for the replica's replay nobody reads what is old, and nobody writes.
"""

from chaos import measures as m
from chaos.acts import PauseReplay
from chaos.experiments._replica_far_behind import theory
from chaos.judge.claims import at_least, at_most, fewer_than, none, shows
from chaos.model.experiment import LATENCY, Arm, At, Experiment, Mode, Strip
from chaos.model.traffic import FOLLOW, Step, Traffic, Visit

BEHIND_S, BOUND_S, PATIENCE_S, SOON = 2.5, 0.5, 0.5, Step("follow", after_s=0.05)
STALE, MISSING, OLDEST = m.stale_share(m.during), m.false_absent(m.during), m.staleness(m.during)
UNSEEN, BEARS, TRUSTED = m.unread_writes(), m.share_on("primary", m.during), m.trusted("replica")
MISSED, SURE = m.missed(m.during, m.follows), ("bound", "known changes", "lsn")
WRITES = m.missed(m.during, m.writes, within_ms=1000 * PATIENCE_S)
EDIT = Visit("edit and follow", (Step("edit"), SOON), weight=0.3)
MAKE = Visit("make and follow", (Step("create"), SOON), weight=0.15, own_link=True)
TRAFFIC = Traffic(70, keys=40, hot_share=0, zipf_alpha=0, visits=(FOLLOW, EDIT, MAKE))
ALONE, BOUND = {"READ_FROM": "replica"}, {"READ_LAG_MAX_S": str(BOUND_S)}
NAMED = {"PRIMARY_POOL_SIZE": "20", "postgres:synchronous_standby_names": "replica"}
WAITS = {"SYNCHRONOUS_COMMIT": "remote_apply", "PRIMARY_TIMEOUT_S": str(PATIENCE_S)} | NAMED
OLD, EARLY, AWAY, NEXT, STALL = theory(TRAFFIC, BEHIND_S, BOUND_S, PATIENCE_S)
BY_BOUND = {STALE.name: EARLY, BEARS.name: AWAY, TRUSTED.name: NEXT}

experiment = Experiment(
    name="replica-far-behind",
    lesson=__doc__,
    traffic=TRAFFIC,
    settings={"CACHE_FILL": "singleflight", "CACHE_TTL_S": "0.5", "NEGATIVE_TTL_S": "0.05"},
    timeline=[At(1, PauseReplay(), until_s=1 + BEHIND_S)],
    arms=[
        Arm("replica", ALONE, naive=True, predictions={STALE.name: OLD}),
        Arm("bound", ALONE | BOUND, predictions=BY_BOUND),
        Arm("known changes", {"READ_FROM": "replica-then-primary"}),
        Arm("lsn", {"READ_FROM": "lsn"}),
        Arm("remote-apply", ALONE | WAITS, predictions={WRITES.name: STALL}),
        Arm("primary", {"READ_FROM": "primary"}),
    ],
    measures=[STALE, BEARS, TRUSTED, WRITES, MISSED, OLDEST, MISSING, UNSEEN],
    claims=[
        shows("replica", STALE, share_of_prediction=0.5),
        *(at_most("bound", *most) for most in ((STALE, 30), (OLDEST, 1000 * BOUND_S + 300))),
        none(OLDEST, but=("replica", "bound", "lsn")),
        *(none(measure, but=("replica", "bound")) for measure in (MISSING, UNSEEN)),
        at_least("lsn", OLDEST, 1000),  # what others wrote
        *(at_least(*low) for low in (("bound", BEARS, 40), ("remote-apply", WRITES, 60))),
        fewer_than("known changes", "bound", BEARS, share=0.8),
        *(at_most(arm, *most) for arm in SURE for most in ((TRUSTED, 0.6), (MISSED, 15))),
    ],
    costs=[BEARS, WRITES],
    strips=[LATENCY, Strip("Look-ups", "look-ups", "samples", "primary.look_ups", per_s=True)],
    quick=Mode("quick", rounds=2, segment_s=6),
    full=Mode("full", rounds=8, segment_s=10),
)
