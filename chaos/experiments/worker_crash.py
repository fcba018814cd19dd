"""The worker is killed in the middle of its work. Which clicks are lost, and which count twice?

A worker that acknowledges first loses the batch it was at; one that commits first is given it again
and counts it twice. Only a commit that ignores ids it knows, before the acknowledgement, counts
every click once. How soon a click is durable is another choice, with its price in the redirect.
"""

from chaos import measures as m
from chaos.acts import Kill
from chaos.judge.claims import at_most, none, shows
from chaos.model.experiment import LATENCY, Arm, At, Experiment, Mode, Prediction, Strip
from chaos.model.traffic import Traffic

RATE_PER_S, HELD_S = 150, 0.6
LOST, TWICE, CATCH_UP = m.lost("clicks"), m.miscounted(), m.catch_up()
WAITING = m.peak("clicks_waiting", "most clicks waiting", "clicks")
P99, FAILED = m.latency(99), m.failed()
BATCH = Prediction(
    "λh a kill", "the batch in hand: the clicks that came while the one before was held for h",
    lambda segments: RATE_PER_S * HELD_S * len(segments),
)  # fmt: skip


def _held(step: str) -> dict[str, str]:
    """The worker spends nearly all its time at this step, so that the kill falls into it."""
    pause = {"WORKER_STEP": step, "WORKER_STEP_PAUSE_S": str(HELD_S)}
    return {**pause, "WORKER_GATHER_S": "0", "WORKER_BATCH": "500"}


ACK_FIRST = {"WORKER_ACKNOWLEDGE": "before-commit", **_held("after-acknowledge")}
NO_DEDUPE = {"CLICK_DEDUPE": "false", **_held("after-store")}

experiment = Experiment(
    name="worker-crash",
    lesson=__doc__,
    traffic=Traffic(RATE_PER_S, keys=20, hot_share=0.5),
    timeline=[At(1.5, Kill("worker"), until_s=3.0)],
    arms=[
        Arm("ack-first", ACK_FIRST, naive=True, predictions={LOST.name: BATCH}),
        Arm("no-dedupe", NO_DEDUPE, naive=True, predictions={TWICE.name: BATCH}),
        Arm("exactly-once", _held("after-store")),
        Arm("sync", {"CLICK_MODE": "sync", **_held("after-acknowledge")}),
        Arm("outbox", {"CLICK_MODE": "outbox"}),
    ],
    measures=[LOST, TWICE, CATCH_UP, WAITING, P99, FAILED],
    claims=[
        shows("ack-first", LOST, share_of_prediction=0.5),
        shows("no-dedupe", TWICE, share_of_prediction=0.5),
        *(none(LOST, but="ack-first"), none(TWICE, but="no-dedupe"), none(FAILED)),
        *(at_most(arm, CATCH_UP, 6) for arm in ("exactly-once", "sync", "outbox")),
    ],
    costs=[P99],
    strips=[LATENCY, Strip("Clicks waiting", "clicks", "samples", "clicks_waiting")],
    quick=Mode("quick", rounds=2, segment_s=5),
    full=Mode("full", rounds=8, segment_s=10),
)
