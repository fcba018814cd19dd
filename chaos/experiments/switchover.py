"""The primary's role is moved on purpose. Is anything lost, and how long does nobody write?

Promoted at once, the replica begins without what is still on its way. Where writes are stopped
first, and the replica has caught up with the last of them, nothing acknowledged can be lost: the
price is a pause, about as long as replication lags. No failover can do better.
"""

from chaos import measures as m
from chaos.acts import Slow, Switchover
from chaos.judge.claims import at_most, none, shows
from chaos.model.evidence import PROMOTING, Segment
from chaos.model.experiment import FAILOVER_STRIPS, Arm, At, Experiment, Mode, Prediction
from chaos.model.traffic import FOLLOW, Step, Traffic, Visit

RATE_PER_S, WRITES, LAG_MS, MOVED_S = 100, 0.6, 200, 1.5
MOVE = Switchover()
LOST, UNTRACED, CLICKS = m.lost("links"), m.untraced("links"), m.lost("clicks")
PAUSE = m.steady(MOVE, within_ms=500, share=0.95, for_s=1.5)
READS = m.missed(m.since_act(MOVE), m.follows)
MAKE = Visit("make", (Step("create"),), weight=1.5, own_link=True)
AT_ONCE = At(MOVED_S, Switchover(waits=False))
LAG_S, LAG = LAG_MS / 1000, At(0, Slow("replication", LAG_MS), until_s=MOVED_S + 1)
LOSS = Prediction(
    "λ(d + p)", "what is on its way, and what comes until links lead elsewhere",
    lambda own: sum(RATE_PER_S * WRITES * (LAG_S + promotion_s(segment)) for segment in own),
)  # fmt: skip
WAITS = Prediction("d + 0.1 s", "the last writes' way, then promotion", lambda _: LAG_S + 0.1)


def promotion_s(segment: Segment) -> float:
    """From the order to promote until links lead to the new primary."""
    return segment.moment("led") - segment.moment(PROMOTING)


experiment = Experiment(
    name="switchover",
    lesson=__doc__,
    traffic=Traffic(RATE_PER_S, keys=50, hot_share=0.1, visits=(FOLLOW, MAKE)),
    settings={"postgres:synchronous_commit": "local"},
    timeline=[LAG, At(MOVED_S, MOVE)],
    arms=[
        Arm("at once", naive=True, timeline=[LAG, AT_ONCE], predictions={LOST.name: LOSS}),
        Arm("switchover", predictions={PAUSE.name: WAITS}),
    ],
    measures=[LOST, UNTRACED, CLICKS, PAUSE, READS],
    claims=[
        shows("at once", LOST, share_of_prediction=0.3),
        shows("at once", CLICKS, at_least=1),
        *(none(lost, but=("at once",)) for lost in (LOST, CLICKS)),
        none(UNTRACED),
        at_most("switchover", PAUSE, 4),
        *(at_most(arm, READS, 5) for arm in ("at once", "switchover")),
    ],
    costs=[PAUSE],
    strips=FAILOVER_STRIPS,
    quick=Mode("quick", rounds=3, segment_s=8),
    full=Mode("full", rounds=8, segment_s=10),
)
